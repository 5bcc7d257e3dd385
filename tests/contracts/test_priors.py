"""What every prior promises. A new one joins by being listed."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import torch

from narrows import networks, priors
from narrows._part import REGISTRY, Part
from narrows.models import fit_prior
from narrows.networks import Residual
from narrows.priors import Diffusion, Mixture, Prior, StandardNormal

PRIORS = [
    StandardNormal(),
    Mixture(components=3),
    Mixture(components=3, covariance="diag"),
    Diffusion(Residual(48), rows=20_000),
]

pytestmark = pytest.mark.parametrize("prior", PRIORS, ids=repr)


@functools.cache
def built(prior: Prior, size: int = 2) -> torch.nn.Module:
    """The prior, fitted to normal codes where it is fitted afterwards; never changed by a test."""
    torch.manual_seed(0)
    module = prior.build(size)
    if prior.fitted_afterwards:
        fit_prior(module, torch.from_numpy(np.random.default_rng(0).normal(size=(100, size))), seed=0)
    return module


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
    axis = torch.linspace(-8, 8, 50)
    mass = built(prior)().log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_draws_follow_the_density(prior):
    # E_p[1{‖z‖ < 1}] by draws and by integration
    torch.manual_seed(0)
    distribution = built(prior)()
    inside = (distribution.sample(20_000).norm(dim=-1) < 1).float().mean()
    axis = torch.linspace(-1, 1, 41)
    grid = torch.cartesian_prod(axis, axis)
    density = torch.where(grid.norm(dim=-1) < 1, distribution.log_prob(grid).exp(), 0)
    assert inside.item() == pytest.approx((density.sum() * (axis[1] - axis[0]) ** 2).item(), abs=0.015)


def test_state_goes_round(prior):
    module, other = built(prior), prior.build(2)
    other.load_state_dict(module.state_dict())
    z = torch.randn(6, 2)
    assert torch.equal(other().log_prob(z), module().log_prob(z))


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
    distribution, z = built(prior)(), torch.randn(5, 2)
    compiled = torch.compile(lambda v: distribution.log_prob(v), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(z), distribution.log_prob(z))
