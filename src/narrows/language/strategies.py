"""Decoding strategies: how the next token is chosen from the probabilities that a model gives to all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor

from narrows._part import Interval, NotNegative, Part
from narrows.errors import InvalidParameter


class NextToken(Protocol):
    """A model of the next token, as strategies see it. V is the number of tokens there are.

    The state is the model's own affair; strategies only hand it on, and say which of its rows they go on with.
    """

    def begin(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """Read the beginnings ``(B, T)``; the logits ``(B, V)`` of what comes next, and the state. T may be 0."""

    def advance(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one more token of each row, ``(B,)``; the logits ``(B, V)`` of what comes next, and the new state."""

    def reorder(self, state: Any, index: Tensor) -> Any:
        """The state of the rows ``index`` ``(B',)``, where a row may come twice or not at all."""


def probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The softmax with temperature.

    p_j = exp(x_j / T) / Σ_k exp(x_k / T)

    Args:
        logits: ``(…, V)`` x.
        temperature: T above 0. Below 1 the likely becomes likelier still, above 1 all become more alike; as T → 0 the
            likeliest takes all.

    Returns:
        ``(…, V)`` in double precision; the sum over the last axis is 1.

    References:
        Ackley, Hinton, Sejnowski: A Learning Algorithm for Boltzmann Machines, 1985,
        https://doi.org/10.1207/s15516709cog0901_7
    """
    x = logits.double()
    # the largest is taken off before the division: x / T alone overflows where T is small
    return torch.softmax((x - x.amax(-1, keepdim=True)) / temperature, dim=-1)


class Strategy(Part, ABC, room="strategies", abstract=True):
    """How the tokens that follow a prompt are chosen."""

    def stream(
        self, model: NextToken, prompt: Tensor, length: int, stop: int | None = None, seed: int = 0
    ) -> Iterator[int]:
        """The tokens that follow a prompt, one by one as soon as they are decided.

        Args:
            model: Gives the logits of the next token.
            prompt: ``(T,)`` whole numbers, the tokens to begin with. T may be 0.
            length: How many tokens at most, at least 1.
            stop: The token that ends a text; it is not given. None: nothing does.
            seed: Whole number; equal seeds give equal tokens.

        Returns:
            An iterator over whole numbers.

        Raises:
            InvalidParameter: If a parameter cannot be used, at once; or with such a model, when the first is asked for.
        """
        self.check()
        if length < 1:
            raise InvalidParameter(f"length={length!r}: give the number of tokens to write, at least 1")
        return self._stream(model, prompt, length, stop, seed)

    @abstractmethod
    def _stream(self, model: NextToken, prompt: Tensor, length: int, stop: int | None, seed: int) -> Iterator[int]: ...


class _OneByOne(Strategy, ABC):
    """Decides on each token for good before the next."""

    @abstractmethod
    def choose(self, logits: Tensor, generator: torch.Generator) -> int:
        """The next token, from the logits ``(V,)`` of all."""

    @torch.inference_mode()
    def _stream(self, model: NextToken, prompt: Tensor, length: int, stop: int | None, seed: int) -> Iterator[int]:
        generator = torch.Generator().manual_seed(seed)
        logits, state = model.begin(prompt.unsqueeze(0))
        for left in range(length, 0, -1):
            token = self.choose(logits[0].cpu(), generator)
            if token == stop:
                return
            yield token
            if left > 1:
                logits, state = model.advance(torch.tensor([token], device=prompt.device), state)


class Greedy(_OneByOne):
    """Always the likeliest token: the limit of `Sample` as its temperature goes to 0.

    Example:
        ```python
        Greedy().choose(torch.tensor([0.1, 2.0, -1.0]), torch.Generator())  # 1
        ```
    """

    def choose(self, logits: Tensor, generator: torch.Generator) -> int:
        """The likeliest token."""
        return int(logits.argmax())


class Sample(_OneByOne):
    """A token drawn by its probability, with temperature T, perhaps among the likeliest ones only.

    p_j = exp(x_j / T) / Σ_k exp(x_k / T)

    Args:
        temperature: T above 0. Below 1 texts are safer and more alike, above 1 wilder. As T → 0 this is `Greedy`.
        top_k: Draw among the k likeliest only. None: among all.
        top_p: Draw among the fewest of the likeliest whose probabilities (at this temperature, after ``top_k``) sum to
            at least p. None: among all.

    Raises:
        InvalidParameter: From `stream`, if the temperature is 0 or below.

    References:
        Holtzman, Buys, Du, Forbes, Choi: The Curious Case of Neural Text Degeneration, 2019,
        https://arxiv.org/abs/1904.09751

    Example:
        ```python
        Sample(temperature=0.5, top_k=1).probabilities(torch.tensor([0.0, 1.0])).tolist()  # [0.0, 1.0]
        ```
    """

    temperature: float = 1.0
    top_k: Annotated[int, Interval(1)] | None = None
    top_p: Annotated[float, Interval(0, 1, open_low=True)] | None = None

    def check(self) -> None:
        """Check every parameter.

        Raises:
            InvalidParameter: Naming the parameter, its value and what it must be.
        """
        super().check()
        if not 0 < self.temperature < float("inf"):
            raise InvalidParameter(
                f"temperature={self.temperature:g}: tokens are drawn by exp(x / temperature), which has no meaning "
                "unless the temperature is a number above 0; for the likeliest token every time, its limit at 0, use "
                "Greedy() (--strategy greedy)"
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(…, V)`` what tokens are drawn by, in double precision."""
        p = probabilities(logits, self.temperature)
        if self.top_k is not None and self.top_k < p.shape[-1]:
            best = p.topk(self.top_k, dim=-1)
            p = torch.zeros_like(p).scatter(-1, best.indices, best.values)
            p = p / p.sum(-1, keepdim=True)
        if self.top_p is not None:
            ordered, order = p.sort(dim=-1, descending=True, stable=True)
            # a token stays while those before it do not yet suffice
            kept = ordered.where(ordered.cumsum(-1) - ordered < self.top_p, 0.0)
            p = torch.zeros_like(p).scatter(-1, order, kept)
        return p / p.sum(-1, keepdim=True)

    def choose(self, logits: Tensor, generator: torch.Generator) -> int:
        """A token by chance."""
        return int(torch.multinomial(self.probabilities(logits), 1, generator=generator))


@dataclass
class _Ended:
    """The best text so far that has ended."""

    score: float
    tokens: list[int]


class Beam(Strategy):
    """The likeliest text of all, looked for among a few at a time.

    argmax_y log p(y) / |y|^α, where |y| counts the tokens, the end mark among them.

    After every token the ``width`` likeliest beginnings are kept. It is exact where so many are kept that none is ever
    dropped; with ``width=1`` it is `Greedy`. Likely is not lively: models of free text repeat themselves under a wide
    beam. Nothing is drawn, so seeds change nothing; and nothing is decided before the end, so all comes at once.

    Args:
        width: Beginnings that are kept, at most as many as there are tokens.
        length_penalty: α: 0 for plain probabilities, which prefer short texts; 1 for the mean per token.

    Raises:
        InvalidParameter: When the first token is asked for, if the beam is wider than the vocabulary.

    References:
        Graves: Sequence Transduction with Recurrent Neural Networks, 2012, https://arxiv.org/abs/1211.3711;
        Wu et al.: Google's Neural Machine Translation System, 2016, https://arxiv.org/abs/1609.08144

    Example:
        ```python
        Strategy.parse("beam:width=4,length-penalty=0.6") == Beam(4, 0.6)  # True
        ```
    """

    width: Annotated[int, Interval(1)] = 4
    length_penalty: Annotated[float, NotNegative] = 0.0

    @torch.inference_mode()
    def _stream(self, model: NextToken, prompt: Tensor, length: int, stop: int | None, seed: int) -> Iterator[int]:
        yield from self.search(model, prompt, length, stop)[0]

    @torch.inference_mode()
    def search(self, model: NextToken, prompt: Tensor, length: int, stop: int | None = None) -> tuple[list[int], float]:
        """The best text found, and its score.

        Args:
            model: Gives the logits of the next token.
            prompt: ``(T,)`` whole numbers, the tokens to begin with.
            length: How many tokens at most.
            stop: The token that ends a text; it is not given. None: texts are as long as they may be.

        Returns:
            The tokens, and log p(y) / |y|^α in nats.

        Raises:
            InvalidParameter: If the beam is wider than the vocabulary.
        """
        logits, state = model.begin(prompt.unsqueeze(0))
        vocabulary = logits.shape[-1]
        if self.width > vocabulary:
            raise InvalidParameter(
                f"width={self.width}: the beam is wider than the vocabulary, which has {vocabulary} tokens to choose "
                f"the first from; give Beam(width={vocabulary}) or less"
            )
        ended: _Ended | None = None
        texts: list[list[int]] = [[]]
        total = torch.zeros(1, dtype=torch.double)
        for count in range(1, length + 1):
            scores = (total.unsqueeze(1) + logits.cpu().double().log_softmax(-1)).flatten()
            if stop is not None:
                ended = self._better(ended, scores[stop::vocabulary], texts, count)
                scores[stop::vocabulary] = -torch.inf
            total, place = scores.topk(min(self.width, int(scores.isfinite().sum())))
            if not len(total):  # every text has ended
                break
            row, token = place // vocabulary, place % vocabulary
            texts = [[*texts[r], t] for r, t in zip(row.tolist(), token.tolist(), strict=True)]
            if count == length or self._over(ended, float(total[0]), length):
                break
            logits, state = model.advance(token.to(prompt.device), model.reorder(state, row.to(prompt.device)))
        if len(total):
            best = float(total[0]) / len(texts[0]) ** self.length_penalty
            if ended is None or (len(texts[0]) == length and best > ended.score):
                return texts[0], best
        assert ended is not None
        return ended.tokens, ended.score

    def _better(self, ended: _Ended | None, scores: Tensor, texts: list[list[int]], count: int) -> _Ended | None:
        """The best text that has ended, after these could have ended with their ``count``-th token."""
        best = int(scores.argmax())
        score = float(scores[best]) / count**self.length_penalty
        if score == -float("inf") or (ended is not None and ended.score >= score):
            return ended
        return _Ended(score, texts[best])

    def _over(self, ended: _Ended | None, best: float, length: int) -> bool:
        """Whether no text that goes on can become better than one that has ended: log p only falls."""
        return ended is not None and ended.score >= best / length**self.length_penalty
