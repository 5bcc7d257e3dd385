"""How sure a number is: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData, InvalidParameter


class Estimate(NamedTuple):
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The number with its interval: ``0.61 [0.59, 0.64]``."""
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(
    statistic: Callable[..., float], *arrays: ArrayLike, level: float = 0.95, repeats: int = 1000, seed: int = 0
) -> Estimate:
    r"""A statistic of rows with its percentile bootstrap interval.

    The same rows are drawn from every array, so that what is compared stays paired.

    Args:
        statistic: Takes the arrays, each ``(n, …)``, and returns a number.
        *arrays: One or more arrays of equal length n.
        level: Probability that the interval should cover the truth, between 0 and 1.
        repeats: How many times n rows are drawn with replacement.
        seed: For the draws; the caller's generators are not touched.

    Returns:
        The statistic of all rows, and the two quantiles.

    Raises:
        InvalidData: If there are no rows, or the arrays differ in length.
        InvalidParameter: If ``level`` or ``repeats`` cannot be used.

    Reference:
        Bootstrap Methods: Another Look at the Jackknife, Efron, 1979, https://doi.org/10.1214/aos/1176344552.

    Example:
        ```python
        bootstrap(np.mean, [1.0, 2.0, 3.0]).value  # 2.0
        ```
    """
    data = [np.asarray(a) for a in arrays]
    n = len(data[0]) if data else 0
    if n == 0 or any(len(a) != n for a in data):
        raise InvalidData(f"arrays of {[len(a) for a in data]} rows cannot be drawn from together: give equal lengths")
    _check(level, repeats)
    generator = np.random.default_rng(seed)
    values = [statistic(*(a[rows] for a in data)) for rows in generator.integers(n, size=(repeats, n))]
    return _estimate(statistic(*data), values, level)


def bootstrap_ratio(
    above: ArrayLike, below: ArrayLike, *, level: float = 0.95, repeats: int = 1000, seed: int = 0
) -> Estimate:
    r"""$\sum a / \sum b$ over paired rows, with its percentile bootstrap interval; quicker than `bootstrap`.

    Args:
        above: ``(n,)`` numbers at least 0.
        below: ``(n,)`` numbers at least 0, of the same rows.
        level: Probability that the interval should cover the truth.
        repeats: How many times n rows are drawn with replacement.
        seed: For the draws; the caller's generators are not touched.

    Returns:
        The ratio of all rows, and the two quantiles.

    Raises:
        InvalidParameter: If ``level`` or ``repeats`` cannot be used.

    Example:
        ```python
        bootstrap_ratio([1.0, 1.0], [2.0, 2.0])  # (0.5, 0.5, 0.5)
        ```
    """
    _check(level, repeats)
    pair = np.stack([np.asarray(above, dtype=float), np.asarray(below, dtype=float)], axis=1)
    generator = np.random.default_rng(seed)
    # how often each row is drawn, 100 draws at a time to bound the memory
    sums: list[NDArray[Any]] = [
        generator.multinomial(len(pair), np.full(len(pair), 1 / len(pair)), size=min(100, repeats - start)) @ pair
        for start in range(0, repeats, 100)
    ]
    drawn = np.concatenate(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = pair.sum(axis=0)
        return _estimate(total[0] / total[1], drawn[:, 0] / drawn[:, 1], level)


def _estimate(value: Any, values: ArrayLike, level: float) -> Estimate:
    low, high = np.nanquantile(np.asarray(values, dtype=float), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def _check(level: float, repeats: int) -> None:
    if not 0 < level < 1 or repeats < 1:
        raise InvalidParameter(
            f"level={level!r}, repeats={repeats!r}: level lies between 0 and 1, repeats is at least 1"
        )
