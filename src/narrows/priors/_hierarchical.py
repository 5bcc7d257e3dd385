"""A second layer of codes, as the prior of the first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from narrows._normal import Normal, UnitNormal
from narrows._part import Interval
from narrows.priors._base import LearnedModule, Prior

Widths = tuple[Annotated[int, Interval(1)], ...]

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
_LOG_SCALE_LIMIT = 7.0
_CANDIDATES = 32


class Hierarchical(Prior):
    """A second stochastic layer: codes are made from fewer numbers, which are made from noise.

    p(z) = ∫ p(z|v) p(v) dv, with v ~ N(0, I), p(z|v) = N(μ(v), σ²(v)), and q(v|z) a network of its own that looks
    from z to v.

    The density has no closed form: ``log_prob`` is log p(z|v) + log p(v) − log q(v|z) at one draw v ~ q(v|z). With it
    the evidence lower bound and the importance-weighted bound are those of the two-layer model, draw by draw.

    Args:
        size: Numbers in v; None: half of the code's.
        widths: Hidden widths of both networks, from z towards v.
        activation: After every hidden layer.

    References:
        Importance Weighted Autoencoders (two stochastic layers). Y. Burda, R. Grosse, R. Salakhutdinov, 2015.
        https://arxiv.org/abs/1509.00519

    Example:
        ```python
        prior = Hierarchical(size=2, widths=(16,)).build(size=4)
        prior().sample(3).shape  # (3, 4)
        ```
    """

    size: Annotated[int, Interval(1)] | None = None
    widths: Widths = (100, 100)
    activation: Literal["tanh", "relu", "silu"] = "tanh"

    learns: ClassVar[bool] = True

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> HierarchicalModule:
        """The module that holds both networks."""
        return HierarchicalModule(size, int(self.size or max(1, size // 2)), tuple(self.widths), self.activation)


class HierarchicalModule(LearnedModule):
    """A second layer, built.

    Attributes:
        up: From z to mean and log-scale of q(v|z).
        down: From v to mean and log-scale of p(z|v).
    """

    template: Tensor

    def __init__(self, size: int, above: int, widths: tuple[int, ...], activation: str) -> None:
        super().__init__(size)
        self.up = _network((size, *widths, 2 * above), activation)
        self.down = _network((above, *reversed(widths), 2 * size), activation)
        self.register_buffer("template", torch.zeros(above), persistent=False)

    def standard(self, condition: Tensor | None = None) -> HierarchicalDistribution:
        """The distribution of the first layer's codes."""
        return HierarchicalDistribution(self.up, self.down, UnitNormal(self.template))


@dataclass(frozen=True, eq=False)
class HierarchicalDistribution:
    """Codes z made from codes v.

    Attributes:
        up: From z ``(…, L)`` to mean and log-scale of q(v|z) ``(…, 2 V)``.
        down: From v ``(…, V)`` to mean and log-scale of p(z|v) ``(…, 2 L)``.
        top: p(v).
    """

    up: nn.Module
    down: nn.Module
    top: UnitNormal

    def log_prob(self, z: Tensor) -> Tensor:
        """An estimate of the log-density of ``z`` ``(…, L)`` in nats ``(…)``, whose exponential has no bias."""
        above = _normal(self.up(z))
        v = above.sample()
        return _normal(self.down(v)).log_prob(z) + self.top.log_prob(v) - above.log_prob(v)

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return _normal(self.down(self.top.sample(n))).sample()

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        v = self.top.sample_like(z[..., :1].expand(*z.shape[:-1], len(self.top.template)))
        return _normal(self.down(v)).sample()

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step of v, found from z, and of the noise between the layers.

        v is drawn from p(v|z) as one of several draws from q(v|z), each as likely as its weight; a step from there
        leaves draws from the prior such draws but for the error of that.
        """
        above = _normal(self.up(z))
        v = above.samples(_CANDIDATES)
        weight = _normal(self.down(v)).log_prob(z) + self.top.log_prob(v) - above.log_prob(v)
        chosen = torch.multinomial(weight.softmax(0).T, 1).squeeze(1)
        v = v[chosen, torch.arange(len(z), device=z.device)]
        here, there = _normal(self.down(v)), _normal(self.down(self.top.near(v, size)))
        noise = (z - here.mean) / here.scale
        return there.mean + there.scale * (math.sqrt(1 - size**2) * noise + size * torch.randn_like(noise))


def _normal(phi: Tensor) -> Normal:
    mean, raw = phi.chunk(2, dim=-1)
    return Normal(mean, _LOG_SCALE_LIMIT * torch.tanh(raw / _LOG_SCALE_LIMIT))


def _network(widths: Sequence[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[activation]()]
    for layer in layers[::2]:
        nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])
