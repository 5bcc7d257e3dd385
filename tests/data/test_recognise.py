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


def dated(tmp_path, **changes):
    """A file of 60 days, some of whose cells are spelt otherwise."""
    days = [str(d) for d in np.arange("2026-01-01", "2026-03-02", dtype="M8[D]")]
    for row, cell in changes.items():
        days[int(row[1:])] = cell
    path = tmp_path / "sales.csv"
    path.write_text("day,sold\n" + "".join(f"{d},{i % 7}.5\n" for i, d in enumerate(days)))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r20": "soon"}, "spell no dates in 1 of 60 rows, such as 'soon' in row 21"),
        ({"r0": "soon", "r30": "later"}, "spell no dates in 2 of 60 rows, such as 'soon' in row 1"),
        ({"r20": ""}, "blank in 1 of 60 rows, first in row 21"),
    ],
)
def test_a_slip_among_time_stamps_is_told_wherever_the_file_is_read(tmp_path, changes, said):
    path = dated(tmp_path, **changes)
    for kind in ("auto", "series"):
        with pytest.raises(InvalidData, match=said):
            open_source(path, kind=kind)
    with pytest.raises(InvalidData, match="--as table"):
        open_source(path, kind="auto")
    assert open_source(path, kind="table").kind == "table"


def test_frequencies_that_follow_each_other_are_told_and_irregular_days_are_a_table(tmp_path):
    hours = np.arange("2026-01-01", "2026-01-02", dtype="M8[h]").astype("M8[us]")
    days = np.arange("2026-01-02", "2026-01-26", dtype="M8[D]").astype("M8[us]")
    mixed = pa.table({"t": np.concatenate([hours, days]), "x": np.arange(48.0)})
    with pytest.raises(InvalidData, match="several frequencies"):
        series_reason(mixed)
    two = pa.table({"t": np.concatenate([hours, days]), "x": np.arange(48.0), "id": ["a"] * 24 + ["b"] * 24})
    with pytest.raises(InvalidData, match="several frequencies"):
        series_reason(two)
    random = np.random.default_rng(0)
    gaps = np.cumsum(random.choice([1, 5], 200)).astype("M8[D]")
    assert series_reason(pa.table({"t": gaps, "x": np.arange(200.0)})) is None
    born = random.permutation(np.cumsum(random.integers(1, 90, 200))).astype("M8[D]")
    assert series_reason(pa.table({"born": born, "x": np.arange(200.0)})) is None
    some = [None if i % 5 == 0 else d for i, d in enumerate(days.tolist())]
    assert series_reason(pa.table({"seen": pa.array(some, pa.timestamp("us")), "x": np.arange(24.0)})) is None
