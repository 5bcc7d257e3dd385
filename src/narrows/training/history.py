"""The history of a run: a table with one row per epoch, and what a teacher would say of its curve."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from narrows import files


@dataclass
class History:
    """What happened in training, one row per epoch.

    Columns are ``epoch``, ``step``, ``seconds``, ``learning_rate``, ``loss`` and its terms (training means, in
    ``unit``), the same with ``validation_`` before them, and what the model watches (``active_units``).

    Attributes:
        rows: One dictionary per epoch.
        best_epoch: The epoch whose weights were kept.
        stopped: Why training ended, in words.
        events: Rollbacks and the like, in words.
        noisy: Whether training sees noise, dropout or corruption that validation does not.
        code_size: How many numbers the code has, None when there is no code.
        falling: Whether a loss that falls means that something is learnt; not so in a game of several players.
        unit: What the loss and its terms are in; empty when in nothing that has a name.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    events: list[str] = field(default_factory=list)
    noisy: bool = False
    code_size: int | None = None
    falling: bool = True
    unit: str = "nats per row"

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order in which they appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        """How many epochs were trained."""
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        """The epochs, as dictionaries."""
        return iter(self.rows)

    def __getitem__(self, column: str) -> np.ndarray:
        """A column as an array, NaN where an epoch has no value."""
        if column not in self.columns:
            raise KeyError(f"{column!r} is not a column of the history; there are {', '.join(self.columns)}")
        return np.array([row.get(column, math.nan) for row in self.rows], dtype=float)

    def to_dict(self) -> dict[str, list[float]]:
        """Columns by name, as lists: what any DataFrame constructor takes."""
        return {name: self[name].tolist() for name in self.columns}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, atomically."""
        lines = [",".join(self.columns)]
        for row in self.rows:
            lines.append(",".join("" if name not in row else f"{row[name]:.10g}" for name in self.columns))
        files.write_text(path, "\n".join(lines) + "\n")

    def to_config(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        rows = [{n: v if math.isfinite(v) else None for n, v in row.items()} for row in self.rows]
        return {**self.__dict__, "rows": rows, "events": list(self.events)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> History:
        """The history that ``to_config`` described."""
        rows = [{n: math.nan if v is None else v for n, v in row.items()} for row in config["rows"]]
        return cls(**{**config, "rows": rows})

    def __str__(self) -> str:
        """The table as text, first and last epochs."""
        if not self.rows:
            return "History: no epoch was trained"
        shown = self.rows if len(self.rows) <= 12 else self.rows[:6] + self.rows[-6:]
        names = [n for n in self.columns if n not in ("step", "learning_rate")]
        lines = ["  ".join(f"{n:>14}" for n in names)]
        lines += ["  ".join(f"{row.get(n, math.nan):>14.6g}" for n in names) for row in shown]
        if len(shown) < len(self.rows):
            lines.insert(7, f"  … {len(self.rows) - 12} epochs …")
        return "\n".join([*lines, f"kept: epoch {self.best_epoch}; {self.stopped}"])

    def diagnose(self) -> list[str]:
        """What a teacher would say of the curve, most important first, in whole sentences."""
        return Diagnosis(self).sentences()


class Diagnosis:
    """Reads a history's curves and says in words what they mean."""

    def __init__(self, history: History) -> None:
        self.history = history
        columns = history.columns
        self.train = history["loss"] if "loss" in columns else np.empty(0)
        self.validation = history["validation_loss"] if "validation_loss" in columns else np.empty(0)
        self.curve = self.validation if self.validation.size else self.train

    def sentences(self) -> list[str]:
        """Everything worth saying; at least one sentence."""
        if not self.history.rows:
            return ["No epoch was trained, so there is nothing to say."]
        if not self.history.falling:
            return [*self.diverged(), *self.missing(), *self.repeated()] or [
                "This loss need not fall when all goes well, and nothing else was watched."
            ]
        found = [
            *self.diverged(),
            *self.missing(),
            *self.repeated(),
            *self.nothing_learnt(),
            *self.collapsed(),
            *self.over_fitting(),
            *self.still_learning(),
            *self.too_short(),
            *self.jumps(),
            *self.above(),
        ]
        return found or ["The curve has settled: the loss fell and levelled off, and nothing looks wrong."]

    def _span(self) -> float:
        """How far the curve fell from its first to its best epoch."""
        finite = self.curve[np.isfinite(self.curve)]
        return float(finite[0] - finite.min()) if finite.size else 0.0

    def diverged(self) -> list[str]:
        """The loss became infinite or not a number."""
        said = [f"Training diverged: {event}" for event in self.history.events]
        if not said and not np.isfinite(self.train).all():
            said = ["Training diverged: the loss is not a finite number. Try a tenth of the learning rate."]
        if self.validation.size and not np.isfinite(self.validation).any():
            said.append(
                "No validation loss was a finite number, so the last weights were kept: look for extreme values among "
                "the rows."
            )
        return said

    def nothing_learnt(self) -> list[str]:
        """The loss never fell."""
        if self.curve.size >= 3 and self._span() <= 1e-3 * max(1e-12, abs(float(self.curve[0]))):
            return ["Nothing was learnt: the loss did not fall. Try another learning rate, or a larger network."]
        return []

    def collapsed(self) -> list[str]:
        """Units of the code that carry nothing."""
        size, columns = self.history.code_size, self.history.columns
        if size is None or "active_units" not in columns:
            return []
        active = round(float(self.history["active_units"][self._kept()]))
        if active == 0:
            kl = self.history["kl"][self._kept()] if "kl" in columns else math.nan
            why = f" (KL {kl:.3g} nats: it collapsed onto the prior)" if math.isfinite(kl) else ""
            return [
                f"Nothing is stored in the code: active units 0 of {size}{why}. "
                "Lower the weight of the penalty, warm it up, or give it free bits."
            ]
        if active < size:
            return [f"Active units {active} of {size}: the others carry nothing, so a smaller code would do as well."]
        return []

    def missing(self) -> list[str]:
        """Kinds of rows that a generator does not make."""
        if "coverage" not in self.history.columns:
            return []
        kept = self._kept()
        coverage, expected = self.history["coverage"][kept], self.history["coverage_expected"][kept]
        words = f"what is made reaches {coverage:.0%} of the real rows; rows like them would reach {expected:.0%}"
        if coverage < 0.5 * expected:
            return [
                f"Mode collapse, or too little training: {words}. Kinds of rows are missing: train longer, use the "
                "relativistic loss, or raise its r1 and r2."
            ]
        if not self.history.falling or coverage < 0.8 * expected:
            some = (
                "Some kinds of rows are rare or missing"
                if coverage < 0.8 * expected
                else "No large part of the rows is missing"
            )
            return [f"{some}: {words}."]
        return []

    def repeated(self) -> list[str]:
        """A generator that makes the same again and again."""
        if "duplicates" not in self.history.columns:
            return []
        share = self.history["duplicates"][self._kept()]
        if share > 0.2:
            return [
                f"It repeats itself: {share:.0%} more of what is made nearly equals another row than of real rows do. "
                "Train longer, or give it more noise (code_size)."
            ]
        return []

    def over_fitting(self) -> list[str]:
        """Validation rose again while training went on falling."""
        if self.validation.size < 4 or not np.isfinite(self.validation).any():
            return []
        best = int(np.nanargmin(self.validation))
        after = self.validation.size - 1 - best
        rise = float(self.validation[-1] - self.validation[best])
        falling = self.train[-1] < self.train[best]
        if after >= 3 and falling and rise > 0.01 * self._span():
            return [
                f"Over-fitting since epoch {self._epoch(best)}: validation rose by {rise:.3g} nats while training went "
                f"on falling. The weights of epoch {self.history.best_epoch} were kept."
            ]
        return []

    def still_learning(self) -> list[str]:
        """The curve was still going down when training ended."""
        size = self.curve.size
        if size < 4 or not np.isfinite(self.curve).all():
            return []
        tail = max(2, size // 5)
        last, before = self.curve[-tail:].min(), self.curve[:-tail].min()
        if before - last > 0.01 * self._span():
            epochs = self._epoch(size - 1) - self._epoch(size - 1 - tail)
            return [
                f"Still learning: the last {epochs} epochs brought the loss down from {before:.4g} to {last:.4g}; "
                "more epochs would help."
            ]
        return []

    def too_short(self) -> list[str]:
        """A curve of so few points that nothing else can be read from it."""
        if self.curve.size >= 4:
            return []
        # of small data only some epochs are recorded, so the points of the curve are fewer
        last = self._epoch(self.curve.size - 1)
        epochs = "Only one epoch was" if last == 1 else f"Only {last} epochs were"
        if last > self.curve.size:
            points = "once" if self.curve.size == 1 else f"{self.curve.size} times"
            epochs = f"{last} epochs were trained, the loss was recorded {points}:"
        falling = self.curve.size > 1 and bool(self.curve[-1] < self.curve[:-1].min())
        seen = " The loss was still falling;" if falling else ""
        trained = "" if epochs.endswith(":") else " trained,"
        return [f"{epochs}{trained} too few to judge the curve.{seen or ' Train longer:'} more epochs would help."]

    def jumps(self) -> list[str]:
        """The training loss leaps up between epochs."""
        if self.train.size < 6 or not np.isfinite(self.train).all():
            return []
        change = np.diff(self.train)
        leaps = np.flatnonzero(change > 0.1 * max(float(self.train[0] - self.train.min()), 1e-12)) + 1
        if leaps.size:
            where = ", ".join(str(self._epoch(i)) for i in leaps[:5])
            return [f"The loss jumps (at epoch {where}): the learning rate is high for this batch size."]
        return []

    def above(self) -> list[str]:
        """Training above validation, which puzzles people."""
        if not self.validation.size or not self.history.noisy:
            return []
        kept = self._kept()
        if self.train[kept] > self.validation[kept]:
            return [
                "The training loss lies above the validation loss because noise and dropout are on in training and "
                "off in validation: that is as it should be."
            ]
        return []

    def _epoch(self, row: int) -> int:
        return int(self.history.rows[row].get("epoch", row + 1))

    def _kept(self) -> int:
        """The row of the epoch whose weights were kept."""
        epochs = [self._epoch(row) for row in range(len(self.history))]
        return epochs.index(self.history.best_epoch) if self.history.best_epoch in epochs else len(epochs) - 1
