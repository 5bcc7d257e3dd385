"""The commands that put a model to work, with their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._options import CodesOut, Engine, Force, Json, Kind, Memory, Model, RowsOut, SkipBad, Source, Sql
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
def detect(
    source: Source,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Scores of all rows: .csv, .parquet, .json.")
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(metavar="CLEAN", help="Normal rows to learn from; else SOURCE itself, strange rows and all."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="DIR", help="A saved detector, or a model whose reconstruction judges.")
    ] = None,
    alarm_rate: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of normal rows that may be alarms.  [default: 0.01]")
    ] = None,
    fdr: Annotated[
        float | None, typer.Option("--fdr", metavar="SHARE", help="Instead: share of the alarms that may be false.")
    ] = None,
    trim: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of SOURCE set aside as suspicious before learning.  [default: 0.2]"),
    ] = None,
    with_rows: Annotated[bool, typer.Option("--with-rows", help="Write the rows' own columns too.")] = False,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="Keep the detector.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal scores.")] = 0,
    sql: Sql = None,
    memory: Memory = None,
    engine: Engine = "local",
    kind: Kind = "auto",
    json: Json = False,
) -> None:
    """Find the strange rows of a table, or the stretches of series: scores, alarms at a rate, what is to blame."""
    from narrows.cli import _detect

    request = _detect.Request(
        source, out, train, model, alarm_rate, fdr, trim, with_rows, seed, save, sql, memory, engine, kind
    )
    _detect.detect(request, Output(json))


@verbs.command()
def forecast(
    source: Annotated[
        str,
        typer.Argument(metavar="MODEL|SOURCE", help="A model's folder, or series to learn first.", show_default=False),
    ],
    steps: Annotated[
        int | None, typer.Option("--steps", "-n", min=1, metavar="N", help="How far.", show_default="a season, or 12")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="The forecast: .csv, .parquet, .json.", show_default=False),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(metavar="FILE", help="A picture of it: .png.", show_default=False)
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Series to go on from; else those of training.")
    ] = None,
    level: Annotated[float, typer.Option(metavar="SHARE", help="Share of the futures inside the intervals.")] = 0.9,
    draws: Annotated[int, typer.Option(min=1, metavar="N", help="Futures drawn for each series.")] = 200,
    season: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps of a season.", show_default="found in the data")
    ] = None,
    likelihood: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as laplace, or poisson for counts.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the windows, at most.")] = None,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="Keep the model that was learnt.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal forecasts.")] = 0,
    sql: Sql = None,
    json: Json = False,
) -> None:
    """Say how series go on, with intervals, beside the last value, the last season and exponential smoothing."""
    from narrows.cli import _forecast

    wanted = (source, steps, out, figure, after, level, draws, season, likelihood, epochs, save, seed, sql)
    _forecast.forecast(_forecast.Request(*wanted), Output(json))


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


@verbs.command()
def impute(
    source: Source,
    out: RowsOut,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="DIR", help="A saved imputer or model to fill with; else one is learnt."),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fill N times, as it may have been; a column 'draw' says which."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal fillings.")] = 0,
    test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Hide a tenth of the observed cells and compare.")
    ] = True,
    sql: Sql = None,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Fill the blanks of a table, and say how well its own hidden cells were filled."""
    from narrows.cli import _impute

    _impute.impute(_impute.Request(source, out, model, draws, seed, test, sql, memory), Output(json))


@verbs.command()
def translate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…", help="Two sets or more, NAME=SOURCE or a source each; the first is translated."
        ),
    ],
    out: RowsOut,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="The set to show the first one's rows as; else the last.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR", help="A saved translator; then give one source and --to.")
    ] = None,
    save: Annotated[str | None, typer.Option("--save", metavar="DIR", help="Where to keep what was learnt.")] = None,
    code_size: Annotated[int | None, typer.Option("--code-size", min=1, help="Numbers per code.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Times that every row is seen.")] = None,
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", metavar="TIME", help="Such as 90s, 5m or 1h30m.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal results.")] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show rows of one set as rows of another, learnt from both without pairs."""
    from narrows.cli import _translate

    wanted = (tuple(sources), out, to, model, save, code_size, epochs, time_budget, seed, force)
    _translate.translate(_translate.Request(*wanted), Output(json))


@verbs.command()
def compare(
    source: Source,
    models: Annotated[
        str, typer.Option("--models", "-m", metavar="NAME,NAME,…", help="As for narrows fit --model.")
    ] = "vae,gan,flow,diffusion,latent-diffusion",
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", metavar="TIME", help="For each model: 90s, 5m, 1h30m at most.")
    ] = "5m",
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the rows, at most.")] = None,
    number: Annotated[
        int, typer.Option("--number", "-n", min=20, metavar="N", help="Rows to make of each and to measure, at most.")
    ] = 1000,
    labels: Annotated[
        str | None, typer.Option(metavar="COLUMN|folders", help="The class of every row, which models are told.")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Columns of a table to learn from.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Columns to leave out.")] = None,
    sql: Sql = None,
    image_size: Annotated[str | None, typer.Option(metavar="HxW", help="Bring images to this size.")] = None,
    skip_bad: SkipBad = False,
    memory: Memory = None,
    held_out: Annotated[
        float, typer.Option(metavar="SHARE", help="Part of the rows that no model sees, to compare made ones with.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal runs.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="DIR", help="A folder; else runs/compare-SOURCE.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the folder only.")] = False,
    json: Json = False,
) -> None:
    """Try several models on the same data for the same time, and write one page that shows which suits.

    Samples side by side; how near made rows are to real ones that no model saw (Fréchet distance, precision, recall,
    coverage, a two-sample test); exact likelihood where there is one; copies; time. The models are kept.
    """
    from narrows.cli import _compare, _fit
    from narrows.cli._words import Wishes

    wanted = _fit.Request(
        source=source, wishes=Wishes(), epochs=epochs, time_budget=time_budget, device=device, seed=seed,
        held_out=held_out, image_size=image_size, skip_bad=skip_bad, memory=memory, sql=sql,
        columns=tuple(columns or ()), drop=tuple(drop or ()), labels=labels, out=out, force=force,
    )  # fmt: skip
    _compare.compare(_compare.Request(wanted, models, number), Output(json, quiet))
