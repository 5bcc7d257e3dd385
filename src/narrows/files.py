"""Atomic files: what is written is there whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from narrows.errors import DiskFull


@contextlib.contextmanager
def disk_full(what: str) -> Iterator[None]:
    """Say in words that there was no room for ``what``, whichever library found out."""
    try:
        yield
    except Exception as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not full and "no space left" not in str(error).lower():
            raise
        raise DiskFull(f"the disk is full: there is no room for {what}. Free some, or write to another disk") from error


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place by rename when the block ends well.

    On any error the temporary file is removed and ``path`` stays as it was; a full disk is a `DiskFull`.

    Args:
        path: The file to write. Its folder is made if it is missing.

    Yields:
        The temporary path to write to. It keeps the suffix of ``path``, for libraries that look at it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with disk_full(str(target)):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        # mkstemp makes files private to the user; a result file follows the user's umask like any other
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` to ``path`` as indented JSON, atomically. NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
