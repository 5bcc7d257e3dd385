"""Images of known factors: shapes that we render ourselves, so that what a code should find is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData, InvalidParameter

_AT_ONCE = 512  # images rendered together
_COLOURS = {"red": (255, 40, 40), "green": (40, 200, 40), "blue": (60, 100, 255), "yellow": (255, 220, 40)}
_SIZES = ("small", "medium", "large")
_COLUMNS, _LINES = ("left", "", "right"), ("top", "", "bottom")

FACTORS: Mapping[str, tuple[Any, ...]] = {
    "shape": ("square", "ellipse", "triangle"),
    "size": tuple(round(0.12 + 0.02 * i, 2) for i in range(6)),
    "rotation": tuple(range(-40, 50, 10)),
    "x": tuple(round(0.26 + 0.032 * i, 3) for i in range(16)),
    "y": tuple(round(0.26 + 0.032 * i, 3) for i in range(16)),
    "colour": tuple(_COLOURS),
}
"""The values that each factor takes.

``size`` is the radius of the circle around the shape and ``x`` and ``y`` its centre, in sides of the image, from the
top left; ``rotation`` is in degrees, clockwise. Rotations stay within 80° so that no shape comes back to itself:
every factor is a line, which one code unit can follow.
"""


@dataclass(frozen=True)
class FactorImages:
    """Images and what they were made of.

    Attributes:
        images: ``(n, side, side)`` whole numbers from 0 to 255, or ``(n, side, side, 3)`` in colour.
        factors: ``(n, F)`` which value of `FACTORS` each factor has, as an index.
        names: The F factors' names.
    """

    images: NDArray[np.uint8]
    factors: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def captions(self) -> list[str]:
        """What each image shows, in words: ``"a small red square at the top left"``."""
        return captions(self.factors)


def factor_images(n: int | None = None, *, side: int = 64, colour: bool = False, random_state: int = 0) -> FactorImages:
    """A bright shape on black: its shape, size, rotation and place drawn independently, no combination twice.

    After the dSprites set, rendered afresh with smooth edges and without the rotations that a shape cannot show.

    Args:
        n: How many images; None for every combination (41,472, or 165,888 in colour).
        side: Height and width in pixels.
        colour: Whether the shape has one of four colours, which is a factor then.
        random_state: Which combinations are drawn, and in which order.

    Returns:
        The images with their factors. Equal arguments give equal images.

    Raises:
        InvalidParameter: If there are fewer combinations than ``n``, or ``side`` is too small to show a shape.

    References:
        Matthey, Higgins, Hassabis, Lerchner: dSprites, 2017, https://github.com/google-deepmind/dsprites-dataset

    Example:
        ```python
        data = factor_images(1000, side=32)
        data.images.shape, data.names   # (1000, 32, 32), ("shape", "size", "rotation", "x", "y")
        data.captions[0]                # "a large square at the bottom left"
        ```
    """
    names = tuple(FACTORS) if colour else tuple(FACTORS)[:-1]
    counts = tuple(len(FACTORS[name]) for name in names)
    total = math.prod(counts)
    if n is not None and not 1 <= n <= total:
        raise InvalidParameter(f"factor_images({n!r}): there are {total:,} different images; ask for 1 to {total:,}")
    chosen = np.random.default_rng(random_state).permutation(total)[:n]
    factors = np.stack(np.unravel_index(chosen, counts), axis=1).astype(np.int64)
    return FactorImages(render(factors, side), factors, names)


def render(factors: ArrayLike, side: int = 64) -> NDArray[np.uint8]:
    """The images of given factors.

    Args:
        factors: ``(n, 5)`` indices into `FACTORS`, or ``(n, 6)`` with the colour.
        side: Height and width in pixels, at least 16.

    Returns:
        ``(n, side, side)``, or ``(n, side, side, 3)`` with colours.

    Raises:
        InvalidData: If an index is not one of its factor's.
        InvalidParameter: If ``side`` is too small.
    """
    chosen = _checked(factors)
    if side < 16:
        raise InvalidParameter(f"side={side!r}: the smallest shape is seen from 16 pixels on; give side=16 or more")
    covered = np.empty((len(chosen), side, side), np.uint8)
    for start in range(0, len(chosen), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        covered[part] = np.rint(255 * _covered(chosen[part], side))
    if chosen.shape[1] == len(FACTORS) - 1:
        return covered
    tints = np.array(list(_COLOURS.values()), np.uint16)[chosen[:, 5]]
    return ((covered[..., None] * tints[:, None, None, :] + 127) // 255).astype(np.uint8)


def captions(factors: ArrayLike) -> list[str]:
    """What images of given factors show, in words; rotations are not told.

    Args:
        factors: ``(n, 5)`` or ``(n, 6)``, as in `render`.

    Returns:
        n captions: a size of three, the colour if there is one, the shape, and one of nine places.
    """
    return [_caption(row) for row in _checked(factors).tolist()]


def _caption(row: list[int]) -> str:
    size = _SIZES[row[1] * len(_SIZES) // len(FACTORS["size"])]
    colour = [FACTORS["colour"][row[5]]] if len(row) > 5 else []
    column, line = (words[_third(row[i])] for words, i in ((_COLUMNS, 3), (_LINES, 4)))
    place = " ".join(filter(None, (line, column)))
    where = f"at the {place}" if place else "in the centre"
    return " ".join(["a", size, *colour, FACTORS["shape"][row[0]], where])


def _third(place: int) -> int:
    """Which third of the image one of the 16 places is in: 5, 6 and 5 of them."""
    return (place >= 5) + (place >= 11)


def _checked(factors: ArrayLike) -> NDArray[np.int64]:
    chosen = np.asarray(factors)
    counts = [len(values) for values in FACTORS.values()]
    if chosen.ndim != 2 or chosen.shape[1] not in (len(counts) - 1, len(counts)) or chosen.dtype.kind not in "iu":
        raise InvalidData(
            f"factors are {len(counts) - 1} or {len(counts)} whole numbers per image ({', '.join(FACTORS)}), not "
            f"{chosen.dtype} of shape {chosen.shape}"
        )
    for name, column, count in zip(FACTORS, chosen.T, counts, strict=False):
        if len(column) and not (column.min() >= 0 and column.max() < count):
            raise InvalidData(f"the {name} of an image is an index from 0 to {count - 1}, not {column.max()}")
    return chosen.astype(np.int64)


def _covered(factors: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """``(n, side, side)`` how much of every pixel the shape covers, from its distance to the edge."""

    def values(column: int, name: str) -> NDArray[np.float64]:
        return np.array(FACTORS[name], np.float64)[factors[:, column], None, None]

    centres = (np.arange(side) + 0.5) / side
    across, down = centres - values(3, "x"), centres[:, None] - values(4, "y")
    angle = np.deg2rad(values(2, "rotation"))
    u = np.cos(angle) * across + np.sin(angle) * down
    v = np.cos(angle) * down - np.sin(angle) * across
    radius = values(1, "size")
    distance = np.empty(u.shape)
    for shape, measure in enumerate(_DISTANCES):
        own = factors[:, 0] == shape
        distance[own] = measure(u[own], v[own], radius[own])
    return np.clip(0.5 - side * distance, 0, 1)


Field = NDArray[np.float64]


def _to_square(u: Field, v: Field, radius: Field) -> Field:
    return np.maximum(np.abs(u), np.abs(v)) - radius / math.sqrt(2)


def _to_ellipse(u: Field, v: Field, radius: Field) -> Field:
    """Twice as wide as high; to first order near the edge, where alone it matters."""
    level = np.hypot(u, 2 * v) / radius
    slope = np.hypot(u, 4 * v) / radius**2
    return level * (level - 1) / np.maximum(slope, 1e-9)


def _to_triangle(u: Field, v: Field, radius: Field) -> Field:
    """Equal sides, a corner at the top."""
    return np.maximum(v, math.sqrt(0.75) * np.abs(u) - 0.5 * v) - radius / 2


_DISTANCES: tuple[Callable[[Field, Field, Field], Field], ...] = (_to_square, _to_ellipse, _to_triangle)
