"""How far one array is from another, where cells may be blank.

All take ``(n, …)`` arrays of one shape and a boolean mask of that shape, true where a cell counts; None counts all.
All return ``nan`` where no cell counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData

Floats = NDArray[np.float64]


def squared_error(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    r"""Mean squared error per cell (per pixel and channel, per table cell).

    $\frac{1}{\sum m} \sum m (x - y)^2$

    Args:
        x: ``(n, …)`` the truth.
        y: ``(n, …)`` what was made of it.
        mask: ``(n, …)`` true where a cell counts.

    Returns:
        The mean, in squared units of x.

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        squared_error([[1.0, 2.0]], [[1.0, 4.0]])  # 2.0
        ```
    """
    a, b, m = _prepare(x, y, mask)
    return float(np.mean((a[m] - b[m]) ** 2)) if m.any() else math.nan


def row_errors(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Squared error summed over each row's cells, and how many cells counted.

    Args:
        x: ``(n, …)`` the truth.
        y: ``(n, …)`` what was made of it.
        mask: ``(n, …)`` true where a cell counts.

    Returns:
        Two arrays ``(n,)``: the sums and the counts; their sums' quotient is `squared_error`.

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        row_errors([[1.0, 2.0]], [[1.0, 4.0]])  # (array([4.]), array([2.]))
        ```
    """
    a, b, m = _prepare(x, y, mask)
    squares = np.where(m, a - b, 0.0) ** 2
    return squares.reshape(len(a), -1).sum(axis=1), m.reshape(len(a), -1).sum(axis=1).astype(float)


def psnr(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None, *, peak: float = 1.0) -> float:
    r"""Peak signal-to-noise ratio of all cells together, in decibels.

    $10 \log_{10}(\text{peak}^2 / \text{squared error})$

    Args:
        x: ``(n, …)`` the truth.
        y: ``(n, …)`` what was made of it.
        mask: ``(n, …)`` true where a cell counts.
        peak: Distance between the lowest and the highest possible value.

    Returns:
        Decibels, ``inf`` where x and y are equal.

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        psnr([[0.0, 1.0]], [[0.1, 0.9]])  # 20.0
        ```
    """
    error = squared_error(x, y, mask)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def r2(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    r"""Coefficient of determination, all columns pooled.

    $1 - \sum (x - y)^2 / \sum (x - \bar{x})^2$ with the mean $\bar{x}$ of each column: 1 is perfect, 0 is as good as
    the column means.

    Args:
        x: ``(n, …)`` the truth.
        y: ``(n, …)`` what was made of it.
        mask: ``(n, …)`` true where a cell counts.

    Returns:
        At most 1. Where x never varies: 1 if y equals it, else 0.

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        r2([[1.0], [3.0]], [[1.0], [2.0]])  # 0.5
        ```
    """
    a, b, m = _prepare(x, y, mask)
    return _share(np.where(m, a - b, 0.0), _centred(a, m), m)


def explained_variance(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    r"""Share of the variance that y explains, all columns pooled; a constant offset costs nothing.

    $1 - \sum_j \mathrm{Var}(x_j - y_j) / \sum_j \mathrm{Var}(x_j)$, each column weighted by its cells.

    Args:
        x: ``(n, …)`` the truth.
        y: ``(n, …)`` what was made of it.
        mask: ``(n, …)`` true where a cell counts.

    Returns:
        At most 1. Where x never varies: 1 if the difference does not either, else 0.

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        explained_variance([[1.0], [3.0]], [[2.0], [4.0]])  # 1.0
        ```
    """
    a, b, m = _prepare(x, y, mask)
    return _share(_centred(a - b, m), _centred(a, m), m)


def accuracy(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Share of cells whose category is right.

    Args:
        x: ``(n, …)`` true category indices.
        y: ``(n, …)`` category indices that were made of them.
        mask: ``(n, …)`` true where a cell counts.

    Returns:
        In [0, 1].

    Raises:
        InvalidData: If the shapes differ.

    Example:
        ```python
        accuracy([[0, 2]], [[0, 1]])  # 0.5
        ```
    """
    a, b, m = _prepare(x, y, mask)
    return float(np.mean(np.rint(a[m]) == np.rint(b[m]))) if m.any() else math.nan


def to_array(values: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """Anything array-like, tensors on any device included, as an array, float64 unless said otherwise."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=dtype)


def _prepare(x: Any, y: Any, mask: Any) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    a, b = to_array(x), to_array(y)
    m = np.ones(a.shape, dtype=bool) if mask is None else to_array(mask, np.bool_)
    if not a.shape == b.shape == m.shape:
        shapes = f"{a.shape} and {b.shape}" + ("" if mask is None else f" under a mask of {m.shape}")
        raise InvalidData(f"arrays of shape {shapes} cannot be compared cell by cell: give arrays of one shape")
    return a, b, m


def _centred(a: Floats, m: NDArray[np.bool_]) -> Floats:
    means = np.where(m, a, 0.0).sum(axis=0) / np.maximum(m.sum(axis=0), 1)
    return np.where(m, a - means, 0.0)


def _share(residual: Floats, total: Floats, m: NDArray[np.bool_]) -> float:
    if not m.any():
        return math.nan
    left, all_ = float((residual**2).sum()), float((total**2).sum())
    if all_ == 0:
        return 1.0 if left == 0 else 0.0
    return 1 - left / all_
