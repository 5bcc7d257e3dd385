"""Which rows are held out to stop by: by chance, and of windows that share steps the last of their series."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._types import Rows
from narrows.training import Training
from narrows.training.seeds import hash_seed

FEWEST = 0.5  # of the rows that would be left by chance: where the gap costs more, nothing is held out


def split_rows(rows: Rows, training: Training, seed: int) -> tuple[Rows, Rows | None]:
    """Training rows and validation rows.

    Rows are held out by chance. Windows of one series overlap, so that one held out by chance would be judged by what
    learnt its neighbours: of a long series the last windows are held out, of shorter ones some series as a whole, and
    what shares steps with them is in neither part.

    Args:
        rows: All rows, which are used up: training rows stay in their memory.
        training: Says how many to hold out.
        seed: Equal seeds hold out the same rows.

    Returns:
        Both parts; None for the second where too few rows would be left, or none are to be held out.
    """
    count = training.held_out(len(rows))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(hash_seed(seed, 2)))
    held, gap = order[:count], order[:0]
    place, rows = rows.place, rows.replace(place=None)
    if count and place is not None and bool((place[:, 1] > 0).any()):
        held, gap = (torch.from_numpy(part) for part in _last_windows(place, rows.values.shape[1], count, order))
    left = len(rows) - len(held) - len(gap)
    if not len(held) or left < FEWEST * (len(rows) - count):
        return rows, None
    validation = rows.take(held)
    _close_up(rows, torch.cat([held, gap]), left)
    return rows.take(slice(left)), validation


def _last_windows(place: Tensor, steps: int, count: int, order: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """About ``count`` windows to hold out, and those that share steps with them but are none of them."""
    series, start = place.numpy().T
    drawn = series[order.numpy()]
    drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]  # every series once, in an order by chance
    by_series = np.lexsort((start, series))
    names, first = np.unique(series[by_series], return_index=True)
    windows = dict(zip(names.tolist(), np.split(by_series, first[1:]), strict=True))
    share, short = count / len(series), 0
    wanted: dict[int, int] = {}
    for name, own in windows.items():
        own_share = round(share * len(own))
        # a gap that costs less than what is held out is worth a look at every series
        if own_share and _overlapping(start[own], own_share, steps) <= own_share:
            wanted[name] = own_share
        else:
            short += len(own)
    budget = round(share * short)
    for name in drawn.tolist():
        if name not in wanted:
            wanted[name] = min(budget, len(windows[name]))
            budget -= wanted[name]
    held, gap = [], []
    for name, own in windows.items():
        last = len(own) - wanted[name]
        shared = _overlapping(start[own], wanted[name], steps)
        held.append(own[last:])
        gap.append(own[last - shared : last])
    return np.concatenate(held), np.concatenate(gap)


def _overlapping(start: NDArray[np.int64], last: int, steps: int) -> int:
    """How many windows before the ``last`` ones share steps with them; ``start`` is in order."""
    return int((start[: len(start) - last] > start[len(start) - last] - steps).sum()) if last else 0


def _close_up(rows: Rows, gone: Tensor, left: int) -> None:
    """Fill the places of rows that are gone with the last rows, so that the first ``left`` remain."""
    stays = torch.ones(len(rows), dtype=torch.bool).index_fill_(0, gone, False)
    holes, last = gone[gone < left], left + stays[left:].nonzero().squeeze(1)
    for tensor in rows.tensors().values():
        tensor[holes] = tensor[last]
