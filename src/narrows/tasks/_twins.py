"""Training rows known again: a row that was trained on must not be judged by what learnt it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from narrows._types import Rows


class Found(NamedTuple):
    """What is known of rows.

    Attributes:
        known: ``(B,)`` true for rows that equal a row of the training table.
        fold: ``(B,)`` the fold that all copies of it lie in; −1 for rows that were not learnt from.
        own: ``(B,)`` the place of a copy among the reference rows; −1 for none.
    """

    known: Tensor
    fold: Tensor
    own: Tensor


@dataclass(frozen=True)
class Twins:
    """Which rows equal a row of the training table.

    Attributes:
        marks: ``(U,)`` sorted marks (64 bits of a hash) of the different rows.
        fold: ``(U,)`` the fold of each; −1 for rows that were set aside.
        place: ``(U,)`` the place of one copy of each among the reference rows; −1 for none.
    """

    marks: Tensor
    fold: Tensor
    place: Tensor

    @classmethod
    def fit(cls, rows: Rows, learnt: Tensor, folds: int) -> Self:
        """Know ``rows`` again, and deal out those that are ``learnt`` from ``(n,)``, copies together."""
        given = marks(rows)
        found = torch.unique(given)
        taken = torch.isin(found, given[learnt])
        fold = torch.full((len(found),), -1)
        fold[taken] = torch.arange(int(taken.sum())) % folds
        return cls(found, fold, torch.full((len(found),), -1))

    @classmethod
    def none(cls) -> Self:
        """No row is known."""
        nothing = torch.empty(0, dtype=torch.long)
        return cls(nothing, nothing, nothing)

    @property
    def folds(self) -> int:
        """How many folds there are, at least one."""
        return max(1, int(self.fold.max()) + 1) if len(self.fold) else 1

    def placed(self, rows: Rows, place: Tensor) -> Self:
        """The same, knowing the places ``(n,)`` of rows among the reference rows."""
        order = place.argsort()  # where there are several copies, one that is a reference row wins
        return replace(self, place=self.place.clone().index_put((self._rank(rows)[order],), place[order]))

    def _rank(self, rows: Rows) -> Tensor:
        """Each row's place among the different training rows ``(B,)``; −1 for a new row."""
        given = marks(rows)
        if not len(self.marks):
            return torch.full_like(given, -1)
        rank = torch.searchsorted(self.marks, given).clamp_max(len(self.marks) - 1)
        return torch.where(self.marks[rank] == given, rank, -1)

    def find(self, rows: Rows) -> Found:
        """What is known of rows."""
        rank = self._rank(rows)
        if not len(self.marks):
            return Found(rank >= 0, rank, rank)
        return Found(rank >= 0, torch.where(rank < 0, -1, self.fold[rank]), torch.where(rank < 0, -1, self.place[rank]))


def marks(rows: Rows) -> Tensor:
    """A 64-bit mark ``(B,)`` of every row's content."""
    values = np.ascontiguousarray((rows.values + 0.0).numpy().reshape(len(rows), -1))  # −0 becomes 0
    if rows.observed is not None:
        seen = rows.observed.numpy().reshape(len(rows), -1)
        values = np.where(seen, values, np.float32(np.nan))
    found = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in values)
    return torch.from_numpy(np.frombuffer(b"".join(found), dtype="<i8").copy())
