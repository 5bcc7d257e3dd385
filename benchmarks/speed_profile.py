"""Where the time of training goes: forward and backward pass, optimiser, and the loop around them.

    python -m benchmarks.speed_profile --data DIR [--cases tiny,dense] [--clock cpu]

On one thread, through the estimators' ``fit``, from the third epoch on (steps are replayed by then). "Rest of the step"
is batches, schedule and bookkeeping; "between steps" is order, validation, watched codes, history and snapshots. Timing
itself adds about a microsecond to each part.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import narrows
from benchmarks.speed import CASES, data
from narrows import Training, likelihoods, networks
from narrows.estimators import _base
from narrows.training import loop as loops
from narrows.training.optimisers import FusedAdam
from narrows.training.replay import Gradients

PARTS = {"pass": (Gradients, "__call__"), "optimiser": (FusedAdam, "move"), "step": (loops.Loop, "_step")}


def mixed(rows: int) -> Any:
    """A table of twenty numbers and ten categories."""
    import pandas as pd

    rng = np.random.default_rng(0)
    factors = rng.normal(size=(rows, 6))
    columns: dict[str, Any] = {f"n{i}": factors @ rng.normal(size=6) + 0.3 * rng.normal(size=rows) for i in range(20)}
    for i in range(10):
        noisy = factors[:, i % 6] + 0.3 * rng.normal(size=rows)
        columns[f"c{i}"] = pd.Categorical([f"v{v}" for v in np.digitize(noisy, np.linspace(-2, 2, 3 + i))])
    return pd.DataFrame(columns)


def model(name: str, folder: Path) -> tuple[Any, Any, int]:
    """Estimator, data and epochs of a case."""
    settings = {"validation": 0.1, "batch_size": CASES.get(name, {"batch": 128})["batch"]}
    likelihood = likelihoods.Gaussian(scale=1.0)
    if name == "mixed":
        return narrows.Autoencoder(8, training=Training(**settings)), mixed(10_000), 5
    X, _ = data(name, folder)
    if name == "tiny":
        network = networks.Dense((6, 4), activation="tanh")
        return narrows.Autoencoder(2, network=network, likelihood=likelihood, training=Training(**settings)), X, 30
    images = np.round(X.reshape(-1, 28, 28) * 255).astype(np.uint8)
    kind: Any = narrows.VariationalAutoencoder if name == "vae" else narrows.Autoencoder
    dense = networks.Dense((512,) if name == "vae" else (256,), activation="relu")
    network: Any = networks.Conv((16, 32, 64), activation="relu") if name == "conv" else dense
    size, epochs = {"dense": (64, 6), "vae": (16, 6), "conv": (32, 12)}[name]
    likelihood = likelihoods.Bernoulli() if name == "vae" else likelihood
    return kind(size, network=network, likelihood=likelihood, training=Training(**settings)), images, epochs


def timed(kind: type, name: str, sums: dict[str, float], part: str, tick: Callable[[], float]) -> None:
    """Let a method add up the time that it takes."""
    method = getattr(kind, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        begun = tick()
        result = method(*args, **kwargs)
        sums[part] += tick() - begun
        sums[f"{part}s"] += 1
        return result

    setattr(kind, name, wrapped)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cases", default="tiny,dense,vae,conv,mixed")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tick = time.process_time if options.clock == "cpu" else time.perf_counter
    sums: dict[str, float] = defaultdict(float)
    for part, (kind, name) in PARTS.items():
        timed(kind, name, sums, part, tick)
    marks: list[tuple[float, dict[str, float]]] = []

    class Marked(loops.Loop):
        def _record(self) -> bool:
            stop = super()._record()
            marks.append((tick(), dict(sums)))
            return stop

    _base.Loop = Marked  # type: ignore[misc]
    print("| case | µs per step | forward and backward | optimiser | rest of the step | between steps |")
    print("|---|---|---|---|---|---|")
    for name in options.cases.split(","):
        estimator, X, epochs = model(name, Path(options.data))
        marks.clear()
        estimator.set_params(training__epochs=epochs, random_state=0).fit(X)
        after = next(i for i, (_, seen) in enumerate(marks) if seen["steps"] - marks[0][1]["steps"] > 60)
        (begun, first), (ended, last) = marks[after], marks[-1]
        spent = {part: last[part] - first[part] for part in (*PARTS, "steps")}
        whole = ended - begun
        shares = (
            spent["pass"],
            spent["optimiser"],
            spent["step"] - spent["pass"] - spent["optimiser"],
            whole - spent["step"],
        )
        row = " | ".join(f"{share / whole:.1%}" for share in shares)
        print(f"| {name} | {whole / spent['steps'] * 1e6:,.0f} | {row} |", flush=True)


if __name__ == "__main__":
    main()
