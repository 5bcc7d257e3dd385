"""Images that models make: how far they are from held-out ones, in features of a small classifier.

    python -m benchmarks.generators_images --results FILE [--data fashion] [--rows ROWS] [--models vae,gan] [--seeds 0]
        [--epochs 30] [--batch ROWS] [--time-budget SECONDS] [--count 1000] [--made FOLDER] [--print]

``--data`` names a sample with classes (fashion, mnist, fashion-mnist). The features are the 64 numbers before the last
layer of a convolutional classifier, trained here once on the training images with a fixed seed: they are this script's
own, so that its distances compare models with each other and with nothing published. Fréchet distance, precision,
recall and coverage are of as many made images as there are held-out ones. "real" are other training images, which show
what could be reached at best; pythae's models are read from ``--made``, where `benchmarks.generators_pythae` left their
images. Training is by one core; a time budget counts the clock's seconds, so where other work runs give ``--epochs``,
and read the processor's seconds in the table. ``--models`` are names of `models`, to which one is added by a line.
Every result is a line of ``FILE`` at once; what is there is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

SEED = 20_251_121


def models() -> dict[str, Callable[..., Any]]:
    """Estimators by name, each made of training settings and a seed."""
    import narrows
    from narrows import adversarial, networks, priors

    dense = networks.Dense(widths=(512,))  # as wide as pythae's

    def gan(**loss: float) -> Callable[..., Any]:
        return lambda **given: narrows.GAN(loss=adversarial.Relativistic(**loss), **given)

    return {
        "vae": lambda **given: narrows.VariationalAutoencoder(16, **given),
        "vae-mixture": lambda **given: narrows.VariationalAutoencoder(16, prior=priors.Mixture(20), **given),
        "vae-conv": lambda **given: narrows.VariationalAutoencoder(16, network=networks.Conv(), **given),
        "autoencoder": lambda **given: narrows.Autoencoder(16, **given),
        "gan": lambda **given: narrows.GAN(**given),
        "gan-r0.1": gan(r1=0.1, r2=0.1),
        "gan-r10": gan(r1=10.0, r2=10.0),
        "gan-non-saturating": lambda **given: narrows.GAN(loss=adversarial.NonSaturating(), **given),
        "moment-matching": lambda **given: narrows.MomentMatching(**given),
        "boltzmann": lambda **given: narrows.Boltzmann(256, **given),
        "diffusion": lambda **given: narrows.Diffusion(**given),
        "latent-diffusion": lambda **given: narrows.LatentDiffusion(16, **given),
        "vae-diffusion": lambda **given: narrows.VariationalAutoencoder(16, prior=priors.Diffusion(), **given),
        "wasserstein": lambda **given: narrows.WassersteinAutoencoder(16, **given),
        "vae-dense": lambda **given: narrows.VariationalAutoencoder(16, network=dense, **given),
        "autoencoder-dense": lambda **given: narrows.Autoencoder(16, network=dense, prior=priors.Mixture(10), **given),
        "wasserstein-dense": lambda **given: narrows.WassersteinAutoencoder(16, network=dense, **given),
        "vae-mixture-dense": lambda **given: narrows.VariationalAutoencoder(
            16, network=dense, prior=priors.Mixture(20), **given
        ),
    }


# --- features --------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Two convolutions, 64 features, one score per class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    x = torch.tensor(np.asarray(images, dtype=np.float32)) / 255
    return x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)


def trained(images: np.ndarray, labels: np.ndarray, epochs: int = 8) -> Classifier:
    """The classifier, always the same one for the same images."""
    torch.manual_seed(SEED)
    x, y = as_tensor(images), torch.tensor(np.asarray(labels, dtype=np.int64))
    model = Classifier(x.shape[1], int(y.max()) + 1)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model.head(model.body(x[part])), y[part]).backward()
            optimiser.step()
    return model.eval()


def features(model: Classifier, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([model.body(part) for part in as_tensor(images).split(500)]).double().numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """‖μ − μ'‖² + tr(Σ + Σ' − 2 (Σ Σ')^½) of two sets of features."""
    first, second = np.cov(a.T), np.cov(b.T)
    # the eigenvalues of Σ Σ' are those of a symmetric matrix, so not negative
    root = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root)


# --- runs ------------------------------------------------------------------------------------------------------


def run(name: str, seed: int, sample: Any, judge: Classifier, asked: argparse.Namespace) -> dict[str, Any]:
    from narrows import Training
    from narrows.evaluate import fidelity

    test = sample.test[: asked.count]
    start, fitted, epochs = time.process_time(), 0.0, 0
    if name == "real":
        made = sample.data[np.random.default_rng(seed).permutation(len(sample.data))[: len(test)]]
    elif asked.made is not None and (asked.made / f"{name}-{seed}.npz").exists():
        with np.load(asked.made / f"{name}-{seed}.npz") as kept:
            made, fitted, epochs = kept["images"][: len(test)], float(kept["fit"]), int(kept["epochs"])
    else:
        training = Training(epochs=asked.epochs, batch_size=asked.batch, time_budget=asked.time_budget, verbose=False)
        model = models()[name](training=training, random_state=seed).fit(sample.data)
        epochs = int(model.history_.rows[-1]["epoch"])
        fitted = time.process_time() - start
        start = time.process_time()
        made = model.sample(len(test), random_state=seed)
    drawn = time.process_time() - start
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(asked.keep / f"{name}-{seed}.npz", images=made, fit=fitted, epochs=epochs)
    real, own = features(judge, test), features(judge, made)
    found = fidelity(real, own)
    return {
        "model": name,
        "seed": seed,
        "data": sample.name,
        "epochs": epochs,
        "frechet": round(frechet(real, own), 3),
        "precision": round(found.precision, 3),
        "recall": round(found.recall, 3),
        "coverage": round(found.coverage, 3),
        "duplicates": round(found.duplicates, 3),
        "fit_seconds": round(fitted, 1),
        "sample_seconds": round(drawn, 2),
    }


def show(lines: list[dict[str, Any]]) -> None:
    print("| model | Fréchet distance | precision | recall | coverage | epochs | seconds of training |")
    print("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(r["model"] for r in lines):
        own = [r for r in lines if r["model"] == name]

        def words(measure: str, own: list[dict[str, Any]] = own) -> str:
            return ", ".join(f"{r[measure]:g}" for r in own)

        measures = ("frechet", "precision", "recall", "coverage", "epochs", "fit_seconds")
        print(f"| {name} | " + " | ".join(words(m) for m in measures) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data", default="fashion")
    parser.add_argument("--rows", type=int, default=None, help="so many of the training images, the first ones")
    parser.add_argument("--models", default="real,vae,vae-mixture,autoencoder,gan")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--time-budget", type=float, default=None)
    parser.add_argument("--made", type=Path, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="where to leave the made images")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--print", action="store_true", dest="show")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    if asked.show:
        show(lines)
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    from narrows import data

    whole = data.load(asked.data)
    sample = dataclasses.replace(whole, data=whole.data[: asked.rows], labels=whole.labels[: asked.rows])
    judge = trained(sample.data, sample.labels)
    done = {(r["model"], r["seed"], r["data"]) for r in lines}
    for seed in map(int, asked.seeds.split(",")):
        for name in asked.models.split(","):
            if (name, seed, sample.name) in done:
                continue
            found = run(name, seed, sample, judge, asked)
            with asked.results.open("a") as file:
                file.write(json.dumps(found) + "\n")
            print(found, flush=True)


if __name__ == "__main__":
    main()
