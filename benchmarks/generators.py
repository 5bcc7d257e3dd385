"""What makes up rows in `benchmarks.synthesis`: ours, classical methods, and CTGAN and TVAE from their package.

Each takes training rows, the column to predict and a seed, and returns as many rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.neighbors import NearestNeighbors

import narrows

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


def latent_diffusion(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """Our synthesizer with a diffusion model of the codes in place of the mixture of Gaussians."""
    prior = narrows.priors.Diffusion(rows=2_000_000)
    model = narrows.Synthesizer(narrows.VariationalAutoencoder(beta=0.1, prior=prior), random_state=seed)
    return model.fit(train).sample(len(train), random_state=seed)


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


def ctgan(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """CTGAN of the package of that name, at its defaults (300 epochs)."""
    from ctgan import CTGAN

    return _packaged(CTGAN(enable_gpu=False), train, seed)


def tvae(train: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """TVAE of the package ctgan, at its defaults (300 epochs)."""
    from ctgan import TVAE

    return _packaged(TVAE(enable_gpu=False), train, seed)


def _packaged(model: object, train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Blanks of categories are a category of their own: the package refuses them."""
    names = [n for n in train if train[n].dtype.kind not in "iuf"]
    whole = train.copy()
    for name in names:
        whole[name] = train[name].astype(object).where(train[name].notna(), "(blank)").astype(str)
    model.set_random_state(seed)
    model.fit(whole, names)
    made = model.sample(len(train))
    for name in names:
        if train[name].dtype == bool:
            made[name] = made[name] == "True"
        else:
            made[name] = made[name].astype(object).where(made[name] != "(blank)", None)
    return made[list(train)].astype(train.dtypes)


SETS: dict[str, Callable] = {"adult": adult, "shoppers": shoppers}
PEERS: dict[str, Callable] = {
    "ours": ours,
    "latent diffusion": latent_diffusion,
    "smote": smote,
    "copula": copula,
    "independent": independent,
    "ctgan": ctgan,
    "tvae": tvae,
    "real rows": real,
}
