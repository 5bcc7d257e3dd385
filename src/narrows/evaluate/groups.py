"""Fairness of a fit: each group's error, how often it is called strange, and its share of made-up rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate.intervals import Estimate

QUANTILES = 4  # groups of a column of numbers
MOST = 20  # groups shown; rarer ones are one together
OTHER = "(all others)"
BLANK = "(blank)"


@dataclass(frozen=True)
class Group:
    """One group of rows.

    Attributes:
        name: What its rows have in common.
        rows: How many rows of the data it has.
        share: Its share of the data, with its interval.
        error: Its mean reconstruction error, with its interval.
        made: Its share of made-up rows, with its interval; None where none were made.
        alarms: Share of its rows that are called strange, with its interval; None where nothing is.
    """

    name: str
    rows: int
    share: Estimate
    error: Estimate
    made: Estimate | None = None
    alarms: Estimate | None = None


@dataclass(frozen=True)
class GroupReport:
    """Groups of one column, the largest first.

    Attributes:
        column: The column.
        error: Mean error of all rows.
        groups: The groups.
        alarms: Share of all rows that are called strange; None where nothing is.
    """

    column: str
    error: float
    groups: tuple[Group, ...]
    alarms: float | None = None

    def sentences(self) -> list[str]:
        """What differs by more than chance explains, in plain words."""
        lines = []
        for group in self.groups:
            if group.error.low > self.error:
                lines.append(
                    f"{self.column} = {group.name}: a larger error than average "
                    f"({group.error} against {self.error:.3g})."
                )
            if group.alarms is not None and self.alarms is not None and group.alarms.low > self.alarms:
                lines.append(
                    f"{self.column} = {group.name}: called strange more often than average "
                    f"({group.alarms.value:.1%} against {self.alarms:.1%})."
                )
            if group.made is not None and (group.made.high < group.share.low or group.made.low > group.share.high):
                word = "too rare" if group.made.value < group.share.value else "too common"
                lines.append(
                    f"{self.column} = {group.name}: {word} among samples ({group.made.value:.1%} against "
                    f"{group.share.value:.1%} of the data)."
                )
        return lines or [f"No group of {self.column} differs by more than chance explains."]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON."""
        found = asdict(self)
        for shown, group in zip(found["groups"], self.groups, strict=True):
            for name in ("share", "error", "made", "alarms"):
                value = getattr(group, name)
                shown[name] = None if value is None else value._asdict()
        return {**found, "groups": list(found["groups"]), "sentences": self.sentences()}


def group_report(
    column: str,
    cells: ArrayLike,
    errors: ArrayLike,
    made: ArrayLike | None = None,
    *,
    alarms: ArrayLike | None = None,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> GroupReport:
    """Reconstruction error and share of samples per group, with percentile bootstrap intervals.

    Args:
        column: The column's name.
        cells: ``(n,)`` its cells: text or None, or numbers with NaN, which are grouped by their quartiles.
        errors: ``(n,)`` each row's reconstruction error, any unit.
        made: ``(m,)`` the column in made-up rows, of the same kind.
        alarms: ``(n,)`` which rows are called strange.
        level: Probability that the intervals should cover the truth.
        repeats: Bootstrap draws.
        seed: For the draws.

    Returns:
        The report.

    Raises:
        InvalidData: If there are no rows, or not as many errors as cells.
        InvalidParameter: If ``level`` or ``repeats`` cannot be used.

    Example:
        ```python
        group_report("sex", ["f", "f", "m"], [1.0, 2.0, 9.0]).groups[0].error.value  # 1.5
        ```
    """
    real, losses = np.asarray(cells), np.asarray(errors, dtype=float)
    if not len(real) or len(real) != len(losses):
        raise InvalidData(f"{len(real)} cells and {len(losses)} errors: give one error per row, and at least one row")
    if not 0 < level < 1 or repeats < 1:
        raise InvalidParameter(f"level={level!r}, repeats={repeats!r}: level lies between 0 and 1, repeats from 1")
    names, places, made_places = _grouped(real, None if made is None else np.asarray(made))
    rng = np.random.default_rng(seed)
    strange = None if alarms is None else np.asarray(alarms, dtype=bool)
    groups = []
    for place, name in enumerate(names):
        inside = places == place
        if not inside.any():
            continue
        drawn = None if made_places is None else _share(made_places == place, level, repeats, rng)
        share = _share(inside, level, repeats, rng)
        called = None if strange is None else _share(strange[inside], level, repeats, rng)
        error = _mean(losses[inside], level, repeats, rng)
        groups.append(Group(name, int(inside.sum()), share, error, drawn, called))
    groups.sort(key=lambda g: -g.rows)
    return GroupReport(column, float(losses.mean()), tuple(groups), None if strange is None else float(strange.mean()))


def _share(inside: NDArray[np.bool_], level: float, repeats: int, rng: np.random.Generator) -> Estimate:
    # the bootstrap of a share is binomial: no row need be drawn
    n, value = len(inside), float(inside.mean())
    return _interval(value, rng.binomial(n, value, size=repeats) / n, level)


def _mean(values: NDArray[np.float64], level: float, repeats: int, rng: np.random.Generator) -> Estimate:
    n = len(values)
    step = max(1, 2_000_000 // n)
    drawn = [
        values[rng.integers(n, size=(min(step, repeats - start), n))].mean(axis=1) for start in range(0, repeats, step)
    ]
    return _interval(float(values.mean()), np.concatenate(drawn), level)


def _interval(value: float, drawn: NDArray[np.float64], level: float) -> Estimate:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def _grouped(
    real: NDArray[Any], made: NDArray[Any] | None
) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.int64] | None]:
    if real.dtype.kind in "iuf":
        numbers = real.astype(float)
        return _quartiles(numbers, None if made is None else made.astype(float))
    texts = _texts(real)
    kinds, counts = np.unique(texts, return_counts=True)
    order = [str(kinds[i]) for i in np.argsort(-counts, kind="stable")]
    names = order if len(order) <= MOST else [*order[: MOST - 1], OTHER]
    place = {name: i for i, name in enumerate(names)}
    last = place.get(OTHER, -1)
    found = [
        np.array([place.get(t, last) for t in part], dtype=np.int64)
        for part in ([texts] if made is None else [texts, _texts(made)])
    ]
    return names, found[0], None if made is None else found[1]


def _texts(cells: NDArray[Any]) -> list[str]:
    return [BLANK if c is None or c != c else str(c) for c in cells.tolist()]


def _quartiles(
    real: NDArray[np.float64], made: NDArray[np.float64] | None
) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.int64] | None]:
    given = real[~np.isnan(real)]
    edges = np.unique(np.quantile(given, np.linspace(0, 1, QUANTILES + 1))) if len(given) else np.zeros(1)
    inner = edges[1:-1]
    ends = [f"{e:g}" for e in edges]
    names = [f"{a} to {b}" for a, b in itertools.pairwise(ends)] or [ends[0]]
    blank = len(names)
    parts = [real] if made is None else [real, made]
    found = [np.where(np.isnan(x), blank, np.searchsorted(inner, x, "left")).astype(np.int64) for x in parts]
    return [*names, BLANK], found[0], None if made is None else found[1]
