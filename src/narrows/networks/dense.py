"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._part import Interval
from narrows.networks.activations import (
    OUTPUT,
    Activation,
    Normalisation,
    activation_module,
    initialise,
    normalisation_1d,
)
from narrows.networks.base import Network

Widths = tuple[Annotated[int, Interval(1)], ...]


def default_widths(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Hidden widths that suit rows of ``shape``: two layers, the second half the first.

    With n elements per row the first layer is the power of two at or above 4 n, at least 64 and at most 512. The
    second is half of it, but at least 64, and not narrower than the code where the first is not either.

    Args:
        shape: Shape of one row.
        width: Numbers at the narrow end.

    Returns:
        Two widths, from the row inwards.

    Example:
        ```python
        default_widths((784,), 32)  # (512, 256)
        ```
    """
    elements = math.prod(shape)
    first = min(max(2 ** math.ceil(math.log2(4 * max(elements, 1))), 64), 512)
    return first, max(first // 2, 64, min(first, width))


class Dense(Network):
    r"""Fully connected layers; the decoder mirrors the encoder.

    $h_i = a(W_i h_{i-1} + b_i)$, and the last layer without $a$.

    Args:
        widths: Hidden widths from the row inwards. ``()`` is one linear map; None chooses by the row's shape
            (`default_widths`).
        activation: After every hidden layer.
        dropout: Probability that a hidden unit is set to zero in training.
        normalisation: "batch" or "layer" before each activation, or None.
        sparse: Fraction of every layer's weights that is fixed at zero, spread evenly over the layer's outputs;
            which ones is drawn when the module is made.

    Example:
        ```python
        encoder = Dense(widths=(4,), activation="tanh").encoder((6,), 2)
        encoder(torch.rand(10, 6)).shape  # (10, 2)
        ```
    """

    widths: Widths | None = None
    activation: Activation = "silu"
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    normalisation: Normalisation | None = None
    sparse: Annotated[float, Interval(0, 1, open_high=True)] = 0.0

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Layers from a row inwards: ``(…, *shape) -> (…, width)``."""
        return self._module(shape, self._hidden(shape, width), (width,))

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """The same layers in the opposite order: ``(…, size) -> (…, *shape)``."""
        return self._module((size,), self._hidden(shape, size)[::-1], shape, gain=OUTPUT)

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """The hidden layers once, in the given order: ``(…, *shape) -> (…, *shape_out)``."""
        return self._module(shape, self._hidden(shape, math.prod(shape_out)), shape_out)

    def _hidden(self, shape: tuple[int, ...], width: int) -> tuple[int, ...]:
        return default_widths(shape, width) if self.widths is None else tuple(self.widths)

    def _module(
        self, shape: tuple[int, ...], widths: Sequence[int], shape_out: tuple[int, ...], gain: float = 1.0
    ) -> nn.Module:
        layers: list[nn.Module] = []
        fan_in = math.prod(shape)
        for width in widths:
            # batch normalisation subtracts the mean, and any bias with it
            layers.append(linear(fan_in, width, self.activation, self.sparse, bias=self.normalisation != "batch"))
            layers.extend(normalisation_1d(self.normalisation, width))
            layers.append(activation_module(self.activation))
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            fan_in = width
        layers.append(linear(fan_in, math.prod(shape_out), "linear", self.sparse, gain=gain))
        return DenseModule(shape, layers, shape_out)


def linear(
    fan_in: int, fan_out: int, activation: Activation, sparse: float = 0.0, bias: bool = True, gain: float = 1.0
) -> nn.Linear:
    """A linear layer, initialised for the activation that follows, with zero bias and perhaps sparse weights."""
    layer = nn.Linear(fan_in, fan_out, bias) if not sparse else SparseLinearModule(fan_in, fan_out, sparse, bias)
    initialise(layer.weight, activation, kept=1 - sparse, gain=gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if isinstance(layer, SparseLinearModule):
        with torch.no_grad():
            layer.weight.mul_(layer.mask)
    return layer


class SparseLinearModule(nn.Linear):
    r"""A linear layer whose weights are partly fixed at zero: $y = (W \odot M) x + b$.

    Args:
        fan_in: Numbers that go in.
        fan_out: Numbers that come out.
        sparse: Fraction of the weights fixed at zero: exactly ``round(sparse · fan_in · fan_out)`` of them, as evenly
            spread over the outputs as whole numbers allow.
        bias: Whether there is a bias, which is never sparse.
    """

    mask: Tensor

    def __init__(self, fan_in: int, fan_out: int, sparse: float, bias: bool = True) -> None:
        super().__init__(fan_in, fan_out, bias)
        zeros, extra = divmod(round(sparse * fan_in * fan_out), fan_out)
        per_output = torch.full((fan_out, 1), zeros)
        per_output[torch.randperm(fan_out)[:extra]] += 1
        # the rank of random numbers is a random permutation, one per output
        rank = torch.rand(fan_out, fan_in).argsort(dim=1).argsort(dim=1)
        self.register_buffer("mask", rank >= per_output)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, fan_in) -> (…, fan_out)``."""
        return F.linear(x, self.weight * self.mask, self.bias)


class DenseModule(nn.Module):
    """Layers on flattened rows: ``(…, *shape) -> (…, *shape_out)``."""

    def __init__(self, shape: tuple[int, ...], layers: Sequence[nn.Module], shape_out: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.shape_out = tuple(shape), tuple(shape_out)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, *shape) -> (…, *shape_out)``."""
        lead = x.shape[: x.ndim - len(self.shape)]
        h = self.layers(x.reshape(-1, math.prod(self.shape)))
        return h.reshape(*lead, *self.shape_out)
