"""Quality of made-up rows on Adult and shoppers, beside SMOTE, a Gaussian copula and independent columns.

    python -m benchmarks.synthesis --data DIR [--only adult,shoppers] [--seeds 0,1,2,3,4] [--peers ours,smote,…]

``DIR`` holds ``tables/adult-train.csv`` and ``tables/online_shoppers_intention.csv``. 90 % of the rows train, 10 % are
held out; as many rows are made up as trained. Prints one Markdown table per set; what was measured is kept in
RESULTS.md. SMOTE here is its interpolation between neighbours of one class (Chawla et al., 2002), SMOTE-NC for
categories; the copula is Gaussian over ranks, with the columns' own margins.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtr, ndtri
from sklearn.neighbors import NearestNeighbors

import narrows
from narrows.evaluate.synthesis import synthesis_report

ADULT = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
]


def adult(folder: Path) -> tuple[pd.DataFrame, str]:
    """Census income, and the column to predict."""
    path = folder / "tables" / "adult-train.csv"
    return pd.read_csv(path, header=None, names=ADULT, skipinitialspace=True, na_values="?"), "income"


def shoppers(folder: Path) -> tuple[pd.DataFrame, str]:
    """Visits of a shop, and the column to predict; numbers that are names are categories, as TabSyn has them."""
    table = pd.read_csv(folder / "tables" / "online_shoppers_intention.csv")
    names = ["OperatingSystems", "Browser", "Region", "TrafficType"]
    return table.astype(dict.fromkeys(names, str)), "Revenue"


def ours(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """Our synthesizer at its defaults."""
    return narrows.Synthesizer(random_state=seed).fit(train).sample(len(train), random_state=seed)


def independent(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """Every column drawn by itself."""
    rng = np.random.default_rng(seed)
    made = {name: train[name].to_numpy()[rng.integers(len(train), size=len(train))] for name in train}
    return pd.DataFrame(made).astype(train.dtypes)


def copula(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """A Gaussian copula: normal scores of randomised ranks, one covariance, the columns' own quantiles."""
    rng = np.random.default_rng(seed)
    n = len(train)
    orders = []
    for name in train:
        cells = train[name]
        key = cells.astype("category").cat.codes if cells.dtype.kind not in "iuf" else cells.fillna(-np.inf)
        orders.append(np.lexsort((rng.random(n), key.to_numpy())))
    scores = np.empty((n, len(orders)))
    for j, order in enumerate(orders):
        scores[order, j] = ndtri((np.arange(n) + 0.5) / n)
    drawn = rng.multivariate_normal(np.zeros(len(orders)), np.corrcoef(scores.T), size=n, method="cholesky")
    places = np.minimum((ndtr(drawn) * n).astype(int), n - 1)
    made = {name: train[name].to_numpy()[orders[j][places[:, j]]] for j, name in enumerate(train)}
    return pd.DataFrame(made).astype(train.dtypes)


def smote(train: pd.DataFrame, target: str, seed: int, neighbours: int = 5) -> pd.DataFrame:
    """Points on the line to a near row of the same class; categories by the vote of the neighbours."""
    rng = np.random.default_rng(seed)
    numbers = [n for n in train if train[n].dtype.kind in "iuf" and n != target]
    names = [n for n in train if n not in numbers and n != target]
    parts = []
    for kind, part in train.groupby(target, sort=False):
        X = part[numbers].astype(float)
        X = X.fillna(X.mean())
        spread = X.std().replace(0, 1)
        codes = {n: part[n].astype("category") for n in names}
        step = 1 / np.sqrt(2)  # in standard units, two different categories are 1 apart
        hot = [pd.get_dummies(c, dummy_na=True).to_numpy(float) * step for c in codes.values()]
        points = np.concatenate([(X / spread).to_numpy(), *hot], axis=1).astype(np.float32)
        near = NearestNeighbors(n_neighbors=neighbours + 1).fit(points).kneighbors(points, return_distance=False)[:, 1:]
        start = rng.integers(len(part), size=len(part))
        end = near[start, rng.integers(neighbours, size=len(part))]
        weight = rng.random((len(part), 1))
        values = X.to_numpy()
        made = pd.DataFrame(values[start] * (1 - weight) + values[end] * weight, columns=numbers)
        for name in numbers:
            if train[name].dtype.kind in "iu":
                made[name] = made[name].round().astype(train[name].dtype)
        for name in names:
            votes = codes[name].cat.codes.to_numpy()[near[start]]
            size = len(codes[name].cat.categories) + 1
            counts = (votes[:, :, None] == np.arange(-1, size - 1)).sum(1)
            best = counts.argmax(1) - 1
            made[name] = pd.Series(pd.Categorical.from_codes(best, codes[name].cat.categories)).astype(object)
        made[target] = kind
        parts.append(made)
    return pd.concat(parts, ignore_index=True)[list(train)].astype(train.dtypes)


def real(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """Real rows, drawn with replacement: what no generator can beat in quality, and what copying looks like."""
    return train.sample(len(train), replace=True, random_state=seed, ignore_index=True)


SETS: dict[str, Callable] = {"adult": adult, "shoppers": shoppers}
PEERS: dict[str, Callable] = {
    "ours": ours,
    "smote": smote,
    "copula": copula,
    "independent": independent,
    "real rows": real,
}
HEAD = (
    "| generator | seed | shape error % | pair error % | detection | utility (real) | exact copies % (held-out rows %) "
    "| close % | looks memorised | seconds |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--peers", default=",".join(PEERS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    for name in wanted.only.split(","):
        table, target = SETS[name](wanted.data)
        print(f"\n### {name} ({len(table):,} rows)\n\n{HEAD}")
        for seed in map(int, wanted.seeds.split(",")):
            order = np.random.default_rng(seed).permutation(len(table))
            cut = round(0.9 * len(table))
            train, test = (table.iloc[part].reset_index(drop=True) for part in (order[:cut], order[cut:]))
            for peer in wanted.peers.split(","):
                start = time.perf_counter()
                made = PEERS[peer](train, target, seed)
                spent = time.perf_counter() - start
                r = synthesis_report(train, made, test, target, seed)
                c = r.copying
                print(
                    f"| {peer} | {seed} | {100 * r.shape_error:.2f} | {100 * r.pair_error:.2f} | {r.detection:.3f} | "
                    f"{r.utility:.3f} ({r.utility_real:.3f}) | {100 * c.exact:.2f} ({100 * c.exact_real:.2f}) | "
                    f"{100 * c.close:.1f} | {'yes' if c.memorised else 'no'} | {spent:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
