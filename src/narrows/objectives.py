"""Objectives: what training makes small, as named terms.

A term is ``(B,)`` when it is per row and ``()`` when it is per batch; all are in nats per row, summed over features
(never averaged), so that β means β. The loss is their sum, rows averaged by weight.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor

from narrows._normal import UnitNormal
from narrows._part import Interval, Part
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.likelihoods import log_likelihood


class PenaltyLike(Protocol):
    """What an objective needs of a penalty."""

    @property
    def in_bound(self) -> bool:
        """Whether the importance-weighted bound already holds it."""

    def __call__(self, p: Pass) -> Tensor:
        """Its value, weighted: ``(B,)`` or ``()``."""


class Objective(Part, ABC, room="objectives", abstract=True):
    """Base of all objectives. Each has ``samples``: how many codes per row the model must draw, or None for one."""

    samples: Annotated[int, Interval(1)] | None = None

    @abstractmethod
    def __call__(self, p: Pass, penalties: Mapping[str, PenaltyLike]) -> dict[str, Tensor]:
        """Named terms of one pass.

        Args:
            p: What the model made of a batch; with ``samples``, codes are ``(S, B, L)``.
            penalties: By name; theirs are the names of the terms.

        Returns:
            ``"reconstruction"`` first, then the others; each ``(B,)`` per row or ``()`` per batch, in nats.
        """

    def check_model(self, bottleneck: Any) -> None:
        """Raise `InvalidParameter` unless the objective can work with this bottleneck."""


class ELBO(Objective):
    """Penalised reconstruction.

    −log p(x|z) + Σ penalties: with a KL penalty the negative evidence lower bound, without one the loss of a plain
    autoencoder.

    Args:
        samples: How many codes per row the reconstruction is averaged over; None for one.

    Reference:
        Auto-Encoding Variational Bayes. D. P. Kingma, M. Welling, 2013. https://arxiv.org/abs/1312.6114

    Example:
        ```python
        terms = ELBO()(p, Penalties(kl=KL()))  # {"reconstruction": (B,), "kl": (B,)}
        loss = sum(term.mean() for term in terms.values())
        ```
    """

    def __call__(self, p: Pass, penalties: Mapping[str, PenaltyLike]) -> dict[str, Tensor]:
        """``reconstruction``, ``bottleneck`` where that charges anything, and the penalties."""
        log_x = log_likelihood(p.x, p.rows)
        terms = {"reconstruction": -(log_x.mean(0) if log_x.ndim == 2 else log_x)}
        if p.code.cost is not None:
            terms["bottleneck"] = p.code.cost
        return terms | {name: penalty(p) for name, penalty in penalties.items()}


class ImportanceWeighted(Objective):
    """The importance-weighted bound, tighter than the evidence lower bound as k grows.

    −log 1/k Σ_s p(x|z_s) p(z_s) / q(z_s|x), with z_s ~ q(z|x).

    It is given as two terms that add up to it: ``reconstruction``, the mean of −log p(x|z_s), and ``divergence``, the
    rest (for k = 1 the estimate log q(z|x) − log p(z) of the KL divergence). A KL penalty among the penalties is left
    out with its weight, warm-up and free bits, since the bound holds the divergence already; others are added.

    Args:
        samples: k, how many codes are drawn per row.

    Reference:
        Importance Weighted Autoencoders. Y. Burda, R. Grosse, R. Salakhutdinov, 2015. https://arxiv.org/abs/1509.00519

    Example:
        ```python
        ImportanceWeighted(samples=20)
        ```
    """

    samples: Annotated[int, Interval(1)] = 5

    def __call__(self, p: Pass, penalties: Mapping[str, PenaltyLike]) -> dict[str, Tensor]:
        """``reconstruction``, ``divergence``, ``bottleneck`` where that charges anything, and all penalties but KL."""
        log_x, log_ratio = log_likelihood(p.x, p.rows), log_prior_ratio(p)
        reconstruction = -log_x.mean(0)
        bound = torch.logsumexp(log_x + log_ratio, dim=0) - math.log(log_x.shape[0])
        terms = {"reconstruction": reconstruction, "divergence": -bound - reconstruction}
        if p.code.cost is not None:
            terms["bottleneck"] = p.code.cost
        return terms | {name: penalty(p) for name, penalty in penalties.items() if not penalty.in_bound}

    def check_model(self, bottleneck: Any) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(
                f"{self!r} weighs codes by their density, and codes of {bottleneck!r} have none: "
                "use bottleneck=Gaussian(), or objective=ELBO()"
            )


def log_prior_ratio(p: Pass) -> Tensor:
    """The log-ratio log p(z) − log q(z|x) of the codes of a pass: ``(S, B)`` or ``(B,)`` in nats."""
    z = p.code.z
    prior = UnitNormal(z[..., 0, :]) if p.prior is None else p.prior
    return prior.log_prob(z) - p.code.posterior.log_prob(z)
