"""Measures of made-up rows: numbers worked out by hand, and the copying check."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate.copying import copying
from narrows.evaluate.learners import detection, utility
from narrows.evaluate.similarity import (
    column_shapes,
    contingency_similarity,
    correlation_similarity,
    ks_complement,
    pair_trends,
    tv_complement,
)
from narrows.evaluate.support import LEVELS, support
from narrows.evaluate.synthesis import synthesis_report


def table(n: int, seed: int, slope: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = np.where(slope * x + rng.normal(size=n) > 0, "yes", "no")
    return pd.DataFrame({"x": x, "z": rng.normal(size=n) + slope * x, "y": y})


class TestByHand:
    def test_ks_complement(self):
        # F steps at 1, 2, 3, 4; G at 3, 4, 5, 6: farthest apart below 3, by a half
        assert ks_complement([1, 2, 3, 4], [3, 4, 5, 6]) == pytest.approx(0.5)
        assert ks_complement([1, 2, np.nan], [2, 1]) == 1
        assert ks_complement([0, 0], [1, 1]) == 0
        assert np.isnan(ks_complement([np.nan], [1.0]))

    def test_tv_complement(self):
        # shares a 3/4, b 1/4 against a 1/4, b 1/2, None 1/4: ½ (½ + ¼ + ¼)
        assert tv_complement(["a", "a", "a", "b"], ["a", "b", "b", None]) == pytest.approx(0.5)
        assert tv_complement(["a"], ["b"]) == 0

    def test_correlation_similarity(self):
        up, down = [[0, 0], [1, 1], [2, 2]], [[0, 2], [1, 1], [2, 0]]
        assert correlation_similarity(up, up) == pytest.approx(1)
        assert correlation_similarity(up, down) == pytest.approx(0)
        assert correlation_similarity(up, [[0, 1], [1, 1], [2, 1]]) == pytest.approx(0.5)
        assert np.isnan(correlation_similarity([[0, 1], [1, 1]], up))

    def test_contingency_similarity(self):
        # three of four cells are shared: p = ¼ each; q = ½, ¼, ¼, 0: ½ (¼ + ¼)
        real = [["a", "u"], ["a", "v"], ["b", "u"], ["b", "v"]]
        made = [["a", "u"], ["a", "u"], ["a", "v"], ["b", "u"]]
        assert contingency_similarity(real, made) == pytest.approx(0.75)

    def test_a_number_beside_a_category_is_cut_into_ten_bins_of_the_real_range(self):
        real = pd.DataFrame({"x": np.arange(10.0), "c": ["a"] * 10})
        made = pd.DataFrame({"x": [0.0] * 10, "c": ["a"] * 10})
        assert pair_trends(real, made)["x", "c"] == pytest.approx(0.1)
        assert pair_trends(real, real.assign(x=real.x + 0.04))["x", "c"] == pytest.approx(1.0)


def test_any_container_gives_the_same_shapes():
    real, made = table(200, 0), table(200, 1)
    wanted = column_shapes(real, made)
    assert column_shapes(pa.Table.from_pandas(real), pa.Table.from_pandas(made)) == wanted
    assert column_shapes({n: real[n] for n in real}, made[["y", "z", "x"]]) == wanted


def test_detection_is_one_for_rows_of_the_same_kind_and_near_none_for_others():
    assert detection(table(1000, 0), table(1000, 1)) > 0.9
    assert detection(table(500, 0), table(500, 1).assign(x=lambda t: t.x + 9)) < 0.05
    assert detection(table(500, 0), table(500, 1).assign(y="maybe")) < 0.05


def test_trees_see_a_dependence_that_logistic_regression_does_not():
    from sklearn.ensemble import HistGradientBoostingClassifier

    real, rng = table(1500, 0), np.random.default_rng(1)
    shuffled = pd.DataFrame({name: rng.permutation(real[name]) for name in real})
    trees = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    assert detection(real, shuffled) > 0.85
    assert detection(real, shuffled, classifier=trees) < 0.6
    assert detection(real, table(1500, 2), classifier=trees) > 0.85


class TestSupport:
    def test_by_hand(self):
        # real rows all lie 1 from their centre (in standard deviations), so every ball holds them all or none; of the
        # made-up rows, half lie at the centre, half far outside: P(α) = ½ at every level
        real = pd.DataFrame({"x": [-1.0, 1.0, -1.0, 1.0]})
        found = support(real, pd.DataFrame({"x": [0.0, 9.0]}))
        assert found.precision == pytest.approx(1 - np.abs(LEVELS - 0.5).sum() / LEVELS.sum())
        # every real row has a real twin at distance 0, and no made-up row is as near
        assert found.recall == 0

    def test_the_same_rows_score_one_twice_and_fresh_ones_a_half_in_recall(self):
        same = support(table(1000, 0), table(1000, 0))
        assert min(same.precision, same.recall) > 0.99
        fresh = support(table(1000, 0), table(1000, 1))
        assert fresh.precision > 0.95
        assert 0.4 < fresh.recall < 0.6

    def test_a_collapsed_sample_loses_recall(self):
        found = support(table(1000, 0), table(20, 1).sample(1000, replace=True, random_state=0))
        assert found.recall < 0.1

    def test_a_sample_that_is_far_off_loses_precision_and_recall(self):
        found = support(table(500, 0), table(500, 1).assign(x=lambda t: t.x + 50))
        assert max(found.precision, found.recall) < 0.05


def test_utility_is_lost_with_the_dependence():
    test = table(1000, 2)
    good, bad = utility(table(1000, 1), test, "y"), utility(table(1000, 1, slope=0.0), test, "y")
    assert good > 0.75
    assert abs(bad - 0.5) < 0.15
    assert utility(table(1000, 1), test, "z") > 0.3
    with pytest.raises(InvalidParameter, match="no such column"):
        utility(test, test, "w")


class TestCopying:
    def test_fresh_rows_are_no_copies(self):
        found = copying(table(1000, 0), table(500, 1), table(500, 2))
        assert not found.memorised
        assert found.copies == 0
        assert 0.9 < found.distance / found.distance_real < 1.1
        assert found.close_real == pytest.approx(0.05, abs=0.005)

    def test_copied_rows_are_counted_and_said(self):
        train = table(1000, 0)
        made = pd.concat([train.iloc[:100], table(400, 1)])
        found = copying(train, made, table(500, 2))
        assert found.copies == 100
        assert found.exact == pytest.approx(0.2)
        assert found.memorised
        assert "memorised" in found.sentences()[-1]

    def test_slightly_shaken_copies_are_found_too(self):
        train = table(1000, 0)
        shaken = train.assign(x=train.x + 1e-3, z=train.z - 1e-3)
        found = copying(train, shaken, table(500, 2))
        assert found.copies == 0
        assert found.memorised

    def test_duplicates_that_the_data_has_anyway_are_no_alarm(self):
        rng = np.random.default_rng(0)
        few = [pd.DataFrame({"a": rng.integers(0, 4, 500), "b": rng.choice(["u", "v"], 500)}) for _ in range(3)]
        found = copying(*few)
        assert found.exact == found.exact_real == 1.0
        assert not found.memorised


class TestReport:
    def test_says_everything_in_words_and_json(self):
        report = synthesis_report(table(600, 0), table(600, 1), table(300, 2), target="y")
        words = " ".join(report.sentences())
        for part in (
            "Column shapes differ",
            "Pairs of columns",
            "detection score",
            "α-precision",
            "learns 'y'",
            "exact copies",
        ):
            assert part in words
        assert "WARNING" not in words
        found = json.loads(json.dumps(report.to_dict()))
        assert found["shape_error"] == pytest.approx(report.shape_error)
        assert found["copying"]["copies"] == 0
        assert abs(report.utility - report.utility_real) < 0.1

    def test_warns_of_memorised_rows(self):
        train = table(600, 0)
        assert synthesis_report(train, train, table(300, 2)).memorised

    def test_shares_of_blanks_are_compared(self):
        real = table(100, 0)
        made = real.assign(x=np.where(np.arange(100) < 25, np.nan, real.x))
        assert synthesis_report(real, made).blanks == pytest.approx(0.25)

    def test_refuses_tables_without_the_columns(self):
        with pytest.raises(InvalidData, match="'z'"):
            synthesis_report(table(10, 0), table(10, 1).drop(columns="z"))
