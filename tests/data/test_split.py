"""Rows of raw data: how many, some of them, and a part held out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from narrows.data import split
from narrows.errors import InvalidParameter


def test_the_same_seed_holds_out_the_same_rows():
    train, held = split.hold_out(200, 3)
    again = split.hold_out(200, 3)
    np.testing.assert_array_equal(train, again[0])
    assert len(held) == 20
    assert sorted([*train, *held]) == list(range(200))
    assert set(split.hold_out(200, 4)[1]) != set(held)


def test_few_rows_are_not_held_out():
    assert [len(i) for i in split.hold_out(19, 0)] == [19, 0]
    assert [len(i) for i in split.hold_out(20, 0)] == [18, 2]
    with pytest.raises(InvalidParameter, match="from 0 to below 1"):
        split.hold_out(100, 0, 1.0)


def test_rows_of_any_container_are_taken():
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert split.take(table, [2, 0])["a"].to_pylist() == [3, 1]
    assert split.take(table.to_pandas(), [2, 0])["b"].tolist() == ["z", "x"]
    assert split.take(pl.from_arrow(table), [2, 0])["b"].to_list() == ["z", "x"]
    assert split.take(["p", "q", "r"], [2, 0]) == ["r", "p"]
    assert split.take(np.arange(3), [2, 0]).tolist() == [2, 0]
    assert split.take(None, [1]) is None
    assert [split.count(x) for x in (table, table.to_pandas(), ["p"], np.zeros((4, 2)))] == [3, 3, 1, 4]
