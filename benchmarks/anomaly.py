"""Strange rows of the ADBench sets: AUROC and average precision, beside classical detectors and PyOD's.

    python -m benchmarks.anomaly --data DIR [--settings normals,contaminated] [--seeds 0,1,2,3,4]
        [--methods narrows,untrained,knn,…] [--sets cardio,…] [--keep results.csv]

``DIR`` holds ``adbench/*.npz``. Sets over 50,000 rows are cut to 50,000 by chance. *Normals*: a random half of the
normal rows trains, the rest and all anomalies test. *Contaminated*: a random half of the normal rows and of the
anomalies trains, without labels, and the other halves test. Everything is scaled by mean and standard deviation of the
training rows. What is measured is kept in ``--keep`` as it comes, and not measured again; tables are printed of all
that is there. PyOD's detectors need ``pip install pyod``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

MOST = 50_000
PYOD = {"pyod-ae": "auto_encoder.AutoEncoder", "pyod-vae": "vae.VAE", "pyod-svdd": "deep_svdd.DeepSVDD"}
PYOD["ecod"] = "ecod.ECOD"
METHODS = ("narrows", "untrained", "knn", "iforest", "lof", "ocsvm", "pca", *PYOD)


def halves(path: Path, seed: int, contaminated: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows and test labels (1: anomaly), scaled by the training rows."""
    with np.load(path) as file:
        x, y = file["X"].astype(np.float32), file["y"].astype(int)
    rng = np.random.default_rng(seed)
    if len(x) > MOST:
        kept = rng.permutation(len(x))[:MOST]
        x, y = x[kept], y[kept]
    normal, strange = (rng.permutation(np.flatnonzero(y == label)) for label in (0, 1))
    cut = len(strange) // 2 if contaminated else 0
    train = rng.permutation(np.concatenate([normal[: len(normal) // 2], strange[:cut]]))
    test = rng.permutation(np.concatenate([normal[len(normal) // 2 :], strange[cut:]]))
    mean, scale = x[train].mean(0), x[train].std(0)
    scale[scale < 1e-6] = 1
    return (x[train] - mean) / scale, (x[test] - mean) / scale, y[test]


# --- detectors: training rows, test rows, seed, setting -> scores of the test rows ------------------------------


def fitted(train: np.ndarray, seed: int, contaminated: bool, **params: object) -> object:
    """Our detector, told whether its training rows are all normal."""
    from narrows import AnomalyDetector

    trim = {} if contaminated else {"trim": 0.0}
    return AnomalyDetector(random_state=seed, **trim, **params).fit(train)


def narrows(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Our detector as it comes."""
    found = fitted(train, seed, contaminated).assess(test)
    return found.scores, found.p_values


def denoisers(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool, **params: object) -> np.ndarray:
    """Our denoisers alone, without the neighbours."""
    made = fitted(train, seed, contaminated, **params)
    denoising = made.detector_.evidence.denoising
    return denoising.terms(denoising.space(made.format_.to_rows(test))).sum(1).numpy()


def untrained(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    """The same with the weights that they begin with."""
    from narrows import Training

    still = Training(epochs=1, learning_rate=1e-12, schedule="constant", validation=0.0)
    return denoisers(train, test, seed, contaminated, training=still)


def knn(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]


def iforest(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def lof(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    from sklearn.neighbors import LocalOutlierFactor

    return -LocalOutlierFactor(novelty=True).fit(train).score_samples(test)


def ocsvm(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    from sklearn.svm import OneClassSVM

    some = np.random.default_rng(seed).permutation(len(train))[:5_000]
    return -OneClassSVM().fit(train[some]).score_samples(test)


def pca(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
    """Squared residual beyond the components that hold 90 % of the variance."""
    from sklearn.decomposition import PCA

    plane = PCA(0.9, svd_solver="full").fit(train)
    return ((test - plane.inverse_transform(plane.transform(test))) ** 2).sum(1)


def pyod(name: str) -> Callable[..., np.ndarray]:
    """A detector of PyOD at its defaults."""

    def run(train: np.ndarray, test: np.ndarray, seed: int, contaminated: bool) -> np.ndarray:
        import importlib

        module, kind = PYOD[name].split(".")
        maker = getattr(importlib.import_module(f"pyod.models.{module}"), kind)
        options = {} if name == "ecod" else {"random_state": seed}
        if name == "pyod-svdd":
            options["n_features"] = train.shape[1]
        torch.manual_seed(seed)
        return maker(**options).fit(train).decision_function(test)

    return run


RUN: dict[str, Callable[..., object]] = {
    f.__name__: f for f in (narrows, untrained, denoisers, knn, iforest, lof, ocsvm, pca)
} | {name: pyod(name) for name in PYOD}


# --- tables ----------------------------------------------------------------------------------------------------


def measure(method: str, path: Path, seed: int, setting: str) -> dict[str, object]:
    """One line of what is kept."""
    train, test, y = halves(path, seed, setting == "contaminated")
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = RUN[method](train, test, seed, setting == "contaminated")
    seconds = time.perf_counter() - start
    scores, p = found if isinstance(found, tuple) else (found, None)
    line = {"setting": setting, "seed": seed, "set": path.stem, "method": method, "seconds": seconds}
    line |= {"auroc": roc_auc_score(y, scores), "ap": average_precision_score(y, scores)}
    for rate in (0.01, 0.05, 0.1):
        line[f"false{rate}"] = np.nan if p is None else float((p[y == 0] <= rate).mean())
    return line


def show(kept: pd.DataFrame) -> None:
    """One table per setting: means over sets of the means over seeds; ranks over the methods that were run."""
    for setting, part in kept.groupby("setting"):
        mean = part.groupby(["set", "method"])["auroc"].mean().unstack()
        whole = mean.dropna(axis=1)
        ranks = pd.DataFrame([rankdata(-row) for row in whole.to_numpy()], columns=whole.columns).mean()
        seeds = part.groupby("method")["seed"].nunique()
        print(f"\n### {setting}, {len(mean)} sets\n")
        print("| method | AUROC | AP | mean rank | against kNN | against isolation forest | seconds | seeds |")
        print("|---|---|---|---|---|---|---|---|")
        seconds = part.groupby(["method", "seed"])["seconds"].sum().groupby("method").mean()
        ap = part.groupby(["set", "method"])["ap"].mean().unstack()
        for name in whole.mean().sort_values(ascending=False).index:
            against = " | ".join(duel(whole, name, other) for other in ("knn", "iforest"))
            numbers = f"{100 * whole[name].mean():.2f} | {100 * ap[name].mean():.2f} | {ranks[name]:.2f}"
            print(f"| {name} | {numbers} | {against} | {seconds[name]:.0f} | {seeds[name]} |")
        ours = part[part.method == "narrows"]
        alarms = "; ".join(f"{rate:g}: {ours[f'false{rate}'].mean():.4f}" for rate in (0.01, 0.05, 0.1))
        print(f"\nShare of normal test rows with p-values up to a rate (mean over sets and seeds): {alarms}")


def duel(mean: pd.DataFrame, name: str, other: str) -> str:
    """Wins, ties (within 0.1 points) and losses over sets, with the p-value of Wilcoxon's signed-rank test."""
    if name == other or other not in mean:
        return ""
    away = mean[name] - mean[other]
    p = wilcoxon(away).pvalue if (away != 0).any() else 1.0
    return f"{int((away > 0.001).sum())} / {int((away.abs() <= 0.001).sum())} / {int((away < -0.001).sum())}, p {p:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--settings", default="normals,contaminated")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--sets", default="")
    parser.add_argument("--keep", type=Path, default=Path("anomaly.csv"))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted((wanted.data / "adbench").glob("*.npz"), key=lambda p: int(p.stem.split("_")[0]))
    paths = [p for p in paths if not wanted.sets or p.stem.split("_", 1)[1] in wanted.sets.split(",")]
    kept = pd.read_csv(wanted.keep) if wanted.keep.exists() else pd.DataFrame()
    done = set(map(tuple, kept[["setting", "seed", "set", "method"]].to_numpy().tolist())) if len(kept) else set()
    for seed in map(int, wanted.seeds.split(",")):
        for setting in wanted.settings.split(","):
            for path in paths:
                for method in wanted.methods.split(","):
                    if (setting, seed, path.stem, method) not in done:
                        line = pd.DataFrame([measure(method, path, seed, setting)])
                        line.to_csv(wanted.keep, mode="a", header=not wanted.keep.exists(), index=False)
    show(pd.read_csv(wanted.keep))


if __name__ == "__main__":
    main()
