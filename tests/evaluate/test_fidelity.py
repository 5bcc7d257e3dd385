"""Precision, recall, density, coverage and near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import InvalidData
from narrows.evaluate import fidelity, frechet


def cloud(n: int, seed: int, centres: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) + 20 * rng.integers(0, centres, n)[:, None]


def test_points_like_the_real_ones():
    found = fidelity(cloud(800, 0), cloud(800, 1))
    assert found.coverage == pytest.approx(found.expected, abs=0.03)
    assert found.density == pytest.approx(1, abs=0.1)
    assert min(found.precision, found.recall) > 0.9
    assert found.duplicates == pytest.approx(found.duplicates_real, abs=0.03)
    assert found.duplicates_real == pytest.approx(0.05, abs=0.005)


def test_a_kind_that_is_never_made_lowers_recall_alone():
    found = fidelity(cloud(800, 0), cloud(800, 1, centres=2))
    assert found.recall == pytest.approx(0.5, abs=0.07)
    assert found.coverage == pytest.approx(0.5, abs=0.07)
    assert found.precision > 0.9


def test_points_out_of_place_lower_precision_alone():
    made = cloud(800, 1)
    made[:400] += 500
    found = fidelity(cloud(800, 0), made)
    assert found.precision == pytest.approx(0.5, abs=0.05)
    assert found.recall > 0.85


def test_the_same_again_and_again():
    made = np.tile(cloud(20, 1), (40, 1)) + 1e-9
    found = fidelity(cloud(800, 0), made)
    assert found.duplicates == 1
    assert "100% of them nearly repeat another" in found.sentences()[1]


def test_by_hand():
    """Real points 0, 1, 2, 10 and made ones 0.4, 0.6: balls of one neighbour."""
    real, made = np.array([[0.0], [1], [2], [10]]), np.array([[0.4], [0.6]])
    found = fidelity(real, made, k=1)
    assert found.precision == 1  # both lie within 1 of 0
    assert found.coverage == 0.5  # the balls of 0 and 1 (radius 1) hold some; that of 2 does not, that of 10 is 8 wide
    assert found.recall == 0  # made balls are 0.2 wide
    assert found.density == 2  # each lies in two balls


def test_rows_equal_in_the_data_are_no_fault():
    real = np.repeat(np.arange(10.0), 30)[:, None]
    found = fidelity(real, real + 0)
    assert found.duplicates == found.duplicates_real == 1


def test_far_from_zero_nothing_is_lost_in_rounding():
    found = fidelity(cloud(300, 0) + 1e6, cloud(300, 1) + 1e6)
    near = fidelity(cloud(300, 0), cloud(300, 1))
    assert found == near


@pytest.mark.parametrize(("a", "b"), [((1, 2), (5, 2)), ((5, 2), (5, 3)), ((5, 2), (0, 2))])
def test_bad_points(a, b):
    with pytest.raises(InvalidData, match="points of shapes"):
        fidelity(np.zeros(a), np.zeros(b))


def test_frechet_of_gaussians_by_hand():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(200_000, 2)) * [1, 2]
    two = rng.normal(size=(200_000, 2)) * [3, 2] + [0, 5]
    # ‖μ − μ'‖² + Σ (σ − σ')² for covariances with the same axes
    assert frechet(one, two) == pytest.approx(25 + 4, rel=0.02)
    assert frechet([[0.0], [2.0]], [[3.0], [5.0]]) == pytest.approx(9)
    assert frechet(one[:50], one[:50]) == pytest.approx(0, abs=1e-6)
    turned = one @ [[0.6, 0.8], [-0.8, 0.6]]
    assert frechet(turned, two @ [[0.6, 0.8], [-0.8, 0.6]]) == pytest.approx(frechet(one, two))


def test_frechet_refuses_what_it_cannot_compare():
    with pytest.raises(InvalidData, match="of one size"):
        frechet(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(InvalidData, match="two or more"):
        frechet(np.zeros((1, 2)), np.zeros((4, 2)))
