"""A denoising autoencoder of words: what it makes of damaged words that it has seen, and of such that it has not.

    python -m benchmarks.denoising_text --data DIR [--seeds 0] [--epochs 25] [--width 96]

DIR holds ptb/ptb.train.txt.gz. Learnt from nine in ten of its words of four letters and more, each once, without their
misspellings; judged on 400 of these and on 400 of the others. A damaged word has one slip: a letter left out, swapped
with the next, or another in its place. Repaired: of the damaged words, those that come back as they were; kept: of the
undamaged, those that stay. Beside: `Corrector`, which has learnt the same words.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from benchmarks.spelling import sentences
from narrows import Corrector, SequenceToSequence
from narrows.training import Training

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def slipped(word: str, rng: np.random.Generator) -> str:
    """The word with one slip, which changes it."""
    while True:
        place, kind = int(rng.integers(len(word))), rng.integers(3)
        rest = word[place + 1 :]
        if kind == 1 and not rest:
            continue
        made = word[:place] + (rest, rest[:1] + word[place] + rest[1:], rng.choice(list(LETTERS)) + rest)[kind]
        if made != word:
            return made


def shares(mend, words: list[str], rng: np.random.Generator) -> dict[str, float]:
    damaged = [slipped(word, rng) for word in words]
    back, same = mend(damaged), mend(words)
    return {
        "repaired": float(np.mean([a == b for a, b in zip(back, words, strict=True)])),
        "kept": float(np.mean([a == b for a, b in zip(same, words, strict=True)])),
        "damaged ones left as they were": float(np.mean([a == b for a, b in zip(back, damaged, strict=True)])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--width", type=int, default=96)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    counts = Counter(w for s in sentences(asked.data / "ptb" / "ptb.train.txt.gz") for w in s.split())
    words = sorted(w for w in counts if len(w) > 3 and set(w) <= set(LETTERS))
    seen = [w for w in words if zlib.crc32(w.encode()) % 10]
    unseen = sorted(set(words) - set(seen))
    for seed in map(int, asked.seeds.split(",")):
        rng, start = np.random.default_rng(seed), time.process_time()
        training = Training(epochs=asked.epochs, batch_size=64, learning_rate=4e-3, verbose=False)
        model = SequenceToSequence(width=asked.width, training=training, random_state=seed).fit(seen)
        took = time.process_time() - start
        corrector = Corrector().fit(seen)
        row = {"seed": seed, "words": len(seen), "cpu_s": round(took, 1)}
        for name, chosen in (("seen", seen), ("unseen", unseen)):
            some = rng.choice(chosen, min(400, len(chosen)), replace=False).tolist()
            row[f"denoiser, {name}"] = shares(model.predict, some, rng)
            row[f"Corrector, {name}"] = shares(corrector.transform, some, rng)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
