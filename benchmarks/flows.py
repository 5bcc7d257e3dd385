"""Densities of flows: ours beside zuko's own training loop, on the same rows with the same flow.

    python -m benchmarks.flows --data DIR --results FILE [--sets moons,rings,abalone] [--seeds 0,1,2] [--print]

``DIR`` holds ``tables/*.csv``. Two-dimensional toys (one of them with a curved ridge and a spread that varies, as in
the POWER data) and the numbers of three UCI tables, which are made continuous by noise as wide as their steps, as that
protocol has it. Both train zuko's neural spline flow (coupling, 5 transforms, 8 bins, two layers of 128) with Adam on
batches of the same size for as many steps, hold a tenth out, keep the best weights, and are judged by the mean
log-density of test rows, a fifth, in nats per row of standardised columns. A multivariate normal is the classical
baseline. Of toys the integral over a grid says whether the density is one. Every result is a line of ``FILE`` at once;
what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np

SETS = ("ridge", "moons", "rings", "banknote", "abalone", "winequality-red")
STEPS, RATE = 1500, 2e-3


def rows(name: str, folder: Path) -> np.ndarray:
    """``(n, d)`` rows, columns standardised."""
    rng = np.random.default_rng(0)
    n = 4000
    if name == "ridge":
        a = rng.gamma(2.0, 1.0, n)
        X = np.stack([a, np.sin(2 * a) + (0.05 + 0.15 * a) * rng.normal(size=n)], 1)
    elif name == "moons":
        from sklearn.datasets import make_moons

        X = make_moons(n, noise=0.08, random_state=0)[0]
    elif name == "rings":
        angle, radius = rng.uniform(0, 2 * np.pi, n), rng.choice([1.0, 2.0, 3.0], n)
        radius = radius + 0.08 * rng.normal(size=n)
        X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    else:
        import pandas as pd

        files = {"banknote": "banknote_authentication.csv"}
        frame = pd.read_csv(folder / "tables" / files.get(name, f"{name}.csv"), header=None)
        if name == "banknote":
            frame = frame.iloc[:, :4]
        X = frame.select_dtypes("number").to_numpy(float)
        for column in X.T:  # a fresh copy is written into, column by column
            column += np.diff(np.unique(column)).min() * rng.uniform(-0.5, 0.5, len(X))
    X = rng.permutation(X)
    return (X - X.mean(0)) / X.std(0)


def ours(train: np.ndarray, batch: int, epochs: int, seed: int):
    """`narrows.Flow`: log-density of standardised rows, and seconds."""
    from narrows import Flow, Training
    from narrows.data import Table

    # no early stopping: the other loop has none either, and both keep the weights that were best on held-out rows
    training = Training(epochs=epochs, patience=epochs, batch_size=batch, learning_rate=RATE, verbose=False)
    model = Flow(dequantise=False, format=Table(scaling="none"), training=training, random_state=seed)
    return model.fit(train).score_samples


def zukos(train: np.ndarray, batch: int, epochs: int, seed: int):
    """The loop of zuko's tutorial, with a held-out tenth to keep the best weights by."""
    import copy

    import torch
    import zuko

    torch.manual_seed(seed)
    x = torch.tensor(train, dtype=torch.float32)[torch.randperm(len(train))]
    held, x = x[: len(x) // 10], x[len(x) // 10 :]
    flow = zuko.flows.NSF(x.shape[1], 0, transforms=5, bins=8, hidden_features=(128, 128), passes=2)
    optimiser = torch.optim.Adam(flow.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * (len(x) // batch))
    best, kept = math.inf, None
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(batch):
            if len(part) < batch:
                continue
            optimiser.zero_grad()
            (-flow().log_prob(x[part]).mean()).backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            loss = float(-flow().log_prob(held).mean())
        if loss < best:
            best, kept = loss, copy.deepcopy(flow.state_dict())
    flow.load_state_dict(kept)

    def density(new: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = torch.tensor(new, dtype=torch.float32).split(8192)
            return torch.cat([flow().log_prob(p) for p in parts]).double().numpy()

    return density


def normal(train: np.ndarray, batch: int, epochs: int, seed: int):
    """A multivariate normal."""
    from scipy.stats import multivariate_normal

    return multivariate_normal(train.mean(0), np.cov(train.T)).logpdf


METHODS = {"normal": normal, "zuko": zukos, "narrows": ours}


def run(name: str, method: str, seed: int, folder: Path) -> dict[str, object]:
    X = rows(name, folder)
    held = len(X) // 5
    test, train = X[:held], X[held:]
    batch = 128
    epochs = max(1, STEPS // (len(train) * 9 // 10 // batch))
    start = time.process_time()
    density = METHODS[method](train, batch, epochs, seed)
    seconds = time.process_time() - start
    found: dict[str, object] = {"set": name, "method": method, "seed": seed, "seconds": round(seconds, 1)}
    found["nats"] = float(np.mean(density(test)))
    found["columns"], found["rows"] = X.shape[1], len(train)
    if X.shape[1] == 2:
        line = np.linspace(-6, 8, 500)
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        found["integral"] = float(np.exp(density(grid)).sum() * (line[1] - line[0]) ** 2)
    return found


def show(lines: list[dict[str, object]]) -> None:
    print("| rows | columns | normal | zuko's loop | narrows | difference | integral | seconds, zuko / narrows |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(str(r["set"]) for r in lines):
        own = {m: [r for r in lines if r["set"] == name and r["method"] == m] for m in METHODS}
        nats = {m: np.array([r["nats"] for r in sorted(found, key=lambda r: r["seed"])]) for m, found in own.items()}
        words = {
            m: f"{v.mean():.3f} ± {v.std(ddof=1):.3f}" if len(v) > 1 else f"{v.mean():.3f}" for m, v in nats.items()
        }
        gap = nats["narrows"] - nats["zuko"]
        whole = ", ".join(f"{r['integral']:.3f}" for r in own["narrows"] if "integral" in r)
        seconds = " / ".join(f"{np.mean([r['seconds'] for r in own[m]]):.0f}" for m in ("zuko", "narrows"))
        first = own["narrows"][0]
        print(
            f"| {name}, {first['rows']:,} | {first['columns']} | {nats['normal'].mean():.3f} | {words['zuko']} | "
            f"{words['narrows']} | {gap.mean():+.3f} | {whole} | {seconds} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--print", action="store_true", dest="show")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    if asked.show:
        show(lines)
        return
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    done = {(r["set"], r["method"], r["seed"]) for r in lines}
    for seed in map(int, asked.seeds.split(",")):
        for name in asked.sets.split(","):
            for method in METHODS:
                if (name, method, seed) in done or (method == "normal" and seed):
                    continue
                found = run(name, method, seed, asked.data)
                with asked.results.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                print(found, flush=True)


if __name__ == "__main__":
    main()
