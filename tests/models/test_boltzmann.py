"""Restricted Boltzmann machines, against enumeration of every state."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from narrows._types import Layout, Rows
from narrows.models.boltzmann import BoltzmannModule, BoltzmannStep


def tiny(visible: str, layout: Layout, hidden: int = 3) -> BoltzmannModule:
    torch.manual_seed(3)
    module = BoltzmannModule(layout, hidden, visible)
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0, 0.7)
    return module


def states(size: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)))


def energy(m: BoltzmannModule, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """E(v, h) as written in the textbook, ``(V, H)`` for all pairs."""
    variance = torch.where(m.binary, 1.0, m.log_variance.exp())
    own = torch.where(m.binary, -v * m.visible_bias, 0.5 * (v - m.visible_bias) ** 2 / variance).sum(1)
    return own[:, None] - (h @ m.hidden_bias)[None] - (v / variance) @ m.weight @ h.T


BINARY = Layout((4,), low=(0.0,) * 4, high=(1.0,) * 4)
MIXED = Layout((3,), categories=(0, 3, 2), blanks=(False,) * 3)


def visible_states(layout: Layout) -> torch.Tensor:
    if layout is BINARY:
        return states(4)
    # a number on a fine grid, and both categories one-hot
    grid = torch.linspace(-12, 12, 1201)
    parts = [torch.cat([a, b]) for a in torch.eye(3) for b in torch.eye(2)]
    return torch.cat([torch.cat([grid[:, None], part.expand(len(grid), -1)], 1) for part in parts])


@pytest.mark.parametrize("layout", [BINARY, MIXED], ids=["binary", "mixed"])
class TestExact:
    def machine(self, layout):
        return tiny("bernoulli" if layout is BINARY else "gaussian", layout)

    def test_free_energy_sums_over_hidden_states(self, layout):
        m = self.machine(layout)
        v, h = visible_states(layout)[::7], states(3)
        wanted = -torch.logsumexp(-energy(m, v, h), dim=1)
        torch.testing.assert_close(m.free_energy(v), wanted, rtol=1e-4, atol=1e-4)
        chance = torch.softmax(-energy(m, v, h), dim=1) @ h
        torch.testing.assert_close(m.hidden(v), chance, rtol=1e-4, atol=1e-5)

    def test_annealing_finds_the_partition_function(self, layout):
        m = self.machine(layout)
        v = visible_states(layout)
        cell = 1.0 if layout is BINARY else 24 / 1200
        exact = float(torch.logsumexp(-m.free_energy(v).detach().double(), 0)) + math.log(cell)
        torch.manual_seed(0)
        found, error = m.log_partition(400, 300)
        assert abs(found - exact) < max(4 * error, 0.05)
        assert error < 0.1

    def test_gibbs_sampling_reaches_the_distribution(self, layout):
        m = self.machine(layout)
        v = visible_states(layout)
        chance = torch.softmax(-m.free_energy(v).double(), 0)
        torch.manual_seed(1)
        with torch.no_grad():
            drawn = m.gibbs(torch.zeros(6000, v.shape[1]), 60).double()
        wanted = chance @ v.double()
        spread = ((chance @ v.double() ** 2) - wanted**2).sqrt()
        assert ((drawn.mean(0) - wanted).abs() < 5 * spread / 6000**0.5 + 1e-3).all()

    def test_a_step_near_leaves_the_distribution_as_it_is(self, layout):
        m = self.machine(layout)
        h = states(3)
        v = visible_states(layout)
        chance = torch.softmax(torch.logsumexp(-energy(m, v, h).double(), 0), 0)
        torch.manual_seed(2)
        with torch.no_grad():
            start = h[torch.multinomial(chance, 6000, replacement=True)]
            for size in (1.0, 0.2):
                moved = m.prior().near(start, size)
                assert (moved != start).any(1).float().mean() > 0.1
                assert ((moved.mean(0) - (chance.float() @ h)).abs() < 0.04).all()


def test_the_loss_has_the_gradient_of_the_likelihood():
    """With negative particles from the machine itself, mean F(v) − mean F(v') has the gradient of −log p(v)."""
    m = tiny("bernoulli", BINARY)
    all_v = states(4)
    data = all_v[[3, 5, 6, 6]]
    exact = m.free_energy(data).mean() + torch.logsumexp(-m.free_energy(all_v), 0)
    learnt = [m.weight, m.visible_bias, m.hidden_bias]
    wanted = torch.autograd.grad(exact, learnt)
    torch.manual_seed(0)
    drawn = m.gibbs(torch.zeros(40_000, 4), 50).detach()
    found = torch.autograd.grad(m.free_energy(data).mean() - m.free_energy(drawn).mean(), learnt)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)


@pytest.mark.parametrize("persistent", [True, False])
def test_training_learns_a_tiny_distribution(persistent):
    """Two patterns with flipped bits: by enumeration, the machine's distribution comes close to theirs."""
    torch.manual_seed(0)
    m = BoltzmannModule(BINARY, 6, "bernoulli")
    step = BoltzmannStep(m, 2, persistent)
    patterns, all_v = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]), states(4)
    flips = (all_v[:, None] != patterns).sum(2)
    wanted = (0.15**flips * 0.85 ** (4 - flips)).mean(1)

    def divergence() -> float:
        log_chance = torch.log_softmax(-m.free_energy(all_v), 0)
        return float((wanted * (wanted.log() - log_chance)).sum().detach())

    before = divergence()
    optimiser = torch.optim.SGD(m.parameters(), 0.2)
    for i in range(1500):
        optimiser.param_groups[0]["lr"] = 0.2 * (1 - i / 1500)
        optimiser.zero_grad()
        rows = Rows(all_v[torch.multinomial(wanted, 128, replacement=True)])
        step(rows.tensors(), torch.zeros(()))["loss"].backward()
        optimiser.step()
    assert before > 0.5
    assert divergence() < 0.05
