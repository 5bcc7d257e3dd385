"""The health of codes: which units work, how they go together, and a map of them in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData
from narrows.evaluate.metrics import Floats, to_array

ACTIVE = 0.01  # variance above which a unit counts as active (Burda and others, 2016)
DEAD = 0.01  # a unit that moves less than this share of the liveliest one is dead


def active_units(means: Any, threshold: float = ACTIVE) -> NDArray[np.bool_]:
    r"""Which code units carry information: $\mathrm{Var}_x(E[z_j | x]) > \text{threshold}$.

    Args:
        means: ``(n, L)`` posterior means, as ``transform`` returns them.
        threshold: Variance above which a unit is active, in squared code units.

    Returns:
        ``(L,)`` boolean; its sum is the number of active units.

    Raises:
        InvalidData: If ``means`` is not a table with rows.

    Reference:
        Importance Weighted Autoencoders, Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519.

    Example:
        ```python
        active_units([[0.0, 1.0], [0.0, -1.0]])  # [False, True]
        ```
    """
    return _codes(means).var(axis=0) > threshold


@dataclass(frozen=True)
class CodeHealth:
    """What can be said of codes ``(n, L)`` at a glance.

    Attributes:
        size: Code units, L.
        active: Units whose variance is above 0.01.
        dead: Share of units whose spread is under 1 % of the liveliest unit's; all, when no unit moves.
        mean_activation: Mean of all codes; for codes in (0, 1), what a sparsity target aims at.
        activations: ``(L,)`` mean of each unit.
        variances: ``(L,)`` variance of each unit.
        correlation: ``(L, L)`` correlation between units; 0 for those that never move.
        largest_correlation: Largest absolute correlation between two units, 0 when there is one unit.
    """

    size: int
    active: int
    dead: float
    mean_activation: float
    activations: Floats
    variances: Floats
    correlation: Floats
    largest_correlation: float

    def sentence(self) -> str:
        """One line in words."""
        dead = round(self.dead * self.size)
        parts = [f"{self.active} of {self.size} code units active (variance above {ACTIVE})"]
        if dead:
            parts.append(f"{dead} never moving" if dead < self.size else "none of them moving")
        parts.append(f"mean activation {self.mean_activation:.3g}")
        if self.size > 1:
            parts.append(f"largest correlation between two units {self.largest_correlation:.2f}")
        return ", ".join(parts) + "."


def code_health(codes: Any) -> CodeHealth:
    """The health of codes.

    Args:
        codes: ``(n, L)`` codes, for stochastic bottlenecks the posterior means, as ``transform`` returns them.

    Returns:
        Counts, shares, means and correlations (`CodeHealth`).

    Raises:
        InvalidData: If ``codes`` is not a table with rows.

    Example:
        ```python
        code_health([[0.0, 1.0], [0.0, -1.0]]).dead  # 0.5
        ```
    """
    z = _codes(codes)
    spread = z.std(axis=0)
    # a constant that is not a binary fraction leaves a spread of rounding errors
    moves = spread > 1e-7 * np.maximum(np.abs(z).max(axis=0), 1e-30)
    alive = moves & (spread > DEAD * spread.max())
    unit = np.where(moves, (z - z.mean(axis=0)) / np.where(moves, spread, 1.0), 0.0)
    correlation = unit.T @ unit / len(z)
    between = np.abs(correlation - np.diag(np.diag(correlation)))
    return CodeHealth(
        size=z.shape[1],
        active=int(active_units(z).sum()),
        dead=float(1 - alive.mean()),
        mean_activation=float(z.mean()),
        activations=z.mean(axis=0),
        variances=spread**2,
        correlation=correlation,
        largest_correlation=float(min(between.max(), 1.0)),
    )


@dataclass(frozen=True)
class CodeMap:
    r"""A plane through the codes: $p = (z - \mu) A^\top$.

    Attributes:
        mean: ``(L,)`` the point of the codes that becomes the origin.
        axes: ``(2, L)`` orthonormal axes; the identity when codes have two numbers already.
        explained: ``(2,)`` share of the codes' variance along each axis.

    Example:
        ```python
        plane = CodeMap.fit(codes)
        points = plane(codes)  # (n, 2)
        ```
    """

    mean: Floats
    axes: Floats
    explained: Floats

    @classmethod
    def fit(cls, codes: Any) -> CodeMap:
        """The plane that shows codes best: themselves when they have up to two numbers, else the first two of PCA.

        Args:
            codes: ``(n, L)`` codes.

        Returns:
            The map; signs are fixed so that the largest loading of each axis is positive.

        Raises:
            InvalidData: If ``codes`` is not a table with rows.
        """
        z = _codes(codes)
        size = z.shape[1]
        if size <= 2:
            variance = np.pad(z.var(axis=0), (0, 2 - size))
            return cls(np.zeros(size), np.eye(2, size), variance / max(variance.sum(), 1e-300))
        mean = z.mean(axis=0)
        # the covariance is L × L however many rows there are
        values, vectors = np.linalg.eigh(np.cov(z - mean, rowvar=False, bias=True))
        axes = vectors[:, ::-1][:, :2].T
        signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
        values = np.maximum(values[::-1], 0)
        return cls(mean, axes * signs[:, None], values[:2] / max(values.sum(), 1e-300))

    def __call__(self, codes: Any) -> Floats:
        """Codes ``(n, L)`` as points ``(n, 2)``; a code of one number lies on the horizontal axis."""
        return (_codes(codes, self.mean.size) - self.mean) @ self.axes.T

    def inverse(self, points: Any) -> Floats:
        """Points ``(n, 2)`` as codes ``(n, L)`` on the plane, for decoding what lies between."""
        return _codes(points, 2) @ self.axes + self.mean


def _codes(codes: Any, width: int | None = None) -> Floats:
    z = to_array(codes)
    if z.ndim != 2 or 0 in z.shape:
        raise InvalidData(
            f"codes must be a table of rows and units, not of shape {z.shape}: give what transform returns"
        )
    if width is not None and z.shape[1] != width:
        raise InvalidData(f"these rows have {z.shape[1]} numbers and the map was made for {width}")
    return z
