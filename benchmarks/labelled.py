"""Rows of a class: how often a classifier agrees with the class that was asked for.

    python -m benchmarks.labelled --data DIR [--seeds 0,1]

``DIR`` holds ``mnist/*.gz``. A variational autoencoder whose prior is a mixture for every digit learns the 60,000
training images with their labels; then 200 images of each digit are asked for (``where="label = 3"``). A small
convolutional classifier, trained on the same images and measured on the 10,000 test images first, says what it takes
them for. The mixtures are fitted to the codes afterwards, or learnt
with the model.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.autoencoders import idx, mnist
from narrows import Training, VariationalAutoencoder, likelihoods, networks, priors

ASKED = 200  # images of each digit
KINDS = {"fitted": priors.Mixture, "learned": priors.LearnedMixture}
CODE, COMPONENTS, EPOCHS = 12, 10, 10


def labels(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The digits of the training and test images."""
    train, test = (
        idx(folder / "mnist" / f"{name}-labels-idx1-ubyte.gz").reshape(-1).astype(int) for name in ("train", "t10k")
    )
    return train, test


def tensor(images: np.ndarray) -> torch.Tensor:
    """Images as the classifier takes them."""
    return torch.as_tensor(np.asarray(images, dtype=np.float32) / 255).reshape(-1, 1, 28, 28)


def classifier(images: np.ndarray, digits: np.ndarray, epochs: int = 2, seed: int = 0) -> nn.Module:
    """A small convolutional network, trained."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = tensor(images), torch.as_tensor(digits)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    steps = epochs * (len(x) // 100)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        if step % (len(x) // 100) == 0:
            batches = torch.randperm(len(x)).split(100)
        rows = batches[step % (len(x) // 100)]
        loss = F.cross_entropy(net(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def taken_for(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """What the classifier takes images for."""
    return torch.cat([net(part).argmax(1) for part in tensor(images).split(1000)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--components", type=int, default=COMPONENTS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--kinds", default="fitted,learned")
    parser.add_argument("--classifier-epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=60_000, help="training images for the autoencoder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    (train, test), (digits, test_digits) = mnist(args.data), labels(args.data)
    net = classifier(train, digits, epochs=args.classifier_epochs)
    print(f"classifier: {(taken_for(net, test) == test_digits).mean():.2%} of test images", flush=True)
    for seed in map(int, args.seeds.split(",")):
        for kind in (KINDS[name] for name in args.kinds.split(",")):
            components = args.components
            start = time.process_time()
            model = VariationalAutoencoder(
                CODE,
                prior=kind(components),
                network=networks.Dense(widths=(400, 200)),
                likelihood=likelihoods.Bernoulli(),
                training=Training(epochs=args.epochs, learning_rate=2e-3, validation=0),
                random_state=seed,
            ).fit(train[: args.rows], labels=digits[: args.rows])
            seconds = time.process_time() - start
            agreed = [
                (taken_for(net, model.sample(ASKED, where=f"label = {digit}", random_state=seed)) == digit).mean()
                for digit in range(10)
            ]
            print(
                f"seed {seed}, {kind.__name__}, {components} Gaussians per digit: {np.mean(agreed):.1%} of "
                f"{10 * ASKED} images, worst "
                f"digit {int(np.argmin(agreed))} {min(agreed):.1%}; {model.prior_gap(test).sentence()} "
                f"({seconds:.0f} CPU s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
