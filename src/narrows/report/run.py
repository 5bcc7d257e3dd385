"""The run folder: the model, its history, figures, the comparison with honest baselines, and a page to read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows import files, plots
from narrows.data.split import count, take
from narrows.errors import InvalidData, NarrowsError
from narrows.evaluate import Comparison, Elbow, PriorGap, compare
from narrows.plots._style import DPI, some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED = 10_000  # held-out rows that are compared, at most
FITTED = 20_000  # rows that PCA is fitted to, at most: its directions have long settled by then
MAPPED = 4_000  # rows on the code map
JUDGED, FEWEST = 1_000, 100  # rows that the prior is judged by, at most and at least
MADE_UP = 2_000  # rows of a table that are sampled for the histograms


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: Its file's name, without the ending.
        heading: What it shows, in a few words.
        caption: How to read it, in a sentence or two.
        path: Where the PNG lies.
    """

    name: str
    heading: str
    caption: str
    path: Path


@dataclass
class Run:
    """What a run left behind.

    Attributes:
        folder: Where everything is.
        name: What the data is called.
        called: What to call the folder in commands.
        held_out: Whether the rows of comparison and figures were held out of training.
        narrows: Whether the model has codes; else it only makes rows.
        comparison: The model beside PCA, the untrained network and the mean; None if that could not be made.
        diagnosis: What a teacher would say of the loss curve.
        drawings: The figures.
        problems: What could not be made, and why.
        forecasts: Of a model that forecasts, how it compares with simple forecasts.
        gap: How far the prior is from the codes; None if the model has no codes, or the rows are too few to say.
    """

    folder: Path
    name: str
    called: str
    held_out: bool = True
    narrows: bool = True
    comparison: Comparison | None = None
    diagnosis: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    gap: PriorGap | None = None
    forecasts: str = ""

    @property
    def sentence(self) -> str:
        """The honest line."""
        if self.forecasts:
            return self.forecasts
        if not self.narrows:
            return "This model makes rows: it has no codes, and so nothing to compare with PCA."
        if self.comparison is None:
            return "There is no comparison with PCA: it could not be made."
        line = self.comparison.sentence()
        if not self.held_out:
            return line.replace("Held-out ", "Training-row ") + " No rows were held out, so this flatters all of them."
        return line


def write_run(
    model: Any,
    folder: str | os.PathLike[str],
    train: Any,
    test: Any = None,
    *,
    labels: Any = None,
    test_labels: Any = None,
    label_name: str | None = None,
    name: str = "data",
    notes: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    called: str | None = None,
    elbow: Elbow | None = None,
) -> Run:
    """Write all that a fitted model leaves behind into a folder.

    The model comes first, so that nothing that happens later can lose it; then ``history.csv``, ``comparison.json``,
    ``figures/*.png`` and ``report.html``. What cannot be made is left out and said (`Run.problems`).

    Args:
        model: A fitted estimator.
        folder: Where to; made if it is missing.
        train: The rows it was trained on.
        test: Rows held out of training; None: everything is shown on training rows, and said so.
        labels: ``(n,)`` classes of the training rows, to colour the code map.
        test_labels: The same of the held-out rows.
        label_name: What the classes are.
        name: What the data is called.
        notes: What should be said about the data.
        facts: Further lines for the table of facts.
        called: What to call the folder in the page's commands; None: ``folder``.
        elbow: Other code sizes that were tried, for a figure, a table and the reason for this one.

    Returns:
        What was written.

    Raises:
        OSError: If the folder cannot be written to.

    Example:
        ```python
        run = write_run(model, "runs/mine", X_train, X_test)
        print(run.sentence)
        ```
    """
    target = Path(folder)
    model.save(target)
    run = Run(target, name, called or str(target), held_out=test is not None, narrows=hasattr(model, "reconstruct"))
    if hasattr(model, "forecast"):
        compared = model.comparison_
        run.forecasts = "The series are too short to compare forecasts." if compared is None else compared.sentence()
    history = model.history_
    run.diagnosis = history.diagnose()
    if len(history):
        history.to_csv(target / "history.csv")
    seen = train if test is None else test
    if run.narrows:
        _compare(run, model, train, seen)
    if elbow is not None:
        _bend(run, elbow)
    _draw(run, model, train, test, labels, test_labels, label_name)
    _judge_prior(run, model, seen)
    model.save(target, metrics=metrics_of(run))
    from narrows.report.page import write_page

    said = [*([] if elbow is None else elbow.sentences()), *([] if run.gap is None else [run.gap.sentence()])]
    write_page(run, model, [*notes, *said], {**_facts(model, train, test), **(facts or {})})
    return run


def metrics_of(run: Run) -> dict[str, Any]:
    """The numbers that are kept with the model."""
    found: dict[str, Any] = {} if run.gap is None else {"prior": run.gap.sentence()}
    if run.comparison is None:
        return found
    found["comparison"] = run.sentence
    for row in run.comparison.rows:
        who = row.name.replace(" ", "_")
        for measure in ("squared_error", "accuracy"):
            value = getattr(row, measure)
            if value is not None and math.isfinite(value):
                found[f"{who}_{measure}"] = float(value)
    return found


# --- comparison ----------------------------------------------------------------------------------------------


def _compare(run: Run, model: Any, train: Any, seen: Any) -> None:
    def make() -> None:
        some_train = take(train, some(FITTED, count(train)))
        run.comparison = compare(model, some_train, take(seen, some(COMPARED, count(seen))))
        content = {**run.comparison.to_dict(), "sentence": run.sentence, "held_out_rows": run.held_out}
        files.write_json(run.folder / "comparison.json", _finite(content))

    attempt(run, "the comparison with PCA", make)


def _judge_prior(run: Run, model: Any, seen: Any) -> None:
    def make() -> None:
        run.gap = model.prior_gap(take(seen, some(JUDGED, count(seen))))

    if hasattr(model, "prior_gap") and _enough(model, seen):
        attempt(run, "the gap between prior and codes", make)


def _enough(model: Any, seen: Any) -> bool:
    """Whether there are rows enough to judge a prior by; one long series is many rows."""
    return count(seen) >= FEWEST or (model.format_.layout.series and len(model.format_.to_rows(seen)) >= FEWEST)


def _finite(value: Any) -> Any:
    """``value`` with what JSON has no word for as null."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def attempt(run: Any, what: str, make: Callable[[], None]) -> None:
    """Do what may fail without taking the model with it."""
    try:
        make()
    except Exception as error:
        kind = "" if isinstance(error, NarrowsError) else f"{type(error).__name__}: "
        run.problems.append(f"{what} could not be made: {kind}{error}")


# --- figures -------------------------------------------------------------------------------------------------


def _draw(run: Run, model: Any, train: Any, test: Any, labels: Any, test_labels: Any, label_name: str | None) -> None:
    seen = train if test is None else test
    rows = "held-out" if run.held_out else "training"
    images = len(model.format_.layout.shape) == 3
    series = model.format_.layout.series

    some_seen = take(seen, some(2000, count(seen)))
    captions = _captions(model, rows, images, series)
    wanted: dict[str, tuple[bool, str, Callable[[], Figure]]] = {
        "reconstructions": (run.narrows, "Originals and reconstructions", lambda: _pairs(model, some_seen)),
        "loss": (len(model.history_) > 0, "Loss", lambda: plots.loss_curve(model.history_)),
        "codes": (run.narrows, "Code map", lambda: _map(model, train, test, labels, test_labels, label_name)),
        "forecast": (hasattr(model, "forecast"), "Forecast", lambda: _forecast(model)),
        "samples": (True, "Samples", lambda: _samples(model, some_seen, images)),
    }
    for name, (fits, heading, draw) in wanted.items():
        if fits:
            add_drawing(run, name, heading, captions[name], draw)


def _captions(model: Any, rows: str, images: bool, series: bool) -> dict[str, str]:
    """What is said below every figure."""
    size = _numbers(getattr(model.module_, "code_size", 0))
    return {
        "reconstructions": f"{rows.capitalize()} rows before and after they were narrowed to {size}.",
        "loss": "How well training went, epoch by epoch; the dashed line is the epoch whose weights were kept.",
        "codes": f"Every point is {'a series or a window of one' if series else 'a row'}, placed by its code. Rows "
        "that the model takes for alike lie close together.",
        "forecast": "How the first series goes on, with the range of nine in ten draws, beside what simple methods "
        "say.",
        "samples": f"{'Images' if images else 'Series' if series else 'Rows'} that were never there, as the model "
        f"makes them{'' if images else ', below real ones' if series else ', beside the real ones, column by column'}.",
    }


def add_drawing(run: Any, name: str, heading: str, caption: str, draw: Callable[[], Figure]) -> None:
    """Draw a figure into the run's folder, if it can be drawn."""

    def make() -> None:
        path = run.folder / "figures" / f"{name}.png"
        figure = draw()
        with files.atomic(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": "narrows", "Title": heading})
        run.drawings.append(Drawing(name, heading, caption, path))

    attempt(run, f"the figure {name}.png", make)


def _bend(run: Run, elbow: Elbow) -> None:
    """The elbow as a table for programs, ``code_sizes.csv``, and a figure."""

    def make() -> None:
        lines = ["code_size,error,pca,ratio,explained"]
        for bend in elbow.bends:
            ratio = "" if bend.ratio is None else f"{bend.ratio:.6g}"
            lines.append(f"{bend.size},{bend.error:.8g},{bend.pca:.8g},{ratio},{elbow.explained(bend):.6g}")
        files.write_text(run.folder / "code_sizes.csv", "\n".join(lines) + "\n")

    attempt(run, "code_sizes.csv", make)
    add_drawing(run, "elbow", "Code sizes", " ".join(elbow.sentences()), lambda: plots.elbow_curve(elbow))


def as_seen(model: Any, data: Any) -> Any:
    """Rows as the model sees them, in raw units: files as arrays, images brought to their size; tables as they are."""
    format_ = model.format_
    if len(format_.layout.shape) == 3:
        return format_.from_values(format_.to_rows(data).values)
    return data


def _map(model: Any, train: Any, test: Any, labels: Any, test_labels: Any, label_name: str | None) -> Figure:
    parts, colours = [train], [labels]
    if test is not None and count(test) >= MAPPED // 8:
        parts, colours = [test], [test_labels]
    elif test is not None:
        parts, colours = [test, train], [test_labels, labels]
    left, codes, shown = MAPPED, [], []
    for data, colour in zip(parts, colours, strict=True):
        at = some(left, count(data))
        codes.append(model.transform(take(data, at)))
        shown.append(None if colour is None else np.asarray(colour)[at])
        left -= len(at)
    known = [s for s in shown if s is not None]
    whole = np.concatenate(known) if len(known) == len(shown) else None
    return plots.code_map(np.concatenate(codes), whole, name=label_name)


def _pairs(model: Any, seen: Any) -> Figure:
    format_ = model.format_
    if not format_.layout.series:
        return plots.reconstructions(as_seen(model, seen), model.reconstruct(seen))
    made = format_.curves(model.reconstruct(seen))
    return plots.series_pairs(format_.curves(seen), made, channels=format_.channels)


def _forecast(model: Any) -> Figure:
    past = model.format_.ends[0]
    if past.values.dtype == object:
        raise InvalidData("categories are not drawn")
    return plots.forecast_figure(model.forecast(), past)


def _samples(model: Any, seen: Any, images: bool) -> Figure:
    if model.format_.layout.series:
        return plots.series_sheet(model.format_.curves(model.sample(8, random_state=0)), model.format_.curves(seen))
    if images:
        return plots.samples(model.sample(40, random_state=0), as_seen(model, take(seen, some(200, count(seen)))))
    return plots.samples(model.sample(MADE_UP, random_state=0), seen)


# --- facts ---------------------------------------------------------------------------------------------------


def _facts(model: Any, train: Any, test: Any) -> dict[str, str]:
    layout, size = model.format_.layout, model.choices_.code_size_of(model.module_)
    held = "none held out" if test is None else f"{count(test):,} held out"
    made = f", {'narrowed to' if hasattr(model, 'transform') else 'made from'} {_numbers(size)}" if size else ""
    return {
        "Rows": f"{count(train):,} trained on, {held}",
        "A row": f"{_shape(layout.shape)}{made}",
        "Model": type(model).__name__,
        **training_facts(model),
    }


def training_facts(model: Any) -> dict[str, str]:
    """Lines for the table of facts: how long it was trained, how many weights it has, and its seed."""
    history = model.history_
    found: dict[str, str] = {}
    if len(history):
        last = history.rows[-1]
        found["Training"] = (
            f"{int(last['epoch'])} epochs in {duration(last['seconds'])}; {history.stopped}; "
            f"weights of epoch {history.best_epoch}"
        )
    seed = model.get_params(deep=False)["random_state"]
    parameters = sum(p.numel() for p in model.module_.parameters())
    return {**found, "Parameters": f"{parameters:,}", "Seed": str(seed if isinstance(seed, int) else model.seed_)}


def _shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return f"{shape[0]} steps × {shape[1]} channel{'s' * (shape[1] != 1)}"
    if len(shape) == 3:
        return f"{shape[1]} × {shape[2]} pixels" + (f" × {shape[0]} channels" if shape[0] > 1 else "")
    return f"{shape[0]} column{'s' * (shape[0] != 1)}"


def _numbers(size: int) -> str:
    return f"{size} number{'s' * (size != 1)}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
