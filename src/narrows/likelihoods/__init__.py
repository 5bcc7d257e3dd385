"""Likelihoods: how a reconstruction is judged, element by element.

A likelihood alone fixes the decoder's last activation and the reconstruction loss: Gaussian is a linear output with
squared error, Bernoulli a sigmoid with cross-entropy, categorical a softmax with cross-entropy, and so on.
"""

from __future__ import annotations

from narrows.likelihoods.base import Likelihood, feature_axis, log_likelihood, masked_sum
from narrows.likelihoods.continuous import (
    ContinuousBernoulli,
    ContinuousBernoulliDistribution,
    Gaussian,
    GaussianDistribution,
    Laplace,
    LaplaceDistribution,
)
from narrows.likelihoods.discrete import (
    Bernoulli,
    BernoulliDistribution,
    Categorical,
    CategoricalDistribution,
    Poisson,
    PoissonDistribution,
)
from narrows.likelihoods.mixed import Mixed, MixedDistribution

__all__ = [
    "Bernoulli",
    "BernoulliDistribution",
    "Categorical",
    "CategoricalDistribution",
    "ContinuousBernoulli",
    "ContinuousBernoulliDistribution",
    "Gaussian",
    "GaussianDistribution",
    "Laplace",
    "LaplaceDistribution",
    "Likelihood",
    "Mixed",
    "MixedDistribution",
    "Poisson",
    "PoissonDistribution",
    "feature_axis",
    "log_likelihood",
    "masked_sum",
]
