"""The elbow curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrows.plots._style import BLUE, GREY, INK, ORANGE, figure, number, tidy, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def elbow_curve(elbow: Any) -> Figure:
    """Held-out error against code size: the model's, PCA's, and that of no code at all; the chosen size is marked.

    Args:
        elbow: A `narrows.evaluate.Elbow`.

    Returns:
        The figure.

    Example:
        ```python
        from narrows.evaluate.elbow import Bend, Elbow

        bends = (Bend(size=2, error=0.3, pca=0.5, better=True), Bend(size=8, error=0.1, pca=0.12, better=None))
        elbow_curve(Elbow(bends, mean=1.0, unit="squared error")).savefig("elbow.png")
        ```
    """
    shape = figure(3.9)
    axes = tidy(shape.subplots())
    title(axes, "Held-out error by code size")
    sizes = [bend.size for bend in elbow.bends]
    curves = [("PCA", [b.pca for b in elbow.bends], ORANGE), ("model", [b.error for b in elbow.bends], BLUE)]
    axes.axhline(elbow.mean, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="always the mean")
    for name, errors, colour in curves:
        axes.plot(sizes, errors, color=colour, linewidth=1.8, marker="o", markersize=4.5, label=name)
    if len(sizes) > 2 and sizes[-1] >= 8 * sizes[0]:
        axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)  # a share of the mean's error is what decides, and that is what a linear scale shows
    taken = elbow.chosen
    axes.plot([taken.size], [taken.error], "o", color=BLUE, markersize=12, fillstyle="none", markeredgewidth=1.6)
    axes.annotate(
        f"{taken.size}: {number(taken.error)}",
        (taken.size, taken.error),
        xytext=(10, 10),
        textcoords="offset points",
        fontsize=9,
        color=INK,
    )
    axes.set_xlabel("numbers per code", fontsize=9)
    axes.set_ylabel(elbow.unit, fontsize=9)
    axes.legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.1)
    return shape
