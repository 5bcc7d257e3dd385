"""Tables: numbers, booleans, categories and times, with blanks, as rows of tensors and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.data.columns import LARGEST, Column, affine_parts, blank_cells
from narrows.data.fitting import Choice, fit_column, in_words, summary
from narrows.data.frames import Container, Name, Opened, check_shape, close_table, column_name, open_table, other_names
from narrows.errors import DataWarning, InvalidData, InvalidParameter, SavedModelError

_AT_ONCE = 1 << 20  # cells scaled at once


class Table(Part, room="formats"):
    """Options of how tables are read: what is a category, and how numbers are scaled.

    The likelihood's domain governs the scaling: "real" takes ``scaling``; "unit" and "binary" take the column's range
    to [0, 1] (later values beyond it are clipped); "counts" stays as it is.

    Args:
        max_categories: Categories kept per column, the pooled one included. Rarer ones are pooled into "other".
        min_count: Categories that occur less often than this are pooled too.
        integer_categories: Whole-number columns with at most this many distinct values are categories; 0 for never.
        categorical: Names of columns that are categories whatever they hold.
        scaling: "standard" (mean, standard deviation), "robust" (median, interquartile range / 1.349), "quantile"
            (to a normal), "minmax" (to [0, 1]), "none", or "auto": standard unless the column is heavy-tailed
            (excess kurtosis above 10, or 60 in plain arrays, the most common value set aside if it is more than half
            of the column).

    Example:
        ```python
        import numpy as np
        from narrows.data.table import Table

        fitted = Table(scaling="standard").fit(np.array([[0.0, 5.0], [2.0, 7.0]]))
        fitted.to_rows(np.array([[1.0, 7.0]])).values  # tensor([[0., 1.]])
        ```
    """

    max_categories: Annotated[int, Interval(2)] = 100
    min_count: Annotated[int, Interval(1)] = 1
    integer_categories: Annotated[int, Interval(0)] = 0
    categorical: tuple[str | int, ...] = ()
    scaling: Literal["auto", "standard", "robust", "quantile", "minmax", "none"] = "auto"

    def fit(self, raw: Any, likelihood: Any = None) -> TableFormat:
        """Learn columns, categories and scales.

        Args:
            raw: Array ``(n, d)`` or DataFrame (pandas, polars, pyarrow, or what narwhals reads). NaN, None, NaT and
                null are blanks.
            likelihood: The likelihood that the model will use; None to let the data choose.

        Returns:
            The fitted format.

        Raises:
            InvalidData: If there is nothing to learn from (no rows, no columns, only blanks), or a number is
                infinite.
            InvalidType: If cells are neither numbers, text nor times.
            InvalidParameter: If the likelihood cannot describe the columns.
        """
        self.check()
        opened = open_table(raw)
        names: Sequence[Name] = opened.names if opened.names is not None else range(len(opened.cells))
        self.check_names(names)
        if all(blank_cells(c).all() for c in opened.cells):
            raise InvalidData("every cell of the table is blank (NaN, None or null): there is nothing to learn from")
        columns, notes = [], {note: list[Name]() for note in opened.notes}
        for name, cells, native, domain in zip(names, opened.cells, opened.natives, domains(likelihood, names)):
            choice = Choice(self, domain, name in self.categorical, opened.names is not None)
            column, said = fit_column(name, cells, native, choice)
            columns.append(column)
            for note in said:
                notes.setdefault(note, []).append(name)
        return assemble(columns, notes, opened.container, opened.names is not None, likelihood)

    def check_names(self, names: Sequence[Name]) -> None:
        """Raise unless all columns that were named as categories are there."""
        missing = [c for c in self.categorical if c not in names]
        if missing:
            raise InvalidParameter(f"categorical={missing!r}: there is no such column among {list(names)!r}")


@dataclass(frozen=True)
class TableFormat:
    """A fitted table: raw tables to rows and back.

    Every column of the table is one column of ``Rows.values``. Numbers are scaled, categories and booleans are
    indices (booleans have two; under a likelihood of numbers they are the numbers 0 and 1), times are numbers, blanks
    are 0 and not observed. Constant columns are 0 and come back exactly; columns that were blank throughout come
    back blank.

    Precision: whole numbers and times are taken from the middle of their range, exactly, and divided in float64
    before they become float32, so they come back within 6·10⁻⁸ of the column's range: whole numbers exactly when
    they span less than 8 million, timestamps over a year to 2 s, over a day to 5 ms. Times that
    were all whole seconds, minutes, hours or days are rounded to such. Numbers come back within the same
    fraction of the range.

    Attributes:
        columns: The fitted columns.
        container: What kind of table was given; the same kind comes back.
        named: Whether columns have names, which later tables are matched by.
        given: The likelihood that was asked for, or None.
        notes: What was chosen, and why.
    """

    columns: tuple[Column, ...]
    container: Container
    named: bool
    given: Any
    notes: tuple[str, ...]

    @cached_property
    def layout(self) -> Layout:
        """What a row looks like: ``shape`` (d,), categories per column, scaled ranges, whether blanks occur."""
        widths = tuple(c.width for c in self.columns)
        ranges = [c.scaled_range for c in self.columns]
        return Layout(
            shape=(len(self.columns),),
            categories=widths if any(widths) else None,
            low=tuple(r[0] for r in ranges),
            high=tuple(r[1] for r in ranges),
            blanks=tuple(c.blanks > 0 for c in self.columns),
        )

    @property
    def reasons(self) -> list[str]:
        """In words, what was chosen and why, and what was pooled or left out."""
        return list(self.notes)

    @property
    def n_features(self) -> int:
        """How many columns the table has."""
        return len(self.columns)

    @property
    def feature_names(self) -> list[str] | None:
        """The columns' names; None for arrays and for names that are not text."""
        names = [c.name for c in self.columns]
        return [str(n) for n in names] if self.named and all(isinstance(n, str) for n in names) else None

    def likelihood(self) -> Any:
        """The likelihood asked for, else the one that suits the data: Gaussian numbers, categorical categories."""
        if self.given is not None:
            return self.given
        from narrows import likelihoods

        widths = [c.width for c in self.columns]
        if not any(widths):
            return likelihoods.Gaussian()
        if all(widths):
            return likelihoods.Categorical()
        number, category = likelihoods.Gaussian(), likelihoods.Categorical()
        return likelihoods.Mixed(columns=tuple(category if k else number for k in widths))

    # --- raw to rows -----------------------------------------------------------------------------------------

    def to_rows(self, raw: Any, owner: str = "TableFormat", warn: bool = True) -> Rows:
        """Rows of a raw table.

        Args:
            raw: A table with the columns that were fitted: any container; named columns in any order.
            owner: Who expects the columns, for messages.
            warn: Whether to warn of categories that were never seen, which are read as blank.

        Returns:
            ``n`` rows: values ``(n, d)`` float32, and which are observed ``(n, d)``, None when no cell is blank.

        Raises:
            InvalidData: If columns are missing, new or of another kind, or a number is infinite.
            InvalidType: If cells are neither numbers, text nor times.
        """
        fast = self._fast_rows(raw, owner)
        return self.read(raw, owner, warn)[0] if fast is None else fast

    def read(self, raw: Any, owner: str = "TableFormat", warn: bool = False) -> tuple[Rows, Tensor]:
        """Rows of a raw table, and which of their cells hold what no training cell of their column did.

        Args:
            raw: A table, as for `to_rows`.
            owner: Who expects the columns, for messages.
            warn: Whether to warn of categories that were never seen.

        Returns:
            The rows, and ``(n, d)`` booleans: a new category, another constant. Numbers beyond the training range are
            not among them: they have an order, and are strange by degrees.
        """
        fast = self._fast_rows(raw, owner)
        if fast is not None:
            moved = torch.tensor([c.constant for c in self.columns]) & (fast.values != torch.tensor(self.layout.low))
            return fast, moved if fast.observed is None else moved & fast.observed
        opened = open_table(raw)
        cells = self._match(opened, owner)
        values = np.zeros((opened.rows, len(cells)), dtype=np.float32)
        blank, novel = np.zeros(values.shape, dtype=bool), np.zeros(values.shape, dtype=bool)
        for j, (column, cell) in enumerate(zip(self.columns, cells, strict=True)):
            values[:, j], blank[:, j], unseen = column.encode(cell)
            if unseen:
                novel[:, j] = blank[:, j] & ~blank_cells(cell)
                if warn:
                    _warn_unseen(column, cell, unseen, novel[:, j])
            if column.constant and column.scaler is not None:
                novel[:, j] = ~blank[:, j] & (values[:, j] != column.scaled_range[0])
        rows = Rows(torch.from_numpy(values), torch.from_numpy(~blank) if blank.any() else None)
        return rows, torch.from_numpy(novel)

    def _fast_rows(self, raw: Any, owner: str) -> Rows | None:
        """The whole matrix at once, when all columns are floats on straight lines."""
        if self._lines is None or not isinstance(raw, np.ndarray) or raw.dtype.kind not in "biuf":
            return None
        check_shape(raw.shape)
        self._check_width(raw.shape[1], owner)
        centre, scale = self._lines
        values = np.empty(raw.shape, dtype=np.float32)
        step = max(1, _AT_ONCE // raw.shape[1])
        for start in range(0, len(raw), step):  # block by block, so that no float64 copy of all the data is made
            x = np.asarray(raw[start : start + step], dtype=np.float64)
            if np.fmax.reduce(x, axis=None) > LARGEST or np.fmin.reduce(x, axis=None) < -LARGEST:
                return None  # column by column, to name the cell
            np.divide(x - centre, scale, out=values[start : start + step], casting="same_kind")
        observed = ~np.isnan(values)
        if observed.all():
            return Rows(torch.from_numpy(values))
        values[~observed] = 0.0
        return Rows(torch.from_numpy(values), torch.from_numpy(observed))

    @cached_property
    def _lines(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        parts = [affine_parts(c) for c in self.columns]
        if self.named or any(p is None for p in parts):
            return None
        lines = np.array(parts, dtype=np.float64)
        return lines[:, 0], lines[:, 1]

    def _check_width(self, width: int, owner: str) -> None:
        if width != len(self.columns):
            raise InvalidData(
                f"X has {width} features, but {owner} is expecting {len(self.columns)} features as input: "
                "pass as many columns as in fit, in the same order"
            )

    def _match(self, opened: Opened, owner: str) -> list[Any]:
        """The columns in the order of fitting: by name where there are names, by position otherwise."""
        if opened.names is None or not self.named:
            self._check_width(len(opened.cells), owner)
            return opened.cells
        wanted = [c.name for c in self.columns]
        place = {n: i for i, n in enumerate(opened.names)}
        if set(place) != set(wanted):
            # a table saved and read again may have its whole-number names as text
            texts = {str(n): i for n, i in place.items()}
            if set(texts) != {str(n) for n in wanted}:
                raise other_names(wanted, opened.names)
            return [opened.cells[texts[str(n)]] for n in wanted]
        return [opened.cells[place[n]] for n in wanted]

    # --- rows to raw -----------------------------------------------------------------------------------------

    def from_values(
        self, values: Tensor, observed: Tensor | None = None, *, clip: bool = True, like: Any = None
    ) -> Any:
        """A raw table of scaled values: the same kind of container, names and types as was fitted.

        Args:
            values: ``(n, d)`` (or ``(…, d)``, flattened to rows for DataFrames) in scaled units; categories are
                indices, rounded to the nearest.
            observed: Like ``values``, false where a cell is to come back blank; None for no blanks. NaN comes back
                blank, too.
            clip: Whether to keep every column within the range seen in training.
            like: A pandas DataFrame whose index is taken over.

        Returns:
            The table.

        Raises:
            InvalidData: If the width is wrong.
        """
        z = values.detach().to("cpu", torch.float64).numpy()
        if z.ndim == 0 or z.shape[-1] != len(self.columns):
            raise InvalidData(f"values of shape {z.shape} for a table of {len(self.columns)} columns")
        flat = z.reshape(-1, z.shape[-1])
        blank = np.zeros(flat.shape, bool) if observed is None else ~observed.cpu().numpy().reshape(flat.shape)
        arrays = [c.decode(flat[:, j], blank[:, j], clip) for j, c in enumerate(self.columns)]
        names = [c.name for c in self.columns] if self.named else None
        result = close_table(self.container, arrays, names, [c.native for c in self.columns], like)
        return result.reshape(z.shape) if isinstance(result, np.ndarray) else result

    # --- for people and files --------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """One entry per column: name, kind, share of blanks, whether constant, scaling, range, categories."""
        return [c.describe() for c in self.columns]

    def to_config(self) -> dict[str, Any]:
        """The format as plain JSON, exactly."""
        return {
            "format": "table",
            "container": {"kind": self.container.kind, "dtype": self.container.dtype},
            "named": self.named,
            "likelihood": None if self.given is None else self.given.to_config(),
            "columns": [c.to_config() for c in self.columns],
            "reasons": list(self.notes),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableFormat:
        """The format that ``to_config`` described.

        Raises:
            SavedModelError: If the description is damaged.
        """
        from narrows import likelihoods  # noqa: F401  (registers the parts that the file may name)

        try:
            given = config["likelihood"]
            return cls(
                columns=tuple(Column.from_config(c) for c in config["columns"]),
                container=Container(str(config["container"]["kind"]), str(config["container"]["dtype"])),
                named=bool(config["named"]),
                given=None if given is None else Part.from_config(given),
                notes=tuple(map(str, config["reasons"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedModelError(f"the saved table format is damaged: {error!r}") from error


def assemble(
    columns: Sequence[Column], notes: Mapping[str, Sequence[Name]], container: Container, named: bool, likelihood: Any
) -> TableFormat:
    """A table's format from its fitted columns.

    Args:
        columns: In their order.
        notes: What is said, and of which columns; of none when it is said of the table.
        container: What kind of table was given.
        named: Whether its columns have names.
        likelihood: The likelihood that was asked for, or None.
    """
    blank = [c.name for c in columns if c.kind == "blank"]
    if blank:
        warnings.warn(f"{in_words(blank)}: blank in every row, comes back blank", DataWarning, stacklevel=3)
    fitted = TableFormat(tuple(columns), container, named, likelihood, ())
    if likelihood is not None:
        likelihood.check_layout(fitted.layout)
    words = [
        *summary(fitted.columns, likelihood),
        *(f"{in_words(who)}: {note}" if who else note for note, who in notes.items()),
    ]
    return replace(fitted, notes=tuple(words))


def domains(likelihood: Any, names: Sequence[Name]) -> list[str | None]:
    """What each column's likelihood can describe; None to let the data choose."""
    if likelihood is None:
        return [None] * len(names)
    if likelihood.domain != "mixed":
        return [likelihood.domain] * len(names)
    if len(likelihood.columns) != len(names):
        raise InvalidParameter(
            f"Mixed has {len(likelihood.columns)} likelihoods for a table of {len(names)} columns: give one per column"
        )
    return [part.domain for part in likelihood.columns]


def _warn_unseen(column: Column, cell: Any, unseen: int, novel: Any) -> None:
    if column.kind == "blank":
        warnings.warn(
            f"{column_name(column.name)} was blank in every row when fitted: {unseen} values are treated as blank",
            DataWarning,
            stacklevel=5,
        )
        return
    shown = [cell[int(i)] for i in np.flatnonzero(novel)[:200]]
    texts = list(dict.fromkeys(str(v) for v in shown))[:3]
    warnings.warn(
        f"{column_name(column.name)}: "
        + (f"{unseen} cells hold categories" if unseen > 1 else "1 cell holds a category")
        + f" unseen in training (such as {', '.join(map(repr, texts))}), treated as blank",
        DataWarning,
        stacklevel=5,
    )
