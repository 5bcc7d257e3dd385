"""A multivariate normal fitted to rows with blanks: the straight-line part of filling them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

JITTER = 1e-5
CHUNK = 256
ITERATIONS = 15
WORK = 5e8  # multiplications per iteration, about: more rows than that allows are left out


@dataclass(frozen=True)
class Given:
    """Rows given what is observed of them.

    Attributes:
        filled: ``(B, D)`` expected values; observed ones as they are.
        deviation: ``(B, D)`` standard deviations, next to 0 where observed.
        noise: ``(B, D)`` standard normal numbers → what rows may differ by from ``filled``, features together.
    """

    filled: Tensor
    deviation: Tensor
    noise: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Gaussian:
    """Normal rows: what is blank is expected to be linear in what is not.

    Of a row the observed features o come first and the blank ones b last, and the covariance is factored in that
    order, Σ = L Lᵀ. Then E[x_b | x_o] = μ_b + L_bo L_oo⁻¹ (x_o − μ_o), and L_bb is a factor of the covariance of x_b
    given x_o.

    Attributes:
        mean: ``(D,)``.
        covariance: ``(D, D)``.
    """

    mean: Tensor
    covariance: Tensor

    def expect(self, x: Tensor, observed: Tensor) -> Tensor:
        """Blanks filled with their expected value.

        Args:
            x: ``(B, D)``.
            observed: ``(B, D)`` boolean.

        Returns:
            ``(B, D)``.
        """
        return self._expect(x, observed, *self._factor(observed))

    def given(self, x: Tensor, observed: Tensor) -> Given:
        """Blanks filled with their expected value, and how far off that may be.

        Args:
            x: ``(B, D)``.
            observed: ``(B, D)`` boolean.
        """
        order, lower = self._factor(observed)
        half = self._half(observed, order, lower)
        deviation = half.square().sum(2).clamp_min(JITTER).sqrt()
        return Given(
            self._expect(x, observed, order, lower),
            deviation,
            lambda standard: (half @ standard.unsqueeze(2)).squeeze(2),
        )

    def shortened(self, by: float) -> Gaussian:
        """The same with all correlations shortened by the factor 1 − ``by``."""
        own = torch.diag(self.covariance.diagonal())
        return Gaussian(self.mean, (1 - by) * self.covariance + by * own)

    def _factor(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        order = observed.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
        d = len(self.mean)
        flat = (order.unsqueeze(2) * d + order.unsqueeze(1)).flatten()
        return order, torch.linalg.cholesky(self.covariance.flatten()[flat].reshape(-1, d, d))

    def _expect(self, x: Tensor, observed: Tensor, order: Tensor, lower: Tensor) -> Tensor:
        away = torch.where(observed, x - self.mean, 0).gather(1, order).unsqueeze(2)
        inner = torch.linalg.solve_triangular(lower, away, upper=False)
        inner = torch.where(observed.gather(1, order).unsqueeze(2), inner, 0)
        expected = self.mean + torch.zeros_like(x).scatter(1, order, (lower @ inner).squeeze(2))
        return torch.where(observed, x, expected)

    def _half(self, observed: Tensor, order: Tensor, lower: Tensor) -> Tensor:
        """``(B, D, D)`` H with H Hᵀ the covariance given what is observed, 0 in rows of observed features."""
        blank = observed.logical_not().gather(1, order)
        back = order.argsort(1).unsqueeze(2).expand_as(lower)
        return (lower * blank.unsqueeze(1)).gather(1, back)


def fit_gaussian(x: Tensor, observed: Tensor, seed: int, start: Gaussian | None = None) -> Gaussian:
    """Fit a normal to rows with blanks by expectation-maximisation.

    After every round the correlations are shortened by the factor 1 − 0.02 D / n: few rows know them badly.

    Args:
        x: ``(n, D)``.
        observed: ``(n, D)`` boolean.
        seed: Chooses the rows where there are more than needed.
        start: A fit to nearly the same rows, from which a few rounds suffice.

    Returns:
        The fitted normal, in float32.

    References:
        Little, Rubin: Statistical Analysis with Missing Data, 2019, chapter 11,
        https://doi.org/10.1002/9781119482260
    """
    n, d = x.shape
    most = int(max(300, WORK / max(d, 1) ** 3))
    if n > most:
        index = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:most]
        x, observed = x[index], observed[index]
    # rows with the same blanks lie side by side: they share one factorisation
    index = torch.unique(observed, dim=0, return_inverse=True)[1].argsort(stable=True)
    x, observed = x[index].double(), observed[index]
    count = observed.sum(0).clamp_min(1)
    mean = torch.where(observed, x, 0).sum(0) / count
    variance = torch.where(observed, (x - mean).square(), 0).sum(0) / count + JITTER
    # from features by themselves: what few rounds do not find is mostly noise
    current = Gaussian(mean, torch.diag(variance))
    if start is not None:
        current = Gaussian(start.mean.double(), start.covariance.double())
    for _ in range(ITERATIONS if start is None else 3):
        following = _round(current, x, observed, min(0.1, max(1e-4, 0.02 * d / n)))
        moved = float((following.covariance - current.covariance).abs().max() / variance.max())
        current = following
        if moved < 2e-3:
            break
    return Gaussian(current.mean.float(), current.covariance.float())


def _round(current: Gaussian, x: Tensor, observed: Tensor, shrink: float) -> Gaussian:
    filled, uncertain = [], torch.zeros_like(current.covariance)
    for first in range(0, len(x), CHUNK):
        part, seen = x[first : first + CHUNK], observed[first : first + CHUNK]
        patterns, which, counts = torch.unique_consecutive(seen, return_inverse=True, return_counts=True, dim=0)
        order, lower = current._factor(patterns)
        filled.append(current._expect(part, seen, order[which], lower[which]))
        half = current._half(patterns, order, lower) * counts.sqrt().reshape(-1, 1, 1)
        uncertain += torch.einsum("bik,bjk->ij", half, half)
    rows = torch.cat(filled)
    mean = rows.mean(0)
    away = rows - mean
    covariance = (away.T @ away + uncertain) / len(rows)
    own = covariance.diagonal()
    covariance = (1 - shrink) * covariance + torch.diag(shrink * own + JITTER)
    return Gaussian(mean, (covariance + covariance.T) / 2)
