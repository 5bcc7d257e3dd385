"""The stem: what a network gets to see of rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from narrows._types import Layout, Rows

ONE_HOT_LIMIT = 16  # categories with more values than this are embedded


def embedding_width(categories: int) -> int:
    """Numbers per embedded category: ``ceil(1.6 · categories^0.56)``, at most 32."""
    return min(32, math.ceil(1.6 * categories**0.56))


class StemModule(nn.Module):
    """Turns rows into what a network eats.

    Tables: numbers as they are, then categories of up to 16 values one-hot, then larger ones embedded (one width for
    all, that of the largest), then, with ``mask``, one column per raw column that is 1 where it was observed. A blank
    is 0 everywhere. Images: the values, then, with ``mask``, as many channels again that are 1 where observed.

    Args:
        layout: What one row looks like.
        mask: Whether to append what was observed: only when there are blanks or a masking corruption.

    Attributes:
        shape: Shape of one row as the network gets it.

    Example:
        ```python
        stem = StemModule(Layout(shape=(2,), categories=(0, 3)), mask=False)
        stem(Rows(values=torch.tensor([[0.5, 2.0]])))  # [[0.5, 0, 0, 1]]
        ```
    """

    numbers: Tensor
    slot_column: Tensor
    slot_class: Tensor
    embedded: Tensor
    offset: Tensor

    def __init__(self, layout: Layout, mask: bool = False) -> None:
        super().__init__()
        self.layout, self.mask = layout, mask
        self.plain = layout.is_category() is None
        self.embedding: nn.Embedding | None = None
        # a series or an image gets its mask along the first axis: columns, channels
        self.shape = (layout.shape[0] * (2 if mask else 1), *layout.shape[1:])
        if not self.plain:
            self._prepare(layout.categories or ())

    def _prepare(self, categories: tuple[int, ...]) -> None:
        small = [(i, k) for i, k in enumerate(categories) if 0 < k <= ONE_HOT_LIMIT]
        large = [(i, k) for i, k in enumerate(categories) if k > ONE_HOT_LIMIT]
        slots = [(i, value) for i, k in small for value in range(k)]
        starts = [sum(k for _, k in large[:j]) for j in range(len(large))]
        width = embedding_width(max((k for _, k in large), default=1))
        if large:
            self.embedding = nn.Embedding(sum(k for _, k in large), width)
            # about the spread of a standardised number
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        self._index("numbers", [i for i, k in enumerate(categories) if k == 0])
        self._index("slot_column", [i for i, _ in slots])
        self._index("slot_class", [value for _, value in slots])
        self._index("embedded", [i for i, _ in large])
        self._index("offset", starts)
        features = len(self.numbers) + len(slots) + width * len(large)
        self.shape = (features + (len(categories) if self.mask else 0),)

    def _index(self, name: str, values: list[int]) -> None:
        # they follow from the layout, so they are not saved with the weights
        self.register_buffer(name, torch.tensor(values, dtype=torch.long), persistent=False)

    def forward(self, rows: Rows) -> Tensor:
        """The rows as one tensor ``(B, *self.shape)``; all is observed where ``rows.mask()`` is None."""
        observed, values = rows.mask(), rows.values
        if observed is not None:
            values = torch.where(observed, values, 0)
        features = [values] if self.plain else self._table(values, observed)
        if self.mask:
            features.append(torch.ones_like(values) if observed is None else observed.to(values.dtype))
        # tables and images alike: columns and channels are the axis after the batch
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)

    def _table(self, values: Tensor, observed: Tensor | None) -> list[Tensor]:
        features = []
        if len(self.numbers):
            features.append(values[:, self.numbers])
        if len(self.slot_column):
            hot = values[:, self.slot_column] == self.slot_class
            if observed is not None:
                hot = hot & observed[:, self.slot_column]
            features.append(hot.to(values.dtype))
        if self.embedding is not None:
            vectors = self.embedding(values[:, self.embedded].long() + self.offset)
            if observed is not None:
                vectors = vectors * observed[:, self.embedded].unsqueeze(-1)
            features.append(vectors.flatten(1))
        return features
