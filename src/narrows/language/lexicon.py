"""Words that look like another, found fast among very many."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

LEAST = 0.2  # likeness: below it lies one in seventy of the misspellings that people make
_SOUND = str.maketrans(
    {
        **dict.fromkeys("aeiouy'-.& ", ""),
        **dict.fromkeys("ckqgxj", "k"),
        **dict.fromkeys("sz", "s"),
        **dict.fromkeys("dt", "t"),
        **dict.fromkeys("fvpb", "p"),
        **dict.fromkeys("mn", "n"),
        "h": "",
        "w": "",
    }
)


class Lexicon:
    """The words of a vocabulary, by the letters, pairs of letters and sounds that are in them.

    Two words are as near as the share of these that they have in common (Dice's coefficient), which an index from each
    to the words that have it finds without looking at every word.

    Args:
        words: All words, the most usual first.

    Example:
        ```python
        lexicon = Lexicon(["boston", "austin", "weather"])
        lexicon.near("bostin", 2)  # array([0, 1])
        ```
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.index = {word: i for i, word in enumerate(self.words)}
        having: dict[str, list[int]] = {}
        self._sizes = np.zeros(len(self.words))
        for i, word in enumerate(self.words):
            for feature in _features(word):
                having.setdefault(feature, []).append(i)
                self._sizes[i] += 1
        self._having = {feature: np.asarray(places, np.int64) for feature, places in having.items()}

    def __len__(self) -> int:
        """How many words there are."""
        return len(self.words)

    def near(self, word: str, most: int) -> npt.NDArray[np.int64]:
        """The places of the words that look most like one; of equally near ones the more usual come first.

        The word itself and words that hardly look like it are left out.

        Args:
            word: Any word.
            most: How many at most.
        """
        features = list(_features(word))
        places = [self._having[f] for f in features if f in self._having]
        if not places:
            return np.empty(0, np.int64)
        common = np.bincount(np.concatenate(places), minlength=len(self.words))
        likeness = 2 * common / (self._sizes + len(features))
        if word in self.index:
            likeness[self.index[word]] = 0
        found = np.flatnonzero(likeness >= LEAST)
        if len(found) > most:
            found = found[np.argpartition(-likeness[found], most - 1)[:most]]
        return found[np.lexsort((found, -likeness[found]))]


def _features(word: str) -> Iterator[str]:
    """Letters, each with its number where it comes again; pairs with the ends of the word; pairs of sounds."""
    seen: Counter[str] = Counter()
    for letter in word:
        seen[letter] += 1
        yield f"{letter}{seen[letter]}"
    ends = f"^{word}$"
    yield from {f"{a}{b}~" for a, b in itertools.pairwise(ends)}
    sound = "^" + word[:1] + word[1:].replace("ph", "f").replace("gh", "").translate(_SOUND) + "$"
    yield from {f"{a}{b}°" for a, b in itertools.pairwise(sound)}
