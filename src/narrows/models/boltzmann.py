"""Restricted Boltzmann machines: visible and hidden units, and an energy for every state of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._types import Layout, Rows
from narrows.models.continuous import ContinuousModule

CHAINS = 256  # negative particles that are kept
QUIETEST = -8.0  # least logarithm of a Gaussian unit's variance
BURN_IN = 200  # Gibbs steps from these to a sample


class BoltzmannModule(nn.Module):
    r"""A restricted Boltzmann machine: hidden units h in {0, 1}, connected to visible units alone.

    $E(v, h) = A(v) - h^\top c - v^\top W h$. $A(v)$ is $-v^\top b$ for units of 0 and 1, also for those of categories,
    of which one is 1. It is $\tfrac12 (v - b)^2 / \sigma^2$ for Gaussian units, and $v / \sigma^2$ then stands in the
    last term. The free energy $F(v) = -\log \sum_h e^{-E(v, h)}$ gives $\log p(v) = -F(v) - \log Z$.

    Args:
        layout: What a row looks like; the visible units are its features (`ContinuousModule`).
        hidden: Hidden units.
        visible: "bernoulli": numbers and pixels are chances from 0 to 1; "gaussian": they are any numbers.
    """

    chains: Tensor
    binary: Tensor

    def __init__(self, layout: Layout, hidden: int, visible: Literal["bernoulli", "gaussian"]) -> None:
        super().__init__()
        self.layout, self.code_size, self.visible, self.conditional = layout, hidden, visible, False
        self.features = ContinuousModule(layout)
        self.image = len(layout.shape) > 1
        size = math.prod(self.features.shape)
        self.weight = nn.Parameter(0.01 * torch.randn(size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.log_variance = nn.Parameter(torch.zeros(size))
        self.register_buffer("chains", torch.zeros(CHAINS, size))
        binary = torch.full((size,), visible == "bernoulli")
        if not self.image:
            binary[: self.features.size] |= self.features.hot
            binary[self.features.size :] = True
        self.register_buffer("binary", binary, persistent=False)

    def units(self, rows: Rows) -> Tensor:
        """The visible units ``(B, V)`` of rows."""
        v = self.features(rows).flatten(1)
        return (v + 1) / 2 if self.image and self.visible == "bernoulli" else v

    def values(self, v: Tensor) -> Tensor:
        """The rows ``(B, *layout.shape)`` of visible units, in scaled units, NaN where blank."""
        v = 2 * v - 1 if self.image and self.visible == "bernoulli" else v
        return self.features.inverse(v.reshape(-1, *self.features.shape))

    def precision(self) -> Tensor:
        """``(V,)`` 1 / σ², and 1 for units that are not Gaussian."""
        return torch.where(self.binary, 1.0, (-self.log_variance.clamp_min(QUIETEST)).exp())

    def free_energy(self, v: Tensor, share: float = 1.0) -> Tensor:
        """F(v) ``(B,)`` in nats, with all that has to do with hidden units multiplied by ``share``."""
        b, precision = self.visible_bias, self.precision()
        own = torch.where(self.binary, -v * b, 0.5 * precision * (v - b).square()).sum(1)
        return own - F.softplus(share * ((v * precision) @ self.weight + self.hidden_bias)).sum(1)

    def hidden(self, v: Tensor, share: float = 1.0) -> Tensor:
        """P(h = 1 | v) ``(B, H)``."""
        return torch.sigmoid(share * ((v * self.precision()) @ self.weight + self.hidden_bias))

    def seen(self, h: Tensor, share: float = 1.0, draw: bool = True) -> Tensor:
        """A draw from p(v | h) ``(B, V)``, or its mean."""
        free = share * (h @ self.weight.T) + self.visible_bias
        chance = torch.sigmoid(free)
        if draw:
            v = torch.where(self.binary, coin(chance), free + torch.randn_like(free) * self.precision().rsqrt())
        else:
            v = torch.where(self.binary, chance, free)
        if not self.features.categories:
            return v
        parts = list(torch.split(v[:, : self.features.size], list(self.features.widths), dim=1))
        for j in self.features.categories:
            start = self.features.starts[j]
            own = free[:, start : start + self.features.widths[j]]
            if draw:
                noisy = own - torch.log(-torch.log(torch.rand_like(own).clamp(1e-20, 1 - 1e-7)))
                parts[j] = F.one_hot(noisy.argmax(1), own.shape[1]).to(v.dtype)
            else:
                parts[j] = own.softmax(1)
        return torch.cat([*parts, v[:, self.features.size :]], dim=1)

    def gibbs(self, v: Tensor, steps: int, share: float = 1.0) -> Tensor:
        """Visible units ``(B, V)`` after so many steps of Gibbs sampling."""
        for _ in range(steps):
            v = self.seen(coin(self.hidden(v, share)), share)
        return v

    def prior(self, condition: Tensor | None = None) -> HiddenStates:
        """What hidden states are drawn from."""
        return HiddenStates(self)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of hidden states ``(B, H)``: means of p(v | h) as images, draws as rows of a table."""
        return self.values(self.seen(z, draw=not self.image))

    @torch.no_grad()
    def log_partition(self, chains: int, steps: int) -> tuple[float, float]:
        """Log Z by annealed importance sampling, and its standard error, from torch's global generator.

        References:
            Salakhutdinov, Murray: On the Quantitative Analysis of Deep Belief Networks, 2008,
            https://doi.org/10.1145/1390156.1390266
        """
        b = self.visible_bias
        plain = self.binary.clone()
        start = torch.where(self.binary, 0.0, 0.5 * (math.log(2 * math.pi) - self.precision().log())).sum()
        for j in self.features.categories if not self.image else ():
            place = slice(self.features.starts[j], self.features.starts[j] + self.features.widths[j])
            plain[place] = False
            start = start + torch.logsumexp(b[place], 0)
        start = start + F.softplus(b[plain]).sum() + self.code_size * math.log(2)
        v = self.seen(torch.zeros(chains, self.code_size, device=b.device))
        weight = torch.zeros(chains, dtype=torch.float64, device=b.device)
        for k in range(steps):
            weight += (self.free_energy(v, k / steps) - self.free_energy(v, (k + 1) / steps)).double()
            v = self.gibbs(v, 1, (k + 1) / steps)
        log_mean = torch.logsumexp(weight, 0) - math.log(chains)
        spread = float((weight - log_mean).exp().std() / math.sqrt(chains))
        return float(start + log_mean), spread


@dataclass(frozen=True)
class HiddenStates:
    """The hidden states of a machine, by Gibbs sampling."""

    module: BoltzmannModule

    def sample(self, n: int) -> Tensor:
        """``(n, H)`` from the kept particles, some steps on."""
        module = self.module
        start = module.chains.repeat(-(-n // len(module.chains)), 1)[:n]
        return coin(module.hidden(module.gibbs(start, BURN_IN)))

    def near(self, z: Tensor, size: float) -> Tensor:
        """States a few Gibbs steps away; draws stay draws."""
        module = self.module
        v = module.gibbs(module.seen(z), max(0, round(10 * size) - 1))
        return coin(module.hidden(v))


class BoltzmannStep(nn.Module):
    """Contrastive divergence: make the free energy of rows fall and that of what the machine makes rise.

    The loss F(v) − F(v') has the gradient of −log p(v), where v' is drawn by the machine: by k Gibbs steps from the row
    itself, or from the last particles that were drawn so (persistent).

    Args:
        model: The machine.
        steps: k.
        persistent: Whether particles go on from where they were.

    References:
        Hinton: Training Products of Experts by Minimizing Contrastive Divergence, 2002,
        https://doi.org/10.1162/089976602760128018;
        Tieleman: Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient, 2008,
        https://doi.org/10.1145/1390156.1390290
    """

    def __init__(self, model: BoltzmannModule, steps: int, persistent: bool) -> None:
        super().__init__()
        self.model, self.steps, self.persistent = model, steps, persistent

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The difference of free energies, and how far rows are from what one Gibbs step makes of them."""
        model = self.model
        v = model.units(Rows(**batch))
        with torch.no_grad():
            made = model.gibbs(model.chains if self.persistent else v, self.steps)
            fresh = made if self.persistent else torch.cat([made, model.chains])[: len(model.chains)]
            model.chains.copy_(fresh)
            error = (model.seen(model.hidden(v), draw=False) - v).square().sum(1).mean()
        return {"loss": model.free_energy(v).mean() - model.free_energy(made).mean(), "reconstruction": error}


def coin(chance: Tensor) -> Tensor:
    """0 or 1, the latter with such a chance."""
    return (torch.rand_like(chance) < chance).to(chance.dtype)
