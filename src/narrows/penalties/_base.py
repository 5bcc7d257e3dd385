"""What all penalties share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Protocol

from torch import Tensor

from narrows._part import NotNegative, Part
from narrows._types import Pass


class BottleneckLike(Protocol):
    """What a penalty looks at in a bottleneck before training."""

    @property
    def stochastic(self) -> bool:
        """Whether there is a posterior q(z|x)."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval that every code unit lies in."""


class Penalty(Part, ABC, room="penalties", abstract=True):
    """Base of all penalties.

    A penalty is a cost added to the reconstruction's: ``weight`` times a value, per row ``(B,)`` or per batch
    ``()``. Over the first ``warmup`` epochs the weight grows from 0 in a straight line.

    Args:
        weight: How much the penalty counts. The reconstruction counts in nats per row, summed over features.
        warmup: Epochs until the weight is reached; 0 for the whole weight from the start.
    """

    weight: Annotated[float, NotNegative] = 1.0
    warmup: Annotated[float, NotNegative] = 0.0

    in_bound: ClassVar[bool] = False
    """Whether the importance-weighted bound already holds this penalty, so that it is not added again."""

    matches_prior: ClassVar[bool] = False
    """Whether it draws codes towards the model's prior, so that the prior plays a part in training."""

    @abstractmethod
    def value(self, p: Pass) -> Tensor:
        """The penalty with weight 1: ``(B,)`` per row or ``()`` per batch."""

    def __call__(self, p: Pass) -> Tensor:
        """The penalty times its weight at this moment of training: ``(B,)`` per row or ``()`` per batch."""
        return self.scale(p.epoch) * self.value(p)

    def scale(self, epoch: Tensor) -> Tensor | float:
        """The weight after ``epoch`` epochs, ``()``."""
        return (epoch / self.warmup).clamp(0, 1) * self.weight if self.warmup > 0 else self.weight

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """Raise unless the penalty can work with this bottleneck.

        Raises:
            InvalidParameter: Saying what to choose instead.
        """


def draws(p: Pass) -> Tensor:
    """``(S, B, L)`` codes that are draws from q(z|x), or the codes themselves where they are not random.

    In evaluation ``p.code.z`` is the mean, which is no draw, so estimates that need one draw afresh.
    """
    if p.code.z.ndim == 3:
        return p.code.z
    return (p.code.z if p.code.posterior is None else p.code.posterior.sample()).unsqueeze(0)


def codes(p: Pass) -> Tensor:
    """``(S, B, L)`` the codes that were decoded."""
    return p.code.z if p.code.z.ndim == 3 else p.code.z.unsqueeze(0)


def needs_posterior(penalty: Any) -> str:
    """What a penalty says that meets a bottleneck without a posterior."""
    return (
        f"{penalty!r} compares the distribution of codes with the prior, and this bottleneck has none: "
        "use bottleneck=Gaussian(), or penalties.MMD() with any bottleneck"
    )
