"""A long line of tokens as training rows: windows of it, cut elsewhere in every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from narrows._types import Rows

HELD = 1 << 22  # tokens that are made rows of at once


@dataclass(frozen=True)
class TokenStream:
    """Windows of a line of tokens, in random order.

    Every epoch cuts the line from another random place on, so that windows do not begin at the same tokens again, and
    every token comes once, but for those at the ends. All is a function of seed and epoch.

    Args:
        tokens: ``(T,)`` whole numbers, of any type.
        size: Tokens of a window; T is at least twice as many.
        count: Windows of an epoch. None: as many as the line has, wherever it is cut.
    """

    tokens: NDArray[Any]
    size: int
    count: int | None = None

    def __len__(self) -> int:
        """How many windows an epoch has."""
        return self.whole if self.count is None else self.count

    @property
    def whole(self) -> int:
        """How many windows the line has, wherever it is cut."""
        return (len(self.tokens) - self.size + 1) // self.size

    def take(self, index: Any) -> Rows:
        """Some of the windows that begin at the first token."""
        return self.rows(np.arange(self.whole)[index if isinstance(index, slice) else np.asarray(index)] * self.size)

    def rows(self, starts: NDArray[np.int64]) -> Rows:
        """The windows that begin at some places."""
        places = starts[:, None] + np.arange(self.size)
        return Rows(torch.from_numpy(self.tokens[places].astype(np.float32)).unsqueeze(-1))

    def fingerprint(self) -> str:
        """A short name that other windows would not have."""
        return f"{hashlib.sha256(self.tokens.tobytes()).hexdigest()} {self.size} {len(self)}"

    def starts(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Where the windows of an epoch begin, in order."""
        found = list[NDArray[np.int64]]()
        for again in range(-(-len(self) // self.whole)):
            random = np.random.default_rng([seed, epoch, again])
            found.append(int(random.integers(self.size)) + random.permutation(self.whole) * self.size)
        return np.concatenate(found)[: len(self)]

    def epoch(
        self, seed: int, epoch: int, batch: int, first: int = 0, *, rank: int = 0, world: int = 1
    ) -> Iterator[Rows]:
        """The windows of one epoch.

        Args:
            seed: Other seeds give other orders.
            epoch: Number of the epoch; each has an order and a cut of its own.
            batch: Windows per batch, over all processes. Those that do not fill a batch are left out.
            first: The batch to begin with.
            rank: Which process's share of every batch to give.
            world: How many processes there are.

        Yields:
            Whole shares of batches.
        """
        share = batch // world
        starts = self.starts(seed, epoch)[: len(self) // batch * batch].reshape(-1, world, share)
        own = starts[first:, rank]
        each = max(1, HELD // (share * self.size))
        for begin in range(0, len(own), each):
            yield self.rows(own[begin : begin + each].reshape(-1))
