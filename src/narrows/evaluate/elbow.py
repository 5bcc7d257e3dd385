"""The elbow: how much a longer code would say, and which size is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from narrows.errors import InvalidData
from narrows.evaluate.baselines import Comparison

KEPT = 0.97  # of what the best code explains: what a code must explain to be long enough


@dataclass(frozen=True)
class Bend:
    """One code size.

    Attributes:
        size: Numbers per code.
        error: The model's error on held-out rows: squared error per value in scaled units, or the share of wrong
            categories where there are no numbers.
        pca: PCA's error with as many numbers.
        better: Whether the model's is below PCA's beyond doubt; None when it cannot be told.
    """

    size: int
    error: float
    pca: float
    better: bool | None

    @property
    def ratio(self) -> float | None:
        """The model's error over PCA's; None where PCA's is zero."""
        return self.error / self.pca if self.pca > 0 else None


@dataclass(frozen=True)
class Elbow:
    """Errors of models of several code sizes on the same held-out rows, and the size to take.

    Attributes:
        bends: One per code size, the shortest first.
        mean: The error of always answering the mean: that of a code of no numbers.
        unit: What errors are, in words.
    """

    bends: tuple[Bend, ...]
    mean: float
    unit: str

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Elbow:
        """The elbow of models that were each compared with PCA on the same rows.

        Raises:
            InvalidData: If there is none.
        """
        if not comparisons:
            raise InvalidData("there is no elbow without models: give at least one comparison")
        numbers = comparisons[0]["model"].squared_error is not None

        def error(found: Comparison, name: str) -> float:
            result = found[name]
            return float(result.squared_error if numbers else 1 - (result.accuracy or 0.0))  # type: ignore[arg-type]

        bends = tuple(
            Bend(c.code_size, error(c, "model"), error(c, "PCA"), c.better)
            for c in sorted(comparisons, key=lambda c: c.code_size)
        )
        unit = f"squared error per {comparisons[0].per}" if numbers else "share of categories that are wrong"
        return cls(bends, error(comparisons[0], "mean"), unit)

    def explained(self, bend: Bend) -> float:
        """How much of the mean's error a code takes away, 1 for all of it."""
        return 1 - bend.error / self.mean if self.mean > 0 else 0.0

    @property
    def best(self) -> Bend:
        """The size of the lowest error."""
        return min(self.bends, key=lambda bend: bend.error)

    @property
    def chosen(self) -> Bend:
        """The shortest code that explains at least 97 % of what the best one explains."""
        enough = KEPT * self.explained(self.best)
        return next((b for b in self.bends if self.explained(b) >= enough and enough > 0), self.best)

    def sentences(self) -> list[str]:
        """Which size, why, and how the models stand beside PCA."""
        return [self._choice(), self._beside()]

    def _choice(self) -> str:
        taken, best = self.chosen, self.best
        if self.explained(best) <= 0:
            return f"No code size does better than always answering the mean, so nothing speaks for any: {taken.size}."
        share = f"{self.explained(taken):.1%} of what always answering the mean leaves open"
        if taken is best:
            longest = self.bends[-1] is best and len(self.bends) > 1
            more = "; no elbow was reached, so longer codes may do better still" if longest else ""
            return f"Code size {taken.size}: the lowest error of all; it explains {share}{more}."
        return (
            f"Code size {taken.size}: the shortest code that keeps {KEPT:.0%} of what the best one ({best.size}) "
            f"explains; it explains {share}, the best {self.explained(best):.1%}."
        )

    def _beside(self) -> str:
        won = [b.size for b in self.bends if b.better]
        lost = [b.size for b in self.bends if b.better is False]
        if not won:
            tail = f"; clearly worse at {_list(lost)}" if lost else ""
            return f"None of them is clearly better than PCA with as many numbers{tail}: PCA would do."
        if len(won) == len(self.bends):
            return "All of them are better than PCA with as many numbers."
        rest = [b.size for b in self.bends if b.size not in won]
        return f"Better than PCA with as many numbers at {_list(won)}, not at {_list(rest)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: every size with its errors, the choice, and the sentences."""
        rows = [{**vars(b), "ratio": b.ratio, "explained": self.explained(b)} for b in self.bends]
        return {
            "sizes": rows,
            "mean": self.mean,
            "unit": self.unit,
            "chosen": self.chosen.size,
            "sentences": self.sentences(),
        }


def _list(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
