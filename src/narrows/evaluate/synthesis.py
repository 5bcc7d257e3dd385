"""The report on made-up rows: shapes, pairs, detection, support, utility, and whether rows were copied."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData
from narrows.evaluate._columns import Columns, alike, columns
from narrows.evaluate.copying import Copying, copying
from narrows.evaluate.learners import detection, utility
from narrows.evaluate.similarity import column_shapes, pair_trends
from narrows.evaluate.support import Support, support

MOST = 50_000  # rows compared at most; of more a random part
FEWER_MOST = 10_000  # for detection and support


@dataclass(frozen=True)
class SynthesisReport:
    """What was measured of made-up rows.

    Attributes:
        rows: How many rows were made up.
        shapes: Similarity per column, 1 is the same.
        pairs: Similarity per pair of columns, by ``"a × b"``.
        blanks: Largest difference of a column's share of blanks.
        detection: 1: a logistic regression cannot tell real from made up; 0: it always can.
        detection_trees: The same of boosted trees, which see how columns depend on each other.
        support: α-precision and β-recall.
        utility: Score of a model trained on made-up rows on held-out real ones; None without a target.
        utility_real: The same of a model trained on real rows.
        target: The column that these predict.
        copying: The copying check; None without held-out rows.
    """

    rows: int
    shapes: dict[str, float]
    pairs: dict[str, float]
    blanks: float
    detection: float
    detection_trees: float
    support: Support
    utility: float | None = None
    utility_real: float | None = None
    target: str | None = None
    copying: Copying | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def shape_error(self) -> float:
        """1 − mean similarity of the columns."""
        return float(1 - np.nanmean([*self.shapes.values()]))

    @property
    def pair_error(self) -> float:
        """1 − mean similarity of the pairs of columns; NaN when there is only one column."""
        values = np.array([*self.pairs.values()], dtype=float)
        return float(1 - np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    @property
    def memorised(self) -> bool:
        """Whether rows look memorised."""
        return self.copying is not None and self.copying.memorised

    def sentences(self) -> list[str]:
        """The report in plain words, one sentence per measure."""
        worst = min(self.shapes, key=lambda n: np.nan_to_num(self.shapes[n], nan=2.0))
        lines = [
            f"Column shapes differ by {self.shape_error:.1%} on average (most: {worst!r}, by "
            f"{1 - self.shapes[worst]:.1%}); shares of blanks differ by at most {self.blanks:.1%}."
        ]
        if np.isfinite(self.pair_error):
            least = min(self.pairs, key=lambda n: np.nan_to_num(self.pairs[n], nan=2.0))
            lines.append(
                f"Pairs of columns differ by {self.pair_error:.1%} on average (most: {least}, by "
                f"{1 - self.pairs[least]:.1%})."
            )
        lines.append(
            f"A logistic regression that has to tell them from real rows leaves a detection score of "
            f"{self.detection:.2f}, boosted trees {self.detection_trees:.2f} (1: it cannot; 0: it always can)."
        )
        lines.append(
            f"They lie where real rows lie to {self.support.precision:.2f} (α-precision, 1 is best) and reach the real "
            f"rows to {self.support.recall:.2f} (β-recall, of which fresh real rows get about 0.5 and copies 1)."
        )
        if self.utility is not None and self.utility_real is not None:
            lines.append(
                f"A model that learns {self.target!r} from them scores {self.utility:.3f} on real rows it has not "
                f"seen; one that learns from real rows {self.utility_real:.3f}."
            )
        if self.copying is not None:
            lines += self.copying.sentences()
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON."""
        found = asdict(self)
        found["copying"] = None if self.copying is None else self.copying.to_dict()
        found["notes"] = list(self.notes)
        return {**found, "shape_error": self.shape_error, "pair_error": self.pair_error, "memorised": self.memorised}


def synthesis_report(
    real: Any, made: Any, held_out: Any = None, target: str | None = None, seed: int = 0
) -> SynthesisReport:
    """Measure made-up rows.

    Args:
        real: The rows that the generator was trained on.
        made: The rows that it made up.
        held_out: Real rows that it has not seen, for utility and the copying check; None: neither is measured.
        target: A column to predict.
        seed: Equal seeds give equal reports.

    Returns:
        The report.

    Raises:
        InvalidData: If a column of the real table is missing elsewhere, or a table is empty.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    tables = [columns(t) for t in ((real, made) if held_out is None else (real, made, held_out))]
    if not all(t.rows for t in tables):
        raise InvalidData("a table without rows cannot be compared")
    rows = tables[1].rows
    parts = alike(*(_part(t, MOST, seed) for t in tables))
    a, b = parts[0], parts[1]
    few = _part(a, FEWER_MOST, seed), _part(b, FEWER_MOST, seed)
    scores: tuple[float | None, float | None] = (None, None)
    if held_out is not None and target is not None:
        scores = (utility(b, parts[2], target, seed), utility(a, parts[2], target, seed))
    return SynthesisReport(
        rows=rows,
        shapes=column_shapes(a, b),
        pairs={f"{one} × {two}": v for (one, two), v in pair_trends(a, b).items()},
        blanks=max((abs(_blank_share(a.cells[n]) - _blank_share(b.cells[n])) for n in a.cells), default=0.0),
        detection=detection(*few, seed),
        detection_trees=detection(*few, seed, HistGradientBoostingClassifier(random_state=seed)),
        support=support(*few),
        utility=scores[0],
        utility_real=scores[1],
        target=target,
        copying=None if held_out is None else copying(tables[0], tables[1], tables[2], seed),
    )


# --- inside ----------------------------------------------------------------------------------------------------


def _part(table: Columns, most: int, seed: int) -> Columns:
    if table.rows <= most:
        return table
    return table.take(np.random.default_rng(seed).choice(table.rows, most, replace=False))


def _blank_share(cells: NDArray[Any]) -> float:
    return float(np.mean([c is None for c in cells])) if cells.dtype == object else float(np.isnan(cells).mean())
