"""Penalties: costs added to the reconstruction's, in nats per row where they have a unit."""

from __future__ import annotations

from narrows.penalties._adversarial import Adversarial, CriticPenalty, CriticTotalCorrelation, Judged, critics
from narrows.penalties._base import Penalty
from narrows.penalties._codes import L1, L2, Sparsity
from narrows.penalties._contraction import Contraction
from narrows.penalties._covariance import DIP
from narrows.penalties._divergence import KL, TotalCorrelation, kl_bernoulli, kl_categorical, kl_of_rows
from narrows.penalties._mmd import MMD
from narrows.penalties._several import Penalties, as_penalties

__all__ = [
    "DIP",
    "KL",
    "L1",
    "L2",
    "MMD",
    "Adversarial",
    "Contraction",
    "CriticPenalty",
    "CriticTotalCorrelation",
    "Judged",
    "Penalties",
    "Penalty",
    "Sparsity",
    "TotalCorrelation",
    "as_penalties",
    "critics",
    "kl_bernoulli",
    "kl_categorical",
    "kl_of_rows",
]
