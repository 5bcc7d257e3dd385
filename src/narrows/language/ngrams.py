"""Counts of what follows what: an interpolated Kneser-Ney model of n-grams over whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from narrows.evaluate.ngrams import in_a_row, looked_up

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BEGIN, END, UNKNOWN = 0, 1, 2  # the tokens of every model; those of its vocabulary come after
SPECIAL = 3
NAMES = ("two", "three", "four", "five")
FULL = 3.0  # counts of this size and more share one discount


@dataclass(frozen=True)
class _Order:
    """What one order knows: the discounted share of each n-gram, and what each history leaves to shorter ones."""

    grams: Ints
    shares: Floats
    histories: Ints
    left: Floats

    def look(self, histories: Ints, grams: Ints) -> tuple[Floats, Floats]:
        """The shares of some n-grams (0 where unseen), and what their histories leave (1 where unseen)."""
        return looked_up(self.grams, self.shares, grams, 0.0), looked_up(self.histories, self.left, histories, 1.0)


class Ngrams:
    """A model of n-grams with modified Kneser-Ney smoothing, every order interpolated with the shorter ones.

    Of trigrams, p(c | a b) = (n(a b c) − D)₊ / n(a b) + γ(a b) p(c | b), where p(c | b) is made likewise of the number
    of *different* words that (b c) was seen behind, and the shortest order of an even share for every token. The
    discount D depends on whether n is 1, 2 or more, and γ is what the discounts left over. What was seen once tells how
    likely the unseen is: the share of `UNKNOWN` is at least that of the tokens seen once (Good and Turing's estimate).

    Args:
        size: How many tokens there are, the special ones included.

    References:
        Chen, Goodman: An Empirical Study of Smoothing Techniques for Language Modeling, 1999,
        https://doi.org/10.1006/csla.1999.0128

    Example:
        ```python
        model = Ngrams.learn([[3, 4, 3], [3, 4, 4]], size=5)
        model.log_prob(BEGIN, 3, 4)  # after the beginning and a 3, a 4
        ```
    """

    def __init__(self, size: int, one: Floats, longer: Sequence[_Order]) -> None:
        self.size = size
        self._one, self._longer = one, tuple(longer)

    @property
    def order(self) -> int:
        """n: how many tokens are looked at together."""
        return 1 + len(self._longer)

    @classmethod
    def learn(cls, sentences: Iterable[Any], size: int, order: int = 3) -> Self:
        """Count the n-grams of sentences.

        Args:
            sentences: Sequences of whole numbers from 2 to ``size`` − 1 (`UNKNOWN` and the vocabulary's).
            size: How many tokens there are; ``size ** order`` is below 2 ** 63.
            order: n: how many tokens are looked at together, from 2 to 5.

        Returns:
            The model.
        """
        start = [BEGIN] * (order - 1)
        parts = [piece for s in sentences for piece in (start, s, [END])]
        line = np.concatenate([np.asarray(p, np.int64) for p in parts]) if parts else np.empty(0, np.int64)
        grams, longer = np.empty(0, np.int64), list[_Order]()
        for n in range(order, 1, -1):
            keys = in_a_row(line, size, n)
            keys = keys[keys % size != BEGIN]
            if n < order:  # nothing stands before a beginning, so that behind it all that counts is how often
                inner, opening = grams % size**n, keys // size ** (n - 1) == BEGIN
                keys = np.concatenate([inner[inner // size ** (n - 1) != BEGIN], keys[opening]])
            grams, counts = np.unique(keys, return_counts=True)
            longer.append(_order(grams, counts, size))
        ones = np.bincount(grams % size, minlength=size).astype(np.float64)
        tokens = np.bincount(line, minlength=size)
        ones[UNKNOWN] = max(ones[UNKNOWN], float((tokens[SPECIAL:] == 1).sum()))
        return cls(size, _shortest(ones), longer[::-1])

    def log_prob(self, *tokens: Any) -> Floats:
        """Ln p(the last token | those before it), in nats.

        Args:
            tokens: n whole numbers, or arrays of one shape, or of shapes that broadcast.
        """
        *rest, key = np.broadcast_arrays(*(np.asarray(t, np.int64) for t in tokens))
        p, history = self._one[key], np.zeros_like(key)
        for n, order in enumerate(self._longer, start=2):
            before = rest[-(n - 1)]
            key, history = key + before * self.size ** (n - 1), history + before * self.size ** (n - 2)
            share, left = order.look(history, key)
            p = share + left * p
        return np.log(p)

    def score(self, sentence: Any) -> float:
        """Ln p of a whole sentence, its end included, in nats."""
        n = self.order
        line = np.concatenate([[BEGIN] * (n - 1), np.asarray(sentence, np.int64), [END]]).astype(np.int64)
        return float(self.log_prob(*(line[i : len(line) - n + 1 + i] for i in range(n))).sum())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that was learnt, by name."""
        found: dict[str, npt.NDArray[Any]] = {"one": self._one}
        for name, order in zip(NAMES, self._longer, strict=False):
            found |= {f"{name}_{field}": value for field, value in vars(order).items()}
        return found

    @classmethod
    def restored(cls, size: int, arrays: Mapping[str, Any]) -> Self:
        """The model that `arrays` wrote down."""
        longer = [
            _Order(*(np.asarray(arrays[f"{name}_{field}"]) for field in _Order.__dataclass_fields__))
            for name in NAMES
            if f"{name}_grams" in arrays
        ]
        return cls(size, np.asarray(arrays["one"]), longer)


def _order(grams: Ints, counts: Any, size: int) -> _Order:
    """The discounted shares of one order."""
    discounts = _discounts(counts)[np.minimum(counts, FULL).astype(int)]
    histories, place = np.unique(grams // size, return_inverse=True)
    totals = np.bincount(place, counts, len(histories))
    left = np.bincount(place, discounts, len(histories)) / totals
    return _Order(grams, (counts - discounts) / totals[place], histories, left)


def _shortest(counts: Floats) -> Floats:
    """The shares of single tokens; the even share is of all that can come next."""
    able = np.ones(len(counts))
    able[BEGIN] = 0
    discounts = _discounts(counts)[np.minimum(counts, FULL).astype(int)]
    total = max(counts.sum(), 1.0)
    return ((counts - discounts) + (discounts.sum() or 1.0) * able / able.sum()) / total


def _discounts(counts: Any) -> Floats:
    """Modified Kneser and Ney's discounts of counts of 0, 1, 2, and 3 or more."""
    n = [float((counts == k).sum()) for k in range(1, 5)]
    if min(n) == 0:  # too few to tell: what is usual in large texts
        return np.array([0.0, 0.5, 0.75, 0.9])
    y = n[0] / (n[0] + 2 * n[1])
    return np.array([0.0, *(min(max(k - (k + 1) * y * n[k] / n[k - 1], 0.05), k - 0.05) for k in (1, 2, 3))])
