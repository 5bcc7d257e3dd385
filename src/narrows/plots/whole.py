"""One door for both kinds of data: images are drawn as images, everything else as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrows.plots.images import image_pairs, image_sheet
from narrows.plots.tables import column_histograms, column_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reconstructions(originals: Any, reconstructions: Any, n: int | None = None) -> Figure:
    """What a model makes of rows: images in pairs, tables column by column.

    Args:
        originals: Images ``(m, h, w)`` or ``(m, h, w, c)``, or a table.
        reconstructions: The same after the model.
        n: How many images (20) or number columns (12) to show.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two do not go together.

    Example:
        ```python
        reconstructions(X, model.reconstruct(X)).savefig("pairs.png")
        ```
    """
    if is_images(originals):
        return image_pairs(originals, reconstructions, n or 20)
    return column_pairs(originals, reconstructions, n or 12)


def samples(sampled: Any, real: Any = None, n: int | None = None) -> Figure:
    """What a model makes up: images side by side; a table's columns beside the real ones.

    Args:
        sampled: Images or rows that the model made up.
        real: Rows of the data, for tables.
        n: How many images (40) or columns (12) to show.

    Returns:
        The figure.

    Raises:
        InvalidData: If the two do not go together.
    """
    if is_images(sampled):
        return image_sheet(sampled, n or 40, heading="Images that the model made up", like=real)
    return column_histograms(sampled, sampled if real is None else real, n or 12)


def is_images(data: Any) -> bool:
    """Whether ``data`` is an array of images."""
    return getattr(data, "ndim", 0) in (3, 4)
