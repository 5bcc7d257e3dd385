"""Series as curves: originals with their reconstructions, made-up ones beside real ones, forecasts with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData
from narrows.plots._style import BLUE, FEW, GREY, INK, ORANGE, evenly, figure, short, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 8  # series on one figure
CHANNELS = 4  # of a series that are drawn
LONGEST = 2_000  # steps drawn of a long series: its last ones
Curves = Sequence[NDArray[Any]]


def series_pairs(
    originals: Curves,
    reconstructions: Curves,
    n: int = PANELS,
    *,
    channels: Sequence[str] | None = None,
    heading: str | None = None,
) -> Figure:
    """Series with their reconstructions over them, a panel for each series and channel.

    Args:
        originals: Series ``(T, C)``, NaN where blank.
        reconstructions: The same series after the model.
        n: How many panels, at most; series are taken evenly over all.
        channels: What the channels are called.
        heading: Title; None for one that says how many.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two are not series of the same shapes.
    """
    _check(originals)
    if [np.shape(a) for a in originals] != [np.shape(b) for b in reconstructions]:
        raise InvalidData("originals and reconstructions are not of the same shapes: give the same series twice")
    width = min(CHANNELS, originals[0].shape[1])
    chosen = evenly(max(1, n // width), len(originals))
    across = 1 if len(chosen) * width == 1 else width if width > 1 else 2
    panels, shape = _panels(len(chosen) * width, across)
    names = channels or [f"channel {j}" for j in range(width)]
    for k, (i, j) in enumerate((int(i), j) for i in chosen for j in range(width)):
        axes, last = panels[k], slice(-LONGEST, None)
        axes.plot(originals[i][last, j], color=GREY, linewidth=1.4, label="original")
        axes.plot(reconstructions[i][last, j], color=BLUE, linewidth=1.2, label="reconstruction")
        title(axes, f"series {i}" + (f", {short(names[j], 16)}" if width > 1 else ""), 9)
    of = "" if len(chosen) == len(originals) else f" of {len(originals):,}"
    title(shape, heading or f"Originals and their reconstructions: {len(chosen)}{of} series")
    _legend(shape, panels[0])
    return shape


def series_sheet(sampled: Curves, real: Curves | None = None, n: int = PANELS, *, heading: str | None = None) -> Figure:
    """Series that were made up; where real ones are given, as many of these above, on the same scale.

    Args:
        sampled: Series ``(T, C)``.
        real: Series of the data.
        n: How many of each, at most.
        heading: Title.

    Returns:
        The figure.

    Raises:
        InvalidData: If they are no series.
    """
    _check(sampled)
    half = [] if real is None else [np.asarray(real[int(i)])[-LONGEST:] for i in evenly(n // 2, len(real))]
    made = [np.asarray(one)[-LONGEST:] for one in sampled[: n - len(half) if half else n]][: max(len(half), n // 2, 1)]
    panels, shape = _panels(len(half) + len(made), min(4, max(2, len(made))))
    low, high = _range([*half, *made])
    for axes, one, word in zip(panels, [*half, *made], ["real"] * len(half) + ["made up"] * len(made), strict=False):
        for j in range(min(CHANNELS, one.shape[1])):
            axes.plot(one[:, j], color=GREY if word == "real" and one.shape[1] == 1 else FEW[j], linewidth=1.2)
        axes.set_ylim(low, high)
        title(axes, word, 9)
    title(shape, heading or "Series that the model made up" + ("" if not half else ", below real ones"))
    return shape


def forecast_fan(
    history: Any,
    mean: Any,
    low: Any,
    high: Any,
    simple: dict[str, Any] | None = None,
    *,
    level: float = 0.9,
    stamps: Sequence[str] | None = None,
    heading: str = "Forecast",
) -> Figure:
    """The end of a series, its forecast with intervals, and simple forecasts beside it.

    Args:
        history: ``(T,)`` the series so far.
        mean: ``(steps,)`` its forecast.
        low: Lower ends of the intervals.
        high: Upper ends.
        simple: Other forecasts by name, ``(steps,)`` each.
        level: Share of futures inside the intervals.
        stamps: ``(T + steps,)`` words below the axis, at most as many as there is room for are shown.
        heading: Title.

    Returns:
        The figure.

    Raises:
        InvalidData: If lengths do not go together.
    """
    history, mean, low, high = (np.asarray(v, dtype=np.float64) for v in (history, mean, low, high))
    if history.ndim != 1 or not len(history) or not mean.shape == low.shape == high.shape or mean.ndim != 1:
        raise InvalidData("a forecast is drawn of one series: give (T,) and three times (steps,)")
    shown = history[-max(4 * len(mean), 40) :]
    begin = len(history) - len(shown)
    shape = figure(3.6)
    axes = tidy(shape.subplots())
    ahead = np.arange(len(history), len(history) + len(mean))
    axes.plot(np.arange(begin, len(history)), shown, color=INK, linewidth=1.3, label="so far")
    axes.fill_between(ahead, low, high, color=BLUE, alpha=0.18, linewidth=0, label=f"{level:.0%} of the draws")
    axes.plot(ahead, mean, color=BLUE, linewidth=1.6, label="forecast")
    for k, (name, values) in enumerate((simple or {}).items()):
        axes.plot(ahead, values, color=(ORANGE, *FEW[2:])[k % 5], linewidth=1, linestyle=(0, (4, 2)), label=name)
    if stamps is not None:
        ticks = np.unique(np.linspace(begin, len(history) + len(mean) - 1, 6).round().astype(int))
        axes.set_xticks(ticks, [stamps[i] for i in ticks])
    title(shape, heading)
    axes.legend(loc="upper left", frameon=False, fontsize=8.5)
    return shape


def forecast_figure(forecast: Any, past: Any, series: int = 0) -> Figure:
    """`forecast_fan` of one series of a `Forecast`, in its first channel, with its time stamps.

    Args:
        forecast: What `AutoregressiveModel.forecast` gave.
        past: The series so far, as a `Track`.
        series: Which of the series it is.

    Returns:
        The figure.
    """
    mine, clock = forecast.draws[:, series, :, 0], forecast.template.clock
    index = np.arange(len(past.values) + mine.shape[1])
    low, high = np.quantile(mine, [0.5 - forecast.level / 2, 0.5 + forecast.level / 2], axis=0)
    return forecast_fan(
        past.values[:, 0],
        mine.mean(axis=0),
        low,
        high,
        {name: values[series, :, 0] for name, values in forecast.simple.items()},
        level=forecast.level,
        stamps=None if clock is None else [str(stamp) for stamp in clock.stamps(past.start, index).to_pylist()],
        heading=f"Forecast of {forecast.template.channels[0]}",
    )


def _check(series: Curves) -> None:
    if not len(series) or any(np.ndim(one) != 2 or not np.size(one) for one in series):
        raise InvalidData("no series to draw: give arrays (T, channels) of one step or more")


def _panels(count: int, across: int) -> tuple[list[Axes], Figure]:
    lines = math.ceil(count / across)
    shape = figure(min(12.0, 1.55 * lines + 0.8))
    grid = shape.subplots(lines, across, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return [tidy(axes) for axes in grid[:count]], shape


def _range(series: Curves) -> tuple[float, float]:
    values = np.concatenate([one[:, :CHANNELS].ravel() for one in series])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _legend(shape: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    shape.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
