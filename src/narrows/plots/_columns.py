"""Tables as plain columns, whatever they came as."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.errors import InvalidData

Columns = dict[str, np.ndarray[Any, Any]]


def columns_of(table: Any) -> Columns:
    """Columns by name: numbers, booleans and times as float64 (blank: NaN), everything else as objects (blank: None).

    Args:
        table: An array ``(n, d)``, or any DataFrame that narwhals reads.

    Raises:
        InvalidData: If it is no table.
    """
    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise InvalidData(f"an array of shape {table.shape} is no table: give (n, columns)")
        return {f"column {j}": _plain(table[:, j]) for j in range(table.shape[1])}
    import narwhals as nw

    frame = nw.from_native(table, eager_only=True)
    return {str(series.name): _series(series) for series in frame.iter_columns()}


def is_number(column: np.ndarray[Any, Any]) -> bool:
    """Whether a column of `columns_of` holds numbers."""
    return column.dtype.kind == "f"


def clocks(table: Any) -> dict[str, str]:
    """Which columns hold times, by name: "date" where they are counted from 1970, "time" from midnight."""
    if isinstance(table, np.ndarray):
        return {}
    import narwhals as nw

    frame = nw.from_native(table, eager_only=True)
    found = {}
    for name, kind in frame.schema.items():
        if kind == nw.Datetime or kind == nw.Date:
            found[str(name)] = "date"
        elif kind == nw.Time:
            found[str(name)] = "time"
    return found


def _series(series: Any) -> np.ndarray[Any, Any]:
    import narwhals as nw

    kind = series.dtype
    if kind == nw.Boolean or not (kind.is_numeric() or kind.is_temporal()):
        return _plain(np.array(series.to_list(), dtype=object))
    if kind.is_numeric():
        return np.array([np.nan if v is None else float(v) for v in series.to_list()], dtype=float)
    return _times(series.to_list())


def _times(values: list[Any]) -> np.ndarray[Any, Any]:
    def seconds(value: Any) -> float:
        if value is None or value != value:  # NaT differs from itself
            return np.nan
        try:
            return float(np.datetime64(value, "us").astype(np.int64)) / 1e6
        except (ValueError, TypeError):
            if hasattr(value, "total_seconds"):
                return float(value.total_seconds())
            return value.hour * 3600.0 + value.minute * 60 + value.second if hasattr(value, "hour") else np.nan

    return np.array([seconds(v) for v in values], dtype=float)


def _plain(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind in "iuf":
        return values.astype(float)
    if values.dtype.kind == "M":
        return np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.int64) / 1e6)
    texts = [None if v is None or v != v else str(v) for v in values.tolist()]
    numbers = [v for v in values.tolist() if v is not None]
    if numbers and all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in numbers):
        return np.array([np.nan if v is None else float(v) for v in values.tolist()], dtype=float)
    return np.array(texts, dtype=object)
