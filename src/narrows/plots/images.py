"""Images: sheets, and originals above their reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import InvalidData
from narrows.plots._style import INK, WIDTH, evenly, figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_LINE = 10
FEWEST = 5  # places on a line, so that one image does not fill the figure
GAP = 0.06  # of an image's width


def image_pairs(originals: Any, reconstructions: Any, n: int = 20, *, heading: str | None = None) -> Figure:
    """Originals, each above its reconstruction.

    Args:
        originals: ``(m, h, w)`` or ``(m, h, w, c)`` images.
        reconstructions: The same images after the model, of the same shape.
        n: How many to show at most, taken evenly over all.
        heading: Title; None for one that says how many.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two are not images of one shape.
    """
    above, below = _images(originals), _images(reconstructions)
    if above.shape != below.shape:
        raise InvalidData(f"originals of shape {above.shape} and reconstructions of shape {below.shape} are no pairs")
    chosen = evenly(n, len(above))
    low, high = _range(above)
    first, second = _bytes(above[chosen], low, high), _bytes(below[chosen], low, high)
    per_line = max(FEWEST, min(PER_LINE, len(chosen)))
    lines = [slice(start, start + per_line) for start in range(0, len(chosen), per_line)]
    sheet_h = 2 * len(lines) * first.shape[1] * (1 + GAP)
    height = (WIDTH - 1.2) * sheet_h / (per_line * first.shape[2] * (1 + GAP))
    shape = figure(min(12.0, height + 0.25 * len(lines) + 0.5))
    panels = shape.subplots(len(lines), 1, squeeze=False)[:, 0]
    for axes, part in zip(panels, lines, strict=True):
        _show(axes, _mosaic([first[part], second[part]], per_line))
        step = first.shape[1] + _gap(first)
        axes.set_yticks([first.shape[1] / 2, step + first.shape[1] / 2], ["original", "reconstruction"])
        axes.tick_params(axis="y", length=0, labelsize=9, colors=INK)
    of = "" if len(chosen) == len(above) else f" of {len(above):,}"
    title(shape, heading or f"Originals above their reconstructions: {len(chosen)}{of} images")
    return shape


def image_sheet(images: Any, n: int = 40, *, heading: str = "Images", like: Any = None) -> Figure:
    """Images side by side.

    Args:
        images: ``(m, h, w)`` or ``(m, h, w, c)``.
        n: How many to show at most: the first ones.
        heading: Title.
        like: Images whose range says what is black and what is white; None: these.

    Returns:
        The figure.

    Raises:
        InvalidData: If they are not images.
    """
    array = _images(images)[:n]
    shown = _bytes(array, *_range(array if like is None else _images(like)))
    per_line = max(FEWEST, min(PER_LINE, len(shown)))
    lines = [shown[start : start + per_line] for start in range(0, len(shown), per_line)]
    height = WIDTH * len(lines) * shown.shape[1] / (per_line * shown.shape[2])
    shape = figure(min(12.0, height + 0.5))
    _show(shape.subplots(), _mosaic(lines, per_line))
    title(shape, heading)
    return shape


def _images(array: Any) -> np.ndarray[Any, Any]:
    images = np.asarray(array)
    good = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
    if not good or images.size == 0 or images.dtype.kind not in "buif":
        raise InvalidData(
            f"an array of shape {images.shape} and type {images.dtype} is no set of images: give (n, height, width) or "
            "(n, height, width, channels) with 1, 3 or 4 channels"
        )
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _range(images: Any) -> tuple[float, float]:
    """What is black and what is white: the type's range for 8-bit images, else that of the values."""
    if images.dtype == np.uint8:
        return 0.0, 255.0
    values = images[np.isfinite(images)] if images.dtype.kind == "f" else images
    if not values.size:
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), float(values.max())
    return low, high if high > low else low + 1.0


def _bytes(images: Any, low: float, high: float) -> np.ndarray[Any, Any]:
    """Images as RGB bytes; blank pixels are a pale blue that no grey image has."""
    values = (images.astype(np.float64) - low) / (high - low)
    blank = ~np.isfinite(values)
    rgb = values[..., None].repeat(3, axis=-1) if values.ndim == 3 else values
    if rgb.shape[-1] == 4:  # transparent parts over white, as a browser shows them
        rgb = rgb[..., :3] * rgb[..., 3:] + 1 - rgb[..., 3:]
    result = np.round(np.clip(np.nan_to_num(rgb), 0, 1) * 255).astype(np.uint8)
    if blank.any():
        result[blank if blank.ndim == 3 else blank.any(axis=-1)] = (205, 225, 245)
    return result


def _gap(images: Any) -> int:
    return max(1, round(GAP * images.shape[2]))


def _mosaic(lines: list[Any], per_line: int) -> np.ndarray[Any, Any]:
    h, w = lines[0].shape[1:3]
    gap = _gap(lines[0])
    sheet = np.full((len(lines) * (h + gap) - gap, per_line * (w + gap) - gap, 3), 255, dtype=np.uint8)
    for row, line in enumerate(lines):
        for column, image in enumerate(line):
            top, left = row * (h + gap), column * (w + gap)
            sheet[top : top + h, left : left + w] = image
    return sheet


def _show(axes: Axes, sheet: np.ndarray[Any, Any]) -> None:
    # pixels of small images stay sharp squares; those of large ones are averaged
    axes.imshow(sheet, interpolation="nearest" if sheet.shape[1] < 900 else "antialiased", extent=_extent(sheet))
    axes.set_anchor("W")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)


def _extent(sheet: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    return (0.0, float(sheet.shape[1]), float(sheet.shape[0]), 0.0)
