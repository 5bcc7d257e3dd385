"""Adversarial losses: numbers by hand, gradients, and what they are minimised by."""

from __future__ import annotations

import math

import pytest
import torch

from narrows import adversarial
from narrows._part import Part
from narrows.adversarial import AdversarialLoss
from narrows.errors import InvalidParameter

LOSSES = [
    adversarial.Minimax(),
    adversarial.NonSaturating(),
    adversarial.Hinge(),
    adversarial.Wasserstein(),
    adversarial.Relativistic(),
]
REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0])


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
class TestAll:
    def test_generator_wants_higher_scores_and_discriminator_lower_ones_for_made_rows(self, loss):
        fake = FAKE.clone().requires_grad_()
        (up,) = torch.autograd.grad(loss.generator(REAL, fake).sum(), fake)
        (down,) = torch.autograd.grad(loss.discriminator(REAL, fake).sum(), fake)
        assert (up < 0).all()
        assert (down > 0).all()
        real = REAL.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss.discriminator(real, FAKE).sum(), real)
        assert (slope <= 0).all()
        assert (slope < 0).any()

    def test_comes_back_from_plain_json_and_from_a_word(self, loss):
        assert Part.from_config(loss.to_config()) == loss
        name = type(loss).__name__
        assert AdversarialLoss.parse(name.lower()) == loss


def test_by_hand():
    r, f = 2.0, 0.5
    error = -log_sigmoid(r) - log_sigmoid(-f)
    wanted = {
        adversarial.Minimax(): (log_sigmoid(-f), error),
        adversarial.NonSaturating(): (-log_sigmoid(f), error),
        adversarial.Hinge(): (-f, 0.0 + 1.5),
        adversarial.Wasserstein(): (-f, f - r),
        adversarial.Relativistic(): (-log_sigmoid(f - r), -log_sigmoid(r - f)),
    }
    for loss, (generator, discriminator) in wanted.items():
        assert float(loss.generator(REAL, FAKE)[0]) == pytest.approx(generator, abs=1e-6)
        assert float(loss.discriminator(REAL, FAKE)[0]) == pytest.approx(discriminator, abs=1e-6)


def test_minimax_generator_maximises_what_the_discriminator_minimises():
    fake = FAKE.clone().requires_grad_()
    loss = adversarial.Minimax()
    (own,) = torch.autograd.grad(loss.generator(REAL, fake).sum(), fake)
    (other,) = torch.autograd.grad(loss.discriminator(REAL, fake).sum(), fake)
    torch.testing.assert_close(own, -other)


class TestPenalties:
    """Of a critic whose slope is known: D(x) = w · x, and D(x) = |x|²."""

    def test_wasserstein_wants_a_slope_of_one(self):
        x, y = torch.randn(5, 3), torch.randn(5, 3)
        for length in (1.0, 3.0):
            w = length * torch.tensor([0.6, 0.0, 0.8])
            found = adversarial.Wasserstein(weight=2.0).penalty(lambda rows, w=w: rows @ w, x, y)
            torch.testing.assert_close(found, torch.full((5,), 2 * (length - 1) ** 2), atol=1e-5, rtol=0)

    def test_relativistic_holds_slopes_down_on_both(self):
        x, y = torch.randn(5, 3), torch.randn(5, 3)

        def critic(rows):
            return rows.square().sum(1)

        found = adversarial.Relativistic(r1=0.5, r2=0.2).penalty(critic, x, y)
        wanted = 0.25 * (2 * x).square().sum(1) + 0.1 * (2 * y).square().sum(1)
        torch.testing.assert_close(found, wanted)
        assert adversarial.Relativistic(r1=0, r2=0).penalty(critic, x, y) is None

    def test_gradients_reach_the_critics_parameters(self):
        critic = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        for loss in (adversarial.Wasserstein(), adversarial.Relativistic()):
            found = loss.penalty(lambda rows: critic(rows).squeeze(1), torch.randn(5, 3), torch.randn(5, 3))
            slopes = torch.autograd.grad(found.sum(), list(critic.parameters()), allow_unused=True)
            assert all((g is not None and g.abs().sum() > 0) for g in slopes[:3])


def test_bad_weights():
    with pytest.raises(InvalidParameter, match="r1=-1"):
        adversarial.Relativistic(r1=-1.0).check()
