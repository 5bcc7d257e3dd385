"""Teach a small language model what is better: texts without a word, by direct preference optimisation.

A model of made-up weather reports says "very" now and then. From pairs of its own reports, of which one has the word
and one does not, it learns to do without; what that costs is how far it moves away from the reports it was taught.

    python examples/preferences.py
"""

from __future__ import annotations

import numpy as np

from narrows import LanguageModel, networks
from narrows.estimators import drift, prefer
from narrows.training import Training

WORD = "very"
PLACES = ["basel", "bern", "chur", "zug", "thun", "sion", "davos", "aarau"]
SKIES = ["cold", "warm", "wet", "dry", "bright", "dark"]


def reports(n: int, seed: int) -> list[str]:
    """Weather reports, every other one with the word."""
    rng = np.random.default_rng(seed)

    def one() -> str:
        place, a, b = rng.choice(PLACES), rng.choice(SKIES), rng.choice(SKIES)
        words = [f"{WORD} " if rng.random() < 0.3 else "" for _ in range(2)]
        return f"in {place} it is {words[0]}{a} today and {words[1]}{b} tomorrow."

    return [one() for _ in range(n)]


def said(model: LanguageModel, prompts: list[str], seed: int) -> list[str]:
    """What a model writes after each prompt."""
    return [model.generate(p, length=12, random_state=1000 * seed + i) for i, p in enumerate(prompts)]


def main() -> None:
    training = Training(epochs=12, learning_rate=5e-3, batch_size=16)
    model = LanguageModel(networks.Recurrent(hidden=48), tokens="words", training=training, random_state=0)
    model.fit(reports(600, 0))
    pairs = []
    for seed in range(6):  # the model's own texts, so that nothing else is taught on the way
        prompts = [f"in {place} it is" for place in PLACES[:6] for _ in range(8)]
        one, two = said(model, prompts, 2 * seed), said(model, prompts, 2 * seed + 1)
        pairs += [
            (p, *sorted(ab, key=lambda t: WORD in t))
            for p, *ab in zip(prompts, one, two, strict=True)
            if (WORD in ab[0]) != (WORD in ab[1])
        ]
    tuned = prefer(model, pairs, beta=0.1, random_state=0)
    held = [f"in {place} it is" for place in PLACES[6:] for _ in range(50)]
    before, after = (np.mean([WORD in text for text in said(m, held, 99)]) for m in (model, tuned))
    free = [report for report in reports(200, 1) if WORD not in report]
    print(f"{len(pairs)} pairs; prompts with places that were in no pair:")
    print(f"texts with {WORD!r}: {before:.0%} before, {after:.0%} after")
    costs = model.perplexity(free), tuned.perplexity(free)
    print(f"perplexity of held-out reports without it: {costs[0]:.2f} before, {costs[1]:.2f} after")
    print(f"drift: {drift(tuned, model, held[:100], 12, random_state=0):.3f} nats per token")
    assert after < before / 1.5
    assert costs[1] < 1.2 * costs[0]


if __name__ == "__main__":
    main()
