"""``narrows fit`` of a text: a language model, beside what counting makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.cli import _folders, _words
from narrows.cli._group import Interrupted
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

if TYPE_CHECKING:
    from narrows.cli._fit import Request

#: Options of ``fit`` that mean nothing for a text.
NOT_FOR_TEXT = ("sql", "image_size", "skip_bad", "drop", "colour", "labels", "code_sizes")


def wanted(request: Request) -> bool:
    """Whether a text is to be learnt: as was said, or as the source looks.

    Raises:
        InvalidParameter: If what was said does not go together.
    """
    named = _words.model_name(request.wishes.model) == "LanguageModel"
    if request.kind not in ("auto", "text") or (request.kind == "auto" and not named and not _looks(request.source)):
        return False
    if not named and request.wishes.model != "autoencoder":
        raise InvalidParameter(
            f"--model {request.wishes.model}: what learns from text is a language model: leave --model out, or say "
            "--as table"
        )
    given = [name for name in NOT_FOR_TEXT if getattr(request, name)]
    if given:
        raise InvalidParameter(f"--{given[0].replace('_', '-')} has no meaning for a text: leave it out")
    return True


def _looks(source: str) -> bool:
    from narrows.data.corpus import recognised

    return recognised(Path(source).expanduser())


def fit(request: Request, training: Any, output: Output) -> None:
    """Read, train, compare, write; say what came of it.

    Raises:
        NarrowsError: If something that was asked for cannot be done. Nothing is left behind then.
        Interrupted: If the user pressed Ctrl-C; the best model so far is kept if there is one.
    """
    from dataclasses import replace

    from narrows.data.sources import text_source
    from narrows.training.ranks import rank

    if len(request.columns) > 1:
        raise InvalidParameter("--columns: a text lies in one column; name one")
    if not 0 <= request.held_out < 1:
        raise InvalidParameter(f"--held-out {request.held_out:g}: give a share from 0 to below 1, such as 0.1")
    source = text_source(request.source, next(iter(request.columns), None))
    train, test = source.data.hold_out(request.held_out)
    wishes = replace(request.wishes, model="language")
    model = _words.build(wishes, source.format, training, request.seed)
    if rank() > 0:  # the first process writes and speaks for all
        model.set_params(training__checkpoint="the first process's", training__verbose=False).fit(train)
        return
    place = _folders.claim(request.out, source.name, resume=request.resume, force=request.force)
    try:
        _run(request, model, source, train, test, place, output)
    except KeyboardInterrupt:
        place.abandon()
        kept = (
            f"go on with --resume (the checkpoint is in {place.working})"
            if place.working.exists()
            else "nothing is kept"
        )
        raise Interrupted(f"interrupted; {kept}") from None
    except BaseException:
        place.abandon()
        raise


def _run(
    request: Request, model: Any, source: Any, train: Any, test: Any, place: _folders.Place, output: Output
) -> None:
    from narrows.cli._fit import check_same
    from narrows.report.text import write_text_run

    if place.resumed is None:
        place.record({"status": "training", "options": request.plain()})
    else:
        check_same(request, place)
    output.say(f"{source.name}: text", style="bold")
    held = "the last part is held out" if test is not None else "too short to hold any of it out"
    output.points([*source.notes, f"learnt as text, token by token, since it looks like text; {held}"])
    model.set_params(training__checkpoint=str(place.checkpoint)).fit(train)
    model.set_params(training__checkpoint=None, training__verbose=None)
    stopped = model.history_.stopped.startswith("interrupted")
    output.head("Model: LanguageModel")
    output.points(model.reasons_)
    run = write_text_run(
        model, place.working, train, test, name=source.name, facts={"Source": request.source}, called=str(place.target)
    )
    place.record({"status": "interrupted" if stopped else "finished", "options": request.plain()})
    folder = place.finish()
    _say(model, run, folder, output)
    found = _result(request, model, run, folder)
    output.result(found, str(folder) if output.quiet else None)
    if stopped:
        raise Interrupted(f"interrupted: the best model so far (epoch {model.history_.best_epoch}) is in {folder}")


def _say(model: Any, run: Any, folder: Path, output: Output) -> None:
    output.head("Result")
    output.points([run.sentence])
    if run.comparison is not None:
        table(run.comparison, output)
    output.head("Training")
    output.points([*run.diagnosis, *(f"missing: {problem}" for problem in run.problems)])
    for sample in run.samples[:1]:
        output.head(f"Written by it at temperature {sample.temperature:g}")
        output.say(sample.text)
    output.head(f"Written to {folder}")
    output.points(
        [
            "report.html: all of this with the loss curve and more samples, to read in a browser",
            f"model.json and weights: narrows.load({str(folder)!r}) in Python, or narrows info {folder}",
            f"next: narrows write {folder} --prompt {run.prompt!r} --temperature 0.5",
        ]
    )


def table(comparison: Any, output: Output) -> None:
    """A model beside counts."""
    from narrows.evaluate.ngrams import unit

    rows = [(row.name, f"{row.perplexity:.2f}", f"{row.nats:.3f}") for row in comparison.rows]
    per = unit(comparison.kind)
    output.table(["answer", f"perplexity per {per}", f"nats per {per}"], rows, right=(1, 2))


def _result(request: Request, model: Any, run: Any, folder: Path) -> dict[str, Any]:
    history = model.history_
    last = history.rows[-1] if len(history) else {}
    return {
        "run": str(folder),
        "source": request.source,
        "kind": "text",
        "estimator": "LanguageModel",
        "tokens": run.tokens,
        "seed": request.seed,
        "epochs": int(last.get("epoch", 0)),
        "best_epoch": history.best_epoch,
        "seconds": last.get("seconds"),
        "stopped": history.stopped,
        "sentence": run.sentence,
        "comparison": None if run.comparison is None else run.comparison.to_dict(),
        "samples": [{"temperature": s.temperature, "text": s.text} for s in run.samples],
        "diagnosis": run.diagnosis,
        "reasons": list(model.reasons_),
        "problems": run.problems,
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
    }
