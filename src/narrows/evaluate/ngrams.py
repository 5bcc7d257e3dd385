"""What counting makes of a text: n-grams, the baseline of every language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}
LONGEST = {True: 5, False: 3}  # tokens looked at together: of small vocabularies (characters), and of others
SMALL = 400


def ngram_log_probs(train: NDArray[Any], test: NDArray[Any], size: int, order: int) -> NDArray[np.float64]:
    """Log-probabilities of tokens by how often they followed the same tokens before, smoothed after Witten and Bell.

    p(w | h) = (c(hw) + t(h) p(w | h')) / (c(h) + t(h))

    c counts, t(h) is how many different tokens followed h, and h' is h without its first token; below the unigram all
    tokens are alike.

    Args:
        train: ``(n,)`` whole numbers from 0 to ``size`` − 1, the tokens that are counted.
        test: ``(m,)`` the tokens that are judged, as if they followed ``train``.
        size: How many tokens there are.
        order: n: how many tokens are looked at together, at least 1; ``size ** order`` is below 2 ** 63.

    Returns:
        ``(m,)`` in nats.

    References:
        Witten, Bell: The Zero-Frequency Problem, 1991, https://doi.org/10.1109/18.87000
    """
    seen = train.astype(np.int64)
    judged = np.concatenate([seen[max(0, len(seen) - order + 1) :], test.astype(np.int64)])
    p = np.full(len(judged), 1.0 / size)
    for n in range(1, order + 1):
        grams, wanted = in_a_row(seen, size, n), in_a_row(judged, size, n)
        found, counts = np.unique(grams, return_counts=True)
        histories, first = np.unique(found // size, return_index=True)
        followed = np.diff(np.append(first, len(found)))
        total = np.add.reduceat(counts, first) if len(first) else counts
        c, before = looked_up(found, counts, wanted, 0), wanted // size
        t, all_ = (looked_up(histories, v, before, 0) for v in (followed, total))
        known = all_ > 0
        longer = p[n - 1 :]
        longer[known] = (c[known] + t[known] * longer[known]) / (all_[known] + t[known])
    return np.log(p[len(judged) - len(test) :])


def in_a_row(tokens: NDArray[np.int64], size: int, n: int) -> NDArray[np.int64]:
    """Every n tokens in a row as one number, which begins with the first; ``(len(tokens) - n + 1,)``."""
    keys = np.zeros(max(0, len(tokens) - n + 1), dtype=np.int64)
    for place in range(n):
        keys = keys * size + tokens[place : place + len(keys)]
    return keys


def looked_up(keys: NDArray[np.int64], values: NDArray[Any], wanted: NDArray[np.int64], other: float) -> NDArray[Any]:
    """The values of wanted keys, among keys that are in order; ``other`` where there is none."""
    if not len(keys):
        return np.full(wanted.shape, other, dtype=values.dtype)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], other)


@dataclass(frozen=True)
class TextRow:
    """One answer to what comes next.

    Attributes:
        name: Whose.
        nats: −log p per token.
    """

    name: str
    nats: float

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens it is as unsure: exp(nats)."""
        return math.exp(min(self.nats, 700.0))


@dataclass(frozen=True)
class TextComparison:
    """A language model beside n-grams, on a text that none of them has seen.

    Attributes:
        rows: The model first, then the baselines.
        tokens: How many tokens were judged.
        held_out: Whether they were held out of training.
        kind: What tokens are: "characters", "words", "byte-pair".
    """

    rows: tuple[TextRow, ...]
    tokens: int
    held_out: bool
    kind: str

    @property
    def better(self) -> bool:
        """Whether the model beats all baselines."""
        return self.rows[0].nats < min(row.nats for row in self.rows[1:])

    def sentence(self) -> str:
        """The honest line."""
        best = min(self.rows[1:], key=lambda row: row.nats)
        what = "Held-out" if self.held_out else "Training-text"
        does = "better than" if self.better else "no better than"
        told = f"{what} perplexity {self.rows[0].perplexity:.4g} per {unit(self.kind)}"
        line = f"{told}, {does} the best of the counts, a {best.name}: {best.perplexity:.4g}."
        return line if self.held_out else f"{line} No text was held out, so this flatters all of them."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        rows = [{"name": row.name, "nats": row.nats, "perplexity": row.perplexity} for row in self.rows]
        return {"rows": rows, "tokens": self.tokens, "held_out": self.held_out, "sentence": self.sentence()}


def unit(kind: str) -> str:
    """One token of a kind in words."""
    return {"characters": "character", "words": "word"}.get(kind, "token")


def compare_text(
    nats: float, train: NDArray[Any], test: NDArray[Any], size: int, *, kind: str, held_out: bool = True
) -> TextComparison:
    """A language model beside n-grams of the same training text.

    Args:
        nats: The model's −log p per token of ``test``.
        train: ``(n,)`` tokens that the model has learnt from.
        test: ``(m,)`` tokens that are judged.
        size: How many tokens there are.
        kind: What tokens are.
        held_out: Whether ``test`` was held out of training.

    Returns:
        The comparison.
    """
    orders: Sequence[int] = (1, 2, 3, LONGEST[True]) if size <= SMALL else (1, 2, LONGEST[False])
    counted = [
        TextRow(NAMES.get(n, f"{n}-gram"), float(-ngram_log_probs(train, test, size, n).mean()))
        for n in orders
        if size**n < 2**62
    ]
    return TextComparison((TextRow("model", nats), *counted), len(test), held_out, kind)
