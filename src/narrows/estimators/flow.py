"""Normalizing flows: rows made from noise by an invertible network, and the exact density of every row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self, final

import numpy as np
import torch
from torch import Tensor

from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.estimators._base import BaseModel
from narrows.estimators._choices import ModelChoices, Plan
from narrows.estimators._flow_columns import dequantisation_of
from narrows.estimators._streams import streamed
from narrows.models.flow import Dequantisation, FlowModule, FlowStep
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import Player, Training
from narrows.training.loop import trainable

DRAWS = 16  # of the noise that makes discrete values continuous, for a score
MANY = 256  # values of a row above which splines would make the networks' last layers very large


@dataclass(frozen=True)
class FlowChoices(ModelChoices):
    """The parts of a flow.

    Attributes:
        kind: "coupling" or "autoregressive".
        transforms: How many moves.
        bins: Of each spline; 0 for straight lines; None by the size of a row.
        hidden: Widths of the networks that choose the splines.
        dequantise: Whether noise is added to discrete values.
        dequantisation: What the flow sees of a row.
        format: How raw data becomes rows.
    """

    kind: Literal["coupling", "autoregressive"] = "coupling"
    transforms: int = 5
    bins: int | None = None
    hidden: tuple[int, ...] = (128, 128)
    dequantise: bool = True
    dequantisation: Dequantisation | None = None
    format: Part | None = None
    likelihood: None = None
    reasons: list[str] = field(default_factory=list)

    PARTS: ClassVar[tuple[str, ...]] = ("dequantisation",)
    NEEDED: ClassVar[tuple[str, ...]] = ("dequantisation",)

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        reasons: list[str] = []
        if self.bins is None and layout.size > MANY:
            reasons.append(f"straight lines instead of splines: a row has {layout.size} values, more than {MANY}")
        part = dequantisation_of(format_, layout, rows, self.dequantise, reasons)
        return replace(self, dequantisation=part, reasons=reasons)

    def build(self, layout: Layout) -> FlowModule:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.dequantisation is not None
        bins = self.bins if self.bins is not None else (0 if layout.size > MANY else 8)
        return FlowModule(layout, self.dequantisation, self.kind, self.transforms, bins, self.hidden)

    def plan(self, module: FlowModule, layout: Layout) -> Plan:
        """One player: maximum likelihood."""
        step = FlowStep(module)
        return Plan(step, [Player(step, trainable(step))])


@final
class Flow(BaseModel):
    """A normalizing flow: an invertible network between rows and noise, trained by maximum likelihood.

    log p(x) = log N(f(x); 0, I) + log |∂f/∂x|, exactly: `score_samples` says how likely every row is.

    Discrete values are made continuous by noise: whole numbers and pixels by noise as wide as their steps, categories
    and blanks as places on a line. For these the score averages p over sixteen draws of that noise, the same for all
    rows, which is a lower bound in the mean. Columns that follow from others (copies, totals) would make densities
    infinite: they are left out of the density, and made from the others in samples.

    Args:
        kind: "coupling" (both ways in one pass per move) or "autoregressive" (fits better; sampling takes as many
            passes per move as a row has numbers).
        transforms: How many moves.
        bins: Bins of the splines; 0 for straight lines (RealNVP, MAF); None: 8, or 0 for rows of more than 256 values.
        hidden: Widths of the networks that choose the splines.
        dequantise: Whether noise is added to tied numbers (whole numbers, prices) and pixels; categories always get it.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    Example:
        ```python
        X = np.random.normal(40, 9, (80, 2))
        model = Flow(training=Training(epochs=1), random_state=0).fit(X)
        model.score_samples(X).shape  # (80,)
        model.sample(5, where='"0" > 40').shape  # (5, 2)
        ```

    References:
        Durkan, Bekasov, Murray, Papamakarios: Neural Spline Flows, 2019, https://arxiv.org/abs/1906.04032;
        Papamakarios, Pavlakou, Murray: Masked Autoregressive Flow for Density Estimation, 2017,
        https://arxiv.org/abs/1705.07057; Rozet et al.: Zuko, https://github.com/probabilists/zuko
    """

    LIMITS: ClassVar[str] = "Scores are log p(x) in nats, per scaled unit of every number and pixel."

    module_: FlowModule
    choices_: FlowChoices

    def __init__(
        self,
        kind: Literal["coupling", "autoregressive"] = "coupling",
        *,
        transforms: Annotated[int, Interval(1)] = 5,
        bins: Annotated[int, Interval(0)] | None = None,
        hidden: tuple[Annotated[int, Interval(1)], ...] = (128, 128),
        dequantise: bool = True,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.kind = kind
        self.transforms = transforms
        self.bins = bins
        self.hidden = hidden
        self.dequantise = dequantise
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> FlowChoices:
        """The parts that these parameters mean; None where the data should decide."""
        hidden = tuple(self.hidden)
        return FlowChoices(self.kind, self.transforms, self.bins, hidden, self.dequantise, format=self.format)

    @streamed
    def score_samples(self, X: Any) -> np.ndarray:
        """Log p(x) of every row.

        Of a model that knows classes this is the density of a row whatever its class: Σ_k p(k) p(x|k).

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` in nats: a log-density per scaled unit of every number (and pixel, whose unit is its whole range)
            and a log-probability of every category and blank; higher is more normal. For the density in raw units
            subtract the logarithm of every number's scale.
        """
        rows = self._rows(X)
        module, device = self.module_, next(self.module_.parameters()).device
        draws = DRAWS if module.rows.noisy else 1
        noise = torch.rand(draws, module.code_size, generator=torch.Generator().manual_seed(0)).to(device)
        kinds = [(-1, 0.0)] if self._labels is None else [(k, math.log(s)) for k, s in enumerate(self._labels.shares)]

        def run(part: Rows) -> Tensor:
            found = []
            for k, share in kinds:
                known = part if k < 0 else part.replace(condition=torch.full((len(part),), k, device=device))
                found += [module.log_prob(known, u.expand(len(part), -1)) + share for u in noise]
            return torch.logsumexp(torch.stack(found).double(), dim=0) - math.log(draws)

        return in_chunks(run, rows, chunk_size(module.layout), device).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples``, in nats per row: higher is better, for grid searches.

        Args:
            X: n rows, as in ``fit``.
            y: Ignored.
        """
        return float(self.score_samples(X).mean())
