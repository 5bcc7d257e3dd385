"""How much memory data may take, and how much it would."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from narrows.errors import InvalidParameter

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CGROUP = "/sys/fs/cgroup/memory.max"
#: Bytes that a cell takes while a table is learnt in memory: twice a float32 and a byte that says whether it is blank.
CELL = 10


def size_in_bytes(memory: int | str | None) -> int:
    """A budget as a number of bytes.

    Args:
        memory: A number of bytes, or a text such as ``"1GiB"`` or ``"500 MB"``; None: half of this machine's memory
            (or of what its container may use).

    Raises:
        InvalidParameter: If it cannot be read, or is not above 0.

    Example:
        ```python
        size_in_bytes("1.5KiB")  # 1536
        ```
    """
    if memory is None:
        return _machine() // 2
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", str(memory).lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    if size < 1:
        raise InvalidParameter(f"memory={memory!r} is no amount of memory: write '1GiB', '500MB' or a number of bytes")
    return size


def in_words(size: int) -> str:
    """A number of bytes as people say it."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def _machine() -> int:
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system says
        whole = 8 * 2**30
    try:
        return min(whole, int(Path(_CGROUP).read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return whole


def needed(paths: Sequence[str], kind: str) -> int:
    """About how many bytes learning from table files in memory would take.

    Args:
        paths: The files.
        kind: "parquet", or a kind of text.
    """
    if kind != "parquet":
        # a cell of text is about as long as its number in memory, and is then scaled; packed text grows sixfold
        return sum(3 * Path(p).stat().st_size * (6 if p.lower().endswith(".gz") else 1) for p in paths)
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    for path in paths:
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowException):
            return 0  # whoever reads it says what is wrong with it
        total += sum(plain_size(found.row_group(g)) for g in range(found.num_row_groups))
        total += found.num_rows * found.num_columns * CELL
    return total


def plain_size(group: Any) -> int:
    """About how many bytes a Parquet row group takes when it is read: what is encoded well unfolds to whole cells."""
    return max(int(group.total_byte_size), int(group.num_rows) * int(group.num_columns) * 8)
