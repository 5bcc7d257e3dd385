"""What a word that was written may have been meant to be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from narrows.language.channel import Channel
from narrows.language.lattice import Edge
from narrows.language.lexicon import Lexicon
from narrows.language.ngrams import BEGIN, END, SPECIAL, UNKNOWN, Ngrams
from narrows.language.words import WORD, Piece, plain

LOOKED_AT = 300  # words that look like the one written, whose probabilities are computed
SPACED = 0.01  # share of the errors that are a space too many or too few
TOGETHER = 5  # letters that are looked at together in words that are not known
REMEMBERED = 50_000  # words whose readings are kept


@dataclass
class Readings:
    """The lattice of a sentence.

    Args:
        lexicon: The words that can be meant.
        channel: How they come to be written wrong.
        spelling: A model of the letters of words, for words that are not known.
        counts: How often each word of the lexicon was seen.
        error_rate: Share of words that are written wrong.
        candidates: Readings of a word, at most.
    """

    lexicon: Lexicon
    channel: Channel
    spelling: Ngrams
    counts: np.ndarray
    error_rate: float
    candidates: int
    _known: dict[str, list[Edge]] = field(default_factory=dict)

    def token(self, piece: Piece) -> int:
        """The token of a piece as it was written."""
        place = self.lexicon.index.get(piece.token)
        return UNKNOWN if place is None else place + SPECIAL

    def edges(self, text: str, pieces: Sequence[Piece]) -> Iterator[Edge]:
        """All readings of all pieces of a text."""
        for place, piece in enumerate(pieces):
            if piece.kind != WORD:
                yield Edge(place, place + 1, (self.token(piece),), 0.0)
                continue
            for edge in self._of(plain(piece.text)):
                yield Edge(place, place + 1, edge.tokens, edge.cost, edge.words)
            if place and pieces[place - 1].kind == WORD and text[pieces[place - 1].end : piece.start].isspace():
                yield from self._joined(place, pieces[place - 1], piece)

    def spelt(self, word: str) -> float:
        """Ln p(these letters), for a word that is not known, in nats."""
        return self.spelling.score([self._letter(c) for c in word])

    def _letter(self, letter: str) -> int:
        place = self.channel.letters.find(letter)
        return UNKNOWN if place < 0 else place + SPECIAL

    def _of(self, word: str) -> list[Edge]:
        if word not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[word] = [*self._same(word), *self._other(word), *self._split(word)]
        return self._known[word]

    def _same(self, word: str) -> Iterator[Edge]:
        place, right = self.lexicon.index.get(word), math.log(1 - self.error_rate)
        if place is None:
            yield Edge(0, 1, (UNKNOWN,), right + self.spelt(word))
        else:
            yield Edge(0, 1, (place + SPECIAL,), right)

    def _other(self, word: str) -> Iterator[Edge]:
        near = [i for i in self.lexicon.near(word, LOOKED_AT) if self.lexicon.words[i][:1].isalpha()]
        if not near:
            return
        costs = self.channel.log_prob(word, [self.lexicon.words[i] for i in near]).numpy()
        costs = costs + math.log(self.error_rate * (1 - SPACED))
        order = np.argsort(-(costs + np.log(self.counts[near])), kind="stable")[: self.candidates]
        for k in order:
            if math.isfinite(costs[k]):
                yield Edge(0, 1, (int(near[k]) + SPECIAL,), float(costs[k]), (self.lexicon.words[near[k]],))

    def _split(self, word: str) -> Iterator[Edge]:
        """A space that is missing: only in words that are not known."""
        if word in self.lexicon.index or len(word) < 2:
            return
        cost = math.log(self.error_rate * SPACED / (len(word) - 1))
        for cut in range(1, len(word)):
            two = word[:cut], word[cut:]
            places = [self.lexicon.index.get(part) for part in two]
            if all(part.isalpha() for part in two) and None not in places:
                tokens = tuple(int(p) + SPECIAL for p in places if p is not None)
                yield Edge(0, 1, tokens, cost, two)

    def _joined(self, place: int, one: Piece, two: Piece) -> Iterator[Edge]:
        """A space too many, within a word that is known."""
        whole = plain(one.text + two.text)
        found = self.lexicon.index.get(whole)
        if found is not None:
            cost = math.log(self.error_rate * SPACED / (len(whole) - 1))
            yield Edge(place - 1, place + 1, (found + SPECIAL,), cost, (whole,))


def spelling_of(words: Sequence[str], letters: str) -> Ngrams:
    """A model of how words are spelt, each counting once; known stems with other endings are likely to it."""
    index = {letter: i + SPECIAL for i, letter in enumerate(letters)}
    return Ngrams.learn(([index.get(c, UNKNOWN) for c in w] for w in words), len(letters) + SPECIAL, TOGETHER)


__all__ = ["BEGIN", "END", "Readings", "spelling_of"]
