"""Activations by name, the initialisation that suits each, and normalisation layers that accept one row."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["relu", "tanh", "sigmoid", "silu", "gelu", "linear"]
Normalisation = Literal["batch", "layer"]

_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "linear": nn.Identity,
}
# silu and gelu are close to relu away from zero, so they take its gain; the gain that keeps standard normal signals
# at their size (1.68 and 1.53) lets them grow from layer to layer as soon as they exceed it, and measured no better
_RELU_LIKE = frozenset({"relu", "silu", "gelu"})
OUTPUT = 0.2
"""Gain of a decoder's last layer: what it says before it has learnt is noise, which would have to be unlearnt."""


def activation_module(name: Activation) -> nn.Module:
    """The activation called ``name``, as a module without parameters."""
    return _MODULES[name]()


@torch.no_grad()
def initialise(weight: Tensor, activation: Activation, *, kept: float = 1.0, gain: float = 1.0) -> None:
    r"""Fill ``weight`` in place with what suits the activation that follows.

    He: $w \sim U(\pm\sqrt{6 / \text{fan in}})$ before relu, silu and gelu;
    Xavier: $w \sim U(\pm\sqrt{6 / (\text{fan in} + \text{fan out})})$ before tanh, sigmoid and linear.

    Args:
        weight: ``(out, in, …)``, filled from torch's global generator.
        activation: Name of the activation that follows; "linear" for a last layer.
        kept: Fraction of the weights that will be in use, above 0: the fan-in shrinks with it.
        gain: What the weights are multiplied with besides; `OUTPUT` for the last layer of a decoder.

    Reference:
        Delving Deep into Rectifiers, He, Zhang, Ren, Sun, 2015, https://arxiv.org/abs/1502.01852.
        Understanding the difficulty of training deep feedforward neural networks, Glorot, Bengio, 2010,
        https://proceedings.mlr.press/v9/glorot10a.html.

    Example:
        ```python
        layer = torch.nn.Linear(64, 32)
        initialise(layer.weight, "relu")
        ```
    """
    if activation in _RELU_LIKE:
        nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(weight)
    if kept < 1:
        weight.div_(kept**0.5)
    if gain != 1:
        weight.mul_(gain)


class BatchNorm1dModule(nn.BatchNorm1d):
    """Batch normalisation that falls back on its running statistics where a batch holds one value per feature."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C) -> (N, C)``."""
        return _running(self, x) if self.training and x.shape[0] == 1 else super().forward(x)


class BatchNorm2dModule(nn.BatchNorm2d):
    """Batch normalisation that falls back on its running statistics where a batch holds one value per channel."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W) -> (N, C, H, W)``."""
        # one value has no variance: torch refuses, and a last batch of one row must not stop a fit
        alone = self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1
        return _running(self, x) if alone else super().forward(x)


class LayerNorm2dModule(nn.Module):
    """Normalisation of each image over all its channels and pixels, with a scale and a shift per channel.

    Not ``GroupNorm(1, channels)``, which has no batching rule for channels-last images (torch 2.13).
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W) -> (N, C, H, W)``."""
        variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = self.weight.view(-1, 1, 1) * torch.rsqrt(variance + self.eps)
        return (x - mean) * scale + self.bias.view(-1, 1, 1)


def _running(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)


def normalisation_1d(name: Normalisation | None, width: int) -> list[nn.Module]:
    """Normalisation of ``(N, width)``: one module, or none."""
    if name == "batch":
        return [BatchNorm1dModule(width)]
    # a layer of one unit normalised over itself is a constant
    return [nn.LayerNorm(width)] if name == "layer" and width > 1 else []


def normalisation_2d(name: Normalisation | None, channels: int) -> list[nn.Module]:
    """Normalisation of ``(N, channels, H, W)``: one module, or none."""
    if name == "batch":
        return [BatchNorm2dModule(channels)]
    return [LayerNorm2dModule(channels)] if name == "layer" and channels > 1 else []
