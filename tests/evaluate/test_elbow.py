"""The elbow: which code size is enough, and honest words about PCA."""

from __future__ import annotations

import pytest

from narrows.errors import InvalidData
from narrows.evaluate import Bend, Comparison, Elbow, Estimate, Result
from narrows.plots import elbow_curve


def elbow(*bends: tuple[int, float, float, bool | None], mean: float = 1.0) -> Elbow:
    return Elbow(tuple(Bend(*bend) for bend in bends), mean, "squared error per value")


def test_the_shortest_code_that_explains_nearly_as_much_is_taken():
    found = elbow((1, 0.5, 0.6, True), (2, 0.12, 0.4, True), (4, 0.10, 0.3, True), (8, 0.099, 0.2, True))
    assert found.chosen.size == 2  # explains 0.88, and 0.97 of the best's 0.901 is 0.874
    assert found.best.size == 8
    assert found.explained(found.chosen) == pytest.approx(0.88)
    assert found.sentences()[0].startswith("Code size 2: the shortest code that keeps 97% of what the best one (8)")
    assert found.sentences()[1] == "All of them are better than PCA with as many numbers."


def test_where_the_error_goes_on_falling_no_elbow_is_claimed():
    found = elbow((1, 0.8, 0.9, True), (2, 0.6, 0.8, None), (4, 0.3, 0.2, False))
    assert found.chosen.size == 4
    assert "no elbow was reached" in found.sentences()[0]
    assert found.sentences()[1] == "Better than PCA with as many numbers at 1, not at 2, 4."


def test_it_says_so_when_none_beats_pca_or_the_mean():
    found = elbow((1, 0.9, 0.5, False), (2, 0.6, 0.4, None))
    assert found.sentences()[1].startswith("None of them is clearly better than PCA")
    assert "worse at 1" in found.sentences()[1]
    useless = elbow((1, 1.2, 0.5, False), (2, 1.1, 0.4, False))
    assert useless.chosen.size == 2
    assert "nothing speaks for any" in useless.sentences()[0]


def comparison(size: int, error: float | None, accuracy: float | None) -> Comparison:
    names = ("model", "PCA", "mean")
    rows = tuple(
        Result(n, None if error is None else error * f, None if accuracy is None else accuracy / f, f)
        for n, f in zip(names, (1, 2, 4), strict=True)
    )
    ratio = None if error is None else Estimate(0.5, 0.4, 0.6)
    return Comparison(rows, size, 5, 100, ratio)


def test_it_is_made_of_comparisons_in_the_order_of_sizes():
    found = Elbow.of([comparison(4, 0.1, None), comparison(2, 0.2, None)])
    assert [(b.size, b.error, b.pca, b.ratio) for b in found.bends] == [(2, 0.2, 0.4, 0.5), (4, 0.1, 0.2, 0.5)]
    assert found.to_dict()["chosen"] == found.chosen.size
    categories = Elbow.of([comparison(2, None, 0.9)])
    assert categories.bends[0].error == pytest.approx(0.1)
    assert categories.unit == "share of categories that are wrong"
    with pytest.raises(InvalidData):
        Elbow.of([])


def test_the_figure_shows_all_sizes_and_marks_the_chosen_one():
    found = elbow((2, 0.3, 0.6, True), (4, 0.12, 0.4, True), (32, 0.1, 0.2, True))
    (axes,) = elbow_curve(found).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["model"].get_xdata()) == [2, 4, 32]
    assert list(lines["PCA"].get_ydata()) == [0.6, 0.4, 0.2]
    assert any(list(line.get_xdata()) == [4] for line in axes.get_lines())
    assert axes.get_ylim()[0] == 0
    assert axes.get_xscale() == "log"
