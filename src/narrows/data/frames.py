"""Containers: any table as a list of columns, and a list of columns as the container it came from."""

from __future__ import annotations

import datetime
import decimal
import json
import numbers
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows._arrow import pa
from narrows.errors import InvalidData, InvalidType

Name = str | int
#: One raw column: numbers as NumPy holds them, everything else as Arrow does.
Cells = Any

_NUMPY = "biuf"


@dataclass(frozen=True)
class Container:
    """What kind of table was given.

    Attributes:
        kind: "numpy", "pandas", "polars" or "pyarrow".
        dtype: NumPy's name of the array's type; empty for DataFrames.
    """

    kind: str
    dtype: str = ""


@dataclass(frozen=True)
class Opened:
    """A raw table taken apart.

    Attributes:
        container: What it was.
        cells: One entry per column.
        names: Names of the columns, or None for arrays.
        natives: The container's own names for the columns' types, where Arrow's do not suffice.
        rows: How many rows there are.
        notes: What was changed while reading, in words.
    """

    container: Container
    cells: list[Cells]
    names: list[Name] | None
    natives: list[str]
    rows: int
    notes: list[str]


def open_table(raw: Any) -> Opened:
    """Take any table apart.

    Args:
        raw: Array ``(n, d)``, list of rows, or DataFrame (pandas, polars, pyarrow, or what narwhals reads).

    Returns:
        Its columns and what is needed to put one like it together.

    Raises:
        InvalidData: If it has no rows or columns, is not two-dimensional, holds complex numbers, or has two columns
            of one name.
        InvalidType: If it is sparse or holds cells that are neither numbers, text nor times.
    """
    if type(raw).__module__.startswith("scipy.sparse") or (hasattr(raw, "toarray") and hasattr(raw, "tocsr")):
        raise InvalidType("Sparse data was passed, but dense data is required. Use X.toarray() to convert it.")
    if isinstance(raw, Mapping):
        raise InvalidType("a dictionary is not a table: pass a DataFrame, for instance pandas.DataFrame(X)")
    if isinstance(raw, (str, bytes)):
        raise InvalidType(f"{raw!r} is text, not a table: read it first with narrows.data.readers.read_table")
    if isinstance(raw, pa.RecordBatch):
        raw = pa.Table.from_batches([raw])
    frame = _narwhals(raw)
    return _open_array(raw) if frame is None else _open_frame(frame)


def _narwhals(raw: Any) -> Any:
    import narwhals as nw

    if isinstance(raw, (np.ndarray, list, tuple)):
        return None
    labels = (
        raw.column_names if isinstance(raw, pa.Table) else getattr(raw, "columns", ()) if hasattr(raw, "iloc") else ()
    )
    double = sorted({str(n) for n, count in Counter(labels).items() if count > 1})
    if double:
        raise InvalidData(f"more than one column is named {', '.join(map(repr, double))}: rename them")
    found = nw.from_native(raw, pass_through=True, allow_series=True)
    if isinstance(found, nw.Series):
        raise InvalidData(
            "Expected 2D array, got 1D array instead: a single column was given. "
            "Reshape your data: pass a DataFrame with one column, for instance X.to_frame()."
        )
    if isinstance(found, nw.LazyFrame):
        return found.collect()
    return found if isinstance(found, nw.DataFrame) else None


def _open_array(raw: Any) -> Opened:
    array = _array(raw)
    if array.dtype.kind == "c":
        raise InvalidData("Complex data not supported: pass real and imaginary parts as columns of their own.")
    if array.dtype.names:
        raise InvalidType("structured arrays are not read: pass a DataFrame, for instance pandas.DataFrame(X)")
    if array.dtype.kind not in _NUMPY + "OUSTMm":
        raise InvalidType(f"an array of {array.dtype} is not a table: argument must be a string or a number")
    check_shape(array.shape)
    if array.dtype.kind in _NUMPY:
        # columns are read one by one, which is slow across the rows of a wide array
        wide = np.asfortranarray(array) if array.shape[1] > 8 else array
        cells: list[Cells] = [wide[:, j] for j in range(array.shape[1])]
        notes: list[str] = []
    else:
        notes = []
        cells = [_to_arrow(array[:, j], j, notes) for j in range(array.shape[1])]
    kind = array.dtype.kind
    dtype = "str" if kind in "US" else "object" if kind in "OT" else array.dtype.name
    return Opened(Container("numpy", dtype), cells, None, [""] * len(cells), array.shape[0], notes)


def _array(raw: Any) -> np.ndarray[Any, Any]:
    if np.ma.isMaskedArray(raw):
        return np.ma.filled(raw.astype(float), np.nan)
    if hasattr(raw, "detach"):
        raw = raw.detach().cpu().numpy()
    if isinstance(raw, np.ndarray):
        return np.asarray(raw)
    try:
        array = np.asarray(raw)
    except (ValueError, TypeError) as error:
        raise InvalidData(f"X cannot be made an array of rows and columns: {error}") from error
    if array.ndim == 0:
        raise InvalidType(f"{type(raw).__name__} is not a table: pass an array (rows, columns) or a DataFrame")
    if array.dtype.kind in "US" and not isinstance(raw, np.ndarray):
        # [[1, "a"]] would turn into text as a whole
        array = np.asarray(raw, dtype=object)
    return array


def _open_frame(frame: Any) -> Opened:
    kind = str(frame.implementation).rsplit(".", 1)[-1].lower()
    if kind not in ("pandas", "polars", "pyarrow"):
        kind = "pyarrow"
    native = frame.to_native()
    names: list[Name] = [_name(c) for c in (native.columns if kind == "pandas" else frame.columns)]
    check_shape(frame.shape)
    cells, natives = [], []
    notes = notes_of(native) if isinstance(native, pa.Table) else []
    for position, name in enumerate(names):
        column = native.iloc[:, position] if kind == "pandas" else frame[name]
        dtype = column.dtype
        if "complex" in str(dtype).lower():
            raise InvalidData(f"Complex data not supported: column {name!r} holds complex numbers.")
        plain = kind == "pandas" and isinstance(dtype, np.dtype) and dtype.kind in _NUMPY
        cells.append(column.to_numpy() if plain else _to_arrow(column, name, notes))
        natives.append(str(dtype) if kind == "pandas" else type(dtype).__name__ if kind == "polars" else "")
    return Opened(Container(kind), cells, names, natives, frame.shape[0], notes)


def _name(label: Any) -> Name:
    if isinstance(label, numbers.Integral) and not isinstance(label, bool):
        return int(label)
    return str(label)


def check_shape(shape: Sequence[int]) -> None:
    """Raise unless ``shape`` is that of a table with at least one row and one column; words as scikit-learn's."""
    if len(shape) == 1:
        raise InvalidData(
            f"Expected 2D array, got 1D array instead: shape=({shape[0]},). Reshape your data either using "
            "X.reshape(-1, 1) if it has a single column or X.reshape(1, -1) if it is a single row."
        )
    if len(shape) != 2:
        raise InvalidData(f"Found array with dim {len(shape)}, while dim <= 2 is required: a table has two.")
    if shape[1] == 0:
        raise InvalidData(f"Found array with 0 feature(s) (shape=({shape[0]}, 0)) while a minimum of 1 is required.")
    if shape[0] == 0:
        raise InvalidData(f"Found array with 0 sample(s) (shape=(0, {shape[1]})) while a minimum of 1 is required.")


# --- to Arrow --------------------------------------------------------------------------------------------------


def _to_arrow(column: Any, name: Name, notes: list[str]) -> Any:
    """One Arrow array without chunks; what Arrow cannot type is read cell by cell."""
    try:
        if hasattr(column, "to_arrow"):
            array = column.to_arrow()
        elif isinstance(column, np.ndarray) and column.dtype.kind in "UST":
            array = pa.array(column.astype(object), from_pandas=True)
        else:
            array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError):
        array = _objects(np.asarray(column, dtype=object), name, notes)
    if isinstance(array, pa.ChunkedArray):
        if pa.types.is_dictionary(array.type):
            array = array.unify_dictionaries()
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if isinstance(array, pa.ChunkedArray):  # combine_chunks keeps huge text in several chunks
        array = pa.concat_arrays([c.cast(pa.large_string()) for c in array.chunks])
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    types = pa.types
    if types.is_nested(array.type) or types.is_binary(array.type) or types.is_large_binary(array.type):
        raise InvalidType(
            f"{column_name(name)} holds {array.type} cells: argument must be a string or a number (or a time). "
            "Turn it into columns of their own, or leave it out."
        )
    return array


def _objects(cells: np.ndarray[Any, Any], name: Name, notes: list[str]) -> Any:
    blank = np.fromiter((_is_blank(v) for v in cells), bool, len(cells))
    given = [v for v, b in zip(cells, blank, strict=True) if not b]
    for value in given:
        if isinstance(value, complex):
            raise InvalidData(f"Complex data not supported: {column_name(name)} holds complex numbers.")
        if not isinstance(value, (str, numbers.Real, decimal.Decimal, np.bool_, datetime.date, datetime.time)):
            raise InvalidType(
                f"{column_name(name)} holds {type(value).__name__!r} cells such as {str(value)[:40]!r}: "
                f"argument must be a string or a number, not {type(value).__name__!r}"
            )
    if all(isinstance(v, (numbers.Real, decimal.Decimal, np.bool_)) for v in given):
        result = np.full(len(cells), np.nan)
        result[~blank] = [float(v) for v in given]
        return pa.array(result, from_pandas=True)
    notes.append(f"{column_name(name)} holds cells of several types: all are read as text")
    try:
        return pa.array([None if b else str(v) for v, b in zip(cells, blank, strict=True)], pa.large_string())
    except (UnicodeError, pa.ArrowInvalid) as error:
        raise InvalidData(f"{column_name(name)} holds text that is not valid Unicode: {error}") from error


def _is_blank(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)  # NaN and NaT of any library
    except (TypeError, ValueError):
        return False


def column_name(name: Name) -> str:
    """How messages call a column."""
    return f"column {name!r}"


# --- notes of readers ------------------------------------------------------------------------------------------

_NOTES = b"narrows.notes"


def with_notes(table: Any, notes: Sequence[str]) -> Any:
    """An Arrow table that carries notes on how it was read."""
    if not notes:
        return table
    metadata = {**(table.schema.metadata or {}), _NOTES: json.dumps(list(notes)).encode()}
    return table.replace_schema_metadata(metadata)


def notes_of(table: Any) -> list[str]:
    """The notes that a reader left on an Arrow table."""
    try:
        return [str(n) for n in json.loads((table.schema.metadata or {}).get(_NOTES, b"[]"))]
    except (ValueError, TypeError):
        return []


# --- types as text ---------------------------------------------------------------------------------------------


def parse_type(text: str) -> Any:
    """The Arrow type that prints as ``text``."""
    if match := re.fullmatch(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>", text):
        return pa.dictionary(parse_type(match[2]), parse_type(match[1]), ordered=match[3] == "1")
    if match := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text):
        return pa.timestamp(match[1], match[2])
    if match := re.fullmatch(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)", text):
        return getattr(pa, f"decimal{match[1]}")(int(match[2]), int(match[3]))
    return getattr(pa, text)() if text in ("string_view", "large_string", "null") else pa.type_for_alias(text)


# --- back ------------------------------------------------------------------------------------------------------


def close_table(
    container: Container, arrays: Sequence[Any], names: Sequence[Name] | None, natives: Sequence[str], like: Any = None
) -> Any:
    """Put decoded columns together as the container that was given.

    Args:
        container: What to make.
        arrays: One Arrow array per column, of one length.
        names: Names of the columns.
        natives: The container's own names for the columns' types.
        like: A pandas DataFrame of as many rows whose index is taken over.

    Returns:
        The array or DataFrame.
    """
    if container.kind == "numpy" or names is None:
        return _close_array(container, arrays)
    if container.kind == "pandas":
        return _close_pandas(arrays, names, natives, like)
    table = pa.table(list(arrays), names=[str(n) for n in names])
    return _close_polars(table, arrays, natives) if container.kind == "polars" else table


def _close_array(container: Container, arrays: Sequence[Any]) -> Any:
    if container.dtype in ("object", "str"):
        result = np.empty((len(arrays[0]), len(arrays)), dtype=object)
        for j, array in enumerate(arrays):
            floats = pa.types.is_floating(array.type)
            result[:, j] = [np.nan if v is None and floats else v for v in array.to_pylist()]
        return result.astype(str) if container.dtype == "str" else result
    dtype = np.dtype(container.dtype)
    columns = [a.to_numpy(zero_copy_only=False) for a in arrays]
    if dtype.kind in "biu" and any(a.null_count for a in arrays):
        dtype = np.dtype(float)  # NumPy's whole numbers and booleans have no blank
    return np.stack([c.astype(dtype) for c in columns], axis=1)


def _close_pandas(arrays: Sequence[Any], names: Sequence[Name], natives: Sequence[str], like: Any) -> Any:
    import pandas as pd

    columns = []
    for array, native in zip(arrays, natives, strict=True):
        if native.endswith("[pyarrow]"):
            columns.append(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))))
            continue
        series = array.to_pandas()
        if native and str(series.dtype) != native and not (native in _WHOLE and array.null_count):
            series = series.astype(native)
        columns.append(series)
    frame = pd.concat(columns, axis=1, ignore_index=True)
    frame.columns = pd.Index(list(names))
    index = getattr(like, "index", None)
    if isinstance(index, pd.Index) and len(index) == len(frame):
        frame.index = index
    return frame


_WHOLE = {"bool", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64))}


def _close_polars(table: Any, arrays: Sequence[Any], natives: Sequence[str]) -> Any:
    import polars as pl

    frame: Any = pl.from_arrow(table)
    casts = []
    for name, array, native in zip(table.column_names, arrays, natives, strict=True):
        if native == "Enum":
            casts.append(pl.col(name).cast(pl.Enum(array.dictionary.to_pylist())))
        elif native == "Categorical":
            casts.append(pl.col(name).cast(pl.Categorical))
    return frame.with_columns(casts) if casts else frame


def other_names(wanted: Sequence[Name], given: Sequence[Name]) -> InvalidData:
    """What to say of a table whose columns are called otherwise than those that were fitted."""
    missing = [n for n in wanted if n not in set(given)]
    new = [n for n in given if n not in set(wanted)]
    lines = ["The feature names should match those that were passed during fit."]
    for title, names in (("unseen at fit time", new), ("seen at fit time, yet now missing", missing)):
        if names:
            lines.append(f"Feature names {title}:")
            lines += [f"- {n}" for n in names[:20]] + ([f"- … and {len(names) - 20} more"] if len(names) > 20 else [])
    advice = []
    if missing:
        advice.append("add the missing columns (blank, if their values are unknown)")
    if new:
        advice.append("leave out the new ones")
    return InvalidData("\n".join([*lines, " and ".join(advice).capitalize() + "."]))
