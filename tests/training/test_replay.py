"""Replayed steps: equal bit by bit to ordinary ones, and refused where they could not be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import narrows
from narrows import Training, bottlenecks, corruptions, likelihoods, networks
from narrows._types import Rows
from narrows.training import Loop, Player
from narrows.training import replay as replaying
from narrows.training.replay import AFTER, PAYS, Gradients, Recorder


def table(n=200, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.1 * rng.normal(size=(n, d))).astype(np.float32)


def blanks():
    X = table()
    X[::7, 1] = np.nan
    return X


def mixed():
    import pandas as pd

    X = pd.DataFrame(table(), columns=list("abcde"))
    rng = np.random.default_rng(1)
    return X.assign(small=rng.choice(list("xyz"), 200), large=rng.choice([f"v{i}" for i in range(20)], 200))


def images():
    return np.random.default_rng(0).integers(0, 255, (150, 8, 8), dtype=np.uint8)


SHORT = Training(epochs=24, batch_size=40, learning_rate=1e-2)
SMALL = networks.Dense(widths=(8,), activation="tanh")
ROUGH = networks.Dense(widths=(8, 6), activation="relu", dropout=0.2, normalisation="batch")
CASES = {
    "plain": (narrows.Autoencoder(2, network=SMALL), table),
    "adamw": (narrows.Autoencoder(2, network=SMALL, training=SHORT.set_params(optimiser="adamw")), table),
    "sgd, clipped": (
        narrows.Autoencoder(2, network=SMALL, training=SHORT.set_params(optimiser="sgd", clip=1.0)),
        table,
    ),
    "decayed, clipped": (
        narrows.Autoencoder(2, network=SMALL, training=SHORT.set_params(weight_decay=0.1, clip=0.5)),
        table,
    ),
    "bfloat16": (narrows.Autoencoder(2, network=SMALL, training=SHORT.set_params(precision="bfloat16")), table),
    "blanks": (narrows.Autoencoder(2, network=SMALL), blanks),
    "mixed columns": (narrows.Autoencoder(2, network=SMALL), mixed),
    "dropout, batch normalisation": (narrows.Autoencoder(2, network=ROUGH), table),
    "variational, warmed up": (narrows.VariationalAutoencoder(2, network=SMALL, warmup=10, free_bits=0.1), table),
    "full covariance": (narrows.VariationalAutoencoder(2, network=SMALL, covariance="full"), table),
    "denoising": (narrows.DenoisingAutoencoder(2, network=SMALL), blanks),
    "swapped": (narrows.DenoisingAutoencoder(2, network=SMALL, corruption=corruptions.RowSwap(0.2)), mixed),
    "sparse": (narrows.SparseAutoencoder(8, network=SMALL), table),
    "contractive": (narrows.ContractiveAutoencoder(2, network=SMALL), table),
    "quantised": (narrows.Autoencoder(4, network=SMALL, bottleneck=bottlenecks.Quantised(entries=8)), table),
    "rounded": (narrows.Autoencoder(4, network=SMALL, bottleneck=bottlenecks.FiniteScalar(levels=4)), table),
    "convolutional": (
        narrows.Autoencoder(3, network=networks.Conv(channels=(3,), normalisation="batch")),
        images,
    ),
    "pooled": (
        narrows.Autoencoder(
            3,
            network=networks.Conv(channels=(3,), down="pool", up="transposed"),
            likelihood=likelihoods.ContinuousBernoulli(),
        ),
        images,
    ),
}


def run(model, X, monkeypatch, after):
    monkeypatch.setattr(replaying, "AFTER", after)
    seen = []

    class Watched(Gradients):
        def __call__(self, batch, epoch):
            values = super().__call__(batch, epoch)
            seen.append(self.replayed)
            return values

    monkeypatch.setattr("narrows.training.loop.Gradients", Watched)
    fitted = type(model)(**model.get_params(deep=False))
    fitted.set_params(random_state=3, training=model.training or SHORT).fit(X)
    return fitted, seen


@pytest.mark.parametrize("name", CASES)
def test_replayed_runs_are_ordinary_runs_bit_by_bit(name, monkeypatch):
    model, data = CASES[name]
    ordinary, none = run(model, data(), monkeypatch, after=10**9)
    replayed, seen = run(model, data(), monkeypatch, after=5)
    assert not any(none)
    assert all(seen[7:])
    assert not any(seen[:7])
    weights, expected = replayed.module_.state_dict(), ordinary.module_.state_dict()
    assert not [key for key in expected if not torch.equal(weights[key], expected[key])]
    assert all(p.grad is None for p in replayed.module_.parameters())  # the user's own training begins afresh
    for a, b in zip(replayed.history_, ordinary.history_, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


class Fickle(nn.Module):
    """A step that calls itself pure but is not."""

    pure = True

    def __init__(self, kind):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(()))
        self.kind, self.calls = kind, 0

    def forward(self, batch, epoch):
        x = batch["values"] * self.w
        self.calls += 1
        if self.kind == "branch" and float(x.sum()) > 0:
            x = -x
        if self.kind == "selection":
            x = x[x > 0]
        if self.kind == "counter":
            x = x * self.calls
        if self.kind == "new buffer":
            self.seen = self.seen + 1
        return {"loss": x.square().mean()}


@pytest.mark.parametrize("kind", ["branch", "selection", "counter", "new buffer"])
def test_a_step_that_is_not_the_same_every_time_is_never_replayed(kind):
    step = Fickle(kind)
    gradients = Gradients(step, [step.w], lambda: torch.autocast("cpu", enabled=False))
    torch.manual_seed(0)
    for _ in range(AFTER + 5):
        gradients({"values": torch.randn(4, 3)}, torch.zeros(()))
        assert not gradients.replayed
    assert step.calls == AFTER + 5
    assert not gradients.wanted


def test_short_runs_are_not_recorded():
    wanted = [Gradients(Fickle("none"), [], torch.no_grad, steps=steps).wanted for steps in (PAYS - 1, PAYS, None)]
    assert wanted == [False, True, True]


def test_batches_of_another_shape_take_the_ordinary_way():
    step = Fickle("none")
    gradients = Gradients(step, [step.w], lambda: torch.autocast("cpu", enabled=False))
    for size in [4] * (AFTER + 3) + [2, 4]:
        values = torch.rand(size, 3)
        loss = gradients({"values": values}, torch.zeros(()))
        assert loss.item() == pytest.approx(values.square().mean().item())
        assert torch.allclose(step.w.grad, 2 * values.square().sum(0) / values.numel())
        replayed = gradients.replayed
    assert replayed
    assert step.calls == AFTER + 3


def test_checking_a_recording_leaves_random_numbers_and_buffers_as_one_step_would():
    class Noisy(nn.Module):
        pure = True

        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, batch, epoch):
            noise = torch.randn_like(batch["values"])
            self.seen += noise.mean(0)
            return {"loss": ((batch["values"] + noise) * self.w).square().mean()}

    step, values = Noisy(), torch.rand(4, 3)
    gradients = Gradients(step, [step.w], lambda: torch.autocast("cpu", enabled=False))
    torch.manual_seed(0)
    for _ in range(AFTER + 10):
        gradients({"values": values}, torch.zeros(()))
    assert gradients.replayed
    torch.manual_seed(0)
    expected = torch.zeros(3)
    for _ in range(AFTER + 10):
        expected += torch.randn(4, 3).mean(0)
    assert torch.equal(step.seen, expected)


def test_filled_tensors_that_are_written_into_are_filled_anew_at_every_step():
    def compute(x):
        total = torch.zeros(3)
        total += x.sum(0)
        return total * 2

    x = torch.rand(4, 3)
    with Recorder() as recorder:
        result = compute(x)
    tape = recorder.tape({"values": x}, torch.zeros(()), result, [])
    for seed in range(3):
        y = torch.rand(4, 3, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(tape({"values": y}, torch.zeros(()))[0], compute(y))


def test_only_parts_of_this_project_and_torch_are_called_pure():
    class Own(corruptions.Gaussian):
        pass

    step = narrows.training.Step(nn.Linear(1, 1), narrows.objectives.ELBO(), {}, corruptions.Gaussian(), None)
    assert step.pure
    for corruption in (Own(), corruptions.Chain((corruptions.Masking(), Own()))):
        assert not narrows.training.Step(nn.Linear(1, 1), narrows.objectives.ELBO(), {}, corruption, None).pure


def test_a_roll_back_in_a_replayed_run_takes_the_optimiser_along():
    """Replays hold on to the optimiser's state; after a roll back that is another."""

    class Line(nn.Module):
        pure = True

        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, batch, epoch):
            return {"loss": (self.w * batch["values"][:, 0] - batch["target"]).square().mean()}

    step, x = Line(), torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    rows = Rows(x, target=3 * x[:, 0])
    steps = []

    def poison():
        steps.append(1)
        if len(steps) == 100:
            with torch.no_grad():
                step.w.fill_(torch.nan)

    loop = Loop(step, [Player(step, [step.w])], Training(epochs=300, learning_rate=0.05), 0, after_step=poison)
    with pytest.warns(narrows.errors.TrainingWarning, match="not finite"):
        loop.fit(rows)
    assert loop.gradients[0].replayed
    assert step.w.item() == pytest.approx(3, abs=0.02)
