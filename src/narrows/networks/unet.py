"""A network from images to images that is told something: for diffusion."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.networks.base import Network
from narrows.networks.conv import SameConvModule, UpsampleModule
from narrows.networks.dense import Widths, linear


class UNet(Network):
    """Convolutions down to a small image and up again, with shortcuts across: images to images of the same size.

    Every block is a residual one of two convolutions, and told something (the size of the noise, a class) in between.
    Between levels the image is halved, or doubled by repeating pixels; any size will do. Large images may
    first be cut into squares: most of a U-Net's time goes into its outermost level, where there is least to see.

    Args:
        channels: Channels per level, from the image inwards.
        blocks: Residual blocks per level, on each side.
        patch: Side of the squares of pixels that are one place to the network, so that it computes at p² times fewer;
            what lies within a square is channels. `default_patch` says what suits.
        dropout: Probability that a feature map is set to zero in training.

    References:
        U-Net: Convolutional Networks for Biomedical Image Segmentation, Ronneberger, Fischer, Brox, 2015,
        https://arxiv.org/abs/1505.04597.
        Simple diffusion: End-to-end diffusion for high resolution images, Hoogeboom, Heek, Salimans, 2023,
        https://arxiv.org/abs/2301.11093.
        Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, https://arxiv.org/abs/2006.11239

    Example:
        ```python
        UNet(channels=(8, 16)).conditioned((1, 9, 7), 4)(torch.rand(5, 1, 9, 7), torch.rand(5, 4)).shape  # (5, 1, 9, 7)
        ```
    """

    channels: Widths = (16, 32, 64)
    blocks: Annotated[int, Interval(1)] = 1
    patch: Annotated[int, Interval(1)] = 1
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Not possible.

        Raises:
            InvalidParameter: Always: its shortcuts lead around any code.
        """
        raise InvalidParameter(f"{self!r} has no code in its middle, so it encodes nothing: use networks.Conv()")

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """Not possible.

        Raises:
            InvalidParameter: Always: its shortcuts lead around any code.
        """
        raise InvalidParameter(f"{self!r} has no code in its middle, so it decodes nothing: use networks.Conv()")

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """The network, told nothing: ``(n, C, H, W) -> (n, C', H, W)``.

        Raises:
            InvalidParameter: If the shapes are not those of images of one size.
        """
        return self._module(_image(shape), _image(shape_out), 0)

    def conditioned(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The network: ``(n, C, H, W), (n, width) -> (n, C, H, W)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of an image.
        """
        return self._module(_image(shape), shape, width)

    def _module(self, shape: tuple[int, ...], shape_out: tuple[int, ...], width: int) -> nn.Module:
        side = int(self.patch)
        if side == 1 or shape[1:] != shape_out[1:]:
            return UNetModule(self, shape, shape_out, width)
        places = tuple(-(-n // side) for n in shape[1:])
        inner = UNetModule(self, (shape[0] * side**2, *places), (shape_out[0] * side**2, *places), width)
        return PatchedModule(inner, side)


def default_patch(shape: tuple[int, ...]) -> int:
    """Side of the patches that suit images of ``shape``: doubled from 1 until the shorter side has under 24 of them.

    Example:
        ```python
        [default_patch((1, n, n)) for n in (16, 28, 64)]  # [1, 2, 4]
        ```
    """
    side = 1
    while min(shape[1:]) >= 24 * side:
        side *= 2
    return side


class PatchedModule(nn.Module):
    """A network of images whose pixels are squares of pixels: ``(n, C, H, W), (n, width) -> (n, C', H, W)``."""

    def __init__(self, inner: nn.Module, side: int) -> None:
        super().__init__()
        self.inner, self.side = inner, side

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """``(n, C, H, W), (n, width) -> (n, C', H, W)``; what a square lacks at the edge repeats the last pixel."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.side, 0, -height % self.side), mode="replicate")
        out = F.pixel_shuffle(self.inner(F.pixel_unshuffle(x, self.side), told), self.side)
        return out[..., :height, :width]


class UNetModule(nn.Module):
    """A U-Net, built: ``(n, C, H, W), (n, width) -> (n, C', H, W)``."""

    def __init__(self, part: UNet, shape: tuple[int, ...], shape_out: tuple[int, ...], width: int) -> None:
        super().__init__()
        if shape[1:] != shape_out[1:]:
            raise InvalidParameter(f"networks.UNet maps images to images of one size, not {shape} to {shape_out}")
        channels, blocks = tuple(part.channels), range(int(part.blocks))
        self.first = SameConvModule(shape[0], channels[0], 3, 1, "linear")
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.halve, self.twice = nn.ModuleList(), nn.ModuleList()
        size, now = (shape[1], shape[2]), channels[0]
        for level, count in enumerate(channels):
            if level:
                self.halve.append(SameConvModule(now, count, 3, 2, "linear"))
                self.twice.insert(0, UpsampleModule(size))
                size, now = (-(-size[0] // 2), -(-size[1] // 2)), count
            self.down.append(nn.ModuleList([BlockModule(count, count, width, part.dropout) for _ in blocks]))
            across = [BlockModule(2 * count, count, width, part.dropout) for _ in blocks]
            self.up.insert(0, nn.ModuleList(across))
        self.middle = BlockModule(now, now, width, part.dropout)
        pairs = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.narrow = nn.ModuleList([SameConvModule(wide, slim, 1, 1, "linear") for wide, slim in pairs])
        self.last = nn.Sequential(
            _norm(channels[0]), nn.SiLU(), SameConvModule(channels[0], shape_out[0], 3, 1, "linear")
        )

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """``(n, C, H, W), (n, width) -> (n, C', H, W)``."""
        h, across = self.first(x), []
        for level, blocks in enumerate(self.down):
            if level:
                h = self.halve[level - 1](h)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, told)
                across.append(h)
        h = self.middle(h, told)
        for level, blocks in enumerate(self.up):
            if level:
                h = self.twice[level - 1](self.narrow[level - 1](h))
            for block in blocks:  # type: ignore[attr-defined]
                h = block(torch.cat([h, across.pop()], dim=1), told)
        out: Tensor = self.last(h)
        return out


class BlockModule(nn.Module):
    """Two convolutions with a shortcut around them, told something in between."""

    def __init__(self, before: int, after: int, width: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Sequential(_norm(before), nn.SiLU(), SameConvModule(before, after, 3, 1, "silu"))
        self.told = linear(width, after, "linear") if width else None
        self.leave = nn.Sequential(
            _norm(after), nn.SiLU(), nn.Dropout2d(dropout), SameConvModule(after, after, 3, 1, "linear")
        )
        self.around = nn.Identity() if before == after else SameConvModule(before, after, 1, 1, "linear")

    def forward(self, x: Tensor, told: Tensor | None) -> Tensor:
        """``(n, before, H, W) -> (n, after, H, W)``."""
        h = self.enter(x)
        if self.told is not None:
            assert told is not None
            h = h + self.told(told)[..., None, None]
        out: Tensor = self.around(x) + self.leave(h)
        return out


def _norm(channels: int) -> nn.Module:
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise InvalidParameter(
            f"networks.UNet works on images (channels, height, width), and these rows have shape {tuple(shape)}: "
            "use networks.Residual()"
        )
    return tuple(shape)
