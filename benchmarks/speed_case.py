"""What all contenders of the speed benchmark share: the case, and the watch that times them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RATE = 1e-3
LEVELS = (2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7)  # categories of the mixed table's last twelve columns
PLACES = 8  # pairs of waves that tell a recurrent decoder where in the series it is, as narrows has them
Predict = Callable[[np.ndarray], np.ndarray]


class Finished(Exception):
    """The last epoch is over: leave the contender's own loop."""


class Watch:
    """Notes seconds and validation error after every epoch; the clock stands still meanwhile."""

    def __init__(self, validation: np.ndarray, epochs: int, clock: Callable[[], float]) -> None:
        self.validation, self.epochs, self.clock = validation, epochs, clock
        self.seen: list[tuple[float, float]] = []
        self.begun = clock()

    def __call__(self, predict: Predict) -> None:
        """An epoch is over."""
        now = self.clock()
        shape = self.validation.shape
        error = float(((np.asarray(predict(self.validation)).reshape(shape) - self.validation) ** 2).mean())
        self.seen.append((now - self.begun, error))
        self.begun += self.clock() - now
        if len(self.seen) == self.epochs:
            raise Finished


class Case:
    """Data and network of a case."""

    def __init__(self, name: str, path: str) -> None:
        with np.load(path) as data:
            self.train, self.validation = data["train"], data["validation"]
            self.batch, self.epochs = int(data["batch"]), int(data["epochs"])
        self.name = name
        self.images, self.pixels = name == "conv", name in ("conv", "dense", "vae")
        self.activation = "tanh" if name == "tiny" else "relu"
        # hidden widths of the encoder, then the code
        self.widths = {
            "dense": (256, 64), "tiny": (6, 4, 2), "vae": (512, 16), "conv": (32,), "wide": (64, 16),
            "mixed": (64, 16), "lstm": (32, 8),
        }[name]  # fmt: skip


def places(steps: int) -> np.ndarray:
    """Where each step of a series is: ``(steps, 16)`` sines and cosines of 2 steps to twice the series."""
    waves = 2 * steps ** (np.arange(PLACES) / (PLACES - 1))
    angle = (np.arange(steps) + 0.25)[:, None] * (2 * np.pi / waves)
    return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)
