"""Mixtures that are learned with the model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from narrows._normal import FullNormal, Normal
from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.priors._base import BottleneckLike, LearnedModule, Prior, PriorModule
from narrows.priors._distributions import MixtureDistribution, of_class

_LOG_SCALE_LIMIT = 7.0
# how many times as fast as a network's weights these numbers move: Adam moves all alike, and they have further to go
_PACE = 10.0
_SPREAD = 0.5  # of the components' centres before training


class LearnedMixture(Prior):
    """A mixture of Gaussians learned with the model; with labels, one for every class.

    p(z) = Σ_c p(c) p(z|c), p(z|c) = Σ_k π_ck N(z; μ_ck, Σ_ck), where c is a row's class (one class without labels).
    In training a row with a label is held to p(z|c), any other to p(z); ``sample(n, where="label = 3")`` draws from
    p(z|c = 3).

    Args:
        components: How many Gaussians, for every class.
        covariance: ``"diag"`` or ``"full"``.

    Reference:
        Unsupervised Deep Embedding for Clustering… by a mixture of Gaussians: Variational Deep Embedding. Z. Jiang et
        al., 2017. https://arxiv.org/abs/1611.05148

    Example:
        ```python
        prior = LearnedMixture(components=2).build(size=4, classes=3)
        prior(torch.tensor([2, -1])).log_prob(torch.zeros(2, 4))  # log p(z|c = 2) and log p(z)
        ```
    """

    components: Annotated[int, Interval(1)] = 10
    covariance: Literal["diag", "full"] = "diag"

    learns: ClassVar[bool] = True

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> LearnedMixtureModule:
        """The module, its components scattered around 0."""
        return LearnedMixtureModule(int(self.components), size, self.covariance, classes)


class LearnedMixtureModule(LearnedModule):
    """A learned mixture, built. Components of class c stand together, C classes of K.

    Attributes:
        logits: ``(C, K)`` log p(c) π_ck up to a constant; like all of these, a tenth of it (`_PACE`).
        means: ``(C·K, L)`` μ.
        raw: ``(C·K, L)`` log-scales before they are bounded.
        lower: ``(C·K, L, L)`` of which what lies below the diagonal counts; None for diagonal covariances.
    """

    def __init__(self, components: int, size: int, covariance: Literal["full", "diag"], classes: int = 0) -> None:
        super().__init__(size)
        self.conditional = classes > 0
        number = components * max(classes, 1)
        self.logits = nn.Parameter(torch.zeros(max(classes, 1), components))
        self.means = nn.Parameter(_SPREAD / _PACE * torch.randn(number, size) if number > 1 else torch.zeros(1, size))
        self.raw = nn.Parameter(torch.zeros(number, size))
        self.lower = nn.Parameter(torch.zeros(number, size, size)) if covariance == "full" else None

    def standard(self, condition: Tensor | None = None) -> MixtureDistribution:
        """The mixture; of each row's class where ``condition`` ``(B,)`` says one."""
        joint = (_PACE * self.logits).flatten().softmax(0)
        weights = joint
        if condition is not None and self.conditional:
            # of the value of p(k|c) and the gradient of log p(c, k): rows teach the share of their class too
            joint = joint.view_as(self.logits)
            weights = of_class(joint / joint.sum(-1, keepdim=True).detach(), weights, condition)
        log_scale = _LOG_SCALE_LIMIT * torch.tanh(_PACE * self.raw / _LOG_SCALE_LIMIT)
        if self.lower is None:
            return MixtureDistribution(weights, _PACE * self.means, log_scale.exp())
        return MixtureDistribution(
            weights, _PACE * self.means, _PACE * self.lower.tril(-1) + torch.diag_embed(log_scale.exp())
        )


class VampPrior(Prior):
    """What the encoder makes of pseudo-inputs, which are learned with the model.

    p(z) = 1/K Σ_k q(z|u_k), where u_k is what the encoder would see of a row.

    It follows the aggregate posterior, which is the best prior there is. Nothing holds posteriors in place before they
    say something, and they may collapse together: let the KL divergence's weight grow at first, as in
    ``penalties.KL(warmup=10)`` or ``VariationalAutoencoder(warmup=10)``.

    Args:
        components: K, how many pseudo-inputs. Every step encodes all of them.

    Reference:
        VAE with a VampPrior. J. M. Tomczak, M. Welling, 2018. https://arxiv.org/abs/1705.07120

    Example:
        ```python
        prior = VampPrior(components=100).build(size=4, inputs=(6,))
        prior.inputs.shape  # (100, 6)
        ```
    """

    components: Annotated[int, Interval(1)] = 100

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> VampPriorModule:
        """The module, its pseudo-inputs random.

        Raises:
            InvalidParameter: Without the shape of what the encoder takes.
        """
        if not inputs:
            raise InvalidParameter(f"{self!r} looks through the encoder: build it with inputs=(…), an input's shape")
        return VampPriorModule(int(self.components), inputs)

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(
                f"{self!r} is a mixture of the encoder's densities, and codes of {bottleneck!r} have none: use "
                "bottleneck=Gaussian(), or prior=priors.Mixture() or priors.Flow()"
            )


class VampPriorModule(PriorModule):
    """A VampPrior, built.

    Attributes:
        inputs: ``(K, …)`` pseudo-inputs.
    """

    def __init__(self, components: int, inputs: tuple[int, ...]) -> None:
        super().__init__()
        self.inputs = nn.Parameter(torch.rand(components, *inputs))

    def forward(self, condition: Tensor | None = None) -> MixtureDistribution:
        """The mixture of the pseudo-inputs' posteriors.

        Raises:
            InvalidParameter: Without an encoder that gives densities.
        """
        posterior = None if self.encode is None else self.encode(self.inputs)
        if not isinstance(posterior, (Normal, FullNormal)):
            raise InvalidParameter("a VampPrior needs an encoder with densities: build it as part of a model")
        scales = posterior.scale_tril if isinstance(posterior, FullNormal) else posterior.scale
        weights = scales.new_full((len(self.inputs),), 1 / len(self.inputs))
        return MixtureDistribution(weights, posterior.mean, scales)
