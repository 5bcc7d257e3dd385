"""Convolutional networks for images of any size and channel count."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.networks.activations import (
    Activation,
    Normalisation,
    activation_module,
    initialise,
    normalisation_2d,
)
from narrows.networks.base import Network
from narrows.networks.dense import Dense, Widths

Size = tuple[int, int]


def default_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels per level that suit images of ``shape``: halved until the longer side is at most 10 pixels.

    Channels are 16, 32, 64, then 128 for every further level; at least one level, at most five.

    Example:
        ```python
        default_channels((1, 28, 28))  # (16, 32): 28 -> 14 -> 7
        ```
    """
    longest = max(shape[-2:])
    levels = min(max(math.ceil(math.log2(longest / 10)), 1), 5)
    return tuple(min(16 * 2**level, 128) for level in range(levels))


class Conv(Network):
    """Convolutions that halve the image level by level, and a decoder that doubles it back to the exact size.

    Encoder, per level: convolution, normalisation, activation, then halving (rounded up); at the end dense layers.
    Decoder: dense layers up to a small seed image, then per level, inwards out: convolution, normalisation,
    activation, doubling; at the end one convolution to the image's channels.

    Args:
        channels: Channels per level from the image inwards; None chooses by size (`default_channels`). The decoder
            uses them in the opposite order.
        kernel: Side of the kernels, in pixels.
        down: "stride" halves by letting each convolution step by two, which is quicker; "pool" by 2 × 2 maxima after
            each convolution.
        up: "upsample" repeats pixels after each convolution; "transposed" lets a transposed convolution double.
        dense: Widths of dense layers between the smallest image and the code, from the image inwards.
        activation: After every convolution and hidden dense layer, and on the seed image.
        normalisation: "batch" or "layer" before each of those activations but the seed's, or None.
        dropout: Probability that a whole feature map (in dense layers: a unit) is set to zero in training.
        seed_channels: Channels of the decoder's seed image; None takes as many as the last level has.
        out_kernel: Side of the kernel of the decoder's last convolution, in pixels.

    Example:
        ```python
        decoder = Conv(channels=(64, 128), seed_channels=1, out_kernel=1).decoder(400, (1, 80, 80))
        decoder(torch.rand(5, 400)).shape  # (5, 1, 80, 80)
        ```
    """

    channels: Widths | None = None
    kernel: Annotated[int, Interval(1)] = 3
    down: Literal["pool", "stride"] = "stride"
    up: Literal["upsample", "transposed"] = "upsample"
    dense: Widths = ()
    activation: Activation = "silu"
    normalisation: Normalisation | None = None
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    seed_channels: Annotated[int, Interval(1)] | None = None
    out_kernel: Annotated[int, Interval(1)] = 3

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Levels inwards, then dense layers: ``(…, C, H, W) -> (…, width)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of an image.
        """
        _check_image(shape)
        trunk, seed = self._down(shape)
        return ConvEncoderModule(trunk, self._dense().encoder(seed, width))

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """Dense layers, then levels outwards: ``(…, size) -> (…, C, H, W)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of an image.
        """
        _check_image(shape)
        sizes = self._sizes(shape)
        seed = (self.seed_channels or self._channels(shape)[-1], *sizes[-1])
        dense = [self._dense().decoder(size, seed), activation_module(self.activation)]
        return ConvDecoderModule(nn.Sequential(*dense), self._up(seed[0], shape))

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """Levels inwards, then levels outwards, without dense layers: ``(…, C, H, W) -> (…, C', H, W)``.

        Raises:
            InvalidParameter: If the shapes are not those of images of one size.
        """
        _check_image(shape)
        _check_image(shape_out)
        if shape[1:] != shape_out[1:]:
            raise InvalidParameter(
                f"networks.Conv maps images to images of the same height and width, not {shape} to {shape_out}: "
                "resize them first, or use networks.Dense()"
            )
        trunk, seed = self._down(shape)
        return ConvMapModule(trunk, self._up(seed[0], shape_out))

    def conditioned(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Not possible.

        Raises:
            InvalidParameter: Always: these convolutions have no place for what is no image.
        """
        raise InvalidParameter(f"{self!r} cannot be told anything beside an image: use networks.UNet()")

    def _dense(self) -> Dense:
        return Dense(self.dense, self.activation, self.dropout, self.normalisation)

    def _channels(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return default_channels(shape) if self.channels is None else tuple(self.channels)

    def _sizes(self, shape: tuple[int, ...]) -> list[Size]:
        sizes = [(shape[1], shape[2])]
        for _ in self._channels(shape):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        return sizes

    def _down(self, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
        layers: list[nn.Module] = []
        before = shape[0]
        for after in self._channels(shape):
            stride = 2 if self.down == "stride" else 1
            layers += self._convolution(before, after, stride)
            if self.down == "pool":
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            before = after
        return nn.Sequential(*layers), (before, *self._sizes(shape)[-1])

    def _up(self, seed_channels: int, shape: tuple[int, ...]) -> nn.Module:
        layers: list[nn.Module] = []
        before = seed_channels
        for after, size in zip(self._channels(shape)[::-1], self._sizes(shape)[-2::-1], strict=True):
            if self.up == "transposed":
                layers += self._finish(TransposedModule(before, after, self.kernel, size, self.activation), after)
            else:
                layers += [*self._convolution(before, after, 1), UpsampleModule(size)]
            before = after
        layers.append(SameConvModule(before, shape[0], self.out_kernel, 1, "linear"))
        return nn.Sequential(*layers)

    def _convolution(self, before: int, after: int, stride: int) -> list[nn.Module]:
        bias = self.normalisation != "batch"
        return self._finish(SameConvModule(before, after, self.kernel, stride, self.activation, bias), after)

    def _finish(self, convolution: nn.Module, channels: int) -> list[nn.Module]:
        layers = [convolution, *normalisation_2d(self.normalisation, channels), activation_module(self.activation)]
        return [*layers, nn.Dropout2d(self.dropout)] if self.dropout else layers


def _check_image(shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise InvalidParameter(
            f"networks.Conv works on images (channels, height, width), and these rows have shape {tuple(shape)}: "
            "use network=networks.Dense()"
        )


def channels_last(weight: Tensor) -> Tensor:
    """The same weights laid out channels last, so that convolutions compute in that layout, about 1.5 × as fast.

    Parameters themselves stay contiguous: fused optimisers go wrong without a word where the layouts of a parameter
    and of its restored state differ, and `vmap` knows ``permute`` but not ``memory_format``.
    """
    last = weight.permute(0, 2, 3, 1)
    # flattened and back, since `contiguous` would leave the ambiguous layout of a single channel as it is
    return last.flatten(1).view(last.shape).permute(0, 3, 1, 2)


class SameConvModule(nn.Conv2d):
    """A convolution that keeps the size, or with stride s divides it by s, rounded up; any kernel, even ones too."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int, activation: Activation, bias: bool = True
    ) -> None:
        super().__init__(before, after, kernel, stride, padding=(kernel - 1) // 2, bias=bias)
        self.even, self.crop = kernel % 2 == 0, (kernel - 1) // 2
        initialise(self.weight, activation)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W) -> (N, C', ⌈H / stride⌉, ⌈W / stride⌉)``."""
        x = F.pad(x, (0, 1, 0, 1)) if self.even else x
        return F.conv2d(x, channels_last(self.weight), self.bias, self.stride, self.crop)


class TransposedModule(nn.ConvTranspose2d):
    """A transposed convolution of stride 2 to an exact size: twice the input's, or one less."""

    def __init__(self, before: int, after: int, kernel: int, size: Size, activation: Activation) -> None:
        # every output pixel receives from about kernel² / 4 inputs per channel, not kernel²
        super().__init__(before, after, kernel, stride=2, padding=(kernel - 1) // 2)
        self.size, self.crop = size, (kernel - 1) // 2
        assert self.bias is not None
        with torch.no_grad():
            initialise(self.weight.transpose(0, 1), activation, kept=min(1.0, (math.ceil(kernel / 2) / kernel) ** 2))
            self.bias.zero_()

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``(N, C, H, W) -> (N, C', *size)``."""
        # an odd kernel gives 2 n - 1 pixels and an even one 2 n: fill up to 2 n, crop what is too much
        fill = self.kernel_size[0] % 2
        h = F.conv_transpose2d(x, channels_last(self.weight), self.bias, 2, self.crop, output_padding=fill)
        return h[..., : self.size[0], : self.size[1]]


class UpsampleModule(nn.Module):
    """Repeats every pixel twice along both axes and crops to an exact size."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W) -> (N, C, *size)``."""
        return F.interpolate(x, scale_factor=2.0, mode="nearest")[..., : self.size[0], : self.size[1]]


class ConvEncoderModule(nn.Module):
    """Images to numbers: ``(…, C, H, W) -> (…, width)``."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor) -> Tensor:
        """``(…, C, H, W) -> (…, width)``."""
        h = self.head(self.trunk(x.reshape(-1, *x.shape[-3:])))
        return h.reshape(*x.shape[:-3], h.shape[-1])


class ConvDecoderModule(nn.Module):
    """Numbers to images: ``(…, size) -> (…, C, H, W)``."""

    def __init__(self, seed: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.seed, self.trunk = seed, trunk

    def forward(self, z: Tensor) -> Tensor:
        """``(…, size) -> (…, C, H, W)``."""
        x = self.trunk(self.seed(z.reshape(-1, z.shape[-1])))
        return x.reshape(*z.shape[:-1], *x.shape[1:])


class ConvMapModule(nn.Module):
    """Images to images of the same size: ``(…, C, H, W) -> (…, C', H, W)``."""

    def __init__(self, inwards: nn.Module, outwards: nn.Module) -> None:
        super().__init__()
        self.inwards, self.outwards = inwards, outwards

    def forward(self, x: Tensor) -> Tensor:
        """``(…, C, H, W) -> (…, C', H, W)``."""
        y = self.outwards(self.inwards(x.reshape(-1, *x.shape[-3:])))
        return y.reshape(*x.shape[:-3], *y.shape[1:])
