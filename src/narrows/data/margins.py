"""Margins: every column of a table as what a generator can model, and exactly back.

A column of numbers may have blanks, values that many rows share (0 capital gain, 40 hours), and a rest that varies.
The model sees it as a *state* (a category: blank, which shared value, or "varies") beside a *rest*, a standard normal
score that is blank where the state says all. Going back, scores pass through the column's own quantiles, so ranges,
whole numbers, decimals and ties are those of the data. Categories keep their own states; rare ones are one state
between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from narrows._arrow import pa
from narrows.data.cells import decimal_places
from narrows.data.columns import Column
from narrows.data.fitting import summary
from narrows.data.frames import Name, close_table, open_table
from narrows.data.table import Table, TableFormat
from narrows.errors import SavedModelError

Floats = NDArray[np.float64]

SHARED = 0.05  # share of a column's cells above which one value is a state of its own
FEW = 20  # a column of at most as many distinct values has states only
MOST_STATES = 80  # rarer categories are one state between them
KNOTS = 2000  # distinct values, or quantiles, kept per column
_EDGE = 1e-6


@dataclass(frozen=True)
class Margin:
    """One column's margin.

    Attributes:
        states: Values (scaled by nothing, less the column's base; indices for categories) that are states.
        blank: Whether blank is a state too; it comes after them.
        values: Distinct values, or quantiles, of what is no state; empty when all is.
        edges: Where each of these begins in [0, 1], and the end 1; as many as ``values`` plus one for steps, as many as
            ``values`` for a line through quantiles.
        ordered: Whether the rest is a number (a score for the model) rather than rare categories (drawn by frequency).
        decimals: Decimal places that all values have; None for no limit.
    """

    states: tuple[float, ...]
    blank: bool
    values: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    ordered: bool = True
    decimals: int | None = None

    @property
    def rest(self) -> bool:
        """Whether anything is no state."""
        return bool(self.values)

    @property
    def width(self) -> int:
        """How many states there are, "varies" included."""
        return len(self.states) + self.blank + self.rest

    @property
    def scored(self) -> bool:
        """Whether the model sees a score."""
        return self.rest and self.ordered

    def forward(self, x: Floats, blank: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Any, Floats]:
        """States ``(n,)`` and scores ``(n,)`` (NaN where the state says all); ties get scores at random."""
        state = np.full(len(x), len(self.states) + self.blank, dtype=np.int64)
        if self.states:
            order = np.argsort(self.states)
            known = np.asarray(self.states)[order]
            place = np.clip(np.searchsorted(known, x), 0, len(known) - 1)
            state = np.where(known[place] == x, order[place], state)
        state = np.where(blank, len(self.states), state)
        score = np.full(len(x), np.nan)
        if self.scored:
            free = state == self.width - 1
            score[free] = to_score(self._uniform(x[free], rng))
        return state, score

    def _uniform(self, x: Floats, rng: np.random.Generator) -> Floats:
        values, edges = np.asarray(self.values), np.asarray(self.edges)
        if len(edges) == len(values):
            return np.interp(x, values, edges)
        place = np.clip(np.searchsorted(values, x), 0, len(values) - 1)
        return edges[place] + rng.random(len(x)) * (edges[place + 1] - edges[place])

    def inverse(self, state: Any, uniform: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Values ``(n,)`` and which are blank, of states ``(n,)`` and places ``(n,)`` in [0, 1] for what varies."""
        x = np.append(np.asarray(self.states, dtype=float), [0.0, 0.0])[np.minimum(state, len(self.states))]
        if self.rest:
            free = state == self.width - 1
            x[free] = self._quantile(np.clip(uniform[free], 0, 1))
        return x, (state == len(self.states)) & self.blank

    def _quantile(self, u: Floats) -> Floats:
        values, edges = np.asarray(self.values), np.asarray(self.edges)
        if len(edges) == len(values):
            x = np.interp(u, edges, values)
            return x if self.decimals is None else np.round(x, self.decimals)
        return values[np.clip(np.searchsorted(edges, u, side="right") - 1, 0, len(values) - 1)]

    def to_config(self) -> dict[str, Any]:
        """The margin as plain JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.__dict__.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Margin:
        """The margin that ``to_config`` described."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return cls(**values)


@dataclass(frozen=True)
class Margins:
    """All columns' margins.

    Attributes:
        format: The table's columns, without scaling and with all their categories.
        margins: One per column.
    """

    format: TableFormat
    margins: tuple[Margin, ...]

    @classmethod
    def fit(cls, raw: Any) -> Margins:
        """Learn the margins of a table: array or DataFrame, blanks as NaN, None or null."""
        fitted = Table(scaling="none", max_categories=2**31).fit(raw)
        usual = summary(fitted.columns, None)[1:]  # of blanks and likelihoods, which are otherwise here
        told = [note for note in fitted.notes if note not in usual]
        plain = TableFormat(fitted.columns, fitted.container, fitted.named, None, tuple(told))
        cells = _cells(plain, raw)
        margins = [_fit(c, x[~blank], bool(blank.any())) for c, (x, blank) in zip(plain.columns, cells, strict=True)]
        return cls(plain, tuple(margins))

    @property
    def names(self) -> list[Name]:
        """The columns' names."""
        return [c.name for c in self.format.columns]

    @property
    def modelled(self) -> list[int]:
        """Places of the columns that are not the same in every row."""
        return [j for j, m in enumerate(self.margins) if m.width > 1 or m.scored]

    def forward(self, raw: Any, seed: int = 0) -> Any:
        """What the model sees of a table: an Arrow table with a state (text) or a score, or both, per column."""
        rng = np.random.default_rng(seed)
        cells = _cells(self.format, raw)
        arrays, names = [], []
        for j in self.modelled:
            state, score = self.margins[j].forward(*cells[j], rng)
            if self.margins[j].width > 1:
                text = pa.array([str(k) for k in range(self.margins[j].width)])
                arrays.append(pa.DictionaryArray.from_arrays(pa.array(state.astype(np.int32)), text))
                names.append(f"{j} state")
            if self.margins[j].scored:
                arrays.append(pa.array(score, from_pandas=True))
                names.append(f"{j} score")
        return pa.table(arrays, names=names)

    def inverse(self, states: Mapping[int, Any], uniforms: Mapping[int, Floats], n: int, seed: int) -> list[Any]:
        """Arrow columns of states and places in [0, 1] by column.

        Args:
            states: ``(n,)`` indices per column with more than one state.
            uniforms: ``(n,)`` per column with scores.
            n: How many rows.
            seed: For the rare categories, which are drawn by their frequency.
        """
        rng = np.random.default_rng(seed)
        arrays = []
        for j, (column, margin) in enumerate(zip(self.format.columns, self.margins, strict=True)):
            state = states.get(j, np.zeros(n, dtype=np.int64))
            uniform = uniforms[j] if j in uniforms else rng.random(n)
            x, blank = margin.inverse(state, uniform)
            arrays.append(column.decode(x, blank))
        return arrays

    def close(self, arrays: Sequence[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""
        names = self.names if self.format.named else None
        return close_table(self.format.container, arrays, names, [c.native for c in self.format.columns])

    def arrow(self, arrays: Sequence[Any]) -> Any:
        """The Arrow table of Arrow columns."""
        return pa.table(list(arrays), names=[str(n) for n in self.names])

    def to_config(self) -> dict[str, Any]:
        """The margins as plain JSON."""
        return {"format": self.format.to_config(), "margins": [m.to_config() for m in self.margins]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Margins:
        """The margins that ``to_config`` described.

        Raises:
            SavedModelError: If the description is damaged.
        """
        try:
            found = tuple(Margin.from_config(m) for m in config["margins"])
            return cls(TableFormat.from_config(config["format"]), found)
        except (KeyError, TypeError, ValueError) as error:
            raise SavedModelError(f"the saved margins are damaged: {error!r}") from error


def as_arrow(raw: Any) -> Any:
    """Any table as an Arrow table; columns of arrays are called 0, 1, …."""
    opened = open_table(raw)
    names = opened.names if opened.names is not None else range(len(opened.cells))
    cells = [
        c if isinstance(c, pa.Array) else pa.array(np.ascontiguousarray(c), from_pandas=True) for c in opened.cells
    ]
    return pa.table(cells, names=[str(n) for n in names])


def _cells(format_: TableFormat, raw: Any) -> list[tuple[Floats, NDArray[np.bool_]]]:
    cells = format_._match(open_table(raw), "Synthesizer")
    encoded = [column.encode(cell) for column, cell in zip(format_.columns, cells, strict=True)]
    return [(np.asarray(x, dtype=np.float64), np.asarray(blank)) for x, blank, _ in encoded]


def _fit(column: Column, x: Floats, blank: bool) -> Margin:
    if not len(x):
        return Margin((0.0,) if not blank else (), blank)
    values, counts = np.unique(x, return_counts=True)
    number = column.scaler is not None
    if len(values) <= FEW:
        shared = np.ones(len(values), bool)
    elif number:
        shared = counts >= SHARED * len(x)
    else:
        shared = np.zeros(len(values), bool)
        shared[np.argsort(-counts, kind="stable")[:MOST_STATES]] = True
    states = tuple(values[shared].tolist())
    if shared.all():
        return Margin(states, blank)
    rest, weights = values[~shared], counts[~shared]
    decimals = decimal_places(values) if column.kind == "number" else 0
    if number and len(rest) > KNOTS:
        free = np.repeat(rest, weights)
        knots = np.unique(np.quantile(free, np.linspace(0, 1, KNOTS)))
        # the empirical distribution function halfway up its step, so that ties share the middle of their mass
        edges = (np.searchsorted(free, knots, "left") + np.searchsorted(free, knots, "right")) / (2 * len(free))
        edges[0], edges[-1] = 0.0, 1.0
        return Margin(states, blank, tuple(knots.tolist()), tuple(edges.tolist()), True, decimals)
    edges = np.append(0.0, np.cumsum(weights) / weights.sum())
    edges[-1] = 1.0
    return Margin(states, blank, tuple(rest.tolist()), tuple(edges.tolist()), number, decimals)


def to_uniform(score: Floats) -> Floats:
    """Φ(score): places in [0, 1]."""
    return np.asarray(ndtr(score), dtype=np.float64)


def to_score(uniform: Floats) -> Floats:
    """Φ⁻¹(uniform): scores of places in [0, 1], as `Margin.forward` makes them."""
    return np.asarray(ndtri(np.clip(uniform, _EDGE, 1 - _EDGE)), dtype=np.float64)
