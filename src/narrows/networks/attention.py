"""Transformers: every step of a series looks at the others."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._part import Interval
from narrows.errors import InvalidParameter
from narrows.networks.activations import OUTPUT
from narrows.networks.base import CausalModule, Network, State
from narrows.networks.dense import linear
from narrows.networks.recurrent import check_series

BASE = 10_000.0  # the slowest pair of numbers turns once in 2 π times as many steps


class Transformer(Network):
    r"""Blocks of attention and a dense network of one hidden layer, each added to what went in (pre-norm).

    $x \leftarrow x + A(N(x))$, $x \leftarrow x + M(N(x))$, with $N$ a layer normalisation, $M$ two linear layers with a
    GELU between, and for every head of $A$: $\mathrm{softmax}(Q K^\top / \sqrt{d}) V$.

    The encoder's code is made from the mean over the steps that exist; the decoder's every step starts from the code
    and a vector of its own, so that all steps are made at once. Causal modules let a step look at itself and those
    before, and keep keys and values as their state.

    Args:
        layers: Blocks. Four of width 128 are 0.8 million weights: what a processor trains on a few million characters
            in minutes.
        heads: Heads per block.
        width: Numbers per step between blocks; a multiple of twice the heads.
        positions: "rotary" turns queries and keys by an angle that grows with the step, so that what counts is how far
            two steps are apart and no length is too long; "learned" adds a vector of its own to every step.
        dropout: Probability that a number is set to zero in training, at the input and after each part of a block.
        expand: Hidden units of the dense networks, in multiples of the width.
        context: Steps for which a causal module with learned positions has vectors.

    Reference:
        Attention Is All You Need, Vaswani et al., 2017, https://arxiv.org/abs/1706.03762;
        On Layer Normalization in the Transformer Architecture, Xiong et al., 2020, https://arxiv.org/abs/2002.04745;
        RoFormer: Enhanced Transformer with Rotary Position Embedding, Su et al., 2021, https://arxiv.org/abs/2104.09864.

    Example:
        ```python
        causal = Transformer(layers=2, heads=2, width=32).causal(5, 7)
        out, state = causal(torch.rand(3, 10, 5))  # (3, 10, 7)
        more, state = causal(torch.rand(3, 1, 5), state)  # (3, 1, 7): the eleventh step
        ```
    """

    takes_lengths: ClassVar[bool] = True

    layers: Annotated[int, Interval(1)] = 4
    heads: Annotated[int, Interval(1)] = 4
    width: Annotated[int, Interval(2)] = 128
    positions: Literal["rotary", "learned"] = "rotary"
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    expand: Annotated[int, Interval(1)] = 4
    context: Annotated[int, Interval(1)] = 1024

    def check(self) -> None:
        """Check the parameters.

        Raises:
            InvalidParameter: Also if the width cannot be dealt out to the heads in pairs.
        """
        super().check()
        pair = 2 * self.heads
        if self.width % pair:
            raise InvalidParameter(
                f"networks.Transformer: width={self.width} cannot be dealt out to {self.heads} heads in pairs: give a "
                f"multiple of {pair}, such as width={max(1, round(self.width / pair)) * pair}"
            )

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """Many steps to one code: ``(…, steps, features) -> (…, width)``; lengths ``(…)`` may follow.

        Raises:
            InvalidParameter: If ``shape`` is not that of a series.
        """
        check_series(self, shape)
        return AttentionEncoderModule(self._stack(shape[-1], shape[0]), linear(self.width, width, "linear"))

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """One code to many steps, all at once: ``(…, size) -> (…, steps, features)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of a series.
        """
        check_series(self, shape)
        head = linear(self.width, shape[1], "linear", gain=OUTPUT)
        return AttentionDecoderModule(self._stack(size, shape[0], learned=True), head, shape[0])

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """Step by step, every step looking at all: ``(…, steps, features) -> (…, steps, features')``.

        Raises:
            InvalidParameter: If the shapes are not those of series of as many steps.
        """
        check_series(self, shape, shape_out)
        return AttentionMapModule(self._stack(shape[-1], shape[0]), linear(self.width, shape_out[-1], "linear"))

    def causal(self, features: int, width: int) -> CausalModule:
        """Step by step, none looking ahead: ``(B, T, features), state -> (B, T, width), state``."""
        stack = self._stack(features, self.context)
        return AttentionCausalModule(stack, linear(self.width, width, "linear", gain=OUTPUT))

    def _stack(self, features: int, steps: int, learned: bool = False) -> StackModule:
        self.check()
        own = steps if learned or self.positions == "learned" else 0
        blocks = [BlockModule(self.width, self.heads, self.expand, self.dropout) for _ in range(self.layers)]
        for block in blocks:
            for last in (block.merge, block.narrow):  # so that the sum of all blocks has the variance of one
                nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * self.layers))
        return StackModule(features, self.width, blocks, own, self.positions == "rotary", self.dropout)


class BlockModule(nn.Module):
    """Attention, then a dense network, each added to what went in.

    Args:
        width: Numbers per step.
        heads: Heads of the attention.
        expand: Hidden units of the dense network, in multiples of the width.
        dropout: Of what is added.
    """

    def __init__(self, width: int, heads: int, expand: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        # without biases: those of the normalisations do as well, and each would cost a pass over all numbers
        self.look, self.merge = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, expand * width, bias=False)
        self.narrow = nn.Linear(expand * width, width, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        for layer in (self.look, self.merge, self.widen, self.narrow):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor] | None, mask: Tensor | None, causal: bool, past: State = ()
    ) -> tuple[Tensor, State]:
        """``(B, T, width) -> (B, T, width)``, and the keys and values ``(B, heads, S + T, d)`` so far."""
        v, one, other = self.look(self.before(x)).chunk(3, -1)
        shape, v = (*v.shape[:2], 2, self.heads, -1), v.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if angles is None:
            q, k = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (one, other))
        else:  # the first halves of all queries and keys, and the second: long lines of numbers are quick to turn
            one, other = turned(one, other, *angles)
            halves = [half.view(shape).permute(2, 0, 3, 1, 4) for half in (one, other)]
            q, k = torch.cat(halves, -1).unbind()
        if past:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        heard = attention(q, k, v, mask, causal)
        x = x + self.dropout(self.merge(heard.transpose(1, 2).flatten(2)))
        x = x + self.dropout(self.narrow(F.gelu(self.widen(self.between(x)))))
        return x, (k, v)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(Q Kᵀ / √d) V, where derivatives of derivatives are taken without torch's fused kernel, which has none."""
    if not torch._C._are_functorch_transforms_active():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    if causal:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return (scores if mask is None else torch.where(mask, scores, -math.inf)).softmax(-1) @ v


def turned(a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Points with coordinates a and b ``(B, T, n)``, turned by angles ``(T, n)``."""
    return torch.addcmul(a * cos, b, sin, value=-1), torch.addcmul(b * cos, a, sin)


class StackModule(nn.Module):
    """A way in, positions, and blocks.

    Args:
        features: Numbers per step that come in.
        width: Numbers per step between blocks.
        blocks: The blocks.
        steps: For how many steps there are learned positions; 0: none.
        rotary: Whether queries and keys are turned.
        dropout: Of what comes in.
    """

    def __init__(
        self, features: int, width: int, blocks: list[BlockModule], steps: int, rotary: bool, dropout: float
    ) -> None:
        super().__init__()
        # an embedding of the right width needs no layer more
        self.enter = nn.Identity() if features == width else linear(features, width, "linear")
        self.places = nn.Parameter(torch.randn(steps, width) * 0.02) if steps else None
        self.rotary, self.heads = rotary, blocks[0].heads
        self.blocks, self.leave = nn.ModuleList(blocks), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(
        self, x: Tensor, mask: Tensor | None = None, causal: bool = False, state: State = ()
    ) -> tuple[Tensor, State]:
        """``(B, T, features) -> (B, T, width)``, and all keys and values.

        Args:
            x: The steps.
            mask: Boolean, broadcastable to ``(B, heads, T, S + T)``: what may be looked at.
            causal: Whether no step looks ahead; there must be no mask and no state then.
            state: Keys and values of S earlier steps, block by block.
        """
        x, done = self.enter(x), state[0].shape[2] if state else 0
        if self.places is not None:
            x = x + self._places(done, done + x.shape[1])
        x, left = self.dropout(x), list[Tensor]()
        angles = self._angles(done, x) if self.rotary else None
        for number, block in enumerate(self.blocks):
            x, kept = block(x, angles, mask, causal, state[2 * number : 2 * number + 2])
            left.extend(kept)
        return self.leave(x), tuple(left)

    def _places(self, start: int, end: int) -> Tensor:
        assert self.places is not None
        if end > len(self.places):
            raise InvalidParameter(
                f"step {end} has no learned position: there are {len(self.places)}. Give shorter series, a larger "
                'networks.Transformer(context=…), or positions="rotary", which know no end'
            )
        return self.places[start:end]

    def _angles(self, start: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``(T, width)`` for the pairs of all queries, then of all keys."""
        pairs = x.shape[-1] // self.heads // 2
        speeds = BASE ** (-torch.arange(pairs, device=x.device) / pairs)
        angles = torch.arange(start, start + x.shape[1], device=x.device).unsqueeze(1) * speeds
        angles = angles.repeat(1, 2 * self.heads)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class AttentionEncoderModule(nn.Module):
    """Many steps to one code."""

    def __init__(self, stack: StackModule, head: nn.Module) -> None:
        super().__init__()
        self.stack, self.head = stack, head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``(…, steps, features) -> (…, width)``; steps from ``lengths`` ``(…)`` on do not exist."""
        series = x.reshape(-1, *x.shape[-2:])
        if lengths is None:
            mean = self.stack(series)[0].mean(1)
        else:
            long = lengths.reshape(-1, 1)
            exists = torch.arange(x.shape[-2], device=x.device) < long
            # a series without any step looks at one that does not exist, and forgets it
            seen = torch.arange(x.shape[-2], device=x.device) < long.clamp_min(1)
            out, _ = self.stack(series, seen[:, None, None, :])
            mean = torch.where(exists.unsqueeze(-1), out, 0).sum(1) / long.clamp_min(1)
        code: Tensor = self.head(mean)
        return code.reshape(*x.shape[:-2], -1)


class AttentionDecoderModule(nn.Module):
    """One code to many steps."""

    def __init__(self, stack: StackModule, head: nn.Module, steps: int) -> None:
        super().__init__()
        self.stack, self.head, self.steps = stack, head, steps

    def forward(self, z: Tensor) -> Tensor:
        """``(…, size) -> (…, steps, features)``."""
        code = z.reshape(-1, 1, z.shape[-1]).expand(-1, self.steps, -1)
        rows: Tensor = self.head(self.stack(code)[0])
        return rows.reshape(*z.shape[:-1], *rows.shape[1:])


class AttentionMapModule(nn.Module):
    """Many steps to as many."""

    def __init__(self, stack: StackModule, head: nn.Module) -> None:
        super().__init__()
        self.stack, self.head = stack, head

    def forward(self, x: Tensor) -> Tensor:
        """``(…, steps, features) -> (…, steps, features')``."""
        rows: Tensor = self.head(self.stack(x.reshape(-1, *x.shape[-2:]))[0])
        return rows.reshape(*x.shape[:-1], -1)


class AttentionCausalModule(CausalModule):
    """Many steps to as many, each looking at itself and those before."""

    def __init__(self, stack: StackModule, head: nn.Module) -> None:
        super().__init__()
        self.stack, self.head = stack, head

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """``(B, T, features) -> (B, T, width)``, and keys and values ``(B, heads, S + T, d)`` of every block."""
        if not state:
            out, after = self.stack(x, causal=True)
        else:
            new, done = x.shape[1], state[0].shape[2]
            # a single step may look at everything there is
            mask = None if new == 1 else torch.ones(new, done + new, dtype=torch.bool, device=x.device).tril(done)
            out, after = self.stack(x, mask, state=state)
        return self.head(out), after
