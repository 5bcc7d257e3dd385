"""Time stamps: read, put on a regular grid, and made again for steps that are to come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa
from narrows.errors import InvalidData, InvalidParameter

Ticks = NDArray[np.float64]

#: Of a step: stamps that lie closer to the grid than this are taken to lie on it.
NEAR = 0.01
#: Share of the distances between stamps from which on a second distance, three times the first or more, is a frequency
#: of its own. Days without weekends, where one distance in five is three days, stay below it.
SECOND = 0.25
#: Steps per stamp beyond which a grid is refused: it would be nearly empty.
EMPTIEST = 20
#: Share of the cells that must spell dates for a column of text to be one of time stamps: the others are slips.
DATES = 0.9
_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "min": 6 * 10**7, "h": 36 * 10**8, "d": 864 * 10**8, "w": 6048 * 10**8}
_MONTH = "mo"


@dataclass(frozen=True)
class Clock:
    """A regular grid of times.

    Attributes:
        kind: "number"; "datetime" (ticks are microseconds since 1970); or "month" (ticks are months since 1970, for
            stamps that are always on the same day of the month).
        step: Ticks from one step to the next.
        type: Arrow's name of the stamps' type, or "text" for text that spells dates.
        day: Days and time of day after the first of a month, in microseconds; below 0 before the next month's.
        width: How many characters of a date were spelt, where stamps were text.
    """

    kind: str
    step: float
    type: str = "double"
    day: int = 0
    width: int = 10

    def stamps(self, start: float, index: Any) -> Any:
        """Stamps of steps.

        Args:
            start: Tick of step 0.
            index: ``(m,)`` whole numbers of steps after it; may lie beyond the data.

        Returns:
            ``(m,)`` an Arrow array of the type that stamps had.
        """
        ticks = start + np.asarray(index, dtype=np.float64) * self.step
        if self.kind == "number":
            whole = self.type != "double" and bool(np.all(ticks == np.rint(ticks)))
            return pa.array(np.rint(ticks).astype(np.int64) if whole else ticks)
        if self.kind == "month":
            # the last day of a month is told from the first of the next one
            first = (np.rint(ticks) + (self.day < 0)).astype(np.int64).astype("datetime64[M]").astype("datetime64[us]")
            times: Any = first + np.timedelta64(self.day, "us")
        else:
            times = np.rint(ticks).astype(np.int64).astype("datetime64[us]")
        if self.type == "text":
            return pa.array([str(t)[: self.width] for t in np.datetime_as_string(times.astype("datetime64[us]"))])
        return pa.array(times).cast(pa.timestamp("us")).cast(_type(self.type), safe=False)

    def ticks(self, ticks: Ticks) -> Ticks:
        """Ticks of this clock of stamps' ticks."""
        return _to_months(ticks) if self.kind == "month" else ticks

    def describe(self) -> str:
        """The step in words."""
        if self.kind == "number":
            return f"{self.step:g}"
        if self.kind == "month":
            months = round(self.step)
            return {1: "a month", 3: "a quarter", 12: "a year"}.get(months, f"{months} months")
        for unit, word in (("d", "day"), ("h", "hour"), ("min", "minute"), ("s", "second"), ("ms", "millisecond")):
            if self.step >= _UNITS[unit]:
                number = self.step / _UNITS[unit]
                return f"{number:g} {word}{'s' * (number != 1)}"
        return f"{self.step:g} microseconds"

    def to_config(self) -> dict[str, Any]:
        """The clock as plain JSON."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Clock:
        """The clock that ``to_config`` described."""
        if config["kind"] not in ("number", "datetime", "month") or not float(config["step"]) > 0:
            raise ValueError(f"{config!r} is no clock")
        return cls(
            str(config["kind"]), float(config["step"]), str(config["type"]), int(config["day"]), int(config["width"])
        )


@dataclass(frozen=True)
class Stamps:
    """Time stamps as numbers.

    Attributes:
        kind: "number" or "datetime".
        ticks: ``(n,)``; microseconds for times.
        type: Arrow's name of the type, or "text".
        width: How many characters a date was spelt with.
    """

    kind: str
    ticks: Ticks
    type: str
    width: int = 10


def read_stamps(cells: Any, name: Any) -> Stamps:
    """Time stamps of a column.

    Args:
        cells: NumPy numbers, or an Arrow array of numbers, times or text that spells dates as 2026-11-21 or 2026-11.
        name: What the column is called.

    Raises:
        InvalidData: If stamps are blank, infinite, or spell no dates.
    """
    array = _plain(cells)
    if array.null_count:
        raise InvalidData(
            f"the time stamps in {name!r} are blank in {array.null_count:,} of {len(array):,} rows, first in row "
            f"{_first(array.is_null())}: fill them in, or leave such rows out"
        )
    types = pa.types
    if types.is_temporal(array.type) and not types.is_time(array.type):
        micro = array.cast(pa.timestamp("us"), safe=False) if not types.is_duration(array.type) else array
        return Stamps(
            "datetime", micro.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False).astype(float), str(array.type)
        )
    if types.is_integer(array.type) or types.is_floating(array.type):
        ticks = array.to_numpy(zero_copy_only=False).astype(np.float64)
        if not np.isfinite(ticks).all():
            raise InvalidData(f"the time stamps in {name!r} are blank or infinite in some rows: leave such rows out")
        return Stamps("number", ticks, "int64" if types.is_integer(array.type) else "double")
    if _is_text(array):
        texts = array.to_pylist()
        try:
            times = np.array([np.datetime64(t.strip().replace("/", "-")) for t in texts], dtype="datetime64[us]")
        except ValueError:
            bad = [i for i, t in enumerate(texts) if not _legible(t)]
            some = "" if len(bad) == len(texts) else f" in {len(bad):,} of {len(texts):,} rows"
            raise InvalidData(
                f"the time stamps in {name!r} spell no dates{some}, such as {texts[bad[0]]!r} in row {bad[0] + 1:,}: "
                "write them as 2026-11-21, 2026-11-21T13:45 or 2026-11, leave such rows out, or name another column "
                "by time="
            ) from None
        if np.isnat(times).any():
            raise InvalidData(f"the time stamps in {name!r} are blank in some rows: leave such rows out")
        return Stamps("datetime", times.astype(np.int64).astype(float), "text", max(len(t.strip()) for t in texts))
    raise InvalidData(f"the column {name!r} holds {array.type} cells, which are no time stamps: name another by time=")


def legible(cells: Any) -> NDArray[np.bool_]:
    """Which time stamps of a column ``(n,)`` can be read."""
    array = _plain(cells)
    there: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type):
        return there & np.isfinite(array.to_numpy(zero_copy_only=False))
    if not _is_text(array):
        return there
    return np.array([t is not None and _legible(t) for t in array.to_pylist()], dtype=bool)


def _plain(cells: Any) -> Any:
    array = cells if isinstance(cells, pa.Array) else pa.array(np.asarray(cells))
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(array: Any) -> bool:
    return bool(
        pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or str(array.type) == "string_view"
    )


def _legible(text: str) -> bool:
    try:
        return not np.isnat(np.datetime64(text.strip().replace("/", "-")))
    except ValueError:
        return False


def _first(which: Any) -> str:
    return f"{int(np.argmax(which.to_numpy(zero_copy_only=False))) + 1:,}"


def spells_dates(cells: Any) -> bool:
    """Whether a column's cells are times, or text that spells dates in nine of ten."""
    array = cells if isinstance(cells, pa.Array) else None
    if array is None:
        return False
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        return True
    if not _is_text(array):
        return False
    some = [t for t in array[:50].to_pylist() if t is not None]
    dates = sum(re.match(r"\d{4}[-/]\d{1,2}([-/]\d{1,2})?([T ]|$)", t) is not None for t in some)
    return dates > 0 and dates >= DATES * len(some)


def parse_every(every: Any) -> tuple[float, bool]:
    """Ticks of a step as it was typed, ``"15min"``, ``"1h"``, ``"1mo"`` or ``2.5``, and whether they are months.

    Raises:
        InvalidParameter: If it is no length of time.
    """
    if isinstance(every, (int, float)) and not isinstance(every, bool) and every > 0:
        return float(every), False
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|w|mo)\s*", every) if isinstance(every, str) else None
    if found is None or float(found[1]) <= 0:
        raise InvalidParameter(
            f"every={every!r} is no length of time: write 15min, 1h, 1d, 1w, 1mo, or a number above 0"
        )
    if found[2] == _MONTH:
        return float(found[1]), True
    return float(found[1]) * _UNITS[found[2]], False


def fit_clock(stamps: Stamps, groups: list[NDArray[np.int64]], every: Any = None) -> Clock:
    """The grid that suits stamps.

    Args:
        stamps: All of them.
        groups: Places of each series, in the order of time, without duplicates.
        every: The step that was asked for; None: the usual distance between stamps.

    Raises:
        InvalidData: If stamps come at several frequencies.
    """
    ticks = stamps.ticks
    common: dict[str, Any] = {"type": stamps.type, "width": stamps.width}
    if every is not None:
        step, months = parse_every(every)
        if months and stamps.kind != "datetime":
            raise InvalidParameter(f"every={every!r}: the time stamps are numbers, so give a number")
        made = Clock("month", step, **common) if months else Clock(stamps.kind, step, **common)
        return made if not months else _with_day(made, ticks)
    monthly = stamps.kind == "datetime" and _months(ticks)
    if monthly:
        months_of = _to_months(ticks)
        found = _distances(months_of, groups)
        return _with_day(Clock("month", max(1.0, float(np.gcd.reduce(found.astype(int)))), **common), ticks)
    found = _distances(ticks, groups)
    if not len(found):
        return Clock(stamps.kind, 1.0 if stamps.kind == "number" else float(_UNITS["d"]), **common)
    clock = Clock(stamps.kind, float(np.median(found)), **common)
    _check_one_frequency(found, clock)
    medians = {float(np.median(np.diff(ticks[g]))) for g in groups if len(g) > 2}
    if medians and max(medians) > 2 * min(medians):
        low, high = (Clock(stamps.kind, m).describe() for m in (min(medians), max(medians)))
        raise InvalidData(
            f"the series come at several frequencies: some have steps of {low}, others of {high}; bring them "
            "to one with every= (--every), such as every='1d', or learn them apart"
        )
    return clock


def check_clock(clock: Clock, stamps: Stamps, groups: list[NDArray[np.int64]]) -> Clock:
    """A clock that is known, if stamps come at its pace.

    Raises:
        InvalidData: If they are of another kind, or come much more or less often.
    """
    kind = "datetime" if clock.kind == "month" else clock.kind
    if stamps.kind != kind:
        raise InvalidData(f"the time stamps are {stamps.kind}s, but the model was fitted on {kind}s: give such")
    found = _distances(clock.ticks(stamps.ticks), groups)
    if len(found) and not 0.5 <= float(np.median(found)) / clock.step <= 2:
        usual = Clock(clock.kind, max(float(np.median(found)), 1e-9)).describe()
        raise InvalidData(
            f"the time stamps have steps of {usual}, but the model was fitted on steps of {clock.describe()}: bring "
            "them to that first"
        )
    return clock


def to_grid(clock: Clock, ticks: Ticks, name: Any) -> tuple[float, NDArray[np.int64], bool]:
    """Steps of sorted stamps.

    Returns:
        The tick of step 0, ``(n,)`` the step of every stamp, and whether all lay on the grid.

    Raises:
        InvalidData: If the grid would be nearly empty.
    """
    ticks = clock.ticks(ticks)
    start = float(ticks[0])
    place = (ticks - start) / clock.step
    index = np.rint(place).astype(np.int64)
    if index[-1] + 1 > EMPTIEST * (len(index) + 10):
        whose = "" if name is None else f" of {name!r}"
        raise InvalidData(
            f"the {len(index):,} time stamps{whose} lie so far apart that steps of {clock.describe()} make "
            f"{index[-1] + 1:,} of them, nearly all of them blank: give a longer step with every= (--every), "
            "such as every='1d'"
        )
    return start, index, bool(np.all(np.abs(place - index) <= NEAR))


def _distances(ticks: Ticks, groups: list[NDArray[np.int64]]) -> Ticks:
    found = [np.diff(ticks[g]) for g in groups if len(g) > 1]
    return np.concatenate(found) if found else np.empty(0)


def _check_one_frequency(found: Ticks, clock: Clock) -> None:
    # two distances that each occur often are two frequencies; distances of all kinds are only irregular
    values, counts = np.unique(np.round(found / clock.step, 2), return_counts=True)
    often = values[counts >= SECOND * len(found)]
    if len(often) > 1 and often.max() >= 3 * often.min():
        low, high = (Clock(clock.kind, float(v) * clock.step).describe() for v in (often.min(), often.max()))
        raise InvalidData(
            f"the time stamps come at several frequencies: steps of {low} and of {high}; bring them to one with "
            "every= (--every), such as every='1d', or learn the parts apart"
        )


def _months(ticks: Ticks) -> bool:
    """Whether stamps are all on the same day and time of a month, or all on its last day, and no closer."""
    times = ticks.astype(np.int64).astype("datetime64[us]")
    first = times.astype("datetime64[M]")
    rest = (times - first.astype("datetime64[us]")).astype(np.int64)
    last = np.all((times + np.timedelta64(1, "D")).astype("datetime64[M]") > first)
    return bool(len(np.unique(first)) > 2 and (np.all(rest == rest[0]) or last))


def _to_months(ticks: Ticks) -> Ticks:
    return ticks.astype(np.int64).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64).astype(float)


def _with_day(clock: Clock, ticks: Ticks) -> Clock:
    times = ticks.astype(np.int64).astype("datetime64[us]")
    last = np.all((times + np.timedelta64(1, "D")).astype("datetime64[M]") > times.astype("datetime64[M]"))
    month = times[0].astype("datetime64[M]") + np.timedelta64(int(last), "M")
    day = int((times[0] - month.astype("datetime64[us]")).astype(np.int64))
    return Clock(clock.kind, clock.step, clock.type, day, clock.width)


def _type(name: str) -> Any:
    from narrows.data.frames import parse_type

    return parse_type(name)
