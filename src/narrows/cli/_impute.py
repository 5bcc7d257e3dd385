"""``narrows impute``: fill the blanks of a table, and say how well that can be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from narrows.cli import _stream, _write
from narrows.cli._group import say
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

TESTED = 30_000  # rows of a stream for the self-test


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    out: str
    model: str | None = None
    draws: int | None = None
    seed: int = 0
    test: bool = True
    sql: str | None = None
    memory: str | None = None


def impute(request: Request, output: Output) -> None:
    """Fill a table, once or several times, and write it."""
    from narrows.data import Stream, open_source
    from narrows.estimators._self_test import ASSUMPTION
    from narrows.estimators._streams import some_of

    source = open_source(request.source, sql=request.sql, memory=_stream.budget(request.memory))
    if source.kind != "table":
        raise InvalidParameter(f"{request.source!r} holds {source.kind}; blanks are filled in tables")
    table = source.data
    imputer = _imputer(request, table)
    if isinstance(table, Stream):
        line, rows, blanks = _in_pieces(imputer, table, request)
        table = some_of(table, TESTED, request.seed)
    else:
        rows, blanks = _rows(table), _blanks(table)
        line = _whole(imputer, table, request)
    result: dict[str, Any] = {"out": request.out, "rows": rows, "blanks": blanks, "draws": request.draws}
    output.points(imputer.reasons_)
    assumption = ASSUMPTION
    if request.test and imputer.model_ is None:
        test = imputer.self_test(table, random_state=request.seed)
        output.say(test.sentence())
        assumption = test.assumption
        result["self_test"] = test.to_config()
    output.say(assumption)
    result["assumption"] = assumption
    output.result(result, f"{blanks:,} blanks filled; {line}")


def _in_pieces(imputer: Any, stream: Any, request: Request) -> tuple[str, int, int]:
    """Fill a stream and write it as it comes; what was written, in words, and how many rows and blanks there were."""
    import pyarrow as pa

    from narrows.training.seeds import hash_seed

    for note in stream.notes:
        say(f"note: {note}")
    _check_draws(stream, request)
    blanks, repeats = 0, request.draws or 1

    def filled() -> Iterator[Any]:
        nonlocal blanks
        for draw in range(repeats):
            for number, piece in enumerate(stream.pieces()):
                blanks += 0 if draw else _blanks(piece)
                if request.draws is None:
                    yield imputer.transform(piece)
                    continue
                (table,) = imputer.draws(piece, 1, random_state=hash_seed(request.seed, draw, number) % 2**32)
                yield table.add_column(0, "draw", pa.array([draw + 1] * table.num_rows))

    written = _stream.write_parts(filled(), request.out)
    return f"{written:,} rows → {request.out}", len(stream), blanks


def _check_draws(table: Any, request: Request) -> None:
    if request.draws is None:
        return
    if not hasattr(table, "column_names"):
        raise InvalidParameter("--draws needs a table with named columns: give a .csv or .parquet file")
    if "draw" in table.column_names:
        raise InvalidParameter("--draws writes a column 'draw', and the table has one: rename it")


def _imputer(request: Request, table: Any) -> Any:
    from narrows.estimators import Imputer, load

    if request.model is None:
        return Imputer(random_state=request.seed).fit(table)
    found = load(request.model)
    return found if isinstance(found, Imputer) else Imputer.from_model(found, table, random_state=request.seed)


def _whole(imputer: Any, table: Any, request: Request) -> str:
    """Fill a table in memory and write it; what was written, in words.

    A long one goes to Parquet in parts, as filling takes several times the memory of what is filled.
    """
    parquet = request.out.lower().endswith((".parquet", ".pq"))
    if request.draws or not parquet or not hasattr(table, "slice") or _rows(table) <= _stream.PART:
        filled = _stacked(imputer, table, request) if request.draws else imputer.transform(table)
        return _write.write_rows(filled, request.out, images=False)
    starts = range(0, _rows(table), _stream.PART)
    parts = (imputer.transform(table.slice(start, _stream.PART)) for start in starts)
    return f"{_stream.write_parts(parts, request.out):,} rows → {request.out}"


def _stacked(imputer: Any, table: Any, request: Request) -> Any:
    """The draws one below the other, with a first column that numbers them."""
    import pyarrow as pa

    _check_draws(table, request)
    several = imputer.draws(table, request.draws, random_state=request.seed)
    numbered = [t.add_column(0, "draw", pa.array([i + 1] * t.num_rows)) for i, t in enumerate(several)]
    return pa.concat_tables(numbered)


def _blanks(table: Any) -> int:
    from narrows.data.columns import blank_cells
    from narrows.data.frames import open_table

    return int(sum(blank_cells(cells).sum() for cells in open_table(table).cells))


def _rows(table: Any) -> int:
    from narrows.data.split import count

    return count(table)
