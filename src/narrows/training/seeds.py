"""Seeds: mixed from whole numbers, and used without touching the caller's generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def hash_seed(*numbers: int) -> int:
    """One seed from several whole numbers, well mixed (SplitMix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators for the length of a block; afterwards they are as they were.

    ``torch.manual_seed`` seeds every device, so those of every device are kept. Where there is none, it would note who
    called it, for a device that may yet come: that takes longer than a step of a small network.
    """
    devices = range(torch.cuda.device_count())
    alone = not devices and not torch.backends.mps.is_available()
    with torch.random.fork_rng(devices=devices):
        (torch.default_generator.manual_seed if alone else torch.manual_seed)(seed)
        yield


@contextmanager
def same_threads(wanted: int | None = None) -> Iterator[None]:
    """Leave torch's number of threads as it was, whatever happens in the block, which begins with ``wanted`` of them.

    Args:
        wanted: How many to compute with; None: as many as there are. A resumed run sets its own.
    """
    threads = torch.get_num_threads()
    try:
        if wanted is not None:
            torch.set_num_threads(wanted)
        yield
    finally:
        torch.set_num_threads(threads)
