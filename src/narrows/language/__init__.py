"""Language: how text is judged, searched and mended."""

from __future__ import annotations

from narrows.language.channel import Channel
from narrows.language.ngrams import Ngrams

__all__ = ["Channel", "Ngrams"]
