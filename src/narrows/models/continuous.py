"""Rows as continuous vectors, and back: what networks that make whole rows work with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows._types import Layout, Rows


class ContinuousModule(nn.Module):
    """Rows to features of one shape, and back.

    Tables: numbers in scaled units, categories one-hot (0 and 1), then one feature per column that has blanks, 1 where
    it is blank. What is blank is 0 in the features of its column. Images: pixels from −1 to 1, shape kept; where pixels
    may be blank, as many channels again, 1 where blank and −1 where not.

    Args:
        layout: What one row looks like.

    Attributes:
        shape: Shape of the features of one row.
        column: ``(size,)`` the column of every feature but the flags.
        hot: ``(size,)`` which features belong to a category.
        masked: The columns (or channels) that have flags, which come last.

    Example:
        ```python
        features = ContinuousModule(Layout(shape=(2,), categories=(0, 3), blanks=(True, False)))
        features(Rows(values=torch.tensor([[0.5, 2.0]])))  # [[0.5, 0, 0, 1, 0]]
        ```
    """

    column: Tensor
    value: Tensor
    hot: Tensor
    masked: Tensor
    first: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout, self.image = layout, len(layout.shape) > 1
        first = layout.shape[0]
        blanks = layout.blanks if len(layout.blanks) == first else layout.blanks * first
        self._index("masked", [j for j, blank in enumerate(blanks) if blank])
        kinds = (layout.categories or (0,) * first) if not self.image else (0,) * first
        self.widths = tuple(max(k, 1) for k in kinds)
        self.starts = tuple(sum(self.widths[:j]) for j in range(first))
        self._index("first", list(self.starts))
        self.categories = tuple(j for j, k in enumerate(kinds) if k)
        self._index("column", [j for j, w in enumerate(self.widths) for _ in range(w)])
        self._index("value", [v for w in self.widths for v in range(w)])
        self.register_buffer("hot", torch.tensor([kinds[j] > 0 for j in self.column.tolist()]), persistent=False)
        self.size = len(self.column)
        self.shape: tuple[int, ...] = (self.size + len(self.masked), *layout.shape[1:])

    def _index(self, name: str, values: list[int]) -> None:
        # they follow from the layout, so they are not saved with the weights
        self.register_buffer(name, torch.tensor(values, dtype=torch.long), persistent=False)

    def forward(self, rows: Rows) -> Tensor:
        """The features ``(B, *shape)`` of rows."""
        values, observed = rows.values, rows.mask()
        if self.image:
            values = values * (2 / self.layout.high[0]) - 1
        elif self.categories:
            spread = values[:, self.column]
            values = torch.where(self.hot, (spread == self.value).to(values.dtype), spread)
        if observed is not None:
            values = torch.where(observed if self.image else observed[:, self.column], values, 0)
        if not len(self.masked):
            return values
        blank = torch.zeros_like(rows.values) if observed is None else (~observed).to(values.dtype)
        blank = blank[:, self.masked]
        return torch.cat([values, 2 * blank - 1 if self.image else blank], dim=1)

    def inverse(self, features: Tensor) -> Tensor:
        """The values ``(B, *layout.shape)`` of features: NaN where blank, of a category the largest's index."""
        values, flags = features[:, : self.size], features[:, self.size :]
        if self.image:
            values = (values + 1) * (self.layout.high[0] / 2)
        elif self.categories:
            found = list(values[:, self.first].unbind(1))
            for j in self.categories:
                found[j] = self._segment(values, j).argmax(1).to(values.dtype)
            values = torch.stack(found, dim=1)
        if not len(self.masked):
            return values
        blank = torch.zeros_like(values, dtype=torch.bool)
        blank[:, self.masked] = flags > (0.0 if self.image else 0.5)
        return torch.where(blank, torch.nan, values)

    def shaped(self, free: Tensor) -> Tensor:
        """Features as rows have them, of a network's free output ``(B, *shape)``; gradients pass.

        Images end at −1 and 1 (tanh). The largest number of a category's becomes 1 and the others 0, a flag becomes 0
        or 1, and what is blank is 0; gradients are those of softmax and sigmoid (straight through).
        """
        values, flags = free[:, : self.size], free[:, self.size :]
        if self.image:
            blank = _through(flags.tanh(), flags.sign())
            return torch.cat([values.tanh() * self._kept(blank), blank], dim=1) if len(self.masked) else values.tanh()
        parts = list(torch.split(values, list(self.widths), dim=1)) if self.categories else [values]
        for j in self.categories:
            soft = parts[j].softmax(1)
            parts[j] = _through(soft, _one_hot(soft))
        values = torch.cat(parts, dim=1)
        if not len(self.masked):
            return values
        blank = _through(flags.sigmoid(), (flags > 0).to(flags.dtype))
        kept = torch.ones_like(values[:, self.first])
        kept[:, self.masked] = 1 - blank
        return torch.cat([values * kept[:, self.column], blank], dim=1)

    def _kept(self, blank: Tensor) -> Tensor:
        """1 where a pixel is there and 0 where it is blank."""
        kept = torch.ones(len(blank), *self.layout.shape, dtype=blank.dtype, device=blank.device)
        kept[:, self.masked] = (1 - blank) / 2
        return kept

    def _segment(self, values: Tensor, j: int) -> Tensor:
        return values[:, self.starts[j] : self.starts[j] + self.widths[j]]


def _one_hot(soft: Tensor) -> Tensor:
    largest = soft.argmax(1, keepdim=True)
    return torch.zeros_like(soft).scatter(1, largest, 1.0)


def _through(soft: Tensor, hard: Tensor) -> Tensor:
    """``hard`` with the gradients of ``soft``."""
    return soft + (hard - soft).detach()
