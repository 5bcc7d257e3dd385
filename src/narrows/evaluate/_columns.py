"""Columns of any table as plain arrays: numbers with NaN, or categories with None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa
from narrows.errors import InvalidData

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """A table taken apart for measuring.

    Attributes:
        cells: By name, ``(n,)`` float64 with NaN, or ``(n,)`` objects (text or None).
        rows: How many rows there are.
    """

    cells: dict[str, NDArray[Any]]
    rows: int

    def numeric(self, name: str) -> bool:
        """Whether a column holds numbers or times."""
        return self.cells[name].dtype.kind == "f"

    def take(self, index: NDArray[Any]) -> Columns:
        """Some of the rows."""
        return Columns({name: cells[index] for name, cells in self.cells.items()}, len(index))


def columns(table: Any) -> Columns:
    """Take a table apart.

    Args:
        table: An Arrow table, a pandas or polars DataFrame, an array ``(n, d)``, or a mapping of columns.

    Raises:
        InvalidData: If it is none of these.
    """
    if isinstance(table, Columns):
        return table
    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise InvalidData(f"an array of shape {table.shape} is not a table of rows and columns")
        table = {str(j): table[:, j] for j in range(table.shape[1])}
    if isinstance(table, Mapping):
        names: Sequence[Any] = list(table)
        parts = [pa.array(np.asarray(table[n]), from_pandas=True) for n in names]
    elif isinstance(table, pa.Table):
        names, parts = table.column_names, table.columns
    elif hasattr(table, "iloc"):
        names = list(table.columns)
        parts = [pa.array(table.iloc[:, j], from_pandas=True) for j in range(len(names))]
    elif hasattr(table, "to_arrow"):
        table = table.to_arrow()
        names, parts = table.column_names, table.columns
    else:
        raise InvalidData(f"{type(table).__name__} is not a table: give a DataFrame, an Arrow table or an array")
    cells = {str(n): _plain(p) for n, p in zip(names, parts, strict=True)}
    return Columns(cells, len(next(iter(cells.values()), ())))


def alike(real: Columns, *others: Columns) -> tuple[Columns, ...]:
    """All tables with the columns of the first, in its order; a column that is text in one is text in all.

    Raises:
        InvalidData: If a column is missing.
    """
    tables = (real, *others)
    for table in others:
        missing = [n for n in real.cells if n not in table.cells]
        if missing:
            raise InvalidData(f"columns {missing!r} are in the real table but not in the one compared with it")
    cells: list[dict[str, NDArray[Any]]] = [{} for _ in tables]
    for name in real.cells:
        numeric = all(t.numeric(name) or _empty(t.cells[name]) for t in tables)
        for table, found in zip(tables, cells, strict=True):
            found[name] = _number(table.cells[name]) if numeric else _text(table.cells[name])
    return tuple(Columns(c, t.rows) for c, t in zip(cells, tables, strict=True))


def indices(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Categories of two columns as indices into one list; None is one of them."""
    place: dict[Any, int] = {}
    first, second = (np.array([place.setdefault(v, len(place)) for v in x], dtype=np.int64) for x in (a, b))
    return first, second


def points(*tables: Columns) -> list[NDArray[np.float32]]:
    """Rows as points: numbers in units of the first table's standard deviation, a blank or another category 1 apart.

    Of a column's categories the 200 most common are told apart.
    """
    parts: list[list[NDArray[Any]]] = [[] for _ in tables]
    for name in tables[0].cells:
        if tables[0].numeric(name):
            given = tables[0].cells[name][~np.isnan(tables[0].cells[name])]
            centre = float(given.mean()) if len(given) else 0.0
            scale = float(given.std()) if len(given) and given.std() > 0 else 1.0
            for found, table in zip(parts, tables, strict=True):
                z = (table.cells[name] - centre) / scale
                blank = np.isnan(z)
                found += [np.where(blank, 0.0, z)[:, None], blank[:, None] / 1.0]
        else:
            place: dict[Any, int] = {}
            codes = [np.array([place.setdefault(v, len(place)) for v in t.cells[name]]) for t in tables]
            kept = np.argsort(-np.bincount(np.concatenate(codes)), kind="stable")[:200]
            for found, code in zip(parts, codes, strict=True):
                found.append((code[:, None] == kept) / np.sqrt(2))
    return [np.concatenate(found, axis=1).astype(np.float32) for found in parts]


def _empty(cells: NDArray[Any]) -> bool:
    return cells.dtype == object and all(c is None for c in cells)


def _number(cells: NDArray[Any]) -> NDArray[Any]:
    return cells if cells.dtype.kind == "f" else np.full(len(cells), np.nan)


def _text(cells: NDArray[Any]) -> NDArray[Any]:
    if cells.dtype == object:
        return cells
    return np.array([None if np.isnan(c) else f"{c:g}" for c in cells], dtype=object)


def _plain(part: Any) -> NDArray[Any]:
    kind = part.type
    if pa.types.is_dictionary(kind):
        part, kind = part.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind):
        whole = part.cast(pa.int32()) if kind.bit_width == 32 else part.cast(pa.int64())
        return np.asarray(whole.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = part.cast(pa.float64(), safe=False)
        if isinstance(numbers, pa.ChunkedArray):
            return np.array(numbers.to_numpy(), dtype=np.float64)
        return np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    values = part.to_pylist()
    return np.array([None if v is None else str(v) for v in values], dtype=object)
