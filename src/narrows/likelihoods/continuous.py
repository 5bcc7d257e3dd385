"""Likelihoods of numbers that vary without steps: Gaussian, Laplace, continuous Bernoulli."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from narrows._part import Positive
from narrows._types import Distribution, Layout
from narrows.likelihoods.base import ElementwiseModule, Likelihood, LikelihoodModule, feature_axis

Scale = Annotated[float, Positive] | Literal["shared", "column", "predicted"]

FLOOR = 1e-3
"""Smallest learned scale: below it a perfectly reconstructed element would be worth unlimited nats."""

_CEILING = 10.0  # log of the largest learned scale, far above any scaled data and far below overflow


@dataclass(frozen=True)
class GaussianDistribution(Distribution):
    """Independent normal distributions.

    Attributes:
        loc: ``(…, *shape)`` means.
        scale: Standard deviations, broadcastable to ``loc``.
    """

    loc: Tensor
    scale: Tensor | float

    @property
    def mean(self) -> Tensor:
        """The mean μ."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mean μ."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """−(x − μ)² / 2σ² − log σ − ½ log 2π."""
        constant = _log(self.scale) + 0.5 * math.log(2 * math.pi)
        return (value - self.loc).square() * (-0.5 / self.scale**2) - constant

    def sample(self) -> Tensor:
        """μ + σ ε, with gradients to both."""
        return self.loc + self.scale * torch.randn_like(self.loc)

    def entropy(self) -> Tensor:
        """½ log 2πe + log σ, of the shape of ``loc``."""
        return torch.zeros_like(self.loc) + (_log(self.scale) + 0.5 * math.log(2 * math.pi * math.e))


@dataclass(frozen=True)
class LaplaceDistribution(Distribution):
    """Independent Laplace distributions.

    Attributes:
        loc: ``(…, *shape)`` medians, which are the means too.
        scale: Mean absolute deviations, broadcastable to ``loc``.
    """

    loc: Tensor
    scale: Tensor | float

    @property
    def mean(self) -> Tensor:
        """The centre μ."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The centre μ."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """−|x − μ| / b − log 2b."""
        return (value - self.loc).abs() * (-1.0 / self.scale) - (_log(self.scale) + math.log(2.0))

    def sample(self) -> Tensor:
        """μ + b (E₁ − E₂) with standard exponential E, which is finite whatever the generator draws."""
        first, second = torch.rand_like(self.loc), torch.rand_like(self.loc)
        return self.loc + self.scale * (torch.log1p(-second) - torch.log1p(-first))

    def entropy(self) -> Tensor:
        """1 + log 2b, of the shape of ``loc``."""
        return torch.zeros_like(self.loc) + (_log(self.scale) + 1 + math.log(2.0))


@dataclass(frozen=True)
class ContinuousBernoulliDistribution(Distribution):
    """Independent continuous Bernoulli distributions on [0, 1].

    Attributes:
        logits: ``(…, *shape)`` natural parameters η = log λ/(1 − λ).
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """1 / (1 − exp(−η)) − 1 / η, which is ½ at η = 0: not λ."""
        h = self.logits / 2
        small, a = _split(h)
        square = h.square()
        # Langevin's coth h − 1/h; its terms cancel near 0, so its Taylor series is used there
        series = h * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square * (1 / 4725 - square * (2 / 93555)))))
        exact = (1 / torch.tanh(a) - 1 / a) * h.sign()
        return 0.5 + 0.5 * torch.where(small, series, exact)

    @property
    def mode(self) -> Tensor:
        """1 where η > 0, else 0: the density is monotone. For grey pixels you want ``mean``."""
        return (self.logits > 0).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """η x − log((exp η − 1) / η)."""
        return value * self.logits - self._log_normaliser()

    def sample(self) -> Tensor:
        """The inverse distribution function of uniform noise, with gradients to η."""
        a = self.logits.abs().clamp_min(1e-6)
        low = torch.log1p(torch.rand_like(a) * torch.expm1(-a)) / -a  # a draw for −|η|, which leans to 0
        return torch.where(self.logits > 0, 1 - low, low)

    def entropy(self) -> Tensor:
        """log((exp η − 1) / η) − η E[x]."""
        return self._log_normaliser() - self.logits * self.mean

    def _log_normaliser(self) -> Tensor:
        # log ∫₀¹ exp(ηx) dx = η/2 + log(sinh h / h) with h = η/2; the second term is even and its derivative cancels
        # badly near 0, so its Taylor series is used there
        small, a = _split(self.logits)
        square = self.logits.square()
        series = square * (1 / 24 - square * (1 / 2880 - square / 181440))
        exact = a / 2 + torch.log(torch.expm1(-a) / -a)
        return self.logits / 2 + torch.where(small, series, exact)


def _log(scale: Tensor | float) -> Any:
    return scale.log() if isinstance(scale, Tensor) else math.log(scale)


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """Where |x| is small, and |x| with those places set to 1 so that the exact branch has finite gradients there."""
    a = x.abs()
    small = a < 0.25
    return small, a.masked_fill(small, 1.0)


class ScaledModule(LikelihoodModule):
    """θ → centre and scale, for families that have both.

    A learned scale is σ = 0.001 + exp ρ: a floor without a corner, and ρ = log σ wherever σ is well above it. A
    shared or per-column ρ is the parameter ``rho`` and starts at σ = 1; a predicted ρ is the second half of θ.
    """

    def __init__(self, family: Any, scale: float | str, layout: Layout) -> None:
        super().__init__()
        self.family = family
        self.fixed = None if isinstance(scale, str) else float(scale)
        self.axis = feature_axis(layout.shape) - len(layout.shape)
        self.register_parameter("rho", None)
        if scale in ("shared", "column"):
            shape = [1] * len(layout.shape)
            if scale == "column":
                shape[self.axis] = layout.shape[self.axis]
            self.rho = nn.Parameter(torch.full(shape, math.log(1 - FLOOR)))

    @property
    def scale(self) -> Tensor | float | None:
        """The scale, broadcastable to a row; None when the decoder predicts it."""
        if self.fixed is not None:
            return self.fixed
        return None if self.rho is None else _to_scale(self.rho)

    def distribution(self, theta: Tensor) -> Distribution:
        """The family at θ, or at the first half of θ with the scale from the second half."""
        scale = self.scale
        if scale is None:
            theta, rho = theta.chunk(2, dim=self.axis)
            scale = _to_scale(rho)
        return self.family(theta, scale)


def _to_scale(rho: Tensor) -> Tensor:
    return FLOOR + rho.clamp_max(_CEILING).exp()


class _Scaled(Likelihood, abstract=True):
    """What Gaussian and Laplace share: a centre per element and the four kinds of scale."""

    domain: ClassVar[str] = "real"
    family: ClassVar[Any]

    scale: Scale = "shared"

    def theta_shape(self, layout: Layout) -> tuple[int, ...]:
        """One number per element, or two along the feature axis when the scale is predicted."""
        if self.scale != "predicted":
            return layout.shape
        axis = feature_axis(layout.shape)
        return tuple(n * (2 if i == axis else 1) for i, n in enumerate(layout.shape))

    def build(self, layout: Layout) -> nn.Module:
        """A `ScaledModule`, with the parameter ``rho`` when the scale is shared or per column."""
        self.check()
        self.check_layout(layout)
        return ScaledModule(self.family, self.scale, layout)


class Gaussian(_Scaled):
    """Normal errors: squared error, with a scale that says how much it matters.

    log p(x|μ, σ) = −(x − μ)² / 2σ² − log σ − ½ log 2π

    With ``scale=1`` this is half the squared error plus a constant. A learned scale balances reconstruction against
    penalties by itself, so that β = 1 means β = 1 whatever the units.

    Args:
        scale: Standard deviation in scaled units: a fixed number above 0, or learned: ``"shared"`` by all elements,
            one per ``"column"`` (per channel of an image), or ``"predicted"`` by the decoder for every element.
            Learned scales start at 1 and stay above 0.001.

    Raises:
        InvalidParameter: From `build`, if a column is a category or the scale is not positive.

    Reference:
        Simple and Effective VAE Training with Calibrated Decoders. Oleh Rybkin, Kostas Daniilidis, Sergey Levine,
        2021. https://arxiv.org/abs/2006.13202

    ```python
    module = likelihoods.Gaussian().build(Layout(shape=(3,)))
    x = module(torch.zeros(5, 3))
    x.mean, x.log_prob(torch.ones(5, 3)), x.sample()
    ```
    """

    family: ClassVar[Any] = GaussianDistribution


class Laplace(_Scaled):
    """Laplace errors: absolute error, which forgives outliers.

    log p(x|μ, b) = −|x − μ| / b − log 2b

    Args:
        scale: Mean absolute deviation in scaled units: a fixed number above 0, or learned: ``"shared"`` by all
            elements, one per ``"column"`` (per channel of an image), or ``"predicted"`` by the decoder for every
            element. Learned scales start at 1 and stay above 0.001.

    Raises:
        InvalidParameter: From `build`, if a column is a category or the scale is not positive.

    ```python
    module = likelihoods.Laplace(scale="column").build(Layout(shape=(3,)))
    module(torch.zeros(5, 3)).log_prob(torch.ones(5, 3))
    ```
    """

    family: ClassVar[Any] = LaplaceDistribution


class ContinuousBernoulli(Likelihood):
    """A density on [0, 1] for grey values.

    log p(x|η) = η x − log((exp η − 1) / η)

    It is Bernoulli's cross-entropy with the normaliser that makes it integrate to one, so that log-likelihoods can be
    compared. θ is η = log λ/(1 − λ); the mean is 1 / (1 − exp(−η)) − 1 / η, which is further from the ends than λ.

    Raises:
        InvalidParameter: From `build`, if a column is a category or values lie outside [0, 1].

    Reference:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders. Gabriel Loaiza-Ganem,
        John P. Cunningham, 2019. https://arxiv.org/abs/1907.06845

    ```python
    module = likelihoods.ContinuousBernoulli().build(Layout(shape=(1, 28, 28)))
    module(torch.zeros(5, 1, 28, 28)).mean  # 0.5 everywhere
    ```
    """

    domain: ClassVar[str] = "unit"
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def build(self, layout: Layout) -> nn.Module:
        """A module without parameters; θ is the logit of every element."""
        self.check_layout(layout)
        return ElementwiseModule(ContinuousBernoulliDistribution)
