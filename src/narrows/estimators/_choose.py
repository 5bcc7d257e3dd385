"""What is not chosen by the user is chosen by the data, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

from torch import nn

from narrows import bottlenecks, networks, objectives, penalties, priors
from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.bottlenecks import Bottleneck, QuantisingModule
from narrows.corruptions import Corruption
from narrows.errors import InvalidParameter, SavedModelError
from narrows.estimators._choices import ModelChoices, Plan
from narrows.likelihoods import Likelihood
from narrows.models import AutoencoderModule
from narrows.models.autoencoder import active_units
from narrows.networks import Network
from narrows.objectives import Objective
from narrows.penalties import Penalties, Penalty, as_penalties
from narrows.priors import Prior
from narrows.training import History, Player, Step
from narrows.training.loop import trainable
from narrows.training.seeds import seeded

ALIGNED = 1_024  # values of an image or a series of fixed length up to which a dense network learns more in equal time
CRITICS_SEED = 20_241_118  # critics begin alike in every run; what they learn differs

Chosen = TypeVar("Chosen", bound="Choices")


@dataclass(frozen=True)
class Choices(ModelChoices):
    """The parts of an autoencoder; None where the data should decide.

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

    PARTS: ClassVar[tuple[str, ...]] = (
        "network", "bottleneck", "likelihood", "corruption", "penalties", "prior", "objective",
    )  # fmt: skip
    NEEDED: ClassVar[tuple[str, ...]] = ("network", "bottleneck", "likelihood", "prior", "objective")

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        return resolve(self, layout, format_.likelihood())

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

    def plan(self, module: AutoencoderModule, layout: Layout) -> Plan:
        """A player for the model and one for each critic; watched is how much of the code is in use."""
        with seeded(CRITICS_SEED):
            step = self.step(module, layout)
        relative = not module.stochastic

        def watch(rows: Rows) -> dict[str, float]:
            codes, bottleneck = module.encode(rows), module.bottleneck
            found = {"active_units": float(active_units(codes, relative=relative))}
            return found | (bottleneck.watch(codes) if isinstance(bottleneck, QuantisingModule) else {})

        critics = [Player(adversary, trainable(adversary.critic)) for adversary in step.adversaries()]
        return Plan(step, [Player(step, trainable(module)), *critics], watch)

    def describe(self, history: History, module: AutoencoderModule) -> None:
        """Tell a history what it is of, so that it can be read."""
        dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in module.modules())
        history.code_size = module.code_size
        history.noisy = dropout or self.corruption is not None or module.stochastic

    def restored(self, parts: Mapping[str, Any], content: Mapping[str, Any]) -> Self:
        """The choices of a saved autoencoder."""
        found = super().restored(parts, content)
        if content["code_size"] != parts["bottleneck"].size:
            raise SavedModelError(f"code size {content['code_size']} and {parts['bottleneck']!r} disagree")
        return found


def resolve(choices: Chosen, layout: Layout, likelihood: Likelihood) -> Chosen:
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
        "network": choices.network or default_network(layout, reasons),
        "objective": choices.objective or objectives.ELBO(),
        "penalties": _penalties(choices, bottleneck),
    }
    found["prior"] = choices.prior or (priors.StandardNormal() if bottleneck.stochastic else priors.Mixture())
    found["prior"].check_model(bottleneck)
    plays = found["prior"].learns or any(penalty.matches_prior for penalty in found["penalties"].values())
    if not bottleneck.stochastic and not found["prior"].fitted_afterwards and not plays:
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


def default_network(layout: Layout, reasons: list[str], aligned: int = ALIGNED) -> Network:
    """The network that suits rows, with the reason in words.

    Args:
        layout: What a row looks like.
        reasons: The reason is added to them.
        aligned: Values of an image up to which a dense network is taken.
    """
    if layout.series:
        return _series_network(layout, reasons)
    if len(layout.shape) == 3:
        return _image_network(layout, reasons, aligned)
    reasons.append("dense network: the rows are a table's columns, which have no neighbours to convolve")
    return networks.Dense()


def _image_network(layout: Layout, reasons: list[str], aligned: int) -> Network:
    size = f"{layout.shape[1]} × {layout.shape[2]} pixels"
    if layout.size > aligned and min(layout.shape[1:]) >= 16:
        reasons.append(f"convolutional network: the rows are images of {size}")
        return networks.Conv()
    reasons.append(
        f"dense network: images of {size} are small enough to be seen at once (networks.Conv() sees every place "
        "alike, which helps where rows are few, and takes longer)"
    )
    return networks.Dense()


def _series_network(layout: Layout, reasons: list[str]) -> Network:
    if layout.ragged or layout.size > ALIGNED:
        why = "are of unequal lengths" if layout.ragged else f"have {layout.size:,} values, more than {ALIGNED:,}"
        reasons.append(f"recurrent network: the series {why}")
        return networks.Recurrent()
    reasons.append(
        f"dense network: all series have {layout.shape[0]} steps, which it sees at once (networks.Recurrent() "
        "reads them one after the other, slower)"
    )
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
