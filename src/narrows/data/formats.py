"""Which format suits raw data, and which one a saved model had."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from narrows._part import Part
from narrows.data.corpus import Corpus
from narrows.data.pictures import SUFFIXES as PICTURES
from narrows.data.series_set import SeriesSet
from narrows.data.stream import Stream
from narrows.errors import InvalidData, InvalidType, SavedModelError

#: The fitted formats that a saved model may name, and their homes.
FORMATS = {
    "image": ("image", "ImageFormat"),
    "music": ("music", "MusicFormat"),
    "series": ("series", "SeriesFormat"),
    "table": ("table", "TableFormat"),
    "text": ("text", "TextFormat"),
}


def format_for(data: Any, **options: Any) -> Part:
    """The format that suits raw data.

    Args:
        data: An array, a DataFrame, a list of image files, Pillow images or arrays, or a folder of images.
        options: Options of `formats.Image` (``size``, ``mode``, ``skip_bad``, …), used if it is images.

    Returns:
        ``formats.Image(…)`` for arrays with three or four axes, lists of images and paths; ``formats.Text()`` for a
        `Corpus`; else ``formats.Table()``.

    Raises:
        InvalidType: If the data is neither a table nor images.
        InvalidData: If an array has another number of axes.
    """
    from narrows.data.image import Image

    if isinstance(data, Corpus):
        from narrows.data.text import Text

        return Text()
    if isinstance(data, SeriesSet):
        from narrows.data.series import Series

        return Series()
    if _looks_like_images(data):
        return Image(**{name: value for name, value in options.items() if value is not None})
    from narrows.data.table import Table

    return Table()


def format_from_config(config: Mapping[str, Any]) -> Any:
    """The fitted format that ``to_config`` described.

    Raises:
        SavedModelError: If the kind of format is not known, or the description is damaged.
    """
    kind = config.get("format")
    if kind not in FORMATS:
        raise SavedModelError(f"the saved model has data of kind {kind!r}, but this version knows {', '.join(FORMATS)}")
    home, name = FORMATS[kind]
    return getattr(importlib.import_module(f"narrows.data.{home}"), name).from_config(config)


def _looks_like_images(data: Any) -> bool:
    if isinstance(data, (str, os.PathLike)):
        return True
    if isinstance(data, Stream):
        return data.kind == "images"
    if isinstance(data, (list, tuple)):
        return bool(data) and all(_is_picture(item) for item in data)
    if hasattr(data, "columns") or hasattr(data, "__dataframe__") or hasattr(data, "__arrow_c_stream__"):
        return False
    shape = getattr(data, "shape", None)
    if shape is None:
        if hasattr(data, "__array__"):
            return _looks_like_images(np.asarray(data))
        raise InvalidType(
            f"{type(data).__name__} is neither a table nor images; give an array (n, columns) or (n, height, width[, "
            "channels]), a DataFrame, a folder or list of images"
        )
    if len(shape) in (3, 4):
        return True
    if len(shape) > 4:
        raise InvalidData(
            f"an array of shape {tuple(shape)} has too many axes; images have (n, height, width[, channels])"
        )
    return False  # the table format says what is wrong with fewer than two axes


def _is_picture(item: Any) -> bool:
    if isinstance(item, np.ndarray) or type(item).__name__ == "Tensor":
        return item.ndim in (2, 3)
    if isinstance(item, os.PathLike):
        return True
    if isinstance(item, str):
        return item.lower().endswith(PICTURES)
    return any(base.__module__ == "PIL.Image" for base in type(item).__mro__)


def kind_of(chosen: Part) -> str:
    """What a source is called that such a format reads."""
    return "images" if chosen.key() == "formats.Image" else "table"
