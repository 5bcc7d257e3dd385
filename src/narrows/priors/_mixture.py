"""A mixture of Gaussians fitted to codes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.priors._base import Prior, PriorModule, checked
from narrows.priors._distributions import MixtureDistribution, of_class

Fitted = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]  # weights, means, scales

_MOST_ROWS = 20_000
_JITTER = 1e-4
_TRIED = (5, 10, 20, 40)  # Gaussians, where nobody says how many


class Mixture(Prior):
    """A mixture of Gaussians fitted to the codes after training, so that any autoencoder can sample.

    p(z) = Σ_k π_k N(z; μ_k, Σ_k); with labels, one such mixture for every class.

    Args:
        components: How many Gaussians, for every class; fewer when there are too few codes to fit them. None: 5, 10, 20
            or 40, as long as twice as many are worth their parameters (the Bayesian information criterion).
        covariance: ``"full"``, or ``"diag"`` for codes of many numbers and few rows.

    Reference:
        From Variational to Deterministic Autoencoders. Partha Ghosh, Mehdi S. M. Sajjadi, Antonio Vergari, Michael
        Black, Bernhard Schölkopf, 2020. https://arxiv.org/abs/1903.12436

    Example:
        ```python
        prior = Mixture(components=2).build(size=3)
        prior.fit_codes(codes, seed=0)
        prior().sample(5).shape  # (5, 3)
        ```
    """

    components: Annotated[int, Interval(1)] | None = None
    covariance: Literal["full", "diag"] = "full"

    fitted_afterwards: ClassVar[bool] = True

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> MixtureModule:
        """The module that holds the mixture; `MixtureModule.fit_codes` fits it."""
        tried = _TRIED if self.components is None else (int(self.components),)
        return MixtureModule(tried, size, self.covariance, classes)


class MixtureModule(PriorModule):
    """A mixture prior, built. Its buffers' shapes depend on the part and the code size only, never on the data.

    Attributes:
        weights: ``(K,)`` π; all zero before fitting, and zero for components that are not in use. Where rows have
            classes, K is so many for each, one class after the other.
        means: ``(K, L)`` μ.
        scales: ``(K, L, L)`` lower-triangular factors of Σ, or ``(K, L)`` standard deviations.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    def __init__(self, tried: Sequence[int], size: int, covariance: Literal["full", "diag"], classes: int = 0) -> None:
        super().__init__()
        self.tried, components = tuple(tried), max(tried)
        self.covariance, self.classes, self.conditional = covariance, max(classes, 1), classes > 0
        components *= self.classes
        unit = torch.eye(size) if covariance == "full" else torch.ones(size)
        self.register_buffer("weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, size))
        self.register_buffer("scales", unit.expand(components, *unit.shape).clone())

    @property
    def fitted(self) -> bool:
        """Whether the mixture has been fitted (or loaded)."""
        return bool((self.weights > 0).any())

    def forward(self, condition: Tensor | None = None) -> MixtureDistribution:
        """The fitted mixture.

        Raises:
            InvalidParameter: If it has not been fitted.
        """
        if not self.fitted:
            raise InvalidParameter(
                "the mixture prior has not been fitted to codes, so it has no density and cannot be sampled: "
                "fit the model first, or call fit_codes(codes, seed)"
            )
        weights = self.weights
        if condition is not None and self.conditional:
            joint = weights.reshape(self.classes, -1)
            weights = of_class(joint / joint.sum(-1, keepdim=True).clamp_min(1e-30), weights, condition)
        return MixtureDistribution(weights, self.means, self.scales)

    def fit_codes(self, z: NDArray[Any], seed: int = 0, condition: NDArray[Any] | None = None) -> None:
        """Fit the mixture to codes, by expectation-maximisation.

        Codes are standardised for the fit, and a small part of their variance is added to every covariance, so that
        constant code units and repeated rows do no harm. Of more than 20,000 rows a random 20,000 are used.

        Args:
            z: ``(n, L)`` codes.
            seed: Fixes the random start; numpy's and torch's global generators are not touched.
            condition: ``(n,)`` class of every row, −1 where it is unknown: such rows are left out.

        Raises:
            InvalidData: If the codes have the wrong width, are not finite, or there are none.
        """
        codes = checked(z, self.means.shape[1])
        kept = np.random.default_rng(seed).permutation(len(codes))[:_MOST_ROWS]
        codes, known = codes[kept], np.zeros(len(kept), int) if condition is None else np.asarray(condition)[kept]
        with torch.no_grad():
            self.weights.zero_()
            self.means.zero_()
            for c in set(known[known >= 0].tolist()):
                self._fit_class(c, codes[known == c], float((known == c).sum() / (known >= 0).sum()), seed)

    def _fit_class(self, number: int, codes: NDArray[np.float64], share: float, seed: int) -> None:
        first = number * (len(self.means) // self.classes)
        centre, spread = codes.mean(0), _spread(codes)
        weights, means, scales = _best((codes - centre) / spread, self.tried, self.covariance, seed)
        own = slice(first, first + len(weights))
        self.weights[own] = share * torch.as_tensor(weights)
        self.means[own] = torch.as_tensor(centre + spread * means)
        self.scales[own] = torch.as_tensor((spread[:, None] if self.covariance == "full" else spread) * scales)


def _spread(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations, those of (nearly) constant code units raised to a thousandth of the largest."""
    spread = codes.std(0)
    least = 1e-3 * spread.max()
    size = np.abs(codes).max(0)
    return np.maximum(spread, np.maximum(least, 1e-6 * np.maximum(size, 1.0)))


def _best(codes: NDArray[np.float64], tried: Sequence[int], covariance: Literal["full", "diag"], seed: int) -> Fitted:
    """The mixture of the first number of Gaussians that is better than the next one tried, by Schwarz's criterion."""
    best, score = _fit(codes, tried[0], covariance, seed)
    for components in tried[1:]:
        other, found = _fit(codes, components, covariance, seed)
        if found >= score or len(other[0]) < components:
            break
        best, score = other, found
    return best


def _fit(
    codes: NDArray[np.float64], components: int, covariance: Literal["full", "diag"], seed: int
) -> tuple[Fitted, float]:
    """At most ``components`` Gaussians, in the units of ``codes``, and Schwarz's criterion: less is better."""
    from sklearn.mixture import GaussianMixture

    single = codes.astype(np.float32)  # networks make codes in single precision, and twice of it takes twice as long
    least = codes.shape[1] + 1 if covariance == "full" else 2  # rows that a component needs
    components = min(components, len(codes) // least, len(np.unique(codes, axis=0)))
    for jitter in (_JITTER, 100 * _JITTER):
        if components < 2:
            break
        mixture = GaussianMixture(components, covariance_type=covariance, reg_covar=jitter, random_state=seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it stopped after 100 rounds is no reason to bother anybody
                mixture.fit(single)
            found = mixture.weights_, mixture.means_, _factors(mixture.covariances_.astype(np.float64))
            return found, float(mixture.bic(single))
        except (ValueError, np.linalg.LinAlgError):
            continue
    apart = codes - codes.mean(0)
    matrix = apart.T @ apart / len(codes) + _JITTER * np.eye(codes.shape[1])
    one = np.ones(1), codes.mean(0)[None], _factors((matrix if covariance == "full" else np.diag(matrix))[None])
    return one, np.inf


def _factors(covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    if covariances.ndim == 3:
        return np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    return np.asarray(np.sqrt(covariances), dtype=np.float64)
