"""Series are told from tables and images by what they hold, and can be asked for."""

import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from narrows.data import SeriesSet, load, open_source
from narrows.data.recognise import neighbours, series_reason
from narrows.data.samples import heartbeats
from narrows.errors import InvalidData, InvalidParameter


def smooth(n=40, steps=60, seed=0):
    random, t = np.random.default_rng(seed), np.arange(steps)
    return np.sin(t / 6 + random.uniform(0, 6, (n, 1))) + 0.05 * random.normal(size=(n, steps))


def scattered(n=40, columns=60, seed=0):
    return np.random.default_rng(seed).normal(size=(n, columns))


def one_factor(n=40, columns=60):
    random = np.random.default_rng(0)
    return random.normal(size=(n, 1)) * np.ones(columns) + 0.1 * random.normal(size=(n, columns))


def stamped(days=40, **columns):
    return pa.table(
        {"day": pd.date_range("2026-01-01", periods=days).to_numpy(), "x": np.arange(days * 1.0), **columns}
    )


def test_neighbours_by_hand():
    x = np.random.default_rng(0).normal(size=(500, 1)) * np.ones(30)
    np.testing.assert_allclose(neighbours(x), (1, 1))
    near, far = neighbours(np.random.default_rng(0).normal(size=(2000, 30)))
    assert abs(near) < 0.1
    assert far < 0.1


@pytest.mark.parametrize(
    ("data", "series"),
    [
        (smooth(), True),
        (scattered(), False),
        (one_factor(), False),
        (smooth(steps=20), False),
        (smooth(n=5), False),
        ((smooth() * 100).astype(np.uint8), False),
        (smooth()[..., None].repeat(3, axis=2), True),
        (np.random.default_rng(0).random((5, 28, 28)), False),
        (np.zeros((5, 28, 28, 3)), False),
        (stamped(), True),
        (stamped(8), False),
        (pa.table({"age": np.arange(50.0), "joined": pd.to_datetime(["2026-01-01"] * 50).to_numpy()}), False),
        (pa.table({"joined": np.array(["2020-01-03", "2021-07-19"] * 20, "datetime64[D]"), "x": np.ones(40)}), False),
        (pa.table({"a": np.arange(50.0), "b": np.arange(50.0)}), False),
    ],
    ids=[
        "waves", "noise", "one factor", "few columns", "few rows", "bytes", "channels", "images", "colour", "daily",
        "short", "one day", "scattered days", "table",
    ],
)  # fmt: skip
def test_series_are_told_from_tables_and_images(data, series):
    assert (series_reason(data) is not None) == series


def test_several_series_of_one_calendar_are_recognised_by_their_names():
    frame = pd.concat([stamped(20).to_pandas().assign(shop=s) for s in "abc"])
    assert "'shop'" in series_reason(pa.Table.from_pandas(frame))


def test_an_id_for_every_row_is_no_set_of_series_and_takes_no_time():
    n = 200_000
    ids = np.random.default_rng(0).permutation(n)
    table = pa.table({"day": np.tile(np.arange("2026-01-01", "2026-02-10", dtype="M8[D]"), n // 40), "id": ids})
    began = time.perf_counter()
    assert series_reason(table) is None
    assert time.perf_counter() - began < 10


def test_what_is_recognised_can_be_overruled(tmp_path):
    np.save(tmp_path / "beats.npy", smooth())
    path = str(tmp_path / "beats.npy")
    assert open_source(path).kind == "table"
    found = open_source(path, kind="auto")
    assert found.kind == "series"
    assert isinstance(found.data, SeriesSet)
    assert len(found.data) == 40
    assert any("--as table" in note for note in found.notes)
    assert open_source(path, kind="table").kind == "table"
    np.save(tmp_path / "noise.npy", scattered())
    assert open_source(str(tmp_path / "noise.npy"), kind="auto").kind == "table"
    assert open_source(str(tmp_path / "noise.npy"), kind="series").kind == "series"
    with pytest.raises(InvalidParameter, match="table, series, images or text"):
        open_source(path, kind="music")
    with pytest.raises(InvalidData, match="cannot be read as images"):
        open_source("passengers", kind="images")


def test_the_samples_of_series():
    passengers = open_source("passengers").data
    assert len(passengers) == 1
    assert len(passengers.tracks[0]) == 144
    assert passengers.tracks[0].values[-1, 0] == 432
    beats = load("heartbeats")
    assert beats.data.shape == (400, 140)
    assert beats.test.shape == (120, 140)
    assert beats.test_labels.sum() == 20
    assert not beats.labels.any()
    again, faults = heartbeats(5, 2, seed=3)
    np.testing.assert_array_equal(again, heartbeats(5, 2, seed=3)[0])
    assert faults.tolist() == [False, False, False, True, True]
