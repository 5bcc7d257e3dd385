"""A first look at rows that may be contaminated: which of them had better not be learnt from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LOOKED_AT = 5_000
TREES = 200


def suspicion(x: Tensor, seed: int) -> Tensor:
    """How suspicious every row is ``(n,)``: the mean of two robust, network-free scores, standardised.

    One is the logarithm of the distance to the k-th nearest of (at most 5,000) rows, k a tenth of them, so that a
    cluster of strange rows does not vouch for itself; the other an isolation forest's score.

    Args:
        x: ``(n, D)`` features.
        seed: Fixes the forest and the rows that are looked at.

    Reference:
        Isolation Forest, Liu, Ting, Zhou, 2008, https://doi.org/10.1109/ICDM.2008.17
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors

    rows = x.double().numpy()
    some = np.random.default_rng(seed).permutation(len(rows))[:LOOKED_AT]
    k = min(max(5, len(some) // 10), len(some) - 1)
    search = NearestNeighbors(n_neighbors=k + 1).fit(rows[some])
    # a row among those looked at finds itself first, and has one more to go
    own = np.isin(np.arange(len(rows)), some).astype(int)
    distance = search.kneighbors(rows)[0][np.arange(len(rows)), k - 1 + own]
    forest = IsolationForest(n_estimators=TREES, random_state=seed % 2**32).fit(rows)
    return torch.from_numpy(_standard(np.log(distance + 1e-3)) + _standard(-forest.score_samples(rows)))


def _standard(score: np.ndarray) -> np.ndarray:
    spread = score.std()
    return np.asarray((score - score.mean()) / (spread if spread > 0 else 1.0))
