"""What a model must beat: PCA with as many numbers, its own untrained self, and always answering the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate.intervals import Estimate, bootstrap_ratio
from narrows.evaluate.metrics import Floats, accuracy, row_errors, to_array

Bools = NDArray[np.bool_]
# a squared error this small against the squares is rounding: float32 keeps about seven digits
ROUNDING = 1e-10


@dataclass(frozen=True)
class Result:
    """What one way of reconstructing reached on held-out rows.

    Attributes:
        name: "model", "PCA", "untrained network" or "mean".
        squared_error: Mean per number (pixel, cell), in squared scaled units; None when all columns are categories.
        accuracy: Share of categories that are right; None when there are none.
        relative: Squared error over PCA's; None where PCA's is zero or there are no numbers.
    """

    name: str
    squared_error: float | None
    accuracy: float | None
    relative: float | None


@dataclass(frozen=True)
class Comparison:
    """A model beside its baselines, on the same held-out rows.

    Attributes:
        rows: One result each, the model's first, then PCA's.
        code_size: Numbers per code, the model's and PCA's alike.
        features: Numbers per row that PCA saw (categories one-hot).
        held_out: How many rows were held out.
        ratio: The model's squared error over PCA's with its 95 % bootstrap interval over rows; None where there is no
            such ratio.
        per: What an error is counted per: "pixel" or "value".
    """

    rows: tuple[Result, ...]
    code_size: int
    features: int
    held_out: int
    ratio: Estimate | None
    per: str = "value"

    def __getitem__(self, name: str) -> Result:
        """The result called ``name``."""
        return next(row for row in self.rows if row.name == name)

    def __contains__(self, name: object) -> bool:
        """Whether there is a result called ``name``."""
        return any(row.name == name for row in self.rows)

    @property
    def better(self) -> bool | None:
        """Whether the model's squared error is below PCA's beyond doubt (95 %); None when it cannot be told.

        Where all columns are categories: whether it gets more of them right.
        """
        model, pca = self["model"], self["PCA"]
        if model.squared_error is None:
            return None if model.accuracy == pca.accuracy else _number(model.accuracy) > _number(pca.accuracy)
        if self.ratio is None:
            return False if model.squared_error > _number(pca.squared_error) else None
        if self.ratio.low <= 1 <= self.ratio.high:
            return None
        return self.ratio.value < 1

    def sentence(self) -> str:
        """One honest line: the model's error, PCA's, the untrained network's, and which is better."""
        return " ".join(filter(None, [self._numbers(), self._categories(), self._mean()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: rows, sizes, the ratio with its interval, and the sentence."""
        return {
            "rows": [vars(row) for row in self.rows],
            "code_size": self.code_size,
            "features": self.features,
            "held_out": self.held_out,
            "ratio": None if self.ratio is None else list(self.ratio),
            "per": self.per,
            "better": self.better,
            "sentence": self.sentence(),
        }

    def _numbers(self) -> str:
        model, pca = self["model"], self["PCA"]
        if model.squared_error is None or pca.squared_error is None:
            return ""
        start = f"Held-out squared error per {self.per} {_show(model.squared_error)}"
        size = _count(self.code_size)
        if self.ratio is None:
            verdict = "the same as" if model.squared_error <= pca.squared_error else "worse than"
            against = f"{verdict} PCA's at {size}, which loses nothing here ({_show(pca.squared_error)})"
        elif self.better is None:
            against = f"no clear difference from PCA's at {size} ({_show(pca.squared_error)}, ratio {self.ratio})"
        elif self.better:
            against = f"{_times(self.ratio.value)} × PCA's at {size} ({_show(pca.squared_error)})"
        else:
            against = f"worse than PCA, {_times(self.ratio.value)} × its error at {size} ({_show(pca.squared_error)})"
        untrained = ""
        if "untrained network" in self:
            untrained = f"; untrained network {_show(_number(self['untrained network'].squared_error))}"
        return f"{start}: {against}{untrained}."

    def _categories(self) -> str:
        model = self["model"]
        if model.accuracy is None:
            return ""
        others = [
            f"{r.name if r.name != 'mean' else 'always the most frequent'} {_percent(r.accuracy)}"
            for r in self.rows[1:]
        ]
        size = "" if model.squared_error is not None else f" with {_count(self.code_size)} per code"
        worse = _number(model.accuracy) < _number(self["PCA"].accuracy)
        verdict = f"{_percent(model.accuracy)}, fewer than PCA" if worse else _percent(model.accuracy)
        return f"Held-out categories right{size}: {verdict} ({', '.join(others)})."

    def _mean(self) -> str:
        model, mean = self["model"], self["mean"]
        if model.squared_error is not None and model.squared_error >= _number(mean.squared_error):
            return f"It is no better than always answering the mean ({_show(_number(mean.squared_error))})."
        return ""


def compare(model: Any, X_train: Any, X_test: Any) -> Comparison:
    """A fitted model beside PCA, its untrained self and the mean, on rows it was not trained on.

    All are compared in the model's scaled units, on the cells that are not blank.

    Args:
        model: A fitted estimator with ``reconstruct(X)``, ``transform(X)`` and ``format_``; one with ``untrained()``,
            which returns an estimator of the same parts with fresh weights, is compared with that as well.
        X_train: The rows it was trained on, as it takes them; PCA is fitted to these.
        X_test: Held-out rows.

    Returns:
        The results and one honest line (`Comparison.sentence`).

    Raises:
        InvalidData: If there are no rows, or they do not fit each other.

    Example:
        ```python
        print(compare(model, X_train, X_test).sentence())
        ```
    """
    train, train_mask = _rows(model, X_train)
    test, mask = _rows(model, X_test)
    reconstruction, _ = _rows(model, model.reconstruct(X_test))
    untrained = None
    if hasattr(model, "untrained"):
        untrained, _ = _rows(model, model.untrained().reconstruct(X_test))
    return compare_arrays(
        test,
        reconstruction,
        train,
        code_size=np.shape(np.asarray(model.transform(X_test)))[1],
        mask=mask,
        train_mask=train_mask,
        categories=_kinds(model.format_.layout),
        untrained=untrained,
        per="pixel" if len(model.format_.layout.shape) > 2 else "value",
    )


def compare_arrays(
    test: Any,
    reconstruction: Any,
    train: Any,
    code_size: int,
    mask: Any = None,
    categories: Sequence[int] | None = None,
    untrained: Any = None,
    *,
    train_mask: Any = None,
    per: str | None = None,
) -> Comparison:
    """Reconstructions beside PCA's at the same code size and on the same rows, in scaled units.

    PCA sees blanks as the training mean of their column and categories one-hot, in the same scaled units as the
    model; a category is read off its reconstruction as the largest of its numbers. Only observed cells are judged.

    Args:
        test: ``(n, *shape)`` held-out rows; category columns hold indices.
        reconstruction: ``(n, *shape)`` what the model made of them.
        train: ``(m, *shape)`` the rows it was trained on.
        code_size: Numbers per code.
        mask: ``(n, *shape)`` true where ``test`` is observed; None for everywhere but at NaN.
        categories: For a table, one number per column: 0 for numbers, else how many categories.
        untrained: ``(n, *shape)`` what the untrained network makes of ``test``, or None.
        train_mask: ``(m, *shape)`` true where ``train`` is observed; None for everywhere but at NaN.
        per: What an error is counted per; None: "pixel" of images, "value" of tables.

    Returns:
        The results and one honest line (`Comparison.sentence`).

    Raises:
        InvalidData: If there are no rows, or they do not fit each other.
        InvalidParameter: If ``code_size`` is below 1.

    Example:
        ```python
        compare_arrays(test, reconstruction, train, code_size=16).sentence()
        # 'Held-out squared error per value 0.0093: 0.61 × PCA's at 16 numbers (0.0152).'
        ```
    """
    x, m = _observed(test, mask)
    t, tm = _observed(train, train_mask)
    _check(x, t, code_size)
    columns = math.prod(x.shape[1:])
    kinds = np.array(categories if categories is not None else np.zeros(columns), dtype=int)
    if len(kinds) != columns:
        raise InvalidData(f"{len(kinds)} categories for rows of {columns} columns: give one number per column")
    flat, flat_mask = x.reshape(len(x), -1), m.reshape(len(x), -1)
    table = _Encoding(t.reshape(len(t), -1), tm.reshape(len(t), -1), kinds)
    answers = {"model": _answer("the model", reconstruction, x.shape)}
    answers["PCA"] = table.pca(flat, flat_mask, code_size)
    if untrained is not None:
        answers["untrained network"] = _answer("the untrained network", untrained, x.shape)
    answers["mean"] = np.broadcast_to(table.most_likely, flat.shape)
    return _judge(flat, flat_mask, kinds, answers, code_size, table.width, per or ("pixel" if x.ndim > 2 else "value"))


class _Encoding:
    """Rows as PCA gets them: numbers centred, blanks at the mean, categories one-hot."""

    def __init__(self, train: Floats, mask: Bools, kinds: NDArray[np.int_]) -> None:
        self.column = np.repeat(np.arange(len(kinds)), np.maximum(kinds, 1))
        self.value = np.concatenate([np.arange(max(k, 1)) for k in kinds])
        self.hot = kinds[self.column] > 0
        self.kinds, self.width = kinds, len(self.column)
        features, seen = self._features(train, mask)
        self.mean = np.where(seen, features, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        self.train = np.where(seen, features - self.mean, 0)
        self.most_likely = self._read(self.mean[None])[0]

    def pca(self, test: Floats, mask: Bools, code_size: int) -> Floats:
        from sklearn.decomposition import PCA

        size = min(code_size, *self.train.shape)
        features, seen = self._features(test, mask)
        centred = np.where(seen, features - self.mean, 0)
        if not self.train.any():  # nothing varies, so there is no direction to find
            return self._read(np.broadcast_to(self.mean, centred.shape))
        pca = PCA(size, random_state=0).fit(self.train)
        return self._read(pca.inverse_transform(pca.transform(centred)) + self.mean)

    def _features(self, rows: Floats, mask: Bools) -> tuple[Floats, Bools]:
        if not self.hot.any():
            return rows, mask
        values = rows[:, self.column]
        return np.where(self.hot, np.rint(values) == self.value, values), mask[:, self.column]

    def _read(self, features: Floats) -> Floats:
        if not self.hot.any():
            return features
        columns = [
            features[:, self.column == j].argmax(axis=1) if k else features[:, self.column == j][:, 0]
            for j, k in enumerate(self.kinds)
        ]
        return np.stack(columns, axis=1).astype(float)


def _judge(
    x: Floats,
    mask: Bools,
    kinds: NDArray[np.int_],
    answers: dict[str, Floats],
    code_size: int,
    features: int,
    per: str,
) -> Comparison:
    numbers, hot = mask & (kinds == 0), mask & (kinds > 0)
    errors = {name: row_errors(x, answer, numbers) for name, answer in answers.items()}
    cells = numbers.sum()
    scale = float((x[numbers] ** 2).sum()) if cells else 0.0
    pca = errors["PCA"][0]
    exact = pca.sum() <= ROUNDING * scale
    results = tuple(
        Result(
            name,
            float(error.sum() / cells) if cells else None,
            accuracy(x, answers[name], hot) if hot.any() else None,
            float(error.sum() / pca.sum()) if cells and not exact else None,
        )
        for name, (error, _) in errors.items()
    )
    ratio = bootstrap_ratio(errors["model"][0], pca) if cells and not exact else None
    return Comparison(results, code_size, features, len(x), ratio, per)


def _answer(name: str, values: Any, shape: tuple[int, ...]) -> Floats:
    answer = to_array(values)
    if answer.shape != shape:
        raise InvalidData(
            f"{name} gives {answer.shape} for held-out rows of {shape}: give one row for each, of one shape"
        )
    return answer.reshape(len(answer), -1)


def _rows(model: Any, X: Any) -> tuple[Any, Bools | None]:
    rows = model.format_.to_rows(X)
    mask = rows.mask()
    return rows.values, None if mask is None else to_array(mask, np.bool_)


def _kinds(layout: Any) -> Sequence[int] | None:
    """Categories of every value of a row: of a series, those of its channels step by step."""
    repeats = layout.shape[0] if len(layout.shape) == 2 else 1
    return None if layout.categories is None else tuple(layout.categories) * repeats


def _observed(values: Any, mask: Any) -> tuple[Floats, Bools]:
    x = to_array(values, np.float32 if str(getattr(values, "dtype", "")).endswith("float32") else np.float64)
    seen = ~np.isnan(x)
    if mask is not None:
        seen &= to_array(mask, np.bool_)
    # what is not observed must not reach any sum, NaN least of all
    return np.where(seen, x, 0.0), seen


def _check(test: Floats, train: Floats, code_size: int) -> None:
    if not len(test) or not len(train) or test.shape[1:] != train.shape[1:]:
        raise InvalidData(
            f"held-out rows of shape {test.shape} and training rows of shape {train.shape} cannot be compared: "
            "give at least one row of each, of one shape"
        )
    if code_size < 1:
        raise InvalidParameter(f"code_size={code_size!r} cannot be used: it must be at least 1")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _count(numbers: int) -> str:
    return f"{numbers} {'number' if numbers == 1 else 'numbers'}"


def _show(value: float) -> str:
    return f"{value:.4f}" if 0.001 <= value < 10 or value == 0 else f"{value:.3g}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.3g}"


def _percent(value: float | None) -> str:
    return f"{100 * _number(value):.1f} %"
