"""The denoiser that is trained, and the step that trains it."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows.diffusion._samplers import Denoise, Noise

REACHED, ROUNDS = 2_000, 30  # rows whose reach is learnt, and rounds of the power method
FREQUENCIES = 16  # of the noise's size, as the network is told of it
FORGET = 0.1  # share of the rows in training whose condition is not told, so that guidance knows both


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
        reach: How far they spread then, along the direction in which they vary most: see `Noise`.
    """

    centre: Tensor
    scale: Tensor
    reach: Tensor
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
        self.shape, self.decay, self.part = tuple(shape), decay, noise or Noise()
        self.live = _Told(network, width, condition)
        self.average = copy.deepcopy(self.live).requires_grad_(False)
        own = self.shape if len(self.shape) == 1 else ()  # images keep the contrast between their pixels
        self.register_buffer("centre", torch.zeros(own))
        self.register_buffer("scale", torch.ones(own))
        self.register_buffer("reach", torch.ones(()))
        self.register_buffer("moved", torch.zeros(()))

    @property
    def noise(self) -> Noise:
        """The sizes of noise, for rows that reach as far as these."""
        return self.part.reaching(self.part.reach or float(self.reach))

    def prepare(self, values: Tensor, smallest: Tensor | None = None) -> None:
        """Learn mean, scale and reach of rows ``(n, *shape)``; what is constant keeps its units.

        All elements of images are scaled alike.

        Args:
            values: The rows.
            smallest: ``shape``, what elements are divided by at least; None: by whatever they spread.
        """
        axes = (0,) if self.centre.ndim else tuple(range(values.ndim))
        values = values.double()
        mean, spread = values.mean(axes), values.std(axes, correction=0)
        least = 1e-6 * values.abs().amax(axes).clamp_min(1)
        self.centre.copy_(mean)
        self.scale.copy_(torch.where(spread > least, spread, 1.0))
        if smallest is not None:
            self.scale.clamp_(min=smallest.to(self.scale))
        self.reach.copy_(_reach(self.standard(values).flatten(1)))

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
        row = self.model.part.draw(x)
        sigma = row.reshape(-1, *(1,) * (x.ndim - 1))
        condition = batch.get("condition")
        if condition is not None and self.training:
            told = torch.rand_like(row) >= FORGET
            condition = torch.where(told.reshape(-1, *(1,) * (condition.ndim - 1)), condition, -1)
        error = self.model(x + sigma * torch.randn_like(x), row, condition) - x
        terms = ((1 + sigma.square()) / sigma.square() * error.square()).flatten(1).mean(1)
        return {"loss": row_mean(terms, batch.get("weight"))}


def _reach(values: Tensor) -> Tensor:
    """Standard deviation of rows ``(n, d)`` along the direction in which they vary most, at least 1."""
    apart = values[:REACHED] - values[:REACHED].mean(0)
    way = apart[apart.square().sum(1).argmax()]
    for _ in range(ROUNDS):  # the power method
        way = apart.T @ (apart @ nn.functional.normalize(way, dim=0)) / len(apart)
    return way.norm().sqrt().clamp_min(1)


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
    """Classes as vectors; −1 (no class) is a class of its own. Of several classes (words) the vectors are added up.

    Args:
        classes: How many.
        width: Of the vectors.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.vectors.weight, std=1.0)

    def forward(self, condition: Tensor | None, like: Tensor) -> Tensor:
        """``(n,)`` classes, ``(n, T)`` several of each row, filled up with −1, or None, to ``(n, width)``."""
        if condition is None:
            condition = torch.full(like.shape[:1], -1, device=like.device)
        if condition.ndim == 1:
            condition = condition.unsqueeze(1)
        there = (condition >= 0).to(like.dtype)
        there[:, 0] = torch.where(there.sum(1) > 0, there[:, 0], 1.0)  # none at all is told as such
        vectors: Tensor = self.vectors(condition + 1)
        return (there.unsqueeze(2) * vectors).sum(1)
