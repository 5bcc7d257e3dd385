from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.metrics import explained_variance_score, r2_score

from narrows.errors import InvalidData
from narrows.evaluate import accuracy, explained_variance, psnr, r2, row_errors, squared_error


def test_squared_error_by_hand():
    """((0.6, 0.4), (0.4, 0.6)) against two answers: sums 0.0046 and 0.8625 over four cells."""
    x = [[0.6, 0.4], [0.4, 0.6]]
    assert squared_error(x, [[0.65, 0.42], [0.36, 0.59]]) == pytest.approx(0.0046 / 4)
    assert squared_error(x, [[0.1, 0.9], [0.85, 0.2]]) == pytest.approx(0.8625 / 4)
    sums, counts = row_errors(x, [[0.1, 0.9], [0.85, 0.2]])
    assert sums.tolist() == pytest.approx([0.5, 0.3625])
    assert counts.tolist() == [2, 2]


def test_only_observed_cells_count():
    x, y = [[1.0, np.nan], [3.0, 5.0]], [[2.0, 9.0], [3.0, 2.0]]
    mask = [[True, False], [True, True]]
    assert squared_error(x, y, mask) == pytest.approx((1 + 0 + 9) / 3)
    sums, counts = row_errors(x, y, mask)
    assert (sums.tolist(), counts.tolist()) == ([1, 9], [1, 2])
    assert r2(x, y, mask) == pytest.approx(1 - 10 / 2)  # column means 2 and 5
    assert math.isnan(squared_error(x, y, np.zeros((2, 2), dtype=bool)))
    assert math.isnan(r2(x, y, np.zeros((2, 2), dtype=bool)))


def test_psnr_by_hand():
    assert psnr([[0.0, 1.0]], [[0.1, 0.9]]) == pytest.approx(20)
    assert psnr([[0.0, 255.0]], [[25.5, 229.5]], peak=255) == pytest.approx(20)
    assert psnr([[0.5]], [[0.5]]) == math.inf


def test_r2_and_explained_variance_by_hand():
    x = [[1.0], [3.0]]
    assert r2(x, [[1.0], [2.0]]) == 0.5
    assert r2(x, [[2.0], [2.0]]) == 0
    assert r2(x, [[2.0], [4.0]]) == 0
    assert explained_variance(x, [[2.0], [4.0]]) == 1
    assert r2([[2.0], [2.0]], [[2.0], [2.0]]) == 1
    assert r2([[2.0], [2.0]], [[2.0], [3.0]]) == 0


@given(
    hnp.arrays(float, (6, 3), elements=st.floats(-5, 5, width=16)),
    hnp.arrays(float, (6, 3), elements=st.floats(-5, 5, width=16)),
)
@settings(max_examples=50, deadline=None)
def test_pooled_scores_agree_with_scikit_learn(x, y):
    x = x + np.arange(6)[:, None]  # every column varies
    if (x.var(axis=0) < 1e-3).any():
        return
    assert r2(x, y) == pytest.approx(r2_score(x, y, multioutput="variance_weighted"))
    assert explained_variance(x, y) == pytest.approx(explained_variance_score(x, y, multioutput="variance_weighted"))
    assert r2(x, y) <= explained_variance(x, y) + 1e-12


def test_accuracy_by_hand():
    assert accuracy([[0, 2], [1, 1]], [[0, 1], [1, 1]]) == 0.75
    assert accuracy([[0, 2]], [[0, 1]], [[True, False]]) == 1
    assert math.isnan(accuracy([[0]], [[0]], [[False]]))


def test_tensors_and_images_are_taken():
    x = torch.zeros(2, 3, 4, 4, requires_grad=True)
    assert squared_error(x, x + 2) == 4
    assert row_errors(x, x + 2)[1].tolist() == [48, 48]


def test_shapes_that_differ_are_refused():
    with pytest.raises(InvalidData, match=r"\(1, 2\) and \(2, 1\) cannot be compared"):
        squared_error([[1, 2]], [[1], [2]])
    with pytest.raises(InvalidData, match="mask"):
        r2([[1, 2]], [[1, 2]], [[True]])
