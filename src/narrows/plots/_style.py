"""What all figures share: size, colours that colour-blind people can tell apart, short names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
WIDTH = 8.6  # inches: 1,032 pixels, which a report shows at 100 %

# Okabe and Ito: Color Universal Design, 2008, https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
GREY, LIGHT, INK = "#8A8F98", "#D9DCE1", "#1F2328"
# Tol: Colour Schemes, 2021 ("muted"), https://personal.sron.nl/~pault/: for more kinds than the six above
MANY = ("#332288", "#88CCEE", "#CC6677", "#117733", "#DDCC77", "#AA4499", "#44AA99", "#882255", "#999933", "#661100")
FEW = (BLUE, ORANGE, GREEN, PINK, SKY, RED)


def figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, ``width`` × ``height`` inches, white whatever the user's theme."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def tidy(axes: Axes, grid: str | None = "y") -> Axes:
    """Take away what is not data: the frame's upper and right side, heavy ticks."""
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9, width=0.6, length=3)
    if grid is not None:
        axes.grid(axis=grid, color=LIGHT, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    return axes


def title(of: Any, text: str, size: float = 11) -> None:
    """A title at the left, for axes or a whole figure."""
    if hasattr(of, "suptitle"):
        of.suptitle(text, x=0.01, ha="left", fontsize=size, color=INK)
    else:
        of.set_title(text, loc="left", fontsize=size, color=INK)


def short(name: Any, length: int = 22) -> str:
    """A name that fits: the middle is left out, since ends tell columns apart."""
    text = " ".join(str(name).split())
    # a dollar would begin mathematics
    text = text.replace("$", "\\$")
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def number(value: float) -> str:
    """A number as people write it: three significant digits, thousands with commas."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"


def evenly(count: int, among: int) -> np.ndarray[Any, Any]:
    """``count`` places spread evenly over ``among``, both ends included."""
    return np.unique(np.linspace(0, among - 1, min(count, among)).round().astype(int))


def some(count: int, among: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """``count`` places of ``among`` at random, in order; all of them when there are no more."""
    if among <= count:
        return np.arange(among)
    return np.sort(np.random.default_rng(seed).choice(among, count, replace=False))
