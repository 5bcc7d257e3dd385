"""What is not chosen by the user is chosen by the data, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from narrows import bottlenecks, networks, objectives, penalties, priors
from narrows._part import Part
from narrows._types import Layout
from narrows.bottlenecks import Bottleneck
from narrows.corruptions import Corruption
from narrows.errors import InvalidParameter
from narrows.likelihoods import Likelihood
from narrows.models import AutoencoderModule
from narrows.networks import Network
from narrows.objectives import Objective
from narrows.penalties import Penalties, Penalty, as_penalties
from narrows.priors import Prior
from narrows.training import History, Step


@dataclass(frozen=True)
class Choices:
    """The parts of a model; None where the data should decide.

    Attributes:
        code_size: Numbers per code.
        network: Makes encoder and decoder.
        bottleneck: Decides what the code may be.
        likelihood: Judges the reconstruction.
        corruption: What is done to rows in training; None: nothing.
        penalties: Further terms of the objective.
        prior: What codes look like.
        objective: What is minimised.
        format: How raw data becomes rows.
    """

    code_size: int | None = None
    network: Network | None = None
    bottleneck: Bottleneck | None = None
    likelihood: Likelihood | None = None
    corruption: Corruption | None = None
    penalties: Penalties | Penalty | None = None
    prior: Prior | None = None
    objective: Objective | None = None
    format: Part | None = None
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """A format is any part to the type checker, but not to the data."""
        if self.format is not None and self.format.room != "formats":
            raise InvalidParameter(f"format={self.format!r} is not a format: give narrows.data.Table() or Image()")

    def parts(self) -> dict[str, Part]:
        """The parts that are there, by name."""
        names = ("network", "bottleneck", "likelihood", "corruption", "penalties", "prior", "objective")
        return {name: part for name in names if isinstance(part := getattr(self, name), Part)}

    def named_penalties(self) -> Penalties:
        """The penalties by name."""
        return as_penalties(self.penalties)

    def build(self, layout: Layout) -> AutoencoderModule:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        assert self.bottleneck is not None
        assert self.likelihood is not None
        assert self.prior is not None
        if self.corruption is not None and self.corruption.masks:
            layout = layout.maskable()
        return AutoencoderModule(layout, self.network, self.bottleneck, self.likelihood, self.prior)

    def step(self, module: AutoencoderModule, layout: Layout, kind: type[Step] = Step) -> Step:
        """The step that trains such a module."""
        assert self.objective is not None
        return kind(module, self.objective, self.named_penalties(), self.corruption, layout)

    def describe(self, history: History, module: AutoencoderModule) -> None:
        """Tell a history what it is of, so that it can be read."""
        dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in module.modules())
        history.code_size = module.code_size
        history.noisy = dropout or self.corruption is not None or module.stochastic


def resolve(choices: Choices, layout: Layout, likelihood: Likelihood) -> Choices:
    """Fill in what was left open.

    Args:
        choices: What the user chose.
        layout: What a row looks like.
        likelihood: The likelihood of the fitted format.

    Returns:
        Choices without gaps (a corruption stays None: nothing is done then), and with reasons.

    Raises:
        InvalidParameter: If parts do not go together.
    """
    reasons: list[str] = []
    size = _code_size(choices, layout, reasons)
    bottleneck = (choices.bottleneck or bottlenecks.Plain()).set_params(size=size)
    found: dict[str, Any] = {
        "code_size": size,
        "bottleneck": bottleneck,
        "likelihood": likelihood,
        "network": choices.network or _network(layout, reasons),
        "objective": choices.objective or objectives.ELBO(),
        "penalties": _penalties(choices, bottleneck),
    }
    found["prior"] = choices.prior or (priors.StandardNormal() if bottleneck.stochastic else priors.Mixture())
    if not bottleneck.stochastic and not found["prior"].fitted_afterwards:
        reasons.append(f"{found['prior']!r} plays no part in training a plain code; it only says how to sample")
    found["objective"].check_model(bottleneck)
    full = replace(choices, **found, reasons=reasons)
    found["penalties"].check_model(bottleneck)
    return full


def _code_size(choices: Choices, layout: Layout, reasons: list[str]) -> int:
    named = choices.bottleneck.size if choices.bottleneck is not None else None
    if named is not None and choices.code_size is not None and named != choices.code_size:
        raise InvalidParameter(f"code_size={choices.code_size} and bottleneck size={named} disagree: give one of them")
    size = choices.code_size or named
    if size is None:
        size = max(1, min(32, layout.size // 2))
        reasons.append(f"code size {size}: half of the {layout.size} values of a row, at most 32")
    return int(size)


def _network(layout: Layout, reasons: list[str]) -> Network:
    if len(layout.shape) == 3 and min(layout.shape[1:]) >= 16:
        reasons.append(f"convolutional network: the rows are images of {layout.shape[1]} × {layout.shape[2]} pixels")
        return networks.Conv()
    if len(layout.shape) == 3:
        size = f"{layout.shape[1]} × {layout.shape[2]} pixels"
        reasons.append(f"dense network: images of {size} are too small for convolutions, which begin at 16 × 16")
    else:
        reasons.append("dense network: the rows are a table's columns, which have no neighbours to convolve")
    return networks.Dense()


def _penalties(choices: Choices, bottleneck: Bottleneck) -> Penalties:
    if choices.penalties is None and bottleneck.stochastic:
        return Penalties(kl=penalties.KL())
    return as_penalties(choices.penalties)


def default_parts() -> dict[str, Part]:
    """The part that a parameter left at None stands for when one of its own parameters is set by name."""
    from narrows.corruptions import Gaussian as GaussianNoise
    from narrows.data import Table
    from narrows.likelihoods import Gaussian
    from narrows.training import Training

    return {
        "network": networks.Dense(),
        "bottleneck": bottlenecks.Plain(),
        "likelihood": Gaussian(),
        "corruption": GaussianNoise(),
        "penalties": Penalties(sparsity=penalties.Sparsity()),
        "prior": priors.Mixture(),
        "objective": objectives.ELBO(),
        "format": Table(),
        "training": Training(),
    }
