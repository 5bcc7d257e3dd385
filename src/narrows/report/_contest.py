"""Several models of the same data, side by side: trained for the same time, measured in the same way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from narrows.data.split import count, take
from narrows.errors import InvalidData, NarrowsError
from narrows.evaluate import Copying, Fidelity, copying, detection, fidelity, frechet
from narrows.evaluate._columns import columns, points
from narrows.plots._style import some
from narrows.tasks.judge import Judge, train_judge

MEASURED = 1_000  # rows that are made and measured
FEWEST = 20  # held-out rows below which measures are noise
JUDGED = 10_000  # rows that the classifier of images is trained on, at most
SHRUNK = 16  # pixels a side of images that are looked through for copies, at most


@dataclass(frozen=True)
class Contender:
    """One model's result.

    Attributes:
        name: What it was asked for as.
        estimator: The class of the model.
        failed: Why there is no result, in words; else None.
        rows: Rows that it made, for the figures; not part of the JSON.
        frechet: Fréchet distance from held-out rows; 0 is best.
        fidelity: Precision, recall, density, coverage, near-duplicates.
        detection: How hard it is for boosted trees to tell made rows from held-out ones: 1 is impossible.
        copying: The copying check.
        likelihood: Mean log p(x) of held-out rows in nats, in scaled units, where the model knows it exactly.
        seconds: Of training.
        sampling: Seconds for 1,000 rows.
        epochs: Passes over the rows.
        stopped: Why training ended.
        parameters: Numbers that were trained.
        notes: What training said of itself.
    """

    name: str
    estimator: str = ""
    failed: str | None = None
    rows: Any = field(default=None, repr=False, compare=False)
    frechet: float = math.nan
    fidelity: Fidelity | None = None
    detection: float = math.nan
    copying: Copying | None = None
    likelihood: float | None = None
    seconds: float = 0.0
    sampling: float = 0.0
    epochs: int = 0
    stopped: str = ""
    parameters: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON."""
        found = asdict(replace(self, rows=None))
        del found["rows"]
        found["notes"] = list(self.notes)
        found["copying"] = None if self.copying is None else self.copying.to_dict()
        return found


@dataclass
class Contest:
    """Several models' results on the same data.

    Attributes:
        name: What the data is called.
        kind: "table" or "images".
        real: Training rows, measured as if a model had made them: what could be reached at best.
        contenders: The results, in the order that models were asked for.
        space: What distances are measured in, in words.
        trained_on: How many rows were learnt from.
        measured: How many held-out rows, and made ones, were compared.
        budget: Seconds that each model had; None: no limit.
        held_out: Some held-out rows, for the figures.
        notes: What should be said about the data.
    """

    name: str
    kind: str
    real: Contender
    space: str
    trained_on: int
    measured: int
    budget: float | None = None
    held_out: Any = field(default=None, repr=False)
    contenders: list[Contender] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ranked(self) -> list[Contender]:
        """Those that have a result, the least Fréchet distance first."""
        return sorted((c for c in self.contenders if c.failed is None), key=lambda c: c.frechet)

    def sentences(self) -> list[str]:
        """What came of it, in plain words."""
        ranked, things = self.ranked, "rows" if self.kind == "table" else "images"
        lines = []
        if ranked:
            lines.append(
                f"Nearest to held-out {things}: {ranked[0].name}, at a Fréchet distance of {ranked[0].frechet:.3g}; "
                f"other real {things} are at {self.real.frechet:.3g}."
            )
        for words, key in (
            (f"Makes most {things} that lie where real ones lie", "precision"),
            (f"Reaches most kinds of real {things}", "coverage"),
        ):
            if len(ranked) > 1:
                best = max(ranked, key=lambda c: getattr(c.fidelity, key))
                own, other = getattr(best.fidelity, key), getattr(self.real.fidelity, key)
                lines.append(f"{words}: {best.name}, {own:.0%} (other real {things}: {other:.0%}).")
        if len(ranked) > 1:
            best = max(ranked, key=lambda c: c.detection)
            lines.append(
                f"Hardest to tell from real {things}: {best.name}, {best.detection:.2f} of 1 (other real {things}: "
                f"{self.real.detection:.2f})."
            )
        lines += [
            f"{c.name}: some of its {things} look memorised." for c in ranked if c.copying and c.copying.memorised
        ]
        lines += [f"{c.name} has no result: {c.failed}" for c in self.contenders if c.failed is not None]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Everything but the rows as plain JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "space": self.space,
            "trained_on": self.trained_on,
            "measured": self.measured,
            "time_budget": self.budget,
            "sentences": self.sentences(),
            "real": self.real.to_dict(),
            "models": [c.to_dict() for c in self.contenders],
            "notes": list(self.notes),
        }


class Measure:
    """Measures made rows of one data set.

    Args:
        train: The rows that models learn from.
        held_out: Rows that they do not see.
        format_: The options of the data's format.
        labels: ``(n,)`` the class of every row to train on, if known: for the classifier of images.
        number: How many rows to compare, at most.
        seed: Equal seeds measure alike.

    Raises:
        InvalidData: If fewer than 20 rows are held out, or they are neither rows of a table nor images.
    """

    def __init__(
        self, train: Any, held_out: Any, format_: Any, labels: Any = None, number: int = MEASURED, seed: int = 0
    ) -> None:
        there = 0 if held_out is None else count(held_out)
        if there < FEWEST:
            raise InvalidData(f"{there} rows are held out to compare made ones with: {FEWEST} or more are needed")
        self.seed = seed
        self.number = min(number, there, count(train))
        self.held_out = take(held_out, some(self.number, there, seed))
        at = some(JUDGED, count(train), seed)
        self.train = take(train, at)
        self.judge: Judge | None = None
        self.format = format_.fit(self.train)
        axes = len(self.format.layout.shape)
        if axes not in (1, 3):
            raise InvalidData("made rows are compared where they are rows of a table, or images; these are neither")
        if axes == 3:
            self._prepare_images(None if labels is None else np.asarray(labels)[at])

    @property
    def space(self) -> str:
        """What distances are measured in."""
        if self.judge is not None:
            return self.judge.sentence()
        return "Rows are points: numbers in units of their standard deviation, a blank or another category 1 apart."

    def real(self) -> Contender:
        """As many training rows, as if a model had made them."""
        rows = take(self.train, some(self.number, count(self.train), self.seed + 1))
        return self.of("other real rows" if self.judge is None else "other real images", rows, check=False)

    def of(self, name: str, rows: Any, check: bool = True) -> Contender:
        """The measures of rows; ``check``: whether they might be copies."""
        a, b = self._places(rows)
        return Contender(
            name,
            rows=rows,
            frechet=frechet(a, b),
            fidelity=fidelity(a, b),
            detection=self._detection(a, b, rows),
            copying=self._copying(rows) if check else None,
        )

    def _prepare_images(self, labels: Any) -> None:
        rows = self.format.to_rows(self.train)
        self.judge = train_judge(rows, self.format.layout, labels, self.seed)
        self.held_features = self.judge.features(self.format.to_rows(self.held_out))
        # the pixels as every model sees them, whatever they came as
        self.held_out = self.format.from_values(self.format.to_rows(self.held_out).values)
        self.pixels = [_shrunk(self.format.from_values(rows.values)), _shrunk(self.held_out)]

    def _places(self, rows: Any) -> tuple[Any, Any]:
        if self.judge is not None:
            return self.held_features, self.judge.features(self.format.to_rows(rows))
        _, a, b = points(*map(columns, (self.train, self.held_out, rows)))
        return a, b

    def _detection(self, a: Any, b: Any, rows: Any) -> float:
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(max_iter=50, random_state=self.seed)
        pair = (a, b) if self.judge is not None else (self.held_out, rows)
        return detection(*pair, self.seed, trees)

    def _copying(self, rows: Any) -> Copying:
        if self.judge is None:
            return copying(self.train, rows, self.held_out, self.seed)
        train, held = self.pixels
        return copying(train, _shrunk(np.asarray(rows)), held, self.seed)


def contend(
    measure: Measure,
    name: str,
    make: Callable[[], Any],
    train: Any,
    labels: Any = None,
    folder: Path | None = None,
    seed: int = 0,
) -> Contender:
    """Train one model, let it make rows, and measure them. Whatever goes wrong is its own affair.

    Args:
        measure: Measures the rows.
        name: What to call it.
        make: Makes the model, not fitted.
        train: The rows to learn from.
        labels: ``(n,)`` classes that the model is told; None: none.
        folder: Where to save the model; None: nowhere.
        seed: For the rows that it makes.

    Returns:
        The result; with ``failed`` set if there is none.
    """
    began, estimator = time.perf_counter(), ""
    try:
        model = make()
        estimator = type(model).__name__
        model.fit(train, labels=labels)
        seconds = time.perf_counter() - began
        if folder is not None:
            model.save(folder)
        began = time.perf_counter()
        rows = model.sample(measure.number, random_state=seed)
        sampling = (time.perf_counter() - began) * 1000 / measure.number
        found = measure.of(name, rows)
        likelihood = _likelihood(model, measure.held_out)
    except Exception as error:
        kind = "" if isinstance(error, NarrowsError) else f"{type(error).__name__}: "
        return Contender(name, estimator, f"{kind}{error}", seconds=time.perf_counter() - began)
    history = model.history_
    return replace(
        found,
        estimator=estimator,
        likelihood=likelihood,
        seconds=seconds,
        sampling=sampling,
        epochs=int(history.rows[-1]["epoch"]) if len(history) else 0,
        stopped=history.stopped,
        parameters=sum(p.numel() for p in model.module_.parameters()),
        notes=tuple(history.diagnose()),
    )


def contest(
    models: Mapping[str, Callable[[], Any]],
    train: Any,
    held_out: Any,
    format_: Any,
    *,
    learnt: Any = None,
    name: str = "data",
    judged_by: Any = None,
    labels: Any = None,
    folder: Path | None = None,
    budget: float | None = None,
    number: int = MEASURED,
    seed: int = 0,
    told: Callable[[Contender], None] | None = None,
) -> Contest:
    """Train models one after the other, each for itself, and measure what they make.

    Args:
        models: What makes each model, not fitted, by name.
        train: The rows to learn from.
        held_out: Rows that no model sees: made rows are compared with them.
        format_: The options of the data's format, `narrows.data.Table` or ``Image``.
        learnt: What models learn from instead, where ``train`` are only some of its rows: a `narrows.data.Stream`.
        name: What the data is called.
        judged_by: ``(n,)`` classes of ``train``, for the classifier of images; None: ``labels``, or kinds
            found by k-means.
        labels: ``(n,)`` classes that models are told.
        folder: Models are saved in folders of it, by name; None: nowhere.
        budget: Seconds that each model had, to be said.
        number: How many rows to compare, at most.
        seed: Equal seeds measure alike.
        told: Called with every result.

    Returns:
        The results. A model that fails, or is interrupted before its first epoch ends, does not lose the others;
        after an interruption no further one is trained.

    Raises:
        InvalidData: If too few rows are held out, or no model has a result.

    Example:
        ```python
        from narrows.data import Table

        rows = np.random.default_rng(0).normal(size=(300, 3))
        quick = narrows.Training(epochs=1)
        models = {"boltzmann": lambda: narrows.Boltzmann(training=quick), "flow": lambda: narrows.Flow(training=quick)}
        contest(models, rows[:200], rows[200:], Table()).ranked[0].name  # the better one
        ```
    """
    measure = Measure(train, held_out, format_, judged_by if judged_by is not None else labels, number, seed)
    kind, whole = "table" if measure.judge is None else "images", train if learnt is None else learnt
    found = Contest(
        name, kind, measure.real(), measure.space, count(whole), measure.number, budget, held_out=measure.held_out
    )
    for word, make in models.items():
        place = None if folder is None else folder / word
        try:
            one = contend(measure, word, make, whole, labels, place, seed)
        except KeyboardInterrupt:
            one = Contender(word, failed="interrupted")
        found.contenders.append(one)
        if told is not None:
            told(one)
        if "interrupted" in (one.failed or one.stopped):
            found.notes.append("interrupted: what had not begun by then was left out")
            break
    if not found.ranked:
        raise InvalidData(f"no model has a result: {'; '.join(found.sentences())}")
    return found


def _likelihood(model: Any, held_out: Any) -> float | None:
    """Mean log p(x) of held-out rows, of models that know it exactly."""
    from narrows.estimators import Flow

    return float(np.mean(model.score_samples(held_out))) if isinstance(model, Flow) else None


def _shrunk(images: Any) -> np.ndarray:
    """Images as rows of at most 16 × 16 means of grey, so that looking for copies costs little."""
    grey = np.asarray(images, dtype=np.float64)
    grey = grey.mean(-1) if grey.ndim == 4 else grey
    step = [max(1, math.ceil(side / SHRUNK)) for side in grey.shape[1:]]
    for axis, size in zip((1, 2), step, strict=True):
        starts = np.arange(0, grey.shape[axis], size)
        ends = np.minimum(starts + size, grey.shape[axis])
        shape = [-1 if i == axis else 1 for i in range(3)]
        grey = np.add.reduceat(grey, starts, axis) / (ends - starts).reshape(shape)
    return grey.reshape(len(grey), -1).round(4)
