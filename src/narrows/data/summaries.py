"""Columns fitted piece by piece: the same format as from all cells at once, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from narrows.data.fitting import (
    Choice,
    all_whole,
    category_column,
    changed,
    check_counts,
    check_whole,
    number_column,
    other_name,
    step_lengths,
)
from narrows.data.frames import Cells, Name, column_name, open_table
from narrows.data.moments import Moments, fit_scaler_to
from narrows.data.scaling import HEAVY, Scaler
from narrows.data.table import Table, TableFormat, assemble, domains
from narrows.errors import InvalidData

#: Distinct values counted per column; beyond it those seen once are forgotten whenever the count is reached.
DISTINCT = 200_000


class Summary:
    """What one column of a long table has shown so far.

    Args:
        name: Its name.
        kind: Arrow's type of its cells.
        choice: What is asked of it.
    """

    def __init__(self, name: Name, kind: Any, choice: Choice) -> None:
        self.name, self.kind, self.choice = name, kind, choice
        self.rows = self.blanks = 0
        self.moments = Moments()
        self.base: int | None = None
        self.ends: tuple[Any, Any] | None = None
        self.whole = True
        self.places: int | None = 0
        self.lengths = step_lengths(str(kind))
        self.counts: Counter[str] = Counter()
        self.levels: list[str] = []
        self.forgotten = False
        types = pa.types
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        self.plain = text or types.is_dictionary(kind) or choice.category
        timed = types.is_temporal(kind) or types.is_boolean(kind)
        self.plain = self.plain or (choice.domain == "indices" and not timed)
        limit = choice.options.integer_categories
        # whole numbers are categories while they are few: counted until they are not
        self.few = bool(limit) and choice.domain is None and types.is_integer(kind)

    def add(self, cells: Cells) -> None:
        """Add cells ``(n,)``.

        Raises:
            InvalidData: If a number is infinite, or the cells are of a type that cannot be read.
        """
        blank = blank_cells(cells)
        self.rows += len(blank)
        self.blanks += int(blank.sum())
        if blank.all():
            return
        if self.plain or self.few:
            self._count(cells, blank)
        if not self.plain:
            self._measure(cells, blank)

    def _count(self, cells: Cells, blank: Mask) -> None:
        indices, texts = as_categories(cells)
        if pa.types.is_dictionary(self.kind):
            self.levels = list(dict.fromkeys([*self.levels, *texts]))
        counts = np.bincount(indices[~blank], minlength=len(texts))
        self.counts.update({t: int(n) for t, n in zip(texts, counts, strict=True) if n})
        if self.few and len(self.counts) > self.choice.options.integer_categories:
            self.few = False
            self.counts.clear()
        if len(self.counts) > DISTINCT:
            self.forgotten = True
            self.counts = Counter({t: n for t, n in self.counts.items() if n > 1})
            if len(self.counts) > DISTINCT:
                self.counts = Counter(dict(self.counts.most_common(DISTINCT // 2)))

    def _measure(self, cells: Cells, blank: Mask) -> None:
        given = self._values(cells)[~blank]
        low, high = given.min(), given.max()
        self.ends = (low, high) if self.ends is None else (min(self.ends[0], low), max(self.ends[1], high))
        if pa.types.is_temporal(self.kind):
            self.lengths = tuple(n for n in self.lengths if n > 1 and not (given % n).any())
        elif given.dtype.kind == "f":
            self.whole = self.whole and all_whole(given)
            found = decimal_places(given) if self.places is not None else None
            self.places = None if found is None or self.places is None else max(self.places, found)
        if self.choice.domain == "counts":
            check_counts(self.name, given)
        if self.base is None:
            # near zero, large whole numbers and times lose nothing in float64
            self.base = int(low) if given.dtype.kind in "iu" else 0
        self.moments.add(relative_to(given, self.base))

    def _values(self, cells: Cells) -> NDArray[Any]:
        if pa.types.is_temporal(self.kind):
            return times(cells)
        values = numbers(cells)
        if values is None:
            raise InvalidData(
                f"{column_name(self.name)} holds {self.kind} cells, which cannot be read: leave it out or convert it"
            )
        check_finite(values, self.name)
        return values.astype(np.float64) if values.dtype.kind == "b" else values

    # --- the column ------------------------------------------------------------------------------------------

    def column(self, sample: Cells) -> tuple[Column, list[str]]:
        """The fitted column.

        Args:
            sample: Some of its cells, for quantiles; all of them when they are as many as were added.

        Returns:
            The column, and notes in words.
        """
        start = Column(self.name, "number", str(self.kind), "", blanks=self.blanks / self.rows)
        if self.blanks == self.rows:
            return changed(start, kind="blank"), ["blank in every row: not modelled, comes back blank"]
        if self.plain or self.few:
            return self._category(start)
        if pa.types.is_boolean(self.kind) and self.choice.domain in (None, "indices"):
            return changed(start, kind="boolean"), []
        return self._numbers(start, sample)

    def _category(self, start: Column) -> tuple[Column, list[str]]:
        if self.forgotten:  # those seen once are some of many
            self.counts = Counter({t: n for t, n in self.counts.items() if n > 1} or self.counts)
        texts = self.levels or sorted(self.counts)
        if pa.types.is_floating(self.kind) and not self.choice.category:
            check_whole(self.name, np.array([float(t) for t in texts]), self.choice)
        counts = np.array([self.counts[t] for t in texts], dtype=np.int64)
        column, notes = category_column(start, texts, counts, self.kind, self.choice)
        if self.forgotten:
            # what was forgotten cannot be listed, so everything that is not kept counts as pooled
            pool = (
                other_name(texts) if pa.types.is_string(self.kind) else max(self.counts, key=lambda t: self.counts[t])
            )
            column = changed(column, pooled=None, other=column.other or pool)
            notes = [f"more than {DISTINCT:,} distinct values: only the most common were counted", *notes]
        return column, notes

    def _numbers(self, start: Column, sample: Cells) -> tuple[Column, list[str]]:
        assert self.ends is not None
        assert self.base is not None
        types, base, moments = pa.types, self.base, self.moments
        given = self._values(sample)[~blank_cells(sample)]

        def fit(to: int, scaling: str) -> tuple[Scaler, str | None]:
            return fit_scaler_to(moments.shifted(base - to), relative_to(given, to), scaling, HEAVY)

        whole = types.is_integer(self.kind) and self.ends[1] <= np.iinfo(np.int64).max
        whole = whole or (types.is_float64(self.kind) and self.blanks > 0 and self.whole)
        kind = "datetime" if types.is_temporal(self.kind) else "integer" if whole else "number"
        kind = "boolean" if types.is_boolean(self.kind) else kind
        start = changed(start, places=self.places if kind == "number" else None)
        step = next((n for n in self.lengths if n > 1), 1)
        return number_column(start, kind, step, self.ends, self.choice, fit)


class TableFitter:
    """Fits a table's format to pieces of it.

    Args:
        options: The `Table` part.
        schema: Names and Arrow types of the columns.
        notes: What is said of how the table is read.
        likelihood: The likelihood that the model will use; None to let the data choose.
    """

    def __init__(self, options: Table, schema: Any, notes: Sequence[str], likelihood: Any = None) -> None:
        options.check()
        options.check_names(schema.names)
        self.likelihood, self.notes = likelihood, list(notes)
        self.columns = [
            Summary(field.name, field.type, Choice(options, domain, field.name in options.categorical, True))
            for field, domain in zip(schema, domains(likelihood, schema.names), strict=True)
        ]

    def add(self, raw: Any) -> None:
        """Add rows, an Arrow table."""
        for column, cells in zip(self.columns, open_table(raw).cells, strict=True):
            column.add(cells)

    def finish(self, sample: Any) -> TableFormat:
        """The fitted format.

        Args:
            sample: Some of the rows, an Arrow table, for quantiles.

        Raises:
            InvalidData: If all cells are blank.
            InvalidParameter: If the likelihood cannot describe the columns.
        """
        if all(c.blanks == c.rows for c in self.columns):
            raise InvalidData("every cell of the table is blank (NaN, None or null): there is nothing to learn from")
        opened = open_table(sample)
        notes = {note: list[Name]() for note in [*opened.notes, *self.notes]}
        columns = []
        for summary, cells in zip(self.columns, opened.cells, strict=True):
            column, said = summary.column(cells)
            columns.append(column)
            for note in said:
                notes.setdefault(note, []).append(summary.name)
        return assemble(columns, notes, opened.container, True, self.likelihood)
