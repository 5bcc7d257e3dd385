"""Rows that come from a source: trained as rows in memory are, resumed bit by bit at any step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from narrows._types import Rows
from narrows.errors import TrainingFailed
from narrows.training import Loop, Player, Training
from narrows.training.source import Source

from .test_loop import Line, line_rows


class Windows:
    """Rows in memory, given out as a source would: in windows of an order of its own per epoch."""

    def __init__(self, rows: Rows, window: int = 64, fail_at: int | None = None) -> None:
        self.rows, self.window, self.fail_at = rows, window, fail_at
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index) -> Rows:
        return self.rows.take(index)

    def fingerprint(self) -> str:
        return str(float(self.rows.values.sum()))

    def epoch(self, seed, epoch, batch, first=0, *, rank=0, world=1):
        self.asked.append((epoch, first))
        order = np.random.default_rng([seed, epoch]).permutation(len(self.rows))
        order = order[first * batch : len(order) // batch * batch]
        size = max(1, self.window // batch) * batch
        for start in range(0, len(order), size):
            if self.fail_at is not None and epoch >= self.fail_at:
                raise OSError("the disk went away")
            yield self.rows.take(torch.from_numpy(order[start : start + size]))


def fit(source, module=None, **settings):
    module = module or Line(noise=0.3)
    loop = Loop(module, [Player(module, list(module.parameters()))], Training(**settings), 0)
    return module, loop.fit(source)


SETTINGS = {"epochs": 12, "batch_size": 16, "learning_rate": 0.05, "checkpoint_every": 0.0}


def test_what_the_data_room_makes_is_a_source():
    from narrows.data.row_stream import RowStream

    assert isinstance(Windows(line_rows()), Source)
    assert issubclass(RowStream, Source)


def test_a_source_is_learnt_from():
    module, history = fit(Windows(line_rows()), Line(), epochs=120, batch_size=20, learning_rate=0.05)
    assert module.w.item() == pytest.approx(3, abs=1e-3)
    assert history["loss"][-1] < 1e-5 < history["loss"][0]


def test_the_size_of_windows_is_no_part_of_the_arithmetic():
    """The same order of rows in other windows is the same run."""
    runs = [fit(Windows(line_rows(), window), **SETTINGS)[0] for window in (16, 64, 1000)]
    assert torch.equal(runs[0].w, runs[1].w)
    assert torch.equal(runs[0].w, runs[2].w)


def test_a_run_whose_source_fails_goes_on_bit_by_bit(tmp_path):
    settings = SETTINGS | {"checkpoint": str(tmp_path / "checkpoint")}
    undisturbed, _ = fit(Windows(line_rows()), **SETTINGS)
    with pytest.raises(OSError, match="the disk went away"):
        fit(Windows(line_rows(), fail_at=5), **settings)
    assert (tmp_path / "checkpoint" / "checkpoint.json").exists()
    again = Windows(line_rows())
    resumed, _ = fit(again, **settings)
    assert again.asked[0] == (5, 0)  # not from the start
    assert torch.equal(undisturbed.w, resumed.w)
    assert torch.equal(undisturbed.b, resumed.b)


def test_a_run_can_be_taken_up_within_an_epoch(tmp_path, monkeypatch):
    """Steps that are looked at come every few: the source is asked for the batch that is next."""
    monkeypatch.setattr("narrows.training.loop.CHECK_EVERY", 5)
    settings = SETTINGS | {"checkpoint": str(tmp_path / "checkpoint")}
    undisturbed, _ = fit(Windows(line_rows()), **SETTINGS)

    class Stopped(Exception):
        pass

    class Stops(Line):
        def forward(self, batch, epoch):
            if self.training and self.calls == 33:
                raise Stopped
            return super().forward(batch, epoch)

    with pytest.raises(Stopped):
        fit(Windows(line_rows()), Stops(noise=0.3), **settings)
    again = Windows(line_rows())
    resumed, _ = fit(again, **settings)
    assert again.asked[0][1] > 0
    assert torch.equal(undisturbed.w, resumed.w)


def test_another_source_is_another_run(tmp_path):
    settings = SETTINGS | {"checkpoint": str(tmp_path / "checkpoint")}
    with pytest.raises(OSError, match="went away"):
        fit(Windows(line_rows(), fail_at=5), **settings)
    with pytest.raises(TrainingFailed, match="another run"):
        fit(Windows(line_rows(seed=1)), **settings)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """No room for a checkpoint: told, the one before stays whole, and the run goes on from it."""
    from narrows.training import checkpoint

    settings = SETTINGS | {"checkpoint": str(tmp_path / "checkpoint")}
    undisturbed, _ = fit(Windows(line_rows()), **SETTINGS)
    real, calls = checkpoint.save_file, []

    def save(tensors, path):
        calls.append(path)
        if len(calls) == 4:
            real({"cut": torch.zeros(1)}, path)  # a part of it was written
            raise checkpoint.SafetensorError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            )
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", save)
    with pytest.raises(TrainingFailed, match="the disk is full"):
        fit(Windows(line_rows()), **settings)
    left = sorted(p.name for p in (tmp_path / "checkpoint").iterdir())
    assert len(left) == 2
    monkeypatch.setattr(checkpoint, "save_file", real)
    resumed, _ = fit(Windows(line_rows()), **settings)
    assert torch.equal(undisturbed.w, resumed.w)
