"""``narrows generate``: made-up rows with their report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from narrows.cli import _stream, _write
from narrows.cli._group import say
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

HELD_OUT = 0.1
FEW = 20  # kinds of a column that a model can be asked to predict
SAMPLED = 10_000  # rows made up to compare groups' shares
ENOUGH = 500  # rows that can be measured; of fewer a report is noise


@dataclass(frozen=True)
class Request:
    """What ``narrows generate`` was asked for."""

    source: str
    out: str
    number: int
    where: str | None = None
    balance: str | None = None
    seed: int = 0
    against: str | None = None
    target: str | None = None
    save: str | None = None
    sql: str | None = None
    epochs: int | None = None
    time_budget: float | None = None
    force: bool = False


def generate(request: Request, output: Output) -> None:
    """Make up rows of a model, or of a table that is learnt first; write them and say how good they are."""
    _check(request)
    images = False
    if _is_model(request.source):
        synthesizer = _load(request)
        images = _is_images(synthesizer)
        parts = None if request.against is None else _halves(request.against, None, request.seed)
    else:
        parts = _halves(request.source, request.sql, request.seed)
        synthesizer = _fit(request, parts[0])
    if not images:
        _check_table(request.out)
    many = request.number > _stream.PART and not images
    if many:
        _stream.check_ending(request.out)
    number = min(request.number, _stream.PART) if many else request.number
    made = _draw(synthesizer, number, request, request.seed)
    report = None
    if parts is not None:
        report = _report(synthesizer, made, parts, request)
    if request.save is not None and parts is not None:
        assert report is not None
        synthesizer.save(request.save, {"report": report.sentences()})
    if many:
        # the rows that the report is of are the first that are written
        rest = _stream.in_parts(
            request.number,
            request.seed,
            lambda n, own: made if own == request.seed else _draw(synthesizer, n, request, own),
        )
        line = f"{_stream.write_parts(map(_stream.as_arrow, rest), request.out):,} rows → {request.out}"
    else:
        line = _write.write_rows(made, request.out, images=images, force=request.force)
    _tell(request, report, output)
    output.result(
        {"out": request.out, "rows": request.number, "report": None if report is None else report.to_dict()}, line
    )


def _check_table(out: str) -> None:
    if Path(out).suffix.lower() in ("", ".png"):
        raise InvalidParameter(f"--out {out!r}: end the name in .csv, .parquet, .json or .npz")


def _is_images(model: Any) -> bool:
    format_ = getattr(model, "format_", None)
    return format_ is not None and len(format_.layout.shape) == 3


def _check(request: Request) -> None:
    model = _is_model(request.source)
    if not model:
        _check_table(request.out)
    if not model and request.against is not None:
        raise InvalidParameter("--against goes with a model; a table is compared with its own held-out rows")
    if model and (request.save is not None or request.sql is not None):
        raise InvalidParameter("--save and --sql go with a table that is learnt first, not with a saved model")
    if request.where is not None:
        from narrows.data.where import parse

        parse(request.where)  # what cannot be read is refused before anything is learnt


def _is_model(source: str) -> bool:
    from narrows._saved import MODEL

    return (Path(source) / MODEL).is_file()


def _load(request: Request) -> Any:
    """What makes rows: a synthesizer, also over an autoencoder of tables, or any other model as it is."""
    from narrows.estimators import BaseAutoencoder, BaseModel, Synthesizer, load

    model = load(request.source)
    if isinstance(model, Synthesizer):
        return model
    if not isinstance(model, BaseModel):
        raise InvalidParameter(f"{request.source!r} holds a {type(model).__name__}, which makes no rows")
    if isinstance(model, BaseAutoencoder) and len(model.format_.layout.shape) == 1 and not model.module_.conditional:
        return Synthesizer.from_model(model)
    if request.balance is not None:
        raise InvalidParameter(f"--balance goes with a synthesizer; this is a {type(model).__name__}: use --where")
    if request.against is not None and len(model.format_.layout.shape) > 1:
        raise InvalidParameter("--against compares tables; this model makes images")
    return model


def _draw(model: Any, number: int, request: Request, seed: int | None) -> Any:
    if request.balance is None:
        return model.sample(number, where=request.where, random_state=seed)
    return model.sample(number, request.where, request.balance, seed)


def _halves(source: str, sql: str | None, seed: int) -> tuple[Any, Any]:
    from narrows.data import open_source
    from narrows.data.split import count, hold_out, take

    found = open_source(source, sql=sql)
    if found.kind != "table":
        raise InvalidParameter(f"{source!r} holds images; narrows generate makes up rows of tables")
    train, held = hold_out(count(found.data), seed, HELD_OUT)
    return take(found.data, train), take(found.data, held)


def _fit(request: Request, train: Any) -> Any:
    from narrows.estimators import Synthesizer
    from narrows.training import Training

    if request.where is not None or request.balance is not None:
        from narrows.data.margins import as_arrow
        from narrows.data.where import check, parse

        table = as_arrow(train)
        if request.balance is not None and request.balance not in table.column_names:
            raise InvalidParameter(f"--balance {request.balance!r}: there is no such column")
        if request.where is not None:
            check(parse(request.where), dict(zip(table.column_names, table.schema.types, strict=True)), {})
    training = Training(epochs=request.epochs, time_budget=request.time_budget)
    return Synthesizer(training=training, random_state=request.seed).fit(train)


def _report(synthesizer: Any, made: Any, parts: tuple[Any, Any], request: Request) -> Any:
    from narrows.data.split import count
    from narrows.evaluate import copying, synthesis_report

    train, held = parts
    free = request.where is None and request.balance is None
    whole = free and request.number >= min(count(train), ENOUGH)
    # rows under a condition are not meant to look like the table, and a few rows cannot
    shown = made if whole else synthesizer.sample(min(count(train), SAMPLED), random_state=request.seed)
    if not free:
        say(
            "note: all but the copying check is measured on rows without the condition, since those under it are not "
            "meant to be like the data"
        )
    target = request.target if request.target is not None else _target(train)
    report = synthesis_report(train, shown, held if count(held) else None, target, request.seed)
    if whole or report.copying is None:
        return report
    return replace(report, copying=copying(train, made, held, request.seed))


def _target(table: Any) -> str | None:
    """The last column of two to twenty categories: what a model can be asked to predict."""
    from narrows.evaluate import columns

    found = columns(table)
    for name in reversed(found.cells):
        if not found.numeric(name) and 2 <= len(set(found.cells[name]) - {None}) <= FEW:
            return name
    return None


def _tell(request: Request, report: Any, output: Output) -> None:
    if report is not None:
        output.head("How good these rows are")
        output.points(report.sentences())
        return
    from narrows._saved import describe

    said = describe(request.source).get("metrics", {}).get("report")
    if isinstance(said, list):
        output.head("How good this model's rows were when it was fitted")
        output.points(map(str, said))
    else:
        output.say("no report: name the table that the model was fitted on, --against SOURCE, to compare with it")
