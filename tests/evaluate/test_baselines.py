from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from narrows._types import Layout, Rows
from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate import Comparison, Estimate, Result, compare, compare_arrays


def line(n, seed=0, noise=0.0):
    """Points on a line in three dimensions."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 1)) * [1.0, 2.0, -1.0] + noise * generator.normal(size=(n, 3))


def test_pca_and_mean_by_hand():
    """Train on (±2, 0), (0, ±1): the first axis is horizontal, so of (3, 1) it loses 1 and of (0, 2) it loses 4."""
    train = [[2.0, 0], [-2, 0], [0, 1], [0, -1]]
    result = compare_arrays([[3.0, 1], [0, 2]], [[3.0, 1], [0, 1]], train, code_size=1)
    assert result["PCA"].squared_error == pytest.approx(5 / 4)
    assert result["mean"].squared_error == pytest.approx((9 + 1 + 0 + 4) / 4)
    assert result["model"].squared_error == pytest.approx(1 / 4)
    assert result["model"].relative == pytest.approx(0.2)
    assert (result.features, result.held_out, result.per) == (2, 2, "value")
    assert "untrained network" not in result


def test_pca_is_scikit_learns():
    train, test = (np.random.default_rng(s).normal(size=(80, 6)) @ np.diag([5, 3, 2, 1, 1, 1]) for s in (0, 1))
    pca = PCA(2).fit(train)
    expected = ((pca.inverse_transform(pca.transform(test)) - test) ** 2).mean()
    assert compare_arrays(test, test, train, code_size=2)["PCA"].squared_error == pytest.approx(expected)
    images = compare_arrays(*(a.reshape(-1, 1, 2, 3) for a in (test, test, train)), code_size=2)
    assert images["PCA"].squared_error == pytest.approx(expected)
    assert images.per == "pixel"


def test_better_no_difference_and_worse_are_said_apart():
    train, test = line(200, noise=0.3), line(100, seed=1, noise=0.3)
    pca = PCA(1).fit(train)
    linear = pca.inverse_transform(pca.transform(test))
    better = compare_arrays(test, test + 0.4 * (linear - test), train, 1, untrained=np.zeros_like(test))
    assert better.better is True
    assert better.ratio.value == pytest.approx(0.16)
    error = better["model"].squared_error
    assert better.sentence() == (
        f"Held-out squared error per value {error:.4f}: 0.16 × PCA's at 1 number ({error / 0.16:.4f}); "
        f"untrained network {np.mean(test**2):.4f}."
    )
    worse = compare_arrays(test, test + 2 * (linear - test), train, 1)
    assert worse.better is False
    assert ": worse than PCA, 4.00 × its error at 1 number (" in worse.sentence()
    noise = np.random.default_rng(2).normal(size=test.shape) * np.std(linear - test)
    same = compare_arrays(test, test + noise, train, 1)
    assert same.ratio.low < 1 < same.ratio.high
    assert same.better is None
    assert ": no clear difference from PCA's at 1 number (" in same.sentence()


def test_no_better_than_the_mean_is_said():
    train, test = line(50, noise=0.1), line(20, seed=1, noise=0.1)
    sentence = compare_arrays(test, np.zeros_like(test) + 1.0, train, 1).sentence()
    assert "worse than PCA" in sentence
    assert sentence.count("It is no better than always answering the mean (") == 1


def test_where_pca_loses_nothing():
    train, test = line(50), line(20, seed=1)
    exact = compare_arrays(test, test, train, 1)
    assert (exact.ratio, exact["model"].relative, exact.better) == (None, None, None)
    assert "the same as PCA's at 1 number, which loses nothing here" in exact.sentence()
    worse = compare_arrays(test, test + 0.01, train, 5)  # more numbers than columns
    assert worse.better is False
    assert "worse than PCA's at 5 numbers, which loses nothing here" in worse.sentence()


def test_blanks_are_judged_nowhere_and_pca_gets_the_mean():
    train, test = line(100, noise=0.2), line(40, seed=1, noise=0.2)
    mask = np.random.default_rng(3).random(test.shape) > 0.2
    train_mask = np.random.default_rng(4).random(train.shape) > 0.2
    garbage, train_garbage = np.where(mask, test, 99.0), np.where(train_mask, train, -99.0)
    reconstruction = np.where(mask, test + 0.1, 1e6)
    result = compare_arrays(garbage, reconstruction, train_garbage, 1, mask=mask, train_mask=train_mask)
    assert result["model"].squared_error == pytest.approx(0.01)
    mean = np.array([train[train_mask[:, j], j].mean() for j in range(3)])
    filled = np.where(train_mask, train, mean)
    pca = PCA(1).fit(filled - mean)
    answer = pca.inverse_transform(pca.transform(np.where(mask, test, mean) - mean)) + mean
    assert result["PCA"].squared_error == pytest.approx(((answer - test)[mask] ** 2).mean())
    assert result["mean"].squared_error == pytest.approx(((mean - test)[mask] ** 2).mean())
    nan = compare_arrays(np.where(mask, test, np.nan), reconstruction, np.where(train_mask, train, np.nan), 1)
    assert nan["PCA"] == result["PCA"]


def test_categories_are_one_hot_for_pca_and_counted_when_right():
    """The category says the number's sign, so one principal component carries both."""
    generator = np.random.default_rng(0)
    group = generator.integers(2, size=300)
    table = np.stack([3.0 * (2 * group - 1) + 0.1 * generator.normal(size=300), group], axis=1)
    train, test = table[:200], table[200:]
    wrong = test.copy()
    wrong[:25, 1] = 1 - wrong[:25, 1]
    result = compare_arrays(test, wrong, train, 1, categories=(0, 2))
    assert result.features == 3
    assert result["PCA"].accuracy == 1
    assert result["model"].accuracy == 0.75
    assert result["mean"].accuracy == pytest.approx(np.mean(test[:, 1] == np.round(train[:, 1].mean())))
    assert result["model"].squared_error == 0
    assert (
        "Held-out categories right: 75.0 %, fewer than PCA (PCA 100.0 %, always the most frequent" in result.sentence()
    )


def test_only_categories():
    train = np.array([[0, 2], [0, 2], [1, 0], [1, 0], [0, 1]])
    result = compare_arrays(train, train, train, 1, categories=(2, 3))
    assert (result["model"].squared_error, result["model"].accuracy, result.ratio) == (None, 1, None)
    assert result["mean"].accuracy == pytest.approx((3 + 2) / 10)
    assert result.sentence().startswith("Held-out categories right with 1 number per code: 100.0 % (PCA ")
    assert result.better is (result["PCA"].accuracy < 1 or None)


def test_constant_training_rows():
    result = compare_arrays([[1.0, 2.0]], [[1.0, 2.5]], [[1.0, 1.0]] * 3, 1)
    assert result["PCA"].squared_error == result["mean"].squared_error == 0.5
    assert result["model"].relative == 0.25


class Halver:
    """A duck-typed model of standardised rows: halves every value; untrained, answers zero."""

    factor = 0.5

    def __init__(self):
        self.format_ = SimpleNamespace(layout=Layout(shape=(3,)), to_rows=self.to_rows)

    def to_rows(self, X):
        values = torch.as_tensor(np.asarray(X), dtype=torch.float32)
        observed = ~values.isnan()
        return Rows(values.nan_to_num(), observed)

    def transform(self, X):
        return np.asarray(X)[:, :2]

    def reconstruct(self, X):
        return self.factor * np.nan_to_num(np.asarray(X))

    def untrained(self):
        other = Halver()
        other.factor = 0.0
        return other


def test_compare_takes_whatever_has_the_methods():
    train, test = line(100, noise=1.0), line(50, seed=1, noise=1.0)
    test[0, 0] = np.nan
    result = compare(Halver(), train, test)
    assert result.code_size == 2
    assert result["model"].squared_error == pytest.approx(np.nanmean(test**2) / 4, rel=1e-5)
    assert result["untrained network"].squared_error == pytest.approx(np.nanmean(test**2), rel=1e-5)
    assert result["PCA"].squared_error < result["mean"].squared_error


def test_plain_json():
    result = compare_arrays(line(20, 1, 0.1), line(20, 2, 0.1), line(50, 0, 0.1), 2)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["rows"][0]["name"] == "model"
    assert plain["sentence"] == result.sentence()
    assert plain["ratio"] == pytest.approx(list(result.ratio))


def test_the_sentence_of_the_issue():
    rows = (
        Result("model", 0.0093, None, 0.344),
        Result("PCA", 0.0270, None, 1.0),
        Result("untrained network", 0.23, None, 8.5),
        Result("mean", 0.0672, None, 2.5),
    )
    assert Comparison(rows, 16, 784, 1000, Estimate(0.344, 0.33, 0.36)).sentence() == (
        "Held-out squared error per value 0.0093: 0.34 × PCA's at 16 numbers (0.0270); untrained network 0.2300."
    )


def test_bad_input():
    x = line(5)
    with pytest.raises(InvalidData, match="at least one row of each"):
        compare_arrays(x[:0], x[:0], x, 1)
    with pytest.raises(InvalidData, match="of one shape"):
        compare_arrays(x, x, x[:, :2], 1)
    with pytest.raises(InvalidData, match=r"the model gives \(3, 3\)"):
        compare_arrays(x, x[:3], x, 1)
    with pytest.raises(InvalidData, match="4 categories"):
        compare_arrays(x, x, x, 1, categories=(0, 0, 2, 2))
    with pytest.raises(InvalidParameter, match="code_size=0"):
        compare_arrays(x, x, x, 0)
