from __future__ import annotations

import numpy as np
import pytest
import torch

from narrows.errors import InvalidData
from narrows.evaluate import CodeMap, active_units, code_health


def test_active_units_by_hand():
    """Variances 1, 0.01 (not above), 0.0144 and 0."""
    z = [[1.0, 0.1, 0.12, 3.0], [-1.0, -0.1, -0.12, 3.0]]
    assert active_units(np.array(z) * [1, 0.999, 1, 1]).tolist() == [True, False, True, False]
    assert active_units(z, threshold=0.5).tolist() == [True, False, False, False]


def test_health_by_hand():
    z = np.array([[1.0, 2.0, 0.1, 0.0], [3.0, 6.0, 0.1, 0.0], [5.0, 10.0, 0.1, 0.0], [3.0, 6.0, 0.1, 0.02]])
    health = code_health(z)
    assert (health.size, health.active) == (4, 2)
    assert health.dead == 0.5  # the constant, and the one that moves less than 1 % of the liveliest
    assert health.activations.tolist() == pytest.approx([3, 6, 0.1, 0.005])
    assert health.mean_activation == pytest.approx(9.105 / 4)
    assert health.variances.tolist() == pytest.approx([2, 8, 0, 0.000075])
    assert health.correlation[0, 1] == pytest.approx(1)
    assert health.correlation[2].tolist() == [0, 0, 0, 0]
    assert health.largest_correlation == pytest.approx(1)
    assert health.sentence() == (
        "2 of 4 code units active (variance above 0.01), 2 never moving, mean activation 2.28, "
        "largest correlation between two units 1.00."
    )


def test_correlation_is_numpys():
    z = np.random.default_rng(0).normal(size=(100, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    np.testing.assert_allclose(code_health(z).correlation, np.corrcoef(z.T), atol=1e-12)


def test_dead_does_not_depend_on_the_scale():
    z = np.random.default_rng(0).normal(size=(50, 3)) * [1, 0.5, 1e-4]
    assert code_health(z).dead == code_health(1e-6 * z).dead == pytest.approx(1 / 3)
    assert code_health(z).active == 2
    assert code_health(1e-6 * z).active == 0


def test_a_code_that_never_moves_is_all_dead():
    health = code_health(np.full((7, 3), 0.1))
    assert (health.dead, health.active, health.largest_correlation) == (1, 0, 0)
    assert "none of them moving" in health.sentence()
    assert code_health(torch.full((1, 2), 0.3)).dead == 1  # one row


def test_map_of_two_numbers_is_the_code():
    z = np.random.default_rng(0).normal(size=(9, 2))
    plane = CodeMap.fit(z)
    assert np.array_equal(plane(z), z)
    assert np.array_equal(plane.inverse(z), z)
    assert plane.explained.sum() == pytest.approx(1)


def test_map_of_one_number_is_a_line():
    z = np.array([[1.0], [2.0]])
    plane = CodeMap.fit(z)
    assert plane(z).tolist() == [[1, 0], [2, 0]]
    assert plane.inverse([[5.0, 9.0]]).tolist() == [[5]]
    assert plane.explained.tolist() == [1, 0]


def test_map_of_more_numbers_is_pca():
    from sklearn.decomposition import PCA

    z = np.random.default_rng(0).normal(size=(60, 5)) @ np.random.default_rng(1).normal(size=(5, 5)) + 3
    plane, pca = CodeMap.fit(z), PCA(2).fit(z)
    np.testing.assert_allclose(np.abs(plane(z)), np.abs(pca.transform(z)), atol=1e-9)
    np.testing.assert_allclose(plane.explained, pca.explained_variance_ratio_)
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane(plane.inverse([[1.0, -2.0]])), [[1, -2]], atol=1e-12)
    assert (np.take_along_axis(plane.axes, np.abs(plane.axes).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_map_of_codes_that_do_not_move():
    plane = CodeMap.fit(np.ones((4, 3)))
    assert plane(np.ones((4, 3))).tolist() == [[0, 0]] * 4
    assert plane.explained.tolist() == [0, 0]


def test_bad_codes():
    with pytest.raises(InvalidData, match="shape"):
        code_health(np.zeros((0, 3)))
    with pytest.raises(InvalidData, match="what transform returns"):
        active_units(np.zeros(3))
    with pytest.raises(InvalidData, match="3 numbers and the map was made for 2"):
        CodeMap.fit(np.zeros((4, 2)))(np.zeros((4, 3)))
