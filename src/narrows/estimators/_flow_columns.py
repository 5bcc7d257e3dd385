"""What a flow sees of columns: which are discrete, which follow from others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._types import Layout, Rows
from narrows.data.fitting import in_words
from narrows.errors import InvalidData, InvalidParameter
from narrows.models.flow import Dequantisation

TIED = 0.5  # a column with fewer distinct values than this share of its cells is discrete
EXACT = 1e-6  # share of a column's variance below which what others do not explain is rounding
SPIKE = 0.05  # share of cells that hold one value, above which a continuous column has a spike
FEW = 5  # cells that hold one value by chance, in a small table
FINEST = 1e-4  # smallest step between values, in scaled units, that is taken for one

FOLLOWS = "follows from other columns, so its density would be infinite; it is made from them, and scores leave it out"
REPEATS = "values repeat, so noise as wide as their steps is added"
SPIKED = (
    "many cells hold one and the same number among others that vary; densities there mean little (a Synthesizer treats "
    "such numbers by themselves)"
)

Floats = NDArray[np.float64]


def dequantisation_of(format_: Any, layout: Layout, rows: Rows, dequantise: bool, reasons: list[str]) -> Dequantisation:
    """How rows become continuous.

    Args:
        format_: The fitted format.
        layout: What a row looks like.
        rows: Some rows to learn from.
        dequantise: Whether tied numbers and pixels are discrete.
        reasons: What is found is said here.

    Raises:
        InvalidData: If nothing is left to model.
        InvalidParameter: If pixels are blank.
    """
    cells = rows.values.double().numpy()
    if len(layout.shape) > 1:
        if any(layout.blanks):
            raise InvalidParameter("a flow needs every pixel, and some are blank: fill them, or use another model")
        return Dequantisation(steps=(_step(cells.ravel()[:1_000_000]) if dequantise else 0.0,))
    there = np.ones(cells.shape, bool) if rows.observed is None else rows.observed.numpy()
    kinds = layout.categories or (0,) * layout.shape[0]
    shares = [_shares(cells[:, j], there[:, j], k) for j, k in enumerate(kinds)]
    dependent = _dependent(cells, there, kinds)
    left_out = {int(one[0]) for one in dependent}
    if len(left_out) == sum(k == 0 for k in kinds) and not any(len(s) > 1 for s in shares):
        raise InvalidData("every column holds one value only: there is nothing for a flow to learn")
    numbers = {j: cells[there[:, j], j] for j, k in enumerate(kinds) if not k and j not in left_out}
    steps = [_step(numbers[j]) if dequantise and j in numbers else 0.0 for j in range(len(kinds))]
    names = [c.name for c in format_.columns]
    found = {
        FOLLOWS: [names[int(one[0])] for one in dependent if any(one[2:])],
        REPEATS: [names[j] for j, step in enumerate(steps) if step],
        SPIKED: [names[j] for j, values in numbers.items() if not steps[j] and _spiked(values)],
    }
    reasons.extend(f"{in_words(who)}: {words}" for words, who in found.items() if who)
    return Dequantisation(tuple(steps), tuple(shares), tuple(dependent))


def _shares(cells: Floats, there: NDArray[np.bool_], kinds: int) -> tuple[float, ...]:
    """How often each category occurs, then blanks; none for numbers that are always there."""
    if not kinds and there.all():
        return ()
    found = np.bincount(cells[there].astype(int), minlength=kinds) if kinds else np.array([there.sum()])
    counts = np.append(found, (~there).sum()) if not there.all() else found
    counts = np.maximum(counts, 1)  # what does not occur among these rows may occur among others
    return tuple((counts / counts.sum()).tolist())


def _spiked(values: Floats) -> bool:
    """Whether one value is far more common than chance and rounding make it in so many cells."""
    return bool(len(values)) and int(np.unique(values, return_counts=True)[1].max()) > max(FEW, SPIKE * len(values))


def _step(values: Floats) -> float:
    """The distance between neighbouring values of a discrete column; 0 for one that is continuous."""
    distinct = np.unique(np.round(values, 6))
    if len(distinct) < 2 or len(distinct) > TIED * len(values):
        return 0.0
    least = float(np.diff(distinct).min())
    return least if least >= FINEST else 0.0


def _dependent(cells: Floats, there: NDArray[np.bool_], kinds: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Columns of numbers that are sums of multiples of columns before them, up to rounding (constants, copies)."""
    n, found, kept = len(cells), list[tuple[float, ...]](), list[int]()
    for j, k in enumerate(kinds):
        if k or not there[:, j].all():
            continue
        x, basis = cells[:, j], np.column_stack([np.ones(n), cells[:, kept]])
        if n <= len(kept) + 1:  # too few rows to tell, but for constants
            basis = basis[:, :1]
        slopes = np.linalg.lstsq(basis, x, rcond=None)[0]
        if (x - basis @ slopes).var() > EXACT * max(x.var(), 1e-9):
            kept.append(j)
            continue
        row = np.zeros(len(kinds))
        row[kept[: len(slopes) - 1]] = np.where(np.abs(slopes[1:]) < 1e-5, 0.0, slopes[1:])
        found.append((float(j), float(slopes[0]), *row.tolist()))
    return found
