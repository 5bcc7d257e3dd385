"""Names of table files: globs, extensions, ``file::part``."""

from __future__ import annotations

import glob
from pathlib import Path

from narrows.errors import UnreadableFile

CSV, PARQUET, JSON, SQLITE, NUMPY = "csv", "parquet", "json", "sqlite", "numpy"
_KINDS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".data"), CSV),
    **dict.fromkeys((".parquet", ".pq"), PARQUET),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), JSON),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), SQLITE),
    **dict.fromkeys((".npz", ".npy"), NUMPY),
}


def expand(text: str) -> list[str]:
    """The files that a name, a glob or ``file::part`` means."""
    if "://" in text:
        raise UnreadableFile(f"{text}: nothing is read over the network; download the file and name it here")
    plain, _ = split_part(text)
    path = Path(plain)
    if path.is_dir():
        raise UnreadableFile(
            f"{text} is a folder: name its files, for instance {path / '*.csv'}; "
            "a folder of images is read by narrows.data.Image"
        )
    if path.exists():
        check_file(plain)
        return [text]
    found = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())  # noqa: PTH207 (Path.glob knows no absolute patterns)
    found = found if glob.has_magic(text) else []
    if not found:
        word = "no file matches" if glob.has_magic(text) else "there is no file"
        raise UnreadableFile(f"{word} {text!r}: check the name and the folder ({Path.cwd().name}/ is the current one)")
    for name in found:
        check_file(name)
    return found


def check_file(path: str) -> None:
    """Raise unless there is a file and something in it."""
    file = Path(path)
    if not file.exists():
        raise UnreadableFile(f"there is no file {path!r}: check the name")
    if file.stat().st_size == 0:
        raise UnreadableFile(f"{path} is empty (0 bytes): there is nothing to read")


def split_part(text: str) -> tuple[str, str | None]:
    """``file::part`` as file and part; part is None where none is named."""
    path, separator, name = text.rpartition("::")
    return (path, name) if separator and not Path(text).exists() else (text, None)


def suffix_of(path: Path) -> tuple[str, bool]:
    """The extension in lower case, and whether .gz follows it."""
    compressed = path.suffix.lower() == ".gz"
    return (Path(path.stem).suffix if compressed else path.suffix).lower(), compressed


def kind_of(text: str) -> str:
    """Which kind of table a file is, by its extension."""
    path = Path(split_part(text)[0])
    suffix, compressed = suffix_of(path)
    kind = _KINDS.get(suffix)
    if kind is None or (compressed and kind in (SQLITE, NUMPY, PARQUET)):
        raise UnreadableFile(
            f"{path}: files that end in {''.join(path.suffixes[-2:]) or 'nothing'!r} are not known as tables; "
            f"use one of {', '.join(_KINDS)} (text also .gz)"
        )
    return kind


def first_line(error: Exception) -> str:
    """The beginning of another library's message, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])[:300].rstrip(". ") if lines else type(error).__name__
