"""What every prior promises. A new one joins by being listed."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from narrows import networks, priors
from narrows._normal import Normal
from narrows._part import REGISTRY, Part
from narrows.models import fit_prior
from narrows.networks import Residual
from narrows.priors import Diffusion, Flow, Hierarchical, LearnedMixture, Mixture, Prior, StandardNormal, VampPrior

PRIORS = [
    StandardNormal(),
    Mixture(components=3),
    Mixture(components=3, covariance="diag"),
    LearnedMixture(components=3),
    LearnedMixture(components=2, covariance="full"),
    VampPrior(components=4),
    Flow(transforms=2, widths=(8,)),
    Flow(transforms=2, widths=(8,), kind="affine", coupling=True),
    Hierarchical(size=1, widths=(8,)),
    Diffusion(Residual(48), rows=20_000),
]

pytestmark = pytest.mark.parametrize("prior", PRIORS, ids=repr)


def encode(inputs: torch.Tensor) -> Normal:
    return Normal(inputs[:, :2] - inputs[:, 2:], 0.3 * inputs[:, 1:] - 0.2)


@functools.cache
def built(prior: Prior, size: int = 2) -> torch.nn.Module:
    """The prior, fitted to normal codes where it is fitted afterwards; never changed by a test."""
    torch.manual_seed(1)
    module = prior.build(size, inputs=(3,), classes=2)
    module.encode = encode
    if prior.fitted_afterwards:
        fit_prior(module, torch.from_numpy(np.random.default_rng(0).normal(size=(100, size))), seed=0)
        return module
    with torch.no_grad():
        for parameter in module.parameters():  # what is learnt is not what it began with
            parameter += (0.02 if isinstance(prior, LearnedMixture) else 0.2) * torch.randn_like(parameter)
    return module


def density(prior: Prior, distribution, z: torch.Tensor) -> torch.Tensor:
    """p(z): of a prior whose density is an estimate, the mean of several."""
    draws = 200 if isinstance(prior, Hierarchical) else 1
    return sum(distribution.log_prob(z).exp() for _ in range(draws)) / draws


def test_is_a_part(prior):
    prior.check()
    assert Part.from_config(prior.to_config()) == prior
    assert eval(repr(prior), {"priors": priors, "networks": networks}) == prior
    assert pickle.loads(pickle.dumps(prior)) == prior
    assert REGISTRY[prior.key()] is type(prior)


def test_shapes(prior):
    distribution = built(prior)()
    assert distribution.sample(7).shape == (7, 2)
    assert distribution.sample(0).shape == (0, 2)
    assert distribution.log_prob(torch.zeros(2)).shape == ()
    assert distribution.log_prob(torch.zeros(4, 5, 2)).shape == (4, 5)
    z = torch.zeros(4, 5, 2)
    assert distribution.sample_like(z).shape == z.shape


def test_density_integrates_to_one(prior):
    axis = torch.linspace(-9, 9, {Diffusion: 50, Hierarchical: 80}.get(type(prior), 200))
    mass = density(prior, built(prior)(), torch.cartesian_prod(axis, axis)).sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=0.05 if isinstance(prior, Hierarchical) else 2e-3)


def test_draws_follow_the_density(prior):
    # E_p[1{‖z‖ < 1}] by draws and by integration
    torch.manual_seed(0)
    distribution = built(prior)()
    inside = (distribution.sample(20_000).norm(dim=-1) < 1).float().mean()
    axis = torch.linspace(-1, 1, 41)
    grid = torch.cartesian_prod(axis, axis)
    within = torch.where(grid.norm(dim=-1) < 1, density(prior, distribution, grid), 0)
    assert inside.item() == pytest.approx((within.sum() * (axis[1] - axis[0]) ** 2).item(), abs=0.015)


def test_state_goes_round(prior):
    module, other = built(prior), prior.build(2, inputs=(3,), classes=2)
    other.encode = encode
    other.load_state_dict(module.state_dict())
    z, found = torch.randn(6, 2), []
    for one in (module, other):
        torch.manual_seed(0)
        found.append(one().log_prob(z))
    assert torch.equal(*found)


def test_draws_repeat_with_the_seed_and_differ_when_stacked(prior):
    distribution = built(prior)()
    torch.manual_seed(5)
    first = distribution.sample(4)
    torch.manual_seed(5)
    assert torch.equal(first, distribution.sample(4))
    z = torch.func.vmap(distribution.sample_like, randomness="different")(torch.zeros(3, 4, 2))
    assert z.unique().numel() == z.numel()


def test_gradients_in_z_are_finite(prior):
    z = torch.tensor([[0.0, 0.0], [30.0, -30.0]], requires_grad=True)
    built(prior)().log_prob(z).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_log_density_works_compiled(prior):
    if isinstance(prior, Diffusion):
        pytest.skip("its density is an integral over many steps, which no model trains with")
    torch.compiler.reset()
    distribution, z = built(prior)(), torch.randn(5, 2)
    compiled = torch.compile(lambda v: distribution.log_prob(v), backend="aot_eager", fullgraph=True)
    torch.manual_seed(0)
    found = compiled(z)
    torch.manual_seed(0)
    torch.testing.assert_close(found, distribution.log_prob(z))


@pytest.mark.parametrize("size", [0.3, 1.0])
def test_steps_leave_draws_such_draws(prior, size):
    if isinstance(prior, Diffusion):
        pytest.skip("its steps are tested by themselves, and take long")
    distribution = built(prior)()
    torch.manual_seed(0)
    z = near = distribution.sample(3000)
    for _ in range(5):
        near = distribution.near(near, size)
    for j in (0, 1):
        assert stats.ks_2samp(z[:, j].detach(), near[:, j].detach()).pvalue > 1e-3
    assert (near - z).abs().mean() > 0.1 * size
    assert (distribution.near(z, 0.01) - z).abs().mean() < 0.1


def test_what_is_learned_reaches_the_density(prior):
    module, z = built(prior), torch.randn(20, 2, requires_grad=True)
    learned = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(module().log_prob(z).sum(), [z, *learned])
    assert all(g.abs().sum() > 0 for g in found)


def test_rows_without_a_class_are_as_without_conditions(prior):
    module, z = built(prior), torch.randn(3, 4, 2)
    torch.manual_seed(0)
    found = module(torch.full((4,), -1)).log_prob(z)
    torch.manual_seed(0)
    torch.testing.assert_close(found, module().log_prob(z))
    assert module(torch.full((4,), -1)).sample_like(z).shape == z.shape
