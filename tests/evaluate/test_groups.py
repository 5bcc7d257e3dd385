"""Groups of rows: means and shares by hand, intervals that cover, and words only where chance does not explain it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from narrows.errors import InvalidData
from narrows.evaluate.groups import BLANK, OTHER, group_report


def test_means_and_shares_by_hand():
    report = group_report("sex", ["f", "f", "m", None], [1.0, 2.0, 9.0, 4.0], ["f", "m", "m", "x"])
    found = {g.name: (g.rows, g.share.value, g.error.value, g.made.value) for g in report.groups}
    assert found == {"f": (2, 0.5, 1.5, 0.25), "m": (1, 0.25, 9.0, 0.5), BLANK: (1, 0.25, 4.0, 0.0)}
    assert report.error == 4.0


def test_numbers_are_grouped_by_their_quartiles():
    report = group_report("age", np.append(np.arange(1.0, 9.0), np.nan), np.zeros(9))
    assert sorted(g.name for g in report.groups) == sorted(
        ["1 to 2.75", "2.75 to 4.5", "4.5 to 6.25", "6.25 to 8", BLANK]
    )
    assert sorted(g.rows for g in report.groups) == [1, 2, 2, 2, 2]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        cells = rng.choice(["a", "b"], 150, p=[0.3, 0.7])
        report = group_report("g", cells, rng.normal(5, 2, 150), repeats=300, seed=i)
        group = next(g for g in report.groups if g.name == "a")
        hits += (group.share.low <= 0.3 <= group.share.high) + (group.error.low <= 5 <= group.error.high)
    assert 0.88 < hits / 400 < 0.985


def test_only_what_chance_does_not_explain_is_said():
    rng = np.random.default_rng(0)
    cells, same = rng.choice(["a", "b"], 1000), rng.choice(["a", "b"], 1000)
    errors = rng.normal(5, 1, 1000)
    assert "more than chance" in group_report("g", cells, errors, same).sentences()[0]
    worse = group_report("g", cells, errors + 2 * (cells == "b"), np.where(rng.random(1000) < 0.9, "a", "b"))
    words = " ".join(worse.sentences())
    assert "g = b: a larger error" in words
    assert "g = b: too rare" in words
    assert "g = a: too common" in words
    assert json.loads(json.dumps(worse.to_dict()))["groups"][0]["share"]["value"] == pytest.approx(0.5, abs=0.05)


def test_groups_called_strange_more_often_than_others():
    cells = np.repeat(["a", "b"], 500)
    strange = np.concatenate([np.arange(500) % 50 == 0, np.arange(500) % 5 == 0])
    report = group_report("g", cells, np.ones(1000), alarms=strange)
    rates = {g.name: g.alarms.value for g in report.groups}
    assert rates == {"a": 0.02, "b": 0.2}
    assert report.sentences() == ["g = b: called strange more often than average (20.0% against 11.0%)."]
    assert report.to_dict()["groups"][0]["alarms"]["low"] < 0.2
    assert group_report("g", cells, np.ones(1000)).groups[0].alarms is None


def test_many_groups_are_pooled_and_bad_input_is_refused():
    report = group_report("id", [f"v{i:03}" for i in range(100)], np.ones(100))
    assert len(report.groups) == 20
    assert report.groups[0].name == OTHER
    with pytest.raises(InvalidData, match="one error per row"):
        group_report("g", ["a"], [1.0, 2.0])
