"""Penalties on the codes themselves."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from narrows._normal import row_mean
from narrows._part import Interval
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.penalties._base import BottleneckLike, Penalty, codes
from narrows.penalties._divergence import kl_bernoulli

_EDGE = 1e-6


class Sparsity(Penalty):
    """Keep every code unit's mean activation over the batch near a small target.

    Σ_j KL(ρ ‖ ρ̂_j), where ρ̂_j is the batch's mean of z_j and both are taken as Bernoulli probabilities.

    Codes must lie in (0, 1): use ``Plain(activation="sigmoid")``.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.
        target: ρ, the mean activation aimed at.

    Returns:
        ``()`` in nats.

    Reference:
        Sparse autoencoder. A. Ng, CS294A lecture notes, 2011.
        https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf

    Example:
        ```python
        Sparsity(weight=3, target=0.1)
        ```
    """

    target: Annotated[float, Interval(0, 1, open_low=True, open_high=True)] = 0.05

    def value(self, p: Pass) -> Tensor:
        """The divergence of the batch's mean activations, summed over units."""
        active = row_mean(codes(p).mean(0), p.rows.weight)
        # drawn in a little from 0 and 1 rather than clamped, so that a dead unit still has a gradient
        active = _EDGE + (1 - 2 * _EDGE) * active
        return p.code.in_use(kl_bernoulli(torch.full_like(active, self.target), active)).sum()

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """Codes must lie in (0, 1)."""
        low, high = bottleneck.bounds
        if low < 0 or high > 1:
            raise InvalidParameter(
                f"{self!r} takes mean activations as probabilities, but codes of {bottleneck!r} "
                f"lie in ({low:g}, {high:g}): "
                "use bottleneck=Plain(activation='sigmoid'), or penalties.L1() with codes of any range"
            )


class L1(Penalty):
    """Pull codes towards zero, and many of them to it.

    Σ_j |z_j|.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.

    Returns:
        ``(B,)``.

    Example:
        ```python
        L1(weight=0.1)
        ```
    """

    def value(self, p: Pass) -> Tensor:
        """The sum of absolute values of every row's code."""
        return codes(p).abs().sum(-1).mean(0)


class L2(Penalty):
    """Keep codes small.

    Σ_j z_j².

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.

    Returns:
        ``(B,)``.

    Example:
        ```python
        L2(weight=0.01)
        ```
    """

    def value(self, p: Pass) -> Tensor:
        """The sum of squares of every row's code."""
        return codes(p).square().sum(-1).mean(0)
