"""What training and encoding cost as a table grows: in rows, in columns, in numbers per code.

    python -m benchmarks.scaling [--rows 1000,10000,100000] [--columns 10,100,1000] [--codes 2,16,128] [--clock cpu]

Rows are normal with eight factors. Everything is as it comes but for one epoch and one thread. "Slope" is the slope
between a line and the one before it when both cost and size are logarithms: 1 is linear, 0 costs nothing more. Prints
Markdown tables; what was measured is kept in RESULTS.md.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

import narrows
from narrows import Training


def table(rows: int, columns: int) -> np.ndarray:
    """Normal rows with eight factors and a little noise, float32."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((8, columns), dtype=np.float32) / np.float32(8**0.5)
    X = rng.standard_normal((rows, 8), dtype=np.float32) @ mixing
    X += np.float32(0.3) * rng.standard_normal((rows, columns), dtype=np.float32)
    return X


def cost(rows: int, columns: int, code: int, tick: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Least seconds of ``fit`` with one epoch, and of ``transform``."""
    X = table(rows, columns)
    fits, encodings = [], []
    for _ in range(repeats):
        model = narrows.Autoencoder(code, training=Training(epochs=1, batch_size=128), random_state=0)
        begun = tick()
        model.fit(X)
        fits.append(tick() - begun)
        begun = tick()
        model.transform(X)
        encodings.append(tick() - begun)
    return min(fits), min(encodings)


def series(what: str, sizes: Sequence[int], measure: Callable[[int], tuple[float, float]]) -> None:
    """Print one table."""
    print(f"\n| {what} | fit, s | slope | transform, s | slope | peak MiB |\n|---|---|---|---|---|---|")
    before: tuple[int, float, float] | None = None
    for size in sizes:
        fit, encode = measure(size)
        slopes = ["", ""]
        if before is not None:
            by = math.log(size / before[0])
            slopes = [f"{math.log(new / old) / by:.2f}" for new, old in ((fit, before[1]), (encode, before[2]))]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {size:,} | {fit:.3f} | {slopes[0]} | {encode:.3f} | {slopes[1]} | {memory:,.0f} |", flush=True)
        before = size, fit, encode


def numbers(text: str) -> list[int]:
    """Whole numbers, separated by commas."""
    return [int(float(word)) for word in text.split(",")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=numbers, default="1e3,1e4,1e5,1e6,1e7")
    parser.add_argument("--columns", type=numbers, default="10,100,1000,10000")
    parser.add_argument("--codes", type=numbers, default="2,8,32,128,512")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tick = time.process_time if options.clock == "cpu" else time.perf_counter
    cost(1_000, 10, 2, tick, 1)  # imports and first calls
    n = options.repeats
    series("rows (10 columns, code 4)", options.rows, lambda rows: cost(rows, 10, 4, tick, n))
    series("columns (2,000 rows, code 4)", options.columns, lambda columns: cost(2_000, columns, 4, tick, n))
    series(
        "numbers per code (2,000 rows, 1,000 columns)", options.codes, lambda code: cost(2_000, 1_000, code, tick, n)
    )


if __name__ == "__main__":
    main()
