"""Priors in whole models: learned with them, fitted afterwards, by class; log p(x) and the gap to the codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import narrows
from narrows import Autoencoder, Training, VariationalAutoencoder, bottlenecks, likelihoods, networks, priors
from narrows.errors import InvalidParameter

SHORT = Training(epochs=60, learning_rate=1e-2)
LEARNED = [
    priors.LearnedMixture(components=3),
    priors.VampPrior(components=10),
    priors.Flow(transforms=2, widths=(16,)),
    priors.Hierarchical(size=1, widths=(16,)),
]


def three_groups(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    centres = np.array([[4.0, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0]])
    return centres[labels] + 0.4 * rng.normal(size=(n, 4)), labels


@pytest.mark.parametrize("prior", LEARNED, ids=repr)
def test_a_prior_learns_with_the_model_and_is_saved(prior, tmp_path):
    X, _ = three_groups()
    model = VariationalAutoencoder(2, prior=prior, training=SHORT.set_params(epochs=5), random_state=0).fit(X)
    before, after = model.untrained().module_.prior.state_dict(), model.module_.prior.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in after)
    model.save(tmp_path / "model")
    loaded = narrows.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.sample(5, random_state=1), model.sample(5, random_state=1))
    np.testing.assert_array_equal(loaded.log_marginal(X[:3], 20), model.log_marginal(X[:3], 20))


@pytest.mark.parametrize(
    "prior",
    [LEARNED[0], pytest.param(LEARNED[2], marks=pytest.mark.slow), pytest.param(LEARNED[3], marks=pytest.mark.slow)],
    ids=repr,
)
def test_a_plain_code_is_sampled_by_a_prior_fitted_afterwards(prior, tmp_path):
    X, _ = three_groups()
    model = Autoencoder(2, prior=prior, training=SHORT, random_state=0).fit(X)
    drawn = model.sample(300, random_state=0)
    # three groups, none of them lost: every row drawn is near a real one, and every group is drawn
    apart = np.abs(drawn[:, None] - X[None]).max(2)
    assert (apart.min(1) < 1.5).mean() > 0.8
    assert (np.bincount(drawn[:, :3].argmax(1), minlength=3) > 40).all()
    assert model.prior_gap(three_groups(seed=1)[0]).most is None
    model.save(tmp_path / "model")
    loaded = narrows.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.sample(5, random_state=1), model.sample(5, random_state=1))


def test_a_vamp_prior_needs_a_posterior():
    with pytest.raises(InvalidParameter, match=r"bottleneck=Gaussian\(\)"):
        Autoencoder(2, prior=priors.VampPrior()).fit(three_groups()[0])


@pytest.mark.parametrize("prior", [priors.LearnedMixture(components=2), priors.Mixture(components=2)], ids=repr)
@pytest.mark.parametrize("bottleneck", [bottlenecks.Gaussian(), bottlenecks.Plain()], ids=repr)
def test_rows_of_a_class_are_made_by_its_own_components(bottleneck, prior, tmp_path):
    X, labels = three_groups()
    names = np.array(["a", "b", "c"])[labels]
    model = Autoencoder(2, bottleneck=bottleneck, prior=prior, training=SHORT, random_state=0).fit(X, labels=names)
    for number, name in enumerate("abc"):
        drawn = model.sample(100, where=f"label = '{name}'", random_state=0)
        assert (drawn[:, :3].argmax(1) == number).mean() > 0.8
    shares = np.bincount(model.sample(600, random_state=0)[:, :3].argmax(1), minlength=3) / 600
    np.testing.assert_allclose(shares, np.bincount(labels) / len(labels), atol=0.08)
    with pytest.raises(InvalidParameter, match="'d'"):
        model.sample(3, where="label = 'd'")
    model.save(tmp_path / "model")
    again = narrows.load(tmp_path / "model").sample(5, where="label = 'c'", random_state=1)
    np.testing.assert_array_equal(again, model.sample(5, where="label = 'c'", random_state=1))


def test_log_marginal_is_that_of_a_linear_gaussian_model():
    # x = W z + noise: p(x) = N(0, W Wᵀ + s² I) is known, and so is what the estimate must come to
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) @ np.array([[2.0, -1.0, 0.5]]) + 0.5 * rng.normal(size=(300, 3))
    model = VariationalAutoencoder(
        1,
        network=networks.Dense(widths=()),
        likelihood=likelihoods.Gaussian(scale=0.5),
        format=narrows.data.Table(scaling="none"),
        training=SHORT,
        random_state=0,
    ).fit(X)
    linear = next(m for m in model.module_.decoder.modules() if isinstance(m, torch.nn.Linear))
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    covariance = weight @ weight.T + 0.25 * torch.eye(3, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(bias, covariance).log_prob(torch.as_tensor(X[:20]))
    found = model.log_marginal(X[:20], samples=2000)
    np.testing.assert_allclose(found, exact.numpy(), atol=0.05)
    # a row's result depends neither on its neighbours nor on the caller's generator
    torch.manual_seed(3)
    np.testing.assert_array_equal(model.log_marginal(X[7:8], samples=2000), found[7:8])
    assert not np.array_equal(model.log_marginal(X[:20], samples=2000, random_state=1), found)
    # few samples are worse on average
    assert model.log_marginal(X, samples=1).mean() < model.log_marginal(X, samples=200).mean() + 0.01


def test_what_log_marginal_cannot_do():
    X, _ = three_groups()
    model = Autoencoder(2, training=SHORT.set_params(epochs=1), random_state=0).fit(X)
    with pytest.raises(InvalidParameter, match="not random"):
        model.log_marginal(X)
    model = Autoencoder(2, bottleneck=bottlenecks.Gaussian(), training=SHORT.set_params(epochs=1)).fit(X)
    with pytest.raises(InvalidParameter, match="at least 1"):
        model.log_marginal(X[:2], samples=0)


def test_the_gap_shrinks_with_a_prior_that_fits():
    train, test = three_groups()[0], three_groups(seed=1)[0]
    given = {"training": SHORT, "random_state": 0, "beta": 0.1}
    plain = VariationalAutoencoder(2, **given).fit(train).prior_gap(test)
    fitted = VariationalAutoencoder(2, prior=priors.Mixture(5), **given).fit(train).prior_gap(test)
    assert plain.least.low > max(fitted.least.value, 0)
    assert plain.rows == len(test)
    assert math.isfinite(plain.most.value)
    assert plain == VariationalAutoencoder(2, **given).fit(train).prior_gap(test)
