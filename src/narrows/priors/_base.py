"""What all priors share, and the standard normal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows._normal import FullNormal, Normal, UnitNormal
from narrows._part import Part
from narrows.errors import InvalidData, InvalidParameter

Encode: TypeAlias = Callable[[Tensor], Normal | FullNormal]
"""From what the encoder takes ``(B, …)`` to q(z|x), with dropout and normalisation in evaluation mode."""


_STEPS, _BATCH, _RATE = 3_000, 256, 2e-3  # of fitting a prior to codes afterwards


class BottleneckLike(Protocol):
    """What a prior looks at in a bottleneck before training."""

    @property
    def stochastic(self) -> bool:
        """Whether there is a posterior q(z|x)."""


class CodeDistribution(Protocol):
    """A distribution over whole codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step from 0 (none) to 1 (far) that leaves draws from this prior such draws."""


@dataclass(frozen=True)
class CodeFit:
    """What is left for the loop to do on codes.

    Attributes:
        step: What it trains.
        after_step: To be called after every step.
        rows: How many rows it looks at; None: as the settings of the loop say.
        batch_size: Rows per step.
        learning_rate: The highest rate.
    """

    step: nn.Module
    after_step: Callable[[], None]
    rows: int | None
    batch_size: int
    learning_rate: float


class PriorModule(nn.Module):
    """What every built prior is.

    Attributes:
        encode: The encoder of the model that the prior is part of, for priors that look through it; set by the model.
        conditional: Whether it knows classes.
        afterwards: Whether it is fitted to codes afterwards; set by the model.
    """

    encode: Encode | None = None
    conditional: bool = False
    afterwards: bool = False

    @abstractmethod
    def forward(self, condition: Tensor | None = None) -> CodeDistribution:
        """The distribution over codes.

        Args:
            condition: ``(B,)`` class of every row, −1 where it is unknown; the distribution is then over B codes, one
                of each row. None: of no row in particular.
        """

    def fit_codes(self, z: NDArray[Any], seed: int = 0, condition: NDArray[Any] | None = None) -> CodeFit | None:
        """Fit the prior to codes, as far as that goes without the loop.

        Args:
            z: ``(n, L)`` codes.
            seed: Fixes what is random; the caller's generators are not touched.
            condition: ``(n,)`` class of every row, −1 where it is unknown; None: there are no classes.

        Returns:
            What the loop is still to do on these codes (see `narrows.models.fit_prior`); None: nothing, it is fitted.

        Raises:
            InvalidParameter: If it is not fitted afterwards.
        """
        raise InvalidParameter(f"{type(self).__name__} learns with the model, not from its codes afterwards")


class LearnedModule(PriorModule):
    """A prior that learns with the model, or, where the model's codes are not random, from codes afterwards.

    Codes are then brought to mean 0 and spread 1 first, which models with a posterior do by themselves.

    Attributes:
        centre: ``(L,)`` mean of the codes, where it is fitted to them afterwards.
        scale: ``(L,)`` their spread.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    @abstractmethod
    def standard(self, condition: Tensor | None = None) -> CodeDistribution:
        """The distribution over codes of mean 0 and spread 1, or nearly."""

    def forward(self, condition: Tensor | None = None) -> CodeDistribution:
        """The distribution over codes; see `PriorModule`."""
        found = self.standard(condition)
        return Scaled(found, self.centre, self.scale) if self.afterwards else found

    def fit_codes(self, z: NDArray[Any], seed: int = 0, condition: NDArray[Any] | None = None) -> CodeFit:
        """Learn mean and spread of the codes; the rest, by maximum likelihood, is the loop's to do.

        Raises:
            InvalidData: If the codes have the wrong width, are not finite, or there are none.
        """
        codes = torch.as_tensor(checked(z, len(self.centre)))
        spread = codes.std(0, correction=0)
        self.afterwards = True
        self.centre.copy_(codes.mean(0))
        self.scale.copy_(spread.clamp_min(float((1e-3 * spread.max()).clamp_min(1e-6))))
        self.requires_grad_(True)
        batch = min(_BATCH, max(len(codes) // 4, 1))
        return CodeFit(CodesStep(self), _nothing, rows=_STEPS * batch, batch_size=batch, learning_rate=_RATE)


class CodesStep(nn.Module):
    """The step that fits a prior to codes: −log p(z) in nats.

    Args:
        prior: A prior that learns.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, prior: LearnedModule) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """``"loss"`` ``()`` of codes ``"values"`` ``(B, L)``."""
        return {"loss": -self.prior(batch.get("condition")).log_prob(batch["values"]).mean()}


def _nothing() -> None:
    pass


@dataclass(frozen=True, eq=False)
class Scaled:
    """A distribution over codes, moved and stretched: of c + s · z, where z is of ``inner``.

    Attributes:
        inner: The distribution of z.
        centre: ``(L,)`` c.
        scale: ``(L,)`` s.
    """

    inner: CodeDistribution
    centre: Tensor
    scale: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""
        return self.inner.log_prob((z - self.centre) / self.scale) - self.scale.log().sum()

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.centre + self.scale * self.inner.sample(n)

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        return self.centre + self.scale * self.inner.sample_like(z)

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``, by the inner distribution's step."""
        return self.centre + self.scale * self.inner.near((z - self.centre) / self.scale, size)


def checked(z: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Codes to be fitted, ``(n, L)``.

    Raises:
        InvalidData: If they have the wrong width, are not finite, or there are none.
    """
    codes = np.asarray(z, dtype=np.float64)
    if codes.ndim != 2 or codes.shape[1] != size or not len(codes):
        raise InvalidData(
            f"codes of shape {codes.shape} cannot be fitted: they must be (rows, {size}), one row or more"
        )
    if not np.isfinite(codes).all():
        raise InvalidData("the codes are not all finite, so no prior can be fitted to them: the model has diverged")
    return codes


class Prior(Part, ABC, room="priors", abstract=True):
    """Base of all priors."""

    fitted_afterwards: ClassVar[bool] = False
    """Whether it takes no part in training and is fitted to the codes afterwards, by ``fit_codes`` of its module."""

    learns: ClassVar[bool] = False
    """Whether it learns with the model; where codes are not random it is fitted to them afterwards."""

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """Raise `InvalidParameter` unless the prior can work with this bottleneck."""

    @abstractmethod
    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> PriorModule:
        """The module that holds what the prior learns.

        Args:
            size: Numbers per code, L.
            inputs: Shape of what the encoder takes, for priors that look through it.
            classes: How many classes rows may have, for priors that know them; 0 without labels.
        """


class StandardNormal(Prior):
    """Independent standard normals.

    p(z) = N(0, I).

    Example:
        ```python
        StandardNormal().build(2)().sample(3).shape  # (3, 2)
        ```
    """

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> PriorModule:
        """The module; it learns nothing."""
        return StandardNormalModule(size)


class StandardNormalModule(PriorModule):
    """A standard normal prior, built."""

    def __init__(self, size: int) -> None:
        super().__init__()
        # not saved: it only says of what size, on which device and of which type draws are to be
        self.register_buffer("template", torch.zeros(size), persistent=False)

    template: Tensor

    def forward(self, condition: Tensor | None = None) -> UnitNormal:
        """N(0, I) over codes."""
        return UnitNormal(self.template)
