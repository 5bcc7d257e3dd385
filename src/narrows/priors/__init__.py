"""Priors: what a model believes of codes before it has seen a row.

A built prior's ``forward`` returns a distribution over codes with ``log_prob(z)`` ``(…, L) -> (…)``, ``sample(n)``
``(n, L)``, ``sample_like(z)``, draws of the shape of ``z``, and ``near(z, size)``, steps that leave it as it is.
"""

from __future__ import annotations

from narrows.priors._base import CodeDistribution, CodeFit, Prior, PriorModule, StandardNormal, StandardNormalModule
from narrows.priors._diffusion import Diffusion, DiffusionDistribution, DiffusionPriorModule
from narrows.priors._distributions import MixtureDistribution
from narrows.priors._flow import Flow, FlowDistribution, FlowModule
from narrows.priors._hierarchical import Hierarchical, HierarchicalDistribution, HierarchicalModule
from narrows.priors._learned import LearnedMixture, LearnedMixtureModule, VampPrior, VampPriorModule
from narrows.priors._mixture import Mixture, MixtureModule

__all__ = [
    "CodeDistribution",
    "CodeFit",
    "Diffusion",
    "DiffusionDistribution",
    "DiffusionPriorModule",
    "Flow",
    "FlowDistribution",
    "FlowModule",
    "Hierarchical",
    "HierarchicalDistribution",
    "HierarchicalModule",
    "LearnedMixture",
    "LearnedMixtureModule",
    "Mixture",
    "MixtureDistribution",
    "MixtureModule",
    "Prior",
    "PriorModule",
    "StandardNormal",
    "StandardNormalModule",
    "VampPrior",
    "VampPriorModule",
]
