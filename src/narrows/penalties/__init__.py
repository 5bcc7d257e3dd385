"""Penalties: costs added to the reconstruction's, in nats per row where they have a unit."""

from __future__ import annotations

from narrows.penalties._base import Penalty
from narrows.penalties._codes import L1, L2, Sparsity
from narrows.penalties._contraction import Contraction
from narrows.penalties._divergence import KL, TotalCorrelation, kl_bernoulli, kl_categorical, kl_of_rows
from narrows.penalties._mmd import MMD
from narrows.penalties._several import Penalties, as_penalties

__all__ = [
    "KL",
    "L1",
    "L2",
    "MMD",
    "Contraction",
    "Penalties",
    "Penalty",
    "Sparsity",
    "TotalCorrelation",
    "as_penalties",
    "kl_bernoulli",
    "kl_categorical",
    "kl_of_rows",
]
