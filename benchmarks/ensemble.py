"""What many models at once cost beside one: sixteen against one, through the estimators, on one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.ensemble [--repeats 5] [--members 16] [--clock cpu]

One model and an ensemble are fitted in turn, to the same rows for as many epochs. *Step*: seconds from the second
recorded epoch to the last over the steps between them, validation and all that goes with it included. *Fit*: processor
seconds of the whole call, with reading, recording the tape and fitting a prior to every member's codes. Ratios are
taken within a turn, and their medians are printed as a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from narrows import Autoencoder, Ensemble, Training, networks
from narrows.data import load as load_sample
from narrows.estimators import BaseModel


@dataclass(frozen=True)
class Case:
    """A shape of model and data."""

    name: str
    X: np.ndarray
    widths: tuple[int, ...]
    code: int
    batch: int
    epochs: int

    def model(self) -> Autoencoder:
        """One model, which is never stopped early."""
        training = Training(epochs=self.epochs, patience=self.epochs, batch_size=self.batch, verbose=False)
        return Autoencoder(self.code, network=networks.Dense(self.widths), training=training, random_state=0)


def banknote() -> np.ndarray:
    """1,372 × 4."""
    table = load_sample("banknote").data
    return np.stack([np.asarray(table[name]) for name in table.column_names[:4]], axis=1)


def cases() -> list[Case]:
    """From tiny to wide."""
    rng = np.random.default_rng(0)
    mixed = np.tanh(rng.normal(size=(10_000, 8)) @ rng.normal(size=(8, 30)))
    wide = np.tanh(rng.normal(size=(3_000, 16)) @ rng.normal(size=(16, 784)))
    return [
        Case("4-6-4-2-4-6-4, batch 32", banknote(), (6, 4), 2, 32, 40),
        Case("30-64-16-64-30, batch 128", mixed, (64,), 16, 128, 15),
        Case("784-512-256-32-256-512-784, batch 128", wide, (512, 256), 32, 128, 4),
    ]


def step_seconds(model: BaseModel) -> float:
    """Seconds per step, from the second recorded epoch on."""
    seconds, steps = model.history_["seconds"], model.history_["step"]
    return float((seconds[-1] - seconds[1]) / (steps[-1] - steps[1]))


def turn(case: Case, members: int) -> tuple[float, float, float, float]:
    """Step and processor seconds of one model, then of an ensemble."""
    begun = time.process_time()
    lone = case.model().fit(case.X)
    between = time.process_time()
    ensemble = Ensemble(case.model(), n=members).fit(case.X)
    ended = time.process_time()
    return step_seconds(lone), step_seconds(ensemble.members_[0]), between - begun, ended - between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--only", default="")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: where others use the machine too"
    )
    args = parser.parse_args()
    if args.clock == "cpu":
        time.perf_counter = time.process_time  # what the loop's history tells seconds by
    torch.set_num_threads(1)
    print(f"| model | one, ms a step | {args.members}, ms a step | ratio | ratios of all turns | ratio of whole fits |")
    print("|---|---|---|---|---|---|")
    for case in cases():
        if args.only not in case.name:
            continue
        turn(case, 2)  # what is imported on first use is
        found = np.array([turn(case, args.members) for _ in range(args.repeats)])
        one, many, fit_one, fit_many = found.T
        ratios = many / one
        shown = ", ".join(f"{r:.2f}" for r in sorted(ratios))
        print(
            f"| {case.name} | {1e3 * np.median(one):.2f} | {1e3 * np.median(many):.2f} | {np.median(ratios):.2f} "
            f"| {shown} | {np.median(fit_many / fit_one):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
