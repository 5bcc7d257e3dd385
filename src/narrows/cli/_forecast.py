"""``narrows forecast``: how series go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.cli._output import Output
from narrows.cli._series import step_of
from narrows.errors import InvalidParameter

SHOWN = 12  # steps told of


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    steps: int | None = None
    out: str | None = None
    figure: str | None = None
    after: str | None = None
    level: float = 0.9
    draws: int = 200
    season: int | None = None
    likelihood: str | None = None
    epochs: int | None = None
    save: str | None = None
    seed: int = 0
    sql: str | None = None
    every: str | None = None


def forecast(request: Request, output: Output) -> None:
    """Load or learn a model, draw futures, write and tell of them."""
    _check(request)
    model, learnt = _model(request)
    history = None if request.after is None else _data(request.after, every=step_of(request.every))
    found = model.forecast(request.steps, history, draws=request.draws, level=request.level, random_state=request.seed)
    table = _arrow(found.frame())
    if learnt:
        output.points(model.reasons_)
    _tell(table, output)
    line = f"{found.draws.shape[2]:,} steps of {found.draws.shape[1]:,} series, {request.level:.0%} intervals"
    if request.out is not None:
        from narrows.data import write_table

        write_table(table, request.out)
        line = f"{line} → {request.out}"
    if request.figure is not None:
        _draw(model, found, history, request.figure)
        line = f"{line}; picture → {request.figure}"
    if request.save is not None:
        model.save(request.save)
        line = f"{line}; model → {request.save}"
    comparison = None if model.comparison_ is None else model.comparison_.to_dict()
    rows = {name: table[name].to_pylist() for name in table.column_names}
    output.result({"out": request.out, "season": model.season_, "comparison": comparison, "forecast": rows}, line)


def _check(request: Request) -> None:
    if request.out is not None and Path(request.out).suffix.lower() not in (".csv", ".parquet", ".json"):
        raise InvalidParameter(f"--out {request.out!r}: end the name in .csv, .parquet or .json")
    if request.figure is not None and Path(request.figure).suffix.lower() != ".png":
        raise InvalidParameter(f"--figure {request.figure!r}: end the name in .png")


def _model(request: Request) -> tuple[Any, bool]:
    """The model, and whether it was learnt just now."""
    from narrows._saved import MODEL
    from narrows.estimators import AutoregressiveModel, load

    if (Path(request.source) / MODEL).is_file():
        for option in ("season", "likelihood", "epochs", "sql", "every"):
            if getattr(request, option) is not None:
                raise InvalidParameter(f"--{option} is for learning: {request.source!r} is a model that has learnt")
        model = load(request.source)
        if not isinstance(model, AutoregressiveModel):
            raise InvalidParameter(
                f"{request.source!r} holds a {type(model).__name__}, which cannot forecast: give series, "
                "or fit with --model autoregressive"
            )
        return model, False
    from narrows.likelihoods import Likelihood
    from narrows.training import Training

    training = Training() if request.epochs is None else Training(epochs=request.epochs)
    likelihood = None if request.likelihood is None else Likelihood.parse(request.likelihood)
    model = AutoregressiveModel(
        likelihood=likelihood, season=request.season, training=training, random_state=request.seed
    )
    return model.fit(_data(request.source, request.sql, step_of(request.every))), True


def _data(word: str, sql: str | None = None, every: Any = None) -> Any:
    """The series that a word names, read as such whatever they look like."""
    from narrows.data import open_source

    return open_source(word, sql=sql, kind="series", every=every).data


def _arrow(frame: Any) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    return pa.Table.from_pandas(frame, preserve_index=False) if hasattr(frame, "iloc") else frame.to_arrow()


def _tell(table: Any, output: Output) -> None:
    output.head("Forecast")
    rows = table.slice(0, SHOWN).to_pylist()
    heads = [name.replace("_", " ") for name in table.column_names]
    cells = [tuple(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()) for row in rows]
    output.table(heads, cells)
    if table.num_rows > SHOWN:
        output.say(f"… and {table.num_rows - SHOWN:,} more")
    output.say()


def _draw(model: Any, found: Any, history: Any, out: str) -> None:
    from narrows import files, plots
    from narrows.plots._style import DPI

    past = model.format_.ends[0] if history is None else model.format_.open(history).tracks[0]
    if past.values.dtype == object:
        raise InvalidParameter("--figure draws numbers; these series hold categories")
    with files.atomic(out) as temporary:
        plots.forecast_figure(found, past).savefig(temporary, format="png", dpi=DPI)
