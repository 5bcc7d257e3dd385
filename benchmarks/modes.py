"""Which losses keep all modes: GANs on eight Gaussians on a ring.

    python -m benchmarks.modes [--losses relativistic,non-saturating] [--seeds 0] [--steps 3000]

4,000 points, radius 2, standard deviation 0.05. A made point is good within four standard deviations of a centre; a
mode is kept when at least 3 % of all made points lie there. Everything else is as `narrows.GAN` comes. One JSON object
per line.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

MODES, RADIUS, SPREAD, ROWS = 8, 2.0, 0.05, 4000


def centres() -> np.ndarray:
    angle = 2 * np.pi * np.arange(MODES) / MODES
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1)


def run(loss: str, seed: int, steps: int) -> dict[str, object]:
    from narrows import GAN, Training
    from narrows.adversarial import AdversarialLoss

    rng = np.random.default_rng(seed)
    X = centres()[rng.integers(0, MODES, ROWS)] + SPREAD * rng.normal(size=(ROWS, 2))
    training = Training(epochs=max(1, steps * 128 // ROWS), batch_size=128, validation=0.0, verbose=False)
    start = time.process_time()
    model = GAN(loss=AdversarialLoss.parse(loss), training=training, random_state=seed).fit(X)
    seconds = time.process_time() - start
    distance = np.linalg.norm(model.sample(4000, random_state=0)[:, None] - centres(), axis=2)
    good = distance.min(1) < 4 * SPREAD
    shares = np.bincount(distance.argmin(1)[good], minlength=MODES) / len(good)
    return {
        "loss": loss,
        "seed": seed,
        "steps": int(model.history_.rows[-1]["step"]),
        "good": round(float(good.mean()), 3),
        "modes": int((shares > 0.03).sum()),
        "shares": shares.round(3).tolist(),
        "seconds": round(seconds, 1),
        "diagnosis": model.history_.diagnose(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", default="relativistic,non-saturating,minimax,hinge,wasserstein")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=3000)
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for seed in map(int, asked.seeds.split(",")):
        for loss in asked.losses.split(","):
            print(json.dumps(run(loss, seed, asked.steps), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
