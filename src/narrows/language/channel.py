"""How words come to be written wrong: the probability of what was typed, given what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# letters that are heard alike
SOUNDS = ("aeiouy", "ckqxgs", "szc", "gjdc", "fvbp", "dt", "mn", "lr", "wuv", "hw")
# spellings of one sound; both ways
ALIKE = (
    "ph f|gh f|wh w|ck k|kn n|wr r|gn n|mb m|sc s|ps s|ch k|sh s|th t|rh r|ie y|ey y|ee e|ea e|ee i|ea i|ai a|ay a|ei a"
    "|oa o|ow o|ou o|ou u|oo u|ew u|ue u|au o|aw o|ks x|cs x|ti s|ci s|si s|ss c|cc x|dg g|dg j|tc t|qu k|cq q|ui u"
)
TABLES = ("same", "first", "rest", "dropped", "added", "swapped", "two_for_one", "one_for_two")
DEVIANCE = 0.25  # share of letters that are not as they should be, in words that are wrong
KNOWN = 30.0  # how many letters' worth of evidence the defaults count as, when misspellings are learnt from
ROUNDS = 4
BATCH = 4096


class Channel:
    """The probability that a word is written as another, summed over all ways in which that could have happened.

    From left to right, every letter of the meant word is written as it is or as another, left out, swapped with the
    next, written as two; two letters are written as one; or a letter that does not belong is added behind it. The
    probability of each depends on the letters at hand. Without examples they follow what is known of typing and
    spelling: keys that lie side by side, letters and pairs of letters that sound alike, doubled letters.

    Args:
        letters: All letters there are; what is not among them counts as one further letter.
        tables: Probabilities of all edits, by name; None: the defaults.

    References:
        Kernighan, Church, Gale: A Spelling Correction Program Based on a Noisy Channel Model, 1990,
        https://aclanthology.org/C90-2036; Brill, Moore: An Improved Error Model for Noisy Channel Spelling
        Correction, 2000, https://aclanthology.org/P00-1037

    Example:
        ```python
        channel = Channel("abcdefghijklmnopqrstuvwxyz")
        channel.log_prob("bostin", ["boston", "austin"])  # the first is larger
        ```
    """

    def __init__(self, letters: str, tables: Mapping[str, Tensor] | None = None) -> None:
        self.letters = letters
        self.size = len(letters) + 2  # 0 stands before a word, the last for letters that are not known
        self._index = {letter: i + 1 for i, letter in enumerate(letters)}
        self.tables = dict(_defaults(letters, self.size) if tables is None else tables)

    @cached_property
    def _flat(self) -> dict[str, Tensor]:
        return {name: table.flatten() for name, table in self.tables.items()}

    def log_prob(self, typed: str, meant: Sequence[str]) -> Tensor:
        """Ln p(typed | word, written wrong) for several words, in nats.

        Args:
            typed: What was written.
            meant: n words.

        Returns:
            ``(n,)``; −∞ where no edits of these kinds lead there.
        """
        rows, lengths = self._rows(meant)
        with torch.inference_mode():
            seen = self._rows([typed])[0].expand(len(meant), -1)
            p = self._forward(self._flat, rows, lengths, seen, torch.full_like(lengths, len(typed)))
            return (p / self._edited(rows)[1]).log()

    def learnt(self, pairs: Iterable[tuple[str, str]]) -> Self:
        """A channel that has learnt from misspellings; expectation maximisation from this one's probabilities.

        Args:
            pairs: (what was written, what was meant), each pair counting once.

        Returns:
            A new channel. What the pairs say little of stays near what it was.
        """
        known = [(t, m) for t, m in pairs if t != m and t and m]
        channel = self
        for _ in range(ROUNDS if known else 0):
            channel = type(self)(self.letters, channel._round(known, self.tables))
        return channel

    # --- inside ----------------------------------------------------------------------------------------------

    def _rows(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Words as numbers ``(n, longest)``, 0 behind their ends, and their lengths ``(n,)``."""
        lengths = torch.tensor([len(w) for w in words])
        rows = torch.zeros(len(words), max(1, int(lengths.max())), dtype=torch.long)
        letters = [self._index.get(c, self.size - 1) for word in words for c in word]
        rows[torch.arange(rows.shape[1]) < lengths.unsqueeze(1)] = torch.tensor(letters, dtype=torch.long)
        return rows, lengths

    def _forward(
        self, flat: Mapping[str, Tensor], meant: Tensor, lengths: Tensor, typed: Tensor, typed_lengths: Tensor
    ) -> Tensor:
        """p(typed | meant) ``(n,)`` by dynamic programming: row i has what is left when i letters are typed."""
        places = self._places(meant, typed)
        sub = torch.where(places["same"] >= 0, flat["same"][places["same"].clamp(min=0)], self._wrong(flat, places))
        drop, add = flat["dropped"][places["dropped"]], flat["added"][places["added"]]
        joined = flat["two_for_one"][places["two_for_one"]]
        split = flat["one_for_two"][places["one_for_two"]]
        swap = flat["swapped"][places["swapped"]].unsqueeze(1) * places["crossed"]
        n, width = meant.shape
        zero = torch.zeros(n, 1, dtype=sub.dtype)
        rows = [self._dropped(torch.cat([zero + 1, zero.expand(n, width)], 1), drop)]
        for i in range(typed.shape[1]):
            last, before = rows[-1], rows[-2] if i else None
            row = torch.cat([zero, last[:, :-1] * sub[:, i]], 1) + last * add[:, i]
            row = row + torch.cat([zero, zero, last[:, :-2] * joined[:, i, 1:]], 1)[:, : width + 1]
            if before is not None:
                row = row + torch.cat([zero, before[:, :-1] * split[:, i]], 1)
                row = row + torch.cat([zero, zero, before[:, :-2] * swap[:, i, 1:]], 1)[:, : width + 1]
            rows.append(self._dropped(row, drop))
        table, each = torch.stack(rows, 1), torch.arange(n)
        return table[each, typed_lengths, lengths]

    @cached_property
    def _sums(self) -> dict[str, Tensor]:
        """What the probabilities of all that can become of a letter, or of two, add up to."""
        t = self.tables
        one = t["same"] + t["one_for_two"].sum((1, 2))
        two = t["swapped"].clone().fill_diagonal_(0) + t["two_for_one"].sum(2)
        first, rest = one + t["first"].sum(1), one + t["rest"].sum(1)
        return {"first": first, "rest": rest, "dropped": t["dropped"], "two": two, "added": 1 - t["added"].sum(1)}

    def _edited(self, meant: Tensor) -> tuple[Tensor, Tensor]:
        """What all ways of writing words add up to, and those with an edit at least; ``(n,)`` each."""
        s, n = self._sums, len(meant)
        before = torch.cat([torch.zeros(n, 1, dtype=torch.long), meant[:, :-1]], 1)
        earlier, last = torch.zeros(n, dtype=torch.float64), (1 / s["added"][0]).expand(n)
        for j in range(meant.shape[1]):
            m, b = meant[:, j], before[:, j]
            more = last * (s["rest" if j else "first"][m] + s["dropped"][b, m]) + earlier * s["two"][b, m] * (j > 0)
            earlier, last = last, torch.where(m > 0, more / s["added"][m], last)
        return last, last - torch.where(meant > 0, self.tables["same"][meant], 1.0).prod(1)

    @staticmethod
    def _dropped(row: Tensor, drop: Tensor) -> Tensor:
        """A row with what leaving letters out adds to it, from left to right."""
        cells = [row[:, 0]]
        for j in range(drop.shape[1]):
            cells.append(torch.addcmul(row[:, j + 1], cells[-1], drop[:, j]))
        return torch.stack(cells, 1)

    @staticmethod
    def _wrong(flat: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> Tensor:
        """Probabilities of other letters; the first of a word is another table's."""
        pair = places["pair"]
        return torch.cat([flat["first"][pair[:, :, :1]], flat["rest"][pair[:, :, 1:]]], 2)

    def _places(self, meant: Tensor, typed: Tensor) -> dict[str, Tensor]:
        """Where in the flat tables each edit stands: axes (words, typed letters, meant letters)."""
        a, start = self.size, torch.zeros(len(meant), 1, dtype=torch.long)
        before, prior = torch.cat([start, meant[:, :-1]], 1), torch.cat([start, typed[:, :-1]], 1)
        m, t, mb, tb = meant.unsqueeze(1), typed.unsqueeze(2), before.unsqueeze(1), prior.unsqueeze(2)
        behind = torch.cat([start, meant], 1).unsqueeze(1)
        return {
            "pair": m * a + t,
            "same": torch.where(m == t, m, -1),
            "dropped": before * a + meant,
            "added": behind * a + t,
            "two_for_one": (mb * a + m) * a + t,
            "one_for_two": (m * a + tb) * a + t,
            "swapped": before * a + meant,
            "crossed": ((m == tb) & (mb == t) & (m != mb)).to(torch.float64),
        }

    def _round(self, pairs: Sequence[tuple[str, str]], prior: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One round: how often each edit is expected to have happened, by how often it could have."""
        logs = {name: table.clamp(min=1e-30).log().requires_grad_() for name, table in self.tables.items()}
        counts = {name: torch.zeros_like(table) for name, table in self.tables.items()}
        chances = {name: torch.zeros_like(table) for name, table in self.tables.items()}
        for start in range(0, len(pairs), BATCH):
            part = pairs[start : start + BATCH]
            typed, typed_lengths = self._rows([t for t, _ in part])
            meant, lengths = self._rows([m for _, m in part])
            flat = {name: log.exp().flatten() for name, log in logs.items()}
            p = self._forward(flat, meant, lengths, typed, typed_lengths)
            usable, (all_, edited) = p > 0, self._edited(meant)
            times = (all_ / edited)[usable]  # how often a word is written until it is wrong
            right = torch.where(meant > 0, logs["same"][meant], 0.0).sum(1)[usable]
            found = torch.autograd.grad((p[usable].log() + (times - 1) * right).sum(), list(logs.values()))
            for name, gradient in zip(logs, found, strict=True):  # d ln p / d ln θ is the expected count of an edit
                counts[name] += gradient
            self._add_chances(chances, meant[usable], times)
        return {n: (counts[n] + KNOWN * prior[n]) / (chances[n] + KNOWN) for n in self.tables}

    def _add_chances(self, chances: dict[str, Tensor], meant: Tensor, times: Tensor) -> None:
        """How often each edit could have happened, when every word was written so many times."""
        a, start = self.size, torch.zeros(len(meant), 1, dtype=torch.long)
        before = torch.cat([start, meant[:, :-1]], 1)
        exists, each = meant > 0, times.unsqueeze(1).expand(meant.shape)
        ones = torch.bincount(meant[exists], each[exists], a)
        two = torch.bincount((before * a + meant)[exists], each[exists], a * a).view(a, a)
        first = torch.bincount(meant[:, 0], times, a)
        behind = ones.clone()
        behind[0] = times.sum()
        chances["same"] += ones
        chances["first"] += first.unsqueeze(1)
        chances["rest"] += (ones - first).unsqueeze(1)
        chances["dropped"] += two
        chances["swapped"] += two
        chances["added"] += behind.unsqueeze(1)
        chances["two_for_one"] += two.unsqueeze(2)
        chances["one_for_two"] += ones.view(a, 1, 1)


def _defaults(letters: str, size: int) -> dict[str, Tensor]:
    """Probabilities of edits from what is known of typing and spelling."""
    index = {letter: i + 1 for i, letter in enumerate(letters)}
    near = torch.full((size, size), 0.15, dtype=torch.float64)
    for one, other in _neighbours():
        if one in index and other in index:
            near[index[one], index[other]] += 1.0
    vowels = [index[c] for c in SOUNDS[0] if c in index]
    for group in SOUNDS:
        for a in (index[c] for c in group if c in index):
            for b in (index[c] for c in group if c in index):
                near[a, b] += 1.0 + (a in vowels and b in vowels) * 2.0
    near.fill_diagonal_(0)
    near[:, 0] = near[0] = 0
    shares = near / near.sum(1, keepdim=True).clamp(min=1e-9)
    tables = {
        "same": torch.full((size,), 1 - DEVIANCE, dtype=torch.float64),
        "first": 0.05 * shares,
        "rest": 0.12 * shares,
        "dropped": torch.full((size, size), 0.06, dtype=torch.float64),
        "swapped": torch.full((size, size), 0.012, dtype=torch.float64),
        "added": torch.full((size, size), 0.02 / size, dtype=torch.float64) + 0.01 * shares,
        "two_for_one": torch.zeros(size, size, size, dtype=torch.float64),
        "one_for_two": torch.zeros(size, size, size, dtype=torch.float64),
    }
    tables["dropped"][0] = 0.01
    tables["dropped"].diagonal().fill_(0.3)
    tables["added"].diagonal().add_(0.02)
    tables["added"][:, 0] = 0
    for rule in ALIKE.split("|"):
        two, one = rule.split()
        if all(letter in index for letter in two + one):
            a, b, c = (index[letter] for letter in two + one)
            tables["two_for_one"][a, b, c] = 0.05
            tables["one_for_two"][c, a, b] = 0.01
    return tables


def _neighbours() -> list[tuple[str, str]]:
    """Pairs of keys that lie side by side, both ways."""
    place = {c: (x + 0.5 * y, y) for y, row in enumerate(KEYBOARD) for x, c in enumerate(row)}
    return [
        (a, b)
        for a in place
        for b in place
        if a != b and abs(place[a][0] - place[b][0]) <= 1 and abs(place[a][1] - place[b][1]) <= 1
    ]
