"""Generators on scikit-learn's digits (8 × 8): samples against held-out images, classes asked for.

    python -m benchmarks.digits

Prints one Markdown table: Fréchet distance in pixels, precision, recall and coverage against 497 held-out images (as
many are made), and how often three nearest held-out images agree with the class that was asked for. One seed, one
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import narrows
from narrows import Training, priors
from narrows.evaluate import fidelity

TRAINING = Training(epochs=60)
MODELS: dict[str, Callable[[], Any]] = {
    "VAE, β = 1, N(0, I)": lambda: narrows.VariationalAutoencoder(16, training=TRAINING, random_state=0),
    "VAE, β = 0.01, N(0, I)": lambda: narrows.VariationalAutoencoder(16, beta=0.01, training=TRAINING, random_state=0),
    "VAE, β = 0.01, ten Gaussians": lambda: narrows.VariationalAutoencoder(
        16, beta=0.01, prior=priors.Mixture(), training=TRAINING, random_state=0
    ),
    "LatentDiffusion, β = 0.01": lambda: narrows.LatentDiffusion(16, training=TRAINING, random_state=0),
    "Diffusion": lambda: narrows.Diffusion(training=TRAINING, random_state=0),
}


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two sets of points ``(n, d)``, as if both were normal."""
    ca, cb = np.cov(a.T), np.cov(b.T)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real))


def main() -> None:
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1300], order[1300:]
    images, held = X.reshape(-1, 8, 8), X[test] / 16
    judge = KNeighborsClassifier(3).fit(X[test], y[test])

    def line(name: str, made: np.ndarray, agree: float, seconds: float) -> str:
        found = fidelity(held, made)
        figures = [frechet(made, held), found.precision, found.recall, found.coverage]
        asked = "" if np.isnan(agree) else f"{agree:.3f}"
        return f"| {name} | {' | '.join(f'{f:.3f}' for f in figures)} | {asked} | {seconds:.0f} |"

    print("| generator | Fréchet distance | precision | recall | coverage | class as asked | CPU s |")
    print("|---|---|---|---|---|---|---|")
    print(line("training images", X[train[:497]] / 16, judge.score(X[train], y[train]), 0))
    for name, make in MODELS.items():
        start = time.process_time()
        model = make().fit(images[train], labels=y[train])
        made = model.sample(497, random_state=0).reshape(-1, 64) / 16
        seconds, agree = time.process_time() - start, float("nan")
        if model.module_.conditional:
            drawn = [model.sample(40, where=f"label = {c}", random_state=1).reshape(-1, 64) for c in range(10)]
            agree = float(np.mean([judge.predict(rows) == c for c, rows in enumerate(drawn)]))
        print(line(name, made, agree, seconds), flush=True)


if __name__ == "__main__":
    main()
