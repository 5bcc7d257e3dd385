"""The commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._job_verbs import job_verbs
from narrows.cli._options import Every, Force, Json, Kind, RowsOut, Source
from narrows.cli._output import Output
from narrows.cli._text_verbs import text_verbs
from narrows.cli._verbs import verbs
from narrows.cli._words import models

app = typer.Typer(
    cls=Group,
    help="Learn from unlabelled tables, images, series and text: compress, clean, complete, detect, generate, edit.",
    epilog="Begin with: narrows fit fashion",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="The samples that come with narrows.", no_args_is_help=True)
app.add_typer(data_app, name="data")

FIT_HELP = (
    "Learn from a table, a folder of images, a set of series or text, and write the model, figures and an honest "
    "comparison into a folder.\n\n"
    "Parts are written NAME or NAME:parameter=value and combine freely. What is not chosen is chosen by the data, and "
    "the reasons are told. Ctrl-C ends training and keeps the best model so far."
)
DATA, PARTS, TRAINING, RESULT = "Data", "Parts of the model", "Training", "Result"


def _version(wanted: bool) -> None:
    if wanted:
        from narrows._version import __version__

        typer.echo(f"narrows {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of all commands; ``--debug`` is read before they are."""


@app.command(help=FIT_HELP)
def fit(
    source: Source,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"One of {models()}.",
            rich_help_panel=PARTS,
        ),
    ] = "autoencoder",
    code_size: Annotated[
        int | None,
        typer.Option("--code-size", "-c", min=1, metavar="N", help="Numbers per code.", rich_help_panel=PARTS),
    ] = None,
    code_sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Try several at once, draw their errors beside PCA's, and keep the one that is enough.",
            rich_help_panel=PARTS,
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as 'conv:channels=(16,32)'.", rich_help_panel=PARTS)
    ] = None,
    bottleneck: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as gaussian.", rich_help_panel=PARTS)
    ] = None,
    likelihood: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as bernoulli.", rich_help_panel=PARTS)
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Such as gaussian:scale=0.3; repeatable.", rich_help_panel=PARTS),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PART",
            help="Such as l1:weight=0.1, or by name: kl=kl:weight=4, kl=none; repeatable.",
            rich_help_panel=PARTS,
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as mixture:components=20.", rich_help_panel=PARTS)
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="PART", help="Such as importance-weighted:samples=5.", rich_help_panel=PARTS)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any parameter by name, such as beta=4 or format__scaling=robust; repeatable.",
            rich_help_panel=PARTS,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Passes over the rows, at most.", rich_help_panel=TRAINING)
    ] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="90s, 5m, 1h30m: training at most.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows per step.", rich_help_panel=TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="The highest step length.", rich_help_panel=TRAINING)
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal runs.", rich_help_panel=TRAINING)
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.", rich_help_panel=TRAINING)] = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes that train together on this machine; on several, use torchrun.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="WORD", help="ddp: each process holds the model; fsdp: a part of it.", rich_help_panel=TRAINING
        ),
    ] = "ddp",
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Time between checkpoints.", rich_help_panel=TRAINING),
    ] = 30.0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with this run after it was killed.", rich_help_panel=TRAINING),
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B", help="Columns of a table to learn from; all others are left out.", rich_help_panel=DATA
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Columns to leave out.", rich_help_panel=DATA)
    ] = None,
    colour: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Colour the code map by this column.", rich_help_panel=DATA),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|folders",
            help="The class of every row, for models that can be asked for one; for images, their folders.",
            rich_help_panel=DATA,
        ),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(metavar="QUERY", help="A query over SOURCE, as the table 'data'.", rich_help_panel=DATA),
    ] = None,
    kind: Kind = "auto",
    every: Every = None,
    image_size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Bring images to this size in pixels.", rich_help_panel=DATA)
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out image files that cannot be read.", rich_help_panel=DATA),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What the data may take, such as 1GiB: more is read piece by piece.",
            rich_help_panel=DATA,
            show_default="half of the machine's memory",
        ),
    ] = None,
    held_out: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Part of the rows kept for the comparison with PCA.", rich_help_panel=DATA),
    ] = 0.1,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="The run's folder; else runs/SOURCE, runs/SOURCE-2, …",
            rich_help_panel=RESULT,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace an older run in --out, once this one is complete.", rich_help_panel=RESULT
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the run's folder only.", rich_help_panel=RESULT)
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on the standard output, nothing else.", rich_help_panel=RESULT),
    ] = False,
) -> None:
    """Learn from data: see ``FIT_HELP``."""
    from narrows.cli._fit import Request
    from narrows.cli._fit import fit as run
    from narrows.cli._words import Wishes

    wishes = Wishes(
        model,
        code_size,
        network,
        bottleneck,
        likelihood,
        prior,
        objective,
        tuple(corruption or ()),
        tuple(penalty or ()),
        tuple(set_ or ()),
    )
    request = Request(
        source=source,
        wishes=wishes,
        epochs=epochs,
        time_budget=time_budget,
        batch_size=batch_size,
        learning_rate=learning_rate,
        device=device,
        devices=devices,
        strategy=strategy,
        checkpoint_every=checkpoint_every,
        seed=seed,
        held_out=held_out,
        image_size=image_size,
        skip_bad=skip_bad,
        memory=memory,
        sql=sql,
        columns=tuple(columns or ()),
        drop=tuple(drop or ()),
        colour=colour,
        labels=labels,
        code_sizes=code_sizes,
        out=out,
        resume=resume,
        force=force,
        kind=kind,
        every=every,
    )
    run(request, Output(json, quiet))


@app.command()
def info(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="The folder of a run or a saved model.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Say what a model is made of, and why, and how well it did; without MODEL: versions and devices."""
    from narrows.cli import _info

    if model is None:
        _info.installation(Output(json))
    else:
        _info.model(model, Output(json))


@data_app.command("list")
def data_list(json: Json = False) -> None:
    """Say what samples there are, with their licences."""
    from narrows.cli import _data

    _data.catalogue(Output(json))


@data_app.command("export")
def data_export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from narrows data list.", show_default=False)],
    out: RowsOut,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the rows of a sample to files."""
    from narrows.cli import _data

    _data.export(name, out, force, Output(json))


app.add_typer(verbs)
app.add_typer(job_verbs)
app.add_typer(text_verbs)
