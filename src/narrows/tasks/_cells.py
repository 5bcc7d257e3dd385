"""Cells of any column as places on one line: its states one after another, then what varies by number, in bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_BINS = 24  # equal shares of what varies
HALVINGS = 4  # of the outermost bins, at most: what is rare is often what matters
FEWEST = 16  # rows in the smallest bin, about
MOST_FEATURES = 2048

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CellLine:
    """Where every column's cells lie: a place p in [0, K).

    ⌊p⌋ < S is a state; beyond, p runs through the bins of a number's share u ∈ [0, 1] of the rows below it.

    Attributes:
        states: S of every column.
        numbers: Of every column, whether a number varies beside its states.
        edges: Shares at which bins begin, from 0 to 1.

    References:
        Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
        https://arxiv.org/abs/2203.05556 (how much of every bin lies below a number, as a network's input)
    """

    states: tuple[int, ...]
    numbers: tuple[bool, ...]
    edges: tuple[float, ...]

    @classmethod
    def of(cls, states: Sequence[int], numbers: Sequence[bool], rows: int) -> CellLine | None:
        """The line with as many bins as ``rows`` and columns allow; None where there are too many categories."""
        bins = min(MOST_BINS, max(2, int(np.sqrt(rows) / 2)))
        while bins >= 2:
            line = cls(tuple(states), tuple(numbers), tuple(_edges(bins, rows).tolist()))
            if line.column.numel() <= MOST_FEATURES:
                return line
            bins //= 2
        return None

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """K of every column."""
        bins = len(self.edges) - 1
        return tuple(s + bins * number for s, number in zip(self.states, self.numbers, strict=True))

    @cached_property
    def column(self) -> Tensor:
        """``(D,)`` the column of every feature."""
        return torch.repeat_interleave(torch.arange(len(self.widths)), torch.tensor(self.widths))

    @cached_property
    def start(self) -> Tensor:
        """``(D,)`` the place at which every feature begins."""
        return torch.cat([torch.arange(k) for k in self.widths]).float()

    @cached_property
    def binned(self) -> Tensor:
        """``(D,)`` whether a feature is a bin."""
        return self.start >= torch.tensor(self.states)[self.column]

    def places(self, column: int, state: Tensor, share: Tensor) -> Tensor:
        """Places ``(n,)`` of states ``(n,)``, the last of which says that a number varies, and shares ``(n,)``."""
        s = self.states[column]
        if not self.numbers[column]:
            return state.float()
        bins = len(self.edges) - 1
        inner = torch.from_numpy(np.interp(share.double().numpy(), self.edges, np.arange(bins + 1)))
        return torch.where(state == s, s + inner.float().clamp(0, bins - 1e-3), state.float())

    def cells(self, column: int, place: Tensor) -> tuple[Tensor, Tensor]:
        """States ``(n,)`` and shares ``(n,)`` of places ``(n,)``."""
        s = self.states[column]
        share = np.interp((place - s).double().numpy(), np.arange(len(self.edges)), self.edges)
        return place.floor().clamp_max(s), torch.from_numpy(share)

    def features(self, places: Tensor) -> Tensor:
        """``(n, D)`` what a network sees of places ``(n, columns)``: which state, how much of every bin is below."""
        at = places[:, self.column.to(places.device)]
        start = self.start.to(places.device)
        return torch.where(self.binned.to(places.device), (at - start).clamp(0, 1), (at.floor() == start).float())


def _edges(bins: int, rows: int) -> Floats:
    """Equal shares, the first and the last one halved again and again."""
    halvings = [i for i in range(HALVINGS, 0, -1) if 0.5**i * rows >= FEWEST * bins]
    low = np.array([0.0, *(0.5**i / bins for i in halvings)])
    return np.concatenate([low, np.arange(1, bins) / bins, 1 - low[::-1]])
