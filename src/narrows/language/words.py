"""Text as words and what stands between them."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER, MARK, WORD = "number", "mark", "word"

_LETTERS = r"[^\W\d_]++"  # all of them: what has digits behind it is no word
_CLITIC = r"['’](?:s|m|d|re|ve|ll)(?![^\W\d_])"  # it's, we're: apart, so that one stands for all
_PIECES = re.compile(
    rf"(?P<unknown><unk>)"
    rf"|(?P<other>(?:https?://|www\.)\S+|[^\s@]{{1,64}}@[^\s@]{{1,255}}\.\S+)"
    rf"|(?P<clitic>{_CLITIC})"
    rf"|(?P<word>{_LETTERS}(?:(?!{_CLITIC})['’.&-]{_LETTERS})*(?!\d|_+[^\W_]))"
    r"|(?P<number>\w*\d\w*(?:[.,:]\d+)*)"
    r"|(?P<mark>[^\w\s]|_+)|(?P<rest>\w+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Piece:
    """A word, a number or a mark, and where in the text it stands.

    Attributes:
        text: As it was written.
        start: Place of its first character.
        kind: "word", "number" or "mark".
    """

    text: str
    start: int
    kind: str

    @property
    def end(self) -> int:
        """Place behind its last character."""
        return self.start + len(self.text)

    @property
    def token(self) -> str:
        """What a vocabulary knows it by: words in lower case, all numbers alike."""
        return "<number>" if self.kind == NUMBER else plain(self.text)


def pieces(text: str) -> list[Piece]:
    """The words, numbers and marks of a text, in order.

    A word is made of letters, with single apostrophes, hyphens, dots or ampersands between them (``o'clock``,
    ``third-quarter``, ``u.s``); the ends of ``it's`` and ``we'll`` are marks. What has digits in it is a number (as
    ``covid19``). Links, addresses and names such as ``snake_case`` are marks, and so is ``<unk>``: a word that whoever
    prepared the text left out.

    Example:
        ```python
        [p.text for p in pieces("It's 5 o'clock.")]  # ["It", "'s", "5", "o'clock", "."]
        ```
    """
    kinds = {"word": WORD, "number": NUMBER}
    return [Piece(m.group(), m.start(), kinds.get(str(m.lastgroup), MARK)) for m in _PIECES.finditer(text)]


def plain(word: str) -> str:
    """A word as the vocabulary has it: in lower case, with straight apostrophes."""
    return word.lower().replace("’", "'")


def like(word: str, written: str) -> str:
    """A word in the case of another: ``like("boston", "Bostin")`` is ``"Boston"``."""
    letters = [c for c in written if c.isalpha()]
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return word.upper()
    if letters and letters[0].isupper() and written[0] == letters[0]:
        return word[:1].upper() + word[1:]
    return word
