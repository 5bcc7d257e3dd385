"""What one column is: number, category, time …, and what to say about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa
from narrows.data.cells import decimal_places
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
from narrows.data.scaling import HEAVY, HEAVY_ARRAY, Affine, Scaler, fit_scaler
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
            return changed(start, kind="boolean"), []
        return _fit_numbers(start, values.astype(np.float64), blank, "boolean", choice)
    check_finite(values, name)
    whole = pa.types.is_integer(kind) and values.max() <= np.iinfo(np.int64).max
    # pandas has no other way to write whole numbers with blanks, and its files (read by Arrow) look like that too
    theirs = native == "float64" or (not native and pa.types.is_float64(kind) and not isinstance(cells, np.ndarray))
    whole = whole or (theirs and share > 0 and all_whole(values[~blank]))
    return _fit_numbers(start, values, blank, "integer" if whole else "number", choice)


def all_whole(values: NDArray[Any]) -> bool:
    """Whether all of some numbers are whole, and small enough for float64 to say so."""
    return bool((values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**53)


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
    step = longest_step(given, step_lengths(start.type)) if kind == "datetime" else 1
    if choice.domain == "counts":
        check_counts(start.name, given)
    if kind == "number":
        start = changed(start, places=decimal_places(given.astype(np.float64)))

    def fit(base: int, scaling: str) -> tuple[Scaler, str | None]:
        return fit_scaler(relative_to(given, base), scaling, HEAVY if choice.named else HEAVY_ARRAY)

    return number_column(start, kind, step, (given.min(), given.max()), choice, fit)


def number_column(
    start: Column,
    kind: str,
    step: int,
    ends: tuple[Any, Any],
    choice: Choice,
    fit: Callable[[int, str], tuple[Scaler, str | None]],
) -> tuple[Column, list[str]]:
    """A column of numbers or times, however its scaler is found.

    Args:
        start: Name, type and blanks.
        kind: "number", "integer", "boolean" or "datetime".
        step: What times are multiples of.
        ends: Smallest and largest value.
        choice: What is asked of the column.
        fit: The scaler of all values less a base, given the base and the scaling.

    Returns:
        The column, and notes in words.
    """
    whole = kind in ("integer", "datetime")
    base = (int(ends[0]) + int(ends[1])) // 2 // step * step if whole else 0
    scaling = choice.options.scaling
    if choice.domain in ("unit", "binary"):
        if scaling == "none" and not (ends[0] >= 0 and ends[1] <= 1):
            raise InvalidData(f"{column_name(start.name)}: scaling='none' and this likelihood need values from 0 to 1")
        scaling = "none" if scaling == "none" else "minmax"
    elif choice.domain == "counts":
        base, scaling = 0, "none"
    elif choice.domain == "indices":
        raise InvalidParameter(f"{column_name(start.name)} holds times, which Categorical cannot describe")
    scaler, note = fit(base, scaling)
    low, high = (int(v) - base if whole else float(v) for v in ends)
    if scaler.kind == "constant":
        # what other values would be far from it is known from its own size alone
        scaler = Affine("constant", float(low), max(abs(float(ends[0])), 1.0))
    notes = [] if note is None else [note]
    if low == high:
        notes.append("constant: nothing to learn, comes back as it is")
    return changed(start, kind=kind, base=base, step=step, low=low, high=high, scaler=scaler), notes


def step_lengths(type_name: str) -> tuple[int, ...]:
    """Day, hour, minute, second and millisecond in ticks of a type of time."""
    unit = re.search(r"\[(s|ms|us|ns)\b", type_name)
    if unit is None:
        return ()
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit[1]]
    return (86400 * second, 3600 * second, 60 * second, second, second // 1000)


def longest_step(ticks: NDArray[Any], lengths: Sequence[int]) -> int:
    """The longest of some lengths that all times are multiples of, in ticks; else 1."""
    return next((n for n in lengths if n > 1 and not (ticks % n).any()), 1)


def check_counts(name: Name, given: NDArray[Any]) -> None:
    """Raise unless all of some numbers are counts."""
    wrong = (given < 0) | (given != np.rint(given))
    if wrong.any():
        raise InvalidData(
            f"{column_name(name)} holds {given[wrong][0]}, which is not a count (0, 1, 2, …) as Poisson needs: "
            "choose another likelihood, for instance Gaussian()"
        )


# --- categories ------------------------------------------------------------------------------------------------


def _fit_category(start: Column, cells: Cells, kind: Any, blank: Mask, choice: Choice) -> tuple[Column, list[str]]:
    if pa.types.is_floating(kind) and not choice.category:
        values = numbers(cells)
        assert values is not None
        check_finite(values, start.name)
        check_whole(start.name, np.unique(values[~blank]), choice)
    indices, texts = as_categories(cells)
    return category_column(start, texts, np.bincount(indices[~blank], minlength=len(texts)), kind, choice)


def category_column(
    start: Column, texts: list[str], counts: NDArray[Any], kind: Any, choice: Choice
) -> tuple[Column, list[str]]:
    """A column of categories from how often each occurs.

    Args:
        start: Name, type and blanks.
        texts: The distinct values, as text; those that the type declares, in its order.
        counts: ``(len(texts),)`` how many cells hold each.
        kind: Arrow's type of the cells.
        choice: What is asked of the column.

    Returns:
        The column, and notes in words.
    """
    declared = pa.types.is_dictionary(kind)
    order = [i for i in range(len(texts)) if counts[i] > 0]
    if not declared:
        order.sort(key=_sort_key(texts, kind))
    keep, pooled = _pool(order, counts, choice)
    column = changed(
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
    other = other_name(texts) if is_text and not declared else most
    listed = tuple(texts[i] for i in pooled) if len(pooled) <= LISTED else None
    column = changed(column, other=other, pooled=listed, likely=most)
    return column, [_pooling_note(counts, keep, pooled, other)]


def check_whole(name: Name, distinct: NDArray[Any], choice: Choice) -> None:
    """Raise when a column's distinct numbers ``(k,)`` are too many and too fine to be categories."""
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


def other_name(texts: Sequence[str]) -> str:
    """What pooled categories are called: "other", or a name that none of the texts has."""
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


def summary(columns: Sequence[Column], likelihood: Any) -> list[str]:
    """What a table is, and the likelihood that suits it where none was asked for."""
    kinds = [c.kind for c in columns]
    plural = {"category": "categories", "datetime": "times", "blank": "blank"}
    single = {"datetime": "time"}
    counted = [
        f"1 {single.get(k, k)}" if kinds.count(k) == 1 else f"{kinds.count(k)} {plural.get(k, k + 's')}"
        for k in dict.fromkeys(kinds)
    ]
    width = len(kinds)
    words = [f"{width} column{'s' if width > 1 else ''}: {', '.join(counted)}"]
    blanks = [c.name for c in columns if 0 < c.blanks < 1]
    if blanks:
        words.append(f"{in_words(blanks)}: some cells are blank; the model neither sees nor is judged by them")
    if likelihood is None:
        widths = [c.width for c in columns]
        if not any(widths):
            words.append("Gaussian likelihood: all columns are numbers")
        elif all(widths):
            words.append("categorical likelihood: all columns are categories")
        else:
            words.append("mixed likelihood: Gaussian for numbers and times, categorical for categories and booleans")
    return words


def in_words(names: Sequence[Name]) -> str:
    """Columns named in a message; many are counted."""
    shown = ", ".join(repr(n) for n in names[:5])
    if len(names) == 1:
        return f"column {shown}"
    return f"columns {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def changed(column: Column, **changes: Any) -> Column:
    """A copy of a column with some fields changed."""
    return Column(**{**column.__dict__, **changes})
