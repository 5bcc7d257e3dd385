"""Counts of what follows what: an interpolated Kneser-Ney trigram model over whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BEGIN, END, UNKNOWN = 0, 1, 2  # the tokens of every model; those of its vocabulary come after
SPECIAL = 3
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
        return _found(self.grams, self.shares, grams, 0.0), _found(self.histories, self.left, histories, 1.0)


class Ngrams:
    """A trigram model with modified Kneser-Ney smoothing, every order interpolated with the shorter ones.

    p(c | a b) = (n(a b c) − D)₊ / n(a b) + γ(a b) p(c | b), where p(c | b) is made likewise of the number of
    *different* words that (b c) was seen behind, and the shortest order of an even share for every token. The discount
    D depends on whether n is 1, 2 or more, and γ is what the discounts left over. What was seen once tells how likely
    the unseen is: the share of `UNKNOWN` is at least that of the tokens seen once (Good and Turing's estimate).

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

    def __init__(self, size: int, three: _Order, two: _Order, one: Floats) -> None:
        self.size = size
        self._three, self._two, self._one = three, two, one

    @classmethod
    def learn(cls, sentences: Iterable[Any], size: int) -> Self:
        """Count the n-grams of sentences.

        Args:
            sentences: Sequences of whole numbers from 2 to ``size`` − 1 (`UNKNOWN` and the vocabulary's).
            size: How many tokens there are.

        Returns:
            The model.
        """
        parts = [piece for s in sentences for piece in ([BEGIN, BEGIN], s, [END])]
        line = np.concatenate([np.asarray(p, np.int64) for p in parts]) if parts else np.empty(0, np.int64)
        pairs = line[:-1] * size + line[1:]
        ends = line[2:] != BEGIN
        threes, three_counts = np.unique((pairs[:-1] * size + line[2:])[ends], return_counts=True)
        twos, two_counts = np.unique(threes % size**2, return_counts=True)
        # nothing stands before a beginning, so that behind it all that counts is how often
        first = twos // size == BEGIN
        openings, times = np.unique(line[2:][ends & (line[1:-1] == BEGIN)], return_counts=True)
        two_counts[first] = times[np.searchsorted(openings, twos[first] % size)]
        ones = np.bincount(twos % size, minlength=size).astype(np.float64)
        tokens = np.bincount(line, minlength=size)
        ones[UNKNOWN] = max(ones[UNKNOWN], float((tokens[SPECIAL:] == 1).sum()))
        return cls(size, _order(threes, three_counts, size), _order(twos, two_counts, size), _shortest(ones))

    def log_prob(self, a: Any, b: Any, c: Any) -> Floats:
        """Ln p(c | a b), in nats; the arguments are whole numbers or arrays of one shape, or of shapes that broadcast.

        Args:
            a: The token before the last.
            b: The last token.
            c: The next token.
        """
        a, b, c = np.broadcast_arrays(*(np.asarray(t, np.int64) for t in (a, b, c)))
        pair = b * self.size + c
        short, short_left = self._two.look(b, pair)
        long, long_left = self._three.look(a * self.size + b, a * self.size**2 + pair)
        return np.log(long + long_left * (short + short_left * self._one[c]))

    def score(self, sentence: Any) -> float:
        """Ln p of a whole sentence, its end included, in nats."""
        line = np.concatenate([[BEGIN, BEGIN], np.asarray(sentence, np.int64), [END]]).astype(np.int64)
        return float(self.log_prob(line[:-2], line[1:-1], line[2:]).sum())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that was learnt, by name."""
        found: dict[str, npt.NDArray[Any]] = {"one": self._one}
        for name, order in (("three", self._three), ("two", self._two)):
            found |= {f"{name}_{field}": value for field, value in vars(order).items()}
        return found

    @classmethod
    def restored(cls, size: int, arrays: Mapping[str, Any]) -> Self:
        """The model that `arrays` wrote down."""
        three, two = (
            _Order(*(np.asarray(arrays[f"{name}_{field}"]) for field in _Order.__dataclass_fields__))
            for name in ("three", "two")
        )
        return cls(size, three, two, np.asarray(arrays["one"]))


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


def _found(keys: Ints, values: Floats, wanted: Ints, other: float) -> Floats:
    """The values of wanted keys, which are sorted; ``other`` where there is none."""
    if not len(keys):
        return np.full(wanted.shape, other)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], other)
