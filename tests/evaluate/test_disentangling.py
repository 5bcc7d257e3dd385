"""Measures of disentangling, where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from narrows.errors import InvalidData
from narrows.evaluate import dci, mutual_information, mutual_information_gap


def grid(copies: int = 40) -> np.ndarray:
    """Two factors of six values, every combination as often."""
    return np.array([[a, b] for a in range(6) for b in range(6)] * copies)


def turned(degrees: float) -> np.ndarray:
    angle = math.radians(degrees)
    noise = 0.05 * np.random.default_rng(0).normal(size=(1440, 2))
    return (grid() - 2.5 + noise) @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def test_information_by_hand():
    v = np.array([[0], [1], [2], [3]] * 5)
    codes = np.concatenate([v, v // 2, np.zeros_like(v), (v == 0)], axis=1)
    h = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    found = mutual_information(codes, v)
    np.testing.assert_allclose(found[:, 0], [math.log(4), math.log(2), 0, h], atol=1e-12)
    # of two bits one unit knows both, the next best one
    assert mutual_information_gap(codes, v) == pytest.approx(0.5)
    assert mutual_information_gap(codes[:, :1], v) == pytest.approx(1)
    assert mutual_information_gap(codes[:, [0, 0]], v) == pytest.approx(0)


def test_factors_of_their_own_units_are_disentangled():
    codes = np.concatenate([-3 * turned(0)[:, ::-1], np.random.default_rng(1).normal(size=(1440, 1))], axis=1)
    assert mutual_information_gap(codes, grid()) > 0.9
    found = dci(codes, grid())
    assert found.disentanglement > 0.95
    assert found.completeness > 0.95
    assert found.informativeness > 0.99
    assert found.importance.shape == (3, 2)
    assert found.importance[[1, 0], [0, 1]].min() > 0.95


def test_the_more_two_factors_are_turned_into_each_other_the_worse():
    angles = (0, 20, 45)
    gaps = [mutual_information_gap(turned(a), grid()) for a in angles]
    found = [dci(turned(a), grid()) for a in angles]
    assert gaps[0] > gaps[1] + 0.2 > gaps[2] + 0.2
    assert gaps[2] < 0.1
    for name in ("disentanglement", "completeness"):
        values = [getattr(f, name) for f in found]
        assert values[0] > values[1] + 0.1
        assert values[1] > values[2] + 0.1
        assert values[2] < 0.1
    assert min(f.informativeness for f in found) > 0.9  # all is still there, only not apart


def test_a_unit_for_two_factors_is_complete_but_not_disentangled():
    both = grid()[:, :1] * 6 + grid()[:, 1:]
    found = dci(both, grid())
    assert found.disentanglement == pytest.approx(0, abs=0.01)
    assert found.completeness == pytest.approx(1)


def test_equal_seeds_give_equal_numbers_and_constant_factors_are_left_out():
    factors = np.concatenate([grid(), np.zeros((1440, 1), int)], axis=1)
    a, b = dci(turned(20), factors, random_state=3), dci(turned(20), grid(), random_state=3)
    assert np.array_equal(a.importance, b.importance)
    assert mutual_information_gap(turned(20), factors) == mutual_information_gap(turned(20), grid())


def test_what_cannot_be_measured():
    with pytest.raises(InvalidData, match=r"\(1440, 2\) and factors of shape \(3, 1\)"):
        mutual_information_gap(turned(0), np.zeros((3, 1)))
    with pytest.raises(InvalidData, match="finite"):
        dci(np.full((1440, 2), np.nan), grid())
    with pytest.raises(InvalidData, match="varies"):
        mutual_information_gap(turned(0), np.zeros((1440, 2)))
