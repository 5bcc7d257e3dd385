"""What every likelihood promises, and the one function that masks and sums."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from narrows._part import Part
from narrows._types import Distribution, Layout, Rows
from narrows.errors import InvalidParameter

_TOLERANCE = 1e-6  # scaling to [0, 1] and back in float32 may overshoot by this much


class Likelihood(Part, ABC, room="likelihoods", abstract=True):
    """How a reconstruction is judged: p(x|θ), element by element.

    A likelihood fixes the decoder's last activation and the reconstruction loss. It is a specification; `build` makes
    the module that turns the decoder's output θ into a `Distribution` and that holds learned scales, if any.

    Attributes:
        domain: What the format should scale values into: ``"real"``, ``"unit"`` or ``"binary"`` ([0, 1]),
            ``"counts"``, ``"indices"`` or ``"mixed"`` (ask each column's likelihood).
        support: Smallest and largest value that can be described.
    """

    domain: ClassVar[str]
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def theta_shape(self, layout: Layout) -> tuple[int, ...]:
        """Shape of the parameters per row that a decoder must produce for rows of ``layout``.

        k numbers per element make the feature axis (see `feature_axis`) k times as long; likelihoods over categories
        want a flat ``(P,)``.
        """
        return layout.shape

    def check_layout(self, layout: Layout) -> None:
        """Check that rows of ``layout`` can be described.

        Raises:
            InvalidParameter: If a column is a category, or values lie outside `support`.
        """
        for column, k in enumerate(layout.categories or ()):
            if k:
                raise InvalidParameter(
                    f"{self!r} describes numbers, but column {column} is a category of {k} values: use "
                    "likelihoods.Categorical() for categories, likelihoods.Mixed(…) for a table of both kinds"
                )
        self._check_support(layout)

    @abstractmethod
    def build(self, layout: Layout) -> nn.Module:
        """The module whose ``forward(theta)`` makes a `Distribution`.

        Args:
            layout: What one row looks like; checked with `check_layout`.

        Returns:
            A module that takes ``(…, *theta_shape(layout))`` with any leading axes, ``(B)`` or ``(S, B)``.

        Raises:
            InvalidParameter: If the layout cannot be described.
        """

    def _check_support(self, layout: Layout) -> None:
        lowest, highest = self.support
        low, high = min(layout.low, default=0.0), max(layout.high, default=0.0)
        if low < lowest - _TOLERANCE or high > highest + _TOLERANCE:
            wanted = f"of at least {lowest:g}" if highest == math.inf else f"in [{lowest:g}, {highest:g}]"
            raise InvalidParameter(
                f"{self!r} describes values {wanted}, but they reach from {low:g} to {high:g}: scale them, or use "
                "likelihoods.Gaussian()"
            )


class LikelihoodModule(nn.Module):
    """Base of the modules that likelihoods build; subclasses define ``distribution(theta)``."""

    def forward(self, theta: Tensor) -> Distribution:
        """p(x|θ) for ``theta`` ``(…, *theta_shape)``; half-precision θ is judged in float32."""
        return self.distribution(theta.float() if theta.dtype in (torch.float16, torch.bfloat16) else theta)

    def distribution(self, theta: Tensor) -> Distribution:
        """p(x|θ), for θ in single or double precision."""
        raise NotImplementedError


class ElementwiseModule(LikelihoodModule):
    """One number per element and nothing to learn: θ goes straight into the distribution."""

    def __init__(self, family: Any) -> None:
        super().__init__()
        self.family = family

    def distribution(self, theta: Tensor) -> Distribution:
        """The distribution whose only parameter is θ."""
        return self.family(theta)


def feature_axis(shape: Sequence[int]) -> int:
    """Which axis of a row holds its columns or channels: the first, but the second in a series (steps, columns)."""
    return 1 if len(shape) == 2 else 0


def masked_sum(elements: Tensor, mask: Tensor | None, ndim: int) -> Tensor:
    """Sum over the last ``ndim`` axes of what the mask lets through.

    Args:
        elements: ``(…, *shape)`` values, finite wherever the mask is true.
        mask: Boolean, broadcastable to ``elements``, true where an element counts; None when all do.
        ndim: How many axes one row has.

    Returns:
        ``(…)``.
    """
    if mask is not None:
        elements = torch.where(mask, elements, elements.new_zeros(()))
    return elements.sum(dim=tuple(range(-ndim, 0))) if ndim else elements


def log_likelihood(x: Distribution, rows: Rows) -> Tensor:
    """Log-likelihood of each row: masked and summed over its elements.

    log p(x|z) = Σ_i m_i log p(x_i | θ_i), with m_i = 1 where element i exists and is observed.

    Blanks are replaced by 0, a value that every family can judge, *before* the log-density, and the result is dropped
    afterwards: dropping alone would still give NaN gradients where a blank holds NaN.

    Args:
        x: p(x|z), whose tensors are ``(B, *shape)`` or ``(S, B, *shape)``.
        rows: B rows to judge it by.

    Returns:
        ``(B,)`` or ``(S, B)``, in nats per row.

    ```python
    module = likelihoods.Gaussian(scale=1.0).build(Layout(shape=(3,)))
    log_likelihood(module(torch.zeros(5, 3)), Rows(torch.ones(5, 3)))  # 5 numbers
    ```
    """
    mask, values = rows.mask(), rows.values
    if mask is not None:
        values = values.masked_fill(~mask, 0.0)
    return masked_sum(x.log_prob(values), mask, values.ndim - 1)
