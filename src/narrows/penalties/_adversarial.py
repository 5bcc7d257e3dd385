"""Penalties that own a network: a critic that is trained beside the model, against it or for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows._part import Interval, NotNegative
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.penalties._base import BottleneckLike, Penalty, draws, needs_posterior


class CriticPenalty(Penalty, abstract=True):
    """Base of penalties that a critic works out: a network from codes to one number, trained beside the model.

    The critic is a classifier of two kinds of codes by the logistic loss; it is trained by a player of its own, at
    every step after the model's. It is no part of the model and is not saved with it. Since it starts from nothing and
    learns all the while, its verdicts of different epochs cannot be compared: early stopping leaves them out.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0; the critic learns from the start.
        widths: Hidden widths of the critic.
    """

    widths: tuple[Annotated[int, Interval(1)], ...] = (256, 256)

    def critic(self, size: int) -> nn.Module:
        """A fresh critic of codes of ``size`` numbers, ``(…, L) -> (…)``, from torch's global generator."""
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((size, *self.widths)):
            layers += [nn.Linear(narrow, wide), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear((size, *self.widths)[-1], 1), nn.Flatten(-2))

    @abstractmethod
    def verdict(self, logits: Tensor) -> Tensor:
        """The penalty with weight 1 from what the critic says of codes: ``(S, B) -> (B,)``."""

    @abstractmethod
    def others(self, p: Pass, z: Tensor) -> Tensor:
        """The codes that the critic is to tell those of the pass from, of the shape of ``z`` ``(B, L)``."""

    def loss(self, p: Pass, critic: nn.Module) -> Tensor:
        """What the critic makes small, ``()``: the logistic loss, the codes of the pass being its positive class."""
        z = draws(p)[0].detach()
        own, other = critic(z), critic(self.others(p, z).detach())
        return row_mean(0.5 * (F.softplus(-own) + F.softplus(other)), p.rows.weight)

    def value(self, p: Pass) -> Tensor:
        """Not without a critic: the step that trains the model brings it."""
        raise InvalidParameter(f"{self!r} needs its critic: penalties.Judged(penalty, critic)(p)")


@dataclass(frozen=True)
class Judged:
    """A penalty with the critic that works it out."""

    penalty: CriticPenalty
    critic: nn.Module

    @property
    def in_bound(self) -> bool:
        """Whether the importance-weighted bound already holds it."""
        return self.penalty.in_bound

    def __call__(self, p: Pass) -> Tensor:
        """Its value, weighted: ``(B,)``."""
        return self.penalty.scale(p.epoch) * self.penalty.verdict(self.critic(draws(p)))


class Adversarial(CriticPenalty):
    r"""Make codes look like draws from the prior to a critic that tries to tell them apart.

    The critic's $D(z)$ is the probability that $z$ is the code of a row; the model is charged $-\log(1 - D(z))$, as in
    the adversarial autoencoder (non-saturating). Where the critic cannot tell, that is log 2.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.
        widths: Hidden widths of the critic.

    References:
        Makhzani, Shlens, Jaitly, Goodfellow, Frey: Adversarial Autoencoders, 2015, https://arxiv.org/abs/1511.05644

    Example:
        ```python
        Adversarial(weight=10)
        ```
    """

    matches_prior: ClassVar[bool] = True

    def verdict(self, logits: Tensor) -> Tensor:
        """−log(1 − D), the mean of the draws."""
        return F.softplus(logits).mean(0)

    def others(self, p: Pass, z: Tensor) -> Tensor:
        """Draws from the prior, N(0, I) when the model has none in training."""
        return p.code.in_use(torch.randn_like(z) if p.prior is None else p.prior.sample_like(z))


class CriticTotalCorrelation(CriticPenalty):
    r"""How much the code units depend on each other, by a critic's density ratio, as in the factor autoencoder.

    TC $= KL(q(z) \,\|\, \prod_j q(z_j)) \approx E \log D(z) / (1 - D(z))$, where the critic tells codes from codes
    whose units were each shuffled over the batch. Beside ``KL(weight=1)``, the weight is the paper's γ.

    `TotalCorrelation` estimates the same without a critic, from the batch alone.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.
        widths: Hidden widths of the critic.

    References:
        Kim, Mnih: Disentangling by Factorising, 2018, https://arxiv.org/abs/1802.05983

    Example:
        ```python
        Penalties(kl=KL(), independence=CriticTotalCorrelation(weight=10))
        ```
    """

    weight: Annotated[float, NotNegative] = 10.0

    def verdict(self, logits: Tensor) -> Tensor:
        """The logarithm of the density ratio, the mean of the draws."""
        return logits.mean(0)

    def others(self, p: Pass, z: Tensor) -> Tensor:
        """The same codes, each unit shuffled over the rows by itself."""
        return z.gather(0, torch.rand_like(z).argsort(0))

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(needs_posterior(self))


def critics(named: Any, size: int) -> Iterator[tuple[str, nn.Module]]:
    """A fresh critic for each penalty that owns one, by the penalty's name."""
    return ((name, penalty.critic(size)) for name, penalty in named.items() if isinstance(penalty, CriticPenalty))
