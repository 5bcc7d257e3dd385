"""Text with its misspellings mended."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, final

import numpy as np
from sklearn.base import BaseEstimator

from narrows._part import Interval
from narrows.data.corpus import corpus_of, whole_words
from narrows.errors import InvalidData, InvalidType
from narrows.estimators._base import NotFitted
from narrows.estimators._shared import check_params
from narrows.language.channel import Channel
from narrows.language.lattice import Edge, gain, search
from narrows.language.lattice import Path as Reading
from narrows.language.lexicon import Lexicon
from narrows.language.ngrams import SPECIAL, UNKNOWN, Ngrams
from narrows.language.readings import Readings, spelling_of
from narrows.language.words import WORD, Piece, like, pieces, plain

LETTERS = 60  # different letters that are told apart, the most frequent
CERTAIN = 3.0  # nats: a change that is e³ times likelier than none is taken as an example to learn from
RESCORED = 16  # readings that a further judge looks at


@dataclass(frozen=True)
class Change:
    """A word that was mended, or two.

    Attributes:
        start: Place of its first character in the text as it was given.
        written: As it was.
        meant: As it is now.
        known: Whether all that was written are words of the vocabulary.
        gain: How much likelier the sentence is so, in nats: of the words that follow each other, less what the
            misspelling costs.
        language: The part of ``gain`` that comes from the words around and the word's own frequency.
    """

    start: int
    written: str
    meant: str
    known: bool
    gain: float
    language: float

    @property
    def reason(self) -> str:
        """Why, in words."""
        what = "a word, but an unlikely one here" if self.known else "no word that was seen"
        return f"{self.written!r} is {what}; {self.meant!r} is e^{self.gain:.1f} times likelier to have been meant"


@dataclass(frozen=True)
class Correction:
    """A text as it was probably meant, and what was changed."""

    text: str
    changes: tuple[Change, ...]


@final
class Corrector(BaseEstimator):
    """Mends misspelt or misheard text: the sentence that was most probably meant, given the one that was written.

    argmax over sentences m of  w · ln p(m) + ln p(t | m),  t being the text. p(m) is a trigram model with Kneser-Ney
    smoothing, p(t | m) a noisy channel: a word is written as meant with probability 1 − ``error_rate``, else letter by
    letter as `language.Channel` has it; a space may be missing or too many. Words that were never seen may be right,
    too: they count as unknown words, with the probability of their spelling. Case, marks, numbers and spaces stay.

    Args:
        error_rate: Share of the words that are expected to be wrong: the larger, the more is changed, names that were
            never seen among it. 0.1 to 0.2 suits text that is mostly right, and corpora of a thousand sentences.
        weight: w, how much the language counts beside the channel.
        vocabulary: How many words can be meant, the most frequent.
        least: How often a word occurs at least to be one.
        candidates: Readings of a word that are looked at in its sentence.
        width: Readings of the sentence that are kept at every word.

    Attributes:
        lexicon_: The words that can be meant.
        language_: The trigram model, a `language.Ngrams`.
        channel_: How words come to be written wrong, a `language.Channel`.
        error_rate_: The share of wrong words, as set or as learnt by `adapt`.
        reasons_: In words, what was learnt from what.

    References:
        Kernighan, Church, Gale: A Spelling Correction Program Based on a Noisy Channel Model, 1990,
        https://aclanthology.org/C90-2036; Mays, Damerau, Mercer: Context Based Spelling Correction, 1991,
        https://doi.org/10.1016/0306-4573(91)90066-U

    Example:
        ```python
        corrector = Corrector().fit(["what is the weather like in boston", "the weather is fine"])
        corrector.correct("what is the wether in bostin").text  # 'what is the weather in boston'
        ```
    """

    lexicon_: Lexicon
    language_: Ngrams
    channel_: Channel
    error_rate_: float
    reasons_: list[str]

    def __init__(
        self,
        error_rate: Annotated[float, Interval(0, 0.5, open_low=True)] = 0.3,
        *,
        weight: Annotated[float, Interval(0, open_low=True)] = 1.0,
        vocabulary: Annotated[int, Interval(1)] = 100_000,
        least: Annotated[int, Interval(1)] = 1,
        candidates: Annotated[int, Interval(1)] = 24,
        width: Annotated[int, Interval(1)] = 32,
    ) -> None:
        self.error_rate = error_rate
        self.weight = weight
        self.vocabulary = vocabulary
        self.least = least
        self.candidates = candidates
        self.width = width

    # --- learning --------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, misspellings: Iterable[tuple[str, str]] | None = None) -> Self:
        """Learn words, and what follows what, from text that is right.

        Args:
            X: The name of a text file or a folder of them, or a list of texts. Every line is a sentence, or several.
            y: Ignored.
            misspellings: Pairs (as it was written, as it was meant) to learn the channel from, if there are any.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If there are no words.
            UnreadableFile: If a file is missing, or no text.
        """
        check_params(self)
        pairs = None if misspellings is None else _checked(misspellings)
        sentences, counts = _counted(lines(X))
        tokens = [t for t, n in counts.most_common() if n >= self.least and t != "<unk>"][: self.vocabulary]
        words = [t for t in tokens if t[0].isalpha()]
        if not words:
            raise InvalidData("there are no words to learn from: give text, such as a file of sentences")
        lexicon, order = Lexicon(tokens), {token: i for i, token in enumerate(counts)}
        ids = np.full(len(counts), UNKNOWN, np.int64)
        ids[[order[t] for t in tokens]] = np.arange(len(tokens)) + SPECIAL
        letters = Counter(c for word in words for c in word)
        alphabet = "".join(sorted(c for c, _ in letters.most_common(LETTERS)))
        channel = Channel(alphabet) if pairs is None else Channel(alphabet).learnt(pairs)
        language = Ngrams.learn((ids[np.asarray(s)] for s in sentences), len(tokens) + SPECIAL)
        self._set(lexicon, language, channel, np.array([counts[t] for t in tokens], float), self.error_rate)
        self.reasons_ = [
            f"{len(words):,} words of {sum(counts.values()):,} in the text; what follows what by threes",
            "misspellings as of typing and spelling in general"
            if pairs is None
            else f"misspellings learnt from {len(pairs):,} pairs",
        ]
        return self

    def adapt(self, X: Any) -> Self:
        """Learn from text that is *not* right how often words are wrong, and in what way.

        Everything is mended once; the share of words that were changed becomes the error rate, and the changes that
        are all but certain become examples for the channel.

        Args:
            X: As in `fit`.

        Returns:
            The model itself.
        """
        self._check_fitted()
        changed, total, pairs = 0, 0, list[tuple[str, str]]()
        for line in lines(X):
            total += sum(p.kind == WORD for p in pieces(line))
            for change in self._line(line, None).changes:
                changed += 1
                if change.gain > CERTAIN and " " not in change.written + change.meant:
                    pairs.append((plain(change.written), plain(change.meant)))
        if not total:
            raise InvalidData("there are no words to learn from: give text, such as a file of sentences")
        rate = min(0.5, (changed + 1) / (total + 1 / self.error_rate))
        channel = self.channel_.learnt(pairs)
        self.reasons_ = [*self.reasons_, f"{changed:,} of {total:,} words were changed when it was adapted"]
        self._set(self.lexicon_, self.language_, channel, self._counts, rate)
        return self

    def _set(self, lexicon: Lexicon, language: Ngrams, channel: Channel, counts: Any, error_rate: float) -> None:
        words = [w for w in lexicon.words if w[0].isalpha()]
        spelling = spelling_of(words, channel.letters)
        self._counts = counts
        self._readings = Readings(lexicon, channel, spelling, counts, error_rate, self.candidates)
        self.lexicon_, self.language_, self.channel_, self.error_rate_ = lexicon, language, channel, error_rate

    # --- mending ---------------------------------------------------------------------------------------------

    def correct(self, X: Any, judge: Any = None) -> Any:
        """Text as it was probably meant.

        Args:
            X: A text, or a list of texts. Every line is mended by itself.
            judge: A fitted `LanguageModel` that has the last word among the likeliest readings.

        Returns:
            A `Correction`, or a list of them: the text, and what was changed and why.

        Raises:
            InvalidType: If it is no text.
        """
        self._check_fitted()
        if isinstance(X, str):
            return self._text(X, judge)
        if not isinstance(X, Iterable) or isinstance(X, (bytes, Mapping)):
            raise InvalidType(f"{type(X).__name__} is no text: give a string, or a list of strings")
        texts = list(X)
        odd = next((x for x in texts if not isinstance(x, str)), None)
        if odd is not None:
            raise InvalidType(f"{odd!r} is no text: give a list of strings")
        return [self._text(text, judge) for text in texts]

    def transform(self, X: Sequence[str]) -> list[str]:
        """The mended texts of a list of texts."""
        return [correction.text for correction in self.correct(list(X))]

    def _text(self, text: str, judge: Any) -> Correction:
        parts, changes, start = list[str](), list[Change](), 0
        for line in text.splitlines(keepends=True):
            done = self._line(line, judge)
            parts.append(done.text)
            changes += [Change(start + c.start, *list(vars(c).values())[1:]) for c in done.changes]
            start += len(line)
        return Correction("".join(parts), tuple(changes))

    def _line(self, line: str, judge: Any) -> Correction:
        found = pieces(line)
        if not any(p.kind == WORD for p in found):
            return Correction(line, ())
        edges = list(self._readings.edges(line, found))
        paths = search(edges, len(found), self.language_, width=self.width, weight=self.weight)
        best = paths[0] if judge is None else _judged(paths[:RESCORED], line, found, judge, self.weight)
        kept = {e.start: e for e in edges if e.kept}
        changes = [self._change(best.edges, i, found, kept, line) for i, e in enumerate(best.edges) if not e.kept]
        return Correction(_written(line, found, best.edges), tuple(changes))

    def _change(
        self, path: Sequence[Edge], place: int, found: Sequence[Piece], kept: Mapping[int, Edge], line: str
    ) -> Change:
        """What one edge of a path changed, beside the same path with the text kept there."""
        edge = path[place]
        instead = [kept[i] for i in range(edge.start, edge.end)]
        more = gain(path, place, instead, self.language_, self.weight)
        written = line[found[edge.start].start : found[edge.end - 1].end]
        known = all(e.tokens != (UNKNOWN,) for e in instead)
        spelt = 0.0 if known else sum(e.cost for e in instead)
        return Change(found[edge.start].start, written, _words(edge, found), known, more, more - edge.cost + spelt)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it has been fitted or loaded."""
        return hasattr(self, "language_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFitted("this Corrector is not fitted yet: call fit(texts) first, or narrows.load(folder)")

    # --- files -----------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str], metrics: dict[str, Any] | None = None) -> Path:
        """Write what was learnt into a folder, to be read by ``narrows.load``.

        Args:
            folder: Where to; made if it is missing.
            metrics: Numbers to keep with it.

        Returns:
            The folder.
        """
        self._check_fitted()
        from narrows.estimators import _corrector_files

        return _corrector_files.save(self, Path(folder), metrics)


def lines(X: Any) -> Iterator[str]:
    """The lines of texts, wherever they lie; a very long one comes in parts."""
    for text in corpus_of(X).texts():
        rest = ""
        for piece in whole_words(text):
            *whole, rest = (rest + piece).split("\n")
            yield from whole
            if len(rest) > 2**16:
                yield rest
                rest = ""
        yield rest


def _counted(texts: Iterable[str]) -> tuple[list[list[int]], Counter[str]]:
    """Sentences as the numbers of their tokens, in the order in which they were first seen, and how often each was."""
    order: dict[str, int] = {}
    counts: Counter[str] = Counter()
    sentences = []
    for text in texts:
        tokens = [p.token for p in pieces(text)]
        if tokens:
            counts.update(tokens)
            sentences.append([order.setdefault(t, len(order)) for t in tokens])
    return sentences, counts


def _checked(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    found = []
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(w, str) for w in pair)):
            raise InvalidData(f"misspellings hold {pair!r}: give pairs (as it was written, as it was meant)")
        found.append((plain(pair[0]), plain(pair[1])))
    return found


def _words(edge: Edge, found: Sequence[Piece]) -> str:
    """The words of an edge in the case of what it stands for."""
    first = found[edge.start].text
    return " ".join(like(word, first) if i == 0 or first.isupper() else word for i, word in enumerate(edge.words))


def _written(line: str, found: Sequence[Piece], path: Sequence[Edge]) -> str:
    """The line with what a path changes, all else as it was."""
    parts, done = list[str](), 0
    for edge in path:
        if not edge.kept:
            parts += [line[done : found[edge.start].start], _words(edge, found)]
            done = found[edge.end - 1].end
    return "".join([*parts, line[done:]])


def _judged(paths: Sequence[Reading], line: str, found: Sequence[Piece], judge: Any, weight: float) -> Reading:
    """The reading that is likeliest to a language model and the channel together."""
    texts = [_written(line, found, path.edges).strip() for path in paths]
    costs = np.array([sum(e.cost for e in path.edges) for path in paths])
    return paths[int(np.argmax(weight * np.asarray(judge.score_samples(texts)) + costs))]
