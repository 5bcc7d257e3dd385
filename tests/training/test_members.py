"""Many models in the one loop: each as it would be alone, whatever happens to the others."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest
import torch
from torch import nn

from narrows._types import Rows
from narrows.errors import TrainingFailed, TrainingWarning
from narrows.training import Loop, Player, Training
from narrows.training.members import MemberLoop

SEEDS = [5, 6, 7]


class Lines(nn.Module):
    """M times y = w x + b. A poisoned member's loss is not a number at some calls."""

    def __init__(self, members: int = 3, poisoned: dict[int, range] | None = None, interrupt_at: int = 0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.arange(members, dtype=torch.float32))
        self.b = nn.Parameter(torch.zeros(members))
        self.poisoned, self.calls, self.interrupt_at = poisoned or {}, 0, interrupt_at

    def forward(self, batch, epoch):
        x, y = batch["values"][..., 0], batch["target"]
        losses = ((self.w[:, None] * x + self.b[:, None] - y) ** 2).mean(1)
        if self.training:
            self.calls += 1
            if self.calls == self.interrupt_at:
                signal.raise_signal(signal.SIGINT)
            factor = [math.nan if self.calls in self.poisoned.get(m, ()) else 1.0 for m in range(len(losses))]
            losses = losses * torch.tensor(factor)
        return {"loss": losses.sum(), "losses": losses, "error": losses}


class Line(nn.Module):
    """One of them."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor(float(w))), nn.Parameter(torch.zeros(()))

    def forward(self, batch, epoch):
        loss = ((self.w * batch["values"][:, 0] + self.b - batch["target"]) ** 2).mean()
        return {"loss": loss, "error": loss}


def rows(n: int = 100, seed: int = 0, noise: float = 0.1) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, generator=generator)
    return Rows(x, target=3 * x[:, 0] - 1 + noise * torch.randn(n, generator=generator))


def train(module: Lines, validation: Rows | None = None, **settings) -> MemberLoop:
    training = Training(**{"epochs": 12, "batch_size": 10, "learning_rate": 0.02, **settings})
    loop = MemberLoop(module, Player(module, list(module.parameters())), training, 0, seeds=SEEDS[: len(module.w)])
    loop.fit(rows(), validation)
    return loop


def lone(m: int, validation: Rows | None = None, **settings):
    module = Line(m)
    training = Training(**{"epochs": 12, "batch_size": 10, "learning_rate": 0.02, **settings})
    history = Loop(module, [Player(module, list(module.parameters()))], training, SEEDS[m]).fit(rows(), validation)
    return module, history


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimiser": "sgd"}, {"optimiser": "adamw", "weight_decay": 0.1}, {"clip": 0.5}, {"schedule": "constant"}],
    ids=["adam", "sgd", "adamw", "clip", "constant"],
)
def test_every_member_is_what_it_would_be_alone(settings):
    many, validation = Lines(), rows(50, 1)
    loop = train(many, validation, **settings)
    for m, member in enumerate(loop.members):
        module, history = lone(m, validation, **settings)
        assert many.w[m].item() == pytest.approx(module.w.item(), abs=1e-5)
        assert many.b[m].item() == pytest.approx(module.b.item(), abs=1e-5)
        np.testing.assert_allclose(member.history["loss"], history["loss"], rtol=1e-4)
        np.testing.assert_allclose(member.history["validation_error"], history["validation_error"], rtol=1e-4)
        np.testing.assert_allclose(member.history["learning_rate"], history["learning_rate"])
        assert member.history.best_epoch == history.best_epoch


def test_a_member_that_diverges_goes_back_and_leaves_the_others_as_they_were():
    calm, hurt = Lines(), Lines(poisoned={1: range(45, 46)})
    untouched = train(calm)
    with pytest.warns(TrainingWarning, match="model 1: the loss was not finite in epoch 5"):
        loop = train(hurt)
    for m in (0, 2):
        assert torch.equal(hurt.w[m], calm.w[m])
        np.testing.assert_array_equal(loop.members[m].history["loss"], untouched.members[m].history["loss"])
    assert hurt.w[1].item() != calm.w[1].item()
    assert abs(hurt.w[1].item() - 3) < abs(1 - 3), "it went on learning"
    assert [member.scale for member in loop.members] == [1, 0.5, 1]
    assert [len(member.history.events) for member in loop.members] == [0, 1, 0]


def test_a_member_that_always_diverges_is_given_up():
    calm, hurt = Lines(), Lines(poisoned={1: range(1, 10_000)})
    train(calm, epochs=30)
    with pytest.warns(TrainingWarning) as told:
        loop = train(hurt, epochs=30)
    assert len(told) == 13
    assert "given up" in str(told[-1].message)
    assert [member.failed for member in loop.members] == [False, True, False]
    assert loop.members[1].ended == "diverged 13 times"
    assert torch.equal(hurt.w[[0, 2]], calm.w[[0, 2]])
    assert torch.isfinite(hurt.w).all()
    assert np.isfinite(loop.history["loss"]).all()


def test_when_all_diverge_training_fails():
    with pytest.warns(TrainingWarning), pytest.raises(TrainingFailed, match="all 2 models"):
        train(Lines(2, poisoned={0: range(10_000), 1: range(10_000)}), epochs=30)


def test_each_member_stops_and_is_kept_by_itself():
    """Member 0 begins where it will never be better; the best weights are those of its first look."""
    many = Lines()
    with torch.no_grad():
        many.w[0], many.b[0] = 3.0, -1.0
    far = rows(50, 1, noise=0.0).replace(target=3 * rows(50, 1).values[:, 0] - 1)
    loop = train(many, far, epochs=60, patience=5, learning_rate=0.01)
    first, second = loop.members[0].history, loop.members[1].history
    assert first.stopped == "no better validation loss for 5 epochs"
    assert len(first) == first.best_epoch + 5 < len(second)
    found = many({"values": far.values.expand(3, -1, -1), "target": far.target.expand(3, -1)}, torch.zeros(()))
    kept = [member.history["validation_loss"].min() for member in loop.members]
    np.testing.assert_allclose(found["losses"].detach(), kept, rtol=1e-4, atol=1e-9)


def test_a_run_that_was_killed_goes_on_bit_by_bit(tmp_path):
    validation = rows(50, 1)
    whole = Lines(poisoned={2: range(31, 32)})
    with pytest.warns(TrainingWarning):
        undisturbed = train(whole, validation)

    class Killed(Exception):
        pass

    killed = Lines(poisoned={2: range(31, 32)})

    def die(sig, frame):
        raise Killed

    before = signal.signal(signal.SIGINT, die)
    killed.interrupt_at = 75
    try:
        with pytest.warns(TrainingWarning), pytest.raises(Killed):
            train(killed, validation, checkpoint=str(tmp_path / "c"), checkpoint_every=0.0)
    finally:
        signal.signal(signal.SIGINT, before)
    again = Lines()
    resumed = train(again, validation, checkpoint=str(tmp_path / "c"), checkpoint_every=0.0)
    assert torch.equal(again.w, whole.w)
    assert torch.equal(again.b, whole.b)
    for a, b in zip(resumed.members, undisturbed.members, strict=True):
        np.testing.assert_array_equal(a.history["validation_loss"], b.history["validation_loss"])
        assert (a.scale, a.best, a.history.events) == (b.scale, b.best, b.history.events)
