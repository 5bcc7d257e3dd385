"""Log-likelihood of binarised images: importance weighting, priors, and two stochastic layers.

    python -m benchmarks.likelihood [--data DIR] --out DIR [--models vae,vae@50,…] [--seeds 0,1] [--full]

``DIR`` holds ``mnist/*.gz``; without it, scikit-learn's 8 × 8 digits take MNIST's place, for a look that costs minutes
(64-64-10, 397 test images). The network for MNIST is that of the importance-weighted autoencoder's paper,
784-200-200-50, Bernoulli; pixels are drawn anew as 0 or 1 at every step, with grey as the probability of white. The
paper's units are tanh; in a short schedule they learn so much slower than silu (six epochs: 111 against 95 nats of
held-out training images at the same rate) that only ``--full`` has them.
Reported is −log p(x) in nats per image, by 5,000 importance samples, on 1,000 test images that were binarised once. The
short schedule is for a CPU: the weight of the divergence grows for a few epochs at first, and ``vae@50`` is ``vae``
trained on by importance weighting with 50 samples per row. ``--full`` is the paper's (3,280 epochs of batches of 20,
all of them with k samples), for a GPU. Each model is kept in ``--out``, and what is there is not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits

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


@dataclasses.dataclass(frozen=True)
class Setting:
    """A data set's network and schedule.

    Attributes:
        widths: Hidden widths.
        code: Numbers per code.
        epochs: Of training, in batches of ``batch`` rows at ``rate``.
        warmup: Epochs over which the divergence's weight grows; without, units fall silent for good.
        tail: Epochs of importance weighting, at ``tail_rate``.
        activation: Of the hidden units, in the short schedule.
    """

    widths: tuple[int, ...]
    code: int
    epochs: int
    batch: int
    rate: float
    warmup: int
    tail: int
    tail_rate: float
    activation: Literal["tanh", "silu"]

    def prior(self, name: str) -> priors.Prior | None:
        """What codes look like, by the name of a case."""
        half = self.widths[-1] // 2
        return {
            "vae": None,
            "vamp": priors.VampPrior(components=100),
            "flow": priors.Flow(transforms=4, widths=(2 * half, half), kind="affine"),
            "mixture": priors.LearnedMixture(components=100 if self.code > 10 else 20),
            "two-layer": priors.Hierarchical(size=self.code, widths=(half, half)),
        }[name]


MNIST = Setting((200, 200), 50, 30, 32, 2e-3, 1, 2, 5e-4, "silu")
DIGITS = Setting((64, 64), 10, 150, 50, 3e-3, 20, 30, 1e-3, "tanh")


def images_of(data: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Training images, and test images in an order of their own."""
    if data is not None:
        train, test = mnist(data)
        return train, np.random.default_rng(0).permutation(test)
    digits = np.random.default_rng(0).permutation((load_digits().images / 16 * 255).astype(np.uint8))
    return digits[:1400], digits[1400:]


def model(
    name: str, setting: Setting, seed: int, training: Training, samples: int | None = None, full: bool = False
) -> Autoencoder:
    """An untrained model."""
    return Autoencoder(
        (2 if name == "two-layer" else 1) * setting.code,
        network=networks.Dense(widths=setting.widths, activation="tanh" if full else setting.activation),
        bottleneck=bottlenecks.Gaussian(),
        likelihood=likelihoods.Bernoulli(),
        corruption=corruptions.Binarise(),
        prior=setting.prior(name),
        penalties=penalties.KL(warmup=setting.warmup),
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


def train(case: str, setting: Setting, seed: int, images: np.ndarray, out: Path, full: bool) -> Autoencoder:
    """The fitted model of a case such as ``vae``, ``flow`` or ``vae@50``, which is kept."""
    name, _, number = case.partition("@")
    samples, folder = int(number or 1), out / f"{case}-{seed}"
    if (folder / "model.json").exists():
        return narrows.load(folder)
    checkpoint = out / f"checkpoint-{case}-{seed}"
    training = Training(
        epochs=3280 if full else setting.epochs,
        batch_size=20 if full else setting.batch,
        learning_rate=1e-3 if full else setting.rate,
        validation=0,
        checkpoint=str(checkpoint),
    )
    if full or samples == 1:
        found = model(name, setting, seed, training, samples if full else None, full).fit(images)
    else:
        found = train(name, setting, seed, images, out, full)
        found.training = training.set_params(precision="bfloat16")
        go_on(found, images, samples, setting.tail, setting.tail_rate, checkpoint)
    found.save(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="without it, scikit-learn's digits")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="vae,vae@50,flow,vamp,mixture,two-layer")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    setting = DIGITS if args.data is None else MNIST
    images, test = images_of(args.data)
    grey = test[: args.test]
    binary = (np.random.default_rng(1).random(grey.shape) * 255 < grey).astype(np.uint8) * 255
    for seed in map(int, args.seeds.split(",")):
        for case in args.models.split(","):
            result = args.out / f"{case}-{seed}.json"
            start = time.process_time()
            found = train(case, setting, seed, images, args.out, args.full)
            seconds = time.process_time() - start
            if not result.exists():
                nll = -found.log_marginal(binary, args.samples)
                gap = found.prior_gap(test)
                line = {"nll": nll.mean(), "error": nll.std() / len(nll) ** 0.5, "cpu_seconds": seconds}
                line |= {"gap": [gap.least.value, gap.most.value], "units": found.history_.rows[-1]["active_units"]}
                result.write_text(json.dumps(line))
            print(case, seed, json.loads(result.read_text()), flush=True)


if __name__ == "__main__":
    main()
