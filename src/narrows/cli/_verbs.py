"""The commands that put a model to work, with their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._options import CodesOut, Engine, Force, Json, Memory, Model, RowsOut, SkipBad, Source, Sql
from narrows.cli._output import Output

verbs = typer.Typer(cls=Group)


@verbs.command()
def encode(
    model: Model,
    source: Source,
    out: CodesOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    memory: Memory = None,
    engine: Engine = "local",
    json: Json = False,
) -> None:
    """Write the code of every row."""
    from narrows.cli import _use

    _use.encode(_use.Wanted(model, out, source, sql, skip_bad, memory=memory, engine=engine), Output(json))


@verbs.command()
def score(
    model: Model,
    source: Source,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help=".csv, .parquet or .json.", show_default=False)
    ],
    sql: Sql = None,
    skip_bad: SkipBad = False,
    memory: Memory = None,
    engine: Engine = "local",
    json: Json = False,
) -> None:
    """Write how well every row is reconstructed: log p(x|z) in nats, higher is more normal."""
    from narrows.cli import _use

    _use.score(_use.Wanted(model, out, source, sql, skip_bad, memory=memory, engine=engine), Output(json))


@verbs.command()
def decode(
    model: Model,
    codes: Annotated[str, typer.Argument(metavar="CODES", help="Codes, as encode writes them.", show_default=False)],
    out: RowsOut,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the row of every code."""
    from narrows.cli import _use

    _use.decode(_use.Wanted(model, out, codes, force=force), Output(json))


@verbs.command()
def reconstruct(
    model: Model,
    source: Source,
    out: RowsOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    memory: Memory = None,
    engine: Engine = "local",
    json: Json = False,
) -> None:
    """Write what is left of every row after it was narrowed to its code; blanks come back filled."""
    from narrows.cli import _use

    _use.reconstruct(_use.Wanted(model, out, source, sql, skip_bad, force, memory, engine), Output(json))


@verbs.command()
def denoise(
    model: Model,
    source: Source,
    out: RowsOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    memory: Memory = None,
    engine: Engine = "local",
    json: Json = False,
) -> None:
    """Write every row with its noise taken out (best with a model fitted with --model denoising)."""
    from narrows.cli import _use

    _use.denoise(_use.Wanted(model, out, source, sql, skip_bad, force, memory, engine), Output(json))


@verbs.command()
def sample(
    model: Model,
    out: RowsOut,
    number: Annotated[int, typer.Option("--number", "-n", min=1, metavar="N", help="How many rows.")] = 100,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal rows.", show_default="another every time"),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write rows that the model makes up."""
    from narrows.cli import _use

    _use.sample(_use.Wanted(model, out, force=force), number, seed, Output(json))


@verbs.command()
def interpolate(
    model: Model,
    source: Source,
    out: RowsOut,
    start: Annotated[int, typer.Option("--from", metavar="ROW", help="Row to begin with; the first is 0.")] = 0,
    end: Annotated[int, typer.Option("--to", metavar="ROW", help="Row to end with.")] = 1,
    steps: Annotated[int, typer.Option(min=2, metavar="N", help="Rows to write, both ends included.")] = 8,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write rows on the way from one row to another, on the straight line between their codes."""
    from narrows.cli import _use

    wanted = _use.Wanted(model, out, source, sql, skip_bad, force)
    _use.interpolate(wanted, start, end, steps, Output(json))


@verbs.command()
def generate(
    source: Annotated[
        str,
        typer.Argument(metavar="MODEL|SOURCE", help="A model's folder, or a table to learn first.", show_default=False),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Tables: .csv, .parquet, .json, .npz. Images: a folder, .png (one grid), .npz.",
            show_default=False,
        ),
    ],
    number: Annotated[int, typer.Option("--number", "-n", min=1, metavar="N", help="How many rows.")] = 1000,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="Such as \"education='Masters' and age>40\": parsed, never pasted."),
    ] = None,
    balance: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Equally many rows of each of its categories.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal rows.")] = 0,
    against: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The table that MODEL was fitted on, for the report.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What a model is to predict, for the report; else the last category."),
    ] = None,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="Keep the model that was learnt.")] = None,
    sql: Sql = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the rows, at most.")] = None,
    time_budget: Annotated[str | None, typer.Option(metavar="TIME", help="90s, 5m: training at most.")] = None,
    memory: Memory = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write made-up rows, under conditions if asked for, and of tables say how good they are."""
    from narrows.cli import _generate, _words

    seconds = _words.seconds(time_budget)
    request = _generate.Request(
        source, out, number, where, balance, seed, against, target, save, sql, epochs, seconds, memory, force
    )
    _generate.generate(request, Output(json))


@verbs.command()
def evaluate(
    model: Model,
    source: Source,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column that makes groups; without it, the prior is judged.", show_default=False
        ),
    ] = None,
    sql: Sql = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal numbers.")] = 0,
    json: Json = False,
) -> None:
    """Say how well each group of rows is modelled (--by), or how well the prior fits the codes of rows.

    With --by: each group's error, how often it is called strange, and its share of samples. Without: how far what is
    drawn from the prior is from the codes that these rows have, in nats. Give rows that were held out of training.
    """
    from narrows.cli import _evaluate

    _evaluate.evaluate(model, source, by, sql, seed, Output(json))


@verbs.command()
def export(
    model: Model,
    onnx: Annotated[
        str, typer.Option("--onnx", metavar="DIR", help="Folder for encoder.onnx and decoder.onnx.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Write encoder and decoder for other programs (needs the extra "onnx")."""
    from narrows.cli import _use

    _use.export(_use.Wanted(model, onnx), Output(json))
