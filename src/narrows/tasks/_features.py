"""Rows of a table as numbers alone: categories one-hot, blanks known."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows._types import Layout, Rows

NARROW = 16  # categories of one column that take part in correlations: the most frequent ones


def seen_cells(rows: Rows) -> Tensor:
    """Which cells are observed, ``(B, columns)``."""
    mask = rows.mask()
    return torch.ones_like(rows.values, dtype=torch.bool) if mask is None else mask


class Features:
    """Where every column of a table lies among its features.

    Args:
        layout: What a row looks like.

    Attributes:
        column: ``(D,)`` the column of every feature.
        start: First feature of every column.
        width: Features of every column.
        numbers: Columns that are numbers.
        categories: Columns that are categories.
    """

    def __init__(self, layout: Layout) -> None:
        kinds = layout.categories or (0,) * layout.shape[0]
        self.width = [max(k, 1) for k in kinds]
        self.start = [sum(self.width[:j]) for j in range(len(kinds))]
        self.column = torch.repeat_interleave(torch.arange(len(kinds)), torch.tensor(self.width))
        value = torch.cat([torch.arange(w) for w in self.width])
        self.value = value.float()
        self.hot = torch.tensor([k > 0 for k in kinds])[self.column]
        self.numbers = [j for j, k in enumerate(kinds) if k == 0]
        self.categories = [j for j, k in enumerate(kinds) if k > 0]
        self.first = torch.tensor(self.start)

    def of(self, j: int) -> slice:
        """The features of one column."""
        return slice(self.start[j], self.start[j] + self.width[j])

    def expand(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Features ``(B, D)``, 0 where blank, and which are observed ``(B, D)``."""
        seen = seen_cells(rows)
        values, observed = rows.values[:, self.column], seen[:, self.column]
        values = torch.where(self.hot, (values == self.value).to(values.dtype), values)
        return torch.where(observed, values, 0), observed

    def collapse(self, features: Tensor) -> Tensor:
        """Values ``(B, columns)`` of features: numbers as they are, of categories the largest one's index."""
        values = features[:, self.first].clone()
        for j in self.categories:
            values[:, j] = features[:, self.of(j)].argmax(1).to(values.dtype)
        return values

    def probabilities(self, features: Tensor) -> Tensor:
        """Features whose categories are at least 0.001 and add up to 1; numbers stay."""
        if not self.categories:
            return features
        positive = torch.where(self.hot, features.clamp_min(1e-3), features)
        total = torch.zeros(len(features), len(self.width), dtype=features.dtype)
        total.index_add_(1, self.column, positive)
        return torch.where(self.hot, positive / total[:, self.column], positive)

    def frequent(self, x: Tensor) -> Tensor:
        """The features that take part in correlations: numbers and the most frequent categories of each column."""
        chosen = []
        for j, w in enumerate(self.width):
            share = x[:, self.of(j)].sum(0)
            chosen.append(self.start[j] + (share.topk(NARROW).indices.sort().values if w > NARROW else torch.arange(w)))
        return torch.cat(chosen)
