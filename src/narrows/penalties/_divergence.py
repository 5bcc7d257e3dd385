"""Penalties on the distribution of codes: KL, total correlation, and divergences of discrete distributions."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from narrows._normal import FullNormal, Normal, UnitNormal, kl_divergence, row_mean
from narrows._part import NotNegative
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.penalties._base import BottleneckLike, Penalty, draws, needs_posterior


class KL(Penalty):
    """KL divergence of q(z|x) from the prior, as in the (β-)variational autoencoder.

    β KL(q(z|x) ‖ p(z)), in nats; with free bits β Σ_j max(λ, mean over the batch of KL_j).

    In closed form where prior and posterior are Gaussian (a model without a prior in training is held to N(0, I)),
    else estimated by log q(z|x) − log p(z) at the draws of z. With free bits and no closed form, λ L bounds the sum.

    Args:
        weight: β.
        warmup: Epochs over which β grows from 0.
        free_bits: λ, nats per code unit that cost no more than λ anyway, so that units are not given up early. Then the
            penalty is per batch, since the mean of each unit over the batch is what is bounded (Kingma et al., 2016).

    Returns:
        ``(B,)``, or ``()`` with free bits.

    Reference:
        Auto-Encoding Variational Bayes. D. P. Kingma, M. Welling, 2013. https://arxiv.org/abs/1312.6114.
        Improving Variational Inference with Inverse Autoregressive Flow. D. P. Kingma et al., 2016.
        https://arxiv.org/abs/1606.04934

    Example:
        ```python
        KL(weight=4, warmup=10, free_bits=0.05)
        ```
    """

    free_bits: Annotated[float, NotNegative] = 0.0

    matches_prior: ClassVar[bool] = True
    in_bound: ClassVar[bool] = True

    def value(self, p: Pass) -> Tensor:
        """KL of every row, or its bounded sum over units of the batch's mean."""
        unit = (p.prior is None or isinstance(p.prior, UnitNormal)) and hasattr(p.code.posterior, "kl_elements")
        if self.free_bits <= 0:
            return p.code.posterior.kl() if unit else kl_of_rows(p)
        if unit:
            units = row_mean(p.code.posterior.kl_elements(), p.rows.weight).clamp_min(self.free_bits)
            return p.code.in_use(units).sum()
        floor = self.free_bits * p.code.size
        return row_mean(kl_of_rows(p), p.rows.weight).clamp_min(floor)

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(needs_posterior(self))


def kl_of_rows(p: Pass) -> Tensor:
    """KL of each row's q(z|x) from the prior of the pass: ``(B,)`` in nats, in closed form or estimated."""
    posterior = p.code.posterior
    prior = UnitNormal(p.code.z[..., 0, :]) if p.prior is None else p.prior
    if isinstance(posterior, (Normal, FullNormal)) and isinstance(prior, (Normal, FullNormal, UnitNormal)):
        return kl_divergence(posterior, prior)
    z = draws(p)
    return (posterior.log_prob(z) - prior.log_prob(z)).mean(0)


class TotalCorrelation(Penalty):
    """How much the code units depend on each other, over the batch, as in the β-TC autoencoder.

    TC = KL(q(z) ‖ Π_j q(z_j)) with q(z) = 1/B Σ_b q(z|x_b), estimated at one draw per row.

    The estimate is unbiased for the batch's own mixture q(z). Minibatch-weighted sampling (Chen et al.) divides by
    the size of the data set besides, which adds a constant and changes no gradient. Beside ``KL(weight=1)``, a
    weight of w is the paper's β = 1 + w.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.

    Returns:
        ``()`` in nats.

    Reference:
        Isolating Sources of Disentanglement in Variational Autoencoders. R. T. Q. Chen et al., 2018.
        https://arxiv.org/abs/1802.04942

    Example:
        ```python
        Penalties(kl=KL(), independence=TotalCorrelation(weight=6))
        ```
    """

    weight: Annotated[float, NotNegative] = 6.0

    def value(self, p: Pass) -> Tensor:
        """The estimate for the batch."""
        z, posterior = draws(p)[0], p.code.posterior
        joint = posterior.log_prob_pairs(z)
        units = posterior.marginals().log_prob_elements(z.unsqueeze(1))
        if p.rows.weight is None:
            log_share: Tensor | float = -math.log(z.shape[0])
        else:
            log_share = (p.rows.weight / p.rows.weight.sum()).log()
            units = units + log_share.unsqueeze(-1)
        if isinstance(log_share, float):
            units = units + log_share
        log_joint = torch.logsumexp(joint + log_share, dim=1)
        log_product = torch.logsumexp(units, dim=1).sum(-1)
        return row_mean(log_joint - log_product, p.rows.weight)

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(
                f"{self!r} needs the density of codes, and this bottleneck gives codes without one: "
                "use bottleneck=Gaussian()"
            )


def kl_categorical(p: Any, q: Any) -> Tensor:
    """KL divergence of one categorical distribution from another.

    KL(p‖q) = Σ_k p_k log(p_k / q_k), where 0 log 0 = 0.

    Args:
        p: ``(…, K)`` probabilities.
        q: ``(…, K)`` probabilities.

    Returns:
        ``(…)`` in nats; infinite where p has mass that q has not.

    Example:
        ```python
        kl_categorical((0.1, 0.2, 0.4, 0.2, 0.1), (0.4, 0.1, 0.1, 0.1, 0.3))  # 0.583
        ```
    """
    first, second = _floats(p), _floats(q)
    return (torch.xlogy(first, first) - torch.xlogy(first, second)).sum(-1)


def kl_bernoulli(p: Any, q: Any) -> Tensor:
    """KL divergence of one Bernoulli distribution from another, elementwise.

    KL(p‖q) = p log(p / q) + (1 − p) log((1 − p) / (1 − q)).

    Args:
        p: ``(…)`` probabilities of 1.
        q: ``(…)`` likewise.

    Returns:
        ``(…)`` in nats.
    """
    first, second = _floats(p), _floats(q)
    return kl_categorical(torch.stack([first, 1 - first], -1), torch.stack([second, 1 - second], -1))


def _floats(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.get_default_dtype())
