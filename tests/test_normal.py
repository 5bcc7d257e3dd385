from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows._normal import FullNormal, Normal, UnitNormal, kl_divergence, row_mean, rsample, tril_index


def diagonal(size: int = 3, rows: int = 2) -> Normal:
    return Normal(torch.randn(rows, size), 0.4 * torch.randn(rows, size))


def full(size: int = 3, rows: int = 2) -> FullNormal:
    below = size * (size - 1) // 2
    return FullNormal.from_log_diagonal(
        torch.randn(rows, size), 0.3 * torch.randn(rows, size), 0.5 * torch.randn(rows, below)
    )


def unit(size: int = 3) -> UnitNormal:
    return UnitNormal(torch.zeros(size))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def as_torch(p: Normal | FullNormal | UnitNormal) -> torch.distributions.MultivariateNormal:
    if isinstance(p, UnitNormal):
        return torch.distributions.MultivariateNormal(torch.zeros(3), torch.eye(3))
    return torch.distributions.MultivariateNormal(p.mean, covariance_matrix=p.covariance)


@pytest.mark.parametrize("make", [diagonal, full])
def test_density_and_entropy_are_those_of_a_multivariate_normal(make):
    p = make()
    z = torch.randn(5, 2, 3)
    torch.testing.assert_close(p.log_prob(z), as_torch(p).log_prob(z), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(p.entropy(), as_torch(p).entropy())


@pytest.mark.parametrize("make", [diagonal, full])
def test_draws_have_the_mean_and_covariance_they_should(make):
    p = make()
    z = p.samples(60_000)
    assert z.shape == (60_000, 2, 3)
    assert p.sample().shape == (2, 3)
    torch.testing.assert_close(z.mean(0), p.mean, atol=0.03, rtol=0)
    centred = (z - z.mean(0)).transpose(0, 1)
    torch.testing.assert_close(centred.mT @ centred / len(z), p.covariance, atol=0.08, rtol=0.03)
    torch.testing.assert_close(p.scale, p.covariance.diagonal(dim1=-2, dim2=-1).sqrt())


@pytest.mark.parametrize("make", [diagonal, full])
def test_pairs_and_marginals(make):
    p, z = make(rows=4), torch.randn(4, 3)
    pairs = p.log_prob_pairs(z)
    for i in range(4):
        torch.testing.assert_close(pairs[i], p.log_prob(z[i].expand(4, 3)), atol=1e-5, rtol=1e-5)
    marginal = torch.distributions.Normal(p.mean, p.scale)
    torch.testing.assert_close(p.marginals().log_prob_elements(z), marginal.log_prob(z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make_p", [diagonal, full, unit])
@pytest.mark.parametrize("make_q", [diagonal, full, unit])
def test_divergence_equals_monte_carlo_and_torch(make_p, make_q):
    p, q = make_p(), make_q()
    closed = kl_divergence(p, q)
    many = p.sample(40_000).unsqueeze(1) if isinstance(p, UnitNormal) else p.samples(40_000)
    ratio = p.log_prob(many) - q.log_prob(many)
    error = ratio.std(0) / math.sqrt(len(many))
    assert ((closed - ratio.mean(0)).abs() <= 5 * error + 1e-5).all()
    expected = torch.distributions.kl_divergence(as_torch(p), as_torch(q))
    torch.testing.assert_close(closed, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [diagonal, full])
def test_divergence_from_itself_is_zero(make):
    p = make()
    torch.testing.assert_close(p.kl_to(p), torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [diagonal, full])
def test_divergence_from_the_standard_normal_by_unit_and_in_all(make):
    p = make()
    torch.testing.assert_close(p.kl_elements().sum(-1), p.kl())
    torch.testing.assert_close(p.kl(), kl_divergence(p, unit()))
    normal = torch.distributions.MultivariateNormal(torch.zeros(3), torch.eye(3))
    torch.testing.assert_close(p.kl(), torch.distributions.kl_divergence(as_torch(p), normal), atol=1e-5, rtol=1e-5)


def test_hand_worked_divergence():
    # ½ (1² + 2² − 1 − log 4)
    torch.testing.assert_close(
        Normal(torch.tensor([1.0]), torch.tensor([2.0]).log()).kl(), torch.tensor(0.5 * (4 - math.log(4)))
    )


def test_a_full_covariance_without_correlations_is_a_diagonal_one():
    p = diagonal()
    same = FullNormal.from_log_diagonal(p.mean, p.log_scale, torch.zeros(2, 3))
    torch.testing.assert_close(same.kl_elements(), p.kl_elements())
    torch.testing.assert_close(kl_divergence(same, p), torch.zeros(2), atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.floats(-6, 6, width=32), st.floats(-7, 7, width=32), st.floats(-3, 3, width=32))
def test_no_unit_has_a_negative_divergence(mean, log_scale, below):
    mu, log_s = torch.full((1, 2), mean), torch.full((1, 2), log_scale)
    assert (Normal(mu, log_s).kl_elements() >= 0).all()
    assert (FullNormal.from_log_diagonal(mu, log_s, torch.full((1, 1), below)).kl_elements() >= -1e-6).all()


def test_divergence_keeps_precision_where_a_unit_has_collapsed():
    # μ²/2 + (σ² − 1 − log σ²)/2 ≈ log σ² for small log σ; written out naively in float32 it would be 0 or noise
    value = Normal(torch.zeros(1, dtype=torch.float32), torch.full((1,), 1e-3)).kl()
    torch.testing.assert_close(value, torch.tensor(1.0e-6), rtol=0.1, atol=0)


def test_flat_form_of_a_triangular_matrix():
    entries = torch.tensor([1.0, 2, 3, 4, 5, 6, 0])
    assert entries[tril_index(3)].tolist() == [[1, 0, 0], [4, 2, 0], [5, 6, 3]]


def test_draws_differ_between_stacked_models_and_carry_gradients():
    mean = torch.zeros(3, 4, 2, requires_grad=True)
    log_scale = torch.zeros(3, 4, 2, requires_grad=True)
    stacked = torch.func.vmap(lambda m, s: Normal(m, s).samples(5), randomness="different")(mean, log_scale)
    assert stacked.shape == (3, 5, 4, 2)
    assert stacked.flatten().unique().numel() == stacked.numel()
    stacked.sum().backward()
    torch.testing.assert_close(mean.grad, torch.full_like(mean, 5.0))
    assert log_scale.grad.abs().sum() > 0


def test_full_draws_work_stacked():
    def draw(m, s, lower):
        return FullNormal.from_log_diagonal(m, s, lower).sample()

    shapes = (3, 4, 2), (3, 4, 2), (3, 4, 1)
    z = torch.func.vmap(draw, randomness="different")(*(torch.zeros(s) for s in shapes))
    assert z.unique().numel() == z.numel() == 24


def test_one_rsample_for_all():
    torch.manual_seed(3)
    a = rsample(torch.ones(2, 3), scale=torch.full((2, 3), 2.0))
    torch.manual_seed(3)
    b = rsample(torch.ones(2, 3), scale_tril=torch.diag_embed(torch.full((2, 3), 2.0)))
    torch.manual_seed(3)
    c = 2 * (rsample(torch.ones(2, 3)) - 1) + 1
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a, c)


def test_weighted_mean_of_rows():
    values = torch.tensor([[1.0, 10], [2, 20], [4, 40]])
    torch.testing.assert_close(row_mean(values), torch.tensor([7 / 3, 70 / 3]))
    torch.testing.assert_close(row_mean(values, torch.tensor([1.0, 0, 3])), torch.tensor([13 / 4, 130 / 4]))
    assert row_mean(values, torch.zeros(3)).tolist() == [0, 0]
