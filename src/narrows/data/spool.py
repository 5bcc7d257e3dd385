"""Tables opened as streams: Parquet files as they are, all else rewritten once into a temporary Parquet file."""

from __future__ import annotations

import glob
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from narrows._arrow import pa
from narrows.data import readers
from narrows.data.budget import CELL, in_words, needed, plain_size, size_in_bytes
from narrows.data.encodings import binary, check_zeros
from narrows.data.paths import CSV, JSON, PARQUET, expand, first_line, kind_of, suffix_of
from narrows.data.sources import open_source
from narrows.data.stream import Group, PictureStream, Stream, TableStream, check_columns
from narrows.data.text_tables import MARKERS, infinite_dates, marker_words, trimmed
from narrows.data.words import Words
from narrows.errors import DiskFull, InvalidData, UnreadableFile
from narrows.files import disk_full

KINDS = (CSV, JSON, PARQUET)
#: A row group may take this part of the budget: several are shuffled together.
PART = 32
#: A row group that is written may take this part.
OWN = 128
_SNIFFED = 1_000_000  # rows that types are guessed from; where a later one does not fit, all are looked at
_ROWS = 10_000  # rows that DuckDB hands over at a time


def open_stream(source: Any, *, memory: int | str | None = None, sql: str | None = None) -> Stream:
    """Open data to be read piece by piece, however small it is.

    Args:
        source: Table files (a name, a folder, a pattern such as ``"big/*.parquet"``), an SQL query, or a folder of
            images.
        memory: What reading may take, such as ``"1GiB"``; None: half of this machine's memory.
        sql: A query over the files, as the table ``data``.

    Returns:
        A stream that ``fit``, ``transform`` and ``score_samples`` take.

    Raises:
        UnreadableFile: If there is nothing of that name, or it cannot be read piece by piece.

    Example:
        ```python
        stream = open_stream("people.csv", memory="1MiB")
        len(stream)  # 80
        stream.column_names  # ['age', 'income', 'city']
        ```
    """
    size = size_in_bytes(memory)
    found = open_source(source, sql=sql, memory=size, stream=True)
    if isinstance(found.data, Stream):
        return found.data
    if found.kind == "images" and isinstance(found.data, list):
        return PictureStream(name=found.name, memory=size, paths=tuple(found.data))
    raise UnreadableFile(f"{source!r} cannot be read piece by piece: give Parquet, CSV or JSON files, or image files")


def stream_of(sources: Sequence[str], sql: str | None, name: str, memory: int, always: bool) -> TableStream | None:
    """Table files as a stream, when learning from them in memory would take more than ``memory`` bytes.

    Args:
        sources: Files or patterns; none for a query that names its files itself.
        sql: A query, if there is one.
        name: What to call the data.
        memory: The budget.
        always: Stream however small they are.

    Returns:
        The stream; None when they fit, or are of a kind that is only read whole.
    """
    paths = [path for source in sources for path in expand(source)]
    kinds = {kind_of(path) for path in paths} or {""}
    if len(kinds) > 1 or not kinds <= {*KINDS, ""}:
        return None
    kind = kinds.pop()
    if not always:
        size = needed(paths, kind) if sql is None else _size_of(next(_queries(paths, kind, sql)).text)
        if size <= memory:
            return None
        said = f"about {in_words(size)} in memory, above the budget of {in_words(memory)}: read piece by piece"
    else:
        said = f"read piece by piece, with a budget of {in_words(memory)}"
    stream = open_tables(paths, kind, name, memory, sql)
    return replace(stream, notes=(said, *stream.notes))


def _size_of(query: str) -> int:
    import duckdb

    with readers._connect() as con:
        try:
            relation = con.sql(query)
            rows = relation.count("*").fetchall()[0][0]
        except (duckdb.Error, OverflowError):
            return 0  # whoever reads it says what is wrong with it
        return int(rows) * len(relation.columns) * (8 + CELL)


def open_tables(paths: Sequence[str], kind: str, name: str, memory: int, sql: str | None = None) -> TableStream:
    """Table files as a stream.

    Args:
        paths: The files, of one kind.
        kind: One of `KINDS`; "" for a query that names its files itself.
        name: What to call the data.
        memory: Bytes that reading may take.
        sql: A query over the files, as the table ``data``.

    Raises:
        UnreadableFile: If a file cannot be read.
        InvalidData: If the files have different columns, or the query cannot be run.
        DiskFull: If there is no room for the temporary file.
    """
    limit = max(1, memory // PART)
    why = {CSV: "text files have", JSON: "JSON files have"}.get(kind, "a query has") + " no parts to be read by"
    if kind == PARQUET and sql is None:
        groups, plain = _groups(paths)
        if max(plain) <= limit:
            schema = readers._select("read_parquet", paths, "", 0).schema
            return TableStream(name=name, memory=memory, groups=groups, schema=schema, origin=tuple(paths))
        why = f"row groups of up to {in_words(max(plain))} are too large for this much memory"
    return _spooled(paths, kind, name, memory, sql, why)


def _groups(paths: Sequence[str]) -> tuple[tuple[Group, ...], list[int]]:
    import pyarrow.parquet as pq

    groups, plain = list[Group](), list[int]()
    first: list[str] | None = None
    for path in paths:
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise readers._unreadable([path], error) from error
        names = list(found.schema.to_arrow_schema().names)
        first = first or names
        check_columns(path, names, first, paths[0])
        groups += [Group(path, i, found.row_group(i).num_rows) for i in range(found.num_row_groups)]
        plain += [plain_size(found.row_group(i)) for i in range(found.num_row_groups)]
    if not sum(g.rows for g in groups):
        raise UnreadableFile(f"{paths[0]} holds no rows, only a header")
    return tuple(groups), plain


# --- rewriting -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Query:
    """A query and how its files are read."""

    text: str
    booleans: frozenset[str]
    notes: tuple[str, ...]


def _spooled(paths: Sequence[str], kind: str, name: str, memory: int, sql: str | None, why: str) -> TableStream:
    import duckdb

    folder = tempfile.TemporaryDirectory(prefix="narrows-")
    target = Path(folder.name) / "rows.parquet"
    comma, text = kind == CSV and readers._semicolons(paths[0]), kind in (CSV, "") or sql is not None
    last: Exception | None = None
    for query in _queries(paths, kind, sql):
        try:
            with disk_full("the temporary copy of the table"):
                schema, words, blanks = _write(query, paths, target, memory, text, comma)
            break
        except _Reread:
            continue
        except (duckdb.Error, OverflowError, OSError) as error:  # Arrow hands DuckDB's errors on as OSError
            if isinstance(error, DiskFull):
                raise
            last = error
    else:
        assert last is not None
        if sql is not None:
            raise InvalidData(f"the SQL query cannot be run: {first_line(last)} (query: {sql})") from last
        raise readers._unreadable(paths, last) from last
    groups, _ = _groups([str(target)])
    notes = [f"{why}: rewritten once, into a temporary file of {in_words(target.stat().st_size)}", *query.notes]
    if kind == CSV and blanks:
        notes.append(f"{marker_words()} are read as blank")
    recast = list[tuple[str, Callable[[Any], Any]]]()
    for word in words:
        found = word.truth()
        if found is not None:
            at = schema.get_field_index(word.name)
            schema = schema.set(at, pa.field(word.name, found[0]))
            recast.append((word.name, found[1]))
            notes += found[2]
    origin = tuple(paths) or (str(target),)
    return TableStream(
        name=name, memory=memory, notes=tuple(notes), groups=groups, schema=schema, origin=origin,
        recast=tuple(recast), folder=folder,
    )  # fmt: skip


class _Reread(Exception):
    """The file must be read in another way."""


def _queries(paths: Sequence[str], kind: str, sql: str | None) -> Iterator[_Query]:
    """Ways to read the files, the next tried when one fails; an error when there is none."""
    import duckdb

    listed = ", ".join("'" + readers._quoted(glob.escape(p)) + "'" for p in paths)
    if kind in (PARQUET, JSON, ""):
        yield _Query(_over(f"read_{kind}([{listed}])" if kind else "", sql), frozenset(), ())
        return
    markers = ", ".join(f"'{m}'" for m in MARKERS)
    tab = all(suffix_of(Path(p))[0] in (".tsv", ".tab") for p in paths)
    basic = f", nullstr=[{markers}], skip=0" + (", delim='\t'" if tab else "")
    plain = ", auto_type_candidates=['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']"
    wrong, readable = None, False
    for encoding in ("", ", encoding='latin-1'"):
        if encoding and binary(paths[0]):
            break
        for sample, types in ((_SNIFFED, ""), (-1, ""), (-1, plain)):
            options = f"{basic}, sample_size={sample}{encoding}{types}"
            try:
                header, booleans = _described(listed, options)
            except duckdb.Error as error:
                wrong = wrong or error
                continue
            kept = ", ".join(f"'{readers._quoted(n)}': 'VARCHAR'" for n in booleans)
            # words such as "yes" are read as booleans, and are not: what they are is decided by all of them
            words = f", header={str(header).lower()}, types={{{kept}}}" if kept else ""
            notes = ["the file is not UTF-8 text: read as Latin-1"] if encoding else []
            notes += readers._date_order(paths[0], f", nullstr=[{markers}]{encoding}")
            notes += [] if header else ["the file has no header: columns are called column0, column1, …"]
            text = _over(f"read_csv([{listed}]{options}{words})", sql)
            yield _Query(text, frozenset(booleans), tuple(notes))
            readable = True
    if wrong is not None and not readable:
        raise readers._unreadable(paths, wrong) from wrong


def _described(listed: str, options: str) -> tuple[bool, list[str]]:
    with readers._connect() as con:
        rows = con.sql(f"DESCRIBE SELECT * FROM read_csv([{listed}]{options})").fetchall()
    header = not all(re.fullmatch(r"column\d+", row[0]) for row in rows)
    return header, [row[0] for row in rows if row[1] == "BOOLEAN"]


def _over(files: str, sql: str | None) -> str:
    if sql is None:
        return f"SELECT * FROM {files}"
    query = readers.one_select(sql)
    return f"WITH data AS (SELECT * FROM {files}) SELECT * FROM ({query})" if files else query


def _write(
    query: _Query, paths: Sequence[str], target: Path, memory: int, text: bool, comma: bool
) -> tuple[Any, list[Words], bool]:
    """Write what a query gives as row groups; its schema, what its text columns are, and whether cells are blank."""
    import pyarrow.parquet as pq

    with readers._connect() as con:
        con.execute(f"SET memory_limit='{max(memory // 4, 2**28)}B'")
        con.execute(f"SET temp_directory='{readers._quoted(str(target.parent))}'")
        reader = con.sql(query.text).to_arrow_reader(_ROWS)
        schema = pa.schema([pa.field(f.name, f.type) for f in reader.schema])
        names = [f.name for f in schema if text and pa.types.is_string(f.type)]
        words = [Words(n, n in query.booleans, comma) for n in names]
        blanks = False
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for table in _blocks(reader, memory // OWN):
                if infinite_dates(table):
                    raise _Reread
                check_zeros(paths if text else (), table)
                for word in words:
                    column = trimmed(table[word.name].combine_chunks())
                    word.add(column)
                    table = table.set_column(schema.get_field_index(word.name), word.name, column)
                blanks = blanks or any(c.null_count for c in table.columns)
                writer.write_table(table, row_group_size=table.num_rows)
    return schema, words, blanks


def _blocks(reader: Any, size: int) -> Iterator[Any]:
    """A reader's rows in tables of about ``size`` bytes, of as many rows each."""
    rows, waiting, have = 0, list[Any](), 0
    for batch in reader:
        if not batch.num_rows:
            continue
        rows = rows or max(1, int(size // max(8 * batch.num_columns, batch.nbytes / batch.num_rows)))
        waiting.append(batch)
        have += batch.num_rows
        if have >= rows:
            table = pa.Table.from_batches(waiting)
            whole = have // rows * rows
            for start in range(0, whole, rows):
                yield table.slice(start, rows)
            waiting, have = table.slice(whole).to_batches(), have - whole
    if have:
        yield pa.Table.from_batches(waiting)
