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


def gathered(order: Tensor, group: Tensor, block: int = 8) -> Tensor:
    """An order of rows in which up to ``block`` rows of a group follow each other, so that batches hold some of each.

    Args:
        order: ``(n,)`` a random order; nothing else is drawn.
        group: ``(n,)`` the group of every row.
        block: Rows of a group that stay together.
    """
    kind = group[order]
    by = kind.argsort(stable=True)  # groups after each other, each in the random order
    ranked = kind[by].contiguous()
    start = torch.searchsorted(ranked, ranked)
    place = torch.arange(len(by), device=by.device) - start
    # a block comes where its first row came
    return order[by[by[start + place // block * block].argsort(stable=True)]]
