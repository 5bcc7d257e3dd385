"""Adversarial losses: what a generator and the discriminator that judges it minimise.

A discriminator gives every row a score, high for what it takes for real. Scores are logits, not probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows._part import Interval, Part

Critic = Callable[[Tensor], Tensor]


class AdversarialLoss(Part, ABC, room="adversarial", abstract=True):
    """Base of all adversarial losses."""

    @abstractmethod
    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the generator minimises.

        Args:
            real: ``(B,)`` scores of real rows.
            fake: ``(B,)`` scores of made rows.

        Returns:
            ``(B,)``.
        """

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises, of the same scores: ``(B,)``."""

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | None:
        """What the discriminator minimises besides, of its slopes.

        Args:
            critic: Scores ``(B,)`` of rows' features ``(B, *shape)``.
            real: ``(B, *shape)`` features of real rows.
            fake: ``(B, *shape)`` features of made rows.

        Returns:
            ``(B,)``; None for nothing.
        """
        return None


class Minimax(AdversarialLoss):
    """The textbook's game: the discriminator minimises the error of telling real from made, the generator maximises it.

    Discriminator: −log σ(D(x)) − log(1 − σ(D(G(z)))); generator: log(1 − σ(D(G(z)))). When the discriminator wins, the
    generator's gradient vanishes: `NonSaturating` was made for that.

    References:
        Goodfellow et al.: Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """log(1 − σ(fake))."""
        return -F.softplus(fake)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−log σ(real) − log(1 − σ(fake))."""
        return F.softplus(-real) + F.softplus(fake)


class NonSaturating(Minimax):
    """The discriminator as in `Minimax`; the generator minimises −log σ(D(G(z))), whose gradient does not vanish.

    References:
        Goodfellow et al.: Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−log σ(fake)."""
        return F.softplus(-fake)


class Hinge(AdversarialLoss):
    """Scores beyond a margin are left alone: max(0, 1 − D(x)) + max(0, 1 + D(G(z))); generator: −D(G(z)).

    References:
        Lim, Ye: Geometric GAN, 2017, https://arxiv.org/abs/1705.02894
    """

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−fake."""
        return -fake

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 − real) + max(0, 1 + fake)."""
        return F.relu(1 - real) + F.relu(1 + fake)


class Wasserstein(AdversarialLoss):
    """The difference of mean scores, for a discriminator whose slope is held near 1 between real and made rows.

    Discriminator: D(G(z)) − D(x) + weight · (‖∇D(x̂)‖ − 1)², with x̂ at random between x and G(z).

    Args:
        weight: Weight of the gradient penalty.

    References:
        Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved Training of Wasserstein GANs, 2017,
        https://arxiv.org/abs/1704.00028
    """

    weight: Annotated[float, Interval(0)] = 10.0

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−fake."""
        return -fake

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Fake − real."""
        return fake - real

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | None:
        """Weight · (‖∇D(x̂)‖ − 1)²."""
        share = torch.rand_like(real.flatten(1)[:, :1]).reshape(-1, *[1] * (real.ndim - 1))
        square = squared_slope(critic, torch.lerp(fake, real, share))
        return self.weight * ((square + 1e-12).sqrt() - 1).square()


class Relativistic(AdversarialLoss):
    """Real rows are to score higher than made ones, pair by pair; slopes are held down on both.

    Discriminator: log(1 + exp(D(G(z)) − D(x))) + r1/2 ‖∇D(x)‖² + r2/2 ‖∇D(G(z))‖²; generator: the mirror image,
    log(1 + exp(D(x) − D(G(z)))). Since every made row is judged beside a real one, there is no gain in leaving out
    kinds of rows; with both penalties training converges near its end.

    Args:
        r1: Weight of the slope on real rows.
        r2: Weight of the slope on made rows.

    References:
        Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! A Modern Baseline GAN, 2024,
        https://arxiv.org/abs/2501.05441
    """

    r1: Annotated[float, Interval(0)] = 1.0
    r2: Annotated[float, Interval(0)] = 1.0

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """log(1 + exp(real − fake))."""
        return F.softplus(real - fake)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """log(1 + exp(fake − real))."""
        return F.softplus(fake - real)

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | None:
        """r1/2 ‖∇D(x)‖² + r2/2 ‖∇D(G(z))‖²."""
        terms = [(self.r1, real), (self.r2, fake)]
        found = [0.5 * weight * squared_slope(critic, rows) for weight, rows in terms if weight]
        return sum(found[1:], found[0]) if found else None


def squared_slope(critic: Critic, rows: Tensor) -> Tensor:
    """‖∇ critic‖² at every row, ``(B,)``; gradients flow through it."""
    rows = rows.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    return slope.square().flatten(1).sum(1)
