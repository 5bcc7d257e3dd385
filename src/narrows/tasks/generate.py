"""Generate rows of a table: rows drawn from a model, and rows that meet a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._arrow import pa
from narrows.errors import InvalidData
from narrows.tasks._sources import BATCH, MarginSource, PlainSource, Source
from narrows.training.seeds import hash_seed, seeded

__all__ = [
    "MarginSource",
    "PlainSource",
    "Source",
    "Wanted",
    "generate",
    "generate_where",
]

TRIED = 500_000  # rows drawn at most in search of those that meet a condition
ROUNDS = 10
SIZES = (1.0, 0.5, 0.2)  # of a walk's steps: no one size suits all conditions


def generate(source: Source, n: int, seed: int) -> list[Any]:
    """New rows.

    Args:
        source: What they are drawn from.
        n: How many.
        seed: Equal seeds give equal rows. The caller's generators are left as they were.

    Returns:
        One Arrow column of n cells per column of the table.
    """
    with seeded(hash_seed(seed, 13)):
        return source.table(source.redrawn(source.draw(n)[1]), hash_seed(seed, 14))


@dataclass(frozen=True)
class Wanted:
    """A condition, and how many rows are to meet it.

    Attributes:
        count: How many.
        accept: Which rows of Arrow columns meet it.
        words: The condition, for messages.
    """

    count: int
    accept: Callable[[list[Any]], NDArray[np.bool_]]
    words: str


def generate_where(source: Source, wanted: Sequence[Wanted], seed: int, most: int = TRIED) -> list[list[Any]]:
    """New rows that meet conditions, by rejection.

    Rows are drawn until enough are accepted. Where fewer than that are among ``most``, those found are repeated and
    `walk`: they too are draws from the model's rows that meet the condition, but rows that began as one may be alike.

    Args:
        source: What rows are drawn from.
        wanted: The conditions.
        seed: Equal seeds give equal rows.
        most: How many rows are drawn at most.

    Returns:
        For every condition, one Arrow column of cells per column of the table.

    Raises:
        InvalidData: If none of the rows drawn meets one of the conditions.
    """
    kept: list[list[Drawn]] = [[] for _ in wanted]
    counts = [0] * len(wanted)
    tried = 0
    with seeded(hash_seed(seed, 13)):
        for size in _sizes(sum(w.count for w in wanted), most):
            drawn = Drawn.of(source, *source.draw(size), hash_seed(seed, 15, tried))
            tried += size
            for i, one in enumerate(wanted):
                if counts[i] < one.count:
                    places = np.flatnonzero(one.accept(drawn.cells))[: one.count - counts[i]]
                    kept[i].append(drawn.take(places))
                    counts[i] += len(places)
            if all(count >= one.count for count, one in zip(counts, wanted, strict=True)):
                break
        whole = [_complete(source, one, kept[i], tried, seed) for i, one in enumerate(wanted)]
        return [_redrawn(source, one, rows, hash_seed(seed, 17)) for one, rows in zip(wanted, whole, strict=True)]


@dataclass(frozen=True)
class Drawn:
    """Rows as codes, as drawn and as cells: what is drawn by frequency alone (a rare category) is only in the cells."""

    codes: Tensor
    values: Tensor
    cells: list[Any]

    @classmethod
    def of(cls, source: Source, codes: Tensor, values: Tensor, seed: int) -> Drawn:
        """What was drawn, with its cells."""
        return cls(codes, values, source.table(values, seed))

    @classmethod
    def joined(cls, parts: list[Drawn]) -> Drawn:
        """The rows of all parts."""
        columns = zip(*(p.cells for p in parts), strict=True)
        return cls(
            torch.cat([p.codes for p in parts]),
            torch.cat([p.values for p in parts]),
            [pa.concat_arrays(list(c)) for c in columns],
        )

    def take(self, places: NDArray[Any]) -> Drawn:
        """Some of the rows, in an order."""
        index, arrow = torch.from_numpy(places), pa.array(places, pa.int64())
        return Drawn(self.codes[index], self.values[index], [c.take(arrow) for c in self.cells])


def _sizes(n: int, most: int) -> Iterator[int]:
    # at first no more than are wanted, since drawing may be slow and conditions on a class alone are met at once
    size, left = min(n, BATCH), max(most, n)
    while left > 0:
        yield min(size, left)
        left -= size
        size = min(4 * size, 4 * BATCH)


def _complete(source: Source, wanted: Wanted, kept: list[Drawn], tried: int, seed: int) -> Drawn:
    """As many rows as wanted, of those kept: all found, or walked from them."""
    rows = Drawn.joined(kept)
    found = len(rows.values)
    if not found:
        raise InvalidData(
            f"where {wanted.words}: none of {tried:,} rows drawn meets this (fewer than {3 / tried:.4%} of the model's "
            "rows do, with 95 % confidence): ask for something less rare"
        )
    if found == wanted.count:
        return rows
    return walk(source, rows.take(np.arange(wanted.count) % found), wanted, seed)


def _redrawn(source: Source, wanted: Wanted, rows: Drawn, seed: int) -> list[Any]:
    """The cells of rows that meet a condition, drawn again under it."""
    if not source.redraws:
        return rows.cells

    def meets(values: Tensor) -> Tensor:
        return torch.from_numpy(wanted.accept(source.table(values, seed)))

    new = Drawn.of(source, rows.codes, source.redrawn(rows.values, meets), seed)
    # a rare category is only in the cells, and other cells may hold another one
    n = np.arange(len(rows.values))
    return Drawn.joined([rows, new]).take(n + len(n) * wanted.accept(new.cells)).cells


def walk(source: Source, rows: Drawn, wanted: Wanted, seed: int, rounds: int = ROUNDS) -> Drawn:
    """Move rows that meet a condition, such that the model's distribution of such rows stays as it is.

    Metropolis steps of several sizes: from z to z' nearby by a step that leaves p(z) as it is, with a new row
    x' ~ p(x|z'); it is taken if x' meets the condition. All densities of proposal and target cancel.

    Args:
        source: What rows are drawn from.
        rows: n of them, all of which meet the condition.
        wanted: The condition, and n.
        seed: For rare categories; the rest is drawn from torch's global generator.
        rounds: How many steps of every size.

    Returns:
        n rows.

    References:
        Cotter, Roberts, Stuart, White: MCMC Methods for Functions: Modifying Old Algorithms to Make Them Faster, 2013,
        https://arxiv.org/abs/1202.0709 (preconditioned Crank–Nicolson steps)
    """
    n = np.arange(len(rows.values))
    for number, size in enumerate(SIZES * rounds):
        codes = source.near(rows.codes, size)
        new = Drawn.of(source, codes, source.cells(codes), hash_seed(seed, 16, number))
        rows = Drawn.joined([rows, new]).take(n + len(n) * wanted.accept(new.cells))
    return rows
