"""Shares of categories as they were: what is added to log-odds so that draws have the data's margins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._types import Distribution
from narrows.likelihoods.discrete import CategoricalDistribution
from narrows.likelihoods.mixed import MixedDistribution

ROUNDS = 30
FARTHEST = 3.0  # log-odds: a category that the model never expects is not forced upon it

Floats = NDArray[np.float64]


def matched(x: Distribution, shares: Mapping[int, Floats]) -> dict[int, Floats]:
    """What to add to the log-odds of p(x|z) so that its mean over z gives every category the wanted share.

    w ← w + log s − log mean_z softmax(θ(z) + w), column by column: iterative proportional fitting of one margin.

    Args:
        x: p(x|z) of n codes.
        shares: Wanted shares ``(K,)``, by column; columns without categories are left out.

    Returns:
        w ``(K,)`` by column, from −3 to 3.

    References:
        Deming, Stephan: On a Least Squares Adjustment of a Sampled Frequency Table When the Expected Marginal Totals
        are Known, 1940, https://doi.org/10.1214/aoms/1177731829
    """
    found = {}
    for column, wanted in shares.items():
        logits = _logits(x, column)
        if logits is None:
            continue
        share = torch.as_tensor(wanted, dtype=logits.dtype, device=logits.device)
        found[column] = shift_towards(logits, share).double().cpu().numpy()
    return found


def shift_towards(logits: Tensor, share: Tensor) -> Tensor:
    """What to add to log-odds ``(n, K)`` so that their mean gives every category its share ``(K,)``, from −3 to 3."""
    share = share.clamp_min(1e-9)
    shift = torch.zeros_like(share)
    for _ in range(ROUNDS):
        now = (logits + shift).softmax(-1).mean(0).clamp_min(1e-9)
        shift = (shift + share.log() - now.log()).clamp(-FARTHEST, FARTHEST)
    return shift


def shifted(x: Distribution, shares: Mapping[int, Floats]) -> Distribution:
    """The distribution with ``shares`` added to the log-odds of its categories."""
    if not shares:
        return x
    if isinstance(x, CategoricalDistribution):
        return replace(x, logits=x.logits + _flat(x, tuple(range(len(x.segments.starts))), shares))
    assert isinstance(x, MixedDistribution)
    groups = [
        replace(group, logits=group.logits + _flat(group, members, shares))
        if isinstance(group, CategoricalDistribution)
        else group
        for group, members in zip(x.groups, x.members, strict=True)
    ]
    return replace(x, groups=tuple(groups))


def _flat(x: CategoricalDistribution, members: tuple[int, ...], shares: Mapping[int, Floats]) -> Tensor:
    flat = torch.zeros(x.logits.shape[-1])
    for place, column in enumerate(members):
        if column in shares:
            start = x.segments.starts[place]
            flat[start : start + len(shares[column])] = torch.as_tensor(shares[column], dtype=flat.dtype)
    return flat.to(x.logits)


def _logits(x: Distribution, column: int) -> Tensor | None:
    """``(n, K)`` log-probabilities of a column's categories; None where it has none."""
    if isinstance(x, CategoricalDistribution):
        return x.probabilities(column).clamp_min(1e-12).log()
    if isinstance(x, MixedDistribution):
        for group, members in zip(x.groups, x.members, strict=True):
            if column in members and isinstance(group, CategoricalDistribution):
                return group.probabilities(members.index(column)).clamp_min(1e-12).log()
    return None
