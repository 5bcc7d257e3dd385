"""Putting filled cells into a table without touching any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from narrows._arrow import pa, pc
from narrows.data.columns import Column, blank_cells
from narrows.data.frames import column_name, open_table, parse_type
from narrows.errors import InvalidData


def fill_cells(raw: Any, columns: list[Column], values: np.ndarray, drawn: bool = False) -> Any:
    """A copy of a table with its blanks filled; every observed cell is the very one that was given.

    Args:
        raw: Array or DataFrame; its columns in the order of ``columns``.
        columns: The fitted columns.
        values: ``(n, d)`` scaled values.
        drawn: Whether they are drawn, to look like those of training, or what is expected.

    Returns:
        The same kind of table. Drawn numbers have as many decimal places as the column's own. Expected values stay as
        they are, also of whole numbers in columns of floating-point type; columns of whole-number type get the nearest.
    """
    opened = open_table(raw)
    blanks = [blank_cells(cells) for cells in opened.cells]
    filled = [
        None if not blank.any() or column.kind == "blank" else _decode(column, values[blank, j], drawn)
        for j, (column, blank) in enumerate(zip(columns, blanks, strict=True))
    ]
    if opened.container.kind == "numpy":
        return _array(raw, blanks, filled)
    if opened.container.kind == "pandas":
        return _pandas(raw, blanks, filled)
    return _arrow(raw, opened, blanks, filled)


def _decode(column: Column, z: np.ndarray, drawn: bool) -> Any:
    """Cells of scaled values, as an Arrow array; what was pooled is what it most likely is, not the pool's name."""
    if column.likely is not None:
        column = replace(column, other=column.likely)
    floating = column.kind == "integer" and pa.types.is_floating(parse_type(column.type))
    if floating and column.scaler is not None and not drawn:
        x = np.clip(column.scaler.inverse(z.astype(float)), column.low, column.high)
        return pa.array(x + column.base)
    return column.decode(z.astype(float), np.zeros(len(z), bool), drawn=drawn)


def _array(raw: Any, blanks: list[np.ndarray], filled: list[Any]) -> Any:
    if hasattr(raw, "detach"):
        raw = raw.detach().cpu().numpy()
    result = np.ma.filled(raw.astype(float), np.nan) if np.ma.isMaskedArray(raw) else np.array(raw)
    for j, (blank, cells) in enumerate(zip(blanks, filled, strict=True)):
        if cells is not None:
            try:
                result[blank, j] = cells.to_pylist() if result.dtype == object else cells.to_numpy(zero_copy_only=False)
            except (TypeError, ValueError):
                raise _other_type(f"column {j}", cells, result.dtype) from None
    return result


def _pandas(raw: Any, blanks: list[np.ndarray], filled: list[Any]) -> Any:
    import pandas as pd

    columns = []
    for j, (blank, cells) in enumerate(zip(blanks, filled, strict=True)):
        column = raw.iloc[:, j].copy()
        if cells is not None:
            plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"
            given = cells.to_numpy(zero_copy_only=False) if plain else cells.to_pylist()
            try:
                column.iloc[np.flatnonzero(blank)] = given
            except (TypeError, ValueError):
                raise _other_type(column_name(raw.columns[j]), cells, column.dtype) from None
        columns.append(column)
    result = pd.concat(columns, axis=1)
    result.columns = raw.columns
    return result


def _arrow(raw: Any, opened: Any, blanks: list[np.ndarray], filled: list[Any]) -> Any:
    arrays = []
    names = [str(n) for n in opened.names]
    for name, original, blank, cells in zip(names, opened.cells, blanks, filled, strict=True):
        array = pa.array(original, from_pandas=True) if isinstance(original, np.ndarray) else original
        if cells is not None:
            plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            new = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
            try:
                new = new.cast(plain.type, safe=False)
            except pa.ArrowInvalid:
                raise _other_type(column_name(name), new, plain.type) from None
            plain = pc.replace_with_mask(plain, pa.array(blank), new)
            array = plain.dictionary_encode().cast(array.type) if pa.types.is_dictionary(array.type) else plain
        arrays.append(array)
    if opened.container.kind == "pyarrow" and isinstance(raw, pa.Table):
        result = pa.table(arrays, names=names)
        return result.replace_schema_metadata(raw.schema.metadata)
    if opened.container.kind == "polars":
        import polars as pl

        frame = raw.collect() if isinstance(raw, pl.LazyFrame) else raw
        changed = []
        for name, array, cells in zip(frame.columns, arrays, filled, strict=True):
            if cells is not None:
                texts = array.cast(pa.large_string()) if pa.types.is_dictionary(array.type) else array
                changed.append(pl.Series(name, pl.from_arrow(texts)).cast(frame.schema[name]))
        return frame.with_columns(changed)
    return pa.table(arrays, names=names)


def _other_type(column: str, cells: Any, now: Any) -> InvalidData:
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    return InvalidData(
        f"{column} held {kind} cells when fitted, but now holds {now} cells, which cannot hold "
        f"{cells[0].as_py()!r}: convert the column to {kind} first"
    )
