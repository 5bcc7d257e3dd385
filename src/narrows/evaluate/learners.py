"""What a model learns of made-up rows: to tell them from real ones, and to predict real ones from them."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate._columns import Columns, alike, columns, indices

FOLDS = 3


def detection(real: Any, made: Any, seed: int = 0, classifier: Any = None) -> float:
    """How hard it is to tell real from made-up rows: 1 is impossible, 0 is certain.

    1 − mean over 3 folds of (2 max(½, AUC) − 1). Categories are one-hot, blanks are filled with the mean, numbers are
    scaled robustly (median and interquartile range).

    Args:
        real: A table.
        made: A table of the same columns.
        seed: For the folds.
        classifier: What has to tell them apart, any scikit-learn classifier; None: logistic regression, which sees no
            dependence between columns. Boosted trees see more.

    Returns:
        From 0 to 1.

    Raises:
        InvalidData: If there are fewer than 3 rows.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/metrics-in-beta/detection-single-table
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import RobustScaler

    a, b = alike(columns(real), columns(made))
    X = np.concatenate(_features(a, b))
    y = np.concatenate([np.ones(a.rows), np.zeros(b.rows)])
    if min(a.rows, b.rows) < FOLDS:
        raise InvalidData(f"{min(a.rows, b.rows)} rows cannot be split in {FOLDS}: give more of them")
    judge = LogisticRegression(max_iter=300) if classifier is None else classifier
    scores = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, y):
        model = make_pipeline(RobustScaler(), deepcopy(judge))
        probability = _quietly(model.fit, X[train], y[train]).predict_proba(X[test])[:, 1]
        scores.append(2 * max(0.5, roc_auc_score(y[test], probability)) - 1)
    return float(1 - np.mean(scores))


def utility(train: Any, test: Any, target: str, seed: int = 0, model: Any = None) -> float:
    """How well a model trained on one table predicts a column of another.

    Args:
        train: The rows to learn from, made up or real.
        test: Real rows that neither the generator nor the model has seen.
        target: The column to predict.
        seed: For the model.
        model: What learns, a scikit-learn classifier or, for a column of numbers, regressor that takes NaN; None:
            gradient boosting.

    Returns:
        AUC for a column of two categories, accuracy for more, R² for numbers; NaN where ``train`` holds one class only.

    Raises:
        InvalidParameter: If there is no such column.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    a, b = alike(columns(test), columns(train))
    if target not in a.cells:
        raise InvalidParameter(f"target={target!r}: there is no such column; there are {list(a.cells)!r}")
    X_test, X_train = _ordinal(a, b, target)
    if a.numeric(target):
        y_test, y_train = a.cells[target], b.cells[target]
        kept, shown = ~np.isnan(y_train), ~np.isnan(y_test)
        learner = HistGradientBoostingRegressor(random_state=seed) if model is None else deepcopy(model)
        learner.fit(X_train[kept], y_train[kept])
        return float(r2_score(y_test[shown], learner.predict(X_test[shown])))
    y_test, y_train = indices(a.cells[target], b.cells[target])
    kinds, labels = np.unique(y_train, return_inverse=True)
    if len(kinds) < 2:
        return float("nan")
    learner = HistGradientBoostingClassifier(random_state=seed) if model is None else deepcopy(model)
    learner.fit(X_train, labels)
    if len(kinds) == 2 and set(y_test) == set(kinds):
        return float(roc_auc_score(y_test == kinds[1], learner.predict_proba(X_test)[:, 1]))
    return float((kinds[learner.predict(X_test)] == y_test).mean())


# --- inside ----------------------------------------------------------------------------------------------------


def _features(a: Columns, b: Columns) -> list[NDArray[np.float64]]:
    parts: list[list[NDArray[np.float64]]] = [[], []]
    for name in a.cells:
        if a.numeric(name):
            given = a.cells[name][~np.isnan(a.cells[name])]
            mean = float(given.mean()) if len(given) else 0.0
            for found, table in zip(parts, (a, b), strict=True):
                found.append(np.where(np.isnan(table.cells[name]), mean, table.cells[name])[:, None])
        else:
            codes = indices(a.cells[name], b.cells[name])
            # rarer categories than the 100 most common share a column, so that identifiers do not fill the memory
            common = np.argsort(-np.bincount(np.concatenate(codes)), kind="stable")[:100]
            for found, code in zip(parts, codes, strict=True):
                found.append((code[:, None] == common).astype(float))
    return [np.concatenate(found, axis=1) for found in parts]


def _ordinal(a: Columns, b: Columns, target: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts: tuple[list[Any], list[Any]] = ([], [])
    for name in a.cells:
        if name != target:
            pair = (a.cells[name], b.cells[name]) if a.numeric(name) else indices(a.cells[name], b.cells[name])
            for found, cells in zip(parts, pair, strict=True):
                found.append(cells)
    first, second = (np.stack(p, axis=1).astype(float) if p else np.zeros((0, 0)) for p in parts)
    return first, second


def _quietly(function: Any, *args: Any) -> Any:

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped before it converged is no news to the user
        return function(*args)
