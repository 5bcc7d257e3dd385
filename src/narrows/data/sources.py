"""What a word on the command line means: a sample's name, a file, a folder, a pattern, a query, or data itself."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from narrows._part import Part
from narrows.data.corpus import corpus_of, recognised, text_files
from narrows.data.formats import format_for, kind_of
from narrows.data.midi import ENDINGS as MIDI
from narrows.data.midi import find_midi, read_tunes
from narrows.data.pictures import SUFFIXES as PICTURES
from narrows.data.pictures import find_pictures, readable
from narrows.data.series_set import open_series
from narrows.data.stores import load_arrays
from narrows.data.stream import Stream
from narrows.errors import InvalidData, UnreadableFile

TABLES = (
    ".csv", ".csv.gz", ".data", ".db", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet",
    ".pq", ".sqlite", ".sqlite3", ".tab", ".tab.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz",
)  # fmt: skip
ARRAYS = (".npy", ".npz")
KINDS = (
    "a table (.csv, .tsv, .parquet, .json, .sqlite), images (.png, .jpg, .tif, .webp, …), an array (.npy, .npz), a "
    "text (.txt, .md), a folder or a pattern of these, MIDI files (.mid), an SQL query, or the name of a sample"
)
#: Bytes that a table may take, and whether it is streamed however small; None: always in memory.
Budget = tuple[int, bool] | None
_QUERY = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Data that was found and opened.

    Attributes:
        name: What to call it: the sample's name, or the file's or folder's without its ending.
        kind: "table", "images", "series", "text" or "music".
        data: What a format takes: a table, an array, a list of image files, a set of series, or a `Corpus`.
        test: Held-out data of the same kind, if the source has such a part.
        labels: ``(n,)`` the class of every row, if known; for figures, never for training.
        test_labels: The same of ``test``.
        notes: What should be said about how it was understood.
        names: One name per row (the image file's), where rows have names.
        format: Format with the options that were asked for.
        licence: Licence of a sample; None for the user's own data.
    """

    name: str
    kind: str
    data: Any
    test: Any = None
    labels: Any = None
    test_labels: Any = None
    notes: list[str] = field(default_factory=list)
    names: list[str] | None = None
    format: Part | None = None
    licence: str | None = None


def open_source(
    source: Any,
    *,
    sql: str | None = None,
    skip_bad: bool = False,
    image_size: tuple[int, int] | None = None,
    url: str | None = None,
    memory: int | None = None,
    stream: bool = False,
    kind: str | None = None,
    every: Any = None,
) -> Source:
    """Find out what ``source`` means and open it.

    A path that exists wins over a sample of the same name. A folder holds images or table files; a file is known by
    its ending, and ``file::part`` names a table or array in it; a word with ``*``, ``?`` or ``[`` is a pattern; a text
    that begins with SELECT, WITH or FROM is a query.

    Args:
        source: The word, a path, or data itself (array, table, list of images).
        sql: A query over ``source`` (see `read_table`).
        skip_bad: Leave out image files that cannot be read, and say so, instead of stopping.
        image_size: Height and width in pixels to bring images to; None: chosen by the format.
        url: Mirror to download samples from (see `load`).
        memory: Bytes that a table may take; one that would take more is opened as a `Stream`. None: no limit.
        stream: Whether tables are streamed however small.
        kind: "table", "series", "images" or "text" to read it as that; "auto" to recognise series too
            (`narrows.data.recognise.series_reason`), as series. None: a table, images or text.
        every: The step that time stamps are brought to, such as "1d", which makes ``kind="auto"`` series.

    Returns:
        The data and what is known about it.

    Raises:
        UnreadableFile: If nothing of that name is there, its kind is not known, or it is damaged.
        InvalidData: If it is there but holds nothing that can be used.

    Example:
        ```python
        open_source("fashion").data.shape      # (6000, 28, 28)
        open_source("photos/").kind            # 'images'
        open_source("sales.csv").kind          # 'table'
        ```
    """
    if kind is not None:
        from narrows.data.recognise import check_kind, read_as

        check_kind(kind)
        if kind == "text":
            return text_source(source)
        if kind in ("table", "series") and sql is None and isinstance(source, str) and recognised(Path(source)):
            return read_as(_table(_listed(source), None, Path(source).stem), kind, every)
        found = open_source(
            source, sql=sql, skip_bad=skip_bad, image_size=image_size, url=url, memory=memory, stream=stream
        )
        return read_as(found, kind, every)
    options: dict[str, Any] = {"size": image_size, "skip_bad": skip_bad}
    budget = None if memory is None else (memory, stream)
    if isinstance(source, Stream):
        notes = list(source.notes)
        return Source(source.name, source.kind, source, notes=notes, format=format_for(source, **options))
    if not isinstance(source, (str, os.PathLike)):
        chosen = format_for(source, **options)
        return Source("data", kind_of(chosen), source, format=chosen)
    word = os.fspath(source)
    if sql is not None:
        return _table(_listed(word), sql, Path(word).stem, budget)
    path = Path(word).expanduser()
    if word.strip() and path.exists():
        return _with_sample_note(_open_path(path, options, budget), word)
    file, marker, part = word.rpartition("::")
    if marker and Path(file).expanduser().is_file():
        path = Path(file).expanduser()
        if path.suffix.lower() in ARRAYS:
            return _array(path, part, options)
        return _table(f"{path}::{part}", None, part)
    if _QUERY.match(word):
        return _table(None, word, "query", budget)
    if glob.has_magic(word):
        return _open_pattern(str(path), word, options, budget)
    return _open_sample(word, url, options)


# --- by what the word is -------------------------------------------------------------------------------------


def _open_path(path: Path, options: dict[str, Any], budget: Budget = None) -> Source:
    if recognised(path):
        return text_source(path)
    if path.is_dir():
        return _open_folder(path, options, budget)
    if path.suffix.lower() in PICTURES:
        return _pictures([path], path.stem, options)
    if path.suffix.lower() in MIDI:
        return _music(path)
    if path.suffix.lower() in ARRAYS:
        return _array(path, None, options)
    if _suffix(path) in TABLES:
        return _table(str(path), None, path.name.removesuffix(_suffix(path)), budget)
    raise UnreadableFile(f"{str(path)!r} is of no known kind ({path.suffix or 'no ending'}); give {KINDS}")


def text_source(source: Any, column: str | None = None) -> Source:
    """Text, whatever it looks like."""
    from narrows.data.text import Text

    corpus = corpus_of(source, column=column)
    name = Path(source).resolve().name.split(".")[0] if isinstance(source, (str, os.PathLike)) else "text"
    return Source(name, "text", corpus, notes=list(corpus.notes), format=Text(column=column))


def _open_folder(folder: Path, options: dict[str, Any], budget: Budget) -> Source:
    tables = _table_files(folder)
    pictures = find_pictures(folder)
    name = folder.resolve().name
    if pictures:
        opened = _pictures(pictures, name, options)
        if tables:
            opened.notes.append(f"{len(tables)} table files beside the images in {str(folder)!r} were left out")
        return opened
    if not tables and find_midi(folder):
        return _music(folder)
    if not tables:
        raise InvalidData(f"the folder {str(folder)!r} holds neither images nor table files; give {KINDS}")
    opened = _tables(tables, name, budget)
    texts = text_files(folder)
    if texts:
        which = (
            "1 text file beside the tables was"
            if len(texts) == 1
            else f"{len(texts)} text files beside the tables were"
        )
        opened.notes.append(f"{which} left out (--as text reads them instead)")
    return opened


def _music(path: Path) -> Source:
    """A MIDI file or a folder of them as tunes."""
    from narrows.data.music import Music

    tunes = read_tunes(path)
    return Source(path.resolve().name.split(".")[0], "music", tunes, notes=[f"{len(tunes)} MIDI files"], format=Music())


def _table_files(folder: Path) -> list[Path]:
    files = (
        p for p in folder.rglob("*") if p.is_file() and not any(s.startswith(".") for s in p.relative_to(folder).parts)
    )
    return sorted(p for p in files if _suffix(p) in TABLES and ".txt" not in _suffix(p))


def _open_pattern(pattern: str, word: str, options: dict[str, Any], budget: Budget) -> Source:
    found = sorted(
        Path(p)
        for p in glob.glob(pattern, recursive=True)  # noqa: PTH207  (absolute patterns)
        if Path(p).is_file()
    )
    if not found:
        raise UnreadableFile(
            f"no file matches {word!r}; check the pattern (quote it, so that the shell leaves it alone)"
        )
    name = re.sub(r"[*?\[\]]+", "", Path(word).name.split(".")[0]).strip("-_ ") or Path(word).parent.name or "files"
    pictures = [p for p in found if p.suffix.lower() in PICTURES]
    if pictures:
        opened = _pictures(pictures, name, options)
        if len(pictures) < len(found):
            opened.notes.append(
                f"{len(found) - len(pictures)} files that match {word!r} are no images and were left out"
            )
        return opened
    if len(found) == 1:
        return _open_path(found[0], options, budget)
    unknown = [p for p in found if _suffix(p) not in TABLES]
    if unknown:
        raise UnreadableFile(f"{str(unknown[0])!r}, which matches {word!r}, is of no known kind; give {KINDS}")
    return _tables(found, name, budget)


def _open_sample(word: str, url: str | None, options: dict[str, Any]) -> Source:
    from narrows.data.samples import catalogue, load, nearest

    names = [entry.name for entry in catalogue()]
    if word.lower() not in names:
        near = nearest(word)
        hint = f" Did you mean the sample {' or '.join(near)}?" if near else f" Samples are {', '.join(names)}."
        if re.match(r"[a-z0-9+]{2,}://", word):
            hint = " Download it first, and give the file."
        raise UnreadableFile(f"there is no file, folder or sample {word!r}; give {KINDS}.{hint}")
    found = load(word, url=url)
    if found.kind == "series":
        found = replace(
            found, data=open_series(found.data), test=None if found.test is None else open_series(found.test)
        )
    chosen = format_for(found.data, **options)
    notes = [f"sample data {found.name!r}: {found.description} ({found.licence}; {found.source})"]
    return Source(
        found.name,
        found.kind,
        found.data,
        found.test,
        found.labels,
        found.test_labels,
        notes,
        None,
        chosen,
        found.licence,
    )


def _with_sample_note(opened: Source, word: str) -> Source:
    from narrows.data.samples import catalogue

    if word.lower() in [entry.name for entry in catalogue()]:
        opened.notes.append(f"{word!r} is also the name of a sample; the path {word!r} was taken")
    return opened


# --- opening -------------------------------------------------------------------------------------------------


def _pictures(pictures: list[Path], name: str, options: dict[str, Any]) -> Source:
    notes = [f"{len(pictures)} image file{'s' * (len(pictures) != 1)}"]
    if options["skip_bad"]:
        from narrows.data.image import Image

        kept, bad = readable(pictures, Image().max_pixels)
        if not kept:
            raise UnreadableFile(f"none of the {len(pictures)} image files can be read; the first: {bad[0]}")
        if bad:
            shown = "; ".join(text.split("; mend or remove it")[0] for text in bad[:3])
            more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
            notes.append(f"{len(bad)} of {len(pictures)} image files were left out: {shown}{more}")
        pictures = kept
    return Source(
        name, "images", pictures, notes=notes, names=[str(p) for p in pictures], format=format_for(pictures, **options)
    )


def _array(path: Path, part: str | None, options: dict[str, Any]) -> Source:
    arrays = load_arrays(path)
    usable = {key: a for key, a in arrays.items() if a.ndim in (2, 3, 4) and a.dtype.kind in "buif"}
    listed = ", ".join(f"{key or 'array'} {a.shape} {a.dtype}" for key, a in arrays.items()) or "nothing"
    if part is not None and part not in usable:
        raise InvalidData(f"{str(path)!r} holds {listed}; none of these is usable and called {part!r}")
    if not usable:
        raise InvalidData(
            f"{str(path)!r} holds {listed}; give numbers of shape (n, columns), (n, height, width) or "
            "(n, height, width, channels)"
        )
    usual = next((k for k in ("images", "X", "x", "data", "x_train") if k in usable), None)
    key = part if part is not None else usual if usual is not None else max(usable, key=lambda k: usable[k].size)
    data = usable[key]
    notes: list[str] = []
    if len(arrays) > 1:
        rest = ", ".join(k for k in arrays if k != key)
        notes.append(f"array {key!r} was taken from {str(path)!r} ({rest} left; choose with '{path}::name')")
    named = (arrays[k] for k in ("y", "labels", "target", "y_train") if k in arrays and k != key)
    labels = next((a for a in named if a.shape == data.shape[:1]), None)
    chosen = format_for(data, **options)
    return Source(path.stem, kind_of(chosen), data, labels=labels, notes=notes, format=chosen)


def _table(source: str | list[str] | None, sql: str | None, name: str, budget: Budget = None) -> Source:
    from narrows.data.readers import read_table
    from narrows.data.table import Table

    if budget is not None:
        from narrows.data.spool import stream_of

        stream = stream_of([source] if isinstance(source, str) else source or [], sql, name, *budget)
        if stream is not None:
            return Source(name, "table", stream, notes=list(stream.notes), format=Table())
    return Source(name, "table", read_table(source, sql=sql), format=Table())


def _listed(word: str) -> str | list[str]:
    """A folder's table files; any other word as it is."""
    folder = Path(word).expanduser()
    return [str(p) for p in _table_files(folder)] or word if folder.is_dir() else word


def _tables(files: list[Path], name: str, budget: Budget) -> Source:
    kinds = sorted({_suffix(p) for p in files})
    if len(kinds) > 1:
        raise UnreadableFile(
            f"the {len(files)} table files are of several kinds ({', '.join(kinds)}); give a pattern of one kind, such "
            f"as {str(files[0].parent / ('*' + kinds[0]))!r}"
        )
    opened = _table([str(p) for p in files], None, name, budget)
    if len(files) > 1:
        opened.notes.append(f"{len(files)} table files were put together")
    return opened


def _suffix(path: Path) -> str:
    """The ending that names the kind: ``.csv.gz`` for a packed file."""
    endings = [s.lower() for s in path.suffixes[-2:]]
    return "".join(endings) if len(endings) == 2 and endings[1] == ".gz" else (endings or [""])[-1]
