"""Batches of rows that lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows._types import Rows


class Gather:
    """Takes rows by index into memory that is used again for every batch.

    A batch is true until the next one is taken. Fresh memory for each would have to be mapped page by page.

    Args:
        rows: All rows, on the device that computes.
    """

    def __init__(self, rows: Rows) -> None:
        self.fields = rows.tensors()
        self.batch: dict[str, Tensor] = {}
        self.size = -1

    def __call__(self, index: Tensor) -> dict[str, Tensor]:
        """The rows at ``index`` ``(B,)``, by field."""
        if len(index) != self.size:
            self.size = len(index)
            self.batch = {name: tensor.new_empty(self.size, *tensor.shape[1:]) for name, tensor in self.fields.items()}
        for name, tensor in self.fields.items():
            torch.index_select(tensor, 0, index, out=self.batch[name])
        return self.batch
