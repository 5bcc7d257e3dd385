"""Whether data that was opened holds series: by what is in it, or because it was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa
from narrows.data.clock import fit_clock, legible, read_stamps
from narrows.data.series_set import IDS, SeriesSet, guess_time, open_series, take_apart
from narrows.data.stream import Stream
from narrows.errors import InvalidData, InvalidParameter

KINDS = ("auto", "table", "series", "images", "text")
#: Columns, and rows, from which on neighbouring columns can say that they are steps.
COLUMNS, ROWS = 24, 10
#: Correlation of neighbouring columns, in the middle of all, that steps have.
NEIGHBOURS = 0.8
#: How much lower it must be for columns that are a quarter of the row apart, or else all columns are one thing.
APART = 0.15
#: Rows and stamps that are looked at.
LOOKED_AT = 2_000
#: Share of the time stamps that must lie on a regular grid, and the fewest of them.
REGULAR, FEWEST = 0.9, 12
#: Channels of a series at most, and steps per channel at least, for an array of three axes to be series.
CHANNELS, STEPS = 16, 4


def series_reason(data: Any) -> str | None:
    """Why data is taken for series, in words; None where it is not.

    An array ``(n, columns)`` of fractions is a set of series if it has 24 columns and 10 rows or more, neighbouring
    columns go together (the median of their correlations over rows is 0.8 or more), and columns a quarter of the row
    apart do so clearly less (by 0.15): the columns are steps then. An array ``(n, T, C)`` is, if it holds fractions, C
    is at most 16 and T at least 4 · C: images are not that narrow. A long table is, if it has a column of time stamps
    that are regular for nine in ten (within each series, where a column names several), and 12 rows for each series.

    Args:
        data: An array, or an Arrow table.

    Raises:
        InvalidData: If it is a set of series but for a few time stamps that cannot be read, or come at several
            frequencies.
    """
    if isinstance(data, SeriesSet):
        return "a set of series"
    if isinstance(data, np.ndarray):
        return _of_array(data)
    return _of_table(data) if hasattr(data, "column_names") else None


def check_kind(kind: str | None) -> None:
    """Raise unless ``kind`` is a kind of data.

    Raises:
        InvalidParameter: If it is not.
    """
    if kind is not None and kind not in KINDS:
        raise InvalidParameter(f"--as {kind!r} is no kind of data: write {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def read_as(found: Any, kind: str, every: Any = None) -> Any:
    """A source read as a kind of data.

    Args:
        found: The `Source`.
        kind: What to read it as; "auto": series where they are recognised, else as it is.
        every: The step that the time stamps of series are brought to; with it, what "auto" opens is series.

    Raises:
        InvalidData: If it cannot be read so.
    """
    if every is not None:
        kind = _series_alone(kind)
    if isinstance(found.data, Stream) or kind == found.kind or (kind == "auto" and found.kind == "series"):
        return found
    if kind in ("auto", "series"):
        from narrows.data.series import Series

        reason = "series, as asked" if kind == "series" else _reason(found.data)
        if reason is None:
            return found
        data, test = _series(found.data, every), None if found.test is None else _series(found.test, every)
        own = found.labels if found.labels is not None and len(found.labels) == data.num_rows else None
        notes = [*found.notes, f"{reason} (--as table reads it otherwise)" if kind == "auto" else reason]
        return replace(found, kind="series", data=data, test=test, labels=own, notes=notes, format=Series(every=every))
    if kind == "images" and isinstance(found.data, np.ndarray) and found.data.ndim > 2:
        return found
    if isinstance(found.data, SeriesSet) or not hasattr(found.data, "shape") or len(found.data.shape) != 2:
        raise InvalidData(f"{found.name!r} holds {found.kind}, which cannot be read as {kind}")
    return found


def _reason(data: Any) -> str | None:
    try:
        return series_reason(data)
    except InvalidData as error:
        raise InvalidData(f"{error} (--as table reads it as a table)") from error


def _series_alone(kind: str) -> str:
    if kind not in ("auto", "series"):
        raise InvalidParameter(f"every= is the step of series, but the data are to be read as {kind}: leave one out")
    return "series"


def _series(data: Any, every: Any = None) -> SeriesSet:
    if isinstance(data, list):
        raise InvalidData("these are image files, which cannot be read as series")
    return open_series(data, every=every)


def _of_array(data: NDArray[Any]) -> str | None:
    if data.dtype.kind != "f":
        return None
    if data.ndim == 3 and data.shape[2] <= CHANNELS and data.shape[1] >= STEPS * data.shape[2]:
        return f"series: {data.shape[1]} steps of {data.shape[2]} channels are too narrow for images"
    return _of_matrix(data) if data.ndim == 2 else None


def _of_matrix(data: NDArray[Any]) -> str | None:
    rows, columns = data.shape
    if columns < COLUMNS or rows < ROWS:
        return None
    near, far = neighbours(np.asarray(data[:: max(1, rows // LOOKED_AT)], dtype=np.float64))
    if near < NEIGHBOURS or far > near - APART:
        return None
    return (
        f"series: the {columns} columns follow each other like steps (neighbours correlate by {near:.2f}, columns a "
        f"quarter of the row apart by {far:.2f})"
    )


def neighbours(x: NDArray[np.float64]) -> tuple[float, float]:
    """Median correlation, over rows, of neighbouring columns, and of columns a quarter of the row apart."""
    seen = np.isfinite(x).all(axis=1)
    if seen.sum() < ROWS:
        return 0.0, 0.0
    centred = x[seen] - x[seen].mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    keep = norm > 1e-12 * max(1.0, float(np.abs(x[seen]).max()))
    unit = centred[:, keep] / norm[keep]
    if unit.shape[1] < COLUMNS:
        return 0.0, 0.0
    apart = unit.shape[1] // 4
    near = (unit[:, 1:] * unit[:, :-1]).sum(axis=0)
    far = (unit[:, apart:] * unit[:, :-apart]).sum(axis=0)
    return float(np.median(near)), float(np.median(np.abs(far)))


def _of_table(table: Any) -> str | None:
    try:
        cells, names, rows = take_apart(table)
    except InvalidData:
        return None
    time = guess_time(cells, names)
    if time is not None:
        return _of_stamps(cells, time, rows)
    matrix = [c for c in cells.values() if isinstance(c, np.ndarray)]
    numbers = [np.asarray(c.to_numpy(zero_copy_only=False), dtype=float) for c in cells.values() if _is_float(c)]
    columns = [*matrix, *numbers]
    return _of_matrix(np.stack(columns, axis=1)) if len(columns) == len(names) >= COLUMNS else None


def _is_float(cells: Any) -> bool:
    return hasattr(cells, "type") and str(cells.type) in ("double", "float")


def _of_stamps(cells: dict[Any, Any], time: Any, rows: int) -> str | None:
    """Time stamps that are regular make a table series, and are to be mended where a few cannot be read."""
    there = legible(cells[time])
    if there.all():
        return _regular(cells, time, rows)
    kept = {name: c.filter(pa.array(there)) if isinstance(c, pa.Array) else c[there] for name, c in cells.items()}
    if there.mean() >= REGULAR and _regular(kept, time, int(there.sum())) is not None:
        read_stamps(cells[time], time)  # says which
    return None


def _regular(cells: dict[Any, Any], time: Any, rows: int) -> str | None:
    """Without an id, each time stamp must be there once."""
    stamps = read_stamps(cells[time], time)
    ids = [n for n in cells if str(n).lower() in IDS or str(n).lower().endswith("_id")]
    texts = [n for n in cells if n != time and hasattr(cells[n], "type") and "string" in str(cells[n].type)]
    for who in (None, *ids, *(texts if len(texts) == 1 else [])):
        groups = [np.arange(rows)]
        if who is not None:
            codes = cells[who]
            if hasattr(codes, "type"):  # blanks are one more series
                codes = codes.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
            order = np.argsort(codes, kind="stable")
            first = np.unique(codes[order], return_index=True)[1]
            if rows < FEWEST * len(first):
                continue
            groups = np.split(order, first[1:])
        groups = [g[np.argsort(stamps.ticks[g], kind="stable")] for g in groups]
        if rows < FEWEST * len(groups) or any((np.diff(stamps.ticks[g]) == 0).any() for g in groups):
            continue
        try:
            clock = fit_clock(stamps, groups)
        except InvalidData:
            if _steady([stamps.ticks[g] for g in groups]):
                raise
            continue
        found = [clock.ticks(stamps.ticks[g]) for g in groups]
        steps = np.concatenate([np.diff(t) / clock.step for t in found])
        if (np.abs(steps - np.rint(steps)) < 0.02).mean() >= REGULAR and (np.rint(steps) == 1).mean() >= REGULAR - 0.2:
            each = "" if who is None else f", one for each {who!r}"
            return f"series: the time stamps in {time!r} are regular, with steps of {clock.describe()}{each}"
    return None


def _steady(ticks: list[NDArray[np.float64]]) -> bool:
    """Whether nine of ten steps are as long as the one before: frequencies follow each other, or differ by series."""
    pairs = [(d[:-1], d[1:]) for d in map(np.diff, ticks)]
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return bool(len(before)) and float((np.abs(after - before) <= 0.02 * before).mean()) >= REGULAR
