"""A multivariate normal fitted to rows with blanks: the straight-line part of filling them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

JITTER = 1e-5
CHUNK = 256
ITERATIONS = 15
WORK = 5e8  # multiplications per iteration, about: more rows than that allows are left out


@dataclass(frozen=True)
class Gaussian:
    """Normal rows: what is blank is expected to be linear in what is not.

    Attributes:
        mean: ``(D,)``.
        covariance: ``(D, D)``.
        diagonal: Whether features say nothing of each other.
    """

    mean: Tensor
    covariance: Tensor
    diagonal: bool = False

    def expect(self, x: Tensor, observed: Tensor, spread: bool = False) -> tuple[Tensor, Tensor]:
        """Blanks filled with their expected value, and how far off that may be.

        μ_b + Σ_bo Σ_oo⁻¹ (x_o − μ_o), with variance Σ_bb − Σ_bo Σ_oo⁻¹ Σ_ob

        Args:
            x: ``(B, D)``.
            observed: ``(B, D)`` boolean.
            spread: Whether the standard deviations are wanted, which cost more.

        Returns:
            ``(B, D)`` filled rows and ``(B, D)`` standard deviations of every feature given the observed ones (those
            of the features by themselves, where they are not wanted).
        """
        own = self.covariance.diagonal().sqrt()
        if self.diagonal:
            return torch.where(observed, x, self.mean), own.expand_as(x)
        factor = self._factor(observed)
        away = torch.where(observed, x - self.mean, 0).unsqueeze(-1)
        expected = self.mean + torch.cholesky_solve(away, factor).squeeze(-1) @ self.covariance
        filled = torch.where(observed, x, expected)
        if not spread:
            return filled, own.expand_as(x)
        return filled, self._given(observed, factor).diagonal(dim1=1, dim2=2).clamp_min(JITTER).sqrt()

    def noise(self, observed: Tensor, standard: Tensor) -> Tensor:
        """What blanks may differ by from their expectation, jointly.

        e − Σ Σ_oo⁻¹ e_o with e ~ N(0, Σ)

        Args:
            observed: ``(B, D)`` boolean.
            standard: ``(B, D)`` standard normal numbers.

        Returns:
            ``(B, D)``, 0 where observed.
        """
        if self.diagonal:
            return torch.where(observed, 0, standard * self.covariance.diagonal().sqrt())
        e = standard @ torch.linalg.cholesky(self.covariance).T
        known = torch.where(observed, e, 0).unsqueeze(-1)
        rest = e - torch.cholesky_solve(known, self._factor(observed)).squeeze(-1) @ self.covariance
        return torch.where(observed, 0, rest)

    def shortened(self, by: float) -> Gaussian:
        """The same with all correlations shortened by the factor 1 − ``by``."""
        own = torch.diag(self.covariance.diagonal())
        return Gaussian(self.mean, (1 - by) * self.covariance + by * own, self.diagonal)

    def _factor(self, observed: Tensor) -> Tensor:
        # the covariance of what is observed, with ones in the place of what is not: all rows are of one size
        m = observed.to(self.covariance.dtype)
        matrix = self.covariance * m.unsqueeze(-1) * m.unsqueeze(-2) + torch.diag_embed(1 - m)
        return torch.linalg.cholesky(matrix)

    def _given(self, observed: Tensor, factor: Tensor) -> Tensor:
        part = observed.to(self.covariance.dtype).unsqueeze(-1) * self.covariance
        half = torch.linalg.solve_triangular(factor, part, upper=False)
        return self.covariance - half.mT @ half


def fit_gaussian(x: Tensor, observed: Tensor, seed: int, start: Gaussian | None = None, widest: int = 256) -> Gaussian:
    """Fit a normal to rows with blanks by expectation-maximisation.

    After every round the correlations are shortened by the factor 1 − 0.02 D / n: few rows know them badly.

    Args:
        x: ``(n, D)``.
        observed: ``(n, D)`` boolean.
        seed: Chooses the rows where there are more than needed.
        start: A fit to nearly the same rows, from which a few rounds suffice.
        widest: Above this many features correlations are left out: every row would have to solve for all of them.

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
    x = x.double()
    count = observed.sum(0).clamp_min(1)
    mean = torch.where(observed, x, 0).sum(0) / count
    variance = torch.where(observed, (x - mean).square(), 0).sum(0) / count + JITTER
    current = Gaussian(mean, torch.diag(variance), diagonal=True)
    if d == 1 or d > widest:
        return Gaussian(mean.float(), torch.diag(variance).float(), diagonal=True)
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
        filled.append(current.expect(part, seen)[0])
        if not bool(seen.all()):
            blank = (~seen).double()
            given = current._given(seen, current._factor(seen))
            uncertain += torch.einsum("bi,bij,bj->ij", blank, given, blank)
    rows = torch.cat(filled)
    mean = rows.mean(0)
    away = rows - mean
    covariance = (away.T @ away + uncertain) / len(rows)
    own = covariance.diagonal()
    covariance = (1 - shrink) * covariance + torch.diag(shrink * own + JITTER)
    return Gaussian(mean, (covariance + covariance.T) / 2)
