"""How alike the columns of two tables are, one by one and in pairs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.evaluate._columns import alike, columns, indices

BINS = 10  # for a number beside a category


def ks_complement(real: ArrayLike, made: ArrayLike) -> float:
    """1 − sup |F(x) − G(x)| of two columns of numbers, blanks left out: 1 is the same distribution.

    Args:
        real: ``(n,)`` numbers, NaN for blanks.
        made: ``(m,)`` numbers.

    Returns:
        From 0 to 1; NaN where a column is all blank.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/kscomplement
    """
    a, b = (np.sort(x[~np.isnan(x)]) for x in (np.asarray(real, float), np.asarray(made, float)))
    if not len(a) or not len(b):
        return float("nan")
    at = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b))
    return float(1 - gap.max())


def tv_complement(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ Σ |p − q| of two columns of categories, blank being one of them: 1 is the same shares.

    Args:
        real: ``(n,)`` text, None for blanks.
        made: ``(m,)`` text.

    Returns:
        From 0 to 1.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/tvcomplement
    """
    return _overlap(*indices(np.asarray(real, object), np.asarray(made, object)))


def correlation_similarity(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ |ρ − ρ'| of Pearson's correlations of two columns of numbers; pairs with a blank are left out.

    Args:
        real: ``(n, 2)`` numbers.
        made: ``(m, 2)`` numbers.

    Returns:
        From 0 to 1; NaN where the real correlation is not defined.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/correlationsimilarity
    """
    first, second = (_correlation(np.asarray(x, float)) for x in (real, made))
    return float(1 - abs(first - (0.0 if np.isnan(second) else second)) / 2)


def contingency_similarity(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ Σ |p − q| over the cells of two contingency tables of two columns of categories.

    Args:
        real: ``(n, 2)`` text, None for blanks.
        made: ``(m, 2)`` text.

    Returns:
        From 0 to 1.

    Reference:
        Synthetic Data Metrics, DataCebo,
        https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/contingencysimilarity
    """
    a, b = np.asarray(real, object), np.asarray(made, object)
    pairs = [indices(a[:, j], b[:, j]) for j in (0, 1)]
    return _pair_overlap(pairs[0], pairs[1])


def column_shapes(real: Any, made: Any) -> dict[str, float]:
    """Similarity of every column: `ks_complement` for numbers and times, `tv_complement` for categories."""
    a, b = alike(columns(real), columns(made))
    return {
        name: ks_complement(a.cells[name], b.cells[name])
        if a.numeric(name)
        else tv_complement(a.cells[name], b.cells[name])
        for name in a.cells
    }


def pair_trends(real: Any, made: Any) -> dict[tuple[str, str], float]:
    """Similarity of every pair of columns.

    `correlation_similarity` for two columns of numbers, `contingency_similarity` otherwise; a number beside a category
    is cut into ten bins of equal width over the real column's range. Pairs with a constant column of numbers are NaN.
    """
    a, b = alike(columns(real), columns(made))
    codes = {name: _binned(a.cells[name], b.cells[name]) for name in a.cells}
    found = {}
    for one, two in itertools.combinations(a.cells, 2):
        if a.numeric(one) and a.numeric(two):
            pairs = [np.stack([t.cells[one], t.cells[two]], axis=1) for t in (a, b)]
            found[one, two] = correlation_similarity(*pairs)
        else:
            found[one, two] = _pair_overlap(codes[one], codes[two])
    return found


# --- inside ----------------------------------------------------------------------------------------------------


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    p, q = (np.bincount(x, minlength=size) / max(len(x), 1) for x in (a, b))
    return float(1 - np.abs(p - q).sum() / 2)


def _pair_overlap(one: tuple[Any, Any], two: tuple[Any, Any]) -> float:
    size = int(max(two[0].max(initial=0), two[1].max(initial=0))) + 1
    joint = np.concatenate([x * size + y for x, y in zip(one, two, strict=True)])
    places = np.unique(joint, return_inverse=True)[1]
    return _overlap(places[: len(one[0])], places[len(one[0]) :])


def _binned(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if a.dtype == object:
        return indices(a, b)
    given = a[~np.isnan(a)]
    edges = np.histogram_bin_edges(given, BINS)[1:-1] if len(given) else np.zeros(0)
    first, second = (np.where(np.isnan(x), BINS, np.searchsorted(edges, x, "right")) for x in (a, b))
    return first, second


def _correlation(pairs: NDArray[np.float64]) -> float:
    whole = pairs[~np.isnan(pairs).any(axis=1)]
    if len(whole) < 2 or bool((whole == whole[0]).all(axis=0).any()):
        return float("nan")
    return float(np.asarray(np.corrcoef(whole.T))[0, 1])
