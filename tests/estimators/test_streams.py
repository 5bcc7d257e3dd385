"""Estimators on names and streams: as in memory, piece by piece."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from narrows import Autoencoder, Training, VariationalAutoencoder, networks
from narrows.data import Table, open_stream, read_table
from narrows.errors import InvalidData, UnreadableFile

ROWS, MEMORY = 1200, 384 * 1024
NETWORK = networks.Dense(widths=(16,))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("streams") / "rows.parquet"
    with duckdb.connect() as con:
        con.execute("SET threads=1; SELECT setseed(0.1)")
        con.execute(
            "COPY (SELECT z + 0.1 * random() AS a, "
            "CASE WHEN i % 9 = 0 THEN NULL ELSE -2 * z + 0.1 * random() END AS b, random() AS c, "
            "CASE WHEN z > 0.5 THEN 'up' ELSE 'down' END AS d FROM (SELECT i, random() AS z FROM "
            f"range({ROWS}) rows(i))) TO '{place}' (ROW_GROUP_SIZE 2048)"
        )
    return place


def estimator(**settings):
    training = Training(**{"epochs": 3, "batch_size": 50, "verbose": False} | settings)
    return Autoencoder(2, network=NETWORK, format=Table(scaling="standard"), training=training, random_state=0)


@pytest.fixture(scope="module")
def fitted(path) -> Autoencoder:
    return estimator().fit(open_stream(path, memory=MEMORY))


def test_a_model_of_a_stream_learns(fitted, path):
    assert fitted.history_["validation_loss"][-1] < fitted.history_["validation_loss"][0]
    assert fitted.score(path) > fitted.untrained().score(path)
    assert any("read piece by piece" in reason for reason in fitted.reasons_)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c", "d"]


def test_results_of_a_stream_are_those_of_the_table(fitted, path):
    table, stream = read_table(path), open_stream(path, memory=MEMORY)
    assert len(stream.sizes) > 8
    assert np.array_equal(fitted.transform(stream), fitted.transform(table))
    assert np.array_equal(fitted.score_samples(stream), fitted.score_samples(table))
    assert fitted.reconstruct(stream).equals(fitted.reconstruct(table))


def test_a_name_is_what_it_names(fitted, path):
    table = read_table(path)
    assert np.array_equal(fitted.transform(str(path)), fitted.transform(table))
    assert np.array_equal(fitted.transform(path.parent), fitted.transform(table))
    assert np.array_equal(fitted.transform(str(path.parent / "*.parquet")), fitted.transform(table))
    in_memory = estimator().fit(path)
    assert np.array_equal(in_memory.transform(table), estimator().fit(table).transform(table))


def test_the_budget_chooses_between_memory_and_stream(path):
    small = estimator(memory=MEMORY // 8, epochs=1).fit(path)
    assert any("above the budget of 48 KiB: read piece by piece" in reason for reason in small.reasons_)
    large = estimator(memory="1GiB", epochs=1).fit(path)
    assert not any("piece by piece" in reason for reason in large.reasons_)


def test_a_stream_and_a_table_are_learnt_equally_well(fitted, path):
    """Other batches and another validation part, but the same rows: the same error, about."""
    table = read_table(path)
    ours, theirs = fitted.score(table), estimator().fit(table).score(table)
    untrained = fitted.untrained().score(table)
    assert abs(ours - theirs) < 0.3 * (theirs - untrained)


def test_equal_seeds_are_equal_runs(fitted, path):
    again = estimator().fit(open_stream(path, memory=MEMORY))
    for name, tensor in fitted.module_.state_dict().items():
        assert torch.equal(tensor, again.module_.state_dict()[name])
    assert np.array_equal(fitted.sample(5, random_state=0), again.sample(5, random_state=0))


def test_a_killed_run_goes_on_bit_by_bit(fitted, path, tmp_path, monkeypatch):
    from narrows.data.stream import TableStream

    settings = {"checkpoint": str(tmp_path / "run"), "checkpoint_every": 0.0}
    stream = open_stream(path, memory=MEMORY)
    real, calls = TableStream.load, []

    def load(self, piece):
        calls.append(piece)
        if len(calls) > 2.5 * len(self.sizes):  # one pass for the format, one epoch, and a half
            raise UnreadableFile("the disk went away")
        return real(self, piece)

    monkeypatch.setattr(TableStream, "load", load)
    unfinished = estimator(**settings)
    with pytest.raises(UnreadableFile, match="went away"):
        unfinished.fit(stream)
    assert not hasattr(unfinished, "module_")
    assert (tmp_path / "run" / "checkpoint.json").exists()
    monkeypatch.setattr(TableStream, "load", real)
    resumed = estimator(**settings).fit(open_stream(path, memory=MEMORY))
    for name, tensor in fitted.module_.state_dict().items():
        assert torch.equal(tensor, resumed.module_.state_dict()[name])


def test_a_stream_without_validation_rows_is_learnt_from(path):
    model = VariationalAutoencoder(
        2, network=NETWORK, training=Training(epochs=1, batch_size=50, validation=0, verbose=False), random_state=0
    ).fit(open_stream(path, memory=MEMORY))
    assert "validation_loss" not in model.history_.rows[0]
    assert model.transform(path).shape == (ROWS, 2)


def test_a_stream_of_one_row_is_refused(path, tmp_path):
    pq.write_table(pq.read_table(path).slice(0, 1), tmp_path / "one.parquet")
    with pytest.raises(InvalidData, match="at least 2 rows"):
        estimator().fit(open_stream(tmp_path / "one.parquet"))


def test_pictures_stream_when_they_are_too_many(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(150):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i:03}.png")
    training = Training(epochs=2, batch_size=10, memory=40_000, verbose=False)
    model = Autoencoder(2, network=NETWORK, training=training, random_state=0).fit(tmp_path)
    assert any("decoded when they are needed" in reason for reason in model.reasons_)
    paths = sorted(map(str, tmp_path.glob("*.png")))
    streamed, scores = model.transform(tmp_path), model.score_samples(paths)
    model.set_params(training=None)
    assert np.array_equal(streamed, model.transform(paths))
    assert np.array_equal(scores, model.score_samples(tmp_path))
