"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

SOURCE_HELP = "A file, a folder, a pattern in quotes, or the name of a sample (see narrows data list)."

Kind = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="KIND",
        help="table, series, images or text, where SOURCE is not to be taken for what it looks like.",
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        "--every",
        metavar="STEP",
        help="Bring the time stamps of series to steps of 15min, 1h, 1d, 1w, 1mo, or a number.",
        show_default="the usual one",
    ),
]
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
Engine = Annotated[
    str,
    typer.Option(
        "--engine", metavar="WORD", help="local, or ray: piece by piece on all machines of a cluster (extra 'ray')."
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
