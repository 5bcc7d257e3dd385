"""Normals of rows with blanks, held to their closed forms."""

from __future__ import annotations

import pytest
import torch

from narrows.tasks._factors import Factors, fit_factors
from narrows.tasks._gaussian import Gaussian, fit_gaussian


def factors(d: int = 12, q: int = 3) -> Factors:
    generator = torch.Generator().manual_seed(0)
    loadings = 0.7 * torch.randn(d, q, generator=generator)
    return Factors(torch.randn(d, generator=generator), loadings, torch.rand(d, generator=generator) + 0.1)


def dense(few: Factors) -> Gaussian:
    return Gaussian(few.mean, few.loadings @ few.loadings.T + torch.diag(few.own))


def rows(d: int = 12, n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, d, generator=generator), torch.rand(n, d, generator=generator) < 0.6


@pytest.mark.parametrize("line", [factors(), dense(factors())], ids=["factors", "gaussian"])
class TestGiven:
    def test_is_the_conditional_normal(self, line):
        x, observed = rows()
        full = dense(factors())
        given = line.given(x, observed)
        for i, o in enumerate(observed):
            b = ~o
            solved = torch.linalg.solve(full.covariance[o][:, o], full.covariance[o][:, b])
            mean = full.mean[b] + (x[i, o] - full.mean[o]) @ solved
            covariance = full.covariance[b][:, b] - full.covariance[b][:, o] @ solved
            assert torch.allclose(given.filled[i, b], mean, atol=1e-4)
            assert torch.allclose(given.deviation[i, b], covariance.diagonal().sqrt(), atol=1e-4)
        assert torch.equal(line.expect(x, observed), given.filled)
        assert torch.equal(given.filled[observed], x[observed])

    def test_noise_has_the_conditional_covariance(self, line):
        x, observed = rows(n=1)
        given = line.given(x, observed)
        # noise is linear in its standard numbers: unit vectors give the matrix A of noise = A ε
        half = torch.cat([given.noise(e.unsqueeze(0)) for e in torch.eye(12)]).T
        b = ~observed[0]
        full = dense(factors()).covariance
        solved = torch.linalg.solve(full[~b][:, ~b], full[~b][:, b])
        assert torch.allclose((half @ half.T)[b][:, b], full[b][:, b] - full[b][:, ~b] @ solved, atol=1e-4)
        assert float(half[~b].abs().max()) < 1e-6


def test_expectation_maximisation_finds_the_normal_behind_blanks():
    generator = torch.Generator().manual_seed(2)
    truth = dense(factors(6, 2))
    x = truth.mean + torch.randn(4000, 6, generator=generator) @ torch.linalg.cholesky(truth.covariance).T
    observed = torch.rand(4000, 6, generator=generator) < 0.7
    fitted = fit_gaussian(torch.where(observed, x, 0), observed, 0)
    assert torch.allclose(fitted.covariance, truth.covariance, atol=0.12)
    assert torch.allclose(fitted.mean, truth.mean, atol=0.08)


def test_few_factors_find_what_features_have_in_common():
    generator = torch.Generator().manual_seed(3)
    truth = factors(40, 2)
    x = truth.mean + torch.randn(2000, 2, generator=generator) @ truth.loadings.T
    x = x + truth.own.sqrt() * torch.randn(2000, 40, generator=generator)
    observed = torch.rand(2000, 40, generator=generator) < 0.7
    before = torch.random.get_rng_state()
    fitted = fit_factors(torch.where(observed, x, 0), observed, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    found, true = dense(fitted).covariance, dense(truth).covariance
    assert float((found - true).norm() / true.norm()) < 0.12
