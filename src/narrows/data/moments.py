"""Moments and ends of numbers that come piece by piece, exactly as if they had come together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from narrows.data.scaling import ENOUGH, Affine, Floats, Scaler, fit_scaler


@dataclass
class Moments:
    """Count, mean, second to fourth central moments and range of what was added so far.

    Pieces are joined by the pairwise formulae, which lose no more than rounding.

    Attributes:
        count: How many numbers were added.
        mean: Their mean.
        second: Σ (x − mean)².
        third: Σ (x − mean)³.
        fourth: Σ (x − mean)⁴.
        low: The smallest.
        high: The largest.

    References:
        Pébay: Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical
        moments, 2008, https://doi.org/10.2172/1028931
    """

    count: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, values: Floats) -> None:
        """Add numbers ``(n,)``, all finite."""
        if len(values):
            centred = values - values.mean()
            square = centred * centred
            self._join(
                len(values),
                float(values.mean()),
                float(square.sum()),
                float((square * centred).sum()),
                float((square * square).sum()),
            )
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def _join(self, m: int, mean: float, second: float, third: float, fourth: float) -> None:
        n, total, gap = self.count, self.count + m, mean - self.mean
        self.fourth += (
            fourth
            + gap**4 * n * m * (n * n - n * m + m * m) / total**3
            + 6 * gap**2 * (n * n * second + m * m * self.second) / total**2
            + 4 * gap * (n * third - m * self.third) / total
        )
        self.third += third + gap**3 * n * m * (n - m) / total**2 + 3 * gap * (n * second - m * self.second) / total
        self.second += second + gap**2 * n * m / total
        self.mean += gap * m / total
        self.count = total

    @property
    def deviation(self) -> float:
        """The standard deviation, of all rather than of a sample."""
        return math.sqrt(max(self.second, 0.0) / self.count)

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis; 0 when all are equal."""
        return self.count * self.fourth / self.second**2 - 3.0 if self.second > 0 else 0.0

    def shifted(self, by: float) -> Moments:
        """The moments of ``x + by``."""
        return Moments(self.count, self.mean + by, self.second, self.third, self.fourth, self.low + by, self.high + by)


def fit_scaler_to(moments: Moments, sample: Floats, scaling: str, heavy: float) -> tuple[Scaler, str | None]:
    """What `fit_scaler` would choose for all numbers, from their moments and a sample of them.

    Means, deviations and ends are exact; medians, quartiles and quantiles are those of the sample.

    Args:
        moments: Of all observed numbers, at least one.
        sample: ``(m,)`` some of them; all of them when ``m`` is their count.
        scaling: As for `fit_scaler`.
        heavy: Excess kurtosis above which tails are heavy.

    Returns:
        The scaler, and in words why it is not the ordinary one (None when it is).
    """
    low, high = moments.low, moments.high
    if low == high or scaling in ("none", "minmax"):
        return fit_scaler(np.array([low, high]), scaling, heavy)
    spread = moments.deviation
    standard = Affine("standard", moments.mean, spread if spread > 0 else high - low)
    if scaling == "standard" or (scaling == "auto" and (moments.count < ENOUGH or moments.kurtosis <= heavy)):
        return standard, None
    part = len(sample) < moments.count
    # the extremes that a sample misses are what makes tails heavy
    scaler, note = fit_scaler(np.append(sample, [low, high]) if part else sample, scaling, heavy)
    if scaling == "auto" and note is None:
        return standard, None
    if part:
        note = f"{note or f'{scaling} scaling'} (quantiles of {len(sample):,} sampled cells)"
    return scaler, note
