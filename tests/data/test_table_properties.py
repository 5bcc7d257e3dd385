from __future__ import annotations

import datetime as dt
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows.data.table import Table, TableFormat
from narrows.errors import DataWarning, NarrowsError

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

KINDS = {
    "number": (st.floats(-1e12, 1e12), pa.float64()),
    "integer": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "small": (st.integers(0, 255), pa.uint8()),
    "text": (st.text(max_size=5), pa.string()),
    "flag": (st.booleans(), pa.bool_()),
    "day": (st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), pa.date32()),
    "when": (st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)), pa.timestamp("us")),
    "clock": (st.times(), pa.time64("us")),
    "took": (st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)), pa.duration("us")),
}


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    columns = {}
    for i, kind in enumerate(kinds):
        cells, dtype = KINDS[kind]
        values = draw(st.lists(st.none() | cells, min_size=rows, max_size=rows))
        columns[f"{kind}{i}"] = pa.array(values, dtype)
    return pa.table(columns)


def close(back, cells, kind):
    """Blanks alike; categories and booleans equal; the rest within 1.2e-7 of the column's range."""
    assert back.null_count == cells.null_count
    assert back.is_null().equals(cells.is_null())
    given, got = (pa.compute.drop_null(a) for a in (cells, back))
    if kind in ("category", "boolean") or len(given) == 0:
        return given.equals(got)
    if pa.types.is_temporal(cells.type):
        whole = pa.int32() if cells.type.bit_width == 32 else pa.int64()
        given, got = given.cast(whole), got.cast(whole)
    a, b = ([int(v) if v == int(v) else v for v in x.to_pylist()] for x in (given, got))
    allowed = (max(a) - min(a)) * 1.2e-7 + (0.5 if kind != "number" else 1e-12 * max(map(abs, a)))
    return all(abs(x - y) <= allowed for x, y in zip(a, b, strict=True))


@given(tables(), st.sampled_from(["pyarrow", "pandas", "polars"]))
@QUICK
def test_random_tables_round_trip(table, container):
    raw = {"pyarrow": table, "pandas": table.to_pandas(types_mapper=pd.ArrowDtype), "polars": pl.from_arrow(table)}[
        container
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            fitted = Table().fit(raw)
        except NarrowsError as error:
            assert all(c.null_count == len(c) for c in table.columns)
            assert "every cell" in str(error)  # noqa: PT017
            return
    rows = fitted.to_rows(raw)
    assert rows.values.shape == (table.num_rows, table.num_columns)
    assert rows.values.isfinite().all()
    for k, column in zip(fitted.layout.categories or (), rows.values.T):
        assert not k or ((column >= 0) & (column < k) & (column == column.round())).all()
    back = fitted.from_values(rows.values, rows.observed)
    assert type(back) is type(raw)
    arrow = back if container == "pyarrow" else pa.Table.from_pandas(back) if container == "pandas" else back.to_arrow()
    for d, name in zip(fitted.describe(), table.column_names, strict=True):
        got = arrow[name].combine_chunks().cast(table[name].type, safe=False)
        assert d["kind"] == "blank" or close(got, table[name].combine_chunks(), d["kind"]), name
    again = TableFormat.from_config(json.loads(json.dumps(fitted.to_config(), allow_nan=False)))
    assert again == fitted
    assert torch.equal(again.to_rows(raw).values, rows.values)


@given(tables(), st.integers(0, 2**31))
@QUICK
def test_whatever_a_model_makes_is_in_range(table, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        if all(c.null_count == len(c) for c in table.columns):
            return
        fitted = Table().fit(table)
    values = torch.randn(20, table.num_columns, generator=torch.Generator().manual_seed(seed)) * 10
    values[0, 0] = float("nan")
    values[1, 0] = float("inf")
    back = fitted.from_values(values)
    assert back.schema.types == table.schema.types
    for name in table.column_names:
        given = pa.compute.drop_null(table[name].combine_chunks())
        made = pa.compute.drop_null(back[name].combine_chunks())
        if len(given) == 0:
            assert len(made) == 0
        elif pa.types.is_string(given.type) or pa.types.is_boolean(given.type):
            assert pa.types.is_boolean(given.type) or set(made.to_pylist()) <= set(given.to_pylist())
        else:
            low, high = min(given.to_pylist()), max(given.to_pylist())
            assert all(low <= v <= high for v in made.to_pylist())


@given(
    st.lists(st.lists(st.floats(allow_nan=True, width=32), min_size=3, max_size=3), min_size=1, max_size=30),
    st.sampled_from(["auto", "standard", "robust", "quantile", "minmax", "none"]),
)
@QUICK
def test_random_arrays_fit_or_are_refused(cells, scaling):
    x = np.array(cells, dtype=np.float64)
    if np.isinf(x).any() or np.isnan(x).all():
        with pytest.raises(NarrowsError, match=r"infinity|every cell"):
            Table(scaling=scaling).fit(x)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fitted = Table(scaling=scaling).fit(x)
    rows = fitted.to_rows(x)
    assert rows.values.isfinite().all()
    back = fitted.from_values(rows.values, rows.observed)
    assert np.array_equal(np.isnan(back), np.isnan(x))
    span = np.nanmax(np.where(np.isnan(x).all(0), 0, x), axis=0) - np.nanmin(np.where(np.isnan(x).all(0), 0, x), axis=0)
    size = np.nanmax(np.abs(np.where(np.isnan(x).all(0), 0, x)), axis=0)
    allowed = span * 2e-6 + size * (1.2e-7 if scaling == "none" else 1e-12)
    assert (np.nan_to_num(np.abs(back - x)) <= allowed + 1e-45).all()
