from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from narrows._normal import UnitNormal
from narrows.errors import InvalidData, InvalidParameter
from narrows.priors import LearnedMixture, Mixture, MixtureDistribution, Prior, StandardNormal


def two_clusters(n: int = 600, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.multivariate_normal((-3, 0), [[1, 0.8], [0.8, 1]], size=n // 3)
    b = rng.multivariate_normal((3, 2), [[0.2, 0], [0, 2]], size=n - n // 3)
    return np.concatenate([a, b])


def fitted(codes: np.ndarray, components: int = 10, covariance: str = "full"):
    module = Mixture(components, covariance).build(codes.shape[1])
    module.fit_codes(codes, seed=0)
    return module


def test_standard_normal_density_and_draws():
    torch.manual_seed(0)
    prior = StandardNormal().build(4)()
    assert isinstance(prior, UnitNormal)
    z = torch.randn(3, 5, 4)
    torch.testing.assert_close(prior.log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1))
    drawn = prior.sample(20_000)
    assert drawn.shape == (20_000, 4)
    torch.testing.assert_close(drawn.mean(0), torch.zeros(4), atol=0.04, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.ones(4), atol=0.03, rtol=0)
    assert StandardNormal().build(4).state_dict() == {}


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_mixture_density_is_scikit_learns(covariance):
    from sklearn.mixture import GaussianMixture

    codes = two_clusters()
    prior = fitted(codes, 2, covariance)()
    reference = GaussianMixture(2, covariance_type=covariance, random_state=0).fit(codes).score_samples(codes)
    ours = prior.log_prob(torch.as_tensor(codes, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(ours, reference, atol=0.05)  # ours adds a little to the variances


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_mixture_density_integrates_to_one(covariance):
    prior = fitted(two_clusters(), 3, covariance)()
    axis = torch.linspace(-12, 12, 400)
    grid = torch.cartesian_prod(axis, axis).reshape(400, 400, 2)
    mass = prior.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_mixture_draws_have_the_codes_mean_and_covariance(covariance):
    torch.manual_seed(0)
    codes = two_clusters(3000)
    prior = fitted(codes, 4, covariance)()
    drawn = prior.sample(40_000).numpy()
    np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.35)
    torch.testing.assert_close(prior.mean, torch.as_tensor(codes.mean(0), dtype=torch.float32), atol=1e-3, rtol=1e-3)
    share = (drawn[:, 0] < 0).mean()
    assert share == pytest.approx((codes[:, 0] < 0).mean(), abs=0.02)


def test_components_without_weight_are_never_drawn():
    torch.manual_seed(0)
    means = torch.tensor([[0.0], [10.0], [99.0]])
    prior = MixtureDistribution(torch.tensor([0.25, 0.75, 0.0]), means, torch.full((3, 1), 0.1))
    drawn = prior.sample(4000)
    assert drawn.max() < 20
    assert (drawn > 5).float().mean().item() == pytest.approx(0.75, abs=0.03)
    expected = math.log(0.25) - math.log(0.1 * math.sqrt(2 * math.pi))
    assert prior.log_prob(torch.zeros(1)).item() == pytest.approx(expected, abs=1e-5)


def test_an_unfitted_mixture_says_so():
    module = Mixture().build(2)
    assert not module.fitted
    with pytest.raises(InvalidParameter, match="not been fitted"):
        module()


def test_a_fitted_mixture_survives_its_state(tmp_path):
    module = fitted(two_clusters(), 5)
    other = Mixture(5).build(2)
    other.load_state_dict(module.state_dict())
    z = torch.randn(10, 2)
    assert torch.equal(other().log_prob(z), module().log_prob(z))
    assert other.fitted


def test_the_same_seed_gives_the_same_mixture_and_touches_no_generator():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    a, b = fitted(two_clusters(), 4), fitted(two_clusters(), 4)
    assert torch.equal(a.means, b.means)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize(("kinds", "expected"), [(1, 5), (20, 20)])
def test_as_many_gaussians_as_are_worth_their_parameters(kinds: int, expected: int):
    rng = np.random.default_rng(0)
    places = 40 * rng.random((kinds, 3))
    codes = places[rng.integers(kinds, size=1500)] + rng.normal(size=(1500, 3))
    module = Mixture().build(3)
    module.fit_codes(codes, seed=0)
    assert (module.weights > 0).sum() == expected
    assert module.weights.shape == (40,)


def test_fewer_rows_mean_fewer_components():
    module = fitted(two_clusters(30), components=10)  # full covariances in 2 dimensions: 3 rows each
    assert (module.weights > 0).sum() <= 10
    assert (fitted(two_clusters(7), components=10).weights > 0).sum() <= 2
    assert (fitted(two_clusters(3)[:1]).weights > 0).sum() == 1
    assert fitted(two_clusters(600), components=3).weights.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_refit_replaces_all_of_the_first_fit():
    module = fitted(two_clusters(600), components=6)
    module.fit_codes(np.zeros((1, 2)) + 5, seed=0)
    assert module.weights.tolist() == [1, 0, 0, 0, 0, 0]
    assert module().mean.tolist() == [5, 5]


@pytest.mark.parametrize("covariance", ["full", "diag"])
@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((50, 3)),
        np.repeat([[1.0, 2, 3]], 50, axis=0),
        np.c_[np.linspace(0, 1, 50), np.full(50, 7.0), np.linspace(0, 1, 50)],
        np.eye(3).repeat(20, axis=0),
        np.array([[1.0, 2, 3]]),
        1e-8 * np.random.default_rng(0).normal(size=(40, 3)),
        1e6 * np.random.default_rng(0).normal(size=(40, 3)),
        np.random.default_rng(0).standard_cauchy((200, 3)),
    ],
    ids=["zeros", "equal", "constant and collinear", "three points", "one row", "tiny", "huge", "heavy tails"],
)
def test_degenerate_codes_do_no_harm(codes, covariance):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior = fitted(codes, 10, covariance)()
    drawn = prior.sample(200)
    assert torch.isfinite(drawn).all()
    assert torch.isfinite(prior.log_prob(torch.as_tensor(codes, dtype=torch.float32))).all()
    reach = np.abs(codes - codes.mean(0)).max() + 1e-3 * (1 + np.abs(codes).max())
    assert (drawn - torch.as_tensor(codes.mean(0), dtype=torch.float32)).abs().max() < 6 * reach


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 5), st.sampled_from(["full", "diag"]))
def test_any_codes_can_be_fitted(rows, size, seed, covariance):
    codes = np.random.default_rng(seed).integers(-2, 3, size=(rows, size)).astype(float)
    prior = fitted(codes, 3, covariance)()
    assert torch.isfinite(prior.sample(10)).all()
    assert torch.isfinite(prior.log_prob(torch.as_tensor(codes, dtype=torch.float32))).all()


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.zeros((4, 3)), "must be"),
        (np.zeros(4), "must be"),
        (np.zeros((0, 2)), "one row or more"),
        (np.array([[0, np.nan]]), "not all finite"),
    ],
)
def test_codes_that_cannot_be_fitted(codes, words):
    with pytest.raises(InvalidData, match=words):
        Mixture().build(2).fit_codes(codes)


def test_more_rows_than_are_needed_are_thinned():
    codes = two_clusters(30_000)
    module = fitted(codes, 2)
    np.testing.assert_allclose(module().mean.numpy(), codes.mean(0), atol=0.1)


def test_bad_parameters():
    with pytest.raises(InvalidParameter, match=r"priors\.Mixture: components=0"):
        Mixture(0).check()
    assert Prior.parse("mixture:components=3,covariance=diag") == Mixture(3, "diag")


@pytest.mark.parametrize("kind", ["standard", "full", "diag"])
@pytest.mark.parametrize("size", [0.2, 0.7, 1.0])
def test_steps_leave_draws_from_the_prior_such_draws(kind, size):
    torch.manual_seed(0)
    if kind == "standard":
        prior = StandardNormal().build(2)()
    else:
        rng = np.random.default_rng(0)
        codes = np.concatenate([rng.normal((0, 0), (1, 0.1), (300, 2)), rng.normal((3, 3), (0.2, 1), (100, 2))])
        module = Mixture(2, covariance=kind).build(2)
        module.fit_codes(codes, 0)
        prior = module()
    z = prior.sample(4000)
    near = z
    for _ in range(10):
        near = prior.near(near, size)
    for j in (0, 1):
        assert stats.ks_2samp(z[:, j], near[:, j]).pvalue > 1e-3
    assert (prior.near(z, 0.01) - z).abs().mean() < 0.05
    moved = (prior.near(z, size) - z).square().mean() / z.var(0).mean()
    assert moved > size**2 / 10


def test_a_labelled_mixture_has_its_own_mixture_for_every_class():
    module = LearnedMixture(components=2).build(2, classes=3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    z = torch.randn(5, 4, 2)
    weights, means, scales = module().weights, module().means, module().scales
    for c in range(3):
        own = slice(2 * c, 2 * c + 2)
        alone = MixtureDistribution(weights[own] / weights[own].sum(), means[own], scales[own])
        found = module(torch.full((4,), c))
        torch.testing.assert_close(found.log_prob(z), alone.log_prob(z))
        torch.testing.assert_close(found.mean, alone.mean.expand(4, 2))
    condition = torch.tensor([2, -1, 0, 1])
    each = torch.stack([module(condition[i : i + 1]).log_prob(z[:, i : i + 1])[:, 0] for i in range(4)], 1)
    torch.testing.assert_close(module(condition).log_prob(z), each)
    # draws of a class come from its components alone
    drawn = module(torch.ones(4000, dtype=torch.long)).sample(4000)
    torch.testing.assert_close(drawn.mean(0), module(torch.ones(1, dtype=torch.long)).mean[0], atol=0.2, rtol=0)


def test_labelled_rows_teach_the_shares_of_their_classes():
    torch.manual_seed(0)
    module = LearnedMixture(components=2).build(1, classes=2)
    condition = (torch.rand(500) < 0.8).long()
    z = torch.randn(500, 1) + condition.unsqueeze(1)
    optimiser = torch.optim.Adam(module.parameters(), 0.005)
    for _ in range(200):
        loss = -module(condition).log_prob(z).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    shares = module().weights.reshape(2, 2).sum(1)
    assert shares[1].item() == pytest.approx(condition.float().mean().item(), abs=0.02)
