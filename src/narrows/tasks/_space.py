"""The space that rows are compared in: every column counts the same, numbers and categories alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from narrows._types import Layout, Rows
from narrows.tasks._features import Features

FLAT = 1e-6  # a standard deviation below this is rounding, not spread


@dataclass(frozen=True)
class Space:
    r"""Features of rows, centred, and scaled so that every column has variance 1.

    A column of categories is one-hot, and its features together have variance 1, $1 - \sum_k p_k^2$ before
    scaling: a rare category lies no further away than any other, however rare it is.

    Attributes:
        features: Where columns lie among the features.
        centre: ``(D,)`` mean of every feature.
        scale: ``(D,)`` what it is divided by; 1 in columns that were constant.
        moves: ``(D,)`` false in columns that were constant.
    """

    features: Features
    centre: Tensor
    scale: Tensor
    moves: Tensor

    @classmethod
    def fit(cls, rows: Rows, layout: Layout) -> Self:
        """The space of some rows, blanks left out."""
        features = Features(layout)
        x, known = features.expand(rows)
        count = known.sum(0).clamp_min(1)
        centre = x.double().sum(0) / count
        variance = torch.where(known, (x.double() - centre).square(), 0).sum(0) / count
        whole = torch.zeros(len(features.width), dtype=torch.float64).index_add_(0, features.column, variance)
        spread = whole.sqrt()[features.column]
        moves = spread >= FLAT
        return cls(features, centre.float(), torch.where(moves, spread, 1.0).float(), moves)

    def __call__(self, rows: Rows) -> Rows:
        """Rows of features: ``values`` ``(B, D)``, 0 where blank, and ``observed`` where not all are."""
        x, known = self.features.expand(rows)
        x = torch.where(known, (x - self.centre) / self.scale, 0)
        return Rows(x, None if rows.mask() is None else known)

    def values(self, x: Tensor) -> Tensor:
        """Values ``(B, columns)`` in the format's scaled units that features ``(B, D)`` mean."""
        return self.features.collapse(x * self.scale + self.centre)

    def varies(self) -> Tensor:
        """Which columns were not constant ``(columns,)``."""
        return self.moves[self.features.first]

    def by_column(self, terms: Tensor) -> Tensor:
        """Sums ``(…, columns)`` of terms ``(…, D)``."""
        features = self.features
        if not features.categories:
            return terms
        result = torch.zeros(*terms.shape[:-1], len(features.width), dtype=terms.dtype, device=terms.device)
        return result.index_add_(-1, features.column.to(terms.device), terms)
