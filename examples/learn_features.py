"""Do codes help a supervised model? Gradient boosting with and without them, cross-validated.

python examples/learn_features.py
python examples/learn_features.py --data DIR --table adult      # tables/adult-train.csv in DIR
python examples/learn_features.py --data DIR --table claims     # tables/freMTPL2freq.csv.gz, 20,000 rows of it

The autoencoder is fitted inside every fold, on its training rows and without the column to predict, so nothing of a
test row is known to anybody before it is predicted.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import mean_poisson_deviance, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold

import narrows
from narrows import corruptions, data

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, help="folder of data sets; without it a small table that comes with narrows")
parser.add_argument("--table", choices=["adult", "claims"], default="adult")
parser.add_argument("--rows", type=int, default=20_000)
parser.add_argument("--folds", type=int, default=5)
given = parser.parse_args()

ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
]
if given.data is None:
    table, target = data.load("census").data.to_pandas().head(3000), "income"
elif given.table == "adult":
    path, target = given.data / "tables" / "adult-train.csv", "income"
    table = pd.read_csv(path, header=None, names=ADULT, skipinitialspace=True, na_values="?")
else:
    path, target = given.data / "tables" / "freMTPL2freq.csv.gz", "ClaimNb"
    table = pd.read_csv(path).drop(columns="IDpol")
table = table.sample(min(given.rows, len(table)), random_state=0, ignore_index=True)
claims = target == "ClaimNb"

# claims are counted per year insured: the rate is predicted, and years are weights
weight = table.pop("Exposure").to_numpy() if claims else np.ones(len(table))
y = table.pop(target)
y = y.to_numpy() / weight if claims else (y == y.max()).to_numpy()
raw = table.copy()
for name in raw.columns[[kind.kind not in "iuf" for kind in raw.dtypes]]:
    raw[name] = raw[name].astype("category")


def features(train: np.ndarray, number: int) -> dict[str, pd.DataFrame]:
    """What the supervised model may see, by name; the autoencoder learns of the training rows only."""
    training = narrows.Training(epochs=5 if given.data is None else None, verbose=False)
    model = narrows.DenoisingAutoencoder(
        8, corruption=corruptions.Masking(0.2), training=training, random_state=number
    ).fit(table.iloc[train])
    codes = pd.DataFrame(model.transform(table), index=raw.index).add_prefix("code ")
    rebuilt = model.reconstruct(table).select_dtypes("number").add_suffix(" rebuilt")
    return {"raw columns": raw, "raw + codes": raw.join(codes), "raw + codes + rebuilt": raw.join(codes).join(rebuilt)}


def score(X: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> float:
    """AUC, or for claims minus the mean Poisson deviance: the higher the better."""
    settings = {"categorical_features": "from_dtype", "random_state": 0}
    if claims:
        model = HistGradientBoostingRegressor(loss="poisson", **settings)
        model.fit(X.iloc[train], y[train], sample_weight=weight[train])
        predicted = np.maximum(model.predict(X.iloc[test]), 1e-9)
        return -mean_poisson_deviance(y[test], predicted, sample_weight=weight[test])
    model = HistGradientBoostingClassifier(**settings).fit(X.iloc[train], y[train])
    return float(roc_auc_score(y[test], model.predict_proba(X.iloc[test])[:, 1]))


folds = (KFold if claims else StratifiedKFold)(given.folds, shuffle=True, random_state=0)
scores: dict[str, list[float]] = {}
for number, (train, test) in enumerate(folds.split(table, y)):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare categories that a fold's training rows lack
        views = features(train, number)
    for name, X in views.items():
        scores.setdefault(name, []).append(score(X, train, test))

measure = "minus the Poisson deviance" if claims else "AUC"
print(f"{len(table):,} rows, {given.folds} folds, {measure} of {target!r} (the higher the better)")
base = np.array(scores["raw columns"])
for name, found in scores.items():
    print(f"  {name:22} {np.mean(found):.4f}   by fold: {' '.join(f'{v:.4f}' for v in found)}")
for name in list(scores)[1:]:
    gain = np.array(scores[name]) - base
    # Nadeau and Bengio's correction: folds share training rows, so their differences vary less than fresh ones would
    spread = gain.std(ddof=1) * np.sqrt(1 / given.folds + 1 / (given.folds - 1))
    half = stats.t.ppf(0.975, given.folds - 1) * spread
    verdict = "helps" if gain.mean() > half else "hurts" if gain.mean() < -half else "makes no difference that shows"
    print(
        f"{name}: {gain.mean():+.4f}, 95 % interval [{gain.mean() - half:+.4f}, {gain.mean() + half:+.4f}]: {verdict}"
    )
