"""Noise, and samplers that walk from it to rows."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from narrows._normal import UnitNormal
from narrows._part import Interval, Part, Positive

Denoise = Callable[[Tensor, Tensor], Tensor]
"""A denoiser: noisy rows ``(n, *shape)`` and the noise's standard deviation ``()`` to the expected clean rows."""

EXACT = 64  # numbers of a row up to which the divergence is summed up exactly
BEYOND = 6  # times the reach: noise that hides rows along every direction, but for 1.4 % of the standard deviation


class Noise(Part, room="diffusion"):
    r"""Which sizes of noise there are, in units of the rows' own standard deviation.

    In training $\ln \sigma \sim N(\text{mean}, \text{spread}^2)$. In sampling the *angle* $\phi = \arctan(\sigma / c)$
    falls in steps that are even in $\phi^{1 / \rho}$, and at last to 0. c is the rows' *reach*: how far they spread
    along the direction in which they vary most. Where their numbers are independent it is 1, and a row and its noise
    make up $\cos \phi \, x + \sin \phi \, \varepsilon$, of variance 1 throughout, so that even angles are even changes.
    In images, whose pixels go together, it is 10 and more: how bright and of which shape they are is decided while the
    noise is still many times as large as a single pixel's spread.

    Args:
        low: The least noise before none.
        high: The most noise, against which rows are nothing; models take six times the reach at least.
        mean: Of ln σ in training.
        spread: Standard deviation of ln σ in training.
        rho: How much smaller steps are at low noise; 1: not at all.
        reach: c; None: learnt from the rows (1 where there are none to learn from).
    """

    low: Annotated[float, Positive] = 0.002
    high: Annotated[float, Positive] = 80.0
    mean: float = -0.5
    spread: Annotated[float, Positive] = 1.4
    rho: Annotated[float, Interval(1)] = 3.0
    reach: Annotated[float, Interval(1)] | None = None

    def reaching(self, reach: float) -> Noise:
        """These sizes for rows of such a reach; the most is at least six times it, which is not drowned by less."""
        return replace(self, reach=reach, high=max(self.high, BEYOND * reach))

    def levels(self, steps: int, high: float | None = None) -> Tensor:
        """``(steps + 1,)`` sizes from ``high`` (None: the most) down to 0."""
        reach, most = self.reach or 1, max(high or self.high, self.low)
        start, end = (math.atan(size / reach) ** (1 / self.rho) for size in (most, self.low))
        angles = torch.linspace(start, end, steps, dtype=torch.float64) ** self.rho
        return torch.cat([reach * angles.tan(), angles.new_zeros(1)]).float()

    def quantile(self, share: Tensor) -> Tensor:
        """The sizes below which such shares, in (0, 1), of those in training are."""
        return (self.mean + self.spread * torch.special.ndtri(share)).exp()

    def draw(self, x: Tensor) -> Tensor:
        """``(B,)`` sizes for the rows ``(B, …)`` of a training batch: evenly over their distribution."""
        count = x.shape[0]
        place = (torch.arange(count, device=x.device) / count + torch.rand_like(x.new_empty(1))) % 1
        return self.quantile(place.clamp(1e-5, 1 - 1e-5))


def turn(denoise: Denoise, y: Tensor, sigma: Tensor) -> Tensor:
    r"""How rows change as the angle of their noise falls, $-\mathrm{d}y / \mathrm{d}\phi$.

    $F = (D(y / \cos \phi; \sigma) - \cos \phi \, y) / \sin \phi$ of $y = \cos \phi \, x + \sin \phi \, \varepsilon$:
    what the network of `DiffusionModule` itself gives.

    Args:
        denoise: The denoiser.
        y: ``(n, *shape)``.
        sigma: ``()`` the size of their noise, tan φ.

    Reference:
        Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models, Lu, Song, 2024 (TrigFlow),
        https://arxiv.org/abs/2410.11081
    """
    total = (1 + sigma.square()).sqrt()
    return (denoise(y * total, sigma) - y / total) * total / sigma


def in_reaches(denoise: Denoise, noise: Noise) -> tuple[Denoise, float]:
    """The denoiser of rows and noise in units of the rows' reach, in which no direction is longer than 1, and that."""
    reach = noise.reach or 1.0
    if reach == 1:
        return denoise, reach
    return lambda x, sigma: denoise(x * reach, sigma * reach) / reach, reach


class Sampler(Part, ABC, room="samplers", abstract=True):
    """How to walk from noise to rows.

    Args:
        steps: How many steps; every one asks the denoiser once (`Heun`: twice, but once in the last).
    """

    steps: Annotated[int, Interval(1)] = 50

    deterministic: ClassVar[bool] = True
    """Whether equal noise to begin with gives equal rows."""

    def __call__(self, denoise: Denoise, x: Tensor, noise: Noise, high: float | None = None) -> Tensor:
        """Rows ``(n, *shape)`` without noise.

        Args:
            denoise: The denoiser.
            x: ``(n, *shape)`` rows with noise of size ``high``.
            noise: The sizes of noise.
            high: How much noise ``x`` has; None: the most.
        """
        denoise, reach = in_reaches(denoise, noise)
        x = x / reach
        for now, then in itertools.pairwise(noise.levels(int(self.steps), high).to(x) / reach):
            x = self.step(denoise, x, now, then)
        return x * reach

    @abstractmethod
    def step(self, denoise: Denoise, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One step.

        Args:
            denoise: The denoiser.
            x: ``(n, *shape)`` rows with noise of size ``now``.
            now: ``()`` the size of their noise, above 0.
            then: ``()`` the size after the step, below ``now``; perhaps 0.
        """


class Heun(Sampler):
    r"""Second-order steps down the probability flow: along the mean of the slopes at both ends.

    They are taken in the angle of the noise (see `turn`), where the flow of normal rows is no change at all: for a
    known mixture in the plane ten even steps err by a twentieth of what ten of the reference's do, which are in σ.

    Args:
        steps: How many steps, of two looks at the denoiser each.

    Reference:
        Elucidating the Design Space of Diffusion-Based Generative Models, Karras, Aittala, Aila, Laine, 2022,
        https://arxiv.org/abs/2206.00364
    """

    steps: Annotated[int, Interval(1)] = 18

    def step(self, denoise: Denoise, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One step: ``(n, *shape)``."""
        if float(then) == 0:
            return denoise(x, now)
        y, way = x / (1 + now.square()).sqrt(), now.atan() - then.atan()
        slope = turn(denoise, y, now)
        return (y + way * (slope + turn(denoise, y + way * slope, then)) / 2) * (1 + then.square()).sqrt()


def to_noise(denoise: Denoise, x: Tensor, noise: Noise, steps: int = 18) -> Tensor:
    """The noise ``(n, *shape)``, of variance 1, from which `Heun` comes to these rows: its steps backwards."""
    denoise, reach = in_reaches(denoise, noise)
    x = x / reach
    for now, then in itertools.pairwise(noise.levels(steps + 1)[:-1].flip(0).to(x) / reach):
        x = Heun().step(denoise, x, now, then)
    return x * reach / math.sqrt(1 + noise.high**2)


class DDIM(Sampler):
    r"""First-order steps: $x' = D + \tfrac{\sigma'}{\sigma} (x - D)$.

    Args:
        steps: How many steps.

    Reference:
        Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, https://arxiv.org/abs/2010.02502
    """

    def step(self, denoise: Denoise, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One step: ``(n, *shape)``."""
        clean = denoise(x, now)
        return clean + then / now * (x - clean)


class DDPM(Sampler):
    r"""Ancestral steps: $x' \sim q(x_{\sigma'} \mid x_\sigma, D)$, with new noise at every step.

    $x' = D + \tfrac{\sigma'^2}{\sigma^2} (x - D) + \sigma' \sqrt{1 - \sigma'^2 / \sigma^2} \, \varepsilon$.

    Args:
        steps: How many steps.

    Reference:
        Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, https://arxiv.org/abs/2006.11239
    """

    steps: Annotated[int, Interval(1)] = 100

    deterministic: ClassVar[bool] = False

    def step(self, denoise: Denoise, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One step: ``(n, *shape)``."""
        clean, kept = denoise(x, now), (then / now).square()
        return clean + kept * (x - clean) + then * (1 - kept).sqrt() * torch.randn_like(x)


def inpaint(denoise: Denoise, values: Tensor, known: Tensor, noise: Noise, steps: int = 100, rounds: int = 5) -> Tensor:
    """Rows of which some elements are known, the others drawn to suit them.

    After every ancestral step the known elements are replaced by what they are with noise of that size. As what was
    drawn before does not suit them yet, noise is added again and the step repeated.

    Args:
        denoise: The denoiser.
        values: ``(n, *shape)``; what is not known is not looked at.
        known: ``(n, *shape)`` boolean.
        noise: The sizes of noise.
        steps: How many steps.
        rounds: How often each is made.

    Returns:
        ``(n, *shape)``, the known elements unchanged.

    Reference:
        RePaint: Inpainting using Denoising Diffusion Probabilistic Models, Lugmayr and others, 2022,
        https://arxiv.org/abs/2201.09865
    """
    sampler, x = DDPM(steps), noise.high * torch.randn_like(values)
    for now, then in itertools.pairwise(noise.levels(steps).to(values)):
        for left in reversed(range(rounds)):
            x = torch.where(known, values + now * torch.randn_like(x), x)
            x = sampler.step(denoise, x, now, then)
            if left:
                x = x + (now.square() - then.square()).sqrt() * torch.randn_like(x)
    return torch.where(known, values, x)


def log_density(denoise: Denoise, x: Tensor, noise: Noise, steps: int = 50, probes: int = 8) -> Tensor:
    r"""Log-density of rows, ``(n,)`` in nats, by the probability flow.

    $\ln p(y_0) = \ln N(y_1; 0, I) - \int \nabla \cdot F \, \mathrm{d}\phi$ from the least noise to the most (see
    `turn`). The divergence is exact for rows of at most 64 numbers, otherwise an average over random directions
    (Hutchinson), the same for all rows.

    Args:
        denoise: The denoiser; a row's result must not depend on the other rows.
        x: ``(n, *shape)``.
        noise: The sizes of noise.
        steps: Steps of Heun's method.
        probes: How many random directions.

    Reference:
        Score-Based Generative Modeling through Stochastic Differential Equations, Song and others, 2020,
        https://arxiv.org/abs/2011.13456
    """
    size = x.shape[1:].numel()
    if size <= EXACT:
        ways = torch.eye(size)
    else:
        coin = torch.Generator().manual_seed(0)
        ways = (torch.randint(2, (probes, size), generator=coin) * 2 - 1) / math.sqrt(probes)
    ways = ways.to(x).reshape(-1, 1, *x.shape[1:]).expand(-1, *x.shape)

    def flow(y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        slope: Callable[[Tensor], Tensor] = lambda v: turn(denoise, v, sigma)  # noqa: E731
        moved = torch.func.vmap(lambda way: torch.func.jvp(slope, (y,), (way,))[1])(ways)
        return slope(y), (ways * moved).flatten(2).sum((0, 2))

    denoise, reach = in_reaches(denoise, noise)
    wide = math.sqrt((reach**2 + noise.high**2) / (1 + noise.high**2))  # rows are drawn from noise this much shorter
    y, total = x / reach, x.new_full((len(x),), size * math.log(wide / reach))
    for now, then in itertools.pairwise(noise.levels(steps + 1)[:-1].flip(0).to(x) / reach):
        way = then.atan() - now.atan()
        slope, spread = flow(y, now)
        ahead, widened = flow(y - way * slope, then)
        y, total = y - way * (slope + ahead) / 2, total - way * (spread + widened) / 2
    return total + UnitNormal(x.new_zeros(size)).log_prob(wide * y.flatten(1))
