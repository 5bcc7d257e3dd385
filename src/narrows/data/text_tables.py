"""Tables that were text: blank markers, numbers in disguise, rows of unequal length."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: What stands for a blank in text files, besides the empty cell.
MARKERS = ("", "?", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None")
_DELIMITERS = (",", ";", "\t", "|")
#: How many lines of a file are looked at to find the one that does not fit.
_LINES = 1_000_000


def marker_words() -> str:
    """The markers as a sentence begins with them."""
    return "empty cells and the words " + ", ".join(m for m in MARKERS if m)


def tidy(table: Any, decimal_comma: bool = False) -> tuple[Any, list[str]]:
    """Trim text, blank its markers, and make numbers of columns that hold nothing but numbers.

    Numbers with leading zeros (postcodes, say) stay text.

    Args:
        table: A ``pyarrow.Table``.
        decimal_comma: Whether "1,5" is a number.

    Returns:
        The table, and notes in words.
    """
    notes, columns = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            columns.append(column)
            continue
        text = pc.utf8_trim_whitespace(column)
        text = pc.if_else(pc.is_in(text, pa.array(MARKERS, text.type)), pa.scalar(None, text.type), text)
        number = _as_number(text)
        if number is None and decimal_comma:
            number = _as_number(pc.replace_substring(text, ",", ".", max_replacements=1))
            if number is not None:
                notes.append(f"column {name!r}: decimal commas are read as points")
        columns.append(text if number is None else number)
    return pa.table(columns, names=table.column_names), notes


def _as_number(text: Any) -> Any:
    if text.null_count == len(text) or pc.any(pc.match_substring_regex(text, r"^[+-]?0\d")).as_py():
        return None
    for kind in (pa.int64(), pa.float64()):
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            continue
    return None


def infinite_dates(table: Any) -> bool:
    """Whether a column of dates holds an infinite one: DuckDB takes the word "inf" among numbers for a date."""
    for column in table.columns:
        if pa.types.is_date32(column.type):
            days = column.cast(pa.int32())
            if pc.any(pc.greater(pc.abs_checked(days), 10**9)).as_py():
                return True
        elif pa.types.is_timestamp(column.type) and pc.any(pc.greater(column.cast(pa.int64()), 2**62)).as_py():
            return True
    return False


def ragged_line(path: str) -> tuple[int, int, int] | None:
    """The first line that does not have as many cells as the first.

    Args:
        path: A text file, perhaps compressed.

    Returns:
        Its number, its cells, and the cells of the first line; None when all agree or there is but one column.
    """
    raw = Path(path).read_bytes()
    text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8", errors="replace")
    with io.StringIO(text, newline="") as file:
        head = file.readline()
        counts = {d: head.count(d) for d in _DELIMITERS}
        delimiter = max(counts, key=lambda d: counts[d])
        if not counts[delimiter]:
            return None
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        try:
            expected = len(next(reader))
            for _, row in zip(range(_LINES), reader, strict=False):
                if row and len(row) != expected:
                    return reader.line_num, len(row), expected
        except (csv.Error, StopIteration):
            return None
    return None
