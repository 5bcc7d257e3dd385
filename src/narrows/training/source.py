"""What the loop asks of rows that are not all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from narrows._types import Rows
from narrows.training.gather import Gather
from narrows.training.seeds import hash_seed


@runtime_checkable
class Source(Protocol):
    """Rows that come in shuffled windows (`narrows.data.row_stream.RowStream` is one)."""

    def __len__(self) -> int:
        """How many rows an epoch has."""

    def take(self, index: Any) -> Rows:
        """Some of the rows, in memory: to see what they are like."""

    def fingerprint(self) -> str:
        """A short name that other rows would not have."""

    def epoch(
        self, seed: int, epoch: int, batch: int, first: int = 0, *, rank: int = 0, world: int = 1
    ) -> Iterator[Rows]:
        """The rows of one epoch from the batch ``first`` on, some whole batches at a time.

        What comes is a function of the arguments alone, so that there is no state of reading to keep.
        """


def batches(
    source: Source, seed: int, epoch: int, batch: int, first: int, device: torch.device, rank: int = 0, world: int = 1
) -> Iterator[dict[str, Tensor]]:
    """One process's share of the batches of one epoch, from the batch ``first`` on, by field."""
    size = batch // world
    for rows in source.epoch(seed, epoch, batch, first, rank=rank, world=world):
        there = rows.to(device)
        for start in range(0, len(there), size):
            yield there.take(slice(start, start + size)).tensors()


def shuffled(n: int, seed: int, epoch: int) -> Tensor:
    """The order of n rows in an epoch, ``(n,)`` on the CPU."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(hash_seed(seed, epoch)))


def indexed(
    gather: Gather, order: Tensor, batch: int, first: int, own: Callable[[Tensor], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """The batches of rows in memory, in an order, from the batch ``first`` on; of each what ``own`` leaves."""
    for start in range(first * batch, len(order), batch):
        yield gather(own(order[start : start + batch]))
