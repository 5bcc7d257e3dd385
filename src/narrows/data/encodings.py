"""What a file is written in, by its first bytes."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"))  # fmt: skip
LONGEST = 4


def named_by(data: bytes) -> str | None:
    """The encoding whose mark bytes begin with; None where there is none."""
    return next((name for mark, name in MARKS if data.startswith(mark)), None)


def marked(path: str | Path) -> str | None:
    """The encoding whose mark a file begins with, within gzip too; None where there is none, or it cannot be read."""
    try:
        with gzip.open(path) if Path(path).suffix.lower() == ".gz" else Path(path).open("rb") as file:
            return named_by(file.read(LONGEST))
    except (OSError, EOFError):
        return None
