"""The series format: arrays, lists and long tables of series as rows of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from narrows._part import Interval, Part
from narrows.data.seasons import find_season
from narrows.data.series_close import Template
from narrows.data.series_format import SeriesFormat, seen, stacked
from narrows.data.series_set import SeriesSet, Track, open_series
from narrows.data.table import Table, TableFormat
from narrows.data.trend import Trend
from narrows.errors import InvalidData

__all__ = ["Series", "SeriesFormat"]

FEW = 10  # series below which whole ones are too few to learn from
LONGEST = 128  # steps of a window that was not asked for
KNOTS = 64  # lengths that are kept of series of unequal lengths


class Series(Part, room="formats"):
    """Options of how series are read, cut into rows and scaled.

    Args:
        window: Steps per row: longer series are cut into windows. None: a row is a whole series; but a single series,
            and fewer than 10 of more than 128 steps, are cut into windows of two of their seasons (an eighth of the
            longest where there is none), 16 to 128 steps long.
        stride: Steps from one window to the next; None: a quarter of the window. The last window ends with the series.
        scaling: "global": every channel has one scale for all series; "instance": every row is brought to mean 0 and
            deviation 1 in every channel, so that only its shape is learnt.
        id: For long tables, the column that says which series a row belongs to; None: guessed.
        time: The column of time stamps; None: guessed.
        values: The columns of values; none: all other columns of numbers. Text among them is a category.
        every: The step of the grid that time stamps are brought to, such as "15min", "1h", "1d", "1mo"; None: the
            usual distance between them.

    Example:
        ```python
        import numpy as np
        from narrows.data import Series

        beats = np.sin(np.linspace(0, 6, 50)) * np.arange(1, 21)[:, None]   # 20 series of 50 steps
        fitted = Series().fit(beats)
        fitted.to_rows(beats).values.shape   # torch.Size([20, 50, 1])
        ```
    """

    window: Annotated[int, Interval(2)] | None = None
    stride: Annotated[int, Interval(1)] | None = None
    scaling: Literal["global", "instance"] = "global"
    id: str | int | None = None
    time: str | int | None = None
    values: tuple[str | int, ...] = ()
    every: str | float | None = None

    def fit(self, raw: Any, likelihood: Any = None, trend: Trend | None = None) -> SeriesFormat:
        """Learn steps, channels and scales.

        Args:
            raw: Array ``(n, T, C)``, ``(n, T)`` or ``(T,)`` (one long series); a list of arrays ``(T,)`` or ``(T, C)``
                of any lengths; or a long table with a row per step. NaN and null are gaps.
            likelihood: The one that will judge the steps; None: chosen by the values.
            trend: What is taken away first.

        Returns:
            The fitted format.

        Raises:
            InvalidData: If there is nothing to learn from, or time stamps cannot be put on one grid.
            InvalidParameter: If a column is not there, or the likelihood cannot describe the values.
        """
        self.check()
        opened = open_series(raw, id=self.id, time=self.time, values=self.values, every=self.every)
        check_any(opened)
        template = Template.of(opened)
        tracks = [t.values if trend is None else trend.forward(t.values, template.phase(t)) for t in opened.tracks]
        reasons = list(opened.notes)
        window, stride = self._windows(opened, tracks, reasons)
        steps = min(window, max(len(t) for t in tracks)) if window else max(len(t) for t in tracks)
        table = _fit_table(tracks, opened.channels, likelihood)
        draft = SeriesFormat(self, table, steps, stride, any(len(t) < steps for t in tracks), template, trend=trend)
        reasons += _words(draft, opened, tracks, likelihood)
        return _with_measures(replace(draft, given=likelihood, reasons=reasons), tracks)

    def _windows(self, opened: SeriesSet, tracks: Sequence[Any], reasons: list[str]) -> tuple[int, int]:
        """Steps per window and from one to the next; zeros where a row is a whole series."""
        longest = max(len(t) for t in tracks)
        if self.window is not None:
            return self.window, self.stride or max(1, self.window // 4)
        if not few_and_long(tracks):
            return 0, 0
        season = 1 if opened.tracks[0].values.dtype == object else find_season(tracks)[0]
        window = int(np.clip(2 * season if season > 1 else longest // 8, min(16, max(2, longest // 2)), LONGEST))
        why = f"two seasons of {season} steps" if season > 1 and window == 2 * season else "no season sets a length"
        which = "one series" if len(tracks) == 1 else f"few series, {len(tracks)}, and long"
        reasons.append(f"{which}, cut into windows of {window} steps ({why}; window= sets it)")
        return window, self.stride or max(1, window // 4)


# --- fitting -------------------------------------------------------------------------------------------------


def few_and_long(tracks: Sequence[Any]) -> bool:
    """Whether series are too few to be learnt from as rows, and long enough to be cut into windows."""
    return len(tracks) == 1 or (len(tracks) < FEW and max(len(t) for t in tracks) > LONGEST)


def check_any(opened: SeriesSet) -> None:
    """Raise unless there is something to follow in time.

    Raises:
        InvalidData: If no series has two steps, or none a value.
    """
    if max(len(t) for t in opened.tracks) < 2:
        raise InvalidData(
            "every series has one step, so there is nothing to follow in time: give longer ones, or learn the values "
            "as a table (format=Table())"
        )
    if not any(seen(t.values).any() for t in opened.tracks):
        raise InvalidData("every value of the series is blank (NaN or null): there is nothing to learn from")


def _fit_table(tracks: Sequence[NDArray[Any]], channels: Sequence[str], likelihood: Any) -> TableFormat:
    return Table(scaling="standard").fit(stacked(tracks, channels), likelihood=likelihood)


def _with_measures(draft: SeriesFormat, tracks: Sequence[NDArray[Any]]) -> SeriesFormat:
    """Lengths, levels and spreads of training rows."""
    lengths = np.sort(draft.places([len(t) for t in tracks])[:, 2])
    kept = lengths[np.linspace(0, len(lengths) - 1, min(KNOTS, len(lengths))).round().astype(int)]
    found = replace(draft, lengths=tuple(int(n) for n in kept))
    if not found.instance:
        return found
    plain = replace(found, trend=None)  # the trend has been taken away already
    rows, level, spread = plain._rows(SeriesSet(tuple(Track(t) for t in tracks), "list", "float64", draft.channels))
    middle = [tuple(float(v) for v in m.flatten(0, 1).median(0).values) for m in (level, spread)]
    reach = (float(rows.values.min()), float(rows.values.max()))
    return replace(found, level=middle[0], spread=middle[1], reach=reach)


def _words(draft: SeriesFormat, opened: SeriesSet, tracks: Sequence[NDArray[Any]], likelihood: Any) -> list[str]:
    lengths = [len(t) for t in opened.tracks]
    span = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    channels = f"{len(draft.channels)} channel{'s' * (len(draft.channels) != 1)}"
    words = [f"{len(lengths):,} series of {span} steps, {channels}"]
    if draft.stride and max(lengths) > draft.steps:
        words.append(f"rows are windows of {draft.steps} steps, one every {draft.stride}")
    gaps = 1 - sum(seen(t).sum() for t in tracks) / sum(t.size for t in tracks)
    if gaps:
        words.append(f"{gaps:.1%} of the values are gaps: the model neither sees nor is judged by them")
    empty = sum(not seen(t).any() for t in tracks)
    if empty:
        words.append(f"{empty} series hold no value at all, and teach nothing")
    if draft.instance:
        words.append("every row is scaled by its own level and spread: only its shape is learnt")
    if draft.ragged:
        words.append(
            "series are of unequal lengths: those that the model makes up have the lengths of training, in turn"
        )
    if draft.trend is not None:
        words.append(draft.trend.describe())
        if draft.trend.profile and opened.clock is None:
            words.append(
                "no time stamps say where in its season a series begins: those that were learnt begin alike, others "
                "where the usual season fits them best"
            )
    said = {"Gaussian": "numbers", "Categorical": "categories"}.get(
        type(draft.likelihood()).__name__, "of several kinds"
    )
    words.append(
        f"likelihood {likelihood!r}, as asked" if likelihood is not None
        else f"{type(draft.likelihood()).__name__} likelihood of every step: its channels are {said}"
    )  # fmt: skip
    return words
