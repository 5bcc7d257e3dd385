"""Generators that learn from a discriminator, or from kernels: noise to rows by one network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from narrows._types import Layout, Rows
from narrows.adversarial import AdversarialLoss
from narrows.models.continuous import ContinuousModule
from narrows.models.generator import GeneratorModule
from narrows.networks import Network


class NoiseModule(GeneratorModule):
    """Noise z ~ N(0, I), and the class if there are any → network → features → row.

    Args:
        layout: What a row looks like.
        network: Its decoder makes features of noise.
        code_size: Numbers of noise per row.
    """

    def __init__(self, layout: Layout, network: Network, code_size: int) -> None:
        super().__init__(layout, code_size, conditional=layout.classes > 0)
        self.features = ContinuousModule(layout)
        self.generator = network.decoder(code_size + layout.classes, self.features.shape)

    def make(self, z: Tensor, condition: Tensor | None, network: nn.Module | None = None) -> Tensor:
        """The features ``(B, *features.shape)`` of rows, differentiable."""
        if self.conditional:
            z = torch.cat([z, self.hot(condition, z)], dim=1)
        return self.features.shaped((network or self.generator)(z))

    def hot(self, condition: Tensor | None, like: Tensor) -> Tensor:
        """``(B, classes)`` 1 for each row's class; 0 throughout where it has none."""
        if condition is None:
            return like.new_zeros(len(like), self.layout.classes)
        return (condition.unsqueeze(1) == torch.arange(self.layout.classes, device=like.device)).to(like.dtype)

    def made(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The features of rows, by the network that makes them in the end."""
        return self.make(z, condition)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of noise, in scaled units, NaN where blank."""
        return self.features.inverse(self.made(z, condition))


class GANModule(NoiseModule):
    """A generator, the discriminator that judges it, and the generator's moving average, which makes the rows.

    The discriminator has one score per class, of which a row's own counts; of a row without a class, their mean.

    Args:
        layout: What a row looks like.
        network: Makes generator and discriminator.
        code_size: Numbers of noise per row.
        decay: Of the moving average, per step; shorter at first.
        judge: Makes the discriminator instead of ``network``.
    """

    steps: Tensor

    def __init__(
        self, layout: Layout, network: Network, code_size: int, decay: float, judge: Network | None = None
    ) -> None:
        super().__init__(layout, network, code_size)
        self.decay = decay
        self.discriminator = (judge or network).encoder(self.features.shape, max(1, layout.classes))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("steps", torch.zeros(()))

    def judge(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Scores ``(B,)`` of rows' features: high for what looks real."""
        scores = self.discriminator(features)
        if not self.conditional:
            return scores.squeeze(1)
        hot = self.hot(condition, scores)
        share = torch.where(hot.sum(1, keepdim=True) > 0, hot, 1 / self.layout.classes)
        return (scores * share).sum(1)

    def made(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The features of rows, by the moving average."""
        return self.make(z, condition, self.average)

    @torch.no_grad()
    def follow(self) -> None:
        """Let the average follow the generator by one step."""
        self.steps += 1
        weight = (10 / (9 + self.steps)).clamp_min(1 - self.decay).clamp_max(1.0)
        for kept, moving in zip(self.average.state_dict().values(), self.generator.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(moving, weight)
            else:
                kept.copy_(moving)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Leave a module's parameters out of gradients for the length of a block."""
    moving = [p for p in module.parameters() if p.requires_grad]
    for p in moving:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in moving:
            p.requires_grad_(True)


class GeneratorStep(nn.Module):
    """The generator's share: make rows that the discriminator takes for real.

    Args:
        model: Both networks.
        loss: What they minimise.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, model: GANModule, loss: AdversarialLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The generator's loss, and how much higher real rows score than made ones."""
        rows, model = Rows(**batch), self.model
        fake = model.make(torch.randn_like(model.template.expand(len(rows), -1)), rows.condition)
        with frozen(model.discriminator):
            scores = model.judge(fake, rows.condition)
            real = model.judge(model.features(rows), rows.condition)
        return {"loss": self.loss.generator(real, scores).mean(), "margin": (real - scores).mean()}


class DiscriminatorStep(nn.Module):
    """The discriminator's share: tell real rows from made ones.

    Args:
        model: Both networks.
        loss: What they minimise.
    """

    pure = True

    def __init__(self, model: GANModule, loss: AdversarialLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The discriminator's loss, with its penalty."""
        rows, model = Rows(**batch), self.model
        with torch.no_grad():
            fake = model.make(torch.randn_like(model.template.expand(len(rows), -1)), rows.condition)
            real = model.features(rows)
        loss = self.loss.discriminator(model.judge(real, rows.condition), model.judge(fake, rows.condition))
        penalty = self.loss.penalty(lambda features: model.judge(features, rows.condition), real, fake)
        return {"loss": (loss if penalty is None else loss + penalty).mean()}


class MomentStep(nn.Module):
    """Make a batch whose rows, taken together, look like a batch of real ones: the maximum mean discrepancy.

    E k(x, x') + E k(y, y') − 2 E k(x, y), unbiased, with k(x, y) = mean over h of exp(−‖x − y‖² / (2 h² m)), where m is
    the mean squared distance of two real rows and h are several widths: one alone is blind to what is much larger or
    smaller than itself. Where rows have classes, only rows of one class are compared.

    Args:
        model: The generator.
        widths: h.

    References:
        Li, Swersky, Zemel: Generative Moment Matching Networks, 2015, https://arxiv.org/abs/1502.02761;
        Gretton et al.: A Kernel Two-Sample Test, 2012, https://jmlr.org/papers/v13/gretton12a.html
    """

    pure = True

    def __init__(self, model: NoiseModule, widths: Sequence[float]) -> None:
        super().__init__()
        self.model, self.widths = model, tuple(widths)

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The discrepancy between the batch and as many made rows."""
        rows, model = Rows(**batch), self.model
        real = model.features(rows).flatten(1)
        fake = model.make(torch.randn_like(model.template.expand(len(rows), -1)), rows.condition).flatten(1)
        n = len(rows)
        own, across = 1 - torch.eye(n, device=real.device), torch.ones(n, n, device=real.device)
        if rows.condition is not None:
            same = (rows.condition.unsqueeze(1) == rows.condition).to(real.dtype)
            own, across = own * same, across * same
        apart = _squares(real, real)
        unit = ((apart * own).sum() / own.sum().clamp_min(1)).clamp_min(1e-6)
        pairs = ((apart, own, 1.0), (_squares(fake, fake), own, 1.0), (_squares(real, fake), across, -2.0))
        terms = [sign * self._mean(d / unit, weight) for d, weight, sign in pairs]
        return {"loss": terms[0] + terms[1] + terms[2]}

    def _mean(self, distance: Tensor, weight: Tensor) -> Tensor:
        kernel = torch.stack([torch.exp(-distance / (2 * h * h)) for h in self.widths]).mean(0)
        return (kernel * weight).sum() / weight.sum().clamp_min(1)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """``(A, B)`` squared distances."""
    return (a.square().sum(1).unsqueeze(1) + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)
