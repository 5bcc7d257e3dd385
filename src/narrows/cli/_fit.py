"""``narrows fit``: from data to a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.cli import _elbow, _fit_text, _folders, _labels, _series, _stream, _words
from narrows.cli._group import Interrupted, say
from narrows.cli._output import Output
from narrows.errors import InvalidParameter


@dataclass(frozen=True)
class Request:
    """Everything that ``narrows fit`` was asked for."""

    source: str
    wishes: _words.Wishes
    epochs: int | None = None
    time_budget: str | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    device: str = "auto"
    devices: int | None = None
    strategy: str = "ddp"
    checkpoint_every: float = 30.0
    seed: int = 0
    held_out: float = 0.1
    image_size: str | None = None
    skip_bad: bool = False
    memory: str | None = None
    sql: str | None = None
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    colour: str | None = None
    labels: str | None = None
    code_sizes: str | None = None
    out: str | None = None
    resume: bool = False
    force: bool = False
    kind: str = "auto"
    every: str | None = None

    def plain(self) -> dict[str, Any]:
        """What decides the result, as plain JSON: kept with the run, and compared when it is resumed."""
        content = asdict(self)
        for name in ("out", "resume", "force", "checkpoint_every", "devices", "strategy"):
            del content[name]
        content |= content.pop("wishes")
        return {name: list(v) if isinstance(v, tuple) else v for name, v in content.items()}


@dataclass(frozen=True)
class Material:
    """The rows to train on and those held out, with their classes for figures.

    Where the rows to train on are a stream, ``shown`` are some of them, in memory, and ``labels`` are of those. The
    ``classes`` are labels that the model is told.
    """

    name: str
    kind: str
    train: Any
    test: Any
    labels: Any
    test_labels: Any
    label_name: str | None
    notes: list[str]
    format: Any
    shown: Any = None
    classes: Any = None


def fit(request: Request, output: Output) -> None:
    """Read, train, compare, draw, write; say what came of it.

    Raises:
        NarrowsError: If something that was asked for cannot be done. Nothing is left behind then.
        Interrupted: If the user pressed Ctrl-C; the best model so far is kept if there is one.
    """
    from narrows.training.ranks import rank

    # what can be found wrong at once is, before anything is read or written
    _words.seconds(request.time_budget)
    _words.model_name(request.wishes.model)
    _elbow.check(request)
    if _fit_text.wanted(request):
        _fit_text.fit(request, training_of(request, output), output)
        return
    material = prepare(request)
    training = training_of(request, output)
    model = _words.build(request.wishes, material.format, training, request.seed)
    if rank() > 0:  # the first process writes and speaks for all
        model.set_params(training__checkpoint="the first process's", training__verbose=False)
        model.fit(material.train, labels=material.classes)
        return
    place = _folders.claim(request.out, material.name, resume=request.resume, force=request.force)
    try:
        _run(request, material, training, place, output)
    except KeyboardInterrupt:
        place.abandon()
        if place.working.exists():
            raise Interrupted(f"interrupted; go on with --resume (the checkpoint is in {place.working})") from None
        raise Interrupted(
            "interrupted before the first epoch ended: there is no model yet, and nothing was kept"
        ) from None
    except BaseException:
        place.abandon()
        if place.checkpoint.exists():
            say(f"note: the last checkpoint is whole, in {place.checkpoint}: --resume goes on from there")
        raise


def _run(request: Request, material: Material, training: Any, place: _folders.Place, output: Output) -> None:
    if place.resumed is None:
        place.record({"status": "training", "options": request.plain()})
    else:
        check_same(request, place)
    _say_found(material, place, output)
    training = training.set_params(checkpoint=str(place.checkpoint))
    if request.code_sizes is None:
        model = _words.build(request.wishes, material.format, training, request.seed)
        model.fit(material.train, labels=material.classes)
        elbow = None
    else:
        model, elbow = _elbow.fit(request, material, training, output)
    # where the checkpoint lay is this run's affair, not the model's
    model.set_params(training=model.training.set_params(checkpoint=None, verbose=None))
    stopped = _interrupted(model)
    _say_chosen(model, output)
    report = _report(request, model, material, place, elbow)
    place.record({"status": "interrupted" if stopped else "finished", "options": request.plain()})
    folder = place.finish()
    _say_result(model, report, folder, output)
    found = dict(_result(request, model, material, report, folder))
    if elbow is not None:
        found["elbow"] = elbow.to_dict()
    output.result(found, str(folder) if output.quiet else None)
    if stopped:
        raise Interrupted(f"interrupted: the best model so far (epoch {model.history_.best_epoch}) is in {folder}")


def _report(request: Request, model: Any, material: Material, place: _folders.Place, elbow: Any = None) -> Any:
    from narrows.report import write_run

    shown, facts = material.train, {"Source": request.source}
    if material.shown is not None:
        shown = material.shown
        facts["Rows"] = f"{len(material.train):,} read piece by piece; {len(shown):,} of them are shown"
    try:
        return write_run(
            model,
            place.working,
            shown,
            material.test,
            labels=material.labels,
            test_labels=material.test_labels,
            label_name=material.label_name,
            name=material.name,
            notes=material.notes,
            facts=facts,
            called=str(place.target),
            elbow=elbow,
        )
    except KeyboardInterrupt:
        from narrows._saved import MODEL

        if (place.working / MODEL).is_file():  # the model is whole; only pictures of it are missing
            folder = place.finish()
            raise Interrupted(f"interrupted: the trained model is in {folder}, without all of its figures") from None
        raise


# --- data ----------------------------------------------------------------------------------------------------


def prepare(request: Request) -> Material:
    """Open the source, choose its columns, hold rows out."""
    from narrows.data import Stream, open_source
    from narrows.data.budget import in_words
    from narrows.data.series import few_and_long
    from narrows.data.split import count, hold_out, take

    size, memory = _words.image_size(request.image_size), _stream.budget(request.memory)
    source = open_source(request.source, sql=request.sql, skip_bad=request.skip_bad, image_size=size, memory=memory)
    source = _series.read(source, request)
    if isinstance(source.data, Stream):
        if request.labels is not None:
            raise InvalidParameter("--labels goes with data in memory; this is read piece by piece: give more --memory")
        return _stream.prepare(request, source)
    labels, test_labels, label_name = source.labels, source.test_labels, "class" if source.labels is not None else None
    if request.colour is not None:
        labels, label_name = colour_values(request, source.data)
        test_labels = None if source.test is None else colour_values(request, source.test)[0]
    data, test = source.data, source.test
    if request.labels is not None:
        labels, data, label_name = _labels.of_rows(request.labels, source, source.data)
        if test is not None:
            test_labels, test, _ = _labels.of_rows(request.labels, source, source.test)
    if source.kind != "series":
        data, test = select(data, request), None if test is None else select(test, request)
    notes = list(source.notes)
    if request.memory is not None and source.kind == "table":
        notes.append(f"within the budget of {in_words(memory)}: learnt in memory")
    if source.kind == "series" and _words.model_name(request.wishes.model) == "AutoregressiveModel":
        notes.append("the model holds out the last part of every series itself, to compare forecasts")
    elif test is None and source.kind == "series" and few_and_long(data.tracks):
        data, test = _series.later(data, request.held_out, notes)
    elif test is None:
        kept, held = hold_out(count(data), request.seed, request.held_out)
        if len(held):
            test, data = take(data, held), take(data, kept)
            test_labels, labels = take(labels, held), take(labels, kept)
        else:
            notes.append(f"no rows were held out of {count(data):,}, so errors are those of training rows")
    classes = None if request.labels is None else labels
    return Material(
        source.name, source.kind, data, test, labels, test_labels, label_name, notes, source.format, classes=classes
    )


def columns_of(data: Any) -> list[str] | None:
    """The columns' names, where data has named columns."""
    names = getattr(data, "column_names", None)
    if names is None:
        names = getattr(data, "columns", None)
    return None if names is None else [str(n) for n in names]


def select(data: Any, request: Request) -> Any:
    """The columns that were asked for."""
    if not request.columns and not request.drop:
        return data
    known = columns_of(data)
    if known is None:
        raise InvalidParameter("--columns and --drop choose columns of a table with names; this data has none")
    wanted = _words.names_in(request.columns, known, "--columns") if request.columns else known
    dropped = _words.names_in(request.drop, known, "--drop")
    kept = [name for name in wanted if name not in dropped]
    if not kept:
        raise InvalidParameter("--columns and --drop together leave no column to learn from")
    return data.select(kept)


def colour_values(request: Request, data: Any) -> tuple[Any, str]:
    """The values of the column that ``--colour`` names, and its name."""
    from narrows.plots._columns import columns_of as plain_columns

    known = columns_of(data)
    if known is None:
        raise InvalidParameter("--colour names a column of a table; this data has no named columns")
    name = _words.names_in([str(request.colour)], known, "--colour")[0]
    return plain_columns(data.select([name]))[name], name


# --- training ------------------------------------------------------------------------------------------------


def training_of(request: Request, output: Output) -> Any:
    """The settings of the loop that were asked for."""
    from narrows.training import Training

    asked: dict[str, Any] = {
        "epochs": request.epochs,
        "batch_size": request.batch_size,
        "learning_rate": request.learning_rate,
        "time_budget": _words.seconds(request.time_budget),
        "memory": request.memory,
        "strategy": request.strategy,
    }
    training = Training(
        **{name: value for name, value in asked.items() if value is not None},
        device=_device(request.device),
        devices=request.devices,
        checkpoint_every=request.checkpoint_every,
        verbose=False if output.quiet else None,
    )
    training.check()
    return training


def _device(word: str) -> str:
    if word in ("auto", "cpu"):
        return word
    import torch

    try:
        device = torch.device(word)
    except RuntimeError:
        raise InvalidParameter(f"--device {word!r} is no device: write auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidParameter(f"--device {word!r}: there are {torch.cuda.device_count()} GPUs here; write auto or cpu")
    return word


def check_same(request: Request, place: _folders.Place) -> None:
    """Check that a run is gone on with as it was begun."""
    assert place.resumed is not None
    before, now = place.resumed.get("options", {}), request.plain()
    other = [name for name in now if before.get(name) != now[name]]
    if other:
        shown = "; ".join(f"{name} was {before.get(name)!r} and is {now[name]!r}" for name in other[:3])
        raise InvalidParameter(
            f"{str(place.working)!r} was begun with other options ({shown}): give the same ones, or leave out --resume"
        )


def _interrupted(model: Any) -> bool:
    return bool(model.history_.stopped.startswith("interrupted"))


# --- words ---------------------------------------------------------------------------------------------------


def many(number: int, thing: str) -> str:
    """A number of things, in the singular where there is one."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _say_found(material: Material, place: _folders.Place, output: Output) -> None:
    from narrows.data.split import count

    output.say(f"{material.name}: {material.kind}", style="bold")
    rows = f"{many(count(material.train), 'row')} to learn from"
    if material.kind == "series":
        rows = _series.counted(material.train, material.test)
    elif material.test is not None:
        rows += f", {count(material.test):,} held out"
    names = columns_of(material.train)
    if names is not None:
        rows += f"; {many(len(names), 'column')}: " + ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    output.points([rows, *material.notes])
    if place.resumed is not None:
        output.points([f"going on with the unfinished run in {place.working}"])


def _say_chosen(model: Any, output: Output) -> None:
    code = getattr(model.module_, "code_size", None)
    output.head(f"Model: {type(model).__name__}" + (f", {many(code, 'number')} per code" if code else ""))
    output.points(model.reasons_)


def _say_result(model: Any, report: Any, folder: Path, output: Output) -> None:
    output.head("Result")
    output.points([report.sentence])
    output.head("Training")
    output.points([*report.diagnosis, *(f"missing: {problem}" for problem in report.problems)])
    output.head(f"Written to {folder}")
    ending = "png" if len(model.format_.layout.shape) == 3 else "mid" if _series.is_music(model) else "csv"
    verb = "sample" if ending == "mid" else "generate"
    output.points(
        [
            "report.html: all of this with figures, to read in a browser",
            f"model.json and weights: narrows.load({str(folder)!r}) in Python, or narrows info {folder}",
            f"next: narrows forecast {folder} --steps 12 --out next.csv"
            if hasattr(model, "forecast")
            else f"next: narrows {verb} {folder} -n 100 --out samples.{ending}",
        ]
    )


def _result(request: Request, model: Any, material: Material, report: Any, folder: Path) -> Mapping[str, Any]:
    from narrows.data.split import count

    history = model.history_
    last = history.rows[-1] if len(history) else {}
    return {
        "run": str(folder),
        "source": request.source,
        "kind": material.kind,
        "rows": count(material.train),
        "held_out": 0 if material.test is None else count(material.test),
        "estimator": type(model).__name__,
        "code_size": model.choices_.code_size_of(model.module_),
        "seed": request.seed,
        "epochs": int(last.get("epoch", 0)),
        "best_epoch": history.best_epoch,
        "seconds": last.get("seconds"),
        "stopped": history.stopped,
        "sentence": report.sentence,
        "comparison": None if report.comparison is None else report.comparison.to_dict(),
        "diagnosis": report.diagnosis,
        "notes": material.notes,
        "reasons": list(model.reasons_),
        "problems": report.problems,
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
    }
