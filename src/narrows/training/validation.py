"""What steps are computed in, and how rows that are only looked at are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from narrows._types import Rows
from narrows.training.ranks import Ranks
from narrows.training.seeds import seeded

BATCH = 1024  # rows judged at once; more are no faster on a processor (they leave its cache), and slower for images
SEED = 20_240_229  # noise is the same at every epoch, so that epochs can be compared
FAR = 1e9  # epochs trained: every warm-up is over, so that epochs can be compared


def in_precision(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A context that computes in ``precision``: ``"float32"`` or ``"bfloat16"`` (mixed)."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=torch.bfloat16)


def computing(
    device: torch.device, precision: str, ranks: Ranks, batch: int
) -> Callable[[], AbstractContextManager[None]]:
    """What makes the context of a step in training, of ``batch`` rows in all processes together."""

    @contextmanager
    def context() -> Iterator[None]:
        with in_precision(device, precision), ranks.noise(batch // ranks.size):
            yield

    return context


def validate(step: nn.Module, rows: Rows, context: AbstractContextManager[Any]) -> dict[str, Tensor]:
    """Means of a step's terms over rows, in evaluation mode and without gradients.

    Args:
        step: ``forward(batch, epoch) -> {"loss": (), …}``.
        rows: At least one, on the device that computes.
        context: What to compute in.

    Returns:
        Every term by name, in nats per row.
    """
    n, device = len(rows), rows.values.device
    sums: dict[str, Tensor] = {}
    with seeded(SEED), context:
        for start in range(0, n, BATCH):
            part = rows.take(slice(start, start + BATCH))
            result: dict[str, Tensor] = step(part.tensors(), torch.tensor(FAR, device=device))
            for name, value in result.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.float() * (len(part) / n)
    return sums
