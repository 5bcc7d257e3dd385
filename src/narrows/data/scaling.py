"""Scalers: one column of numbers into scaled units and back, in float64."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Excess kurtosis above which a named column counts as heavy-tailed (a normal has 0, an exponential 6).
HEAVY = 10.0
#: The same for columns of plain arrays, which are often one thing measured many times (pixels, channels): there it
#: takes more to treat columns differently.
HEAVY_ARRAY = 60.0
#: A heavy-tailed column whose farthest value is within this many robust deviations of the median is scaled
#: robustly; beyond it a linear scaling would let one cell outweigh all others, so quantiles are used.
FARTHEST = 20.0
#: Fewer observed values than this say nothing about tails.
ENOUGH = 50
#: How many quantiles are kept at most.
KNOTS = 1000


@dataclass(frozen=True)
class Affine:
    """A straight line: z = (x − centre) / scale.

    Attributes:
        kind: What it is called: "standard", "robust", "minmax", "none" or "constant".
        centre: The value that becomes 0.
        scale: The distance that becomes 1; above 0.
    """

    kind: str
    centre: float
    scale: float

    def forward(self, x: Floats) -> Floats:
        """Scaled values ``(n,)`` of raw ones ``(n,)``."""
        return (x - self.centre) / self.scale

    def inverse(self, z: Floats) -> Floats:
        """Raw values ``(n,)`` of scaled ones ``(n,)``."""
        return z * self.scale + self.centre

    def to_config(self) -> dict[str, Any]:
        """The scaler as plain JSON."""
        return {"kind": self.kind, "centre": self.centre, "scale": self.scale}


@dataclass(frozen=True)
class Quantiles:
    """Quantiles to those of a standard normal, straight lines between them.

    Knots are up to 1000 evenly spaced quantiles x_k with z_k = Φ⁻¹((k + ½) / K); equal quantiles share the mean of
    their z. Outside the observed range the line of the whole range goes on, so that outliers stay outliers.

    Attributes:
        x: Raw knots, strictly increasing.
        z: Scaled knots, strictly increasing, as many.
    """

    x: tuple[float, ...]
    z: tuple[float, ...]
    kind: str = "quantile"

    def forward(self, x: Floats) -> Floats:
        """Scaled values ``(n,)`` of raw ones ``(n,)``."""
        return _interpolate(x, np.asarray(self.x), np.asarray(self.z))

    def inverse(self, z: Floats) -> Floats:
        """Raw values ``(n,)`` of scaled ones ``(n,)``."""
        return _interpolate(z, np.asarray(self.z), np.asarray(self.x))

    def to_config(self) -> dict[str, Any]:
        """The scaler as plain JSON."""
        return {"kind": self.kind, "x": list(self.x), "z": list(self.z)}


Scaler = Affine | Quantiles


def scaler_from_config(config: Mapping[str, Any]) -> Scaler:
    """The scaler that ``to_config`` described."""
    if config["kind"] == "quantile":
        x, z = tuple(map(float, config["x"])), tuple(map(float, config["z"]))
        if len(x) != len(z) or len(x) < 2:
            raise ValueError("a quantile scaler needs as many x as z, at least two")
        return Quantiles(x, z)
    return Affine(str(config["kind"]), float(config["centre"]), float(config["scale"]))


def fit_scaler(values: Floats, scaling: str, heavy: float = HEAVY) -> tuple[Scaler, str | None]:
    """The scaler for one column.

    "auto" is standard (mean and standard deviation) unless the column is heavy-tailed: at least 50 observed values
    whose excess kurtosis is above ``heavy``, the most common value set aside if more than half of the cells hold it
    (a pixel that is mostly black is not heavy-tailed). Heavy tails are scaled robustly (median, and interquartile
    range / 1.349) when no value is beyond 20 robust deviations, by quantiles otherwise.

    Args:
        values: ``(n,)`` observed values, finite, n ≥ 1.
        scaling: "auto", "standard", "robust", "quantile", "minmax" or "none".
        heavy: Excess kurtosis above which tails are heavy.

    Returns:
        The scaler, and in words why it is not the ordinary one (None when it is).
    """
    low, high = float(values.min()), float(values.max())
    if scaling == "none":
        return Affine("none", 0.0, 1.0), None
    if scaling == "minmax":
        return Affine("minmax", low, _positive(high - low)), None
    if low == high:
        return Affine("constant", low, max(abs(low), 1.0)), None
    if scaling == "robust":
        return _robust(values), None
    if scaling == "quantile":
        return _quantiles(values), None
    standard = _standard(values)
    if scaling == "standard":
        return standard, None
    return _tails(values, standard, heavy)


def _tails(values: Floats, standard: Affine, heavy: float) -> tuple[Scaler, str | None]:
    if len(values) < ENOUGH or _kurtosis(values, standard) <= heavy:
        return standard, None
    distinct, counts = np.unique(values, return_counts=True)
    if counts.max() > len(values) / 2:
        rest = values[values != distinct[counts.argmax()]]
        if len(rest) < ENOUGH or _kurtosis(rest, _standard(rest)) <= heavy:
            return standard, None
    robust = _robust(values)
    farthest = float(np.abs(robust.forward(values)).max())
    if robust.kind == "robust" and farthest <= FARTHEST:
        return robust, "heavy tails: robust scaling"
    return _quantiles(values), "very heavy tails: quantile scaling"


def _robust(values: Floats) -> Affine:
    low, middle, high = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    if high - low <= 0:
        # more than half of the cells are equal: the range of the middle half says nothing
        return Affine("standard", middle, _positive(float(values.std()), float(np.ptp(values))))
    return Affine("robust", middle, (high - low) / 1.349)


def _quantiles(values: Floats) -> Quantiles:
    count = min(KNOTS, max(len(values), 2))
    raw = np.quantile(values, np.linspace(0, 1, count))
    raw[0], raw[-1] = values.min(), values.max()
    raw = np.maximum.accumulate(raw)
    normal = statistics.NormalDist()
    scaled = np.array([normal.inv_cdf((k + 0.5) / count) for k in range(count)])
    apart = np.diff(raw) > 8 * np.finfo(float).eps * np.abs(raw[1:]) + 1e-290
    group = np.concatenate([[0], np.cumsum(apart)])
    if group[-1] == 0:
        return Quantiles((float(raw[0]), float(raw[-1])), (float(scaled[0]), float(scaled[-1])))
    z = np.bincount(group, weights=scaled) / np.bincount(group)
    x = raw[np.concatenate([[True], apart])]
    x[-1] = raw[-1]
    return Quantiles(tuple(x.tolist()), tuple(z.tolist()))


def _interpolate(x: Floats, knots: Floats, values: Floats) -> Floats:
    slope = (values[-1] - values[0]) / (knots[-1] - knots[0])
    beyond = (np.minimum(x - knots[0], 0) + np.maximum(x - knots[-1], 0)) * slope
    return np.interp(x, knots, values) + beyond


def _standard(values: Floats) -> Affine:
    return Affine("standard", float(values.mean()), _positive(float(values.std()), float(np.ptp(values))))


def _kurtosis(values: Floats, standard: Affine) -> float:
    squares = np.square(standard.forward(values))
    return float(np.square(squares).mean()) - 3.0  # numpy's fourth power takes ten times as long


def _positive(*scales: float) -> float:
    """The first scale that can be divided by."""
    return next((s for s in scales if s > 0 and np.isfinite(s)), 1.0)
