"""Tables: original against reconstruction, and sampled against real columns."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import InvalidData
from narrows.plots._columns import Columns, clocks, columns_of, is_number
from narrows.plots._style import BLUE, GREY, INK, LIGHT, ORANGE, evenly, figure, short, some, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SHOWN = 12  # columns on one figure, at most
BARS = 20  # categories' columns on one figure, at most
POINTS = 1500  # rows per scatter: more would only be a blot
ACROSS = 4
LETTERS = 19  # of a name above one of four panels


def column_pairs(originals: Any, reconstructions: Any, n: int = SHOWN, *, heading: str | None = None) -> Figure:
    """Number columns as scatters of reconstruction over original; categories as bars of how many are right.

    With more than ``n`` number columns, some are shown from the best to the worst reconstructed, both included.

    Args:
        originals: Rows, in any container; blank cells are left out.
        reconstructions: The same rows after the model.
        n: How many number columns to show at most.
        heading: Title; None for one that says what is shown.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two do not have the same columns and rows, or there is nothing to compare.
    """
    before, after, times = columns_of(originals), columns_of(reconstructions), clocks(originals)
    _check(before, after)
    fits = {name: _fit(column, after[name]) for name, column in before.items() if is_number(column)}
    fits = {name: fit for name, fit in fits.items() if fit is not None}
    order = sorted(fits, key=lambda name: -fits[name])  # type: ignore[operator]
    scatters = [order[i] for i in evenly(n, len(order))] if order else []
    right = {name: _right(column, after[name]) for name, column in before.items() if not is_number(column)}
    right = {name: share for name, share in right.items() if share is not None}
    # constants are always right and identifiers never: neither tells anything of the model
    telling = {name: share for name, share in right.items() if _telling(before[name], after[name])}
    right = telling if telling or scatters else right
    if not scatters and not right:
        raise InvalidData("there is no column whose values vary and are not all blank, so nothing can be compared")
    lines = math.ceil(len(scatters) / _across(len(scatters)))
    bars = min(len(right), BARS)
    heights = [2.2 * lines] * (lines > 0) + [0.75 + 0.27 * bars] * (bars > 0)
    shape = figure(sum(heights) + 0.45)
    parts = shape.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    title(shape, heading or _heading(len(scatters), len(order), bars, len(right)))
    if scatters:
        for axes, name in zip(_grid(parts[0], len(scatters)), scatters, strict=True):
            _scatter(axes, name, before[name], after[name], float(fits[name]))  # type: ignore[arg-type]
            _few_ticks(axes, times.get(name))
    if bars:
        _bars(parts[-1].subplots(), right)  # type: ignore[arg-type]
    return shape


def column_histograms(sampled: Any, real: Any, n: int = SHOWN, *, heading: str | None = None) -> Figure:
    """How the values of every column are distributed, sampled beside real.

    Args:
        sampled: Rows that the model made up.
        real: Rows of the data.
        n: How many columns to show at most, taken evenly over all.
        heading: Title; None for one that says what is shown.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two do not have the same columns, or all are blank.
    """
    made, seen, times = columns_of(sampled), columns_of(real), clocks(real)
    _check(seen, made, rows=False)
    names = [name for name in seen if _some(seen[name]) and _some(made[name])]
    names = [name for name in names if _telling(seen[name], made[name])] or names
    if not names:
        raise InvalidData("all columns are blank, so there is nothing to draw")
    shown = [names[i] for i in evenly(n, len(names))]
    lines = math.ceil(len(shown) / _across(len(shown)))
    shape = figure(2.1 * lines + 0.8)
    panels = _grid(shape, len(shown))
    for axes, name in zip(panels, shown, strict=True):
        number = is_number(seen[name]) and is_number(made[name])
        (_density if number else _shares)(axes, made[name], seen[name])
        if number:
            _few_ticks(axes, times.get(name))
            axes.set_yticks([])
        title(axes, short(name, LETTERS), 9.5)
    of = "" if len(shown) == len(names) else f" ({len(shown)} of {len(names)} columns)"
    title(shape, heading or f"Values of every column, sampled and real{of}")
    handles, labels = panels[0].get_legend_handles_labels()
    shape.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return shape


# --- scatters and bars ---------------------------------------------------------------------------------------


def _check(before: Columns, after: Columns, rows: bool = True) -> None:
    if before.keys() != after.keys():
        other = sorted(before.keys() ^ after.keys())
        raise InvalidData(f"the two tables do not have the same columns: {', '.join(other[:5])}")
    sizes = {len(c) for c in (*before.values(), *after.values())}
    if rows and len(sizes) > 1:
        raise InvalidData(f"the two tables have {' and '.join(map(str, sorted(sizes)))} rows; give the same rows twice")


def _heading(scatters: int, numbers: int, bars: int, categories: int) -> str:
    parts = []
    if scatters:
        of = f"{scatters} of {numbers} number columns, from best to worst" if scatters < numbers else "number columns"
        parts.append(f"reconstruction over original ({of})")
    if bars:
        parts.append("categories right" + (f" ({bars} of {categories} columns)" if bars < categories else ""))
    text = "; ".join(parts)
    return text[0].upper() + text[1:]


def _across(count: int) -> int:
    return 3 if count in (5, 6, 9) else min(ACROSS, max(1, count))


def _grid(parent: Figure | SubFigure, count: int) -> list[Axes]:
    across = _across(count)
    panels = parent.subplots(math.ceil(count / across), across, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return list(panels[:count])


def _fit(before: Any, after: Any) -> float | None:
    """R² over the cells that are there; None where the column does not vary."""
    seen = np.isfinite(before) & np.isfinite(after) if is_number(after) else np.zeros(len(before), bool)
    if seen.sum() < 2 or np.ptp(before[seen]) == 0:
        return None
    spread = float(((before[seen] - before[seen].mean()) ** 2).sum())
    return 1 - float(((before[seen] - after[seen]) ** 2).sum()) / spread


def _scatter(axes: Axes, name: str, before: Any, after: Any, fit: float) -> None:
    seen = np.flatnonzero(np.isfinite(before) & np.isfinite(after))
    at = seen[some(POINTS, len(seen))]
    ends = [float(min(before[at].min(), after[at].min())), float(max(before[at].max(), after[at].max()))]
    tidy(axes, None)
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    alpha = float(np.clip(60 / math.sqrt(len(at)) / 4, 0.15, 0.7))
    axes.plot(before[at], after[at], "o", color=BLUE, markersize=3, alpha=alpha, markeredgewidth=0, rasterized=True)
    title(axes, short(name, LETTERS), 9.5)
    axes.text(
        0.03,
        0.97,
        f"R² {_signed(fit)}",
        transform=axes.transAxes,
        va="top",
        fontsize=8.5,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def _signed(fit: float) -> str:
    return f"{round(fit, 2) + 0.0:.2f}".replace("-", "−")  # adding 0 makes −0.00 plain


def _few_ticks(axes: Axes, clock: str | None = None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, ScalarFormatter

    low, high = sorted(axes.get_xlim())
    close = high - low < 1e-3 * max(abs(low), abs(high))
    word = partial(_clock, span=high - low if clock == "date" else 0.0) if clock else _tick
    for axis, most in ((axes.xaxis, 2 if clock or close else 3), (axes.yaxis, 4)):
        step = next((s for s in _STEPS if s >= (high - low) / most), _STEPS[-1])
        axis.set_major_locator(MultipleLocator(step) if clock == "time" else MaxNLocator(most))
        # large numbers close together differ only in their last digits: what they share is said once
        near = close and clock is None
        axis.set_major_formatter(ScalarFormatter() if near else FuncFormatter(lambda value, _: word(value)))
        axis.get_offset_text().set_fontsize(8)
    axes.tick_params(labelsize=8)


_STEPS = (60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200)  # between ticks on a clock, in seconds


def _clock(value: float, span: float) -> str:
    """A time in seconds as people read it; how finely follows from the span shown."""
    day = 86400.0
    if span > 6 * 365 * day:
        form = "%Y"
    elif span > 120 * day:
        form = "%Y-%m"
    else:
        form = "%m-%d" if span > 4 * day else "%H:%M"
    try:
        return (datetime(1970, 1, 1) + timedelta(seconds=value)).strftime(form)
    except OverflowError:
        return ""


def _tick(value: float) -> str:
    """Thousands as k, millions as M: ticks stay narrow, and nothing is said in a corner of the axes."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1000 * size:
            divisor = 1e3 if letter == "k" else size
            return f"{value / divisor:.4g}{letter}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def _right(before: Any, after: Any) -> tuple[float, float] | None:
    """Share of cells that come back right, and share of the most frequent value."""
    seen = np.array([v is not None for v in before], dtype=bool)
    if not seen.any():
        return None
    was = before[seen].astype(str)
    now = np.array([_text(v) for v in after[seen]], dtype=str)
    _, counts = np.unique(was, return_counts=True)
    return float((was == now).mean()), float(counts.max() / counts.sum())


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _bars(axes: Axes, right: dict[str, tuple[float, float]]) -> None:
    order = sorted(right, key=lambda name: -right[name][0])
    names = [order[i] for i in evenly(BARS, len(order))][::-1]
    places = np.arange(len(names))
    tidy(axes, "x")
    axes.barh(places, [right[n][0] for n in names], height=0.62, color=BLUE, label="right")
    axes.plot(
        [right[n][1] for n in names],
        places,
        "|",
        color=ORANGE,
        markersize=13,
        markeredgewidth=2.5,
        label="always the most frequent",
    )
    for place, name in zip(places, names, strict=True):
        axes.text(1.01, float(place), f"{100 * right[name][0]:.1f} %", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(places, [short(n, 24) for n in names])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.spines["left"].set_color(LIGHT)
    axes.set_ylim(-0.6, len(names) - 0.4)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        fontsize=9,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        borderaxespad=0.2,
    )


# --- histograms ----------------------------------------------------------------------------------------------


def _telling(real: Any, made: Any) -> bool:
    """Whether a column is neither constant nor an identifier whose values never come back."""
    if is_number(real):
        return np.ptp(real[np.isfinite(real)]) > 0
    was, now = ({str(v) for v in column if v is not None} for column in (real, made))
    return len(was | now) > 1 and not was.isdisjoint(now)


def _some(column: Any) -> bool:
    return bool(np.isfinite(column).any()) if is_number(column) else any(v is not None for v in column)


def _density(axes: Axes, made: Any, real: Any) -> None:
    made, real = made[np.isfinite(made)], real[np.isfinite(real)]
    tidy(axes, None)
    # the tails beyond 1 % would squeeze the rest into a few bars
    low, high = np.percentile(real, [0.5, 99.5])
    # room for what was made up outside, so that it does not pile up at the edge as if it were there
    room = (high - low) / 2
    low, high = max(low - room, min(low, made.min())), min(high + room, max(high, made.max()))
    if high <= low:
        low, high = float(real.min()), float(real.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    distinct = np.unique(real)
    bins = np.linspace(low, high, 25)
    if len(distinct) <= 24:  # a few whole numbers: one bar each, not some bars empty
        step = float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
        count = round((distinct[-1] - distinct[0]) / step) + 1
        if count <= 40:
            bins = distinct[0] - step / 2 + step * np.arange(count + 1)
    for values, colour, label, filled in ((real, BLUE, "real", True), (made, ORANGE, "sampled", False)):
        weights = np.full(len(values), 1 / max(1, len(values)))
        style = {"alpha": 0.35} if filled else {"linewidth": 1.6}
        kind = "stepfilled" if filled else "step"
        inside = np.clip(values, bins[0], bins[-1])
        axes.hist(inside, bins=bins, weights=weights, histtype=kind, color=colour, label=label, **style)  # type: ignore[arg-type]
    axes.spines["left"].set_visible(False)


def _shares(axes: Axes, made: Any, real: Any) -> None:
    was, now = ([str(v) for v in c if v is not None and v == v] for c in (real, made))
    values, counts = np.unique(was, return_counts=True)
    top = list(values[np.argsort(-counts, kind="stable")][:5])
    tidy(axes, None)
    places = np.arange(len(top))[::-1]
    for data, colour, label, shift in ((was, BLUE, "real", 0.2), (now, ORANGE, "sampled", -0.2)):
        shares = [np.mean([v == value for v in data]) for value in top]
        alpha = 0.45 if label == "real" else 1.0
        axes.barh(places + shift, shares, height=0.38, color=colour, label=label, alpha=alpha)
    axes.set_yticks(places, [short(v, 12) for v in top])
    axes.tick_params(labelsize=8)
    axes.set_xlim(0, None)
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if len(values) > len(top):
        axes.set_xlabel(f"the {len(top)} most frequent of {len(values)}", fontsize=8)
