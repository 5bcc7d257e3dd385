"""A prior that is a diffusion model of codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._part import Interval, NotNegative, Positive
from narrows.diffusion import (
    ClassCondition,
    Denoise,
    DiffusionModule,
    DiffusionStep,
    Heun,
    Noise,
    Sampler,
    log_density,
    to_noise,
)
from narrows.errors import InvalidParameter
from narrows.networks import Network, Residual
from narrows.priors._base import CodeFit, Prior, PriorModule, checked

_TOLD = 64  # numbers that say how noisy a code is


class Diffusion(Prior):
    r"""A diffusion model of the codes, trained on them after the model: for codes that no few Gaussians are like.

    $z = G(\varepsilon)$ with $\varepsilon \sim N(0, I)$, G being the probability flow of a learnt denoiser.

    Args:
        network: Makes the denoiser.
        sampler: How codes are drawn.
        noise: The sizes of noise.
        rows: How many rows training looks at. None: as many passes as the settings of the loop say.
        batch_size: Rows per step.
        learning_rate: The highest rate in training.
        guidance: How often a row's class counts, where rows have labels.

    References:
        Mixed-Type Tabular Data Synthesis with Score-based Diffusion in Latent Space, Zhang and others, 2024 (TabSyn),
        https://arxiv.org/abs/2310.09656.
        High-Resolution Image Synthesis with Latent Diffusion Models, Rombach and others, 2022,
        https://arxiv.org/abs/2112.10752

    Example:
        ```python
        prior = Diffusion(rows=10_000).build(size=3)
        todo = prior.fit_codes(codes)  # what the loop has to do: narrows.models.fit_prior does all of it
        prior().sample(5).shape  # (5, 3)
        ```
    """

    network: Network = Residual(width=256, depth=3)
    sampler: Sampler = Heun()
    noise: Noise = Noise()
    rows: Annotated[int, Interval(1)] | None = None
    batch_size: Annotated[int, Interval(1)] = 256
    learning_rate: Annotated[float, Positive] = 1e-3
    guidance: Annotated[float, NotNegative] = 1.0

    fitted_afterwards: ClassVar[bool] = True

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> DiffusionPriorModule:
        """The module that holds the denoiser; `narrows.models.fit_prior` trains it."""
        return DiffusionPriorModule(size, self, classes)


class DiffusionPriorModule(PriorModule):
    """A diffusion prior, built.

    Attributes:
        model: The denoiser of codes.
        fitted: ``()`` 1 when it has been fitted.
    """

    fitted: Tensor

    def __init__(self, size: int, part: Diffusion, classes: int = 0) -> None:
        super().__init__()
        self.part, self.conditional = part, classes > 0
        condition = ClassCondition(classes, _TOLD) if classes else None
        network = part.network.conditioned((size,), _TOLD)
        self.model = DiffusionModule((size,), network, _TOLD, condition, part.noise)
        self.model.requires_grad_(False)  # it is none of the parameters that train with the autoencoder
        self.register_buffer("fitted", torch.zeros(()))

    def forward(self, condition: Tensor | None = None) -> DiffusionDistribution:
        """The fitted distribution.

        Raises:
            InvalidParameter: If it has not been fitted.
        """
        if not self.fitted:
            raise InvalidParameter(
                "the diffusion prior has not been fitted to codes, so it has no density and cannot be sampled: "
                "fit the model first, or call narrows.models.fit_prior(prior, codes)"
            )
        return DiffusionDistribution(self.model, self.part.sampler, condition, float(self.part.guidance))

    def fit_codes(self, z: NDArray[Any], seed: int = 0, condition: NDArray[Any] | None = None) -> CodeFit:
        """Learn mean and spread of the codes; the denoiser is the loop's to train.

        Raises:
            InvalidData: If the codes have the wrong width, are not finite, or there are none.
        """
        self.model.prepare(torch.as_tensor(checked(z, self.model.shape[0])))
        self.model.live.requires_grad_(True)
        self.fitted.fill_(1)
        part = self.part
        step = DiffusionStep(self.model)
        return CodeFit(step, self.model.follow, part.rows, int(part.batch_size), float(part.learning_rate))


@dataclass(frozen=True, eq=False)
class DiffusionDistribution:
    """A diffusion model of codes, as a distribution.

    Attributes:
        model: The denoiser.
        sampler: How codes are drawn.
        condition: ``(n, …)`` the class of every code, or what else it is to be like; None: any.
        guidance: How often it counts.
    """

    model: DiffusionModule
    sampler: Sampler
    condition: Tensor | None = None
    guidance: float = 1.0

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats, by the probability flow: ``(…)``."""
        x = self.model.standard(z.reshape(-1, z.shape[-1]))
        density = log_density(self.model.guided(self._condition(z)), x, self.model.noise)
        return (density - self.model.scale.log().sum()).reshape(z.shape[:-1])

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.sample_like(self.model.centre.new_empty(n, self.model.shape[0]))

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        start = torch.randn_like(z.reshape(-1, z.shape[-1]))
        return self._codes(start, self.sampler, self._denoiser(z)).reshape(z.shape)

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step in the noise that they come from, ε' = √(1 − size²) ε + size · η."""
        denoise = self._denoiser(z)
        with torch.no_grad():
            start = to_noise(denoise, self.model.standard(z), self.model.noise)
        return self._codes(math.sqrt(1 - size**2) * start + size * torch.randn_like(start), Heun(), denoise)

    def _condition(self, z: Tensor) -> Tensor | None:
        """What each code of ``z`` ``(…, n, L)`` is to be like, in one row of codes."""
        told = self.condition
        return None if told is None else told.expand(*z.shape[:-2], *told.shape).flatten(0, z.ndim - 2)

    def _denoiser(self, z: Tensor) -> Denoise:
        return self.model.guided(self._condition(z), self.guidance)

    @torch.no_grad()
    def _codes(self, start: Tensor, sampler: Sampler, denoise: Denoise) -> Tensor:
        noise = self.model.noise
        return self.model.raw(sampler(denoise, math.sqrt(1 + noise.high**2) * start, noise))
