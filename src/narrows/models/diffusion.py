"""Diffusion models of whole rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows._types import Layout, Rows
from narrows.diffusion import ClassCondition, DiffusionModule, DiffusionStep, Noise, Sampler, inpaint, turn
from narrows.models.continuous import ContinuousModule
from narrows.models.generator import GeneratorModule
from narrows.networks import Network

TOLD = 128  # numbers that say how noisy a row is, and of which class
LEAST = 0.25  # spread below which a category's features are not blown up
LOOKS = 16  # sizes of noise at which a row is scored
STEPS, ROUNDS = 50, 5  # of in-painting


class DiffusionGenerator(GeneratorModule):
    """Noise ε ~ N(0, I) of a row's own size, and the class if there are any → probability flow → features → row.

    Attributes:
        chunk: Rows at a time: few, since each is walked in many steps, and chunks are filled up.

    Args:
        layout: What a row looks like.
        network: Makes the denoiser.
        noise: The sizes of noise.
        sampler: How rows are drawn.
        guidance: How often the class counts.
        decay: How slowly the average of the weights follows.
    """

    def __init__(
        self, layout: Layout, network: Network, noise: Noise, sampler: Sampler, guidance: float, decay: float
    ) -> None:
        features = ContinuousModule(layout)
        super().__init__(layout, math.prod(features.shape), conditional=layout.classes > 0)
        self.features, self.sampler, self.guidance = features, sampler, guidance
        self.chunk = 32 if features.image else 256
        condition = ClassCondition(layout.classes, TOLD) if self.conditional else None
        denoiser = network.conditioned(features.shape, TOLD)
        self.model = DiffusionModule(features.shape, denoiser, TOLD, condition, noise, decay)

    def prepare(self, rows: Rows) -> None:
        """Learn the features' mean and spread of some rows; rare categories and blanks are not blown up."""
        if self.features.image:
            self.model.prepare(self.features(rows))
            return
        smallest = torch.full(self.features.shape, LEAST)
        smallest[: self.features.size] *= self.features.hot.cpu()  # numbers are divided by whatever they spread
        self.model.prepare(self.features(rows), smallest)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of noise, in scaled units, NaN where blank."""
        noise = self.model.noise
        start = math.sqrt(1 + noise.high**2) * z.reshape(-1, *self.features.shape)
        return self._rows(self.sampler(self.model.guided(condition, self.guidance), start, noise))

    def complete(self, rows: Rows, known: Tensor, condition: Tensor | None = None) -> Tensor:
        """Rows of which some values are known, the others drawn to suit; from torch's global generator.

        Args:
            rows: B rows.
            known: ``(B, *layout.shape)`` boolean.
            condition: ``(B,)`` the class of every row.

        Returns:
            ``(B, *layout.shape)`` in scaled units, NaN where blank.
        """
        values = self.model.standard(self.features(rows))
        denoise = self.model.guided(condition, self.guidance)
        drawn = inpaint(denoise, values, self._known(known), self.model.noise, STEPS, ROUNDS)
        return self._rows(drawn)

    def errors(self, rows: Rows, condition: Tensor | None = None) -> Tensor:
        """How badly rows are told from noise ``(B,)``: the loss of training at 16 sizes of noise, the same for all."""
        x, total = self.model.standard(self.features(rows)), rows.values.new_zeros(len(rows))
        coin = torch.Generator().manual_seed(0)
        places = (torch.arange(LOOKS) + 0.5) / LOOKS
        for sigma in self.model.noise.quantile(places).to(x):
            noise = torch.randn(self.features.shape, generator=coin).to(x).expand_as(x)
            norm = (1 + sigma.square()).sqrt()
            found = turn(self.model.guided(condition), (x + sigma * noise) / norm, sigma)
            total = total + (found - (sigma * x - noise) / norm).square().flatten(1).mean(1)
        return total / LOOKS

    def _known(self, known: Tensor) -> Tensor:
        flags = known[:, self.features.masked]
        own = known if self.features.image else known[:, self.features.column]
        return torch.cat([own, flags], dim=1)

    def _rows(self, standard: Tensor) -> Tensor:
        features = self.model.raw(standard)
        return self.features.inverse(features.clamp(-1, 1) if self.features.image else features)

    def step(self) -> DiffusionStep:
        """What the loop trains."""
        return GeneratorDiffusionStep(self)


class GeneratorDiffusionStep(DiffusionStep):
    """The step of a diffusion model of rows: as of features."""

    def __init__(self, generator: DiffusionGenerator) -> None:
        super().__init__(generator.model)
        self.generator = generator

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The mean loss of a row."""
        return super().forward({**batch, "values": self.generator.features(Rows(**batch))}, epoch)
