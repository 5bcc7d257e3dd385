"""Priors: what a model believes of codes before it has seen a row.

A built prior's ``forward`` returns a distribution over codes with ``log_prob(z)`` ``(…, L) -> (…)``, ``sample(n)``
``(n, L)`` and ``sample_like(z)``, draws of the shape of ``z``.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows._normal import UnitNormal, rsample
from narrows._part import Interval, Part
from narrows.errors import InvalidData, InvalidParameter

_MOST_ROWS = 20_000
_JITTER = 1e-4


class CodeDistribution(Protocol):
    """A distribution over whole codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step from 0 (none) to 1 (far) that leaves draws from this prior such draws."""


class PriorModule(nn.Module):
    """What every built prior is."""

    @abstractmethod
    def forward(self, condition: Tensor | None = None) -> CodeDistribution:
        """The distribution over codes."""


class Prior(Part, ABC, room="priors", abstract=True):
    """Base of all priors."""

    fitted_afterwards: ClassVar[bool] = False
    """Whether it takes no part in training and is fitted to the codes afterwards, by ``fit_codes`` of its module."""

    @abstractmethod
    def build(self, size: int) -> PriorModule:
        """The module that holds what the prior learns, for codes of ``size`` numbers."""


class StandardNormal(Prior):
    """Independent standard normals.

    p(z) = N(0, I).

    Example:
        ```python
        StandardNormal().build(2)().sample(3).shape  # (3, 2)
        ```
    """

    def build(self, size: int) -> PriorModule:
        """The module; it learns nothing."""
        return StandardNormalModule(size)


class StandardNormalModule(PriorModule):
    """A standard normal prior, built."""

    def __init__(self, size: int) -> None:
        super().__init__()
        # not saved: it only says of what size, on which device and of which type draws are to be
        self.register_buffer("template", torch.zeros(size), persistent=False)

    template: Tensor

    def forward(self, condition: Tensor | None = None) -> UnitNormal:
        """N(0, I) over codes."""
        return UnitNormal(self.template)


class Mixture(Prior):
    """A mixture of Gaussians fitted to the codes after training, so that any autoencoder can sample.

    p(z) = Σ_k π_k N(z; μ_k, Σ_k).

    Args:
        components: At most how many Gaussians; fewer when there are too few codes to fit them.
        covariance: ``"full"``, or ``"diag"`` for codes of many numbers and few rows.

    Example:
        ```python
        prior = Mixture(components=2).build(size=3)
        prior.fit_codes(codes, seed=0)
        prior().sample(5).shape  # (5, 3)
        ```
    """

    components: Annotated[int, Interval(1)] = 10
    covariance: Literal["full", "diag"] = "full"

    fitted_afterwards: ClassVar[bool] = True

    def build(self, size: int) -> MixtureModule:
        """The module that holds the mixture; `MixtureModule.fit_codes` fits it."""
        return MixtureModule(int(self.components), size, self.covariance)


class MixtureModule(PriorModule):
    """A mixture prior, built. Its buffers' shapes depend on the part and the code size only, never on the data.

    Attributes:
        weights: ``(K,)`` π; all zero before fitting, and zero for components that are not in use.
        means: ``(K, L)`` μ.
        scales: ``(K, L, L)`` lower-triangular factors of Σ, or ``(K, L)`` standard deviations.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    def __init__(self, components: int, size: int, covariance: Literal["full", "diag"]) -> None:
        super().__init__()
        self.covariance = covariance
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
        return MixtureDistribution(self.weights, self.means, self.scales)

    def fit_codes(self, z: NDArray[Any], seed: int = 0) -> None:
        """Fit the mixture to codes, by expectation-maximisation.

        Codes are standardised for the fit, and a small part of their variance is added to every covariance, so that
        constant code units and repeated rows do no harm. Of more than 20,000 rows a random 20,000 are used.

        Args:
            z: ``(n, L)`` codes.
            seed: Fixes the random start; numpy's and torch's global generators are not touched.

        Raises:
            InvalidData: If the codes have the wrong width, are not finite, or there are none.
        """
        codes = np.asarray(z, dtype=np.float64)
        components, size = self.means.shape
        if codes.ndim != 2 or codes.shape[1] != size or not len(codes):
            raise InvalidData(
                f"codes of shape {codes.shape} cannot be fitted: they must be (rows, {size}), one row or more"
            )
        if not np.isfinite(codes).all():
            raise InvalidData(
                "the codes are not all finite, so no mixture can be fitted to them: the model has diverged"
            )
        if len(codes) > _MOST_ROWS:
            codes = np.random.default_rng(seed).choice(codes, _MOST_ROWS, replace=False)
        centre, spread = codes.mean(0), _spread(codes)
        weights, means, scales = _fit((codes - centre) / spread, components, self.covariance, seed)
        used = len(weights)
        with torch.no_grad():
            self.weights.zero_()
            self.weights[:used] = torch.as_tensor(weights)
            self.means.zero_()
            self.means[:used] = torch.as_tensor(centre + spread * means)
            self.scales[:used] = torch.as_tensor((spread[:, None] if self.covariance == "full" else spread) * scales)


@dataclass(frozen=True, eq=False)
class MixtureDistribution:
    """A mixture of Gaussians over codes.

    Attributes:
        weights: ``(K,)`` adding up to 1; zeros are allowed.
        means: ``(K, L)``.
        scales: ``(K, L, L)`` lower-triangular factors of the covariances, or ``(K, L)`` standard deviations.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    @property
    def mean(self) -> Tensor:
        """``(L,)``."""
        return self.weights @ self.means

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""
        return torch.logsumexp(self._log_joint(z), dim=0).reshape(z.shape[:-1])

    def _log_joint(self, z: Tensor) -> Tensor:
        """``(K, n)`` log π_k N(z; μ_k, Σ_k) of ``z`` ``(…, L)``, n of them."""
        size = self.means.shape[-1]
        apart = z.reshape(-1, size) - self.means.unsqueeze(1)
        if self.scales.ndim == 3:
            white = torch.linalg.solve_triangular(self.scales, apart.mT, upper=False).mT
            log_volume = self.scales.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            white = apart / self.scales.unsqueeze(1)
            log_volume = self.scales.log().sum(-1)
        constant = self.weights.log() - log_volume - 0.5 * size * math.log(2 * math.pi)
        return constant.unsqueeze(1) - 0.5 * white.square().sum(-1)

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step that leaves draws from the mixture draws from it.

        k ~ p(k|z), z' = μ_k + √(1 − size²) (z − μ_k) + size · ε with ε ~ N(0, Σ_k).
        """
        component = torch.multinomial(self._log_joint(z).softmax(0).T, 1).squeeze(1)
        means, scales = self.means[component], self.scales[component]
        drawn = rsample(means, scale_tril=scales) if scales.ndim == 3 else rsample(means, scale=scales)
        return means + math.sqrt(1 - size**2) * (z - means) + size * (drawn - means)

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.sample_like(self.means.new_empty(n, self.means.shape[-1]))

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        edges = self.weights.cumsum(0)
        # a draw times the last edge, which rounding may leave below 1, always falls before that edge
        place = torch.rand_like(z[..., 0]) * edges[-1]
        component = (place.unsqueeze(-1) >= edges[:-1]).sum(-1)
        component = component.clamp_max((self.weights > 0).sum() - 1)
        if self.scales.ndim == 3:
            return rsample(self.means[component], scale_tril=self.scales[component])
        return rsample(self.means[component], scale=self.scales[component])


def _spread(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations, those of (nearly) constant code units raised to a thousandth of the largest."""
    spread = codes.std(0)
    least = 1e-3 * spread.max()
    size = np.abs(codes).max(0)
    return np.maximum(spread, np.maximum(least, 1e-6 * np.maximum(size, 1.0)))


def _fit(
    codes: NDArray[np.float64], components: int, covariance: Literal["full", "diag"], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights, means and scales of a mixture of at most ``components`` Gaussians, in the units of ``codes``."""
    from sklearn.mixture import GaussianMixture

    least = codes.shape[1] + 1 if covariance == "full" else 2  # rows that a component needs
    components = min(components, len(codes) // least, len(np.unique(codes, axis=0)))
    for jitter in (_JITTER, 100 * _JITTER):
        if components < 2:
            break
        mixture = GaussianMixture(components, covariance_type=covariance, reg_covar=jitter, random_state=seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it stopped after 100 rounds is no reason to bother anybody
                mixture.fit(codes)
            return mixture.weights_, mixture.means_, _factors(mixture.covariances_)
        except (ValueError, np.linalg.LinAlgError):
            continue
    apart = codes - codes.mean(0)
    matrix = apart.T @ apart / len(codes) + _JITTER * np.eye(codes.shape[1])
    return np.ones(1), codes.mean(0)[None], _factors((matrix if covariance == "full" else np.diag(matrix))[None])


def _factors(covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    if covariances.ndim == 3:
        return np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    return np.asarray(np.sqrt(covariances), dtype=np.float64)
