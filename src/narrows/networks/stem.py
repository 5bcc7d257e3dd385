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
    all, that of the largest), then one column per raw column that may be blank (``layout.blanks``), which is 1 where
    it was observed. A blank is 0 everywhere. Series: every step likewise, and where series differ in length a last
    column that is 1 where the step exists. Images: the values, then, where they may be blank, as many channels again.

    Columns without a blank in training have no such indicator: it would be 1 in every training row, and a first blank
    in use would then throw the network off.

    Args:
        layout: What one row looks like.
        embedding: Numbers per embedded category, and then all categories are embedded; None: as said.

    Attributes:
        shape: Shape of one row as the network gets it.
        mask: Whether the network is told of blanks at all.

    Example:
        ```python
        stem = StemModule(Layout(shape=(2,), categories=(0, 3)))
        stem(Rows(values=torch.tensor([[0.5, 2.0]])))  # [[0.5, 0, 0, 1]]
        ```
    """

    numbers: Tensor
    slot_column: Tensor
    slot_class: Tensor
    embedded: Tensor
    offset: Tensor
    masked: Tensor

    def __init__(self, layout: Layout, embedding: int | None = None) -> None:
        super().__init__()
        self.layout, self.mask = layout, any(layout.blanks)
        # features lie along the columns of tables and series, and along the channels of images
        self.axis = -3 if len(layout.shape) == 3 else -1
        columns = layout.shape[self.axis]
        blanks = layout.blanks if len(layout.blanks) == columns else layout.blanks * columns
        self._index("masked", [i for i, blank in enumerate(blanks) if blank])
        self.plain = layout.is_category() is None
        self.embedding: nn.Embedding | None = None
        values = columns if self.plain else self._prepare(layout.categories or (), embedding)
        features = values + len(self.masked) + layout.ragged
        self.shape = (features, *layout.shape[1:]) if self.axis == -3 else (*layout.shape[:-1], features)

    def _prepare(self, categories: tuple[int, ...], embedding: int | None) -> int:
        limit = ONE_HOT_LIMIT if embedding is None else 0
        small = [(i, k) for i, k in enumerate(categories) if 0 < k <= limit]
        large = [(i, k) for i, k in enumerate(categories) if k > limit]
        slots = [(i, value) for i, k in small for value in range(k)]
        starts = [sum(k for _, k in large[:j]) for j in range(len(large))]
        width = embedding or embedding_width(max((k for _, k in large), default=1))
        if large:
            self.embedding = nn.Embedding(sum(k for _, k in large), width)
            # about the spread of a standardised number
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        self._index("numbers", [i for i, k in enumerate(categories) if k == 0])
        self._index("slot_column", [i for i, _ in slots])
        self._index("slot_class", [value for _, value in slots])
        self._index("embedded", [i for i, _ in large])
        self._index("offset", starts)
        return len(self.numbers) + len(slots) + width * len(large)

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
            seen = torch.ones_like(values) if observed is None else observed.to(values.dtype)
            features.append(seen.index_select(self.axis, self.masked))
        if self.layout.ragged:
            exists = rows.exists()
            exists = values.new_ones(values.shape[:-1]) if exists is None else exists.to(values.dtype)
            features.append(exists.unsqueeze(-1))
        return features[0] if len(features) == 1 else torch.cat(features, dim=self.axis)

    def _table(self, values: Tensor, observed: Tensor | None) -> list[Tensor]:
        features = []
        if len(self.numbers):
            features.append(values.index_select(-1, self.numbers))
        if len(self.slot_column):
            hot = values.index_select(-1, self.slot_column) == self.slot_class
            if observed is not None:
                hot = hot & observed.index_select(-1, self.slot_column)
            features.append(hot.to(values.dtype))
        if self.embedding is not None:
            vectors = self.embedding(values[..., self.embedded].long() + self.offset)
            if observed is not None:
                vectors = vectors * observed[..., self.embedded].unsqueeze(-1)
            features.append(vectors.flatten(-2))
        return features
