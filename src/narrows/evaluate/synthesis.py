"""How good made-up rows are: column shapes, pair trends, detection, utility, and whether rows were copied."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate._columns import Columns, alike, columns
from narrows.evaluate.copying import Copying, copying

__all__ = [
    "SynthesisReport",
    "column_shapes",
    "contingency_similarity",
    "correlation_similarity",
    "detection",
    "ks_complement",
    "pair_trends",
    "synthesis_report",
    "tv_complement",
    "utility",
]

BINS = 10  # for a number beside a category
FOLDS = 3
MOST = 50_000  # rows compared at most; of more a random part
BINNED_MOST = 10_000


def ks_complement(real: ArrayLike, made: ArrayLike) -> float:
    """1 − sup |F(x) − G(x)| of two columns of numbers, blanks left out: 1 is the same distribution.

    Args:
        real: ``(n,)`` numbers, NaN for blanks.
        made: ``(m,)`` numbers.

    Returns:
        From 0 to 1; NaN where a column is all blank.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/kscomplement
    """
    a, b = (np.sort(x[~np.isnan(x)]) for x in (np.asarray(real, float), np.asarray(made, float)))
    if not len(a) or not len(b):
        return float("nan")
    at = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b))
    return float(1 - gap.max())


def tv_complement(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ Σ |p − q| of two columns of categories, blank being one of them: 1 is the same shares.

    Args:
        real: ``(n,)`` text, None for blanks.
        made: ``(m,)`` text.

    Returns:
        From 0 to 1.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/tvcomplement
    """
    return _overlap(*_codes(np.asarray(real, object), np.asarray(made, object)))


def correlation_similarity(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ |ρ − ρ'| of Pearson's correlations of two columns of numbers; pairs with a blank are left out.

    Args:
        real: ``(n, 2)`` numbers.
        made: ``(m, 2)`` numbers.

    Returns:
        From 0 to 1; NaN where the real correlation is not defined.

    Reference:
        Synthetic Data Metrics, DataCebo, https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/correlationsimilarity
    """
    first, second = (_correlation(np.asarray(x, float)) for x in (real, made))
    return float(1 - abs(first - (0.0 if np.isnan(second) else second)) / 2)


def contingency_similarity(real: ArrayLike, made: ArrayLike) -> float:
    """1 − ½ Σ |p − q| over the cells of two contingency tables of two columns of categories.

    Args:
        real: ``(n, 2)`` text, None for blanks.
        made: ``(m, 2)`` text.

    Returns:
        From 0 to 1.

    Reference:
        Synthetic Data Metrics, DataCebo,
        https://docs.sdv.dev/sdmetrics/metrics/quality-metrics/contingencysimilarity
    """
    a, b = np.asarray(real, object), np.asarray(made, object)
    pairs = [_codes(a[:, j], b[:, j]) for j in (0, 1)]
    return _pair_overlap(pairs[0], pairs[1])


def column_shapes(real: Any, made: Any) -> dict[str, float]:
    """Similarity of every column: `ks_complement` for numbers and times, `tv_complement` for categories."""
    a, b = alike(columns(real), columns(made))
    return {
        name: ks_complement(a.cells[name], b.cells[name])
        if a.numeric(name)
        else tv_complement(a.cells[name], b.cells[name])
        for name in a.cells
    }


def pair_trends(real: Any, made: Any) -> dict[tuple[str, str], float]:
    """Similarity of every pair of columns.

    `correlation_similarity` for two columns of numbers, `contingency_similarity` otherwise; a number beside a category
    is cut into ten bins of equal width over the real column's range. Pairs with a constant column of numbers are NaN.
    """
    a, b = alike(columns(real), columns(made))
    codes = {name: _binned(a.cells[name], b.cells[name]) for name in a.cells}
    found = {}
    for one, two in itertools.combinations(a.cells, 2):
        if a.numeric(one) and a.numeric(two):
            pairs = [np.stack([t.cells[one], t.cells[two]], axis=1) for t in (a, b)]
            found[one, two] = correlation_similarity(*pairs)
        else:
            found[one, two] = _pair_overlap(codes[one], codes[two])
    return found


def detection(real: Any, made: Any, seed: int = 0) -> float:
    """How hard it is to tell real from made-up rows by logistic regression: 1 is impossible, 0 is certain.

    1 − mean over 3 folds of (2 max(½, AUC) − 1). Categories are one-hot, blanks are filled with the mean, numbers are
    scaled robustly (median and interquartile range).

    Args:
        real: A table.
        made: A table of the same columns.
        seed: For the folds.

    Returns:
        From 0 to 1.

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
    scores = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, y):
        model = make_pipeline(RobustScaler(), LogisticRegression(max_iter=300))
        probability = _quietly(model.fit, X[train], y[train]).predict_proba(X[test])[:, 1]
        scores.append(2 * max(0.5, roc_auc_score(y[test], probability)) - 1)
    return float(1 - np.mean(scores))


def utility(train: Any, test: Any, target: str, seed: int = 0) -> float:
    """How well a gradient-boosting model trained on one table predicts a column of another.

    Args:
        train: The rows to learn from, made up or real.
        test: Real rows that neither the generator nor the model has seen.
        target: The column to predict.
        seed: For the model.

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
    y_test, y_train = a.cells[target], b.cells[target]
    if a.numeric(target):
        kept, shown = ~np.isnan(y_train), ~np.isnan(y_test)
        model = HistGradientBoostingRegressor(random_state=seed).fit(X_train[kept], y_train[kept])
        return float(r2_score(y_test[shown], model.predict(X_test[shown])))
    y_train, y_test = (np.array(["" if v is None else v for v in y]) for y in (y_train, y_test))
    if len(np.unique(y_train)) < 2:
        return float("nan")
    classifier = HistGradientBoostingClassifier(random_state=seed).fit(X_train, y_train)
    kinds = np.unique(y_test)
    if len(kinds) == 2 and set(kinds) <= set(classifier.classes_):
        place = list(classifier.classes_).index(kinds[1])
        return float(roc_auc_score(y_test == kinds[1], classifier.predict_proba(X_test)[:, place]))
    return float((classifier.predict(X_test) == y_test).mean())


@dataclass(frozen=True)
class SynthesisReport:
    """What was measured of made-up rows.

    Attributes:
        rows: How many rows were made up.
        shapes: Similarity per column, 1 is the same.
        pairs: Similarity per pair of columns, by ``"a × b"``.
        blanks: Largest difference of a column's share of blanks.
        detection: 1: a logistic regression cannot tell real from made up; 0: it always can.
        utility: Score of a model trained on made-up rows on held-out real ones; None without a target.
        utility_real: The same of a model trained on real rows.
        target: The column that these predict.
        copying: The copying check; None without held-out rows.
    """

    rows: int
    shapes: dict[str, float]
    pairs: dict[str, float]
    blanks: float
    detection: float
    utility: float | None = None
    utility_real: float | None = None
    target: str | None = None
    copying: Copying | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def shape_error(self) -> float:
        """1 − mean similarity of the columns."""
        return float(1 - np.nanmean([*self.shapes.values()]))

    @property
    def pair_error(self) -> float:
        """1 − mean similarity of the pairs of columns; NaN when there is only one column."""
        values = np.array([*self.pairs.values()], dtype=float)
        return float(1 - np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    @property
    def memorised(self) -> bool:
        """Whether rows look memorised."""
        return self.copying is not None and self.copying.memorised

    def sentences(self) -> list[str]:
        """The report in plain words, one sentence per measure."""
        worst = min(self.shapes, key=lambda n: np.nan_to_num(self.shapes[n], nan=2.0))
        lines = [
            f"Column shapes differ by {self.shape_error:.1%} on average (most: {worst!r}, by "
            f"{1 - self.shapes[worst]:.1%}); shares of blanks differ by at most {self.blanks:.1%}."
        ]
        if np.isfinite(self.pair_error):
            least = min(self.pairs, key=lambda n: np.nan_to_num(self.pairs[n], nan=2.0))
            lines.append(
                f"Pairs of columns differ by {self.pair_error:.1%} on average (most: {least}, by "
                f"{1 - self.pairs[least]:.1%})."
            )
        lines.append(
            f"A logistic regression that has to tell them from real rows leaves a detection score of "
            f"{self.detection:.2f} (1: it cannot; 0: it always can)."
        )
        if self.utility is not None and self.utility_real is not None:
            lines.append(
                f"A model that learns {self.target!r} from them scores {self.utility:.3f} on real rows it has not "
                f"seen; one that learns from real rows {self.utility_real:.3f}."
            )
        if self.copying is not None:
            lines += self.copying.sentences()
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON."""
        found = asdict(self)
        found["copying"] = None if self.copying is None else self.copying.to_dict()
        found["notes"] = list(self.notes)
        return {**found, "shape_error": self.shape_error, "pair_error": self.pair_error, "memorised": self.memorised}


def synthesis_report(
    real: Any, made: Any, held_out: Any = None, target: str | None = None, seed: int = 0
) -> SynthesisReport:
    """Measure made-up rows.

    Args:
        real: The rows that the generator was trained on.
        made: The rows that it made up.
        held_out: Real rows that it has not seen, for utility and the copying check; None: neither is measured.
        target: A column to predict.
        seed: Equal seeds give equal reports.

    Returns:
        The report.

    Raises:
        InvalidData: If a column of the real table is missing elsewhere, or a table is empty.
    """
    tables = [columns(t) for t in ((real, made) if held_out is None else (real, made, held_out))]
    if not all(t.rows for t in tables):
        raise InvalidData("a table without rows cannot be compared")
    rows = tables[1].rows
    parts = alike(*(_part(t, MOST, seed) for t in tables))
    a, b = parts[0], parts[1]
    scores: tuple[float | None, float | None] = (None, None)
    if held_out is not None and target is not None:
        scores = (utility(b, parts[2], target, seed), utility(a, parts[2], target, seed))
    return SynthesisReport(
        rows=rows,
        shapes=column_shapes(a, b),
        pairs={f"{one} × {two}": v for (one, two), v in pair_trends(a, b).items()},
        blanks=max((abs(_blank_share(a.cells[n]) - _blank_share(b.cells[n])) for n in a.cells), default=0.0),
        detection=detection(_part(a, BINNED_MOST, seed), _part(b, BINNED_MOST, seed), seed),
        utility=scores[0],
        utility_real=scores[1],
        target=target,
        copying=None if held_out is None else copying(tables[0], tables[1], tables[2], seed),
    )


# --- inside ----------------------------------------------------------------------------------------------------


def _part(table: Columns, most: int, seed: int) -> Columns:
    if table.rows <= most:
        return table
    return table.take(np.random.default_rng(seed).choice(table.rows, most, replace=False))


def _blank_share(cells: NDArray[Any]) -> float:
    return float(np.mean([c is None for c in cells])) if cells.dtype == object else float(np.isnan(cells).mean())


def _codes(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Categories of two columns as indices into one list; None is a category."""
    place: dict[Any, int] = {}
    first, second = (np.array([place.setdefault(v, len(place)) for v in x], dtype=np.int64) for x in (a, b))
    return first, second


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    p, q = (np.bincount(x, minlength=size) / max(len(x), 1) for x in (a, b))
    return float(1 - np.abs(p - q).sum() / 2)


def _pair_overlap(one: tuple[Any, Any], two: tuple[Any, Any]) -> float:
    size = int(max(two[0].max(initial=0), two[1].max(initial=0))) + 1
    joint = np.concatenate([x * size + y for x, y in zip(one, two, strict=True)])
    places = np.unique(joint, return_inverse=True)[1]
    return _overlap(places[: len(one[0])], places[len(one[0]) :])


def _binned(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if a.dtype == object:
        return _codes(a, b)
    given = a[~np.isnan(a)]
    edges = np.histogram_bin_edges(given, BINS)[1:-1] if len(given) else np.zeros(0)
    first, second = (np.where(np.isnan(x), BINS, np.searchsorted(edges, x, "right")) for x in (a, b))
    return first, second


def _correlation(pairs: NDArray[np.float64]) -> float:
    whole = pairs[~np.isnan(pairs).any(axis=1)]
    if len(whole) < 2 or bool((whole == whole[0]).all(axis=0).any()):
        return float("nan")
    return float(np.asarray(np.corrcoef(whole.T))[0, 1])


def _features(a: Columns, b: Columns) -> list[NDArray[np.float64]]:
    parts: list[list[NDArray[np.float64]]] = [[], []]
    for name in a.cells:
        if a.numeric(name):
            given = a.cells[name][~np.isnan(a.cells[name])]
            mean = float(given.mean()) if len(given) else 0.0
            for found, table in zip(parts, (a, b), strict=True):
                found.append(np.where(np.isnan(table.cells[name]), mean, table.cells[name])[:, None])
        else:
            codes = _codes(a.cells[name], b.cells[name])
            # rarer categories than the 100 most common share a column, so that identifiers do not fill the memory
            common = np.argsort(-np.bincount(np.concatenate(codes)), kind="stable")[:100]
            for found, code in zip(parts, codes, strict=True):
                found.append((code[:, None] == common).astype(float))
    return [np.concatenate(found, axis=1) for found in parts]


def _ordinal(a: Columns, b: Columns, target: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts: tuple[list[Any], list[Any]] = ([], [])
    for name in a.cells:
        if name != target:
            pair = (a.cells[name], b.cells[name]) if a.numeric(name) else _codes(a.cells[name], b.cells[name])
            for found, cells in zip(parts, pair, strict=True):
                found.append(cells)
    first, second = (np.stack(p, axis=1).astype(float) if p else np.zeros((0, 0)) for p in parts)
    return first, second


def _quietly(function: Any, *args: Any) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped before it converged is no news to the user
        return function(*args)
