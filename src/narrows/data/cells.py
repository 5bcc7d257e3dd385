"""Arrow cells made of numbers: exact, and of the type that a column had."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa
from narrows.data.scaling import Floats

Mask = NDArray[np.bool_]

#: The largest whole number of float64 below 2⁶³.
_WHOLE = float(2**63 - 1024)
PLACES = 6  # decimal places at most that are taken for a column's own
LARGEST = 1e9  # numbers below it are rounded to as many places exactly


def decimal_places(values: Floats) -> int | None:
    """How many decimal places all of some numbers ``(n,)`` have, at most 6; None where some have more."""
    # 0.1 in single precision is another number than in double precision
    kind = np.float32 if np.array_equal(values, values.astype(np.float32)) else np.float64

    def equal(some: Floats, places: int) -> bool:
        return np.array_equal(np.round(some, places).astype(kind), some.astype(kind))

    few = values[:100]  # nearly always, these say so: what has more than the most places has more than fewer too
    if np.abs(few).max(initial=0) < LARGEST and not equal(few, PLACES):
        return None
    return next((p for p in range(PLACES + 1) if equal(few, p) and equal(values, p)), None)


def add_base(x: Floats, base: int) -> NDArray[np.int64]:
    """Whole numbers ``x + base``, exact, and within those of 64 bits."""
    total = x + float(base)
    whole = np.clip(x, -_WHOLE, _WHOLE).astype(np.int64)
    with np.errstate(over="ignore"):
        exact = whole + np.int64(base)
    limits = np.iinfo(np.int64)
    return np.where(total >= _WHOLE, limits.max, np.where(total <= -_WHOLE, limits.min, exact))


def whole_array(whole: NDArray[np.int64], blank: Mask, kind: Any) -> Any:
    """An Arrow array ``(n,)`` of whole numbers or times, null where blank."""
    if pa.types.is_temporal(kind) and kind.bit_width == 32:
        return pa.array(whole.clip(-(2**31), 2**31 - 1).astype(np.int32), mask=blank).cast(kind)
    if pa.types.is_integer(kind):
        limits = np.iinfo(kind.to_pandas_dtype())
        whole = np.clip(whole, max(limits.min, -(2**63)), min(limits.max, 2**63 - 1))
    return pa.array(whole, mask=blank).cast(kind)


def number_array(x: Floats, blank: Mask, kind: Any, places: int | None = None) -> Any:
    """An Arrow array ``(n,)`` of numbers, null where blank, rounded to some decimal places."""
    x = x if places is None else np.round(x, places)
    if pa.types.is_decimal(kind):
        x = np.round(x, kind.scale)
    elif pa.types.is_integer(kind):
        limits = np.iinfo(kind.to_pandas_dtype())
        x = np.clip(np.rint(x), float(limits.min), np.nextafter(float(limits.max), 0))
    return pa.array(x, mask=blank).cast(kind, safe=False)
