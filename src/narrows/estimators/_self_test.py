"""How well blanks of a table can be filled: its own observed cells are hidden and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from narrows.data import Table
from narrows.errors import InvalidData
from narrows.tasks._features import Features, seen_cells
from narrows.tasks._weigh import hide

ASSUMPTION = (
    "Filling assumes that, given the observed cells, blanks do not depend on what they would hold (missing at random); "
    "whether they do (high incomes kept back) cannot be seen from the data."
)
ROWS = 4_000  # rows that the methods are compared on, at most


@dataclass(frozen=True)
class SelfTest:
    """Errors of several ways to fill, on cells that were hidden.

    Attributes:
        squared_error: By method: squared error of hidden numbers, in units of each column's variance; None without
            numbers.
        wrong: By method: share of hidden categories that are wrong; None without categories.
        coverage: Share of hidden numbers within the imputer's 90 % intervals; None without numbers.
        cells: How many cells were hidden.
        rows: In how many rows.
        assumption: What this says nothing of.
    """

    squared_error: dict[str, float] | None
    wrong: dict[str, float] | None
    coverage: float | None
    cells: int
    rows: int
    assumption: str = f"Cells were hidden by chance alone (missing completely at random). {ASSUMPTION}"

    def sentence(self) -> str:
        """The result in words."""
        parts = []
        if self.squared_error is not None:
            parts.append("squared error per hidden number " + _beside(self.squared_error, "{:.3f}"))
        if self.wrong is not None:
            parts.append("hidden categories wrong " + _beside(self.wrong, "{:.1%}"))
        if self.coverage is not None:
            parts.append(f"90 % intervals hold {self.coverage:.0%} of the hidden numbers")
        return f"Self-test on {self.cells:,} hidden cells of {self.rows:,} rows: {'; '.join(parts)}."

    def to_config(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {**self.__dict__, "sentence": self.sentence()}


def _beside(errors: dict[str, float], form: str) -> str:
    ours = errors["narrows"]
    rest = {name: value for name, value in errors.items() if name != "narrows"}
    others = ", ".join(f"{name} {form.format(value)}" for name, value in rest.items())
    best = min(rest.values())
    verdict = "" if ours <= best else "; not the best here"
    return f"{form.format(ours)} ({others}{verdict})"


def run_self_test(imputer: Any, X: Any, share: float, seed: int) -> SelfTest:
    """Hide ``share`` of the observed cells of ``X``, fit ``imputer`` on the rest, and judge it beside others."""
    format_ = Table(scaling="standard").fit(X)
    rows = format_.to_rows(X)
    if len(rows) > ROWS:
        rows = rows.take(torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:ROWS])
    observed = seen_cells(rows)
    hidden = hide(observed, share, seed)
    if not bool(hidden.any()):
        raise InvalidData(f"{len(rows)} rows are too few to hide any cell and judge it: give a larger table")
    shown = format_.from_values(rows.values, observed & ~hidden)
    again = format_.to_rows(shown)
    fitted = clone(imputer).fit(shown)
    answers = {"narrows": format_.to_rows(fitted.transform(shown)).values}
    features = Features(format_.layout)
    answers |= _classical(features, again, seed)
    kind = torch.zeros(len(features.width), dtype=torch.bool)
    kind[features.categories] = True
    numbers, names = hidden & ~kind, hidden & kind
    spread = torch.tensor([float(rows.values[observed[:, j], j].var(unbiased=False)) for j in range(len(kind))])
    numbers = numbers & (spread > 1e-12)
    scale = spread.clamp_min(1e-12)
    truth = rows.values
    squares = {n: float((((a - truth).square()) / scale)[numbers].mean()) for n, a in answers.items()}
    wrong = {n: float((a != truth)[names].float().mean()) for n, a in answers.items()}
    coverage = None
    if bool(numbers.any()):
        many = torch.stack([format_.to_rows(x).values[numbers] for x in fitted.draws(shown, 100, random_state=seed)])
        low, high = many.quantile(0.05, dim=0), many.quantile(0.95, dim=0)
        inside = (truth[numbers] >= low - 1e-4) & (truth[numbers] <= high + 1e-4)
        coverage = float(inside.float().mean())
    return SelfTest(
        squares if bool(numbers.any()) else None,
        wrong if bool(names.any()) else None,
        coverage,
        int(hidden.sum()),
        len(rows),
    )


def _classical(features: Features, rows: Any, seed: int) -> dict[str, torch.Tensor]:
    """Mean and mode, nearest rows, and iterative imputation, on standardised and one-hot features."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    x, observed = features.expand(rows)
    values = np.where(observed.numpy(), x.double().numpy(), np.nan)
    methods = {
        "mean/mode": SimpleImputer(keep_empty_features=True),
        "kNN": KNNImputer(keep_empty_features=True),
        "iterative": IterativeImputer(random_state=seed, keep_empty_features=True),
    }
    import warnings

    last = np.array([features.of(j).stop - 1 for j in features.categories if features.width[j] > 1], dtype=int)
    kept = np.setdiff1d(np.arange(values.shape[1]), last)
    answers = {}
    for name, method in methods.items():
        filled = values.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # without the last part of a category: all together they foretell each other, and nothing else is asked
            filled[:, kept] = method.fit_transform(values[:, kept])
        for end in last:
            start = features.start[int(features.column[end])]
            filled[:, end] = 1 - filled[:, start:end].sum(axis=1)
        answers[name] = features.collapse(torch.from_numpy(filled).float())
    return answers
