"""Texts, wherever they lie: files, folders, columns of tables, strings; read piece by piece, however long a line is."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from narrows.data.encodings import named_by, opened
from narrows.data.pictures import SUFFIXES as PICTURES
from narrows.errors import InvalidData, InvalidParameter, InvalidType, UnreadableFile

TEXTS = (".txt", ".text", ".md", ".rst", ".txt.gz", ".text.gz", ".md.gz")
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".json", ".jsonl", ".ndjson", ".sqlite", ".db")
PIECE = 1 << 20  # bytes or characters that are looked at at once
FEWEST, SHORT = 5, 1_000  # texts, and characters of a single one, below which nothing is held out
ABOUT = ("readme", "licence", "license", "copying", "changelog")  # files that tell of those beside them
LOOKED_AT = 1 << 16  # bytes of a file that decide whether it is a text or a table
LINES = 200  # of these
CELL = 30  # characters of a cell of a table on average, at most, where commas could be those of sentences
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?|nan|NaN|NA|\?")


@dataclass(frozen=True)
class Corpus:
    """Some texts.

    Attributes:
        parts: A file or a text each.
        encoding: Of the files.
        notes: What should be said about how they were found.
        span: The characters of every text that are taken, from the first on and up to the last; None: to its end.
        blanks: Where in the list of texts that was given there were blanks, which were left out.
    """

    parts: tuple[Path | str, ...]
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()
    span: tuple[int, int | None] = (0, None)
    blanks: tuple[int, ...] = ()

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.parts)

    def texts(self) -> Iterator[Iterator[str]]:
        """Every text as an iterator over its pieces."""
        for part in self.parts:
            pieces = read_pieces(part, self.encoding) if isinstance(part, Path) else cut(part)
            yield pieces if self.span == (0, None) else _within(pieces, *self.span)

    def hold_out(self, share: float) -> tuple[Corpus, Corpus | None]:
        """The texts to learn from, and the last part: of a single text its end, of several the last ones.

        Args:
            share: How much to hold out, at least 0 and below 1.

        Returns:
            Both; the second is None where there is too little to hold any out.
        """
        if len(self) > 1:
            held = round(share * len(self)) if len(self) >= FEWEST else 0
            first = len(self) - held
            return replace(self, parts=self.parts[:first]), replace(self, parts=self.parts[first:]) if held else None
        total = sum(len(piece) for text in self.texts() for piece in text)
        held = round(share * total) if total >= SHORT else 0
        if not held:
            return self, None
        return replace(self, span=(0, total - held)), replace(self, span=(total - held, None))


def corpus_of(raw: Any, encoding: str = "utf-8", column: str | None = None) -> Corpus:
    """The texts that something holds.

    Args:
        raw: A text; the name of a file or a folder of text files; a column of a table, or a list, of texts; a list of
            files (as ``pathlib.Path``); a table, or the file of one. A string is a name if it is one of something that
            is there, and a text otherwise.
        encoding: Of the files.
        column: Which column of a table; None: the only one that holds text.

    Raises:
        UnreadableFile: If there is no such file, or it is damaged.
        InvalidData: If nothing is there.
        InvalidType: If it is something else.
    """
    if isinstance(raw, Corpus):
        return raw
    if isinstance(raw, (str, os.PathLike)):
        return _named(raw, encoding, column)
    if getattr(raw, "column_names", None) is not None or getattr(raw, "columns", None) is not None:
        return _of_table(raw, column)
    if hasattr(raw, "to_pylist"):  # Arrow's own
        raw = raw.to_pylist()
    if not hasattr(raw, "__iter__") or isinstance(raw, (bytes, dict)):
        raise InvalidType(
            f"{type(raw).__name__} is no text: give a string, a file or a folder of text files, or a list or a column "
            "of strings"
        )
    return _of_list(list(raw), encoding)


def _named(raw: str | os.PathLike[str], encoding: str, column: str | None) -> Corpus:
    word = os.fspath(raw)
    if isinstance(raw, str) and (len(word) > 4096 or "\n" in word or not word.strip()):
        return _checked(Corpus((word,)))
    path = Path(word).expanduser()
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError:  # longer than any name
        folder = file = False
    if folder:
        files = _files(path)
        found = _texts(files, path)
        if not found:
            raise InvalidData(f"the folder {word!r} holds no text files; they end in {', '.join(TEXTS)}")
        notes = [f"{len(found):,} text file{'s' * (len(found) != 1)}"]
        others = sum(p.name.lower().endswith((*TABLES, *PICTURES)) for p in files)
        if others:
            which = (
                "1 file of another kind beside the texts was"
                if others == 1
                else (f"{others:,} files of other kinds beside the texts were")
            )
            notes.append(f"{which} left out")
        return Corpus(tuple(found), encoding, tuple(notes))
    if file:
        if "".join(path.suffixes[-2:]).lower().endswith(TABLES):
            from narrows.data.readers import read_table

            return _of_table(read_table(str(path)), column)
        text = "".join(read_pieces(path, encoding)) if path.stat().st_size <= LOOKED_AT else "long"
        if text and not text.strip():
            raise InvalidData(f"{word!r} holds nothing but blanks: there is nothing to learn from or to judge")
        return Corpus((path,), encoding)
    if isinstance(raw, str) and not _like_a_name(word):
        return _checked(Corpus((word,)))
    raise UnreadableFile(f"there is no file or folder {word!r}; to give it as a text itself, give a list: [{word!r}]")


def _like_a_name(word: str) -> bool:
    """Whether a text that names nothing was meant to be the name of a file."""
    return not any(c.isspace() for c in word) and ("/" in word or word.lower().endswith((*TEXTS, *TABLES)))


def text_files(folder: Path) -> list[Path]:
    """The text files in a folder and the folders in it, but for hidden ones."""
    return _texts(_files(folder), folder)


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]


def _texts(files: Sequence[Path], folder: Path) -> list[Path]:
    texts = (p for p in files if p.name.lower().endswith(TEXTS))
    return sorted(p for p in texts if not any(s.startswith(".") for s in p.relative_to(folder).parts))


def _of_table(table: Any, column: str | None) -> Corpus:
    names = [str(n) for n in getattr(table, "column_names", None) or table.columns]
    texts = names
    if column is None and len(names) > 1:
        texts = [n for n in names if _holds_text(_values(table[n]))]
    elif column is not None and column not in names:
        raise InvalidParameter(f"column={column!r}: there is no such column; there are {', '.join(names)}")
    chosen = column or (texts[0] if len(texts) == 1 else None)
    if chosen is None:
        raise InvalidData(
            f"the table has {len(texts)} columns of text ({', '.join(texts) or 'none'}); say which to learn from: give "
            "the column itself, or format=Text(column=…)"
        )
    found = _of_list(_values(table[chosen]), "utf-8")
    return replace(found, notes=(f"column {chosen!r}, a text in every row", *found.notes))


def _values(column: Any) -> list[Any]:
    return list(column.to_pylist()) if hasattr(column, "to_pylist") else list(column)


def _holds_text(values: Sequence[Any]) -> bool:
    return any(isinstance(v, str) for v in values)


def _of_list(values: list[Any], encoding: str) -> Corpus:
    blanks = tuple(i for i, v in enumerate(values) if v is None or v != v)  # NaN is not itself
    there = [v for v in values if v is not None and v == v]
    for place, value in enumerate(there):
        if not isinstance(value, (str, os.PathLike)):
            raise InvalidType(
                f"text {place} is {value!r}, of type {type(value).__name__}: a list of texts holds strings, or files "
                "as pathlib.Path"
            )
    parts = tuple(v if isinstance(v, str) else Path(v) for v in there)
    missing = next((p for p in parts if isinstance(p, Path) and not p.is_file()), None)
    if missing is not None:
        raise UnreadableFile(f"there is no file {str(missing)!r}")
    notes = (f"{len(blanks):,} of {len(values):,} texts are blank and were left out",) if blanks else ()
    return _checked(Corpus(parts, encoding, notes, blanks=blanks))


def _checked(corpus: Corpus) -> Corpus:
    if not corpus.parts or all(part == "" for part in corpus.parts):
        raise InvalidData("the text is empty: there is nothing to learn from or to judge")
    return corpus


def recognised(path: Path) -> bool:
    """Whether a file or a folder is text, rather than tables or images: by its name, or by how its lines look.

    A folder is what most of its files are, but for those that only tell of the others (a README, a licence).
    """
    if path.is_dir():
        names = (p.name.lower() for p in _files(path))
        inside = [name for name in names if not name.startswith(ABOUT)]
        texts = sum(name.endswith(TEXTS) for name in inside)
        return texts > sum(name.endswith((*TABLES, *PICTURES)) for name in inside)
    name = path.name.lower()
    if not path.is_file() or not name.endswith(TEXTS):
        return False
    with opened(path) as file:
        data = file.read(LOOKED_AT)
    text = data.decode(named_by(data) or "utf-8", "replace")
    # what holds no character, or such as no text holds, is no table either
    return ".txt" not in path.suffixes[-2:] or bool(data and not text.strip()) or "\0" in text or prose(text)


def prose(text: str) -> bool:
    """Whether the beginning of a file is text, rather than a table: the lines of a table have equally many cells."""
    lines = [line for line in text.splitlines()[:LINES] if line.strip()]
    if len(text) >= LOOKED_AT // 2 and len(lines) > 1:
        lines = lines[:-1]  # perhaps cut off
    if "\0" in text or not lines:
        return False
    cells = [re.split(r"[\s,;|]+", line.strip(" \t,;|")) for line in lines]
    if all(NUMBER.fullmatch(cell) for line in cells for cell in line):
        return False
    if len(lines) < 2:
        return True
    for mark in "\t;|,":
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return mark == "," and len("".join(lines)) / len(lines) / (counts.pop() + 1) > CELL
    numbers = sum(all(NUMBER.fullmatch(c) for c in column) for column in zip(*cells[1:], strict=False))
    return len({len(line) for line in cells}) > 1 or len(cells[0]) < 2 or not numbers


# --- reading -------------------------------------------------------------------------------------------------


def cut(text: str) -> Iterator[str]:
    """A text in pieces."""
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def read_pieces(path: Path, encoding: str) -> Iterator[str]:
    """A file in pieces, whatever its lines are like. Ends of lines become line feeds; a byte order mark is left out.

    A file that begins with the mark of UTF-16 or UTF-32 is read as that.

    Raises:
        UnreadableFile: If a byte is not text, saying which.
        InvalidParameter: If there is no such encoding.
    """
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise InvalidParameter(f"encoding={encoding!r} is not known: write utf-8, latin-1, cp1252, utf-16, …") from None
    read = 0
    try:
        with opened(path) as file:
            data = file.read(PIECE)
            inner = (codecs.lookup(named_by(data) or "utf-8") if codec.name == "utf-8" else codec).incrementaldecoder()
            decoder = io.IncrementalNewlineDecoder(inner, translate=True)
            while True:
                waiting = len(inner.getstate()[0])
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    raise _no_text(path, encoding, read - waiting + error.start, error) from None
                if "\0" in text:
                    raise UnreadableFile(
                        f"{str(path)!r} is no text: it holds NUL characters. Check what it is, or save it as UTF-8"
                    )
                read += len(data)
                if text:
                    yield text
                if not data:
                    return
                data = file.read(PIECE)
    except (OSError, EOFError) as error:
        raise UnreadableFile(f"{str(path)!r} cannot be read: {error}") from error


def _no_text(path: Path, encoding: str, place: int, error: UnicodeDecodeError) -> UnreadableFile:
    byte = error.object[error.start : error.start + 1].hex()
    return UnreadableFile(
        f"{str(path)!r} is not text in {encoding}: byte {place:,} is 0x{byte}. Save it as UTF-8, or say what it is "
        "written in: format=Text(encoding='latin-1'), say (with narrows fit: --set format__encoding=latin-1)"
    )


def _within(pieces: Iterator[str], start: int, end: int | None) -> Iterator[str]:
    """The characters from one place up to another."""
    at = 0
    for piece in pieces:
        part = piece[max(0, start - at) : None if end is None else max(0, end - at)]
        at += len(piece)
        if part:
            yield part
        if end is not None and at >= end:
            return


def whole_words(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces that are cut at spaces, so that no word lies in two; what has none for long is cut where it is."""
    rest = ""
    for piece in chain(pieces, [""]):
        text = rest + piece
        end = len(text) if not piece or len(text) >= 2 * PIECE else _last_space(text)
        if end:
            yield text[:end]
        rest = text[end:]


def _last_space(text: str) -> int:
    """Where the last space begins; 0 where there is none."""
    return max(text.rfind(" "), text.rfind("\n"), text.rfind("\t"), 0)
