"""The loop: equal seeds, resuming bit by bit, rolling back, stopping early, keeping the best."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from narrows._types import Rows
from narrows.errors import TrainingFailed, TrainingWarning
from narrows.training import Loop, Player, Training
from narrows.training.seeds import hash_seed


class Line(nn.Module):
    """y = w x + b, with noise on x in training, judged by squared error."""

    def __init__(self, noise: float = 0.0, poison_at: int | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))
        self.b = nn.Parameter(torch.zeros(()))
        self.noise, self.poison_at, self.calls = noise, poison_at, 0

    def forward(self, batch, epoch):
        x, y = batch["values"][:, 0], batch["target"]
        if self.training:
            self.calls += 1
            x = x + self.noise * torch.randn_like(x)
        loss = ((self.w * x + self.b - y) ** 2).mean()
        if self.training and self.calls == self.poison_at:
            loss = loss * math.nan
        return {"loss": loss, "error": loss}


def line_rows(n: int = 200, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, generator=generator)
    return Rows(x, target=3 * x[:, 0] - 1)


def fit(module=None, rows=None, validation=None, seed=0, **settings):
    module = module or Line()
    loop = Loop(module, [Player(module, list(module.parameters()))], Training(**settings), seed)
    return module, loop.fit(rows or line_rows(), validation)


def test_a_line_is_learnt_exactly():
    module, history = fit(epochs=300, learning_rate=0.05)
    assert module.w.item() == pytest.approx(3, abs=1e-3)
    assert module.b.item() == pytest.approx(-1, abs=1e-3)
    assert history["loss"][-1] < 1e-5 < history["loss"][0]


def test_every_optimiser_learns():
    for optimiser in ("adam", "adamw", "sgd"):
        module, _ = fit(epochs=200, learning_rate=0.02, optimiser=optimiser, schedule="constant")
        assert module.w.item() == pytest.approx(3, abs=0.05), optimiser


def test_weight_decay_pulls_towards_zero():
    free, _ = fit(epochs=200, learning_rate=0.05)
    pulled, _ = fit(epochs=200, learning_rate=0.05, weight_decay=1.0)
    assert abs(pulled.w.item()) < 0.9 * abs(free.w.item())


def test_equal_seeds_are_equal_runs_and_others_are_not():
    runs = [fit(Line(noise=0.3), seed=s, epochs=20, learning_rate=0.05)[0] for s in (1, 1, 2)]
    assert torch.equal(runs[0].w, runs[1].w)
    assert not torch.equal(runs[0].w, runs[2].w)


def test_the_callers_generators_are_left_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    fit(Line(noise=0.3), validation=line_rows(50, 1), epochs=3)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_every_row_is_seen_equally_often_when_batches_divide_the_rows():
    seen = []

    class Spy(Line):
        def forward(self, batch, epoch):
            seen.extend(batch["values"][:, 0].tolist())
            return super().forward(batch, epoch)

    rows = line_rows(60)
    fit(Spy(), rows=rows, epochs=3, batch_size=20)
    values, counts = np.unique(seen, return_counts=True)
    assert np.allclose(values, np.sort(rows.values[:, 0].numpy()))
    assert set(counts) == {3}
    assert seen[:60] != seen[60:120]


def test_hash_seed_mixes():
    seeds = {hash_seed(a, b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= s < 2**63 for s in seeds)


def test_best_weights_are_a_copy_and_come_back():
    """Training makes validation worse from the start, so the first epoch is the best one."""
    opposite = line_rows(50, 1)
    opposite = opposite.replace(target=-opposite.target)
    module, history = fit(validation=opposite, epochs=40, batch_size=20, learning_rate=0.05, patience=5)
    assert history.best_epoch == 1
    assert len(history) == 6
    assert "no better validation loss for 5 epochs" in history.stopped
    with torch.no_grad():
        again = module(opposite.tensors(), torch.zeros(()))["loss"].item()
    assert again == pytest.approx(history["validation_loss"][0], rel=1e-5)
    assert again < history["validation_loss"][-1]


def test_a_loss_that_is_not_finite_rolls_back_with_half_the_rate():
    module = Line(poison_at=30)
    with pytest.warns(TrainingWarning, match="not finite in epoch"):
        module, history = fit(module, epochs=400, learning_rate=0.05, schedule="constant")
    assert module.w.item() == pytest.approx(3, abs=0.01)
    assert history["learning_rate"][-1] == pytest.approx(0.025)
    assert any("diverged" in sentence for sentence in history.diagnose())


@pytest.mark.filterwarnings("ignore::narrows.errors.TrainingWarning")
def test_training_that_never_becomes_finite_fails_with_advice():
    class Broken(Line):
        def forward(self, batch, epoch):
            result = super().forward(batch, epoch)
            return {name: value * math.nan for name, value in result.items()}

    module = Broken()
    with pytest.raises(TrainingFailed, match=r"diverged .* times|before the first epoch"):
        fit(module, epochs=400)
    assert torch.isfinite(module.w)


def test_clipping_bounds_the_step():
    """With plain gradient descent a step is no longer than rate times norm; the first gradient here is far longer."""
    rows = line_rows(32)
    rows = rows.replace(target=rows.target * 1e4)
    module, _ = fit(
        rows=rows, epochs=1, batch_size=32, optimiser="sgd", schedule="constant", learning_rate=0.1, clip=1.0
    )
    moved = math.hypot(module.w.item(), module.b.item())
    assert moved == pytest.approx(0.1 * 1.9, rel=1e-3)  # Nesterov's first step is 1 + 0.9 gradients long


class Clock:
    """A clock that a test sets, so that nothing depends on the machine's speed."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


def test_the_time_budget_is_planned_and_kept(monkeypatch):
    """At 1 ms a step, a budget of 1 s makes 900 steps (a tenth is kept back), and the schedule ends where they do."""
    clock = Clock()
    monkeypatch.setattr("narrows.training.loop.time", clock)

    def tick():
        clock.now += 0.001

    module, training = Line(), Training(epochs=100_000, batch_size=32, time_budget=1.0)
    loop = Loop(module, [Player(module, list(module.parameters()))], training, 0, after_step=tick)
    history = loop.fit(line_rows(2_000))
    assert "time budget of 1 s" in history.stopped
    assert history["step"][-1] == pytest.approx(900, abs=2)
    assert history["learning_rate"][-1] < 0.01 * history["learning_rate"].max()


def test_steps_that_turn_out_slower_than_planned_are_cut_off(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("narrows.training.loop.time", clock)
    module, training = Line(), Training(epochs=100_000, batch_size=32, time_budget=1.0)

    def tick():
        clock.now += 0.001 if module.calls < 200 else 0.1

    loop = Loop(module, [Player(module, list(module.parameters()))], training, 0, after_step=tick)
    history = loop.fit(line_rows(2_000))
    assert "time budget of 1 s" in history.stopped
    assert history["step"][-1] <= 250
    assert len(history) >= 1


class Slope(nn.Module):
    """The loss is the sum of what is to be moved, so that every gradient is 1."""

    def __init__(self, names: str) -> None:
        super().__init__()
        self.moved = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in names)

    def forward(self, batch, epoch):
        return {"loss": sum(self.moved) + 0 * batch["values"].sum()}


def test_players_learn_at_rates_of_their_own():
    module = Slope("ab")
    players = [Player(module, [module.moved[0]]), Player(module, [module.moved[1]], rate=0.25)]
    plain = Training(epochs=3, batch_size=50, optimiser="sgd", schedule="constant", learning_rate=0.1, validation=0)
    Loop(module, players, plain, 0).fit(line_rows(100))
    first, second = (p.item() for p in module.moved)
    assert first < -0.5  # six steps of 0.1 at least
    assert second == pytest.approx(0.25 * first)


def test_very_slow_steps_are_looked_at_one_by_one(monkeypatch):
    """At 1 s a step a budget of 10 s is nine steps, though losses are otherwise read every 50 steps at most."""
    clock = Clock()
    monkeypatch.setattr("narrows.training.loop.time", clock)

    def tick():
        clock.now += 1

    module, training = Line(), Training(epochs=100, batch_size=10, time_budget=10.0)
    history = Loop(module, [Player(module, list(module.parameters()))], training, 0, after_step=tick).fit(
        line_rows(2_000)
    )
    assert history["step"][-1] == 9
    assert "time budget of 10 s" in history.stopped


def test_a_resumed_run_computes_with_as_many_threads_as_it_began_with(tmp_path):
    settings = Training(epochs=40, batch_size=20, checkpoint=str(tmp_path), checkpoint_every=0)
    seen, before = [], torch.get_num_threads()

    def stop():
        if len(list(tmp_path.glob("*.json"))):
            raise RuntimeError

    def look():
        seen.append(torch.get_num_threads())

    def loop(after_step):
        module = Line()
        return Loop(module, [Player(module, list(module.parameters()))], settings, 0, after_step=after_step)

    try:
        torch.set_num_threads(1)
        with pytest.raises(RuntimeError):
            loop(stop).fit(line_rows())
        torch.set_num_threads(2)
        loop(look).fit(line_rows())
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_small_work_is_done_by_one_thread_and_the_callers_number_comes_back():
    assert Training().threads(parameters=138, elements=4, batch=32) == 1
    assert Training().threads(parameters=400_000, elements=784, batch=128) is None
    assert Training().threads(parameters=300, elements=784, batch=128) is None  # few weights, used at every pixel
    seen, before = [], torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        module = Line()
        loop = Loop(
            module,
            [Player(module, list(module.parameters()))],
            Training(epochs=1),
            0,
            after_step=lambda: seen.append(torch.get_num_threads()),
        )
        loop.fit(line_rows())
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("units", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_automatic_precision_asks_the_processor_and_a_resumed_run_keeps_it(units, expected, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: units)
    assert Training(device="cpu", precision="auto").resolve_precision() == expected
    assert Training(device="cpu", precision="float32").resolve_precision() == "float32"
    settings = Training(
        epochs=40, batch_size=20, device="cpu", precision="auto", checkpoint=str(tmp_path), checkpoint_every=0
    )

    def stop():
        if len(list(tmp_path.glob("*.json"))):
            raise RuntimeError

    def loop(after_step=None):
        module = Line()
        return Loop(module, [Player(module, list(module.parameters()))], settings, 0, after_step=after_step)

    with pytest.raises(RuntimeError):
        loop(stop).fit(line_rows())
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: not units)
    resumed = loop()
    resumed.fit(line_rows())
    assert resumed.precision == expected


def test_the_schedule_warms_up_and_ends_at_nothing():
    training = Training(schedule="cosine")
    factors = [training.factor(step, 1000) for step in range(1000)]
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert factors[0] == pytest.approx(1 / 50)
    assert factors[-1] < 1e-3
    assert all(f > 0 for f in factors)
    assert Training(schedule="constant").factor(999, 1000) == 1


def test_plan_grows_batches_with_the_data():
    assert Training().plan(40)[0] == 32
    assert Training().plan(10)[0] == 10
    assert Training(batch_size=7).plan(100) == (7, 14, Training(batch_size=7).plan(100)[2])
    assert Training(epochs=3).plan(100)[2] == 3


def test_several_players_move_in_turn():
    """A second player that moves at every other step makes half as many moves."""
    moves = []

    class Counting(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name, self.p = name, nn.Parameter(torch.zeros(()))

        def forward(self, batch, epoch):
            moves.append(self.name)
            return {"loss": (self.p - 1) ** 2}

    a, b = Counting("a"), Counting("b")
    module = nn.ModuleList([a, b])
    players = [Player(a, [a.p]), Player(b, [b.p], every=2)]
    Loop(module, players, Training(epochs=2, batch_size=20), 0).fit(line_rows(200))
    assert moves.count("a") == 20
    assert moves.count("b") == 10
    assert a.p.item() > 0 < b.p.item()


SCRIPT = textwrap.dedent(
    """
    import os, signal, sys, torch
    sys.path.insert(0, {tests!r})
    from test_loop import Line, line_rows
    from narrows.training import Loop, Player, Training
    module = Line(noise=0.5)
    kill_at = int(sys.argv[2])
    def after():
        if kill_at and module.calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    training = Training(
        epochs=30, batch_size=16, learning_rate=0.05, checkpoint=sys.argv[1] or None, checkpoint_every=0
    )
    loop = Loop(module, [Player(module, list(module.parameters()))], training, 7, after_step=after)
    history = loop.fit(line_rows(150), line_rows(40, 1))
    print(module.w.item().hex(), module.b.item().hex(), history.best_epoch, len(history))
    print(history["validation_loss"].sum().hex())
    """
)


def run_script(tmp_path, folder, kill_at):
    import pathlib

    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(pathlib.Path(__file__).parent)))
    return subprocess.run([sys.executable, script, folder, str(kill_at)], capture_output=True, text=True, check=False)


def test_a_killed_run_goes_on_bit_by_bit(tmp_path):
    whole = run_script(tmp_path, "", 0)
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "checkpoints"
    # the counter starts anew in every process, so this kills three times, each time further on
    for kill_at in (75, 101, 60):
        killed = run_script(tmp_path, str(folder), kill_at)
        assert killed.returncode == -signal.SIGKILL
        assert (folder / "checkpoint.json").exists()
    resumed = run_script(tmp_path, str(folder), 0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout
    assert not folder.exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    folder = tmp_path / "checkpoints"
    run_script(tmp_path, str(folder), 75)
    with pytest.raises(TrainingFailed, match="another run"):
        fit(epochs=30, checkpoint=str(folder))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "checkpoints"
    run_script(tmp_path, str(folder), 75)
    tensors = next(folder.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-8])
    result = run_script(tmp_path, str(folder), 0)
    assert result.returncode == 1
    assert "TrainingFailed" in result.stderr
    assert "to start anew" in result.stderr


def test_an_interruption_keeps_the_best_so_far():
    module = Line()

    def after():
        if module.calls == 100:
            raise KeyboardInterrupt

    loop = Loop(module, [Player(module, list(module.parameters()))], Training(epochs=500), 0, after_step=after)
    with pytest.warns(TrainingWarning, match="interrupted"):
        history = loop.fit(line_rows(), line_rows(50, 1))
    assert "interrupted" in history.stopped
    with torch.no_grad():
        kept = module(line_rows(50, 1).tensors(), torch.zeros(()))["loss"].item()
    assert kept == pytest.approx(history["validation_loss"].min(), rel=1e-5)


def test_an_interruption_before_anything_was_learnt_is_passed_on():
    module = Line()

    def after():
        raise KeyboardInterrupt

    loop = Loop(module, [Player(module, list(module.parameters()))], Training(epochs=5), 0, after_step=after)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(line_rows())


def test_progress_is_silent_without_a_terminal(capfd):
    fit(epochs=3, verbose=1)
    assert capfd.readouterr() == ("", "")
