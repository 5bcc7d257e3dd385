"""Fully connected networks with shortcuts."""

from __future__ import annotations

import math
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from narrows._part import Interval
from narrows.networks.activations import Activation, activation_module
from narrows.networks.base import Network
from narrows.networks.dense import linear


class Residual(Network):
    r"""Fully connected layers of one width with shortcuts around them, for denoisers and deep maps.

    $h_0 = W x + b$, then $h_i = h_{i-1} + W_i a(h_{i-1}) + b_i$, and at last $V a(h) + c$.

    Args:
        width: Hidden units.
        depth: Layers with a shortcut.
        activation: Before every layer but the first.
        dropout: Probability that an input of a layer with a shortcut is set to zero in training.

    Reference:
        Identity Mappings in Deep Residual Networks, He, Zhang, Ren, Sun, 2016, https://arxiv.org/abs/1603.05027

    Example:
        ```python
        Residual(width=64).map((6,), (3,))(torch.rand(10, 6)).shape  # (10, 3)
        ```
    """

    width: Annotated[int, Interval(1)] = 128
    depth: Annotated[int, Interval(0)] = 2
    activation: Activation = "silu"
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """From a row inwards: ``(…, *shape) -> (…, width)``."""
        return self.map(shape, (width,))

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """The same layers the other way: ``(…, size) -> (…, *shape)``."""
        return self.map((size,), shape)

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """The layers once: ``(…, *shape) -> (…, *shape_out)``."""
        return ResidualModule(shape, shape_out, self)

    def conditioned(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The layers once, each told the same: ``(n, *shape), (n, width) -> (n, *shape)``."""
        return ResidualModule(shape, shape, self, told=width)


class ResidualModule(nn.Module):
    """Layers with shortcuts on flattened rows: ``(…, *shape) -> (…, *shape_out)``.

    With ``told``, every layer also sees as many numbers of each row.
    """

    def __init__(self, shape: tuple[int, ...], shape_out: tuple[int, ...], part: Residual, told: int = 0) -> None:
        super().__init__()
        self.shape, self.shape_out = tuple(shape), tuple(shape_out)
        self.dropout = part.dropout
        self.first = linear(math.prod(shape), part.width, "linear")
        self.layers = nn.ModuleList([linear(part.width, part.width, part.activation) for _ in range(part.depth)])
        self.told = nn.ModuleList([linear(told, part.width, "linear") for _ in range(part.depth if told else 0)])
        self.activation = activation_module(part.activation)
        self.last = linear(part.width, math.prod(shape_out), "linear")

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """``(…, *shape) -> (…, *shape_out)``, with ``told`` ``(…, width)``."""
        lead = x.shape[: x.ndim - len(self.shape)]
        h = self.first(x.reshape(*lead, math.prod(self.shape)))
        for number, layer in enumerate(self.layers):
            seen = h if told is None else h + self.told[number](told)
            h = h + layer(F.dropout(self.activation(seen), self.dropout, self.training))
        return self.last(self.activation(h)).reshape(*lead, *self.shape_out)
