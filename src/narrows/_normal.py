"""Gaussians over codes, shared by bottlenecks, priors and penalties.

A density here is over a whole code, so ``log_prob`` sums over its last axis. Every draw in the project goes through
[`rsample`][narrows._normal.rsample], which is built on ``randn_like`` so that it works under
``torch.func.vmap(randomness="different")``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

_LOG_2PI = math.log(2 * math.pi)


def rsample(mean: Tensor, scale: Tensor | None = None, scale_tril: Tensor | None = None) -> Tensor:
    """A draw from a Gaussian, differentiable in its parameters.

    z = μ + σ ε or z = μ + T ε, with ε ~ N(0, I).

    Args:
        mean: ``(…, L)`` μ.
        scale: ``(…, L)`` σ, for a diagonal covariance; 1 when neither is given.
        scale_tril: ``(…, L, L)`` lower-triangular T, for the covariance T Tᵀ.

    Returns:
        ``(…, L)``, of the shape of ``mean``.
    """
    noise = torch.randn_like(mean)
    if scale_tril is not None:
        return mean + (scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    return mean + noise if scale is None else mean + scale * noise


def row_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the first axis, rows counted by their weight: Σ w_b v_b / Σ w_b.

    Args:
        values: ``(B, …)``.
        weight: ``(B,)`` not negative; None when all rows count alike. When all are 0 the mean is 0.

    Returns:
        ``(…)``.
    """
    if weight is None:
        return values.mean(0)
    share = weight / weight.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return (share.reshape(share.shape + (1,) * (values.ndim - 1)) * values).sum(0)


@dataclass(frozen=True, eq=False)
class Normal:
    """Gaussian with a diagonal covariance.

    log N(z; μ, σ²) = −½ Σ_j ((z_j − μ_j)² / σ_j² + 2 log σ_j + log 2π).

    Attributes:
        mean: ``(…, L)`` μ.
        log_scale: ``(…, L)`` log σ.
    """

    mean: Tensor
    log_scale: Tensor

    @property
    def scale(self) -> Tensor:
        """``(…, L)`` standard deviation of every code unit."""
        return self.log_scale.exp()

    @property
    def covariance(self) -> Tensor:
        """``(…, L, L)``."""
        return torch.diag_embed((2 * self.log_scale).exp())

    def marginals(self) -> Normal:
        """The distribution of every code unit by itself: this one."""
        return self

    def sample(self) -> Tensor:
        """``(…, L)``: one draw per row, differentiable."""
        return rsample(self.mean, scale=self.scale)

    def samples(self, n: int) -> Tensor:
        """``(n, …, L)``: n draws per row, differentiable."""
        return rsample(self.mean.expand(n, *self.mean.shape), scale=self.scale)

    def log_prob_elements(self, z: Tensor) -> Tensor:
        """Log-density of every code unit by itself, in nats, of the shape of ``z``."""
        standard = (z - self.mean) * (-self.log_scale).exp()
        return -0.5 * (standard.square() + _LOG_2PI) - self.log_scale

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` summed over the code, in nats: ``(…)``."""
        return self.log_prob_elements(z).sum(-1)

    def log_prob_pairs(self, z: Tensor) -> Tensor:
        """Log-density of each of ``z`` ``(B, L)`` under each row's Gaussian: ``(B, B)``, codes down, rows across."""
        return self.log_prob_elements(z.unsqueeze(-2)).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy in nats: ``(…)``."""
        return (self.log_scale + 0.5 * (1 + _LOG_2PI)).sum(-1)

    def kl_elements(self) -> Tensor:
        """KL divergence of every code unit from N(0, 1) in nats: ``(…, L)``, ½ (μ² + σ² − 1 − log σ²)."""
        twice = 2 * self.log_scale
        # expm1 keeps σ² − 1 accurate where σ is close to 1, which is where a collapsed unit lies
        return 0.5 * (self.mean.square() + torch.expm1(twice) - twice)

    def kl(self) -> Tensor:
        """KL divergence from N(0, I) in nats: ``(…)``."""
        return self.kl_elements().sum(-1)

    def kl_to(self, other: Gaussian) -> Tensor:
        """KL divergence of this Gaussian from ``other`` in nats: ``(…)``."""
        return kl_divergence(self, other)


@dataclass(frozen=True, eq=False)
class FullNormal:
    """Gaussian with a full covariance Σ = T Tᵀ.

    log N(z; μ, Σ) = −½ ‖T⁻¹(z − μ)‖² − Σ_j log T_jj − ½ L log 2π.

    Attributes:
        mean: ``(…, L)`` μ.
        scale_tril: ``(…, L, L)`` T, lower-triangular with a positive diagonal.
    """

    mean: Tensor
    scale_tril: Tensor

    @classmethod
    def from_log_diagonal(cls, mean: Tensor, log_diagonal: Tensor, lower: Tensor) -> FullNormal:
        """The Gaussian whose factor T has the diagonal exp(``log_diagonal``) and ``lower`` below it.

        Args:
            mean: ``(…, L)``.
            log_diagonal: ``(…, L)`` log T_jj.
            lower: ``(…, L (L − 1) / 2)`` what lies below the diagonal, row by row.
        """
        index = tril_index(mean.shape[-1], mean.device)
        entries = torch.cat([log_diagonal.exp(), lower, torch.zeros_like(mean[..., :1])], dim=-1)
        return cls(mean, entries[..., index])

    @property
    def log_diagonal(self) -> Tensor:
        """``(…, L)`` log T_jj."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log()

    @property
    def scale(self) -> Tensor:
        """``(…, L)`` standard deviation of every code unit by itself."""
        return self.scale_tril.square().sum(-1).sqrt()

    @property
    def covariance(self) -> Tensor:
        """``(…, L, L)`` T Tᵀ."""
        return self.scale_tril @ self.scale_tril.mT

    def marginals(self) -> Normal:
        """The distribution of every code unit by itself."""
        return Normal(self.mean, self.scale.log())

    def sample(self) -> Tensor:
        """``(…, L)``: one draw per row, differentiable."""
        return rsample(self.mean, scale_tril=self.scale_tril)

    def samples(self, n: int) -> Tensor:
        """``(n, …, L)``: n draws per row, differentiable."""
        return rsample(self.mean.expand(n, *self.mean.shape), scale_tril=self.scale_tril)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""
        distance = _whiten(self.scale_tril, (z - self.mean).unsqueeze(-1)).squeeze(-1).square().sum(-1)
        return -0.5 * (distance + self.mean.shape[-1] * _LOG_2PI) - self.log_diagonal.sum(-1)

    def log_prob_pairs(self, z: Tensor) -> Tensor:
        """Log-density of each of ``z`` ``(B, L)`` under each row's Gaussian: ``(B, B)``, codes down, rows across."""
        # one triangular solve per row with all codes as columns, rather than one per pair
        apart = (z.unsqueeze(-3) - self.mean.unsqueeze(-2)).mT
        distance = _whiten(self.scale_tril, apart).square().sum(-2)
        constant = 0.5 * self.mean.shape[-1] * _LOG_2PI + self.log_diagonal.sum(-1)
        return (-0.5 * distance - constant.unsqueeze(-1)).mT

    def entropy(self) -> Tensor:
        """Differential entropy in nats: ``(…)``."""
        return (self.log_diagonal + 0.5 * (1 + _LOG_2PI)).sum(-1)

    def kl_elements(self) -> Tensor:
        """KL divergence from N(0, I) by the chain rule, in nats: ``(…, L)``.

        Element j is the expected divergence of q(z_j | z_1 … z_{j−1}) from N(0, 1); it is never negative.
        """
        twice = 2 * self.log_diagonal
        lower = torch.tril(self.scale_tril, diagonal=-1).square().sum(-1)
        return 0.5 * (self.mean.square() + lower + torch.expm1(twice) - twice)

    def kl(self) -> Tensor:
        """KL divergence from N(0, I) in nats: ``(…)``."""
        return self.kl_elements().sum(-1)

    def kl_to(self, other: Gaussian) -> Tensor:
        """KL divergence of this Gaussian from ``other`` in nats: ``(…)``."""
        return kl_divergence(self, other)


@dataclass(frozen=True, eq=False)
class UnitNormal:
    """The standard normal N(0, I) over codes.

    Attributes:
        template: ``(L,)`` any tensor of the code's size, type and device; its values are not looked at.
    """

    template: Tensor

    @property
    def mean(self) -> Tensor:
        """``(L,)`` zeros."""
        return torch.zeros_like(self.template)

    @property
    def log_scale(self) -> Tensor:
        """``(L,)`` zeros."""
        return torch.zeros_like(self.template)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""
        return -0.5 * (z.square() + _LOG_2PI).sum(-1)

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.sample_like(self.template.new_empty(n, self.template.shape[-1]))

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        return torch.randn_like(z)

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: √(1 − size²) z + size · ε, which leaves standard normal draws such draws."""
        return math.sqrt(1 - size**2) * z + size * torch.randn_like(z)


Gaussian: TypeAlias = Normal | FullNormal | UnitNormal


def kl_divergence(p: Gaussian, q: Gaussian) -> Tensor:
    """KL divergence of one Gaussian from another, in closed form.

    KL(p‖q) = ½ (‖T_q⁻¹ T_p‖² + ‖T_q⁻¹ (μ_p − μ_q)‖² − L) + Σ_j log T_q,jj − Σ_j log T_p,jj, where T Tᵀ are the
    covariances.

    Args:
        p: Over codes of L units, with any leading axes.
        q: Likewise; leading axes broadcast.

    Returns:
        ``(…)`` in nats.
    """
    if isinstance(q, UnitNormal) and not isinstance(p, UnitNormal):
        return p.kl()
    apart = p.mean - q.mean
    if not isinstance(p, FullNormal) and not isinstance(q, FullNormal):
        ratio = 2 * (p.log_scale - q.log_scale)
        return 0.5 * ((apart * (-q.log_scale).exp()).square() + torch.expm1(ratio) - ratio).sum(-1)
    if isinstance(q, FullNormal):
        factor = _whiten(q.scale_tril, _tril(p))
        apart = _whiten(q.scale_tril, apart.unsqueeze(-1)).squeeze(-1)
    else:
        shrink = (-q.log_scale).exp()
        factor, apart = shrink.unsqueeze(-1) * _tril(p), shrink * apart
    squares = factor.square().sum((-2, -1)) + apart.square().sum(-1) - apart.shape[-1]
    return 0.5 * squares + _log_diagonal(q).sum(-1) - _log_diagonal(p).sum(-1)


def tril_index(size: int, device: torch.device | None = None) -> Tensor:
    """``(L, L)`` where each entry of a lower-triangular matrix is found in its flat form.

    The flat form holds the diagonal, then what lies below it row by row, then one zero. A gather by this index
    works under vmap, where writing into a matrix of zeros does not.
    """
    place = torch.arange(size, device=device)
    row, column = place.unsqueeze(1), place.unsqueeze(0)
    below = size + row * (row - 1) // 2 + column
    zero = size + size * (size - 1) // 2
    return torch.where(row == column, row, torch.where(row > column, below, zero))


def _whiten(scale_tril: Tensor, columns: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(scale_tril, columns, upper=False)


def _tril(p: Gaussian) -> Tensor:
    return p.scale_tril if isinstance(p, FullNormal) else torch.diag_embed(p.log_scale.exp())


def _log_diagonal(p: Gaussian) -> Tensor:
    return p.log_diagonal if isinstance(p, FullNormal) else p.log_scale
