"""How well the units of a code keep apart the factors that rows were made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData

_TREES = 30
_LEAF = 3  # rows in a leaf: one alone would make every unit that is noise important
_TEST = 0.25


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> NDArray[np.float64]:
    """How much every code unit says of every factor, alone.

    I(z_j; v_k), from counts, the units cut into bins of equal width.

    Args:
        codes: ``(n, L)``.
        factors: ``(n, K)`` which value every factor has: whole numbers, or anything that can be told apart.
        bins: Of a unit.

    Returns:
        ``(L, K)`` in nats.

    Raises:
        InvalidData: If there are not as many codes as factors, or codes are not finite.
    """
    z, v = _checked(codes, factors)
    binned = np.stack([_binned(unit, bins) for unit in z.T], axis=1)
    return np.array([[_information(unit, factor) for factor in v.T] for unit in binned.T])


def mutual_information_gap(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """The mutual information gap: whether one unit alone knows each factor.

    MIG = 1/K Σ_k (I(z_a; v_k) − I(z_b; v_k)) / H(v_k), a and b being the two units that say most of factor k: 1 when
    every factor has a unit to itself, 0 when two units know it equally well. A factor that never varies is left out.

    Args:
        codes: ``(n, L)``.
        factors: ``(n, K)`` which value every factor has.
        bins: Of a unit.

    Returns:
        A number from 0 to 1.

    References:
        Chen, Li, Grosse, Duvenaud: Isolating Sources of Disentanglement in Variational Autoencoders, 2018,
        https://arxiv.org/abs/1802.04942

    Example:
        ```python
        factors = np.stack([labels, labels % 2], axis=1)
        evaluate.mutual_information_gap(codes, factors)
        ```
    """
    _, v = _checked(codes, factors)
    entropy = np.array([_information(factor, factor) for factor in v.T])
    varies = entropy > 0
    if not varies.any():
        raise InvalidData("no factor varies, so there is nothing to tell apart")
    found = np.sort(mutual_information(codes, factors, bins)[:, varies], axis=0)
    second = found[-2] if len(found) > 1 else 0.0
    return float(((found[-1] - second) / entropy[varies]).mean())


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness of codes.

    Attributes:
        disentanglement: Whether each unit serves one factor only, from 0 to 1; units count by how much they are used.
        completeness: Whether each factor is served by one unit only, from 0 to 1, the mean of the factors.
        informativeness: Share of held-out rows of which a factor is predicted right, the mean of the factors.
        importance: ``(L, K)`` how much the prediction of factor k rests on unit j; columns add up to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: NDArray[np.float64]


def dci(codes: ArrayLike, factors: ArrayLike, random_state: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness, by forests that predict each factor from the code.

    With R_jk the importance of unit j for factor k: D = Σ_j ρ_j (1 − H_K(R_j· / Σ_k R_jk)), ρ_j the share of unit j in
    all importance, and C = 1/K Σ_k (1 − H_L(R_·k)), entropies to the base K and L.

    Args:
        codes: ``(n, L)``.
        factors: ``(n, K)`` which value every factor has.
        random_state: Of the forests and of the quarter of the rows that is held out.

    Returns:
        The three numbers and the matrix that they come from.

    Raises:
        InvalidData: If there are not as many codes as factors, codes are not finite, or no factor varies.

    References:
        Eastwood, Williams: A Framework for the Quantitative Evaluation of Disentangled Representations, 2018,
        https://openreview.net/forum?id=By-7dz-AZ
    """
    z, v = _checked(codes, factors)
    v = v[:, [len(np.unique(factor)) > 1 for factor in v.T]]
    if not v.shape[1] or len(z) < 8:
        raise InvalidData("no factor varies, or there are fewer than 8 rows: there is nothing to predict")
    order = np.random.default_rng(random_state).permutation(len(z))
    held = int(_TEST * len(z))
    found = [_predicted(z, factor, order[held:], order[:held], random_state) for factor in v.T]
    importance = np.stack([weights for weights, _ in found], axis=1)
    used = importance.sum(1)
    units = 1 - _entropy(importance / np.maximum(used, 1e-12)[:, None], axis=1)
    return DCI(
        disentanglement=float((units * used).sum() / max(used.sum(), 1e-12)),
        completeness=float((1 - _entropy(importance, axis=0)).mean()),
        informativeness=float(np.mean([right for _, right in found])),
        importance=importance,
    )


def _predicted(
    z: NDArray[np.float64], factor: NDArray[np.int64], train: NDArray[np.int64], test: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], float]:
    """How important each unit is for a factor, and how often the factor is predicted right."""
    from sklearn.ensemble import RandomForestClassifier

    # all units are looked at in every split, so that those that know nothing are not chosen for want of a better one
    forest = RandomForestClassifier(_TREES, min_samples_leaf=_LEAF, max_features=None, random_state=seed)
    forest.fit(z[train], factor[train])
    return forest.feature_importances_, float((forest.predict(z[test]) == factor[test]).mean())


def _entropy(shares: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Entropy of shares to the base of how many there are; 0 where there is only one."""
    count = shares.shape[axis]
    if count == 1:
        return np.zeros(shares.sum(axis).shape)
    return -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=axis) / np.log(count)


def _checked(codes: Any, factors: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    z, v = np.asarray(codes, dtype=np.float64), np.asarray(factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or not len(z):
        raise InvalidData(f"codes of shape {z.shape} and factors of shape {v.shape} are not (n, L) and (n, K)")
    if not np.isfinite(z).all():
        raise InvalidData("the codes are not all finite: the model has diverged")
    return z, np.stack([np.unique(factor, return_inverse=True)[1].reshape(-1) for factor in v.T], axis=1)


def _binned(unit: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    low, high = unit.min(), unit.max()
    if high <= low:
        return np.zeros(len(unit), np.int64)
    return np.minimum((bins * ((unit - low) / (high - low))).astype(np.int64), bins - 1)


def _information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Mutual information of two columns of whole numbers, in nats."""
    width = int(b.max()) + 1
    joint = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width) / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())
