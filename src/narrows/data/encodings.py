"""What a file of text is written in, by its first bytes, and whether it is text at all."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from narrows._arrow import pa, pc
from narrows.errors import UnreadableFile

MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"))  # fmt: skip
LONGEST = 4


def opened(path: str | Path) -> IO[bytes]:
    """A file's bytes, within gzip where its name ends in ``.gz``."""
    return cast("IO[bytes]", gzip.open(path) if Path(path).suffix.lower() == ".gz" else Path(path).open("rb"))


def named_by(data: bytes) -> str | None:
    """The encoding whose mark bytes begin with; None where there is none."""
    return next((name for mark, name in MARKS if data.startswith(mark)), None)


def marked(path: str | Path) -> str | None:
    """The encoding whose mark a file begins with, within gzip too; None where there is none, or it cannot be read."""
    try:
        with opened(path) as file:
            return named_by(file.read(LONGEST))
    except (OSError, EOFError):
        return None


def binary(path: str) -> bool:
    """Whether a file that should be text begins with zero bytes among others."""
    with Path(path).open("rb") as file:
        return b"\0" in file.read(4096) and not path.endswith(".gz")


def check_zeros(paths: Sequence[str], table: Any) -> None:
    """Raise where cells of text files hold zero bytes: what a crash leaves in a file turns numbers into text."""
    texts = (c for c in table.columns if pa.types.is_string(c.type) or pa.types.is_large_string(c.type))
    if not any(pc.any(pc.match_substring(c, "\0")).as_py() for c in texts):
        return
    damaged = next((p for p in paths if _zeros(p)), "the table")
    raise UnreadableFile(f"{damaged} is damaged: it holds zero bytes, which no text does. Restore it, or leave it out")


def _zeros(path: str) -> bool:
    with opened(path) as file:
        return any(b"\0" in block for block in iter(lambda: file.read(2**20), b""))
