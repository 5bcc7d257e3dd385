"""What a network promises."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from narrows._part import Part, check_value, nested_params
from narrows.errors import InvalidParameter

State = tuple[Tensor, ...]
"""What earlier steps left: every tensor's first axis is the batch, so that rows of it can be taken by index."""


class Network(Part, ABC, room="networks", abstract=True):
    """A recipe for the modules that narrow a row and widen a code; the only parts tied to an input's shape.

    Sizes meet in the middle: the bottleneck says how many numbers per row it wants (``width``), the likelihood how
    many per element (``shape`` of the decoder). The last layer has no activation: bottleneck and likelihood decide.
    All modules take any leading dimensions and are initialised from torch's global generator.
    """

    #: Whether encoders take the lengths of series too: ``(…, steps, features), (…) -> (…, width)``.
    takes_lengths: ClassVar[bool] = False

    @abstractmethod
    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The module that narrows: ``(…, *shape) -> (…, width)``.

        Args:
            shape: Shape of one row, the stem's.
            width: How many numbers per row the bottleneck wants.

        Returns:
            A freshly initialised module.

        Raises:
            InvalidParameter: If this network cannot take rows of that shape.
        """

    @abstractmethod
    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """The module that widens: ``(…, size) -> (…, *shape)``.

        Args:
            size: Numbers per code.
            shape: Shape of the parameters of one row, the likelihood's ``theta_shape``.

        Returns:
            A freshly initialised module.

        Raises:
            InvalidParameter: If this network cannot make rows of that shape.
        """

    @abstractmethod
    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """A module from rows to rows, without a code between: ``(…, *shape) -> (…, *shape_out)``.

        Args:
            shape: Shape of one row that goes in.
            shape_out: Shape of one row that comes out.

        Returns:
            A freshly initialised module.

        Raises:
            InvalidParameter: If this network cannot take or make rows of these shapes.
        """

    def conditioned(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """A map from rows to rows of the same shape that is told something: ``(n, *shape), (n, width) -> (n, *shape)``.

        Args:
            shape: Shape of one row.
            width: How many numbers it is told with every row.

        Returns:
            A freshly initialised module. Here the numbers come beside those of the row; a network that knows a better
            way says so.

        Raises:
            InvalidParameter: If this network cannot be told anything.
        """
        return BesideModule(self.map((math.prod(shape) + width,), shape))

    def causal(self, features: int, width: int) -> CausalModule:
        """A map of series whose every step knows only itself and those before: ``(B, T, features) -> (B, T, width)``.

        Args:
            features: Numbers per step that go in.
            width: Numbers per step that come out.

        Returns:
            A freshly initialised module.

        Raises:
            InvalidParameter: If this network cannot do that, as here.
        """
        raise InvalidParameter(
            f"{self!r} does not read series step by step: use networks.Recurrent() or networks.Transformer()"
        )


class CausalModule(nn.Module, ABC):
    """A map of series whose output at a step depends on the inputs up to it, and that can go on where it stopped."""

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The outputs of some steps, and the state after them.

        Args:
            x: ``(B, T, features)`` the next T steps.
            state: What earlier steps left; None: there were none.

        Returns:
            ``(B, T, width)``, and what these and the earlier steps leave. In two calls or in one, outputs are the same.
        """


class RaggedModule(nn.Module):
    """An encoder of series of unequal lengths, which it is told of by their last feature: 1 where a step exists.

    So the encoder stays a function of one tensor, whose gradients `torch.func` takes and which is exported whole.

    Args:
        encoder: ``(…, steps, features), (…) -> (…, width)``: series and their lengths.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """``(…, steps, features + 1) -> (…, width)``."""
        out: Tensor = self.encoder(x[..., :-1], x[..., -1].sum(-1).long())
        return out


class BesideModule(nn.Module):
    """A map that sees what it is told beside the row."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(n, *shape), (n, width) -> (n, *shape)``."""
        out: Tensor = self.network(torch.cat([x.flatten(1), told], dim=1))
        return out


class Asymmetric(Network):
    """One network narrows, another widens.

    Args:
        encoder: The network whose ``encoder`` and ``map`` are used.
        decoder: The network whose ``decoder`` is used.

    Example:
        ```python
        Asymmetric(encoder=Conv(channels=(16, 32, 64)), decoder=Dense(widths=(256,)))
        ```
    """

    def __init__(self, encoder: Network, decoder: Network) -> None:
        # `encoder` and `decoder` are the parameters' names and the methods' too, so the values lie elsewhere
        object.__setattr__(self, "_narrowing", encoder)
        object.__setattr__(self, "_widening", decoder)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep``, those of both networks too."""
        params = {"encoder": self.__dict__["_narrowing"], "decoder": self.__dict__["_widening"]}
        return nested_params(params) if deep else params

    def check(self) -> None:
        """Check that both are networks, and their parameters.

        Raises:
            InvalidParameter: Naming the parameter, its value and what it must be.
        """
        for name, part in self.get_params(deep=False).items():
            check_value(self.key(), name, part, Network)
            part.check()

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The first network's encoder: ``(…, *shape) -> (…, width)``."""
        return self.__dict__["_narrowing"].encoder(shape, width)

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """The second network's decoder: ``(…, size) -> (…, *shape)``."""
        return self.__dict__["_widening"].decoder(size, shape)

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """The first network's map: ``(…, *shape) -> (…, *shape_out)``."""
        return self.__dict__["_narrowing"].map(shape, shape_out)

    def conditioned(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The first network's: ``(n, *shape), (n, width) -> (n, *shape)``."""
        return self.__dict__["_narrowing"].conditioned(shape, width)
