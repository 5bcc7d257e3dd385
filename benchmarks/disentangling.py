"""Which autoencoder keeps apart the factors that images were made of: `python -m benchmarks.disentangling`.

Images of a shape (`narrows.data.factor_images`), of which the shape, its size, rotation and place are known. Every
model learns from the images alone; then MIG and DCI say of held-out images whether one code unit follows one factor.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

import narrows
from narrows import Training, bottlenecks, evaluate, networks
from narrows.data import factor_images
from narrows.penalties import DIP, KL, CriticTotalCorrelation, Penalties, TotalCorrelation

CODE = 8
WEIGHED_AT = 32  # pixels of a side at which the weights below are as written


def penalties(scale: float) -> dict[str, Penalties]:
    """Sets of penalties by name, all their weights ``scale`` times as large."""
    kl = KL(weight=scale)
    return {
        "plain VAE": Penalties(kl=kl),
        "β = 4": Penalties(kl=KL(weight=4 * scale)),
        "β = 8": Penalties(kl=KL(weight=8 * scale)),
        "β-TC, 7 more": Penalties(kl=kl, independence=TotalCorrelation(weight=7 * scale)),
        "DIP-I, 50": Penalties(kl=kl, independence=DIP(weight=50 * scale, kind="I")),
        "DIP-II, 50": Penalties(kl=kl, independence=DIP(weight=50 * scale, kind="II")),
        "critic, 10": Penalties(kl=kl, independence=CriticTotalCorrelation(weight=10 * scale)),
    }


def model(name: str, seed: int, epochs: int, side: int) -> Any:
    """An autoencoder with one of the sets of penalties, which weigh as much beside more pixels as beside fewer."""
    return narrows.Autoencoder(
        CODE,
        network=networks.Dense(widths=(256, 128)),
        bottleneck=bottlenecks.Gaussian(),
        likelihood=narrows.likelihoods.Bernoulli(),
        penalties=penalties((side / WEIGHED_AT) ** 2)[name],
        training=Training(epochs=epochs, batch_size=128, learning_rate=1e-3),
        random_state=seed,
    )


def measures(codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    """MIG and DCI."""
    found = evaluate.dci(codes, factors)
    return {
        "mig": evaluate.mutual_information_gap(codes, factors),
        "disentanglement": found.disentanglement,
        "completeness": found.completeness,
        "informativeness": found.informativeness,
    }


def run(name: str, seed: int, rows: int, epochs: int, side: int) -> dict[str, float]:
    """One model of one seed: its measures on held-out images."""
    data = factor_images(rows + 2000, side=side, random_state=1)
    train, test, factors = data.images[:rows], data.images[rows:], data.factors[rows:]
    began = time.perf_counter()
    if name == "PCA":
        pca = PCA(CODE, random_state=seed).fit(train.reshape(rows, -1))
        codes = pca.transform(test.reshape(len(test), -1))
        error = float(((pca.inverse_transform(codes) - test.reshape(len(test), -1)) ** 2).mean() / 255**2)
        return {**measures(codes, factors), "error": error, "seconds": time.perf_counter() - began}
    fitted = model(name, seed, epochs, side).fit(train)
    error = float(((np.asarray(fitted.reconstruct(test), dtype=float) - test) ** 2).mean() / 255**2)
    active = float(fitted.history_["active_units"][-1])
    return {
        **measures(fitted.transform(test), factors),
        "error": error,
        "active": active,
        "seconds": time.perf_counter() - began,
    }


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Means of the seeds, in Markdown, with the least and the most of the MIG."""
    names = ("mig", "disentanglement", "completeness", "informativeness", "error", "active", "seconds")
    lines = ["| Model | " + " | ".join(names) + " | seeds |", "|---" * (len(names) + 2) + "|"]
    for name, runs in results.items():
        cells = []
        for key in names:
            values = [found[key] for found in runs if key in found]
            digits = 4 if key == "error" else 0 if key == "seconds" else 1 if key == "active" else 2
            cell = f"{np.mean(values):.{digits}f}" if values else ""
            cells.append(f"{cell} ({min(values):.2f} to {max(values):.2f})" if key == "mig" else cell)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {len(runs)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing from a file of results, then print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=["PCA", *penalties(1)])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels; one file of results for each")
    parser.add_argument("--print", action="store_true", help="only print what is there")
    given = parser.parse_args()
    results = json.loads(given.results.read_text()) if given.results.exists() else {}
    for seed in range(given.seeds):
        for name in given.models:
            if given.print or (name == "PCA" and seed) or len(results.get(name, [])) > seed:
                continue
            results.setdefault(name, []).append(run(name, seed, given.rows, given.epochs, given.side))
            given.results.write_text(json.dumps(results))
    print(table(results))


if __name__ == "__main__":
    main()
