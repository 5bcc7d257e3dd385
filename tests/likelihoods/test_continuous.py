"""Gaussian, Laplace and continuous Bernoulli against scipy, integrals and hand-worked numbers."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter
from narrows.likelihoods import ContinuousBernoulli, Gaussian, Laplace, log_likelihood
from narrows.likelihoods.continuous import FLOOR

ONE = Layout(shape=(1,))


def density(x, value):
    return math.exp(x.log_prob(torch.tensor([[value]], dtype=torch.float64)).item())


def continuous_bernoulli(logit):
    return ContinuousBernoulli().build(ONE)(torch.tensor([[logit]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("other", "total"),
    [(((0.65, 0.42), (0.36, 0.59)), 0.0046), (((0.1, 0.9), (0.85, 0.2)), 0.8625)],
)
def test_squared_error_by_hand(other, total):
    rows = Rows(torch.tensor(((0.6, 0.4), (0.4, 0.6))))
    x = Gaussian(scale=1.0).build(Layout(shape=(2,)))(torch.tensor(other))
    squared = -2 * log_likelihood(x, rows) - 2 * math.log(2 * math.pi)
    assert squared.sum().item() == pytest.approx(total, abs=1e-6)


@given(st.floats(-5, 5), st.floats(0.02, 5), st.floats(-5, 5))  # below, scipy's Laplace underflows to -inf
def test_densities_are_scipys(loc, scale, value):
    theta, x = torch.tensor([[loc]], dtype=torch.float64), torch.tensor([[value]], dtype=torch.float64)
    for part, reference in [(Gaussian(scale), scipy.stats.norm), (Laplace(scale), scipy.stats.laplace)]:
        mine = part.build(ONE)(theta)
        assert mine.log_prob(x).item() == pytest.approx(reference.logpdf(value, loc, scale), rel=1e-9, abs=1e-9)
        assert mine.entropy().item() == pytest.approx(reference.entropy(loc, scale), abs=1e-9)


@pytest.mark.parametrize("part", [Gaussian(scale=0.7), Gaussian("predicted"), Laplace(scale=0.7), Laplace("column")])
def test_densities_integrate_to_one(part):
    module = part.build(ONE).double()
    theta = torch.full((1, *part.theta_shape(ONE)), 0.3, dtype=torch.float64)
    area, _ = scipy.integrate.quad(lambda v: density(module(theta), v), -40, 40, points=[0.3])
    assert area == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("logit", [-60.0, -3.0, -0.51, -0.49, -1e-3, 0.0, 1e-9, 0.2, 0.26, 0.5, 4.0, 60.0])
def test_continuous_bernoulli_is_a_density_with_that_mean(logit):
    x = continuous_bernoulli(logit)
    area, _ = scipy.integrate.quad(lambda v: density(x, v), 0, 1)
    assert area == pytest.approx(1, abs=1e-7)
    mean, _ = scipy.integrate.quad(lambda v: v * density(x, v), 0, 1)
    assert x.mean.item() == pytest.approx(mean, abs=1e-7)


@given(st.floats(-14, 14))  # beyond that torch clamps the probability
def test_continuous_bernoulli_is_torchs_away_from_a_half(logit):
    if abs(logit) < 0.1:
        logit = 0.1
    reference = torch.distributions.ContinuousBernoulli(logits=torch.tensor(logit, dtype=torch.float64))
    x = continuous_bernoulli(logit)
    assert x.mean.item() == pytest.approx(reference.mean.item(), abs=1e-6)
    value = torch.tensor([[0.3]], dtype=torch.float64)
    assert x.log_prob(value).item() == pytest.approx(reference.log_prob(value).item(), abs=1e-6)


@pytest.mark.parametrize("join", [-0.25, 0.25, 0.5])  # of the normaliser, and of the mean
def test_continuous_bernoulli_is_smooth_where_the_series_meets_the_closed_form(join):
    logit = torch.tensor([join - 1e-4, join + 1e-4], dtype=torch.float32, requires_grad=True)
    x = ContinuousBernoulli().build(Layout(shape=(2,)))(logit[None])
    log_p = x.log_prob(torch.tensor([[0.7, 0.7]]))
    (slope,) = torch.autograd.grad(log_p.sum(), logit)
    # d log p / dη = x − E[x], by both branches
    torch.testing.assert_close(slope, 0.7 - x.mean[0], atol=2e-6, rtol=0)
    assert abs(slope[1] - slope[0]) < 3e-5


def test_continuous_bernoulli_gradient_at_a_half_is_zero_and_finite():
    logit = torch.zeros(1, 1, requires_grad=True)
    x = ContinuousBernoulli().build(ONE)(logit)
    assert x.mean.item() == 0.5
    (slope,) = torch.autograd.grad(x.log_prob(torch.tensor([[0.5]])).sum(), logit)
    assert slope.item() == pytest.approx(0, abs=1e-7)
    (slope,) = torch.autograd.grad(x.mean.sum(), logit)
    assert slope.item() == pytest.approx(1 / 12, abs=1e-6)  # the variance of a uniform


@pytest.mark.parametrize("logit", [-20.0, -1.0, 0.0, 3.0])
def test_continuous_bernoulli_samples_follow_the_density(logit):
    torch.manual_seed(0)
    samples = ContinuousBernoulli().build(ONE)(torch.full((5000, 1), logit)).sample().flatten().numpy()
    a = abs(logit) or 1e-9
    cdf = np.expm1(-a * samples) / np.expm1(-a) if logit <= 0 else np.expm1(a * samples) / np.expm1(a)
    assert scipy.stats.kstest(cdf, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("part", "cdf"), [(Gaussian(0.5), scipy.stats.norm), (Laplace(0.5), scipy.stats.laplace)])
def test_samples_follow_the_density(part, cdf):
    torch.manual_seed(0)
    samples = part.build(ONE)(torch.ones(50_000, 1)).sample().flatten().numpy()
    assert scipy.stats.kstest(samples, cdf(loc=1, scale=0.5).cdf).statistic < 0.01  # p = 0.0001


def fit(module, theta, values, steps=400):
    """Maximum likelihood of the module's own parameters, and of theta where it asks for gradients."""
    parameters = [*module.parameters(), *([theta] if theta.requires_grad else [])]
    optimiser = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        (-log_likelihood(module(theta.expand(len(values), *theta.shape)), Rows(values)).mean()).backward()
        optimiser.step()


@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_learned_scales_become_the_true_ones(family):
    torch.manual_seed(0)
    layout, true = Layout(shape=(3,)), torch.tensor([0.05, 0.5, 4.0])
    values = family(scale=1.0).build(layout)(torch.zeros(4000, 3)).sample() * true
    # the maximum-likelihood scale: root mean square error, or mean absolute error
    best = values.square().mean(0).sqrt() if family is Gaussian else values.abs().mean(0)

    column = family("column").build(layout)
    torch.testing.assert_close(column.scale, torch.ones(3), atol=1e-6, rtol=0)
    fit(column, torch.zeros(3), values)
    torch.testing.assert_close(column.scale, best, rtol=0.02, atol=0)

    shared = family("shared").build(layout)
    fit(shared, torch.zeros(3), values)
    pooled = values.square().mean().sqrt() if family is Gaussian else values.abs().mean()
    torch.testing.assert_close(shared.scale, pooled.reshape(1), rtol=0.02, atol=0)

    theta = torch.zeros(6, requires_grad=True)
    predicted = family("predicted").build(layout)
    fit(predicted, theta, values)
    torch.testing.assert_close(predicted(theta[None]).scale[0].detach(), best, rtol=0.05, atol=0)


def test_one_scale_per_channel_of_an_image_and_per_column_of_a_series():
    assert Gaussian("column").build(Layout(shape=(3, 4, 5))).scale.shape == (3, 1, 1)
    assert Gaussian("column").build(Layout(shape=(7, 2))).scale.shape == (1, 2)
    assert Gaussian("predicted").theta_shape(Layout(shape=(3, 4, 5))) == (6, 4, 5)
    assert Gaussian("predicted").theta_shape(Layout(shape=(7, 2))) == (7, 4)


def test_learned_scale_has_a_floor_without_a_corner():
    module = Gaussian("predicted").build(ONE)
    theta = torch.tensor([[0.0, -12.0]], requires_grad=True)
    scale = module(theta).scale
    assert FLOOR <= scale.item() < FLOOR * 1.01
    (slope,) = torch.autograd.grad(scale.sum(), theta)
    assert slope[0, 1] > 0
    assert module(torch.tensor([[0.0, 500.0]])).scale.isfinite().all()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "each", None])
def test_scales_that_cannot_be_used(scale):
    with pytest.raises(InvalidParameter, match="scale"):
        Gaussian(scale=scale).build(ONE)


def test_values_outside_the_unit_interval_are_refused():
    with pytest.raises(InvalidParameter, match=r"in \[0, 1\].*from -1 to 1.*Gaussian"):
        ContinuousBernoulli().build(Layout(shape=(2,), low=(0.0, -1.0), high=(1.0, 1.0)))
