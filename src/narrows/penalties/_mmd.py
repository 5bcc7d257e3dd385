"""The maximum mean discrepancy between codes and prior."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from narrows._normal import row_mean
from narrows._part import Positive
from narrows._types import Pass
from narrows.penalties._base import Penalty, draws

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class MMD(Penalty):
    """Make the codes of a batch, taken together, look like draws from the prior, as in the Wasserstein autoencoder.

    E k(z, z′) + E k(y, y′) − 2 E k(z, y), with z, z′ codes of different rows and y, y′ draws from the prior
    (N(0, I) when the model has none in training).

    The estimate is unbiased, so it can be slightly negative when the two agree; for a single row its first two
    expectations are taken as 0.

    Args:
        weight: How much the penalty counts. It has no unit, so weights are large: 10 to 1000 is usual.
        warmup: Epochs over which the weight grows from 0.
        kernel: ``"imq"``, Σ_s c / (c + ‖z − y‖²) with c = 2 L s and s = 0.1, 0.2, 0.5, 1, 2, 5, 10 (Tolstikhin et al.);
            or ``"rbf"``, exp(−‖z − y‖² / 2h²).
        bandwidth: h of the Gaussian kernel, or several to be summed over; None for the median distance between
            codes and draws (Gretton et al., 2012).

    Returns:
        ``()``.

    Reference:
        Wasserstein Auto-Encoders. I. Tolstikhin et al., 2018. https://arxiv.org/abs/1711.01558.
        A Kernel Two-Sample Test. A. Gretton et al., 2012. https://jmlr.org/papers/v13/gretton12a.html

    Example:
        ```python
        MMD(weight=100)
        ```
    """

    matches_prior: ClassVar[bool] = True

    kernel: Literal["imq", "rbf"] = "imq"
    bandwidth: Annotated[float, Positive] | Annotated[tuple[float, ...], Positive] | None = None

    def value(self, p: Pass) -> Tensor:
        """The estimate for the batch."""
        z = draws(p)[0]
        y = p.code.in_use(torch.randn_like(z) if p.prior is None else p.prior.sample_like(z))
        weight = p.rows.weight
        across = _squared_distances(z, y)
        bandwidths = self._bandwidths(across)
        kernel = [
            self._kernel(d, bandwidths, p.code.size)
            for d in (_squared_distances(z, z), _squared_distances(y, y), across)
        ]
        return (
            _off_diagonal(kernel[0], weight) + _off_diagonal(kernel[1], None) - 2 * row_mean(kernel[2].mean(1), weight)
        )

    def _bandwidths(self, across: Tensor) -> list[Tensor | float]:
        if self.bandwidth is None:
            return [across.detach().flatten().median().clamp_min(1e-6)]
        return [h * h for h in (self.bandwidth if isinstance(self.bandwidth, (tuple, list)) else (self.bandwidth,))]

    def _kernel(self, distance: Tensor, bandwidths: list[Tensor | float], size: Tensor | int) -> Tensor:
        if self.kernel == "rbf":
            return torch.stack([(-0.5 * distance / h).exp() for h in bandwidths]).sum(0)
        return torch.stack([c / (c + distance) for c in (2 * size * s for s in _SCALES)]).sum(0)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``(A, B)`` squared distances between rows."""
    lengths = a.square().sum(-1).unsqueeze(1) + b.square().sum(-1).unsqueeze(0)
    return (lengths - 2 * a @ b.mT).clamp_min(0)


def _off_diagonal(kernel: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of a ``(B, B)`` kernel over pairs of different rows."""
    share = kernel.new_ones(kernel.shape[0]) if weight is None else weight.to(kernel.dtype)
    pairs = share.unsqueeze(1) * share * (1 - torch.eye(len(share), dtype=kernel.dtype, device=kernel.device))
    return (pairs * kernel).sum() / pairs.sum().clamp_min(torch.finfo(kernel.dtype).tiny)
