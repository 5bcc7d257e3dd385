"""Texts as series of tokens, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.data.corpus import corpus_of, cut
from narrows.data.tokens import TOKENISERS, UNKNOWN, Tokeniser
from narrows.errors import InvalidData, InvalidParameter, SavedModelError

CONTEXT = {"characters": 128, "words": 64, "byte-pair": 96}  # tokens: about two sentences of each
WINDOWS = 8  # a text is cut into so many at least, so that there is something to shuffle
END = "<end>"


class Text(Part, room="formats"):
    """Texts as whole numbers, one per token.

    Args:
        tokens: "characters" (nothing that was seen in training is lost), "words" (shorter, but what is rare becomes
            ``<unk>``, and spacing is put back by rule) or "byte-pair" (frequent parts of words; nothing is lost; needs
            the extra ``narrows[text]``).
        vocabulary: How many different tokens at most, the most frequent. None: all characters; 10,000 words; 2,000
            byte pairs, which are 256 at least.
        context: Tokens of a row: what is learnt from at once, and how far a transformer looks back. None: 128
            characters, 64 words, or 96 byte pairs.
        least: How often a word or a byte pair occurs at least to be a token.
        punctuation: Whether punctuation marks are words of their own. If not, words are what stands between spaces, as
            in corpora that were split before.
        encoding: Of files.
        column: The column of a table that holds the texts; None: the only one that holds text.

    Example:
        ```python
        format_ = Text().fit("to be or not to be")
        format_.encode("bee").tolist()  # [1, 2, 2]
        format_.decode([1, 2, 2])  # 'bee'
        ```
    """

    tokens: Literal["characters", "words", "byte-pair"] = "characters"
    vocabulary: Annotated[int, Interval(2)] | None = None
    context: Annotated[int, Interval(2)] | None = None
    least: Annotated[int, Interval(1)] = 2
    punctuation: bool = True
    encoding: str = "utf-8"
    column: str | None = None

    def fit(self, raw: Any, likelihood: Any = None) -> TextFormat:
        """Find the tokens of texts.

        Args:
            raw: A text, the name of a file or a folder of text files, a list or a column of texts, or a table with one.
            likelihood: Categorical, or None: tokens are nothing else.

        Raises:
            InvalidData: If there is no text.
            UnreadableFile: If a file is missing, or not text in this encoding.
        """
        self.check()
        if self.tokens == "byte-pair" and self.vocabulary is not None and self.vocabulary < 256:
            raise InvalidParameter(
                f"vocabulary={self.vocabulary}: byte pairs begin with all 256 bytes, so that every text has tokens; "
                "give 256 or more, or tokens='characters'"
            )
        corpus = corpus_of(raw, self.encoding, self.column)
        tokeniser = TOKENISERS[self.tokens].fit(corpus, self.vocabulary, self.least, self.punctuation)
        made = TextFormat(self, tokeniser, len(corpus) > 1, self.context or CONTEXT[self.tokens])
        made.reasons.extend([*corpus.notes, made.summary()])
        return made


@dataclass(frozen=True)
class TextFormat:
    """Texts as rows: windows of tokens, one after the other.

    Attributes:
        options: The format as it was asked for.
        tokeniser: Text to tokens and back.
        ends: Whether a token marks the end of a text: where there were several.
        context: Tokens of a row.
        reasons: What was found, in words.
    """

    options: Text
    tokeniser: Tokeniser
    ends: bool
    context: int
    reasons: list[str] = field(default_factory=list)

    n_features = 1
    feature_names = None

    @property
    def size(self) -> int:
        """V, how many tokens there are, the end mark among them."""
        return self.tokeniser.size + self.ends

    @property
    def end(self) -> int | None:
        """The token that ends a text; None where there is only one."""
        return self.tokeniser.size if self.ends else None

    @property
    def dtype(self) -> Any:
        """The smallest type that holds all tokens."""
        return np.uint8 if self.size <= 256 else np.uint16 if self.size <= 65_536 else np.int32

    @property
    def layout(self) -> Layout:
        """A series of one category column."""
        return Layout((self.context, 1), (self.size,), low=(0.0,), high=(self.size - 1.0,))

    def likelihood(self) -> Any:
        """The one that suits tokens."""
        from narrows.likelihoods import Categorical

        return Categorical()

    # --- text to tokens ----------------------------------------------------------------------------------------

    def encode(self, text: str) -> NDArray[np.int64]:
        """The tokens of a text ``(T,)``, without an end mark."""
        if not text:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([self.tokeniser.encode(piece) for piece in self.tokeniser.pieces(cut(text))])

    def read(self, raw: Any) -> NDArray[Any]:
        """The tokens of texts one after the other ``(T,)``, each followed by the end mark where there is one.

        The type is the smallest that holds them, and texts are read piece by piece, however long their lines are.

        Raises:
            InvalidData: If there is nothing.
        """
        texts = list(self.each(raw))
        end = np.array([] if self.end is None else [self.end], dtype=self.dtype)
        tokens = np.concatenate([part for text in texts for part in (text, end)])
        if len(tokens) == len(texts) * len(end):
            raise InvalidData("the text is empty: there is nothing to learn from or to judge")
        return tokens

    def each(self, raw: Any) -> Iterator[NDArray[Any]]:
        """The tokens of every text ``(T,)``, without end marks."""
        for text in corpus_of(raw, self.options.encoding, self.options.column).texts():
            found = [self.tokeniser.encode(piece).astype(self.dtype) for piece in self.tokeniser.pieces(text)]
            yield np.concatenate([np.zeros(0, dtype=self.dtype), *found])

    def to_rows(self, raw: Any, owner: str = "this model") -> Rows:
        """Texts as windows of ``context`` tokens; the last is shorter."""
        return windows(self.read(raw), self.context)

    # --- tokens to text ----------------------------------------------------------------------------------------

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; end marks are left out."""
        return self.tokeniser.decode([int(t) for t in tokens if t != self.end])

    def stream(self, tokens: Iterable[int], before: Sequence[int] = ()) -> Iterator[str]:
        """The text of tokens that come one by one, as soon as it is sure, after those ``before``."""
        return self.tokeniser.stream(tokens, [int(t) for t in before if t != self.end])

    def from_values(self, values: Tensor) -> list[str]:
        """Rows' values ``(n, T, 1)`` as texts."""
        return [self.decode(row) for row in values.squeeze(-1).long().tolist()]

    # --- words and files ---------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The format in one line of plain words."""
        kinds = {"characters": "characters", "words": "words", "byte-pair": "byte pairs"}
        said = f"text as {self.tokeniser.size:,} different {kinds[self.tokeniser.kind]}"
        if self.tokeniser.unknown is not None:
            said += f", {UNKNOWN!r} for all others among them"
        if self.ends:
            said += f", and {END!r} between texts"
        return said

    def describe(self) -> list[dict[str, Any]]:
        """One entry, for the text."""
        words = [w for w in self.tokeniser.words() if w != UNKNOWN]
        return [
            {
                "name": "text",
                "kind": self.tokeniser.kind,
                "tokens": self.size,
                "context": self.context,
                "examples": words[:: max(1, len(words) // 12)][:12],
            }
        ]

    def to_config(self) -> dict[str, Any]:
        """The fitted format as plain JSON."""
        return {
            "format": "text",
            "options": self.options.to_config(),
            "tokeniser": self.tokeniser.to_config(),
            "ends": self.ends,
            "context": self.context,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The format that `to_config` described.

        Raises:
            SavedModelError: If something is missing from ``config`` or does not fit.
        """
        try:
            options, described = Part.from_config(config["options"]), config["tokeniser"]
            if not isinstance(options, Text) or options.tokens != described["kind"]:
                raise ValueError("the options are not those of a text format")
            tokeniser = TOKENISERS[described["kind"]].from_config(described)
            reasons = [str(reason) for reason in config["reasons"]]
            return cls(options, tokeniser, bool(config["ends"]), int(config["context"]), reasons)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedModelError(f"the saved text format cannot be used ({error!r}); save the model again") from error


def windows(tokens: NDArray[Any], size: int) -> Rows:
    """Tokens as rows of ``size`` steps, one after the other; the last may have fewer that exist."""
    count = -(-len(tokens) // size)
    values = np.zeros((count, size), dtype=np.float32)
    values.reshape(-1)[: len(tokens)] = tokens
    lengths = None
    if len(tokens) % size:
        lengths = torch.full((count,), size)
        lengths[-1] = len(tokens) % size
    return Rows(torch.from_numpy(values).unsqueeze(-1), lengths=lengths)
