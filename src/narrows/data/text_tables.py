"""Tables that were text: blank markers, numbers in disguise, rows of unequal length."""

from __future__ import annotations

import csv
import io
from typing import Any

from narrows._arrow import pa, pc
from narrows.data.encodings import opened

#: What stands for a blank in text files, besides the empty cell.
MARKERS = ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
#: Dates that people write and DuckDB leaves as text, in the order in which they are tried.
_DATES = ("%d %B %Y", "%B %d, %Y")
#: Amounts as people write them.
_AMOUNT = (
    r"^(?P<sign>[+-]?)(?P<before>[$€£¥]?) ?(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?P<rest>(?:[.][0-9]+)?)"
    r" ?(?P<after>[%$€£¥]?)$"
)
_DELIMITERS = (",", ";", "\t", "|")
#: How many lines of a file are looked at to find the one that does not fit.
_LINES = 1_000_000


def marker_words() -> str:
    """The markers as a sentence begins with them."""
    return "empty cells and the words " + ", ".join(m for m in MARKERS if m)


def tidy(table: Any, decimal_comma: bool = False) -> tuple[Any, list[str]]:
    """Trim text, blank its markers, and make numbers of columns that hold nothing but numbers.

    Numbers with leading zeros (postcodes, say) stay text. Amounts such as $1,200.50 and shares such as 12 % are numbers
    where the whole column bears one sign.

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
        text = trimmed(column)
        number = _as_number(text)
        if number is None and decimal_comma:
            number = _as_number(pc.replace_substring(text, ",", ".", max_replacements=1))
            if number is not None:
                notes.append(f"column {name!r}: decimal commas are read as points")
        if number is None and not decimal_comma:
            number, marks = _as_amount(text)
            if number is not None:
                notes.append(f"column {name!r}: read as numbers without {marks}")
        if number is None:
            number, order = _as_date(text)
            if number is not None:
                notes.append(f"column {name!r}: read as dates{order}")
        columns.append(text if number is None else number)
    return pa.table(columns, names=table.column_names), notes


def trimmed(text: Any) -> Any:
    """Text without the spaces around it, blank where it stands for a blank."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MARKERS, text.type)), pa.scalar(None, text.type), text)


def _as_number(text: Any) -> Any:
    if text.null_count == len(text) or pc.any(pc.match_substring_regex(text, r"^[+-]?0\d")).as_py():
        return None
    for kind in (pa.int64(), pa.float64()):
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            continue
    return None


def _as_amount(text: Any) -> tuple[Any, str]:
    """Numbers with a currency, a percent sign or thousands commas, and what was taken off; other text stays text."""
    parts = pc.extract_regex(text, _AMOUNT)
    if text.null_count == len(text) or parts.null_count > text.null_count:
        return None, ""
    before, after = (pc.unique(pc.drop_null(pc.struct_field(parts, name))).to_pylist() for name in ("before", "after"))
    if len(before) > 1 or len(after) > 1:
        return None, ""
    digits = pc.struct_field(parts, "digits")
    commas = pc.any(pc.match_substring(digits, ",")).as_py()
    places = pc.unique(pc.utf8_length(pc.drop_null(pc.struct_field(parts, "rest")))).to_pylist()
    if not commas and 4 in places and set(places) <= {0, 4} and (*before, *after) != ("", "%"):
        return None, ""  # 1.200 € may be one euro or a thousand
    plain = pc.binary_join_element_wise(
        *(pc.struct_field(parts, "sign"), pc.replace_substring(digits, ",", ""), pc.struct_field(parts, "rest")), ""
    )
    marks = [repr(sign) for sign in (*before, *after) if sign] + ["thousands commas"] * commas
    return _as_number(plain), " and ".join(marks)


def _as_date(text: Any) -> tuple[Any, str]:
    """Dates with the day or the month first, and how they were understood; text that leaves a doubt stays text."""
    if text.null_count == len(text):
        return None, ""
    parts = pc.extract_regex(text, r"^(?P<a>\d{1,2})(?P<s>[./-])(?P<b>\d{1,2})[./-]\d{4}$")
    if parts.null_count > text.null_count:
        formats: tuple[str, ...] = _DATES
        order = ""
    else:
        first, second = (pc.max(pc.struct_field(parts, n).cast(pa.int32())).as_py() for n in "ab")
        sign = pc.unique(pc.drop_null(pc.struct_field(parts, "s"))).to_pylist()
        if len(sign) > 1 or (sign != ["."] and max(first, second) <= 12):
            return None, ""
        day_first = second <= 12
        formats = (("%d{0}%m{0}%Y" if day_first else "%m{0}%d{0}%Y").format(sign[0]),)
        order = ", the day first" if day_first else ", the month first"
    for pattern in formats:
        try:
            found = pc.strptime(text, format=pattern, unit="s")
        except pa.ArrowInvalid:
            continue
        # Arrow takes 31 February for 2 March: what was there must be what comes back
        if "." in pattern or "/" in pattern or "-" in pattern:
            field = "a" if pattern.startswith("%d") else "b"
            day = pc.struct_field(parts, field).cast(pa.int64())
            if not pc.all(pc.equal(pc.day(found), day)).as_py():
                return None, ""
        return found.cast(pa.date32()), order
    return None, ""


def boolean_words(table: Any, booleans: Any) -> Any:
    """A table whose columns of words such as "yes" and "no" are text again; true and false stay booleans.

    Args:
        table: A ``pyarrow.Table``.
        booleans: Its columns of booleans as they stand in the file.
    """
    for name in booleans.column_names:
        words = pc.utf8_lower(pc.utf8_trim_whitespace(booleans[name]))
        if not pc.all(pc.is_in(words, pa.array(["true", "false", "t", "f"], words.type), skip_nulls=True)).as_py():
            table = table.set_column(table.column_names.index(name), name, booleans[name])
    return table


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
    with opened(path) as packed:
        text = packed.read().decode("utf-8", errors="replace")
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
