"""Convolutional networks whose code is itself a small image."""

from __future__ import annotations

from torch import nn

from narrows.errors import InvalidParameter
from narrows.networks.activations import activation_module
from narrows.networks.conv import Conv, ConvDecoderModule, ConvEncoderModule, SameConvModule, _check_image


class Grid(Conv):
    """Convolutions without dense layers between image and code: the code is itself a small image.

    Each number of the code sees its own neighbourhood alone. What is learnt of one place holds for all, so few images
    teach much; in exchange the code is long. Its size must be a multiple of the small image's pixels: an image of
    40 × 40 halved twice leaves 10 × 10, so a code has 100, 200, … numbers, channel by channel. The parameters ``dense``
    and ``seed_channels`` of `Conv` play no part.

    Example:
        ```python
        encoder = Grid(channels=(16, 32)).encoder((1, 40, 40), 400)
        encoder(torch.rand(5, 1, 40, 40)).shape  # (5, 400): 4 channels of 10 × 10
        ```
    """

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Levels inwards: ``(…, C, H, W) -> (…, width)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of an image, or ``width`` no multiple of the small one's pixels.
        """
        _check_image(shape)
        trunk, seed = self._down(shape)
        head = SameConvModule(seed[0], self._channels_of(shape, width), 1, 1, "linear")
        return ConvEncoderModule(nn.Sequential(trunk, head), nn.Flatten())

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """Levels outwards: ``(…, size) -> (…, C, H, W)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of an image, or ``size`` no multiple of the small one's pixels.
        """
        _check_image(shape)
        channels, inner = self._channels_of(shape, size), self._channels(shape)[-1]
        place = nn.Unflatten(-1, (channels, *self._sizes(shape)[-1]))
        first = SameConvModule(channels, inner, self.kernel, 1, self.activation)
        seed = nn.Sequential(place, first, activation_module(self.activation))
        return ConvDecoderModule(seed, self._up(inner, shape))

    def _channels_of(self, shape: tuple[int, ...], numbers: int) -> int:
        height, width = self._sizes(shape)[-1]
        if numbers % (height * width):
            fewer = max(numbers // (height * width), 1) * height * width
            raise InvalidParameter(
                f"{numbers} numbers do not fill {height} × {width} places, which this network's code has for rows of "
                f"shape {tuple(shape)}: give a code_size of {fewer}, or another multiple of {height * width}"
            )
        return numbers // (height * width)
