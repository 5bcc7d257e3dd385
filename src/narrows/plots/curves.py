"""The loss curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import InvalidData
from narrows.plots._style import BLUE, FEW, GREY, INK, ORANGE, figure, number, short, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOT_TERMS = {"epoch", "step", "seconds", "learning_rate", "loss", "reconstruction", "active_units"}
ZOOM = 4  # a curve whose first epochs take more than this many times the room of the rest is cut there
WIDE = 30  # a positive loss that falls by more than this factor is drawn on a logarithmic scale


def loss_curve(history: Any) -> Figure:
    """Training and validation loss per epoch; further terms (KL, sparsity, …) on a second panel.

    The kept epoch is marked. The scale is logarithmic where the loss is positive and falls by a factor of more than 30;
    otherwise, where the first epochs would squeeze the rest flat, they are cut off and their value is written down.

    Args:
        history: A `narrows.training.History`, or any table with columns by name and ``best_epoch``.

    Returns:
        The figure.

    Raises:
        InvalidData: If no epoch was recorded.

    Example:
        ```python
        loss_curve(model.history_).savefig("loss.png")
        ```
    """
    if not len(history):
        raise InvalidData("the history is empty: no epoch was trained, so there is no curve to draw")
    terms = [c for c in history.columns if c not in NOT_TERMS and not c.startswith("validation_")]
    shape = figure(3.9 if not terms else 4.1)
    panels = shape.subplots(1, 2 if terms else 1, squeeze=False, width_ratios=[3, 2] if terms else [1])[0]
    curves = [("training", history["loss"], BLUE)]
    if "validation_loss" in history.columns:
        curves.append(("validation", history["validation_loss"], ORANGE))
    unit = getattr(history, "unit", "nats per row")
    _panel(panels[0], history, curves, f"loss ({unit})" if unit else "loss", "Loss")
    panels[0].legend(
        fontsize=9,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        borderaxespad=0.1,
        columnspacing=1.2,
    )
    if terms:
        colours = dict(zip(terms, FEW * (1 + len(terms) // len(FEW)), strict=False))
        lines = [(term, history[term], colours[term]) for term in terms]
        _panel(panels[1], history, lines, unit, "Further terms, in training")
        panels[1].legend(handles=panels[1].get_lines()[: len(terms)], fontsize=9, frameon=False, loc="best")
        if min(np.nanmin(values) for _, values, _ in lines) >= 0 and panels[1].get_yscale() == "linear":
            panels[1].set_ylim(bottom=0)
    return shape


def _panel(axes: Axes, history: Any, curves: list[tuple[str, Any, str]], unit: str, heading: str) -> None:
    tidy(axes)
    title(axes, heading)
    epochs = history["epoch"]
    lone = len(epochs) == 1
    for name, values, colour in curves:
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if lone else None, label=short(name))
    finite = np.concatenate([v[np.isfinite(v)] for _, v, _ in curves])
    if not finite.size:
        axes.text(0.5, 0.5, "not a finite number in any epoch", transform=axes.transAxes, ha="center", color=INK)
        return
    _scale(axes, curves, finite)
    kept = history.best_epoch
    if kept and not lone:
        axes.axvline(kept, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label=f"kept: epoch {kept}")
        named, values, colour = curves[-1]
        at = np.flatnonzero(epochs == kept)
        if named == "validation" and at.size:
            axes.plot([kept], values[at[:1]], "o", color=colour, markersize=6, zorder=4)
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel(unit, fontsize=9)
    axes.locator_params(axis="x", integer=True)


def _scale(axes: Axes, curves: list[tuple[str, Any, str]], finite: Any) -> None:
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low > WIDE:
        axes.set_yscale("log")
        return
    size = len(curves[0][1])
    late = np.concatenate([v[max(1, size // 10) :] for _, v, _ in curves])
    late = late[np.isfinite(late)]
    if size < 10 or not late.size:
        return
    rest = float(late.max()) - low
    if rest > 0 and high - low > ZOOM * rest:
        axes.set_ylim(low - 0.06 * rest, low + 1.35 * rest)
        axes.text(
            0.02,
            0.97,
            f"↑ began at {number(high)}, cut off",
            transform=axes.transAxes,
            va="top",
            fontsize=8.5,
            color=GREY,
        )
