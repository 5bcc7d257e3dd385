r"""Diffusion: noise of many sizes, a network that takes it out, and samplers that walk from noise to rows.

Rows $x$ of variance 1 are given noise, $x_\sigma = x + \sigma \varepsilon$. A denoiser $D(x_\sigma; \sigma)$ that makes
the smallest squared error says which way rows of more noise have to go to become rows of less: the gradient of their
log-density is $(D(x_\sigma; \sigma) - x_\sigma) / \sigma^2$. Samplers follow it from pure noise down to a row.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models, Karras, Aittala, Aila, Laine, 2022,
    https://arxiv.org/abs/2206.00364
"""

from __future__ import annotations

import copy
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from narrows._normal import UnitNormal, row_mean
from narrows._part import Interval, Part, Positive

Denoise = Callable[[Tensor, Tensor], Tensor]
"""A denoiser: noisy rows ``(n, *shape)`` and the noise's standard deviation ``()`` to the expected clean rows."""

FREQUENCIES = 16  # of the noise's size, as the network is told of it
FORGET = 0.1  # share of the rows in training whose condition is not told, so that guidance knows both
EXACT = 64  # numbers of a row up to which the divergence is summed up exactly


class Noise(Part, room="diffusion"):
    r"""Which sizes of noise there are, in units of the rows' own standard deviation.

    In training $\ln \sigma \sim N(\text{mean}, \text{spread}^2)$. In sampling the *angle* $\phi = \arctan \sigma$ falls
    in steps that are even in $\phi^{1 / \rho}$, and at last to 0. A row and its noise make up
    $\cos \phi \, x + \sin \phi \, \varepsilon$, of variance 1 throughout, so even angles are even changes.

    Args:
        low: The least noise before none.
        high: The most noise, against which rows are nothing.
        mean: Of ln σ in training.
        spread: Standard deviation of ln σ in training.
        rho: How much smaller steps are at low noise; 1: not at all.
    """

    low: Annotated[float, Positive] = 0.002
    high: Annotated[float, Positive] = 80.0
    mean: float = -0.5
    spread: Annotated[float, Positive] = 1.4
    rho: Annotated[float, Interval(1)] = 2.0

    def levels(self, steps: int, high: float | None = None) -> Tensor:
        """``(steps + 1,)`` sizes from ``high`` (None: the most) down to 0."""
        most = max(high or self.high, self.low)
        start, end = (math.atan(size) ** (1 / self.rho) for size in (most, self.low))
        angles = torch.linspace(start, end, steps, dtype=torch.float64) ** self.rho
        return torch.cat([angles.tan(), angles.new_zeros(1)]).float()

    def draw(self, x: Tensor) -> Tensor:
        """``(B,)`` sizes for the rows ``(B, …)`` of a training batch: evenly over their distribution."""
        count = x.shape[0]
        place = (torch.arange(count, device=x.device) / count + torch.rand_like(x.new_empty(1))) % 1
        return (self.mean + self.spread * torch.special.ndtri(place.clamp(1e-5, 1 - 1e-5))).exp()


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
        for now, then in itertools.pairwise(noise.levels(int(self.steps), high).to(x)):
            x = self.step(denoise, x, now, then)
        return x

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
    for now, then in itertools.pairwise(noise.levels(steps + 1)[:-1].flip(0).to(x)):
        x = Heun().step(denoise, x, now, then)
    return x / math.sqrt(1 + noise.high**2)


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

    y, total = x, x.new_zeros(len(x))
    for now, then in itertools.pairwise(noise.levels(steps + 1)[:-1].flip(0).to(x)):
        way = then.atan() - now.atan()
        slope, spread = flow(y, now)
        ahead, widened = flow(y - way * slope, then)
        y, total = y - way * (slope + ahead) / 2, total - way * (spread + widened) / 2
    return total + UnitNormal(x.new_zeros(size)).log_prob(y.flatten(1))


class DiffusionModule(nn.Module):
    r"""A denoiser of rows of any shape: a network, told the size of the noise, between weights that depend on it.

    $D(x; \sigma) = \tfrac{1}{1 + \sigma^2} x + \tfrac{\sigma}{\sqrt{1 + \sigma^2}} \,
    F(\tfrac{1}{\sqrt{1 + \sigma^2}} x; \tfrac{1}{4} \ln \sigma)$ for rows of variance 1: all that goes in and comes out
    of the network is near variance 1 at every σ. Training moves the network; a moving average of it, which makes better
    rows, is what evaluation uses.

    Args:
        shape: Shape of one row.
        network: ``(…, *shape), (…, width) -> (…, *shape)``: see ``Network.conditioned``.
        width: Of what the network is told.
        condition: What a row's condition becomes, ``(B, …) -> (B, width)``; None: rows have none.
        noise: The sizes of noise.
        decay: How slowly the average follows.

    Attributes:
        centre: What is subtracted from rows so that they have mean 0.
        scale: What they are divided by.
    """

    centre: Tensor
    scale: Tensor
    moved: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        network: nn.Module,
        width: int,
        condition: nn.Module | None = None,
        noise: Noise | None = None,
        decay: float = 0.999,
    ) -> None:
        super().__init__()
        self.shape, self.noise, self.decay = tuple(shape), noise or Noise(), decay
        self.live = _Told(network, width, condition)
        self.average = copy.deepcopy(self.live).requires_grad_(False)
        own = self.shape if len(self.shape) == 1 else ()  # images keep the contrast between their pixels
        self.register_buffer("centre", torch.zeros(own))
        self.register_buffer("scale", torch.ones(own))
        self.register_buffer("moved", torch.zeros(()))

    def prepare(self, values: Tensor) -> None:
        """Learn mean and scale of rows ``(n, *shape)``; what is constant keeps its units.

        All elements of images are scaled alike.
        """
        axes = (0,) if self.centre.ndim else tuple(range(values.ndim))
        values = values.double()
        mean, spread = values.mean(axes), values.std(axes, correction=0)
        least = 1e-6 * values.abs().amax(axes).clamp_min(1)
        self.centre.copy_(mean)
        self.scale.copy_(torch.where(spread > least, spread, 1.0))

    def standard(self, values: Tensor) -> Tensor:
        """Rows in units of mean 0 and variance 1."""
        return (values - self.centre) / self.scale

    def raw(self, standard: Tensor) -> Tensor:
        """Rows in their own units again."""
        return standard * self.scale + self.centre

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """The expected clean rows ``(n, *shape)``, in standard units; by the average unless in training.

        Args:
            x: ``(n, *shape)`` noisy rows.
            sigma: ``(n,)`` or ``()`` how noisy they are.
            condition: ``(n, …)`` what they are to be like; None: nothing is said.
        """
        return self._estimate(self.live if self.training else self.average, x, sigma, condition)

    def _estimate(self, network: nn.Module, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        row = sigma.expand(x.shape[0])
        sigma = row.reshape(-1, *(1,) * len(self.shape))
        total = (1 + sigma.square()).sqrt()
        return x / total.square() + sigma / total * network(x / total, row, condition)

    def guided(self, condition: Tensor | None = None, guidance: float = 1.0) -> Denoise:
        """The average as a denoiser of rows of a condition ``(n, …)``, which counts ``guidance`` times.

        Reference:
            Classifier-Free Diffusion Guidance, Ho, Salimans, 2022, https://arxiv.org/abs/2207.12598
        """

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            told = self._estimate(self.average, x, sigma, condition)
            if condition is None or guidance == 1:
                return told
            free = self._estimate(self.average, x, sigma, None)
            return free + guidance * (told - free)

        return denoise

    @torch.no_grad()
    def follow(self) -> None:
        """Let the average follow the network: to be called after every step."""
        self.moved += 1
        weight = 1 - torch.minimum(self.moved.new_tensor(self.decay), (1 + self.moved) / (10 + self.moved))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.live.parameters()), float(weight))
        for mine, theirs in zip(self.average.buffers(), self.live.buffers(), strict=True):
            mine.copy_(theirs)


class DiffusionStep(nn.Module):
    r"""The step that the loop trains.

    $\tfrac{1 + \sigma^2}{\sigma^2} \lVert D(x + \sigma \varepsilon; \sigma) - x \rVert^2$, the mean over a row's
    elements: 1 for a network that knows nothing.

    Args:
        model: The denoiser.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, model: DiffusionModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The mean loss of a row of ``values`` ``(B, *shape)``, perhaps of a ``condition`` ``(B, …)``."""
        x = self.model.standard(batch["values"])
        row = self.model.noise.draw(x)
        sigma = row.reshape(-1, *(1,) * (x.ndim - 1))
        condition = batch.get("condition")
        if condition is not None and self.training:
            told = torch.rand_like(row) >= FORGET
            condition = torch.where(told.reshape(-1, *(1,) * (condition.ndim - 1)), condition, -1)
        error = self.model(x + sigma * torch.randn_like(x), row, condition) - x
        terms = ((1 + sigma.square()) / sigma.square() * error.square()).flatten(1).mean(1)
        return {"loss": row_mean(terms, batch.get("weight"))}


class _Told(nn.Module):
    """A network that is told the size of the noise and the condition."""

    frequencies: Tensor

    def __init__(self, network: nn.Module, width: int, condition: nn.Module | None) -> None:
        super().__init__()
        self.network, self.condition = network, condition
        self.register_buffer("frequencies", torch.logspace(-1, 1.2, FREQUENCIES) * math.pi, persistent=False)
        self.sigma = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        phase = (sigma.log() / 4).unsqueeze(-1) * self.frequencies
        told = self.sigma(torch.cat([phase.cos(), phase.sin()], dim=-1))
        if self.condition is not None:
            told = told + self.condition(condition, told)
        out: Tensor = self.network(x, torch.nn.functional.silu(told))
        return out


class ClassCondition(nn.Module):
    """Classes as vectors; −1 (no class) is a class of its own.

    Args:
        classes: How many.
        width: Of the vectors.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.vectors.weight, std=1.0)

    def forward(self, condition: Tensor | None, like: Tensor) -> Tensor:
        """``(n,)`` classes, or None, to ``(n, width)``."""
        if condition is None:
            condition = torch.full(like.shape[:1], -1, device=like.device)
        vectors: Tensor = self.vectors(condition + 1)
        return vectors
