from __future__ import annotations

import math

import numpy as np
import pytest

from narrows.errors import InvalidData
from narrows.evaluate import prior_gap


def normal(z, mean, scale):
    return -0.5 * (((z - mean) / scale) ** 2 + math.log(2 * math.pi)) - np.log(scale)


def linear(n=800, shift=1.0, noise=0.5, seed=0):
    """x ~ N(shift, 1), z | x ~ N(x, noise²): the aggregate posterior is N(shift, 1 + noise²)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, (n, 1))
    z = x + noise * rng.normal(size=(n, 1))
    truth = 0.5 * (shift**2 + 1 + noise**2 - 1 - math.log(1 + noise**2))
    return z, normal(z, 0, 1)[:, 0], normal(z, x.T, noise), truth


def test_the_bounds_hold_the_truth():
    z, prior, pairs, truth = linear(shift=2.0)
    gap = prior_gap(z, prior, pairs)
    assert gap.least.value == pytest.approx(truth, abs=0.1)
    assert gap.most.value == pytest.approx(truth, abs=0.1)
    assert gap.least.low < truth < gap.most.high
    assert "misses the codes" in gap.sentence()
    assert gap.to_dict()["most"]["value"] == gap.most.value


def test_the_bound_from_above_stays_above_where_posteriors_are_narrow():
    z, prior, pairs, truth = linear(noise=1e-3)
    gap = prior_gap(z, prior, pairs)
    assert gap.least.value < truth + 0.1
    assert gap.most.value > truth


def test_a_prior_that_fits_leaves_no_gap():
    rng = np.random.default_rng(1)
    z = np.concatenate([rng.normal(-3, 1, (500, 2)), rng.normal(3, 1, (500, 2))])
    both = np.logaddexp(normal(z, -3, 1).sum(1), normal(z, 3, 1).sum(1)) - math.log(2)
    assert prior_gap(z, both).least.value == pytest.approx(0, abs=0.1)
    assert "as far as they can tell" in prior_gap(z, both).sentence()
    assert prior_gap(z, normal(z, 0, 1).sum(1)).least.low > 2


def test_units_do_not_matter_to_the_gap_and_constant_ones_do_no_harm():
    z, prior, pairs, _ = linear()
    one = prior_gap(z, prior, pairs)
    other = prior_gap(1000 * z, prior - math.log(1000), pairs - math.log(1000))
    assert other.least.value == pytest.approx(one.least.value, abs=1e-6)
    assert np.isfinite(prior_gap(np.c_[z, np.ones(len(z))], prior).least.value)


@pytest.mark.parametrize(
    ("codes", "log_prior", "words"),
    [
        (np.zeros((30, 2)), np.zeros(29), "do not go together"),
        (np.zeros((5, 2)), np.zeros(5), "too few"),
        (np.full((30, 2), np.nan), np.zeros(30), "finite"),
    ],
)
def test_what_cannot_be_judged(codes, log_prior, words):
    with pytest.raises(InvalidData, match=words):
        prior_gap(codes, log_prior)
