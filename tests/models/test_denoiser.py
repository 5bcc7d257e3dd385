"""Denoisers: what goes in, what comes out, what they learn."""

from __future__ import annotations

import math

import torch

from narrows.models import DenoiserModule, DenoiseStep, StackedModule
from narrows.networks import Dense, Residual


def test_what_is_not_shown_is_not_looked_at():
    torch.manual_seed(0)
    model = DenoiserModule(4, Residual(width=8))
    z = torch.randn(6, 4)
    shown = torch.tensor([True, True, False, True]).expand(6, 4)
    level = torch.full((6, 1), -1.0)
    other = z.clone()
    other[:, 2] = 99.0
    assert torch.equal(model(z, shown, level), model(other, shown, level))


def test_preconditioning_by_hand():
    """With a network that says 0: z / (1 + σ²) where shown, 0 where hidden."""
    model = DenoiserModule(2, Dense(widths=()))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    z, shown = torch.tensor([[3.0, 3.0]]), torch.tensor([[True, False]])
    estimate = model(z, shown, torch.tensor([[math.log(0.5)]]))
    torch.testing.assert_close(estimate, torch.tensor([[3 / 1.25, 0.0]]))
    # with a network that says 1: σ / √(1 + σ²) is added where shown, 1 where hidden
    torch.nn.init.ones_(model.network.layers[-1].bias)
    estimate = model(z, shown, torch.tensor([[math.log(0.5)]]))
    torch.testing.assert_close(estimate, torch.tensor([[3 / 1.25 + 0.5 / math.sqrt(1.25), 1.0]]))


class Constant(torch.nn.Module):
    """Estimates c, whatever is shown, and remembers what was."""

    def __init__(self, c):
        super().__init__()
        self.c = torch.nn.Parameter(c)

    def forward(self, z, shown, log_sigma):
        self.shown, self.sigma = shown, log_sigma.exp()
        return self.c.expand_as(z)


def test_the_loss_by_hand():
    """Half the weighted square of the error: (1 + σ²) / σ² where shown, 1 where hidden, nothing where unknown."""
    members = Constant(torch.zeros(1))
    step = DenoiseStep(members, 2, torch.tensor([0, 1, 1]))
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]])
    known = torch.tensor([[True, True, False], [True, True, True]])
    torch.manual_seed(0)
    loss = step({"values": x, "observed": known}, torch.tensor(0.0))["loss"]
    weight = torch.where(members.shown, (1 + members.sigma**2) / members.sigma**2, 1) * known
    torch.testing.assert_close(loss, (0.5 * weight * x**2).sum(-1).mean())
    assert (members.shown <= known).all()


def test_columns_are_hidden_as_a_whole():
    members = Constant(torch.zeros(1))
    step = DenoiseStep(members, 8, torch.tensor([0, 1, 1, 2]))
    torch.manual_seed(0)
    step({"values": torch.zeros(200, 4)}, torch.tensor(0.0))
    shown = members.shown
    assert torch.equal(shown[..., 1], shown[..., 2])
    hidden = 1 - shown[..., [0, 1, 3]].float().mean()
    assert 0.09 < hidden < 0.16  # half of the rows, a quarter of their columns on average


def test_members_never_see_their_own_fold():
    torch.manual_seed(0)
    stacked = StackedModule([DenoiserModule(3, Residual(width=8)) for _ in range(4)])
    step = DenoiseStep(stacked, 4, torch.arange(3), folds=2)
    batch = {"values": torch.randn(6, 3), "group": torch.zeros(6, dtype=torch.long)}
    step(batch, torch.tensor(0.0))["loss"].backward()
    for parameter in stacked.parameters():
        grown = parameter.grad.flatten(1).abs().sum(1) > 0
        assert not grown[[0, 2]].any()
        assert grown[[1, 3]].all()
