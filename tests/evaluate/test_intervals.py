from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate import Estimate, bootstrap
from narrows.evaluate.intervals import bootstrap_ratio


def test_the_interval_of_a_mean_is_the_normal_one():
    x = np.random.default_rng(0).normal(5, 2, size=400)
    estimate = bootstrap(np.mean, x, repeats=4000)
    half = 1.96 * x.std() / 20
    assert estimate.value == x.mean()
    assert estimate.low == pytest.approx(x.mean() - half, abs=0.03)
    assert estimate.high == pytest.approx(x.mean() + half, abs=0.03)


def test_the_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        e = bootstrap(np.mean, generator.normal(size=60), repeats=300, level=0.9, seed=trial)
        covered += e.low <= 0 <= e.high
    assert 0.82 <= covered / 200 <= 0.97


def test_arrays_stay_paired():
    x = np.arange(50.0)
    e = bootstrap(lambda a, b: float((a - b).mean()), x, x - 3)
    assert e == Estimate(3.0, 3.0, 3.0)
    assert bootstrap_ratio(x, 2 * x) == pytest.approx((0.5, 0.5, 0.5))


def test_the_quick_ratio_agrees_with_the_general_one():
    generator = np.random.default_rng(2)
    a, b = generator.gamma(2, size=(2, 300))
    slow = bootstrap(lambda p, q: float(p.sum() / q.sum()), a, b, repeats=4000)
    quick = bootstrap_ratio(a, b, repeats=4050)
    assert quick.value == pytest.approx(slow.value)
    assert quick[1:] == pytest.approx(slow[1:], abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_leaves_the_callers_generator():
    x = np.random.default_rng(3).random(20)
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    assert bootstrap(np.mean, x, seed=5) == bootstrap(np.mean, x, seed=5)
    assert bootstrap(np.mean, x, seed=5) != bootstrap(np.mean, x, seed=6)
    assert np.random.get_state()[1].tolist() == before


def test_bad_input():
    with pytest.raises(InvalidData, match="rows"):
        bootstrap(np.mean, [])
    with pytest.raises(InvalidData, match=r"\[2, 3\]"):
        bootstrap(np.mean, [1, 2], [1, 2, 3])
    with pytest.raises(InvalidParameter, match="level=95"):
        bootstrap(np.mean, [1, 2], level=95)


def test_an_estimate_prints_its_interval():
    assert str(Estimate(0.6123, 0.59, 0.641)) == "0.612 [0.59, 0.641]"
