"""Codes of which a part is shared by all rows of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from narrows._normal import Normal
from narrows._part import Interval
from narrows._types import Code
from narrows.bottlenecks._basic import Bottleneck, GaussianModule
from narrows.errors import InvalidParameter


class Grouped(Bottleneck):
    r"""A Gaussian over codes whose first units are the same for all rows of a group: the multi-level autoencoder.

    Of the shared units each row of a group gives evidence, and the group's posterior is the product of its rows':
    $1 / \sigma_g^2 = \sum_i 1 / \sigma_i^2$ and $\mu_g = \sigma_g^2 \sum_i \mu_i / \sigma_i^2$ over the rows of the
    group in the batch. It is drawn once, and its KL divergence counts once, in equal parts for each row. The other
    units are each row's own. Rows without groups (``rows.group``) are groups of one: then this is `Gaussian`.

    The divergence is shared out for a standard normal prior, which is the default.

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
        shared: How many of them belong to the group. None: half, rounded up.

    References:
        Bouchacourt, Tomioka, Nowozin: Multi-Level Variational Autoencoder: Learning Disentangled Representations from
        Grouped Observations, 2018, https://arxiv.org/abs/1705.08841

    Example:
        ```python
        module = Grouped(size=4, shared=2).build()
        code = module.grouped(torch.randn(3, 8), torch.tensor([0, 0, 1]))
        code.posterior.mean[:2, :2]   # two equal rows
        ```
    """

    shared: Annotated[int, Interval(1)] | None = None

    stochastic: ClassVar[bool] = True

    def width(self) -> int:
        """A mean and a log-scale for every number of the code."""
        return 2 * self._size()

    def build(self) -> GroupedModule:
        """The module that makes codes; it has no parameters.

        Raises:
            InvalidParameter: If more numbers are shared than there are.
        """
        size = self._size()
        shared = (size + 1) // 2 if self.shared is None else int(self.shared)
        if shared > size:
            raise InvalidParameter(f"shared={shared} of a code of {size} numbers: share {size} at most")
        return GroupedModule(size, shared)


class GroupedModule(GaussianModule):
    """A bottleneck with a part for the group, built.

    Args:
        size: Numbers of a code, L.
        shared: How many of them, the first ones, belong to the group.
    """

    def __init__(self, size: int, shared: int) -> None:
        super().__init__(size, "diagonal")
        self.shared = shared

    def grouped(self, phi: Tensor, group: Tensor | None, samples: int | None = None) -> Code:
        """The codes of rows of which ``group`` ``(B,)`` says what group they are of; None: each is one by itself."""
        if group is None:
            return self(phi, samples=samples)
        own = self.posterior(phi)
        assert isinstance(own, Normal)
        posterior = self.accumulated(own, group)
        if samples is not None:
            return Code(posterior.samples(samples), posterior)
        return Code(posterior.sample() if self.training else posterior.mean, posterior)

    def accumulated(self, own: Normal, group: Tensor) -> GroupedNormal:
        """The posteriors of rows with the evidence of their groups put together, ``(B, L)``."""
        same = (group.unsqueeze(1) == group).to(own.mean.dtype)
        precision = (-2 * own.log_scale).exp()
        whole = same @ precision
        units = torch.arange(self.size, device=group.device) < self.shared
        return GroupedNormal(
            torch.where(units, same @ (precision * own.mean) / whole, own.mean),
            torch.where(units, -0.5 * whole.log(), own.log_scale),
            same.argmax(1),
            torch.where(units, 1 / same.sum(1, keepdim=True), 1.0),
            units,
        )


@dataclass(frozen=True, eq=False)
class GroupedNormal(Normal):
    """Gaussians of rows, some units of which are one and the same for all rows of a group.

    Attributes:
        mean: ``(B, L)`` μ.
        log_scale: ``(B, L)`` log σ.
        first: ``(B,)`` the first row of every row's group.
        share: ``(B, L)`` which part of a unit's divergence is a row's: 1, or one over the rows of its group.
        units: ``(L,)`` true where a unit belongs to the group.
    """

    first: Tensor
    share: Tensor
    units: Tensor

    def sample(self) -> Tensor:
        """``(B, L)``: one draw per row, the group's units drawn once."""
        return self.samples(1)[0]

    def samples(self, n: int) -> Tensor:
        """``(n, B, L)``: n draws per row, the group's units drawn once each."""
        noise = torch.randn_like(self.mean.expand(n, *self.mean.shape))
        return self.mean + self.scale * torch.where(self.units, noise.index_select(1, self.first), noise)

    def kl_elements(self) -> Tensor:
        """Each row's part of the KL divergence of every code unit from N(0, 1) in nats: ``(B, L)``."""
        return self.share * super().kl_elements()
