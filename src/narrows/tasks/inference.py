"""Inference in chunks of one fixed size, so that a row's result never depends on its batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from narrows._types import Layout, Rows


def chunk_size(layout: Layout) -> int:
    """Rows per chunk: many small rows, or few large ones; about a million values at a time."""
    return max(16, min(1024, 1_048_576 // max(1, layout.size)))


def in_chunks(function: Callable[[Rows], Tensor], rows: Rows, size: int, device: torch.device) -> Tensor:
    """Apply ``function`` to all rows, a chunk at a time, without gradients.

    The last chunk is filled up with copies of its first row: matrix products of another size round differently, and a
    row's result must not depend on how many rows came with it.

    Args:
        function: Takes ``size`` rows, returns a tensor with ``size`` first.
        rows: B rows.
        size: Rows per chunk.
        device: Where to compute.

    Returns:
        The results, B first, on the CPU.
    """
    n = len(rows)
    results: Tensor | None = None
    with torch.inference_mode():
        for start in range(0, n, size):
            part = rows.take(slice(start, start + size))
            missing = size - len(part)
            if missing:
                index = torch.cat([torch.arange(len(part)), torch.zeros(missing, dtype=torch.long)])
                part = part.take(index)
            result = function(part.to(device))
            if results is None:  # filled chunk by chunk: a list joined at the end would hold everything twice
                results = torch.empty(n, *result.shape[1:], dtype=result.dtype)
            results[start : start + size] = result[: size - missing]
    assert results is not None
    return results
