"""``--labels``: the class of every row, from a column or from the folders that images lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from narrows.errors import InvalidParameter

FOLDERS = "folders"


def of_rows(word: str, source: Any, data: Any) -> tuple[Any, Any, str]:
    """The classes of rows, and the rows without the column that says them.

    Args:
        word: A column's name, or ``folders``.
        source: The opened source.
        data: Its rows, or its test rows.

    Returns:
        ``(n,)`` classes, the rows, and what the classes are.

    Raises:
        InvalidParameter: If there is no such column, or nothing says what class an image is of.
    """
    from narrows.cli._fit import columns_of
    from narrows.cli._words import names_in
    from narrows.plots._columns import columns_of as plain_columns

    known = columns_of(data)
    if known is not None:
        name = names_in([word], known, "--labels")[0]
        rest = [column for column in known if column != name]
        if not rest:
            raise InvalidParameter(f"--labels {word}: there is no other column to learn from")
        return plain_columns(data.select([name]))[name], data.select(rest), name
    if word.lower() != FOLDERS:
        raise InvalidParameter(f"--labels {word!r} names a column, and these are images: write --labels {FOLDERS}")
    given = source.labels if data is source.data else source.test_labels
    if given is not None:
        return given, data, "class"
    if source.names is None or len({Path(name).parent for name in source.names}) < 2:
        raise InvalidParameter(f"--labels {FOLDERS}: the images do not lie in several folders, one per class")
    return [Path(name).parent.name for name in source.names], data, "class"
