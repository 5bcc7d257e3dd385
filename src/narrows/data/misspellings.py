"""Lists of misspellings, in the forms in which they are found."""

from __future__ import annotations

import os
import re
from pathlib import Path

from narrows.data.corpus import read_pieces
from narrows.errors import InvalidData, UnreadableFile


def read_misspellings(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Pairs (as it was written, as it was meant), in lower case, each once.

    Args:
        path: A text file: lines ``meant: written, written*3, …`` (Norvig's form; what is behind the star is left out),
            or ``$meant`` above a line for each ``written`` (Mitton's), or ``written,meant`` (or with a tab or ``->``).

    Raises:
        UnreadableFile: If there is no such file.
        InvalidData: If no line of it is a pair.
    """
    place = Path(path)
    if not place.is_file():
        raise UnreadableFile(f"there is no file {str(path)!r} of misspellings")
    found: dict[tuple[str, str], None] = {}
    above = ""
    for line in "".join(read_pieces(place, "utf-8")).lower().splitlines():
        line = line.strip()
        if line.startswith("$"):
            above = line[1:].strip()
            continue
        meant, colon, written = line.partition(":")
        pair = re.split(r"\s*(?:,|\t|->)\s*", line)
        if colon:
            pairs = [(w.split("*")[0].strip(), meant.strip()) for w in written.split(",")]
        elif len(pair) == 2:
            pairs = [(pair[0], pair[1])]
        else:
            pairs = [(line, above)] if above else []
        found |= dict.fromkeys((w, m) for w, m in pairs if w and m and w != m)
    if not found:
        raise InvalidData(f"{str(path)!r} holds no misspellings: write lines such as 'boston: bostin, bosten'")
    return list(found)
