"""Tables in files: CSV, TSV, Parquet, JSON, SQLite, NumPy archives, globs of them, and SQL queries over them."""

from __future__ import annotations

import contextlib
import glob
import gzip
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows._arrow import pa
from narrows.data.corpus import read_pieces
from narrows.data.encodings import binary, check_zeros, marked
from narrows.data.frames import notes_of, with_notes
from narrows.data.paths import CSV, JSON, NUMPY, PARQUET, SQLITE, expand, first_line, kind_of, suffix_of
from narrows.data.stores import read_array, read_numpy, read_sqlite
from narrows.data.text_tables import MARKERS, boolean_words, infinite_dates, marker_words, ragged_line, tidy
from narrows.errors import InvalidData, InvalidParameter, InvalidType, UnreadableFile
from narrows.files import atomic

__all__ = ["read_array", "read_table", "write_table"]

_SQL = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)
Source = str | os.PathLike[str]


def read_table(source: Source | Sequence[Source] | None, sql: str | None = None, limit: int | None = None) -> Any:
    """Read a table from files.

    In CSV and text files the delimiter, header and types are found by DuckDB; empty cells and the words ?, NA, N/A,
    NaN, null and None are blanks, and spaces around text are dropped. What was decided is kept in the table's
    metadata, from where `Table` puts it among its reasons. Nothing is ever downloaded.

    Args:
        source: A file by extension: .csv .tsv .txt .json .jsonl (each also .gz), .parquet, .sqlite .db
            (``file.db::table`` names a table), .npz .npy (``file.npz::name`` names an array); a glob such as
            ``data/*.parquet``; a list of files of the same columns; or an SQL query such as
            ``SELECT a, b FROM 'x.csv'``. May be None if ``sql`` is given.
        sql: A query; the source is its table ``data``.
        limit: Read at most this many rows.

    Returns:
        A ``pyarrow.Table``.

    Raises:
        UnreadableFile: If a file is missing, empty, damaged or of unknown kind.
        InvalidData: If the query cannot be run.

    Example:
        ```python
        from narrows.data.readers import read_table

        table = read_table("people.csv", sql="SELECT age, income FROM data WHERE age > 17")
        ```
    """
    if limit is not None and limit < 1:
        raise InvalidParameter(f"limit={limit}: read at least 1 row")
    if source is None and sql is None:
        raise InvalidParameter("name a file, or give a query: read_table(sql=\"SELECT * FROM 'x.csv'\")")
    if sql is None and isinstance(source, str) and _SQL.match(source) and not Path(source).exists():
        source, sql = None, source
    if source is None:
        assert sql is not None
        return _query(sql, None, limit)
    table = _read_files(source, None if sql else limit)
    return table if sql is None else _query(sql, table, limit)


def write_table(table: Any, path: Source) -> None:
    """Write a table to a file, whole or not at all.

    Args:
        table: An array ``(n, d)`` or any DataFrame.
        path: .csv .tsv .parquet .json .jsonl (CSV and JSON also .gz), .npz or .npy.

    Raises:
        UnreadableFile: If the extension is not known.
        InvalidType: If the table is not one.
    """
    target = Path(path)
    suffix, compressed = suffix_of(target)
    if suffix in (".npz", ".npy"):
        _write_numpy(table, target, suffix)
        return
    arrow = _as_arrow(table)
    zipped = ", COMPRESSION gzip" if compressed else ""
    options = {
        ".csv": f"FORMAT csv, HEADER{zipped}",
        ".tsv": f"FORMAT csv, HEADER, DELIMITER '\t'{zipped}",
        ".tab": f"FORMAT csv, HEADER, DELIMITER '\t'{zipped}",
        ".parquet": "FORMAT parquet",
        ".pq": "FORMAT parquet",
        ".json": f"FORMAT json, ARRAY true{zipped}",
        ".jsonl": f"FORMAT json{zipped}",
        ".ndjson": f"FORMAT json{zipped}",
    }
    if suffix not in options:
        known = ", ".join([*options, ".npz", ".npy"])
        raise UnreadableFile(f"{target}: cannot write files that end in {suffix or 'nothing'!r}; use one of {known}")
    with atomic(target) as temporary:
        if suffix in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            pq.write_table(arrow, temporary)
            return
        with _connect() as con:
            con.register("data", arrow)
            con.execute(f"COPY data TO '{_quoted(str(temporary))}' ({options[suffix]})")


# --- kinds of files --------------------------------------------------------------------------------------------


def _read_files(source: Source | Sequence[Source], limit: int | None) -> Any:
    many = not isinstance(source, (str, os.PathLike))
    texts = [os.fspath(s) for s in source] if many else [os.fspath(source)]  # type: ignore[union-attr, arg-type]
    if not texts:
        raise UnreadableFile("no file was named: the list is empty")
    paths = [p for text in texts for p in expand(text)]
    kinds = {kind_of(p) for p in paths}
    if len(kinds) > 1:
        raise UnreadableFile(f"files of different kinds cannot be one table: {', '.join(sorted(kinds))}")
    kind = kinds.pop()
    if kind in (SQLITE, NUMPY):
        if len(paths) > 1:
            raise UnreadableFile(f"{len(paths)} files of kind {kind}: read them one by one")
        table = read_sqlite(paths[0], limit) if kind == SQLITE else read_numpy(paths[0])
    else:
        table = {CSV: _read_csv, PARQUET: _read_parquet, JSON: _read_json}[kind](paths, limit)
    shown = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if table.num_columns == 0 or table.num_rows == 0:
        raise UnreadableFile(f"{shown} holds no rows" + (", only a header" if table.num_columns else ""))
    return table.slice(0, limit) if limit is not None else table


# --- DuckDB ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connect() -> Iterator[Any]:
    import duckdb

    # extensions would be downloaded and run; Python variables would be read as tables
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(config=config)
    try:
        connection.execute("SET enable_progress_bar=false")  # a library never prints
        yield connection
    finally:
        connection.close()


def _select(function: str, paths: Sequence[str], options: str, limit: int | None) -> Any:
    """All columns of files; the names are parameters, so quotes in them do no harm."""
    names = [glob.escape(p) for p in paths]
    query = f"SELECT * FROM {function}(?{options})" + (f" LIMIT {int(limit)}" if limit is not None else "")
    with _connect() as con:
        return con.sql(query, params=[names]).to_arrow_table()


def one_select(sql: str) -> str:
    """The query as DuckDB reads it.

    Raises:
        InvalidData: If it is not one SELECT.
    """
    import duckdb

    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidData(f"{sql!r} is not one SELECT query")
    return str(statements[0].query).rstrip().rstrip(";")


def _query(sql: str, data: Any, limit: int | None) -> Any:
    import duckdb

    try:
        query = one_select(sql)
        with _connect() as con:
            if data is not None:
                con.register("data", data)
            relation = con.sql(query)
            table = (relation if limit is None else relation.limit(limit)).to_arrow_table()
    except (duckdb.Error, OverflowError) as error:
        why = first_line(error)
        if "extension" in why:
            why = "it needs an extension of DuckDB, and none is ever downloaded; nor is anything read over the network"
        raise InvalidData(f"the SQL query cannot be run: {why} (query: {sql})") from error
    if table.num_rows == 0:
        raise InvalidData(f"the SQL query gives no rows (query: {sql})")
    if data is None and re.search(r"\.(csv|tsv|tab|txt|data)\b", sql, re.IGNORECASE):
        table, notes = tidy(table)
        return with_notes(table, notes)
    return table if data is None else with_notes(table, notes_of(data))


def _read_csv(paths: Sequence[str], limit: int | None) -> Any:
    wide = {path for path in paths if marked(path) in ("utf-16", "utf-32")}
    return _read_wide(paths, wide, limit) if wide else _read_bytes(paths, limit)


def _read_wide(paths: Sequence[str], wide: set[str], limit: int | None) -> Any:
    """Tables in UTF-16 or UTF-32, by way of copies in UTF-8."""
    with tempfile.TemporaryDirectory() as folder:
        copies = {p: Path(folder) / f"{i}{''.join(Path(p).suffixes[-2:])}" for i, p in enumerate(sorted(wide))}
        for path, copy in copies.items():
            opened = gzip.open if copy.suffix == ".gz" else Path.open
            with opened(copy, "wt", encoding="utf-8") as file:
                file.writelines(read_pieces(Path(path), "utf-8"))
        try:
            table = _read_bytes([str(copies.get(p, p)) for p in paths], limit)
        except UnreadableFile as error:
            told = str(error)
            for path, copy in copies.items():
                told = told.replace(str(copy), path)
            raise UnreadableFile(told) from error
    words = {marked(path) for path in wide}
    return with_notes(
        table, [f"the file is read as {' and '.join(sorted(str(w).upper() for w in words))}", *notes_of(table)]
    )


def _read_bytes(paths: Sequence[str], limit: int | None) -> Any:
    import duckdb

    markers = ", ".join(f"'{m}'" for m in MARKERS)
    tab = all(suffix_of(Path(p))[0] in (".tsv", ".tab") for p in paths)
    options = f", nullstr=[{markers}], sample_size=-1, skip=0" + (", delim='\t'" if tab else "")
    encoding, notes = "", list[str]()
    try:
        try:
            table = _select("read_csv", paths, options, limit)
        except duckdb.Error as error:
            if "unicode" not in str(error).lower() or binary(paths[0]):
                raise
            encoding = ", encoding='latin-1'"
            notes.append("the file is not UTF-8 text: read as Latin-1")
            table = _select("read_csv", paths, options + encoding, limit)
        if infinite_dates(table):
            plain = ", auto_type_candidates=['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']"
            table = _select("read_csv", paths, options + encoding + plain, limit)
        elif any(pa.types.is_date(t) or pa.types.is_timestamp(t) for t in table.schema.types):
            notes += _date_order(paths[0], options + encoding)
        table = _words_again(paths, options + encoding, limit, table)
        if table.num_columns == 1 and not tab:
            table = _check_ragged(paths, options + encoding, limit, table)
    except duckdb.Error as error:
        raise _unreadable(paths, error) from error
    check_zeros(paths, table)
    table, more = tidy(table, decimal_comma=_semicolons(paths[0], encoding))
    notes += more
    if any(table[c].null_count for c in table.column_names):
        notes.append(f"{marker_words()} are read as blank")
    if all(re.fullmatch(r"column\d+", c) for c in table.column_names):
        notes.append("the file has no header: columns are called column0, column1, …")
    return with_notes(table, notes)


def _check_ragged(paths: Sequence[str], options: str, limit: int | None, table: Any) -> Any:
    """One column found: really one, separated by spaces, or rows of unequal length that hid the delimiter."""
    for path in paths:
        found = ragged_line(path)
        if found is not None:
            line, given, expected = found
            raise UnreadableFile(
                f"{path}: line {line} has {given} cells where the first line has {expected}: "
                "correct that line (a cell that contains the delimiter must stand in double quotes)"
            )
    if all(suffix_of(Path(p))[0] in (".txt", ".data") for p in paths):
        spaced = _select("read_csv", paths, options + ", delim=' '", limit)
        return spaced if spaced.num_columns > 1 else table
    return table


def _date_order(path: str, options: str) -> list[str]:
    """What DuckDB took the day to be in dates such as 03/04/2020, which mean two things."""
    import duckdb

    with _connect() as con:
        try:
            forms = con.sql(
                f"SELECT DateFormat, TimestampFormat FROM sniff_csv(?{options})", params=[glob.escape(path)]
            ).fetchall()[0]
        except duckdb.Error:  # the file was read: how its dates were written is a detail
            return []
    for form in map(str, forms):
        if form.startswith("%d") or form.startswith("%m"):
            first, second = ("day", "month") if form.startswith("%d") else ("month", "day")
            return [f"dates such as 03/04/2020 are read with the {first} before the {second}"]
    return []


def _words_again(paths: Sequence[str], options: str, limit: int | None, table: Any) -> Any:
    """The table with "yes" and "no" as they stand in the file, where DuckDB made booleans of them."""
    import duckdb

    names = [f.name for f in table.schema if pa.types.is_boolean(f.type)]
    if not names:
        return table
    head = str(not all(re.fullmatch(r"column\d+", c) for c in table.column_names)).lower()
    types = ", ".join(f"'{n.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for n in names)
    try:
        again = _select("read_csv", paths, f"{options}, header={head}, types={{{types}}}", limit)
    except duckdb.Error:  # the first reading stands
        return table
    same = again.column_names == table.column_names and again.num_rows == table.num_rows
    return boolean_words(table, again.select(names)) if same else table


def _semicolons(path: str, options: str = "") -> bool:
    with _connect() as con:
        try:
            found = con.sql(f"SELECT Delimiter FROM sniff_csv(?{options})", params=[glob.escape(path)])
            return found.fetchall()[0][0] == ";"
        except Exception:  # the file was read: how it was delimited is a detail
            return False


def _read_parquet(paths: Sequence[str], limit: int | None) -> Any:
    import duckdb

    try:
        return _select("read_parquet", paths, "", limit)
    except (duckdb.Error, OverflowError) as error:
        raise _unreadable(paths, error) from error


def _read_json(paths: Sequence[str], limit: int | None) -> Any:
    import duckdb

    try:
        return _select("read_json", paths, "", limit)
    except (duckdb.Error, OverflowError) as error:
        raise _unreadable(paths, error) from error


def _unreadable(paths: Sequence[str], error: Exception) -> UnreadableFile:
    # DuckDB compares files with the first and names the one at fault last
    named = max(paths, key=str(error).rfind)
    shown = named if len(paths) == 1 or named in str(error) else f"one of {len(paths)} files ({paths[0]}, …)"
    return UnreadableFile(
        f"{shown} cannot be read: {first_line(error)}. Check that it opens elsewhere and is what its extension says"
    )


# --- writing ---------------------------------------------------------------------------------------------------


def _as_arrow(table: Any) -> Any:
    import narwhals as nw

    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise InvalidType(f"an array of shape {table.shape} is not a table (rows, columns): write it to .npz")
        columns = [pa.array(table[:, j], from_pandas=True) for j in range(table.shape[1])]
        return pa.table(columns, names=[f"column{j}" for j in range(table.shape[1])])
    frame = nw.from_native(table, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        raise InvalidType(f"{type(table).__name__} is not a table: pass an array or a DataFrame")
    names = [str(c) for c in (table.columns if frame.implementation.is_pandas() else frame.columns)]
    arrow = frame.to_arrow()
    # NaN is no value in CSV and JSON: blanks are empty
    columns = [
        pa.array(c.to_numpy(), from_pandas=True) if pa.types.is_floating(c.type) else c
        for c in arrow.columns[: len(names)]
    ]
    return pa.table(columns, names=names)


def _write_numpy(table: Any, target: Path, suffix: str) -> None:
    array = table if isinstance(table, np.ndarray) else np.asarray(table)
    if not isinstance(table, np.ndarray):
        arrow = _as_arrow(table)
        array = np.stack([c.to_numpy() for c in arrow.columns], axis=1)
    if array.dtype.kind == "O":
        raise InvalidType(
            f"{target}: {suffix} files hold numbers only, and this table holds text or blanks: use .parquet"
        )
    with atomic(target) as temporary, temporary.open("wb") as file:
        if suffix == ".npy":
            np.save(file, array, allow_pickle=False)
        else:
            np.savez_compressed(file, X=array)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
