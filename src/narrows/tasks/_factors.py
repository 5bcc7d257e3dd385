"""A normal of few factors, for rows of very many features: what they have in common, and what is each one's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.tasks._gaussian import Given
from narrows.training.seeds import seeded

FACTORS = 32
ROUNDS = 20
WORK = 2.5e9  # multiplications per round, about: more rows than that allows are left out
LEAST = 0.005  # share of a feature's variance that is its own, at least


@dataclass(frozen=True)
class Factors:
    """Normal rows x = μ + W z + e with z ~ N(0, I) and e ~ N(0, Ψ), Ψ diagonal.

    With o what is observed and M = I + W_oᵀ Ψ_o⁻¹ W_o, E[z | x_o] = M⁻¹ W_oᵀ Ψ_o⁻¹ (x_o − μ_o) and its covariance is
    M⁻¹: a row costs the cube of the factors, not of the features.

    Attributes:
        mean: ``(D,)`` μ.
        loadings: ``(D, q)`` W; without factors features say nothing of each other.
        own: ``(D,)`` the diagonal of Ψ.
    """

    mean: Tensor
    loadings: Tensor
    own: Tensor

    def expect(self, x: Tensor, observed: Tensor) -> Tensor:
        """Blanks filled with their expected value; shapes as in `Gaussian.expect`."""
        return torch.where(observed, x, self.mean + self.codes(x, observed)[0] @ self.loadings.T)

    def given(self, x: Tensor, observed: Tensor) -> Given:
        """Blanks filled with their expected value, and how far off that may be."""
        code, lower = self.codes(x, observed)
        filled = torch.where(observed, x, self.mean + code @ self.loadings.T)
        scale = self.own.sqrt()
        # the covariance of blanks is ψ½ (I + G Gᵀ) ψ½, whose root is ψ½ (I + G K Gᵀ)
        g = torch.linalg.solve_triangular(
            lower, (self.loadings / scale.unsqueeze(1)).T.expand(len(x), -1, -1), upper=False
        )
        deviation = (scale * (1 + g.square().sum(1)).sqrt()).masked_fill(observed, 0)
        values, vectors = torch.linalg.eigh(g @ g.mT)
        values = values.clamp_min(1e-9)
        inner = (vectors * ((1 + values).sqrt() - 1).div(values).unsqueeze(1)) @ vectors.mT

        def noise(standard: Tensor) -> Tensor:
            common = (g.mT @ (inner @ (g @ standard.unsqueeze(2)))).squeeze(2)
            return torch.where(observed, 0, scale * (standard + common))

        return Given(filled, deviation.clamp_min(1e-3), noise)

    def codes(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """E[z | x_o] ``(B, q)`` and the Cholesky factor of M ``(B, q, q)``."""
        q = self.loadings.shape[1]
        share = self.loadings / self.own.unsqueeze(1)
        outer = (share.unsqueeze(2) * self.loadings.unsqueeze(1)).flatten(1)
        m = (observed.to(x.dtype) @ outer).reshape(-1, q, q) + torch.eye(q, dtype=x.dtype)
        lower = torch.linalg.cholesky(m)
        away = torch.where(observed, x - self.mean, 0) @ share
        return torch.cholesky_solve(away.unsqueeze(2), lower).squeeze(2), lower

    def shortened(self, by: float) -> Factors:
        """The same with all correlations shortened by the factor 1 − ``by``."""
        common = self.loadings.square().sum(1)
        return Factors(self.mean, self.loadings * (1 - by) ** 0.5, self.own + by * common)


def fit_factors(x: Tensor, observed: Tensor, seed: int, start: Factors | None = None) -> Factors:
    """Fit few factors to rows with blanks by expectation-maximisation.

    Args:
        x: ``(n, D)``.
        observed: ``(n, D)`` boolean.
        seed: Chooses the rows where there are more than needed, and where the search begins.
        start: A fit to nearly the same rows, from which a few rounds suffice.

    Returns:
        The fitted normal, in float32, of up to 32 factors.

    References:
        Ilin, Raiko: Practical Approaches to Principal Component Analysis in the Presence of Missing Values, 2010,
        https://www.jmlr.org/papers/v11/ilin10a.html
    """
    q = max(1, min(FACTORS, x.shape[0] // 8, x.shape[1] // 4))
    most = int(max(300, WORK / (x.shape[1] * q**2)))
    with seeded(seed):
        if len(x) > most:
            index = torch.randperm(len(x))[:most]
            x, observed = x[index], observed[index]
        current = _begin(x, observed, q) if start is None else start
    variance = current.own + current.loadings.square().sum(1)
    for _ in range(ROUNDS if start is None else 3):
        following = _round(current, x, observed, variance)
        moved = float(
            (following.loadings @ following.loadings[:64].T - current.loadings @ current.loadings[:64].T).abs().max()
        )
        current = following
        if moved < 2e-3 * float(variance.max()):
            break
    return current


def _begin(x: Tensor, observed: Tensor, q: int) -> Factors:
    count = observed.sum(0).clamp_min(1)
    mean = torch.where(observed, x, 0).sum(0) / count
    away = torch.where(observed, x - mean, 0)
    variance = away.square().sum(0) / count + 1e-5
    # blanks count as means here, which shortens covariances by the shares observed of both features
    share = (count / len(x)).sqrt()
    _, size, vectors = torch.svd_lowrank(away / (variance.sqrt() * share), q=q, niter=4)
    common = (size.square() / len(x) - 1).clamp_min(0.01).sqrt()  # the noise of the rest is in every direction
    loadings = vectors * common * (variance.sqrt() / share).unsqueeze(1)
    loadings = loadings * (0.95 * variance / loadings.square().sum(1).maximum(0.95 * variance)).sqrt().unsqueeze(1)
    return Factors(mean, loadings, variance - loadings.square().sum(1))


def _round(current: Factors, x: Tensor, observed: Tensor, variance: Tensor) -> Factors:
    q = current.loadings.shape[1]
    seen = observed.to(x.dtype)
    squares = torch.zeros(x.shape[1], (q + 1) ** 2)
    products = torch.zeros(x.shape[1], q + 1)
    for part, mask, m in zip(*(torch.split(t, 1024) for t in (x, observed, seen)), strict=True):
        code, lower = current.codes(part, mask)
        code = torch.nn.functional.pad(code, (0, 1), value=1.0)  # the last one is the mean's
        outer = code.unsqueeze(2) * code.unsqueeze(1)
        outer[:, :q, :q] += torch.cholesky_inverse(lower)
        squares += m.T @ outer.flatten(1)
        products += torch.where(mask, part, 0).T @ code
    # a row's worth of belief that loadings are 0
    belief = torch.eye(q + 1)
    belief[q, q] = 1e-6
    fitted = torch.linalg.solve(squares.reshape(-1, q + 1, q + 1) + belief, products.unsqueeze(2)).squeeze(2)
    count = seen.sum(0).clamp_min(1)
    own = ((torch.where(observed, x, 0).square().sum(0) - (fitted * products).sum(1)) / count).maximum(LEAST * variance)
    return Factors(fitted[:, q], fitted[:, :q], own)
