"""``narrows compare``: several models of the same data, and one page about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from narrows.cli import _fit, _folders, _words
from narrows.cli._group import Interrupted
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

HELD_OUT = 0.2  # of the rows, where the source has no part of its own to hold out


@dataclass(frozen=True)
class Request:
    """What ``narrows compare`` was asked for."""

    fit: _fit.Request
    models: str
    number: int = 1000


def compare(request: Request, output: Output) -> None:
    """Train every model for the same time, measure what they make, write the page; say what came of it.

    Raises:
        NarrowsError: If something that was asked for cannot be done, or no model has a result. Nothing is left behind.
        Interrupted: If the user pressed Ctrl-C; the page of what was there by then is kept.
    """
    from narrows.report import contest, write_contest

    names = model_names(request.models)
    material = _fit.prepare(request.fit)
    seen = material.train if material.shown is None else material.shown
    training = _training(request.fit, output)
    place = _folders.claim(request.fit.out, f"compare-{material.name}", force=request.fit.force)
    try:
        place.record({"status": "training", "options": {**request.fit.plain(), "models": names}})
        _say_found(material, names, output)
        found = contest(
            {name: _maker(name, request.fit, material, training) for name in names},
            seen,
            material.test,
            material.format,
            learnt=material.train,
            name=material.name,
            judged_by=material.labels,
            labels=material.classes,
            folder=place.working / "models",
            budget=training.time_budget,
            number=request.number,
            seed=request.fit.seed,
            told=lambda one: _say_one(one, output),
        )
        found.notes[:0] = material.notes
        write_contest(found, place.working, str(place.target))
        stopped = any("interrupted" in note for note in found.notes)
        place.record({"status": "interrupted" if stopped else "finished", "options": request.fit.plain()})
        folder = place.finish()
    except BaseException:
        place.abandon()
        raise
    _say_result(found, folder, output)
    output.result({"run": str(folder), **found.to_dict()}, str(folder) if output.quiet else None)
    if stopped:
        raise Interrupted(f"interrupted: the models that were done are in {folder}")


def _training(request: _fit.Request, output: Output) -> Any:
    from narrows.training import Training

    return Training(
        epochs=request.epochs,
        time_budget=_words.seconds(request.time_budget),
        device=_fit._device(request.device),
        memory=request.memory,
        verbose=False if output.silent else None,
    )


def model_names(text: str) -> list[str]:
    """The models that ``--models`` names, as they were typed, each once.

    Raises:
        InvalidParameter: If one is not known, or two are the same.
    """
    names = [word.strip().lower() for word in text.split(",") if word.strip()]
    kinds = [_words.model_name(name) for name in names]
    if not names:
        raise InvalidParameter(f"--models {text!r} names no model: write some of {_words.models()}, with commas")
    twice = sorted({name for name, kind in zip(names, kinds, strict=True) if kinds.count(kind) > 1})
    if twice:
        raise InvalidParameter(f"--models: {' and '.join(twice)} are the same model: name each once")
    return names


def _maker(name: str, request: _fit.Request, material: Any, training: Any) -> Callable[[], Any]:
    return lambda: _words.build(_words.Wishes(model=name), material.format, training, request.seed)


def _say_found(material: Any, names: list[str], output: Output) -> None:
    from narrows.data.split import count

    output.say(f"{material.name}: {material.kind}", style="bold")
    held = 0 if material.test is None else count(material.test)
    rows = f"{_fit.many(count(material.train), 'row')} to learn from, {held:,} held out"
    output.points([rows, *material.notes, f"one after the other: {', '.join(names)}"])


def _say_one(one: Any, output: Output) -> None:
    from narrows.report.run import duration

    if one.failed is not None:
        output.points([f"{one.name}: no result: {one.failed}"])
    else:
        output.points([f"{one.name}: {duration(one.seconds)} of training, Fréchet distance {one.frechet:.3g}"])


def _say_result(found: Any, folder: Any, output: Output) -> None:
    from narrows.report.run import duration

    output.head("Side by side")
    heads = [
        "model",
        "Fréchet",
        "precision",
        "recall",
        "coverage",
        "not told apart",
        "copies",
        "training",
        "1,000 rows",
    ]
    rows = []
    for one in [*found.ranked, found.real]:
        measures = [f"{one.fidelity.precision:.0%}", f"{one.fidelity.recall:.0%}", f"{one.fidelity.coverage:.0%}"]
        costs = ["", "", ""]
        if one.copying is not None:
            costs = [f"{one.copying.exact:.1%}", duration(one.seconds), duration(one.sampling)]
        rows.append((one.name, f"{one.frechet:.3g}", *measures, f"{one.detection:.2f}", *costs))
    output.table(heads, rows, right=range(1, len(heads)))
    output.points(found.sentences())
    output.head(f"Written to {folder}")
    output.points(
        [
            "compare.html: all of this with samples side by side, to read in a browser",
            f"next: narrows generate {folder}/models/{found.ranked[0].name} -n 100 --out "
            f"samples.{'png' if found.kind == 'images' else 'csv'}",
        ]
    )
