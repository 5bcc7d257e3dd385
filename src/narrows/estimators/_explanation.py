"""What is said of rows: how strange they are, and why, cell by cell, with what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.data.frames import open_table
from narrows.errors import InvalidParameter
from narrows.tasks.anomaly import discoveries

Floats = NDArray[np.float64]


class Assessment(NamedTuple):
    """What is said of rows.

    Attributes:
        scores: ``(n,)`` how strange; higher is stranger.
        p_values: ``(n,)`` how often a normal row scores as high.
        alarms: ``(n,)`` which are called strange.
    """

    scores: Floats
    p_values: Floats
    alarms: NDArray[np.bool_]


@dataclass(frozen=True)
class Explanation:
    """What made rows strange.

    Attributes:
        scores: ``(n,)`` the rows' scores; every one is the sum of its row's contributions.
        p_values: ``(n,)`` how often a normal row scores as high.
        contributions: ``(n, columns)`` what every cell added to the score, ``(n, *shape)`` for images; negative where
            a cell spoke for the row.
        expected: What was expected in every cell, given the others; n rows of the kind that was asked about.
        columns: The columns' names; empty for images.
        given: The rows that were asked about.
    """

    scores: Floats
    p_values: Floats
    contributions: Floats
    expected: Any
    columns: tuple[str, ...]
    given: Any

    def cells(self, row: int, most: int = 3) -> list[tuple[str, Any, Any, float]]:
        """The cells that made a row of a table strange, the one that added most first.

        Args:
            row: Which row.
            most: How many cells, at most; those that add little (a tenth of the first), and those that hold what was
                expected, are left out.

        Returns:
            Column, value, expected value and contribution of each.
        """
        added = self.contributions[row]
        given, expected = _row(self.given, row), _row(self.expected, row)
        places = _places(self.given, self.columns)
        order = [int(j) for j in np.argsort(-added, kind="stable") if given[places[j]] != expected[j]]
        kept = [j for j in order if added[j] > max(0.0, 0.1 * added[order[0]])][:most]
        return [(self.columns[j], given[places[j]], expected[j], float(added[j])) for j in kept]

    def sentence(self, row: int, most: int = 3) -> str:
        """The same in words, such as ``"age = 17, expected 41 (+5.2)"``."""
        if self.contributions.ndim == 3:
            return self._stretch(row)
        found = [
            f"{name} = {_words(value)}, expected {_words(expected)} ({added:+.1f})"
            for name, value, expected, added in self.cells(row, most)
        ]
        return "; ".join(found) or "no cell stands out"

    def _stretch(self, row: int) -> str:
        """Of a series, the channel that added most, and the steps around the one that did."""
        added = self.contributions[row]
        channel = int(added.sum(axis=0).argmax())
        line = added[:, channel]
        first = last = int(line.argmax())
        while first > 0 and line[first - 1] > 0.1 * line.max():
            first -= 1
        while last < len(line) - 1 and line[last + 1] > 0.1 * line.max():
            last += 1
        steps = f"step {first}" if first == last else f"steps {first} to {last}"
        return f"{self.columns[channel] if self.columns else 'value'} at {steps} ({line[first : last + 1].sum():+.1f})"


def found_limit(p: torch.Tensor, trained: torch.Tensor, false_discovery_rate: float) -> float:
    """The largest p-value of an alarm among these, at a false-discovery rate; −1 when there is none.

    Args:
        p: ``(n,)`` p-values of all rows.
        trained: Which of them are training rows.
        false_discovery_rate: Share of the alarms that may be false.

    Raises:
        InvalidParameter: If most of them are training rows.
    """
    if trained.double().mean() > 0.5:
        raise InvalidParameter(
            "false_discovery_rate needs rows that were not learnt from: ranks of rows among themselves say "
            "nothing of how many are strange; fit on rows known to be normal, or give rate"
        )
    alarms = discoveries(p, float(false_discovery_rate))
    return float(p[alarms].max()) if alarms.any() else -1.0


def _row(table: Any, row: int) -> Sequence[Any]:
    cells = [column[row : row + 1] for column in open_table(table).cells]
    return [c.to_pylist()[0] if hasattr(c, "to_pylist") else c.tolist()[0] for c in cells]


def _places(table: Any, columns: tuple[str, ...]) -> list[int]:
    """Where each fitted column lies in the table that was given."""
    names = open_table(table).names
    if names is None:
        return list(range(len(columns)))
    places = {str(name): j for j, name in enumerate(names)}
    return [places.get(name, j) for j, name in enumerate(columns)]


def _words(value: Any) -> str:
    if value is None or value != value:
        return "blank"
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if isinstance(value, str) else str(value)
