"""Data in and out: formats, readers, embedded samples, and what a command-line word means.

A format turns raw data into rows of tensors and back. `Table`, `Image` and `Series` hold the options; ``fit`` gives the
fitted format. Everything here is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.data.factors import FactorImages, factor_images
    from narrows.data.formats import format_for, format_from_config
    from narrows.data.image import Image, ImageFormat
    from narrows.data.midi import Tune
    from narrows.data.music import Music, MusicFormat
    from narrows.data.readers import read_table, write_table
    from narrows.data.samples import Sample, catalogue, load
    from narrows.data.series import Series, SeriesFormat
    from narrows.data.series_set import SeriesSet
    from narrows.data.sources import Source, open_source
    from narrows.data.spool import open_stream
    from narrows.data.stream import PictureStream, Stream, TableStream
    from narrows.data.table import Table, TableFormat
    from narrows.data.text import Text, TextFormat
    from narrows.data.writers import write_images

_HOMES = {
    "Image": "image",
    "ImageFormat": "image",
    "FactorImages": "factors",
    "Music": "music",
    "MusicFormat": "music",
    "PictureStream": "stream",
    "Sample": "samples",
    "Series": "series",
    "SeriesFormat": "series",
    "SeriesSet": "series_set",
    "Source": "sources",
    "Stream": "stream",
    "Table": "table",
    "TableFormat": "table",
    "TableStream": "stream",
    "Text": "text",
    "TextFormat": "text",
    "Tune": "midi",
    "catalogue": "samples",
    "factor_images": "factors",
    "format_for": "formats",
    "format_from_config": "formats",
    "load": "samples",
    "open_source": "sources",
    "open_stream": "spool",
    "read_table": "readers",
    "write_images": "writers",
    "write_table": "readers",
}

__all__ = [
    "FactorImages",
    "Image",
    "ImageFormat",
    "Music",
    "MusicFormat",
    "PictureStream",
    "Sample",
    "Series",
    "SeriesFormat",
    "SeriesSet",
    "Source",
    "Stream",
    "Table",
    "TableFormat",
    "TableStream",
    "Text",
    "TextFormat",
    "Tune",
    "catalogue",
    "factor_images",
    "format_for",
    "format_from_config",
    "load",
    "open_source",
    "open_stream",
    "read_table",
    "write_images",
    "write_table",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
