"""Rows of raw data, whatever they came as: how many, some of them, and a part held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidParameter

FEWEST = 20  # rows below which none are held out: two or three would say nothing
Index = NDArray[np.int64]


def count(data: Any) -> int:
    """How many rows ``data`` has: an array, a table, or a list of images."""
    rows = getattr(data, "num_rows", None)
    return len(data) if rows is None else int(rows)


def take(data: Any, index: Any) -> Any:
    """Some rows of ``data``, in the container that it came in.

    Args:
        data: An array, a table (pandas, polars, pyarrow) or a list of images.
        index: ``(m,)`` places of rows.
    """
    places = np.asarray(index, dtype=np.int64)
    if data is None or isinstance(data, np.ndarray):
        return None if data is None else data[places]
    if isinstance(data, (list, tuple)):
        return [data[i] for i in places]
    if hasattr(data, "take") and hasattr(data, "num_rows"):
        return data.take(places)
    if hasattr(data, "iloc"):
        return data.iloc[places]
    return data[places.tolist()]


def hold_out(rows: int, seed: int, share: float = 0.1) -> tuple[Index, Index]:
    """Places of the rows to train on and of those to hold out, each in their order.

    Args:
        rows: How many there are.
        seed: Equal seeds hold out the same rows.
        share: How many to hold out, as a part of all; none below 20 rows.

    Returns:
        ``(m,)`` places to train on and ``(rows − m,)`` places held out.

    Raises:
        InvalidParameter: If the share is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise InvalidParameter(f"a share of {share:g} cannot be held out: give a number from 0 to below 1, such as 0.1")
    held = 0 if rows < FEWEST else round(share * rows)
    order = np.random.default_rng([seed, rows]).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])
