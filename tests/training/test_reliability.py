"""Runs that are killed, run out of disk or meet each other: nothing is lost, and nothing is silently shared."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from narrows._types import Rows
from narrows.errors import TrainingFailed
from narrows.training import Loop, Player, Training
from narrows.training import replay as replaying

KILLS = 20
EVENTS = 120_000  # calls and returns of functions; a whole run has about twice as many


class Noisy(nn.Module):
    """A small network with noise, buffers and a promise to be the same at every step, so that it is replayed."""

    pure = True

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3))

    def forward(self, batch, epoch):
        x = batch["values"]
        noisy = x + 0.1 * torch.randn_like(x) if self.training else x
        return {"loss": (self.net(noisy) - x).square().sum(1).mean()}


def rows(n, seed):
    return Rows(torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)))


def fit(folder=None, after_step=None, epochs=24):
    module = Noisy()
    training = Training(
        epochs=epochs, batch_size=16, learning_rate=0.02, checkpoint=folder and str(folder), checkpoint_every=0
    )
    loop = Loop(module, [Player(module, list(module.parameters()))], training, 7, after_step=after_step)
    return module, loop.fit(rows(80, 0), rows(30, 1))


def same(a, b):
    states = a[0].state_dict(), b[0].state_dict()
    plain = [[{k: v for k, v in row.items() if k != "seconds"} for row in history] for _, history in (a, b)]
    return all(torch.equal(states[0][k], states[1][k]) for k in states[0]) and plain[0] == plain[1]


@pytest.fixture(autouse=True)
def early_replays(monkeypatch):
    monkeypatch.setattr(replaying, "AFTER", 10)


def in_child(action):
    """Run ``action`` in a forked process; how that ended."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(event):
    """Kill this process at a moment that is as random as ``event``: when that many functions have been called."""
    seen = 0

    def count(frame, kind, argument):
        nonlocal seen
        seen += 1
        if seen == event:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_killed_at_twenty_random_moments_the_run_ends_as_if_nothing_had_happened(tmp_path):
    whole = fit()
    folder, moments = tmp_path / "checkpoints", random.Random(0)
    kills = went_on = 0
    while kills < KILLS:
        began, moment = (folder / "checkpoint.json").exists(), moments.randrange(1, EVENTS)

        def action(moment=moment):
            kill_at(moment)
            fit(folder)

        status = in_child(action)
        if status == 0:  # the run ended before its moment came: another run is killed next
            continue
        assert status == -signal.SIGKILL
        kills += 1
        went_on += began
    assert went_on >= KILLS // 2
    assert same(fit(folder), whole)
    assert not folder.exists()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error")])
def test_a_full_disk_is_said_and_the_last_checkpoint_is_whole(tmp_path, monkeypatch, failure):
    whole, folder = fit(), tmp_path / "checkpoints"
    from narrows.training import checkpoint

    real, count = checkpoint.save_file, []

    def save_file(tensors, path):
        count.append(path)
        if len(count) == 5:
            path.write_bytes(b"half")
            raise failure
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(TrainingFailed, match="make room"):
        fit(folder)
    assert len(list(folder.iterdir())) == 2
    assert same(fit(folder), whole)


def test_a_folder_that_cannot_be_made_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingFailed, match="give another"):
        fit(tmp_path / "file" / "checkpoints")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path):
    whole, folder, told = fit(), tmp_path / "checkpoints", []

    def intrude():
        def second():
            try:
                fit(folder)
            except TrainingFailed as error:
                os._exit(3 if "another process is training" in str(error) else 4)

        if not told:
            told.append(in_child(second))

    assert same(fit(folder, after_step=intrude), whole)
    assert told == [3]
    assert not folder.exists()


def test_a_run_that_fails_before_its_first_checkpoint_leaves_no_folder(tmp_path):
    def stop():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(tmp_path / "checkpoints", after_step=stop)
    assert not (tmp_path / "checkpoints").exists()
