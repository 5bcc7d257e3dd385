"""Recurrent networks: what is known of a series so far is carried from step to step."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.networks.activations import OUTPUT
from narrows.networks.base import CausalModule, Network, State
from narrows.networks.cells import Cell, LayerModule, layer
from narrows.networks.dense import linear

PLACES = 8  # pairs of waves that tell a decoder where in the series it is


class Recurrent(Network):
    r"""Recurrent layers: an encoder that reads a series to its end, a decoder that writes one.

    The encoder's code is made from what is left in the last layer after the last step that exists; read in both
    directions, also from what is left at the first step when reading backwards. The decoder starts from states made
    from the code, and gets at every step the code again and the step's place, as sines and cosines.

    Args:
        cell: "lstm"; "gru", which has fewer weights; "rnn", without gates, which forgets within some ten steps;
            "peephole", an LSTM whose gates look at the memory, for precise timing; "coupled", an LSTM that forgets as
            much as it takes in, with a quarter fewer weights. Their equations stand in `narrows.networks.cells`.
        hidden: Numbers per step in each layer and direction. 128 carry the codes of most series (up to some 50
            numbers) at half a millisecond per step and batch of 64 on one core.
        layers: Layers upon each other. One suffices for waveforms; text gains from two.
        bidirectional: Whether encoders and maps read in both directions, so that both ends of a series are near.
            Causal modules never do.
        dropout: Probability that a layer's output is set to zero in training; the state is left alone.
        forget: Bias of forget gates (a GRU's update gates) at the start: 1 remembers for a few steps, and for T steps
            $\ln T$ does.

    Reference:
        Recurrent Neural Network Regularization, Zaremba, Sutskever, Vinyals, 2014, https://arxiv.org/abs/1409.2329;
        An Empirical Exploration of Recurrent Network Architectures, Jozefowicz, Zaremba, Sutskever, 2015,
        https://proceedings.mlr.press/v37/jozefowicz15.html (the forget gates' bias).

    Example:
        ```python
        encoder = Recurrent(hidden=32).encoder((140, 1), 8)
        encoder(torch.rand(10, 140, 1)).shape  # (10, 8)
        ```
    """

    takes_lengths: ClassVar[bool] = True

    cell: Cell = "lstm"
    hidden: Annotated[int, Interval(1)] = 128
    layers: Annotated[int, Interval(1)] = 1
    bidirectional: bool = True
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    forget: float = 1.0

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Many steps to one code: ``(…, steps, features) -> (…, width)``; lengths ``(…)`` may follow.

        Raises:
            InvalidParameter: If ``shape`` is not that of a series.
        """
        check_series(self, shape)
        trunk = self._trunk(shape[-1], self.bidirectional)
        return RecurrentEncoderModule(trunk, linear(trunk.width, width, "linear"))

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """One code to many steps: ``(…, size) -> (…, steps, features)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of a series.
        """
        check_series(self, shape)
        trunk = self._trunk(size + 2 * PLACES, False)
        start = linear(size, trunk.states * self.hidden, "linear")
        return RecurrentDecoderModule(start, trunk, linear(self.hidden, shape[1], "linear", gain=OUTPUT), shape[0])

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """Step by step: ``(…, steps, features) -> (…, steps, features')``.

        Raises:
            InvalidParameter: If the shapes are not those of series of as many steps.
        """
        check_series(self, shape, shape_out)
        trunk = self._trunk(shape[-1], self.bidirectional)
        return RecurrentMapModule(trunk, linear(trunk.width, shape_out[-1], "linear"))

    def causal(self, features: int, width: int) -> CausalModule:
        """Step by step, forwards only: ``(B, T, features), state -> (B, T, width), state``."""
        trunk = self._trunk(features, False)
        return RecurrentCausalModule(trunk, linear(trunk.width, width, "linear", gain=OUTPUT))

    def _trunk(self, features: int, both: bool) -> TrunkModule:
        ways = 2 if both else 1
        widths = [features] + [ways * self.hidden] * (self.layers - 1)
        layers = [layer(self.cell, n, self.hidden, self.forget) for n in widths for _ in range(ways)]
        return TrunkModule(layers, ways, self.dropout)


def check_series(network: Network, *shapes: tuple[int, ...]) -> None:
    """Check that shapes are those of series of as many steps.

    Raises:
        InvalidParameter: If they are not.
    """
    for shape in shapes:
        if len(shape) != 2:
            raise InvalidParameter(
                f"{network.key()} reads series (steps, columns), but rows have the shape {shape}: use networks.Dense() "
                "for tables, networks.Conv() for images"
            )
    if len({shape[0] for shape in shapes}) > 1:
        raise InvalidParameter(
            f"{network.key()} maps series to series of as many steps, not {shapes[0][0]} to {shapes[1][0]}: make them "
            "equally long, or go through a code with its encoder and decoder"
        )


class TrunkModule(nn.Module):
    """Recurrent layers upon each other, in one direction or both.

    Args:
        layers: Layer by layer; in both directions, a layer forwards and one backwards in turn.
        ways: 1, or 2 for both directions.
        dropout: Of every layer's output.

    Attributes:
        width: Numbers per step that come out.
        states: Tensors ``(B, hidden)`` in the state.
    """

    def __init__(self, layers: list[LayerModule], ways: int, dropout: float) -> None:
        super().__init__()
        self.layers, self.ways = nn.ModuleList(layers), ways
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.width, self.states = ways * layers[-1].hidden, sum(one.states for one in layers)

    def forward(self, x: Tensor, state: State | None = None, back: Tensor | None = None) -> tuple[Tensor, State]:
        """``(B, T, features) -> (B, T, width)``, and the state after the last step.

        Args:
            x: The inputs.
            state: What earlier steps left; None: nothing.
            back: ``(B, T)`` for both directions: which step comes where when reading backwards.
        """
        left: list[Tensor] = []
        given = iter(state or ())
        for place in range(0, len(self.layers), self.ways):
            heard = []
            for way in range(self.ways):
                one: LayerModule = self.layers[place + way]  # type: ignore[assignment]
                before = one.begin(x) if state is None else tuple(next(given) for _ in range(one.states))
                out, after = one(turned(x, back) if way else x, before)
                heard.append(turned(out, back) if way else out)
                left.extend(after)
            x = self.dropout(torch.cat(heard, -1) if self.ways == 2 else heard[0])
        return x, tuple(left)


def turned(x: Tensor, back: Tensor | None) -> Tensor:
    """The steps of ``(B, T, features)`` in another order."""
    if back is None:
        return x.flip(1)
    return x.gather(1, back.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


class RecurrentEncoderModule(nn.Module):
    """Many steps to one code."""

    def __init__(self, trunk: TrunkModule, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``(…, steps, features) -> (…, width)``; steps from ``lengths`` ``(…)`` on do not exist."""
        series = x.reshape(-1, *x.shape[-2:])
        if lengths is None:
            out, _ = self.trunk(series)
            last = out[:, -1]
        else:
            long, place = lengths.reshape(-1, 1), torch.arange(x.shape[-2], device=x.device)
            out, _ = self.trunk(series, None, torch.where(place < long, long - 1 - place, place))
            end = (long - 1).clamp_min(0).unsqueeze(-1).expand(-1, -1, out.shape[-1])
            last = out.gather(1, end).squeeze(1)
        if self.trunk.ways == 2:
            half = self.trunk.width // 2
            last = torch.cat([last[:, :half], out[:, 0, half:]], -1)
        if lengths is not None:
            last = last * (long > 0)
        code: Tensor = self.head(last)
        return code.reshape(*x.shape[:-2], -1)


class RecurrentDecoderModule(nn.Module):
    """One code to many steps."""

    places: Tensor

    def __init__(self, start: nn.Module, trunk: TrunkModule, head: nn.Module, steps: int) -> None:
        super().__init__()
        self.start, self.trunk, self.head = start, trunk, head
        self.register_buffer("places", places(steps), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """``(…, size) -> (…, steps, features)``."""
        code, steps = z.reshape(-1, z.shape[-1]), len(self.places)
        state = torch.tanh(self.start(code)).chunk(self.trunk.states, -1)
        told = [code.unsqueeze(1).expand(-1, steps, -1), self.places.to(z.dtype).expand(len(code), -1, -1)]
        out, _ = self.trunk(torch.cat(told, -1), tuple(s.contiguous() for s in state))
        rows: Tensor = self.head(out)
        return rows.reshape(*z.shape[:-1], *rows.shape[1:])


def places(steps: int) -> Tensor:
    """Where each step is: ``(steps, 16)`` sines and cosines, waves from 2 steps to twice the series long."""
    longest = max(2 * steps, 4)
    waves = 2 * (longest / 2) ** (torch.arange(PLACES) / (PLACES - 1))
    angle = (torch.arange(steps) + 0.25).unsqueeze(1) * (2 * math.pi / waves)
    return torch.cat([angle.sin(), angle.cos()], 1)


class RecurrentMapModule(nn.Module):
    """Many steps to as many."""

    def __init__(self, trunk: TrunkModule, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor) -> Tensor:
        """``(…, steps, features) -> (…, steps, features')``."""
        out, _ = self.trunk(x.reshape(-1, *x.shape[-2:]))
        rows: Tensor = self.head(out)
        return rows.reshape(*x.shape[:-1], -1)


class RecurrentCausalModule(CausalModule):
    """Many steps to as many, each knowing those before."""

    def __init__(self, trunk: TrunkModule, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """``(B, T, features) -> (B, T, width)``, and the state: the layers' ``(B, hidden)``, inwards out."""
        out, after = self.trunk(x, state)
        return self.head(out), after
