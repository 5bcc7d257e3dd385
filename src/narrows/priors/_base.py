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
    """

    encode: Encode | None = None
    conditional: bool = False

    @abstractmethod
    def forward(self, condition: Tensor | None = None) -> CodeDistribution:
        """The distribution over codes.

        Args:
            condition: ``(B,)`` class of every row, −1 where it is unknown; the distribution is then over B codes, one
                of each row. None: of no row in particular.
        """

    def fit_codes(self, z: NDArray[Any], seed: int = 0) -> CodeFit | None:
        """Fit the prior to codes, as far as that goes without the loop.

        Args:
            z: ``(n, L)`` codes.
            seed: Fixes what is random; the caller's generators are not touched.

        Returns:
            What the loop is still to do on these codes (see `narrows.models.fit_prior`); None: nothing, it is fitted.

        Raises:
            InvalidParameter: If it is not fitted afterwards.
        """
        raise InvalidParameter(f"{type(self).__name__} learns with the model, not from its codes afterwards")


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
