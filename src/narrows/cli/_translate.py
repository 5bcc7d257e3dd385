"""``narrows translate``: rows of one set shown as rows of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.cli import _words, _write
from narrows.cli._output import Output
from narrows.errors import InvalidParameter


@dataclass(frozen=True)
class Request:
    """What ``narrows translate`` was asked for."""

    sources: tuple[str, ...]
    out: str
    to: str | None = None
    model: str | None = None
    save: str | None = None
    code_size: int | None = None
    epochs: int | None = None
    time_budget: str | None = None
    seed: int = 0
    force: bool = False


def translate(request: Request, output: Output) -> None:
    """Write the first source's rows as rows of another set, by a saved translator or one learnt from all sources."""
    from narrows.data.split import count

    named = _named(request.sources)
    translator, to = _loaded(request) if request.model is not None else _learnt(request, named)
    first = _opened(next(iter(named.values())))
    made = translator.translate(first.data, to=to)
    if request.save is not None:
        translator.save(request.save)
        output.say(f"the translator → {request.save}")
    images = len(translator.format_.layout.shape) == 3
    line = _write.write_rows(made, request.out, images=images, names=first.names, force=request.force)
    output.result({"out": request.out, "rows": count(made), "to": to, "sets": translator.classes_.tolist()}, line)


def _named(sources: tuple[str, ...]) -> dict[str, str]:
    """Sources by their sets' names: ``name=source``, or the file's or folder's own name."""
    named: dict[str, str] = {}
    for word in sources:
        name, equals, source = word.partition("=")
        if not equals or Path(word).exists():
            name, source = Path(word).name.split(".")[0] or word, word
        if name in named:
            raise InvalidParameter(f"two sets are called {name!r}: name them, as in narrows translate a=ONE b=OTHER")
        named[name] = source
    return named


def _loaded(request: Request) -> tuple[Any, str]:
    from narrows.estimators import Translator, load

    translator = load(str(request.model))
    if not isinstance(translator, Translator):
        raise InvalidParameter(f"{request.model!r} holds a {type(translator).__name__}, not a Translator")
    if len(request.sources) != 1 or request.to is None:
        known = ", ".join(translator.classes_.tolist())
        raise InvalidParameter(f"with --model, give one source and --to, one of {known}")
    if request.save is not None:
        raise InvalidParameter("--save keeps a translator that was learnt; with --model there is none to keep")
    return translator, request.to


def _learnt(request: Request, named: dict[str, str]) -> tuple[Any, str]:
    from narrows import Training
    from narrows.estimators import Translator

    if len(named) < 2:
        raise InvalidParameter("give two sources or more to learn from, or one and --model with a saved translator")
    to = list(named)[-1] if request.to is None else request.to
    if to not in named:
        raise InvalidParameter(f"--to {to!r} is none of the sets: {', '.join(named)}")
    training = Training(time_budget=_words.seconds(request.time_budget))
    if request.epochs is not None:
        training = training.set_params(epochs=request.epochs)
    translator = Translator(request.code_size, training=training, random_state=request.seed)
    return translator.fit({name: _opened(source).data for name, source in named.items()}), to


def _opened(source: str) -> Any:
    from narrows.data import open_source

    return open_source(source)
