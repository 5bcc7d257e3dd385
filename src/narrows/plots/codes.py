"""The code map: where rows lie in the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import InvalidData
from narrows.plots._style import FEW, GREY, INK, LIGHT, MANY, figure, short, some, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 4000


def code_map(codes: Any, colour: Any = None, *, name: str | None = None, heading: str | None = None) -> Figure:
    """Codes as points on a plane: themselves when they have two numbers, else on their first two principal components.

    Args:
        codes: ``(n, L)`` codes, as ``transform`` returns them.
        colour: ``(n,)`` classes or numbers to colour by; None: how densely the points lie.
        name: What ``colour`` is, for the legend.
        heading: Title; None for one that says how the map was made and what share of the variance it shows.

    Returns:
        The figure.

    Raises:
        InvalidData: If the codes are no table, or there are not as many colours as codes.

    Example:
        ```python
        code_map(model.transform(X), labels).savefig("map.png")
        ```
    """
    from narrows.evaluate import CodeMap

    plane = CodeMap.fit(codes)
    points = plane(codes)
    chosen = some(POINTS, len(points))
    if colour is not None:
        colour = np.asarray(colour)
        if colour.shape != (len(points),):
            raise InvalidData(f"{len(points)} codes need as many colours, not an array of shape {colour.shape}")
        colour = colour[chosen]
    points = points[chosen]
    shape = figure(5.6)
    axes = tidy(shape.subplots(), "both")
    axes.grid(color=LIGHT, linewidth=0.4)
    size = float(np.clip(900 / np.sqrt(len(points)), 5, 40))
    if colour is None:
        _by_density(shape, axes, points, size)
    elif _kinds(colour) is None:
        _by_number(shape, axes, points, colour.astype(float), size, name)
    else:
        _by_kind(axes, points, colour, size, name)
    units = plane.mean.size
    words = ["code number 1", "code number 2"] if units <= 2 else ["first component", "second component"]
    share = plane.explained
    axes.set_xlabel(words[0] + ("" if units <= 2 else f" ({100 * share[0]:.0f} %)"), fontsize=9)
    axes.set_ylabel("" if units == 1 else words[1] + ("" if units <= 2 else f" ({100 * share[1]:.0f} %)"), fontsize=9)
    title(shape, heading or _heading(units, float(share.sum()), len(points)))
    return shape


def _heading(units: int, share: float, rows: int) -> str:
    if units <= 2:
        what = "the code's one number" if units == 1 else "the code's two numbers as they are"
        return f"Code map of {rows:,} rows: {what}"
    how = f"first two principal components of {units} code numbers, {100 * share:.0f} % of their variance"
    return f"Code map of {rows:,} rows: {how}"


def _kinds(colour: Any) -> Any:
    """The classes, most frequent first; None where the colours are numbers on a scale."""
    if colour.dtype.kind == "f" and np.isfinite(colour).all() and (colour == np.rint(colour)).all():
        colour = colour.astype(int)
    if colour.dtype.kind in "iu" and len(np.unique(colour)) > 12:
        return None
    if colour.dtype.kind == "f":
        return None
    values, counts = np.unique(np.array([_word(v) for v in colour]), return_counts=True)
    return values[np.argsort(-counts, kind="stable")]


def _word(value: Any) -> str:
    return "blank" if value is None or value != value else str(value)


def _by_kind(axes: Axes, points: Any, colour: Any, size: float, name: str | None) -> None:
    words = np.array([_word(v) for v in colour])
    kinds = list(_kinds(colour))
    palette = FEW if len(kinds) <= len(FEW) else MANY
    # beyond six kinds colours alone are hard to tell apart, so that shapes help
    markers = "o" if len(kinds) <= len(FEW) else "o^s"
    named = sorted(kinds[: len(palette)], key=_natural)
    look = {kind: (palette[i], markers[i % len(markers)]) for i, kind in enumerate(named)}
    looks = [look.get(word, (GREY, "o")) for word in words]
    for marker in markers:
        # all of one shape in one go and in the order of the rows, so that no class hides another
        at = np.array([m == marker for _, m in looks])
        colours = [c for c, m in looks if m == marker]
        axes.scatter(
            points[at, 0], points[at, 1], s=size, c=colours, marker=marker, alpha=0.75, linewidths=0, rasterized=True
        )
    for kind, (paint, marker) in look.items():
        axes.plot([], [], marker, color=paint, markersize=6, label=short(kind))
    if len(kinds) > len(named):
        axes.plot([], [], "o", color=GREY, markersize=6, label=f"{len(kinds) - len(named)} others")
    legend = axes.legend(
        title=None if name is None else short(name),
        fontsize=9,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
    )
    legend.get_title().set_fontsize(9)


def _natural(word: str) -> tuple[int, float, str]:
    try:
        return 0, float(word), word
    except ValueError:
        return 1, 0.0, word


def _by_number(shape: Figure, axes: Axes, points: Any, values: Any, size: float, name: str | None) -> None:
    there = np.isfinite(values)
    axes.scatter(points[~there, 0], points[~there, 1], s=size, c=LIGHT, linewidths=0, rasterized=True)
    low, high = np.percentile(values[there], [1, 99]) if there.any() else (0.0, 1.0)
    drawn = axes.scatter(
        points[there, 0],
        points[there, 1],
        s=size,
        c=values[there],
        cmap="viridis",
        vmin=low,
        vmax=high,
        alpha=0.8,
        linewidths=0,
        rasterized=True,
    )
    bar = shape.colorbar(drawn, ax=axes, shrink=0.7, extend="both")
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    bar.set_label(short(name) if name else "", fontsize=9)


def _by_density(shape: Figure, axes: Axes, points: Any, size: float) -> None:
    density = _density(points)
    order = np.argsort(density)
    drawn = axes.scatter(
        points[order, 0],
        points[order, 1],
        s=size,
        c=density[order],
        cmap="viridis",
        alpha=0.8,
        linewidths=0,
        rasterized=True,
    )
    bar = shape.colorbar(drawn, ax=axes, shrink=0.6)
    bar.set_ticks([float(density.min()), float(density.max())], labels=["few", "many"])
    bar.ax.tick_params(labelsize=8.5, colors=INK, length=0)
    bar.outline.set_visible(False)
    bar.set_label("rows nearby", fontsize=9)


def _density(points: Any) -> Any:
    """How many points lie near each, from a histogram smoothed a little."""
    bins = int(np.clip(np.sqrt(len(points)), 4, 48))
    counts, *edges = np.histogram2d(points[:, 0], points[:, 1], bins=bins)
    padded = np.pad(counts, 1)
    smooth = sum(
        w * padded[1 + i : 1 + i + bins, 1 + j : 1 + j + bins]
        for i, j, w in ((0, 0, 0.4), (0, 1, 0.15), (0, -1, 0.15), (1, 0, 0.15), (-1, 0, 0.15))
    )
    at = [np.clip(np.searchsorted(e, points[:, k], side="right") - 1, 0, bins - 1) for k, e in enumerate(edges)]
    return smooth[at[0], at[1]]  # type: ignore[index]
