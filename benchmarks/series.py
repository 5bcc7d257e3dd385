"""Series: strange heartbeats, a heartbeat as eight numbers, and forecasts beside simple ones.

    python -m benchmarks.series --data DIR detect --seeds 0,1,2
    python -m benchmarks.series --data DIR code --seeds 0,1,2
    python -m benchmarks.series --data DIR recurrent --seeds 0
    python -m benchmarks.series --data DIR forecast --seeds 0,1,2

``DIR/series`` holds ecg5000.npz, airline-passengers.csv and daily-min-temperatures.csv.

Protocol. *detect*: of the 2,919 normal beats of ECG5000, 60 % by chance are learnt from; the other 40 % and all strange
beats are judged. No label is used in fitting. *code*, *recurrent*: the same beats, brought to 8 numbers and back.
*forecast*: the last part of each series is held out and foretold from eight rolling origins by a model of what came
before; errors are absolute, divided by the mean absolute difference to a season earlier before the origin.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from narrows import AnomalyDetector, Autoencoder, AutoregressiveModel, Training, networks
from narrows.data import Series

LEARNT = 0.6


def beats(data: Path, seed: int) -> tuple[Any, Any, Any]:
    """Normal beats to learn from, beats to judge, and which of these are strange."""
    found = np.load(data / "series" / "ecg5000.npz")
    X, strange = found["X"].astype(np.float64), found["y_anomaly"] == 1
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~strange))
    learnt, held = np.split(order, [int(LEARNT * len(order))])
    return X[learnt], np.concatenate([X[held], X[strange]]), np.repeat([False, True], [len(held), strange.sum()])


def detect(data: Path, seed: int) -> None:
    """AUROC, and alarms at a rate of 1 %."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    train, test, strange = beats(data, seed)
    pca = PCA(8).fit(train)
    residual = ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum(axis=1)
    near = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]
    said(seed, "PCA, 8 components, residual", roc_auc_score(strange, residual))
    said(seed, "distance to the 5th neighbour", roc_auc_score(strange, near))
    coder = Autoencoder(8, format=Series(), training=Training(epochs=30))
    for name, detector in {
        "AnomalyDetector(format=Series())": AnomalyDetector(format=Series(), trim=0.0, random_state=seed),
        "AnomalyDetector(Autoencoder(8))": AnomalyDetector(coder, trim=0.0, random_state=seed),
    }.items():
        start = time.process_time()
        found = detector.fit(train).assess(test, rate=0.01)
        took = time.process_time() - start
        rates = (
            f"alarms {found.alarms[~strange].mean():.2%} of normal, {found.alarms[strange].mean():.1%} of strange beats"
        )
        said(seed, name, roc_auc_score(strange, found.scores), f"{rates}; {took:.0f} s of CPU")


def said(seed: int, name: str, auroc: float, more: str = "") -> None:
    """One line."""
    print(f"seed {seed}  {name:34}  AUROC {auroc:.4f}  {more}", flush=True)


def code(data: Path, seed: int, network: Any = None, name: str = "dense", epochs: int = 30) -> None:
    """Mean squared error of beats that were brought to 8 numbers and back."""
    from sklearn.decomposition import PCA

    train, test, strange = beats(data, seed)
    test = test[~strange]
    pca = PCA(8).fit(train)
    base = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    start = time.process_time()
    model = Autoencoder(8, network=network, format=Series(), training=Training(epochs=epochs), random_state=seed)
    error = ((test - model.fit(train).reconstruct(test)) ** 2).mean()
    took = time.process_time() - start
    print(
        f"seed {seed}  PCA {base:.5f}  {name}, {epochs} epochs {error:.5f}, {error / base:.2f} × PCA's  {took:.0f} s",
        flush=True,
    )


def recurrent(data: Path, seed: int) -> None:
    """The same through a recurrent network, for fewer epochs that take longer."""
    code(data, seed, networks.Recurrent(cell="gru", hidden=64), "GRU of 64", 10)


def forecast(data: Path, seed: int) -> None:
    """Forecasts from rolling origins."""
    import pandas as pd

    for name in ("airline-passengers", "daily-min-temperatures"):
        start = time.process_time()
        model = AutoregressiveModel(random_state=seed).fit(pd.read_csv(data / "series" / f"{name}.csv"))
        found = model.comparison_
        assert found is not None
        errors = "  ".join(f"{who} {error:.3f}" for who, error in found.errors.items())
        took = time.process_time() - start
        print(f"seed {seed}  {name}: season {found.season}, {found.steps} steps, {found.origins} origins: {errors}; "
              f"90 % intervals hold {found.coverage:.0%}; {took:.0f} s of CPU", flush=True)  # fmt: skip


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("what", choices=["detect", "code", "recurrent", "forecast"])
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    for seed in map(int, options.seeds.split(",")):
        {"detect": detect, "code": code, "recurrent": recurrent, "forecast": forecast}[options.what](options.data, seed)


if __name__ == "__main__":
    main()
