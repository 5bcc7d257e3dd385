"""The restricted Boltzmann machine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, Self, final

import numpy as np

from narrows import likelihoods
from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter
from narrows.estimators._base import BaseModel
from narrows.estimators._choices import ModelChoices, Plan
from narrows.estimators._shared import draw_seed
from narrows.estimators._streams import streamed
from narrows.estimators.autoencoder import Size
from narrows.models.boltzmann import CHAINS, BoltzmannModule, BoltzmannStep
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import History, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import seeded


@dataclass(frozen=True)
class BoltzmannChoices(ModelChoices):
    """The parts of a restricted Boltzmann machine.

    Attributes:
        code_size: Hidden units.
        visible: "bernoulli" or "gaussian".
        steps: Of Gibbs sampling per step of training.
        persistent: Whether particles go on from where they were.
        format: How raw data becomes rows.
    """

    code_size: int | None = None
    visible: Literal["bernoulli", "gaussian"] | None = None
    steps: int = 1
    persistent: bool = True
    format: Part | None = None
    reasons: list[str] = field(default_factory=list)

    @property
    def likelihood(self) -> Any:
        """Bernoulli units want numbers from 0 to 1."""
        return likelihoods.Bernoulli() if self.visible == "bernoulli" else None

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        reasons: list[str] = []
        size = self.code_size
        if size is None:
            size = min(256, max(16, 2 * layout.size))
            reasons.append(f"{size} hidden units: twice the {layout.size} values of a row, from 16 to 256")
        if self.visible is None:
            images = len(layout.shape) > 1
            reasons.append("units from 0 to 1: the rows are images" if images else "Gaussian units for numbers")
        return replace(self, code_size=size, reasons=reasons)

    def build(self, layout: Layout) -> BoltzmannModule:
        """The machine, freshly initialised from torch's global generator."""
        assert self.code_size is not None
        visible = self.visible or ("bernoulli" if len(layout.shape) > 1 else "gaussian")
        return BoltzmannModule(layout, self.code_size, visible)

    def plan(self, module: BoltzmannModule, layout: Layout) -> Plan:
        """One player; free energies of one epoch and another cannot be compared, so nothing is judged."""
        step = BoltzmannStep(module, self.steps, self.persistent)
        return Plan(step, [Player(step, trainable(step))], judged=False)

    def describe(self, history: History, module: BoltzmannModule) -> None:
        """Differences of free energies need not fall."""
        history.falling = False


@final
class Boltzmann(BaseModel):
    """A restricted Boltzmann machine, trained by contrastive divergence.

    p(v) = Σ_h exp(−E(v, h)) / Z with hidden units h of 0 and 1. Numbers are Gaussian units (or, with
    ``visible="bernoulli"``, chances from 0 to 1, as pixels are), categories are softmax units, and blanks have units of
    their own. Rows are made by Gibbs sampling.

    Args:
        code_size: Hidden units; None: twice the values of a row, from 16 to 256.
        visible: "bernoulli" or "gaussian", for numbers and pixels; None: Bernoulli for images.
        steps: Gibbs steps per step of training (the k of CD-k).
        persistent: Whether the particles of contrastive divergence go on from where they were, rather than begin at the
            rows.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Hinton: A Practical Guide to Training Restricted Boltzmann Machines, 2012,
        https://doi.org/10.1007/978-3-642-35289-8_32
    """

    LIMITS: ClassVar[str] = "Scores are −F(v), log p(v) up to a constant: they rank rows, and are not densities."

    module_: BoltzmannModule
    choices_: BoltzmannChoices

    def __init__(
        self,
        code_size: Size = None,
        *,
        visible: Literal["bernoulli", "gaussian"] | None = None,
        steps: Annotated[int, Interval(1)] = 1,
        persistent: bool = True,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.visible = visible
        self.steps = steps
        self.persistent = persistent
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> BoltzmannChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return BoltzmannChoices(self.code_size, self.visible, int(self.steps), self.persistent, self.format)

    @streamed
    def score_samples(self, X: Any) -> np.ndarray:
        """The negative free energy −F(v) of every row: log p(v) + log Z, where log Z is the same for all rows.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` in nats; higher is more normal. `log_partition` estimates log Z.
        """
        rows, module = self._rows(X), self.module_
        device = next(module.parameters()).device
        return (
            in_chunks(lambda part: -module.free_energy(module.units(part)), rows, chunk_size(module.layout), device)
            .double()
            .numpy()
        )

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples``; models with another log Z cannot be compared by it.

        Args:
            X: n rows, as in ``fit``.
            y: Ignored.
        """
        return float(self.score_samples(X).mean())

    def log_partition(self, chains: int = CHAINS, steps: int = 1000, random_state: Any = 0) -> tuple[float, float]:
        """An estimate of log Z by annealed importance sampling: ``score_samples(X) - log_z`` are log-densities.

        Args:
            chains: Independent estimates that are averaged.
            steps: Temperatures; more are surer.
            random_state: Whole number for equal estimates.

        Returns:
            log Z in nats, and its standard error as far as the chains agree; the mean of Z is exact, so log Z tends to
            come out too low where chains are few.

        Raises:
            InvalidParameter: If a number is not a whole number of at least 2.
        """
        self._check_fitted()
        for name, value in (("chains", chains), ("steps", steps)):
            if not isinstance(value, Integral) or value < 2:
                raise InvalidParameter(f"log_partition({name}={value!r}): give a whole number of at least 2")
        with seeded(draw_seed(random_state)):
            return self.module_.log_partition(int(chains), int(steps))
