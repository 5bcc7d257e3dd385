"""Tables in SQLite databases and NumPy archives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows._arrow import pa
from narrows.data.paths import check_file, first_line, split_part
from narrows.errors import UnreadableFile


def read_array(source: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """Read one array from a .npy or .npz file; pickled objects are refused.

    Args:
        source: The file; ``file.npz::name`` names the array. Otherwise it is the only one, or the one called X.

    Returns:
        The array.

    Raises:
        UnreadableFile: If the file is missing, damaged, holds objects, or several arrays of which none is chosen.
    """
    path, name = split_part(os.fspath(source))
    check_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return loaded[_choose(path, list(loaded.files), name, "array", "X")]
    except UnreadableFile:
        raise
    except Exception as error:
        if "pickle" in str(error):
            raise UnreadableFile(
                f"{path} holds Python objects (pickles), which are never loaded: save numbers"
            ) from None
        raise UnreadableFile(f"{path} cannot be read as a NumPy file: {first_line(error)}") from error


def _choose(path: str, names: list[str], wanted: str | None, word: str, usual: str | None) -> str:
    choice = wanted if wanted is not None else names[0] if len(names) == 1 else usual
    if choice in names:
        return str(choice)
    listed = ", ".join(names) or "none"
    if wanted is not None:
        raise UnreadableFile(f"{path} has no {word} {wanted!r}; its {word}s are: {listed}")
    if not names:
        raise UnreadableFile(f"{path} holds no {word}")
    raise UnreadableFile(f"{path} holds several {word}s: {listed}; choose one, for instance '{path}::{names[0]}'")


def read_sqlite(text: str, limit: int | None) -> Any:
    """An Arrow table of one table of a database: ``file.db`` if it has but one, else ``file.db::table``."""
    import sqlite3  # DuckDB's reader would have to be downloaded

    path, name = split_part(text)
    with Path(path).open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise UnreadableFile(f"{path} is not an SQLite database, though its extension says so")
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as con:
            found = con.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            chosen = _choose(path, [f[0] for f in found], name, "table", None)
            quoted = chosen.replace('"', '""')
            types = [row[2].upper() for row in con.execute(f'PRAGMA table_info("{quoted}")')]
            cursor = con.execute(f'SELECT * FROM "{quoted}"' + (f" LIMIT {int(limit)}" if limit is not None else ""))
            names = [d[0] for d in cursor.description]
            rows = cursor.fetchall()
    except sqlite3.Error as error:
        raise UnreadableFile(f"{path} cannot be read as an SQLite database: {error}") from error
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table([_sqlite_column(c, t) for c, t in zip(cells, types, strict=True)], names=names)


def _sqlite_column(cells: Sequence[Any], declared: str) -> Any:
    try:
        array = pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if all(isinstance(v, (int, float, type(None))) for v in cells):
            return pa.array([None if v is None else float(v) for v in cells])
        array = pa.array([None if v is None else str(v) for v in cells])
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_string(array.type) and ("DATE" in declared or "TIME" in declared):
            return array.cast(pa.timestamp("us"))
        if pa.types.is_integer(array.type) and declared.startswith("BOOL"):
            return array.cast(pa.bool_())
    return array


def read_numpy(text: str) -> Any:
    """An Arrow table of a two-dimensional or structured array; ``text`` is as in `read_array`."""
    array = read_array(text)
    if array.dtype.names:
        return pa.table([pa.array(array[n]) for n in array.dtype.names], names=list(array.dtype.names))
    if array.ndim != 2:
        raise UnreadableFile(
            f"{text} holds an array of shape {array.shape}, which is not a table (rows, columns); "
            "read images with narrows.data.readers.read_array"
        )
    return pa.table(
        [pa.array(array[:, j]) for j in range(array.shape[1])], names=[f"column{j}" for j in range(array.shape[1])]
    )


def load_arrays(path: Path) -> dict[str, Any]:
    """All arrays of a .npy or .npz file by name; that of a .npy file is named "".

    Raises:
        UnreadableFile: If it is damaged, or holds objects.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # numpy raises many kinds for damaged or pickled files
        raise UnreadableFile(
            f"{str(path)!r} cannot be read as arrays ({error}); write it with numpy.save or numpy.savez, no objects"
        ) from error
