"""What one column is: number, category, time …, and what to say about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from narrows.data.columns import (
    Column,
    Mask,
    as_categories,
    blank_cells,
    check_finite,
    numbers,
    relative_to,
    times,
)
from narrows.data.frames import Cells, Name, column_name
from narrows.data.scaling import HEAVY, HEAVY_ARRAY, Affine, fit_scaler
from narrows.errors import InvalidData, InvalidParameter

#: More pooled categories than this are not listed in the format.
LISTED = 10_000


@dataclass(frozen=True)
class Choice:
    """What is asked of a column.

    Attributes:
        options: The `Table` part.
        domain: What the likelihood can describe; None to let the data choose.
        category: Whether the column was named as a category.
        named: Whether the table's columns have names.
    """

    options: Any
    domain: str | None
    category: bool
    named: bool


def fit_column(name: Name, cells: Cells, native: str, choice: Choice) -> tuple[Column, list[str]]:
    """Fit one column.

    Args:
        name: Its name or position.
        cells: Its raw cells.
        native: The container's name of its type.
        choice: What is asked of it.

    Returns:
        The column, and notes in words.
    """
    blank = blank_cells(cells)
    share = float(blank.mean())
    kind = pa.from_numpy_dtype(cells.dtype) if isinstance(cells, np.ndarray) else cells.type
    if share == 1.0:
        return Column(name, "blank", str(kind), native, blanks=1.0), [
            "blank in every row: not modelled, comes back blank"
        ]
    start = Column(name, "number", str(kind), native, blanks=share)
    if _is_category(cells, kind, blank, choice):
        return _fit_category(start, cells, kind, blank, choice)
    if pa.types.is_temporal(kind):
        return _fit_numbers(start, times(cells), blank, "datetime", choice)
    values = numbers(cells)
    if values is None:
        raise InvalidData(f"{column_name(name)} holds {kind} cells, which cannot be read: leave it out or convert it")
    if values.dtype.kind == "b":
        if choice.domain in (None, "indices"):
            return _changed(start, kind="boolean"), []
        return _fit_numbers(start, values.astype(np.float64), blank, "boolean", choice)
    check_finite(values, name)
    whole = pa.types.is_integer(kind) and values.max() <= np.iinfo(np.int64).max
    # pandas has no other way to write whole numbers with blanks, and its files (read by Arrow) look like that too
    theirs = native == "float64" or (not native and pa.types.is_float64(kind) and not isinstance(cells, np.ndarray))
    whole = whole or (theirs and share > 0 and _all_whole(values[~blank]))
    return _fit_numbers(start, values, blank, "integer" if whole else "number", choice)


def _all_whole(values: NDArray[Any]) -> bool:
    return bool((values == np.rint(values)).all() and np.abs(values).max() < 2**53)


def _is_category(cells: Cells, kind: Any, blank: Mask, choice: Choice) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    if choice.category or pa.types.is_string_view(kind):
        return True
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return False
    if choice.domain == "indices":
        return True
    limit = choice.options.integer_categories
    if choice.domain is not None or not limit or not pa.types.is_integer(kind):
        return False
    values = numbers(cells)
    return values is not None and len(np.unique(values[~blank])) <= limit


# --- numbers and times -----------------------------------------------------------------------------------------


def _fit_numbers(
    start: Column, values: NDArray[Any], blank: Mask, kind: str, choice: Choice
) -> tuple[Column, list[str]]:
    given = values[~blank]
    base = 0
    whole = kind in ("integer", "datetime")
    step = _step(given, start.type) if kind == "datetime" else 1
    if whole:
        base = (int(given.min()) + int(given.max())) // 2 // step * step
    relative = relative_to(given, base)
    notes: list[str] = []
    scaling = choice.options.scaling
    if choice.domain in ("unit", "binary"):
        if scaling == "none" and not (given.min() >= 0 and given.max() <= 1):
            raise InvalidData(f"{column_name(start.name)}: scaling='none' and this likelihood need values from 0 to 1")
        scaling = "none" if scaling == "none" else "minmax"
    elif choice.domain == "counts":
        _check_counts(start.name, given)
        base, relative, scaling = 0, relative_to(given, 0), "none"
    elif choice.domain == "indices":
        raise InvalidParameter(f"{column_name(start.name)} holds times, which Categorical cannot describe")
    scaler, note = fit_scaler(relative, scaling, HEAVY if choice.named else HEAVY_ARRAY)
    if scaler.kind == "constant":
        # what other values would be far from it is known from its own size alone
        scaler = Affine("constant", float(relative[0]), max(abs(float(given[0])), 1.0))
    low, high = (int(v) - base if whole else float(v) for v in (given.min(), given.max()))
    if note is not None:
        notes.append(note)
    if low == high:
        notes.append("constant: nothing to learn, comes back as it is")
    column = _changed(start, kind=kind, base=base, step=step, low=low, high=high, scaler=scaler)
    return column, notes


def _step(ticks: NDArray[Any], type_name: str) -> int:
    """The longest of day, hour, minute, second and millisecond that all times are multiples of, in ticks."""
    unit = re.search(r"\[(s|ms|us|ns)\b", type_name)
    if unit is None:
        return 1
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit[1]]
    lengths = (86400 * second, 3600 * second, 60 * second, second, second // 1000)
    return next((n for n in lengths if n > 1 and not (ticks % n).any()), 1)


def _check_counts(name: Name, given: NDArray[Any]) -> None:
    wrong = (given < 0) | (given != np.rint(given))
    if wrong.any():
        raise InvalidData(
            f"{column_name(name)} holds {given[wrong][0]}, which is not a count (0, 1, 2, …) as Poisson needs: "
            "choose another likelihood, for instance Gaussian()"
        )


# --- categories ------------------------------------------------------------------------------------------------


def _fit_category(start: Column, cells: Cells, kind: Any, blank: Mask, choice: Choice) -> tuple[Column, list[str]]:
    if pa.types.is_floating(kind) and not choice.category:
        _check_whole(start.name, cells, blank, choice)
    indices, texts = as_categories(cells)
    counts = np.bincount(indices[~blank], minlength=len(texts))
    declared = pa.types.is_dictionary(kind)
    order = [i for i in range(len(texts)) if counts[i] > 0]
    if not declared:
        order.sort(key=_sort_key(texts, kind))
    keep, pooled = _pool(order, counts, choice)
    column = _changed(
        start,
        kind="category",
        categories=tuple(texts[i] for i in keep),
        levels=tuple(texts) if declared else (),
    )
    if not pooled:
        if len(keep) == 1:
            return column, ["constant: nothing to learn, comes back as it is"]
        return column, []
    value_type = kind.value_type if declared else kind
    most = texts[max(pooled, key=lambda i: counts[i])]
    is_text = (
        pa.types.is_string(value_type) or pa.types.is_large_string(value_type) or pa.types.is_string_view(value_type)
    )
    other = _other(texts) if is_text and not declared else most
    listed = tuple(texts[i] for i in pooled) if len(pooled) <= LISTED else None
    column = _changed(column, other=other, pooled=listed)
    return column, [_pooling_note(counts, keep, pooled, other)]


def _check_whole(name: Name, cells: Cells, blank: Mask, choice: Choice) -> None:
    values = numbers(cells)
    assert values is not None
    check_finite(values, name)
    distinct = np.unique(values[~blank])
    if (distinct != np.rint(distinct)).any() and len(distinct) > choice.options.max_categories:
        raise InvalidParameter(
            f"{column_name(name)} holds {len(distinct)} different numbers, which Categorical cannot describe: "
            "use Gaussian() for it, or Mixed(columns=…) for the table"
        )


def _sort_key(texts: list[str], kind: Any) -> Any:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return lambda i: float(texts[i])
    return lambda i: texts[i]


def _pool(order: list[int], counts: NDArray[Any], choice: Choice) -> tuple[list[int], list[int]]:
    """The categories kept and those pooled, both in their order."""
    options = choice.options
    kept = {i for i in order if counts[i] >= options.min_count}
    if len(kept) + (len(kept) < len(order)) > options.max_categories:
        # a category seen once teaches nothing that "other" does not
        ranked = sorted((i for i in order if counts[i] >= max(2, options.min_count)), key=lambda i: -counts[i])
        kept = set(ranked[: options.max_categories - 1])
    pooled = [i for i in order if i not in kept]
    return [i for i in order if i in kept], pooled


def _other(texts: list[str]) -> str:
    taken = set(texts)
    other = "other"
    while other in taken:
        other = f"{other} (pooled)"
    return other


def _pooling_note(counts: NDArray[Any], keep: list[int], pooled: list[int], other: str) -> str:
    distinct, cells = len(keep) + len(pooled), int(counts.sum())
    if distinct > 0.9 * cells:
        return (
            f"{distinct} distinct values in {cells} cells: looks like an identifier or free text; "
            f"values seen once come back as {other!r}. Leave the column out if it means nothing"
        )
    share = counts[pooled].sum() / cells
    return f"{distinct} categories: the {len(pooled)} rarest ({share:.1%} of the cells) are pooled into {other!r}"


# --- words -----------------------------------------------------------------------------------------------------


def in_words(names: Sequence[Name]) -> str:
    """Columns named in a message; many are counted."""
    shown = ", ".join(repr(n) for n in names[:5])
    if len(names) == 1:
        return f"column {shown}"
    return f"columns {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _changed(column: Column, **changes: Any) -> Column:
    return Column(**{**column.__dict__, **changes})
