"""Training speed beside what a user would pick instead: samples per second, time to a fixed error, memory.

    python -m benchmarks.speed --data DIR --torch PYTHON --jax PYTHON [--cases dense,tiny] [--trials 5] [--clock cpu]

``DIR`` holds ``mnist/*.gz``, ``tables/banknote_authentication.csv`` and ``series/ecg5000.npz``. ``PYTHON`` are the
interpreters of the peers' environments (benchmarks/peers-speed.txt). Every contender has a process of its own with one
thread; they take turns, one trial each, so that a busy machine is as bad for all. Same network, same batch, same data,
Adam at 0.001. Prints Markdown tables; what was measured is kept in RESULTS.md. Memory is comparable only where the same
is installed for all (scikit-learn imports pandas, 63 MiB, where it finds it): ``--own PYTHON`` runs narrows in an
environment of its own, which may be that of the peers with narrows' requirements added.

Of the mixed table peers get standardised numbers and ones and zeros for categories, and learn squared errors of both;
narrows gets the table with words in it, and learns cross-entropy for categories. The error of all is the squared one of
numbers and of probabilities, which is what the peers learn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.autoencoders import mnist
from benchmarks.speed_case import LEVELS

PEERS = Path(__file__).with_name("speed_contenders.py")
DENSE = (
    "PyTorch, DataLoader",
    "PyTorch, by index",
    "pythae",
    "PyOD",
    "skorch",
    "Lightning",
    "scikit-learn",
    "Keras, JAX",
    "JAX, scan",
)
CASES: dict[str, dict[str, Any]] = {
    "dense": {"rows": 6_400, "batch": 128, "epochs": 4, "target": 0.03, "peers": DENSE},
    "tiny": {"rows": 1_216, "batch": 32, "epochs": 24, "target": 0.3, "peers": DENSE},
    "conv": {
        "rows": 1_280, "batch": 128, "epochs": 3, "target": 0.06,
        "peers": ("PyTorch, DataLoader", "PyTorch, by index", "pythae", "Keras, JAX"),
    },
    "vae": {
        "rows": 3_840, "batch": 128, "epochs": 4, "target": 0.06,
        "peers": ("PyTorch, DataLoader", "PyTorch, by index", "pythae", "JAX, scan"),
    },
    "wide": {"rows": 50_000, "batch": 128, "epochs": 3, "target": 0.5, "peers": DENSE},
    "mixed": {"rows": 50_000, "batch": 128, "epochs": 3, "target": 0.067, "peers": DENSE},
    "lstm": {
        "rows": 4_500, "batch": 64, "epochs": 3, "target": 0.2,
        "peers": ("PyTorch, DataLoader", "PyTorch, by index", "Keras, JAX"),
    },
}  # fmt: skip


def data(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows of a case, float32."""
    rows = CASES[name]["rows"]
    if name == "tiny":
        table = np.loadtxt(folder / "tables" / "banknote_authentication.csv", delimiter=",", dtype=np.float32)[:, :4]
        table = (table - table.mean(0)) / table.std(0)
        table = table[np.random.default_rng(0).permutation(len(table))]
        return table[:rows], table[rows:]
    if name == "wide":
        rng = np.random.default_rng(0)
        factors = rng.normal(size=(rows + 2_000, 8))
        table = factors @ rng.normal(size=(8, 30)) / 8**0.5 + 0.3 * rng.normal(size=(rows + 2_000, 30))
        return table[:rows].astype(np.float32), table[rows:].astype(np.float32)
    if name == "mixed":
        return mixed(rows)
    if name == "lstm":
        beats = np.load(folder / "series" / "ecg5000.npz")["X"].astype(np.float32)
        beats = beats[np.random.default_rng(0).permutation(len(beats))]
        return beats[:rows], beats[rows:]
    train, test = (images.astype(np.float32) / 255 for images in mnist(folder))
    shape = (1, 28, 28) if name == "conv" else (784,)
    return train[:rows].reshape(-1, *shape), test[:1_000].reshape(-1, *shape)


def mixed(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Made-up rows of 8 factors: 18 numbers, and 12 categories of 2 to 7 levels as ones and zeros beside them."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(rows + 2_000, 8))
    numbers = factors @ rng.normal(size=(8, 18)) / 8**0.5 + 0.3 * rng.normal(size=(rows + 2_000, 18))
    blocks = [(numbers - numbers[:rows].mean(0)) / numbers[:rows].std(0)]
    for levels in LEVELS:
        liking = factors @ rng.normal(size=(8, levels)) + rng.gumbel(size=(rows + 2_000, levels))
        blocks.append(np.eye(levels)[liking.argmax(1)])
    table = np.concatenate(blocks, 1).astype(np.float32)
    return table[:rows], table[rows:]


def products(widths: tuple[int, ...], batch: int, first: bool = True) -> list[Callable[[], Any]]:
    """The matrix products of dense layers, forward and backward; a first layer needs no gradient of its input."""
    import torch

    found: list[Callable[[], Any]] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        x, w, y = torch.randn(batch, a), torch.randn(a, b), torch.randn(batch, b)
        found += [lambda x=x, w=w: torch.mm(x, w), lambda x=x, y=y: torch.mm(x.T, y)]
        if i or not first:
            found.append(lambda y=y, w=w: torch.mm(y, w.T))
    return found


def convolutions(batch: int) -> list[Callable[[], Any]]:
    """The convolutions of the convolutional case, forward and backward, channels last."""
    import torch
    import torch.nn.functional as F

    layers = [(1, 16, 28, 2), (16, 32, 14, 2), (32, 64, 7, 2), (64, 64, 4, 1), (64, 32, 7, 1), (32, 16, 14, 1)]
    found: list[Callable[[], Any]] = []
    for i, (a, b, size, stride) in enumerate([*layers, (16, 1, 28, 1)]):
        x, w = (torch.randn(*s).to(memory_format=torch.channels_last) for s in ((batch, a, size, size), (b, a, 3, 3)))
        y = F.conv2d(x, w, None, stride, 1)
        settings = [b], [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [i > 0, True, False]
        found.append(lambda x=x, w=w, stride=stride: F.conv2d(x, w, None, stride, 1))
        found.append(lambda x=x, w=w, y=y, s=settings: torch.ops.aten.convolution_backward(y, x, w, *s))
    return found


def floor(name: str, clock: str) -> float:
    """Samples per second if only the case's matrix products and convolutions took time, on one thread."""
    import torch

    torch.set_num_threads(1)
    tick = time.process_time if clock == "cpu" else time.perf_counter
    batch = CASES[name]["batch"]
    chains = {
        "dense": [(784, 256, 64, 256, 784)],
        "tiny": [(4, 6, 4, 2, 4, 6, 4)],
        "wide": [(30, 64, 16, 64, 30)],
        "mixed": [(18 + sum(LEVELS), 64, 16, 64, 18 + sum(LEVELS))],
        "vae": [(784, 512, 32), (16, 512, 784)],
        "conv": [(1024, 32), (32, 1024)],
    }[name]
    todo = [one for i, chain in enumerate(chains) for one in products(chain, batch, name != "conv" and i == 0)]
    todo += convolutions(batch) if name == "conv" else []
    repeats = 5 if name == "conv" else 50
    times = []
    for _ in range(10):
        begun = tick()
        for _ in range(repeats):
            for one in todo:
                one()
        times.append((tick() - begun) / repeats)
    return float(batch / statistics.median(times[1:]))


class Worker:
    """A contender's process."""

    def __init__(self, python: str, contender: str, case: str, path: str, clock: str) -> None:
        root = Path(__file__).parent.parent
        env = os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, str(PEERS), contender, case, path, clock],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env,
        )  # fmt: skip

    def trial(self) -> dict[str, Any] | None:
        """One trial; None when the process has died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("trial\n")
            self.process.stdin.flush()
            while line := self.process.stdout.readline():
                if line.startswith("{"):
                    return json.loads(line)  # type: ignore[no-any-return]
        except BrokenPipeError:
            pass
        return None

    def last_words(self) -> str:
        """The last line of what it wrote on the error stream."""
        self.log.seek(0)
        return (self.log.read().strip().splitlines() or ["no message"])[-1]

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def measure(name: str, options: argparse.Namespace) -> dict[str, list[dict[str, Any]] | str]:
    """All trials of a case by contender, or why there are none."""
    case = CASES[name]
    train, validation = data(name, Path(options.data))
    own, jax = ("narrows", "narrows, own schedule"), ("Keras, JAX", "JAX, scan")
    python = dict.fromkeys(own, options.own) | dict.fromkeys(jax, options.jax)
    peers = [n for n in case["peers"] if options.only is None or n in options.only.split(";")]
    names = [*own, *peers]
    results: dict[str, list[dict[str, Any]] | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "data.npz")
        np.savez(path, train=train, validation=validation, batch=case["batch"], epochs=case["epochs"])
        workers = {n: Worker(python.get(n, options.torch), n, name, path, options.clock) for n in names}
        trials: dict[str, list[dict[str, Any]]] = {n: [] for n in names}
        for number in range(options.trials + 1):
            for n, worker in list(workers.items()):
                found = worker.trial()
                if found is None:
                    results[n] = worker.last_words()
                    workers.pop(n).close()
                elif number:  # the first imports and warms up
                    trials[n].append(found)
        for worker in workers.values():
            worker.close()
    return results | {n: trials[n] for n in workers}


def summary(name: str, trials: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over trials: samples per second in the second half of the epochs, seconds to the target, error."""
    case = CASES[name]
    rates, reached = [], []
    size = case["rows"] // case["batch"] * case["batch"]
    for trial in trials:
        seconds = [t for t, _ in trial["seen"]]
        half = len(seconds) // 2 - 1
        rates.append(size * (len(seconds) - 1 - half) / (seconds[-1] - seconds[half]))
        reached.append(next((t for t, error in trial["seen"] if error <= case["target"]), float("inf")))
    return {
        "rate": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "target": statistics.median(reached),
        "memory": max(trial["memory"] for trial in trials),
        "error": statistics.median(trial["seen"][-1][1] for trial in trials),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--torch", required=True, help="interpreter of the environment of PyTorch's peers")
    parser.add_argument("--jax", required=True, help="interpreter of the environment of Keras and JAX")
    parser.add_argument("--own", default=sys.executable, help="interpreter for narrows")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="wall")
    parser.add_argument("--only", help="peers to compare with, separated by semicolons; all when left out")
    parser.add_argument("--raw", help="folder for every trial's figures as JSON")
    options = parser.parse_args()
    for name in options.cases.split(","):
        case = CASES[name]
        found = measure(name, options)
        if options.raw:
            Path(options.raw).mkdir(parents=True, exist_ok=True)
            (Path(options.raw) / f"{name}.json").write_text(json.dumps(found))
        done = {n: summary(name, t) for n, t in found.items() if not isinstance(t, str)}
        own = done["narrows"]
        print(f"\n### {name}: {case['rows']:,} rows, batch {case['batch']}, {case['epochs']} epochs\n")
        print(f"| contender | samples/s (range) | narrows is | seconds to {case['target']} | last error | peak MiB |")
        print("|---|---|---|---|---|---|")
        for n, s in sorted(done.items(), key=lambda pair: -pair[1]["rate"]):
            reached = f"{s['target']:.2f}" if np.isfinite(s["target"]) else "not reached"
            print(
                f"| {n} | {s['rate']:,.0f} ({s['low']:,.0f}–{s['high']:,.0f}) | {own['rate'] / s['rate']:.2f} × | "
                f"{reached} | {s['error']:.4g} | {s['memory']:,.0f} |"
            )
        if name != "lstm":
            bound = floor(name, options.clock)
            reached = f"narrows reaches {own['rate'] / bound:.0%}"
            print(f"\nProducts and convolutions alone: {bound:,.0f} samples/s; {reached}.")
        for n, words in found.items():
            if isinstance(words, str):
                print(f"\n{n}: {words}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
