"""Log-likelihood of binarised MNIST: importance weighting, priors, and two stochastic layers.

    python -m benchmarks.likelihood --data DIR --out DIR [--models vae,vae@50,…] [--seeds 0,1] [--full]

``DIR`` holds ``mnist/*.gz``. The network is that of the importance-weighted autoencoder's paper: 784-200-200-50, tanh,
Bernoulli; pixels are drawn anew as 0 or 1 at every step, with grey as the probability of white. Reported is −log p(x)
in nats per image, by 5,000 importance samples, on 1,000 test images that were binarised once. The short schedule is for
a CPU: the weight of the divergence grows for a few epochs at first, and ``vae@50`` is ``vae`` trained on by importance
weighting with 50 samples per row, for an epoch. ``--full`` is the paper's (3,280 epochs of batches of 20, all of them
with k samples), for a GPU. Each model is kept in ``--out``, and what is there already is not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

import narrows
from benchmarks.autoencoders import mnist
from narrows import (
    Autoencoder,
    Training,
    bottlenecks,
    corruptions,
    likelihoods,
    networks,
    objectives,
    penalties,
    priors,
)
from narrows.estimators._choose import Choices
from narrows.training import Loop, Player
from narrows.training.loop import trainable

NETWORK = networks.Dense(widths=(200, 200), activation="tanh")
EPOCHS, RATE, BATCH, WARMUP = 30, 1e-3, 32, 3  # higher rates and no warm-up silence units for good
TAIL = {5: (3, 5e-4), 50: (1, 3e-4)}  # of importance weighting with k samples: epochs and learning rate
PRIORS = {
    "vae": None,
    "vamp": priors.VampPrior(components=100),
    "flow": priors.Flow(transforms=4, widths=(100, 100), kind="affine"),
    "mixture": priors.LearnedMixture(components=100),
    "two-layer": priors.Hierarchical(size=50, widths=(100, 100)),
}


def model(name: str, seed: int, training: Training, samples: int | None = None) -> Autoencoder:
    """An untrained model."""
    return Autoencoder(
        100 if name == "two-layer" else 50,
        network=NETWORK,
        bottleneck=bottlenecks.Gaussian(),
        likelihood=likelihoods.Bernoulli(),
        corruption=corruptions.Binarise(),
        prior=PRIORS[name],
        penalties=penalties.KL(warmup=WARMUP),
        objective=objectives.ImportanceWeighted(samples) if samples else objectives.ELBO(),
        training=training,
        random_state=seed,
    )


def go_on(found: Autoencoder, images: np.ndarray, samples: int, epochs: int, rate: float, checkpoint: Path) -> None:
    """Train a fitted model further, by importance weighting."""
    training = found.training.set_params(epochs=epochs, learning_rate=rate, checkpoint=str(checkpoint))
    choices: Choices = dataclasses.replace(found.choices_, objective=objectives.ImportanceWeighted(samples))
    step = choices.step(found.module_.train(), found.format_.layout)
    loop = Loop(step, [Player(step, trainable(found.module_))], training, found.seed_ + samples)
    loop.fit(found.format_.to_rows(images))
    found.module_.eval()


def train(case: str, seed: int, images: np.ndarray, out: Path, full: bool, epochs: int) -> Autoencoder:
    """The fitted model of a case such as ``vae``, ``flow`` or ``vae-50``, which is kept."""
    name, _, number = case.partition("@")
    samples, folder = int(number or 1), out / f"{case}-{seed}"
    if (folder / "model.json").exists():
        return narrows.load(folder)
    checkpoint = out / f"checkpoint-{case}-{seed}"
    training = Training(epochs=epochs, batch_size=BATCH, learning_rate=RATE, validation=0, checkpoint=str(checkpoint))
    if full:
        training = training.set_params(epochs=3280, batch_size=20, learning_rate=1e-3)
    if full or samples == 1:
        found = model(name, seed, training, samples if full else None).fit(images)
    else:
        found = train(name, seed, images, out, full, epochs)
        found.training = training.set_params(precision="bfloat16")
        go_on(found, images, samples, *TAIL[samples], checkpoint)
    found.save(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="vae,vae@50,flow,vamp,mixture,two-layer")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    images, test = mnist(args.data)
    grey = np.random.default_rng(0).permutation(test)[: args.test]
    binary = (np.random.default_rng(1).random(grey.shape) * 255 < grey).astype(np.uint8) * 255
    for seed in map(int, args.seeds.split(",")):
        for case in args.models.split(","):
            result = args.out / f"{case}-{seed}.json"
            start = time.process_time()
            found = train(case, seed, images, args.out, args.full, args.epochs)
            seconds = time.process_time() - start
            if not result.exists():
                nll = -found.log_marginal(binary, args.samples)
                line = {"nll": nll.mean(), "error": nll.std() / len(nll) ** 0.5, "cpu_seconds": seconds}
                result.write_text(json.dumps(line))
            print(case, seed, json.loads(result.read_text()), flush=True)


if __name__ == "__main__":
    main()
