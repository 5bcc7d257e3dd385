"""The commands that work on text, with their options."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli._group import Group
from narrows.cli._options import Json
from narrows.cli._output import Output

text_verbs = typer.Typer(cls=Group)


@text_verbs.command()
def correct(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [TEXT]",
            help="A saved corrector, unless --corpus is given; then a text, a file of it, or - for the standard input.",
            show_default=False,
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option("--corpus", metavar="SOURCE", help="Text that is right, to learn from: a file, a folder."),
    ] = None,
    misspellings: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Lines such as 'boston: bostin, bosten', to learn how words go wrong."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="DIR", help="A saved language model that has the last word.")
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of the words that are expected to be wrong.")
    ] = None,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="Keep what was learnt.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the text there.")] = None,
    json: Json = False,
) -> None:
    """Mend misspelt or misheard text; say what was changed and why."""
    from narrows.cli import _correct

    request = _correct.Request(tuple(words or ()), corpus, misspellings, judge, error_rate, save, out)
    _correct.correct(request, Output(json))


@text_verbs.command()
def write(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The folder of a run or a saved model; or a pretrained one: a folder, a .gguf file, a hub name.",
            show_default=False,
        ),
    ],
    prompt: Annotated[str, typer.Option("--prompt", "-p", metavar="TEXT", help="What the text begins with.")] = "",
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", "-t", metavar="T", help="Below 1 safer, above 1 wilder.  [default: 1]"),
    ] = None,
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Draw among the K likeliest tokens only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Draw among the likeliest that have probability P together.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Instead: greedy, beam:width=4, sample:temperature=0.5,top-p=0.9."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="T,T,…", help="The same prompt at each of these temperatures.")
    ] = None,
    length: Annotated[int | None, typer.Option("--length", "-n", min=1, metavar="N", help="Tokens at most.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, help="Equal seeds give equal texts.", show_default="another every time"),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the text there.")] = None,
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="Which version of a model on the hub.")] = None,
    json: Json = False,
) -> None:
    """Let a language model go on from a prompt (a pretrained one needs the extra "hub")."""
    from narrows.cli import _write_text

    wanted = (model, prompt, temperature, top_k, top_p, strategy, length, seed, compare, out, revision)
    _write_text.write(_write_text.Request(*wanted), Output(json))


@text_verbs.command()
def answer(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A folder, a .gguf file, or a name on the hub: a model for question answering or conversation.",
            show_default=False,
        ),
    ],
    context: Annotated[
        str, typer.Option("--context", metavar="TEXT", help="The text to look in: a file, - or itself.")
    ] = "-",
    length: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens to write, at most.")] = 64,
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="Which version of a model on the hub.")] = None,
    json: Json = False,
) -> None:
    """Answer a question about a text, by a pretrained model (needs the extra "hub")."""
    from narrows.cli import _answer

    _answer.answer(_answer.Request(model, question, context, length, revision), Output(json))
