"""``narrows impute``: fill the blanks of a table, and say how well that can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from narrows.cli import _write
from narrows.cli._output import Output
from narrows.errors import InvalidParameter


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


def impute(request: Request, output: Output) -> None:
    """Fill a table, once or several times, and write it."""
    from narrows.data import open_source
    from narrows.estimators._self_test import ASSUMPTION

    source = open_source(request.source, sql=request.sql)
    if source.kind != "table":
        raise InvalidParameter(f"{request.source!r} holds {source.kind}; blanks are filled in tables")
    table = source.data
    imputer = _imputer(request, table)
    blanks = _blanks(table)
    filled = _stacked(imputer, table, request) if request.draws else imputer.transform(table)
    line = _write.write_rows(filled, request.out, images=False)
    result: dict[str, Any] = {"out": request.out, "rows": _rows(table), "blanks": blanks, "draws": request.draws}
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


def _imputer(request: Request, table: Any) -> Any:
    from narrows.estimators import Imputer, load

    if request.model is None:
        return Imputer(random_state=request.seed).fit(table)
    found = load(request.model)
    return found if isinstance(found, Imputer) else Imputer.from_model(found, table, random_state=request.seed)


def _stacked(imputer: Any, table: Any, request: Request) -> Any:
    """The draws one below the other, with a first column that numbers them."""
    import pyarrow as pa

    if not hasattr(table, "column_names"):
        raise InvalidParameter("--draws needs a table with named columns: give a .csv or .parquet file")
    if "draw" in table.column_names:
        raise InvalidParameter("--draws writes a column 'draw', and the table has one: rename it")
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
