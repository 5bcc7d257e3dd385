"""The commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._output import Output
from narrows.cli._words import models

app = typer.Typer(
    cls=Group,
    help="Learn from unlabelled tables and images: compress, clean, complete, detect, generate, edit.",
    epilog="Begin with: narrows fit fashion",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="The samples that come with narrows.", no_args_is_help=True)
app.add_typer(data_app, name="data")

FIT_HELP = (
    "Learn from a table or a folder of images, and write the model, figures and an honest comparison into a folder.\n\n"
    "Parts are written NAME or NAME:parameter=value and combine freely. What is not chosen is chosen by the data, and "
    "the reasons are told. Ctrl-C ends training and keeps the best model so far."
)
DATA, PARTS, TRAINING, RESULT = "Data", "Parts of the model", "Training", "Result"
SOURCE_HELP = "A file, a folder, a pattern in quotes, or the name of a sample (see narrows data list)."

Json = Annotated[bool, typer.Option("--json", help="One JSON object on the standard output, nothing else.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="The folder of a run or a saved model.", show_default=False)
]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP, show_default=False)]
Sql = Annotated[str | None, typer.Option("--sql", help="A query over SOURCE, as the table 'data'.", metavar="QUERY")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out image files that cannot be read.")]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="What SOURCE may take, such as 1GiB; else half of the machine's memory."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a folder that already holds images.")]
CodesOut = Annotated[
    str, typer.Option("--out", "-o", metavar="FILE", help=".csv, .parquet, .json, .npz or .npy.", show_default=False)
]
RowsOut = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Tables: .csv, .parquet, .json, .npz. Images: a folder, .png (one grid), .npz.",
        show_default=False,
    ),
]


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


@app.command()
def encode(
    model: Model,
    source: Source,
    out: CodesOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Write the code of every row."""
    from narrows.cli import _use

    _use.encode(_use.Wanted(model, out, source, sql, skip_bad, memory=memory), Output(json))


@app.command()
def score(
    model: Model,
    source: Source,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help=".csv, .parquet or .json.", show_default=False)
    ],
    sql: Sql = None,
    skip_bad: SkipBad = False,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Write how well every row is reconstructed: log p(x|z) in nats, higher is more normal."""
    from narrows.cli import _use

    _use.score(_use.Wanted(model, out, source, sql, skip_bad, memory=memory), Output(json))


@app.command()
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


@app.command()
def reconstruct(
    model: Model,
    source: Source,
    out: RowsOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Write what is left of every row after it was narrowed to its code; blanks come back filled."""
    from narrows.cli import _use

    _use.reconstruct(_use.Wanted(model, out, source, sql, skip_bad, force, memory), Output(json))


@app.command()
def denoise(
    model: Model,
    source: Source,
    out: RowsOut,
    sql: Sql = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Write every row with its noise taken out (best with a model fitted with --model denoising)."""
    from narrows.cli import _use

    _use.denoise(_use.Wanted(model, out, source, sql, skip_bad, force, memory), Output(json))


@app.command()
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


@app.command()
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


@app.command()
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
    force: Force = False,
    json: Json = False,
) -> None:
    """Write made-up rows, under conditions if asked for, and of tables say how good they are."""
    from narrows.cli import _generate, _words

    seconds = _words.seconds(time_budget)
    request = _generate.Request(
        source, out, number, where, balance, seed, against, target, save, sql, epochs, seconds, force
    )
    _generate.generate(request, Output(json))


@app.command()
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
    json: Json = False,
) -> None:
    """Find the strange rows of a table: scores, p-values, alarms at a rate you choose, and which cells are to blame."""
    from narrows.cli import _detect

    request = _detect.Request(source, out, train, model, alarm_rate, fdr, trim, with_rows, seed, save, sql)
    _detect.detect(request, Output(json))


@app.command()
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


@app.command()
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


@app.command()
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
    json: Json = False,
) -> None:
    """Fill the blanks of a table, and say how well its own hidden cells were filled."""
    from narrows.cli import _impute

    _impute.impute(_impute.Request(source, out, model, draws, seed, test, sql), Output(json))


@app.command()
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
