"""Penalties on the covariance of codes."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from narrows._normal import row_mean
from narrows._part import NotNegative
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.penalties._base import BottleneckLike, Penalty, needs_posterior


class DIP(Penalty):
    r"""Make the code units uncorrelated, with variance 1, over the batch: disentangled inferred priors.

    $\sum_{i \ne j} C_{ij}^2 + d \sum_i (C_{ii} - 1)^2$, where C is the covariance of the codes' means (kind I), or of
    the codes themselves: that of the means and the mean of the posteriors' covariances (kind II). It stands beside
    ``KL(weight=1)``.

    Args:
        weight: λ of the off-diagonal.
        warmup: Epochs over which the weight grows from 0.
        kind: ``"I"`` or ``"II"``.
        diagonal: d, how much the variances count beside; None: 10 for kind I, 1 for kind II, as in the paper.

    Returns:
        ``()``.

    References:
        Kumar, Sattigeri, Balakrishnan: Variational Inference of Disentangled Latent Concepts from Unlabeled
        Observations, 2018, https://arxiv.org/abs/1711.00848

    Example:
        ```python
        Penalties(kl=KL(), independence=DIP(weight=10))
        ```
    """

    weight: Annotated[float, NotNegative] = 10.0
    kind: Literal["I", "II"] = "II"
    diagonal: Annotated[float, NotNegative] | None = None

    def value(self, p: Pass) -> Tensor:
        """The penalty of the batch."""
        posterior, weight = p.code.posterior, p.rows.weight
        apart = posterior.mean - row_mean(posterior.mean, weight)
        covariance = row_mean(apart.unsqueeze(-1) * apart.unsqueeze(-2), weight)
        if self.kind == "II":
            covariance = covariance + row_mean(posterior.covariance, weight)
        own = covariance.diagonal()
        off = covariance.square().sum() - own.square().sum()
        share = {"I": 10.0, "II": 1.0}[self.kind] if self.diagonal is None else self.diagonal
        return off + share * p.code.in_use((own - 1).square()).sum()

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """A posterior is needed."""
        if not bottleneck.stochastic:
            raise InvalidParameter(needs_posterior(self))
