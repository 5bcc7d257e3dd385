"""Mixtures of Gaussians over codes, as distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows._normal import rsample


@dataclass(frozen=True, eq=False)
class MixtureDistribution:
    """A mixture of Gaussians over codes; one mixture for all, or weights of its own for each of B rows.

    p(z) = Σ_k π_k N(z; μ_k, Σ_k).

    Attributes:
        weights: ``(K,)`` or ``(B, K)`` adding up to 1; zeros are allowed.
        means: ``(K, L)``.
        scales: ``(K, L, L)`` lower-triangular factors of the covariances, or ``(K, L)`` standard deviations.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    @property
    def mean(self) -> Tensor:
        """``(L,)``, or ``(B, L)`` where rows have weights of their own."""
        return self.weights @ self.means

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``; ``(…, B, L)`` where rows have weights of their own."""
        return torch.logsumexp(self._log_joint(z), dim=-1)

    def _log_joint(self, z: Tensor) -> Tensor:
        """``(…, K)`` log π_k N(z; μ_k, Σ_k) of ``z`` ``(…, L)``."""
        size = self.means.shape[-1]
        apart = z.reshape(-1, size) - self.means.unsqueeze(1)
        if self.scales.ndim == 3:
            white = torch.linalg.solve_triangular(self.scales, apart.mT, upper=False).mT
            log_volume = self.scales.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            white = apart / self.scales.unsqueeze(1)
            log_volume = self.scales.log().sum(-1)
        constant = log_volume + 0.5 * size * math.log(2 * math.pi)
        density = -0.5 * white.square().sum(-1).T - constant
        # the inner choice keeps the gradient of log 0, which is no number, out
        used = self.weights > 0
        log_weights = torch.where(used, torch.where(used, self.weights, 1.0).log(), -math.inf)
        return density.reshape(*z.shape[:-1], len(self.means)) + log_weights

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step that leaves draws from the mixture draws from it.

        k ~ p(k|z), z' = μ_k + √(1 − size²) (z − μ_k) + size · ε with ε ~ N(0, Σ_k).
        """
        component = torch.multinomial(self._log_joint(z).softmax(-1), 1).squeeze(1)
        means = self.means[component]
        return means + math.sqrt(1 - size**2) * (z - means) + size * (self._draw(component) - means)

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.sample_like(self.means.new_empty(n, self.means.shape[-1]))

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        edges = self.weights.cumsum(-1)
        # a draw times the last edge, which rounding may leave below 1, falls before that edge or (rarely) onto it
        place = torch.rand_like(z[..., 0]) * edges[..., -1]
        component = (place.unsqueeze(-1) >= edges[..., :-1]).sum(-1)
        last = torch.where(self.weights > 0, torch.arange(len(self.means), device=z.device), 0).amax(-1)
        return self._draw(torch.minimum(component, last))

    def _draw(self, component: Tensor) -> Tensor:
        """A draw from each of some components ``(…)``: ``(…, L)``."""
        means, scales = self.means[component], self.scales[component]
        return rsample(means, scale_tril=scales) if scales.ndim == means.ndim + 1 else rsample(means, scale=scales)


def of_class(own: Tensor, every: Tensor, condition: Tensor) -> Tensor:
    """Weights of the components for rows of classes.

    Args:
        own: ``(C, K)`` weights of every class's own components, K of them.
        every: ``(C·K,)`` weights of all, for rows whose class is unknown.
        condition: ``(B,)`` class of every row, −1 where it is unknown.

    Returns:
        ``(B, C·K)``.
    """
    apart = torch.eye(len(own), dtype=own.dtype, device=own.device).unsqueeze(-1) * own
    # −1 finds the last line
    return torch.cat([apart.flatten(1), every.unsqueeze(0)])[condition]
