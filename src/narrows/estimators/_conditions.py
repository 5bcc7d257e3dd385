"""Conditions in words on the rows that are made: read, checked, and met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows._arrow import pa
from narrows.data.where import Both, Condition, Mask, Not, Truth, check, parse
from narrows.errors import InvalidData, InvalidParameter
from narrows.tasks._model_source import LABEL, ModelSource
from narrows.tasks.generate import Source, Wanted, generate_where


def read(where: Any, source: Source, categories: dict[str, list[str]]) -> Condition:
    """A condition, checked before any row is drawn.

    Args:
        where: What was given.
        source: What rows are drawn from.
        categories: The categories of every column that has some.

    Raises:
        InvalidParameter: If it cannot be read, or names what does not exist.
    """
    if not isinstance(where, str):
        raise InvalidParameter(f"where={where!r}: give text such as \"age > 40 AND sex = 'Female'\"")
    condition = parse(where)
    table = source.empty()
    kinds = dict(zip(table.column_names, table.schema.types, strict=True))
    # booleans are written in several ways, and say so themselves
    check(condition, kinds, {n: v for n, v in categories.items() if not pa.types.is_boolean(kinds[n])})
    return condition


def wanted(source: Source, count: int, condition: Condition, words: str) -> Wanted:
    """So many rows that meet a condition."""
    return Wanted(count, lambda arrays: condition.mask(source.arrow(arrays)), words)


def categories_of(format_: Any) -> dict[str, list[str]]:
    """The categories of every column of a table's format that has some, booleans among them."""
    found = {str(c.name): [*c.categories, *([c.other] if c.other else [])] for c in format_.columns if c.categories}
    return {**found, **{str(c.name): ["True", "False"] for c in format_.columns if c.kind == "boolean"}}


def sample_where(source: ModelSource, n: int, where: Any, seed: int) -> Any:
    """Rows of a model that meet a condition.

    Args:
        source: What they are drawn from.
        n: How many.
        where: The condition.
        seed: Equal seeds give equal rows.

    Returns:
        n rows, in the container of the training data.

    Raises:
        InvalidParameter: If the condition cannot be read, or names what does not exist.
        InvalidData: If no row that meets it is found.
    """
    table = len(source.module.layout.shape) == 1
    categories = categories_of(source.format) if table else {}
    known = source.empty().column_names
    if not known:
        parse(str(where))
        raise InvalidParameter(_no_labels(where))
    if source.labelled and LABEL not in categories:
        categories[LABEL] = [str(c) for c in source.classes]
    if isinstance(where, str) and not source.labelled and LABEL not in known and LABEL in parse(where).columns():
        raise InvalidParameter(_no_labels(where))
    condition = read(where, source, categories)
    if source.labelled and LABEL in condition.columns():
        # rows of other classes would be drawn in vain
        allowed = possible(condition, LABEL, source.labels)
        if np.dot(allowed, source.shares) == 0:
            raise InvalidData(f"where {where}: no row of any class meets this, whatever else it holds")
        source = source.restricted(allowed)
    return source.close(generate_where(source, [wanted(source, n, condition, where)], seed)[0])


@dataclass(frozen=True)
class _Unknown(Condition):
    """A condition that may be met or not."""

    def truth(self, table: Any) -> Truth:
        """In doubt for every row."""
        doubt = np.zeros(table.num_rows, dtype=bool)
        return doubt, doubt

    def columns(self) -> set[str]:
        """None."""
        return set()


def possible(condition: Condition, column: str, values: Any) -> Mask:
    """Which values of one column leave a condition open to be met, whatever the other columns hold.

    Args:
        condition: What was parsed.
        column: The column.
        values: ``(k,)`` Arrow array of its values.

    Returns:
        ``(k,)``.
    """
    return ~_blind(condition, column).truth(pa.table({column: values}))[1]


def _blind(condition: Condition, column: str) -> Condition:
    """The condition with everything but one column in doubt."""
    if isinstance(condition, Both):
        return Both(tuple(_blind(part, column) for part in condition.parts), condition.any)
    if isinstance(condition, Not):
        return Not(_blind(condition.part, column))
    return condition if condition.columns() == {column} else _Unknown()


def _no_labels(where: Any) -> str:
    return (
        f"where={where!r}: this model does not know what class a row is of: fit one that can be asked (GAN, Flow, …; "
        "an autoencoder whose prior knows classes: Mixture, LearnedMixture, Diffusion) with labels, fit(X, labels=…)"
    )
