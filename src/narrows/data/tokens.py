"""Tokenisers: text to whole numbers and back, by characters, by words, or by byte pairs."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from narrows.data.corpus import Corpus, whole_words
from narrows.errors import MissingExtra

UNKNOWN = "<unk>"
WORDS, PAIRS = 10_000, 2_000  # tokens, unless said otherwise
OPEN, CLOSE = set("([{“‘"), set(".,;:!?)]}%”’…")  # what words stand close to
PIECES = re.compile(r"<\w+>|\w+(?:['’.-]\w+)*|\n|[^\w\s]")
SPACED = re.compile(r"\n|\S+")

Indices = NDArray[np.int64]


class Tokeniser(ABC):
    """What text is made of, in whole numbers from 0 to ``size`` − 1.

    Attributes:
        kind: Its name.
        size: How many tokens there are.
        unknown: What stands for all others; None where there are none.
    """

    kind: ClassVar[str]
    size: int
    unknown: int | None = None

    @classmethod
    @abstractmethod
    def fit(cls, corpus: Corpus, limit: int | None, least: int, punctuation: bool) -> Self:
        """Find the tokens of some texts, the ``limit`` most frequent at most, which come ``least`` times at least."""

    @abstractmethod
    def encode(self, text: str) -> Indices:
        """The tokens of a text."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Plain JSON."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What ``to_config`` described."""

    @abstractmethod
    def words(self) -> list[str]:
        """Every token in words."""

    def pieces(self, pieces: Iterator[str]) -> Iterator[str]:
        """Pieces of a text that can be encoded each by itself."""
        return whole_words(pieces)

    def stream(self, tokens: Iterable[int], before: Sequence[int] = ()) -> Iterator[str]:
        """The text of tokens that come one by one, as soon as it is sure.

        Args:
            tokens: The tokens.
            before: Those that were told before.
        """
        told, waiting = list(before)[-1:], list[int]()
        for token in tokens:
            waiting.append(token)
            text = self.decode([*told, *waiting])
            # a character may take several tokens, at most one for each of its bytes
            if text.endswith("\ufffd") and len(waiting) < 4:
                continue
            yield text[len(self.decode(told)) :]
            told, waiting = waiting[-1:], []
        if waiting:
            yield self.decode([*told, *waiting])[len(self.decode(told)) :]


class Characters(Tokeniser):
    """Every character is a token, so nothing is lost; one token more stands for characters that were never seen.

    Args:
        characters: The characters, in order.
    """

    kind = "characters"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.unknown: int = len(characters)
        self.size = self.unknown + 1
        self.points = _points(characters)
        self.table = np.full(int(self.points.max(initial=0)) + 1, -1, dtype=np.int64)
        self.table[self.points] = np.arange(len(characters))

    @classmethod
    def fit(cls, corpus: Corpus, limit: int | None, least: int, punctuation: bool) -> Self:
        """All characters there are, or the most frequent."""
        counts: Counter[int] = Counter()
        for text in corpus.texts():
            for piece in text:
                points, found = np.unique(_points(piece), return_counts=True)
                counts.update(dict(zip(points.tolist(), found.tolist(), strict=True)))
        kept = [point for point, _ in counts.most_common(None if limit is None else limit - 1)]
        return cls("".join(map(chr, sorted(kept))))

    def encode(self, text: str) -> Indices:
        """The tokens of a text."""
        points = _points(text)
        tokens = self.table[points.clip(max=len(self.table) - 1)]
        return np.where((tokens < 0) | (points >= len(self.table)), self.unknown, tokens)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return "".join("\ufffd" if t == self.unknown else self.characters[t] for t in tokens)

    def stream(self, tokens: Iterable[int], before: Sequence[int] = ()) -> Iterator[str]:
        """The text of tokens, at once."""
        return (self.decode([token]) for token in tokens)

    def pieces(self, pieces: Iterator[str]) -> Iterator[str]:
        """The pieces as they are."""
        return pieces

    def words(self) -> list[str]:
        """Every character."""
        return [*self.characters, UNKNOWN]

    def to_config(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"kind": self.kind, "characters": self.characters}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What ``to_config`` described."""
        return cls(str(config["characters"]))


class Words(Tokeniser):
    """Words, ends of lines, and punctuation marks unless these are part of words.

    Spaces are left out and put back by rule, so that a text comes back with its words, not with its exact spacing.

    Args:
        vocabulary: The words; the first stands for all others.
        punctuation: Whether punctuation marks are words of their own. If not, words are what stands between spaces.
    """

    kind = "words"
    unknown = 0

    def __init__(self, vocabulary: Sequence[str], punctuation: bool = True) -> None:
        self.vocabulary, self.punctuation = list(vocabulary), punctuation
        self.size = len(self.vocabulary)
        self.index = {word: i for i, word in enumerate(self.vocabulary)}
        self.pattern = PIECES if punctuation else SPACED

    @classmethod
    def fit(cls, corpus: Corpus, limit: int | None, least: int, punctuation: bool) -> Self:
        """The most frequent words."""
        made, counts = cls([UNKNOWN], punctuation), Counter[str]()
        for text in corpus.texts():
            for piece in made.pieces(text):
                counts.update(made.pattern.findall(piece))
        del counts[UNKNOWN]
        ordered = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
        return cls([UNKNOWN, *ordered[: (limit or WORDS) - 1]], punctuation)

    def encode(self, text: str) -> Indices:
        """The tokens of a text."""
        index = self.index
        return np.array([index.get(word, 0) for word in self.pattern.findall(text)], dtype=np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The words, with spaces between them where they belong."""
        parts: list[str] = []
        last = "\n"
        for token in tokens:
            word = self.vocabulary[token]
            close = self.punctuation and (word in CLOSE or last in OPEN)
            parts += [word] if close or "\n" in (word, last) else [" ", word]
            last = word
        return "".join(parts)

    def words(self) -> list[str]:
        """Every word."""
        return list(self.vocabulary)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"kind": self.kind, "vocabulary": self.vocabulary, "punctuation": self.punctuation}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What ``to_config`` described."""
        return cls([str(word) for word in config["vocabulary"]], bool(config["punctuation"]))


class BytePairs(Tokeniser):
    """Frequent strings of bytes, so that every text has tokens and nothing is lost.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.

    References:
        Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units, 2015,
        https://arxiv.org/abs/1508.07909; Hugging Face tokenizers, https://github.com/huggingface/tokenizers
    """

    kind = "byte-pair"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.size = int(tokenizer.get_vocab_size())

    @classmethod
    def fit(cls, corpus: Corpus, limit: int | None, least: int, punctuation: bool) -> Self:
        """Join the most frequent pairs, again and again."""
        library = _tokenizers()
        made = library.Tokenizer(library.models.BPE())
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=max(limit or PAIRS, 256),
            min_frequency=least,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator((piece for text in corpus.texts() for piece in whole_words(text)), trainer)
        return cls(made)

    def encode(self, text: str) -> Indices:
        """The tokens of a text."""
        return np.array(self.tokenizer.encode(text).ids, dtype=np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False))

    def words(self) -> list[str]:
        """Every token, as far as it is text by itself."""
        return [self.decode([token]) for token in range(self.size)]

    def to_config(self) -> dict[str, Any]:
        """Plain JSON: the library's own."""
        return {"kind": self.kind, "tokenizer": json.loads(self.tokenizer.to_str())}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What ``to_config`` described."""
        return cls(_tokenizers().Tokenizer.from_str(json.dumps(config["tokenizer"])))


TOKENISERS: dict[str, type[Tokeniser]] = {kind.kind: kind for kind in (Characters, Words, BytePairs)}


def _points(text: str) -> Indices:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra(
            "tokens='byte-pair' needs the library tokenizers: pip install 'narrows[text]'; tokens='characters' and "
            "'words' need nothing more"
        ) from error
    return tokenizers
