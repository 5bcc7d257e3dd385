"""Texts from texts: an encoder that reads all, and a decoder that looks back on it at every step."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows._types import Layout, Rows
from narrows.corruptions import Corruption
from narrows.errors import InvalidParameter
from narrows.networks import Network, State

WAVES = 8  # pairs of waves that say where in a text a token stands
GONE = -1  # in a target: behind its end


class SequenceModule(nn.Module):
    r"""$p(y \mid x) = \prod_t p(y_t \mid y_{<t}, x)$ for two series of tokens.

    The encoder makes a memory $m_s$ of every token of $x$, knowing all of them. The decoder reads $y$ one step late,
    $h_t$; looks at the memory, $c_t = \sum_s a_{ts} m_s$ with $a_t = \mathrm{softmax}_s(h_t^\top W m_s / \sqrt d)$;
    reads what it saw, from left to right, and says the next token.

    Args:
        layout: Of x: a series of one category, V tokens; ``layout.steps`` is the longest.
        network: Makes the encoder, which may look both ways, and both parts of the decoder, which may not.
        width: Numbers per token between the parts.

    Raises:
        InvalidParameter: If rows are no series of one category, or the network cannot go step by step.

    References:
        Bahdanau, Cho, Bengio: Neural Machine Translation by Jointly Learning to Align and Translate, 2014,
        https://arxiv.org/abs/1409.0473; Luong, Pham, Manning: Effective Approaches to Attention-based Neural Machine
        Translation, 2015, https://arxiv.org/abs/1508.04025

    Example:
        ```python
        module = SequenceModule(Layout((20, 1), (30,), ragged=True), networks.Recurrent(), width=64)
        module(Rows(torch.zeros(2, 20, 1)), torch.full((2, 5), 30)).shape  # (2, 5, 30)
        ```
    """

    def __init__(self, layout: Layout, network: Network, width: int) -> None:
        super().__init__()
        if layout.categories is None or len(layout.categories) != 1:
            raise InvalidParameter(
                f"rows of shape {layout.shape} are no series of tokens: give a series of one category"
            )
        self.layout, self.size, self.steps = layout, layout.categories[0], layout.shape[0]
        # one vector more: of what stands before a text, behind its end, and in its place if it is empty
        self.embedding = nn.Embedding(self.size + 1, width)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        inputs = width + 2 * WAVES
        self.encoder = network.map((self.steps + 1, inputs), (self.steps + 1, width))
        self.reader = network.causal(inputs, width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width + inputs, width, bias=False)
        self.writer = network.causal(2 * width + inputs, self.size)

    def memory(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """What is kept of ``rows``: ``(B, S, 2 · width + 16)``, and which of it exists ``(B, S)``; S: the longest + 1.

        Every row is padded to the same length, so that its memory does not depend on the others'.
        """
        tokens = F.pad(rows.values.squeeze(-1).long(), (0, self.steps + 1 - rows.values.shape[1]))
        lengths = torch.full((len(rows),), self.steps) if rows.lengths is None else rows.lengths
        place = torch.arange(self.steps + 1, device=tokens.device)
        exists = place < lengths.to(tokens.device).unsqueeze(1)
        seen = self._placed(torch.where(exists, tokens, self.size), 0)
        # the end is there to be looked at, too, so that a text without tokens can be
        return torch.cat([self.encoder(seen), seen], -1), place <= lengths.to(tokens.device).unsqueeze(1)

    def forward(self, rows: Rows, before: Tensor) -> Tensor:
        """The logits ``(B, T, V)`` of every token of y.

        Args:
            rows: x.
            before: ``(B, T)`` the token before each, V before the first.
        """
        logits, _ = self._said(*self.memory(rows), before, None, None, 0)
        return logits

    def begin(self, memory: Tensor, exists: Tensor, tokens: Tensor) -> tuple[Tensor, tuple[State, State]]:
        """The logits ``(B, V)`` of what follows some tokens ``(B, T)``, and what they leave; T may be 0."""
        before = F.pad(tokens, (1, 0), value=self.size)
        logits, states = self._said(memory, exists, before, None, None, 0)
        return logits[:, -1], states

    def advance(
        self, memory: Tensor, exists: Tensor, tokens: Tensor, states: tuple[State, State], done: int
    ) -> tuple[Tensor, tuple[State, State]]:
        """The logits after one token more ``(B,)``, ``done`` having been read before it, the start included."""
        logits, after = self._said(memory, exists, tokens.unsqueeze(1), *states, done)
        return logits[:, -1], after

    def _said(
        self, memory: Tensor, exists: Tensor, before: Tensor, first: State | None, second: State | None, done: int
    ) -> tuple[Tensor, tuple[State, State]]:
        x = self._placed(before, done)
        heard, first = self.reader(x, first)
        query, key = self.query(heard).unsqueeze(1), self.key(memory).unsqueeze(1)
        values = memory[..., : heard.shape[-1]].unsqueeze(1)
        looked = F.scaled_dot_product_attention(query, key, values, attn_mask=exists[:, None, None, :]).squeeze(1)
        logits, second = self.writer(torch.cat([heard, looked, x], -1), second)
        return logits, (first, second)

    def _placed(self, tokens: Tensor, done: int) -> Tensor:
        """Tokens as vectors, with waves that tell their places, from two steps long to some thousand."""
        lengths = 2.0 ** torch.linspace(1, 10, WAVES, device=tokens.device)
        place = torch.arange(done, done + tokens.shape[1], device=tokens.device).unsqueeze(1)
        angle = 2 * math.pi * (place + 0.25) / lengths
        waves = torch.cat([angle.sin(), angle.cos()], 1).expand(len(tokens), -1, -1)
        return torch.cat([self.embedding(tokens), waves], -1)


class SequenceStep(nn.Module):
    """Maximum likelihood: −log p of every token of y given x and those before it.

    Args:
        model: The module.
        corruption: What is done to x in training, anew every time; None: nothing.
        end: The token that ends y.
    """

    pure = False  # what is dropped changes from step to step

    def __init__(self, model: SequenceModule, corruption: Corruption | None, end: int) -> None:
        super().__init__()
        self.model, self.corruption, self.end = model, corruption, end

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss: nats per token, its end being one.

        Args:
            batch: The tensors of some `Rows`; ``target`` is y ``(B, T)`` with its end, and −1 behind it.
            epoch: Not looked at.
        """
        rows: Any = Rows(**batch)
        target = rows.target.long()
        if self.corruption is not None:
            rows = self.corruption(rows, self.model.layout)
        before = F.pad(target[:, :-1], (1, 0), value=self.model.size).clamp_min(0)
        surprise = F.cross_entropy(
            self.model(rows, before).transpose(1, 2), target, ignore_index=GONE, reduction="none"
        )
        there = (target != GONE).sum(1).clamp_min(1)
        return {"loss": row_mean(surprise.sum(1) / there, rows.weight)}


class Reply:
    """A `SequenceModule` that has read its text, as strategies see it: the `language.NextToken` of the other text.

    Args:
        module: The module, in evaluation mode.
        rows: The text, one row.
    """

    def __init__(self, module: SequenceModule, rows: Rows) -> None:
        self.module = module
        self.memory, self.exists = module.memory(rows)

    def begin(self, tokens: Tensor) -> tuple[Tensor, tuple[int, tuple[State, State]]]:
        """Read the beginnings ``(B, T)`` of the other text; the logits of what comes next."""
        logits, states = self.module.begin(*self._of(len(tokens)), tokens)
        return logits, (tokens.shape[1] + 1, states)

    def advance(
        self, tokens: Tensor, state: tuple[int, tuple[State, State]]
    ) -> tuple[Tensor, tuple[int, tuple[State, State]]]:
        """Read one token more."""
        done, states = state
        logits, after = self.module.advance(*self._of(len(tokens)), tokens, states, done)
        return logits, (done + 1, after)

    def reorder(self, state: tuple[int, tuple[State, State]], index: Tensor) -> tuple[int, tuple[State, State]]:
        """The state of some rows."""
        done, (first, second) = state
        return done, (tuple(t[index] for t in first), tuple(t[index] for t in second))

    def _of(self, rows: int) -> tuple[Tensor, Tensor]:
        return self.memory.expand(rows, -1, -1), self.exists.expand(rows, -1)
