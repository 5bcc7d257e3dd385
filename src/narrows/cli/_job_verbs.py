"""The commands that do a job with data, and learn what they need for it, with their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._options import Engine, Every, Force, Json, Kind, Memory, RowsOut, SkipBad, Source, Sql
from narrows.cli._output import Output

job_verbs = typer.Typer(cls=Group)


@job_verbs.command()
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
    every: Every = None,
    json: Json = False,
) -> None:
    """Find the strange rows of a table, or the stretches of series: scores, alarms at a rate, what is to blame."""
    from narrows.cli import _detect

    request = _detect.Request(
        source, out, train, model, alarm_rate, fdr, trim, with_rows, seed, save, sql, memory, engine, kind, every
    )
    _detect.detect(request, Output(json))


@job_verbs.command()
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
    every: Every = None,
    json: Json = False,
) -> None:
    """Say how series go on, with intervals, beside the last value, the last season and exponential smoothing."""
    from narrows.cli import _forecast

    wanted = (source, steps, out, figure, after, level, draws, season, likelihood, epochs, save, seed, sql, every)
    _forecast.forecast(_forecast.Request(*wanted), Output(json))


@job_verbs.command()
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


@job_verbs.command()
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


@job_verbs.command()
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
