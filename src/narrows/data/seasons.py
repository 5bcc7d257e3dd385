"""Seasons: how long until a series repeats itself, found by its autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Autocorrelation that a season must reach.
CLEAR = 0.3
#: How much of the highest peak's autocorrelation an earlier one must have to be the season: its multiples peak too.
EARLIER = 0.9
#: Peaks up to this many times as far are the same one.
NEAR = 1.15
#: How far the autocorrelation must have fallen before it rises to a peak; less is a ripple.
FALL = 0.15


def autocorrelation(values: Floats, most: int) -> Floats:
    """Autocorrelation of a series at lags 0 to ``most``, over the pairs of steps that are both there.

    r_k = Σ (x_t − m)(x_{t+k} − m) / (n_k s²), with n_k the pairs at lag k.

    Args:
        values: ``(T,)``, NaN where blank.
        most: The largest lag, below T.

    Returns:
        ``(most + 1,)``; zeros for a constant series.
    """
    seen = np.isfinite(values)
    x = np.where(seen, values - (values[seen].mean() if seen.any() else 0.0), 0.0)
    variance = float((x**2).sum() / max(1, seen.sum()))
    if variance <= 1e-24:
        return np.zeros(most + 1)
    size = 1 << int(2 * len(x) - 1).bit_length()
    products = np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2)[: most + 1]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(seen.astype(float), size)) ** 2)[: most + 1]
    return products / np.maximum(pairs.round(), 1) / variance


def find_season(tracks: Sequence[Any], longest: int = 400) -> tuple[int, float]:
    """The season of series: the lag at which they repeat themselves.

    The autocorrelation of each series, less the straight line through its values, is averaged over series and channels.
    The season is its first peak, of those at 0.3 or more after a fall by 0.15 or more, that is
    within a tenth of the highest. Only lags of which there are two whole periods and more are looked at.

    Args:
        tracks: Arrays ``(T, C)`` of numbers, NaN where blank.
        longest: The largest lag that is looked at.

    Returns:
        The season in steps, 1 where there is none; and the autocorrelation there.

    Example:
        ```python
        find_season([np.sin(np.arange(100) * 2 * np.pi / 12)[:, None]])[0]  # 12
        ```
    """
    usable = [np.asarray(t, dtype=np.float64) for t in tracks if len(t) >= 8]
    if not usable:
        return 1, 0.0
    most = min(longest, max(len(t) for t in usable) // 2)
    total, weight = np.zeros(most + 1), np.zeros(most + 1)
    for track in usable:
        lags = min(most, len(track) // 2)
        for j in range(track.shape[1]):
            total[: lags + 1] += len(track) * autocorrelation(_level(track[:, j]), lags)
            weight[: lags + 1] += len(track)
    found = total / np.maximum(weight, 1)
    inside = np.arange(2, most)
    peaks = (
        inside[(found[inside] >= found[inside - 1]) & (found[inside] > found[inside + 1])] if most > 2 else inside[:0]
    )
    lowest = np.minimum.accumulate(found)
    peaks = peaks[(found[peaks] >= CLEAR) & (lowest[peaks] <= found[peaks] - FALL)]
    if not len(peaks):
        return 1, 0.0
    first = peaks[found[peaks] >= EARLIER * found[peaks].max()][0]
    near = peaks[(peaks >= first) & (peaks <= NEAR * first)]  # noise makes several peaks of one that is wide
    best = near[found[near].argmax()]
    return int(best), float(found[best])


def _level(values: Floats) -> Floats:
    """What is left of a series without the straight line through it."""
    seen = np.isfinite(values)
    if seen.sum() < 3:
        return np.full_like(values, np.nan)
    t = np.arange(len(values), dtype=np.float64)
    slope, middle = np.polyfit(t[seen], values[seen], 1)
    return values - (slope * t + middle)
