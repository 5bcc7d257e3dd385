"""``narrows correct``: misspelt or misheard text, mended."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.cli._group import say
from narrows.cli._output import Output
from narrows.errors import InvalidParameter, UnreadableFile

ENDINGS = (".txt", ".md", ".text", ".csv", ".json")  # of what can only be the name of a file

SHOWN = 20  # changes that are told; --json has all


@dataclass(frozen=True)
class Request:
    """What ``narrows correct`` was asked for."""

    words: tuple[str, ...]
    corpus: str | None = None
    misspellings: str | None = None
    judge: str | None = None
    error_rate: float | None = None
    save: str | None = None
    out: str | None = None


def correct(request: Request, output: Output) -> None:
    """Mend a text, and say what was changed and why."""
    folder, given = _asked(request)
    corrector = _learn(request) if folder is None else _load(folder, request)
    if request.save is not None:
        corrector.save(request.save)
    if given is None and request.save is not None and sys.stdin.isatty():
        output.result({"model": request.save}, request.save)
        return
    judge = None if request.judge is None else _judge(request.judge)
    done = corrector.correct(text(given), judge)
    for change in done.changes[:SHOWN] if not output.silent else ():
        say(f"{change.written} → {change.meant}: {change.reason}")
    if len(done.changes) > SHOWN and not output.silent:
        say(f"… and {len(done.changes) - SHOWN:,} more changes (--json shows all)")
    if request.out is not None:
        from narrows.files import write_text

        write_text(request.out, done.text)
    changes = [{**asdict(c), "reason": c.reason} for c in done.changes]
    line = done.text.removesuffix("\n") if request.out is None else f"{len(changes):,} changes → {request.out}"
    output.result({"text": done.text, "changes": changes, "out": request.out}, line)


def text(given: str | None) -> str:
    """The text that a word on the command line means: a file's, the standard input's for ``-`` or none, or itself."""
    if given is None or given == "-":
        return sys.stdin.read()
    try:
        file = Path(given).is_file()
    except (OSError, ValueError):  # longer than any name
        file = False
    if not file:
        if given.lower().endswith(ENDINGS) and not given.split(maxsplit=1)[1:]:
            raise UnreadableFile(f"there is no file {given!r}; if that is a text, pipe it in and give - instead")
        return given
    from narrows.data.corpus import read_pieces

    return "".join(read_pieces(Path(given), "utf-8"))


def _asked(request: Request) -> tuple[str | None, str | None]:
    """The model's folder, if one is named, and the text."""
    words = request.words
    if request.corpus is not None:
        if len(words) > 1:
            raise InvalidParameter(f"--corpus and {words[0]!r}: give a model or a corpus to learn from, not both")
        return None, words[0] if words else None
    if not words:
        raise InvalidParameter("give a saved corrector and a text, or a text and --corpus FILE to learn from")
    if not Path(words[0]).is_dir():
        raise UnreadableFile(f"{words[0]!r} is no folder of a saved corrector; to learn from text, give --corpus FILE")
    return words[0], words[1] if len(words) > 1 else None


def _load(folder: str, request: Request) -> Any:
    from narrows.estimators import Corrector, load

    for name in ("misspellings", "error_rate", "save"):
        if getattr(request, name) is not None:
            raise InvalidParameter(f"--{name.replace('_', '-')} goes with --corpus; {folder!r} has learnt already")
    found = load(folder)
    if not isinstance(found, Corrector):
        raise InvalidParameter(
            f"{folder!r} holds a {type(found).__name__}, which mends no text: give --corpus FILE, and --judge {folder} "
            "if it is a language model"
        )
    return found


def _learn(request: Request) -> Any:
    from narrows.data.misspellings import read_misspellings
    from narrows.estimators import Corrector

    pairs = None if request.misspellings is None else read_misspellings(request.misspellings)
    asked: dict[str, Any] = {} if request.error_rate is None else {"error_rate": request.error_rate}
    return Corrector(**asked).fit(request.corpus, misspellings=pairs)


def _judge(folder: str) -> Any:
    from narrows.estimators import load

    found = load(folder)
    if not hasattr(found, "score_samples") or not hasattr(found, "perplexity"):
        raise InvalidParameter(f"--judge {folder!r} holds a {type(found).__name__}, which is no language model")
    return found
