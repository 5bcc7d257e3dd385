"""``narrows detect``: which rows are strange, how sure that is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.cli import _engine, _stream
from narrows.cli._output import Output
from narrows.cli._series import step_of
from narrows.errors import InvalidParameter

SHOWN = 10  # strange rows told of
EXPLAINED = 1_000  # strange rows whose reasons are written


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    out: str | None
    train: str | None = None
    model: str | None = None
    alarm_rate: float | None = None
    fdr: float | None = None
    trim: float | None = None
    with_rows: bool = False
    seed: int = 0
    save: str | None = None
    sql: str | None = None
    memory: str | None = None
    engine: str = _engine.LOCAL
    kind: str = "auto"
    every: str | None = None


def detect(request: Request, output: Output) -> None:
    """Score every row of a source; tell of the strangest, write all."""
    from narrows.data import Stream

    _check(request)
    source = _open(request, request.source, request.sql)
    detector, saved = _detector(request, source)
    if detector.format_.layout.series and getattr(detector.format_, "stride", 0):
        from narrows.cli._detect_series import detect_in_series

        detect_in_series(request, source, detector, output)
        return
    judge = _judge_stream if isinstance(source.data, Stream) else _judge
    told, found, reasons, (rows, alarms) = judge(request, source, detector, saved)
    scores, p, _ = found
    _tell(detector, source, told[:SHOWN], found, reasons, output)
    rate = request.alarm_rate or detector.alarm_rate
    chance = f"false-discovery rate of {request.fdr:g}" if request.fdr else f"false-alarm rate of {rate:g}"
    line = f"{alarms:,} of {rows:,} rows are alarms at a {chance}"
    if request.out is not None:
        line = f"{line} → {request.out}"
    if request.save is not None:
        detector.save(request.save)
        line = f"{line}; detector → {request.save}"
    facts = {"rows": rows, "alarms": alarms, "alarm_rate": rate, "fdr": request.fdr}
    strangest = [
        {"row": int(r), "score": float(scores[r]), "p_value": float(p[r]), "reason": reasons.get(int(r))}
        for r in told[:SHOWN]
    ]
    output.result({**facts, "out": request.out, "assumed": detector.reasons_, "strangest": strangest}, line)


def _judge(request: Request, source: Any, detector: Any, saved: str | None) -> tuple[Any, ...]:
    """Places of the strangest rows; scores, p-values and alarms of all; reasons by place; how many rows and alarms."""
    from narrows.data.split import take

    scores, p, alarms = detector.assess(source.data, request.alarm_rate, request.fdr)
    order = np.argsort(-scores, kind="stable")
    told = order[: max(min(SHOWN, len(order)), min(int(alarms.sum()), EXPLAINED))]
    explained = detector.explain(take(source.data, told))
    reasons = (
        {int(row): explained.sentence(i) for i, row in enumerate(told)} if source.kind in ("table", "series") else {}
    )
    if request.out is not None:
        _write(request.out, request.with_rows, source, (scores, p, alarms), reasons)
    return told, (scores, p, alarms), reasons, (len(scores), int(alarms.sum()))


def _judge_stream(request: Request, source: Any, detector: Any, saved: str | None) -> tuple[Any, ...]:
    """The same, piece by piece; scores, p-values and alarms are those of the strangest rows, by their places."""
    from narrows.cli._detect_stream import judge

    if request.out is not None:
        _stream.check_ending(request.out)
    if request.with_rows and source.kind != "table":
        raise InvalidParameter("--with-rows needs a table with named columns: give a .csv or .parquet file")
    return judge(request, source, detector, saved, EXPLAINED, SHOWN)


def _open(request: Request, name: str, sql: str | None = None) -> Any:
    from narrows.data import open_source

    far = request.engine != _engine.LOCAL
    source = open_source(
        name,
        sql=sql,
        memory=_stream.budget(request.memory),
        stream=far,
        kind=request.kind,
        every=step_of(request.every),
    )
    if far and name == request.source:
        _engine.check_pieces(source.data, name, request.engine)
    return source


def _check(request: Request) -> None:
    _engine.check(request.engine)
    if request.out is not None and Path(request.out).suffix.lower() not in (".csv", ".parquet", ".json"):
        raise InvalidParameter(f"--out {request.out!r}: end the name in .csv, .parquet or .json")
    if request.alarm_rate is not None and request.fdr is not None:
        raise InvalidParameter("give --alarm-rate or --fdr, not both")
    if request.train is not None and request.trim:
        raise InvalidParameter("--trim goes without --train: rows named by --train are taken to be normal")


def _detector(request: Request, source: Any) -> tuple[Any, str | None]:
    """The detector, and the folder that it was loaded from, if it was."""
    from narrows.estimators import AnomalyDetector, BaseAutoencoder, load

    clean = None if request.train is None else _open(request, request.train).data
    if request.model is not None:
        found = load(request.model)
        if isinstance(found, AnomalyDetector):
            if clean is not None:
                raise InvalidParameter(f"{request.model!r} is a detector already: leave --train out")
            return found, request.model
        if not isinstance(found, BaseAutoencoder):
            raise InvalidParameter(f"{request.model!r} holds a {type(found).__name__}, which cannot judge rows")
        return AnomalyDetector.from_model(found, source.data if clean is None else clean), None
    if source.kind not in ("table", "series"):
        raise InvalidParameter(
            f"{request.source!r} holds {source.kind}: fit a model of them first (narrows fit …), and name it by --model"
        )
    trim = 0.0 if clean is not None else (AnomalyDetector().trim if request.trim is None else request.trim)
    detector = AnomalyDetector(
        trim=trim, format=source.format if source.kind == "series" else None, random_state=request.seed
    )
    if request.alarm_rate is not None:
        detector.set_params(alarm_rate=request.alarm_rate)
    return detector.fit(source.data if clean is None else clean), None


def _tell(
    detector: Any, source: Any, told: Any, found: tuple[Any, Any, Any], reasons: dict[int, str], output: Output
) -> None:
    scores, p, alarms = found
    output.points(detector.reasons_)
    output.head("The strangest rows")
    names = getattr(source, "names", None)
    rows = [
        (
            int(row) if names is None else names[int(row)],
            f"{scores[row]:.2f}",
            f"{p[row]:.2g}",
            "yes" if alarms[row] else "",
            reasons.get(int(row), ""),
        )
        for row in told
    ]
    output.table(["row", "score", "p-value", "alarm", "why"], rows, right=(1, 2))
    output.say()


def _write(out: str, with_rows: bool, source: Any, found: tuple[Any, Any, Any], reasons: dict[int, str]) -> None:
    import pyarrow as pa

    from narrows.data import write_table

    scores, p, alarms = found
    names = getattr(source, "names", None)
    columns = {
        "row": np.arange(len(scores)),
        **({} if names is None else {"file": list(names)}),
        "score": scores,
        "p_value": p,
        "alarm": alarms,
        "reason": [reasons.get(i) if alarms[i] else None for i in range(len(scores))],
    }
    table = pa.table({**columns, "reason": pa.array(columns["reason"], pa.string())})
    if with_rows:
        if not isinstance(source.data, pa.Table):
            raise InvalidParameter("--with-rows needs a table with named columns: give a .csv or .parquet file")
        for name in source.data.column_names:
            table = table.append_column(f"{name}_" if name in columns else name, source.data[name])
    write_table(table, out)
