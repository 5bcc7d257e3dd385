"""Series of any origin as one thing: tracks of equal steps, gaps blank, with their names and clock."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa, pc
from narrows.data.clock import Clock, check_clock, fit_clock, read_stamps, spells_dates, to_grid
from narrows.data.columns import LARGEST
from narrows.data.frames import open_table
from narrows.errors import DataWarning, InvalidData, InvalidParameter, InvalidType

#: Names that the columns of a long table usually have.
TIMES = ("time", "timestamp", "datetime", "date", "ds", "month", "day", "week", "year", "period", "t", "step")
IDS = ("id", "series", "series_id", "unique_id", "item", "item_id", "key", "sensor", "station", "name", "group")


@dataclass(frozen=True)
class Track:
    """One series.

    Attributes:
        values: ``(T, C)`` numbers, NaN where blank; or, where a channel is a category, cells as objects, None where
            blank.
        name: What it is called, where series have names.
        start: Tick of its first step on the clock.
    """

    values: NDArray[Any]
    name: Any = None
    start: float = 0.0

    def __len__(self) -> int:
        """How many steps it has."""
        return len(self.values)

    def part(self, first: int, end: int, clock: Clock | None) -> Track:
        """Its steps from ``first`` to before ``end``."""
        step = 1.0 if clock is None else clock.step
        return replace(self, values=self.values[first:end], start=self.start + first * step)


@dataclass(frozen=True)
class SeriesSet:
    """A set of series.

    Attributes:
        tracks: The series.
        shape: What they came as: "grid" ``(n, T, C)``, "flat" ``(n, T)``, "single" ``(T,)``, "list" of ``(T, C)``,
            "lines" of ``(T,)``, or "frame", a long table.
        kind: For frames "pandas", "polars" or "pyarrow"; for arrays the name of their type.
        channels: What the channels are called.
        axes: For frames, the names of the columns of series and times; None where there are none.
        clock: The grid of time stamps; None where there are none.
        notes: What was found and changed, in words.
    """

    tracks: tuple[Track, ...]
    shape: str
    kind: str
    channels: tuple[str, ...]
    axes: tuple[Any, Any] = (None, None)
    clock: Clock | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """How many series there are: what counts rows counts these."""
        return len(self.tracks)

    def __len__(self) -> int:
        """How many series there are."""
        return len(self.tracks)

    def take(self, index: Iterable[int]) -> SeriesSet:
        """Some of the series."""
        return replace(self, tracks=tuple(self.tracks[int(i)] for i in index))

    def cut(self, last: int) -> tuple[SeriesSet, SeriesSet]:
        """All series without their last steps, and those; what is less than three times as long stays whole."""
        long = [t for t in self.tracks if len(t) >= 3 * last]
        before = [t.part(0, len(t) - last, self.clock) if len(t) >= 3 * last else t for t in self.tracks]
        after = [t.part(len(t) - last, len(t), self.clock) for t in long]
        return replace(self, tracks=tuple(before)), replace(self, tracks=tuple(after))

    @property
    def ragged(self) -> bool:
        """Whether some are longer than others."""
        return len({len(t) for t in self.tracks}) > 1


def open_series(
    raw: Any,
    *,
    id: Any = None,  # noqa: A002
    time: Any = None,
    values: Sequence[Any] = (),
    every: Any = None,
    clock: Clock | None = None,
) -> SeriesSet:
    """Series out of whatever holds them.

    Args:
        raw: Array ``(n, T, C)``, ``(n, T)`` or ``(T,)``; a list of arrays ``(T,)`` or ``(T, C)`` of any lengths; a long
            table (pandas, polars, pyarrow) with a row per step; or a `SeriesSet`.
        id: For tables, the column that says which series a row belongs to; None: guessed.
        time: The column of time stamps; None: guessed.
        values: The columns of values; none: all other columns of numbers.
        every: The step of the grid; None: the usual distance between stamps.
        clock: The grid itself, where it is known.

    Returns:
        The series, on a regular grid, with what was guessed and changed in ``notes``.

    Raises:
        InvalidData: If there is nothing to learn from, values are infinite, or time stamps cannot be put on one grid.
        InvalidType: If it is none of these containers.
        InvalidParameter: If a column that was named is not there.
    """
    if isinstance(raw, SeriesSet):
        return raw
    if hasattr(raw, "detach"):
        raw = raw.detach().cpu().numpy()
    if isinstance(raw, (list, tuple)):
        return _of_list(raw)
    if hasattr(raw, "columns") or hasattr(raw, "column_names") or hasattr(raw, "__arrow_c_stream__"):
        return _of_frame(raw, id, time, tuple(values), every, clock)
    if not hasattr(raw, "__array__"):
        raise InvalidType(
            f"{type(raw).__name__} holds no series: give an array (n, time) or (n, time, channels), a list of arrays, "
            "or a table with a row per time stamp"
        )
    return _of_array(np.asarray(raw))


# --- arrays ----------------------------------------------------------------------------------------------------


def _of_array(array: NDArray[Any]) -> SeriesSet:
    shapes = {1: "single", 2: "flat", 3: "grid"}
    if array.ndim not in shapes:
        raise InvalidData(
            f"an array of shape {array.shape} holds no series: give (time,), (n, time) or (n, time, channels)"
        )
    if array.size == 0:
        raise InvalidData(f"an array of shape {array.shape} is empty: there is nothing to learn from")
    grid = {1: array.reshape(1, -1, 1), 2: array[..., None] if array.ndim == 2 else array, 3: array}[array.ndim]
    tracks = tuple(Track(_numbers(one, f"series {i}")) for i, one in enumerate(grid))
    return SeriesSet(tracks, shapes[array.ndim], array.dtype.name, _channel_names(grid.shape[2]))


def _of_list(raw: Sequence[Any]) -> SeriesSet:
    if not raw:
        raise InvalidData("the list of series is empty: there is nothing to learn from")
    arrays = [np.asarray(one.detach().cpu() if hasattr(one, "detach") else one) for one in raw]
    if all(a.ndim == 0 for a in arrays):
        return _of_array(np.asarray(raw))
    ndims = {a.ndim for a in arrays}
    widths = {a.shape[1:] for a in arrays}
    if len(ndims) > 1 or not ndims <= {1, 2} or len(widths) > 1:
        shown = ", ".join(str(a.shape) for a in arrays[:4])
        raise InvalidData(f"a list of arrays of shapes {shown} holds no series: give (time,) or (time, channels) each")
    flat = ndims == {1}
    tracks = [Track(_numbers(a[:, None] if flat else a, f"series {i}")) for i, a in enumerate(arrays)]
    dtype = np.result_type(*arrays).name
    return SeriesSet(tuple(tracks), "lines" if flat else "list", dtype, _channel_names(tracks[0].values.shape[1]))


def _channel_names(count: int) -> tuple[str, ...]:
    return ("value",) if count == 1 else tuple(f"channel {j}" for j in range(count))


def _numbers(values: NDArray[Any], whose: str) -> NDArray[np.float64]:
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise InvalidType(
                f"{whose} holds {values.dtype} cells: give numbers, or a table with named columns"
            ) from None
    if not len(values):
        raise InvalidData(f"{whose} has no steps: leave it out")
    result = values.astype(np.float64)
    if np.isinf(result).any() or np.nanmax(np.abs(result), initial=0) > LARGEST:
        raise InvalidData(f"{whose} holds infinite numbers, or numbers beyond {LARGEST:g}: make them blank (NaN)")
    return result


# --- long tables -----------------------------------------------------------------------------------------------


def _of_frame(raw: Any, id_: Any, time: Any, values: tuple[Any, ...], every: Any, known: Clock | None) -> SeriesSet:
    opened = open_table(raw)
    names = list(opened.names or [])
    cells = dict(zip(names, opened.cells, strict=True))
    notes = list(opened.notes)
    for option, wanted in (("id", [id_]), ("time", [time]), ("values", values)):
        missing = [w for w in wanted if w is not None and w not in cells]
        if missing:
            raise InvalidParameter(
                f"{option}={missing[0]!r}: there is no such column; there are {', '.join(map(str, names))}"
            )
    free = [n for n in names if n not in (id_, time, *values)]
    if time is None:
        time = guess_time(cells, free)
        notes.append(
            f"time: column {time!r}" if time is not None else "no column of time stamps: rows are in their order"
        )
    free = [n for n in free if n != time]
    if id_ is None:
        id_ = _guess_id(cells, free, time)
        if id_ is not None:
            notes.append(f"series: one for each {id_!r}")
    channels = values or tuple(n for n in free if n != id_ and _is_number(cells[n]))
    left = [n for n in free if n != id_ and n not in channels]
    blank = [n for n in left if _is_blank(cells[n])]
    left = [n for n in left if n not in blank]
    if blank:
        notes.append(f"columns without a single value were left out: {', '.join(map(str, blank[:5]))}")
    if left:
        notes.append(
            f"columns that are no numbers were left out: {', '.join(map(str, left[:5]))} (values= takes them in)"
        )
    if not channels:
        empty = f" ({', '.join(map(str, blank))}: all blank)" if blank else ""
        raise InvalidData(
            f"none of the columns {', '.join(map(str, names))} holds numbers{empty}: name the values by values="
        )
    matrix = _matrix(cells, channels)
    groups, called = _groups(cells.get(id_), opened.rows)
    kind = opened.container.kind
    if time is None:
        tracks = tuple(Track(matrix[g], n) for g, n in zip(groups, called, strict=True))
        return SeriesSet(tracks, "frame", kind, tuple(map(str, channels)), (id_, None), None, notes)
    tracks, clock = _in_time(cells[time], time, groups, called, matrix, every, known, notes)
    return SeriesSet(tracks, "frame", kind, tuple(map(str, channels)), (id_, time), clock, notes)


def take_apart(raw: Any) -> tuple[dict[Any, Any], list[Any], int]:
    """The columns of a table by name, their names, and how many rows it has."""
    opened = open_table(raw)
    names = list(opened.names or [])
    return dict(zip(names, opened.cells, strict=True)), names, opened.rows


def guess_time(cells: dict[Any, Any], names: Sequence[Any]) -> Any:
    """The column of time stamps: the first that spells dates, or is called like one and holds different numbers."""
    for name in names:
        if spells_dates(cells[name]):
            return name
    called = [n for n in names if str(n).lower() in TIMES and _is_number(cells[n])]
    return called[0] if called else None


def _guess_id(cells: dict[Any, Any], names: Sequence[Any], time: Any) -> Any:
    """The column of names of series: called like one, or the only text where time stamps occur several times."""
    called = [n for n in names if str(n).lower() in IDS or str(n).lower().endswith("_id")]
    texts = [n for n in names if not _is_number(cells[n])]
    if called and (called[0] in texts or time is None or _repeats(cells[time])):
        return called[0]
    return texts[0] if len(texts) == 1 and time is not None and _repeats(cells[time]) else None


def _repeats(cells: Any) -> bool:
    return len(pc.unique(cells if isinstance(cells, pa.Array) else pa.array(cells))) < len(cells)


def _is_blank(cells: Any) -> bool:
    return isinstance(cells, pa.Array) and cells.null_count == len(cells)


def _is_number(cells: Any) -> bool:
    if isinstance(cells, pa.Array):
        types = pa.types
        return (
            types.is_floating(cells.type)
            or types.is_integer(cells.type)
            or types.is_decimal(cells.type)
            or types.is_boolean(cells.type)
        )
    return cells.dtype.kind in "biuf"


def _matrix(cells: dict[Any, Any], channels: Sequence[Any]) -> NDArray[Any]:
    columns = [_column(cells[name]) for name in channels]
    if all(c.dtype.kind == "f" for c in columns):
        return _numbers(np.stack(columns, axis=1), "the table")
    return np.stack([c.astype(object) for c in columns], axis=1)


def _column(cells: Any) -> NDArray[Any]:
    if not isinstance(cells, pa.Array):
        return np.asarray(cells, dtype=np.float64)
    if _is_blank(cells):
        return np.full(len(cells), np.nan)
    if _is_number(cells):
        numbers = cells.cast(pa.int8()) if pa.types.is_boolean(cells.type) else cells
        return numbers.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    array = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    return np.array(array.cast(pa.string()).to_pylist(), dtype=object)


def _groups(cells: Any, rows: int) -> tuple[list[NDArray[np.int64]], list[Any]]:
    if cells is None:
        return [np.arange(rows)], [None]
    array = cells if isinstance(cells, pa.Array) else pa.array(cells)
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    index = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    if (index < 0).any():
        raise InvalidData("some rows do not say which series they belong to: fill them in, or leave them out")
    order = np.argsort(index, kind="stable")
    kinds, first = np.unique(index[order], return_index=True)
    names = coded.dictionary.to_pylist()
    return np.split(order, first[1:]), [names[int(k)] for k in kinds]


def _in_time(
    cells: Any,
    column: Any,
    groups: list[NDArray[np.int64]],
    called: list[Any],
    matrix: NDArray[Any],
    every: Any,
    known: Clock | None,
    notes: list[str],
) -> tuple[tuple[Track, ...], Clock]:
    stamps = read_stamps(cells, column)
    unsorted = sum(bool(np.any(np.diff(stamps.ticks[g]) < 0)) for g in groups)
    if unsorted:
        notes.append(f"time stamps were not in order in {unsorted} of {len(groups)} series: sorted")
    groups = [g[np.argsort(stamps.ticks[g], kind="stable")] for g in groups]
    double = sum(int((np.diff(stamps.ticks[g]) == 0).sum()) for g in groups)
    if double:
        said = f"{double:,} time stamps occur more than once in a series: their values were averaged"
        notes.append(said)
        warnings.warn(DataWarning(f"{said}; name the column of series by id= if these are several"), stacklevel=5)
    single = [g[np.append(True, np.diff(stamps.ticks[g]) > 0)] for g in groups]
    clock = fit_clock(stamps, single, every) if known is None else check_clock(known, stamps, single)
    tracks, off, blank = [], 0, 0
    for g, name in zip(groups, called, strict=True):
        start, index, regular = to_grid(clock, stamps.ticks[g], name)
        values = _onto(index, matrix[g])
        off += not regular
        blank += len(values) - len(np.unique(index))
        tracks.append(Track(values, name, start))
    notes.append(f"steps of {clock.describe()}")
    if off:
        notes.append(
            f"time stamps were irregular in {off} of {len(groups)} series: brought to the nearest step, averaged where "
            "several fell on one"
        )
    if blank:
        notes.append(f"{blank:,} steps without a time stamp are gaps: blank")
    return tuple(tracks), clock


def _onto(index: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """Values ``(n, C)`` on the steps ``(n,)`` that they belong to: averages of numbers, the last of categories."""
    steps = int(index[-1]) + 1
    if values.dtype == object:
        placed = np.full((steps, values.shape[1]), None, dtype=object)
        placed[index] = values
        return placed
    seen = np.isfinite(values)
    total, count = np.zeros((steps, values.shape[1])), np.zeros((steps, values.shape[1]))
    np.add.at(total, index, np.where(seen, values, 0))
    np.add.at(count, index, seen)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
