"""Rows of several models side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import InvalidData
from narrows.plots._columns import Columns, clocks, columns_of, is_number
from narrows.plots._style import FEW, INK, LIGHT, MANY, WIDTH, evenly, figure, short, tidy, title
from narrows.plots.images import _bytes, _gap, _images, _mosaic, _range, _show
from narrows.plots.tables import LETTERS, SHOWN, _across, _few_ticks, _grid, _some, _telling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = 12
KINDS = 5
LONG = 48  # letters beside a line of images


def side_by_side(made: Mapping[str, Any], real: Any, n: int | None = None) -> Figure:
    """What several models make, beside what is real: a line of images each, or the values of every column.

    Args:
        made: Images ``(m, h, w)`` or ``(m, h, w, c)``, or tables, by the model's name.
        real: Rows of the data, of the same kind.
        n: How many images of each (12), or columns (12), to show.

    Returns:
        The figure.

    Raises:
        InvalidData: If there is nothing to draw, or tables have other columns.

    Example:
        ```python
        side_by_side({"one": model.sample(50), "another": model.sample(50)}, X).savefig("samples.png")
        ```
    """
    if not made:
        raise InvalidData("there are no samples to draw: give those of one model at least")
    if getattr(real, "ndim", 0) in (3, 4):
        return _lines(made, real, n or IMAGES)
    return _columns(made, real, n or SHOWN)


def _lines(made: Mapping[str, Any], real: Any, n: int) -> Figure:
    return labelled_lines(
        {"real": real, **made}, n, heading="Real images above those that each model made up", like=real
    )


def labelled_lines(images: Mapping[str, Any], n: int = IMAGES, *, heading: str = "Images", like: Any = None) -> Figure:
    """A line of images for each name, such as what was made for each prompt.

    Args:
        images: ``(m, h, w)`` or ``(m, h, w, c)`` of one size, by what stands beside them.
        n: How many of each to show at most: the first ones.
        heading: Title.
        like: Images whose range says what is black and what is white; None: the first line's.

    Returns:
        The figure.

    Raises:
        InvalidData: If they are not images.
    """
    limits = _range(_images(next(iter(images.values())) if like is None else like))
    lines = [_bytes(_images(line)[:n], *limits) for line in images.values()]
    across, (high, wide) = max(map(len, lines)), lines[0].shape[1:3]
    margin = 0.1 * max(map(len, (short(name, LONG) for name in images)))
    shape = figure(min(14.0, (WIDTH - margin) * len(lines) * high / (across * wide) + 0.5))
    axes = shape.subplots()
    _show(axes, _mosaic(lines, across))
    step = high + _gap(lines[0])
    axes.set_yticks([i * step + high / 2 for i in range(len(lines))], [short(name, LONG) for name in images])
    axes.tick_params(axis="y", length=0, labelsize=9.5, colors=INK)
    title(shape, heading)
    return shape


def _columns(made: Mapping[str, Any], real: Any, n: int) -> Figure:
    seen, times = columns_of(real), clocks(real)
    others = {name: columns_of(table) for name, table in made.items()}
    for name, table in others.items():
        if missing := [column for column in seen if column not in table]:
            raise InvalidData(f"the rows of {name} have no column {', '.join(missing[:3])}")
    names = [c for c in seen if _some(seen[c]) and any(_some(t[c]) for t in others.values())]
    names = [c for c in names if any(_telling(seen[c], t[c]) for t in others.values())] or names
    if not names:
        raise InvalidData("all columns are blank, so there is nothing to draw")
    shown = [names[i] for i in evenly(n, len(names))]
    shape = figure(2.2 * math.ceil(len(shown) / _across(len(shown))) + 0.9)
    panels = _grid(shape, len(shown))
    for axes, name in zip(panels, shown, strict=True):
        _panel(axes, name, seen, others)
        if is_number(seen[name]):
            _few_ticks(axes, times.get(name))
            axes.set_yticks([])
        title(axes, short(name, LETTERS), 9.5)
    of = "" if len(shown) == len(names) else f" ({len(shown)} of {len(names)} columns)"
    title(shape, f"Values of every column, real (grey) and made up{of}")
    handles, labels = panels[0].get_legend_handles_labels()
    shape.legend(handles, labels, loc="outside lower left", ncols=min(7, len(labels)), frameon=False, fontsize=9)
    return shape


def _panel(axes: Axes, name: str, real: Columns, others: Mapping[str, Columns]) -> None:
    colours = FEW if len(others) <= len(FEW) else MANY
    tidy(axes, None)
    if is_number(real[name]):
        _steps(axes, real[name], {model: table[name] for model, table in others.items()}, colours)
        return
    was = [str(v) for v in real[name] if v is not None]
    values, counts = np.unique(was, return_counts=True)
    top = list(values[np.argsort(-counts, kind="stable")][:KINDS])
    places, wide = np.arange(len(top))[::-1], 0.8 / (len(others) + 1)
    shares = {"real": was} | {m: [str(v) for v in t[name] if v is not None and v == v] for m, t in others.items()}
    for i, (model, cells) in enumerate(shares.items()):
        heights = [np.mean([cell == value for cell in cells]) if cells else 0.0 for value in top]
        colour = LIGHT if i == 0 else colours[(i - 1) % len(colours)]
        axes.barh(places + 0.4 - wide * (i + 0.5), heights, height=wide * 0.92, color=colour, label=model)
    axes.set_yticks(places, [short(v, 12) for v in top])
    axes.tick_params(labelsize=8)
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if len(values) > len(top):
        axes.set_xlabel(f"the {len(top)} most frequent of {len(values)}", fontsize=8)


def _steps(axes: Axes, real: Any, others: Mapping[str, Any], colours: tuple[str, ...]) -> None:
    real = real[np.isfinite(real)]
    # the tails beyond 1 % would squeeze the rest into a few bars; what was made outside is counted at the edge
    low, high = np.percentile(real, [0.5, 99.5])
    low, high = (low, high) if high > low else (real.min() - 0.5, real.max() + 0.5)
    room = 0.15 * (high - low)
    bins = np.linspace(low - room, high + room, 31)
    distinct = np.unique(real)
    if 1 < len(distinct) <= 24:  # a few whole numbers: one bar each
        step = float(np.diff(distinct).min())
        if round((distinct[-1] - distinct[0]) / step) < 40:
            bins = np.arange(distinct[0] - 1.5 * step, distinct[-1] + 2 * step, step)
    for i, (name, values) in enumerate({"real": real, **others}.items()):
        kept = values[np.isfinite(values)]
        if len(kept):
            heights = np.histogram(np.clip(kept, bins[0], bins[-1]), bins)[0] / len(kept)
            if i == 0:
                axes.stairs(heights, bins, fill=True, color=LIGHT, label=name)
            else:
                axes.stairs(heights, bins, color=colours[(i - 1) % len(colours)], linewidth=1.3, label=name)
    axes.spines["left"].set_visible(False)
