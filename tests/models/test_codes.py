"""Fitting priors to codes afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from narrows import networks, priors
from narrows.errors import InvalidData, InvalidParameter
from narrows.models import fit_prior
from narrows.priors import DiffusionPriorModule
from narrows.training import Training

PART = priors.Diffusion(networks.Residual(64), rows=150_000, batch_size=128, learning_rate=3e-3)


def ring(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes in four clusters far from 0, and which one."""
    kind = torch.randint(4, (n,))
    turn = kind * math.pi / 2
    centre = 20 + 3 * torch.stack([turn.cos(), turn.sin()], dim=1)
    return centre + 0.5 * torch.randn(n, 2), kind


def exact(z: torch.Tensor) -> torch.Tensor:
    turn = torch.arange(4) * math.pi / 2
    centres = 20 + 3 * torch.stack([turn.cos(), turn.sin()], dim=1)
    apart = (z[:, None] - centres).square().sum(-1) / 0.25
    return (-0.5 * apart).logsumexp(1) - math.log(4 * 2 * math.pi * 0.25)


@pytest.fixture(scope="module")
def fitted() -> DiffusionPriorModule:
    torch.manual_seed(0)
    prior = PART.build(2)
    fit_prior(prior, ring(3000)[0], 0)
    return prior


def test_draws_and_density_are_those_of_the_codes(fitted: DiffusionPriorModule):
    torch.manual_seed(1)
    fresh, _ = ring(2000)
    drawn = fitted().sample(2000)
    assert exact(drawn).median().item() == pytest.approx(exact(fresh).median().item(), abs=0.25)
    assert (exact(drawn) < -8).float().mean() < 0.12  # few lie between the clusters
    near = [((drawn - 20 - 3 * torch.tensor(c)).norm(dim=1) < 1.5).float().mean().item() for c in ((1.0, 0), (0, -1.0))]
    assert near == pytest.approx([0.25, 0.25], abs=0.06)
    assert fitted().log_prob(fresh[:200]).mean().item() == pytest.approx(exact(fresh[:200]).mean().item(), abs=0.2)


def test_classes_are_drawn_when_asked_for():
    torch.manual_seed(1)
    codes, kind = ring(1000)
    prior = PART.set_params(rows=50_000).build(2, classes=4)
    fit_prior(prior, codes, 0, condition=kind)
    drawn = prior(torch.full((300,), 2)).sample(300)
    torch.testing.assert_close(drawn.mean(0), torch.tensor([17.0, 20.0]), atol=0.25, rtol=0)
    assert prior.conditional
    assert not PART.build(2).conditional


def test_steps_nearby_are_near_and_leave_the_distribution(fitted: DiffusionPriorModule):
    torch.manual_seed(2)
    prior = fitted()
    z = prior.sample(1500)
    assert (prior.near(z, 0.0) - z).abs().mean() < 0.05  # there and back again
    small, large = ((prior.near(z, size) - z).norm(dim=1).mean().item() for size in (0.1, 1.0))
    assert small < 0.3 * large
    walked = z
    for _ in range(4):
        walked = prior.near(walked, 0.5)
    torch.testing.assert_close(walked.mean(0), z.mean(0), atol=0.25, rtol=0)
    assert exact(walked).median().item() == pytest.approx(exact(z).median().item(), abs=0.2)


def test_callers_generators_are_untouched_and_equal_seeds_give_equal_priors():
    codes, _ = ring(100)
    part = PART.set_params(rows=2000)
    torch.manual_seed(5)
    one = part.build(2)
    two = part.build(2)
    two.load_state_dict(one.state_dict())
    before = torch.get_rng_state()
    for prior in (one, two):
        fit_prior(prior, codes, 3)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not any(p.requires_grad for p in one.parameters())


def test_training_says_how_long_where_the_prior_does_not():
    codes, _ = ring(200)
    for epochs, moved in ((1, 3), (4, 14)):  # 180 of the rows train, 50 a step
        prior = PART.set_params(rows=None).build(2)
        fit_prior(prior, codes, 0, Training(epochs=epochs))
        assert int(prior.model.moved) == pytest.approx(moved, abs=2)


def test_what_cannot_be_fitted_is_told_in_words():
    prior = PART.build(2)
    with pytest.raises(InvalidParameter, match="fitted"):
        prior()
    with pytest.raises(InvalidData, match="finite"):
        fit_prior(prior, torch.full((10, 2), math.nan), 0)
    with pytest.raises(InvalidData, match=r"\(rows, 2\)"):
        fit_prior(prior, torch.zeros(10, 3), 0)
    with pytest.raises(InvalidParameter, match="with the model"):
        fit_prior(priors.StandardNormal().build(2), torch.zeros(10, 2), 0)
    same = PART.set_params(rows=500).build(2)
    fit_prior(same, torch.full((60, 2), 3.0), 0)  # codes that are all alike: draws are near them
    assert np.abs(same().sample(50).numpy() - 3).max() < 3
