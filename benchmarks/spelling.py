"""Spelling: misspelt words in held-out sentences of the Penn Treebank, mended by `narrows.Corrector`.

Each word of a sentence that has listed misspellings is replaced by one of them, drawn evenly, with a probability of
10 %. Repaired: of the replaced words, the share that came back as they were. Spoilt: of all other words, the share that
did not stay as it was. Misspellings with anything but letters, apostrophes and hyphens in them are left out, and so are
those that are the word itself.

    python -m benchmarks.spelling DATA [--on test] [--sentences 500] [--seeds 5] [--only default,learnt] [--words other]

DATA holds ptb/ (ptb.train.txt.gz with <eos> between sentences, ptb.valid.txt, ptb.test.txt) and spelling/
(norvig-spell-errors.txt, birkbeck-missp.dat).
"""

from __future__ import annotations

import argparse
import gzip
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from narrows import Corrector

RATE = 0.1
RARE = 60  # times that a word occurs at most to be hidden
Noisy = tuple[list[str], list[str]]  # a sentence as it was, and as it was written, word by word
Mend = Callable[[str], str]


def misspellings(folder: Path) -> list[tuple[str, str]]:
    """All pairs (written, meant) of both lists, in lower case."""
    found = set()
    for line in (folder / "norvig-spell-errors.txt").read_text(encoding="utf-8", errors="replace").splitlines():
        meant, _, written = line.partition(":")
        found |= {(w.strip().split("*")[0].lower(), meant.strip().lower()) for w in written.split(",")}
    meant = ""
    for line in (folder / "birkbeck-missp.dat").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("$"):
            meant = line[1:].strip().lower()
        else:
            found.add((line.strip().lower(), meant))
    return sorted((w, m) for w, m in found if w != m and re.fullmatch(r"[a-z]+(?:['-][a-z]+)*", w) and m)


def sentences(path: Path) -> list[str]:
    """The sentences of a file of the treebank."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    parts = text.replace("\n", " ").split("<eos>") if "<eos>" in text else text.splitlines()
    return [part.strip() for part in parts if part.strip()]


def spoil(sentence: str, wrong: dict[str, list[str]], rng: np.random.Generator) -> Noisy:
    """A sentence with some of its words misspelt."""
    words = sentence.split()
    written = [rng.choice(wrong[w]) if w in wrong and rng.random() < RATE else w for w in words]
    return words, [str(w) for w in written]


def norvig(train: list[str]) -> Mend:
    """Norvig's corrector: the most frequent word within one edit, else two, of a word that is not known."""
    counts = Counter(w for s in train for w in s.split() if w != "<unk>")
    letters = "abcdefghijklmnopqrstuvwxyz"

    def edits(word: str) -> set[str]:
        splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
        return (
            {a + b[1:] for a, b in splits if b}
            | {a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1}
            | {a + c + b[1:] for a, b in splits if b for c in letters}
            | {a + c + b for a, b in splits for c in letters}
        )

    def mend(word: str) -> str:
        if word in counts or not word.isalpha():
            return word
        near = edits(word)
        known = {w for w in near if w in counts} or {w for e in near for w in edits(e) if w in counts} or {word}
        return max(sorted(known), key=lambda w: counts[w])

    return lambda text: " ".join(map(mend, text.split()))


def hide(train: list[str], share: float) -> tuple[list[str], set[str]]:
    """Sentences in which some of the rarer words of four letters and more are not known, and these words."""
    counts = Counter(w for s in train for w in s.split())
    rare = sorted(w for w, n in counts.items() if n <= RARE and w.isalpha() and len(w) > 3)
    gone = set(np.random.default_rng(7).choice(rare, round(share * len(rare)), replace=False).tolist())
    return [" ".join("<unk>" if w in gone else w for w in s.split()) for s in train], gone


def measure(noisy: list[Noisy], mend: Mend, gone: set[str]) -> tuple[int, int, int, int, int, int]:
    """Wrong words, repaired ones, right words, spoilt ones; of the right ones the hidden, and how many were spoilt."""
    wrong = repaired = right = spoilt = hidden = lost = 0
    for words, written in noisy:
        came = aligned(mend(" ".join(written)).split(), written)
        for meant, seen, made in zip(words, written, came, strict=True):
            if meant != seen:
                wrong, repaired = wrong + 1, repaired + (made == meant)
            else:
                right, spoilt = right + 1, spoilt + (made != meant)
                hidden, lost = hidden + (meant in gone), lost + (meant in gone and made != meant)
    return wrong, repaired, right, spoilt, hidden, lost


def aligned(made: list[str], written: list[str]) -> list[str]:
    """What stands for every written word; of words that were split or joined, nothing."""
    if len(made) == len(written):
        return made
    import difflib

    came = [""] * len(written)
    for tag, a, b, c, d in difflib.SequenceMatcher(None, written, made, autojunk=False).get_opcodes():
        if tag == "equal" or b - a == d - c:
            came[a:b] = made[c:d]
    return came


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--on", default="test", choices=("valid", "test"))
    parser.add_argument("--sentences", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a parameter of Corrector")
    parser.add_argument("--only", default="norvig,default,learnt")
    parser.add_argument(
        "--hide", type=float, default=0.0, help="share of rarer words that are not in the training text"
    )
    parser.add_argument("--words", default="all", choices=("all", "other"), help="other: words that were not taught")
    args = parser.parse_args()
    train = sentences(args.data / "ptb" / "ptb.train.txt.gz")
    train, gone = hide(train, args.hide)
    held = sentences(args.data / "ptb" / f"ptb.{args.on}.txt")
    pairs = misspellings(args.data / "spelling")
    params = {k: float(v) if "." in v else int(v) for k, v in (item.split("=") for item in args.set)}
    contenders: dict[str, Mend] = {}
    if "norvig" in args.only:
        contenders["Norvig's corrector"] = norvig(train)
    begun = time.perf_counter()
    if "default" in args.only:
        plain = Corrector(**params).fit(train)
        contenders["Corrector"] = lambda text: plain.correct(text).text
    fitted = time.perf_counter() - begun
    halves = [[p for p in pairs if zlib.crc32(p[1].encode()) % 2 == k] for k in (0, 1)]
    if "learnt" in args.only:
        taught = Corrector(**params).fit(train, misspellings=halves[0])
        contenders["Corrector, taught misspellings of other words"] = lambda text: taught.correct(text).text
    print(f"fitted in {fitted:.1f} s; {args.sentences} sentences of ptb.{args.on}, {args.seeds} seeds, {params}")
    listed, name = (pairs, "all listed words") if args.words == "all" else (halves[1], "words that were not taught")
    if listed:
        wrong: dict[str, list[str]] = {}
        for written, meant in listed:
            if meant not in gone:
                wrong.setdefault(meant, []).append(written)
        for who, mend in contenders.items():
            rows, begun = [], time.perf_counter()
            for seed in range(args.seeds):
                rng = np.random.default_rng(seed)
                chosen = rng.choice(len(held), min(args.sentences, len(held)), replace=False)
                rows.append(measure([spoil(held[i], wrong, rng) for i in chosen], mend, gone))
            took = (time.perf_counter() - begun) / args.seeds / args.sentences
            counts = np.array(rows, float)
            repaired, spoilt = counts[:, 1] / counts[:, 0], counts[:, 3] / counts[:, 2]
            lost = counts[:, 5].sum() / max(counts[:, 4].sum(), 1)
            print(
                f"{name}: {who}: repaired {repaired.mean():.1%} ± {repaired.std():.1%} of {counts[:, 0].mean():.0f}, "
                f"spoilt {spoilt.mean():.2%} ± {spoilt.std():.2%} of {counts[:, 2].mean():.0f}; {1000 * took:.0f} ms a "
                "sentence" + f"; of {counts[:, 4].mean():.0f} hidden right words {lost:.1%} changed" * (args.hide > 0),
                flush=True,
            )


if __name__ == "__main__":
    main()
