"""Labels and conditions on them: what every model that knows classes shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch import nn

import narrows
from narrows import Training, bottlenecks, priors
from narrows._normal import Normal
from narrows.data.where import parse
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._conditions import possible
from narrows.estimators._labels import Labels

QUICK = Training(epochs=5)


class _ByClass(priors.Prior):
    """A prior with one unit Gaussian per class, far apart. (The underscore keeps it out of the register.)"""

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> nn.Module:
        return ByClassModule(size)


class ByClassModule(priors.PriorModule):
    conditional = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]]))

    def forward(self, condition: torch.Tensor | None = None) -> Placed:
        means = self.places.mean(0, keepdim=True) if condition is None else self.places[condition]
        return Placed(means)


@dataclass(frozen=True)
class Placed:
    means: torch.Tensor

    def log_prob(self, z):
        return Normal(self.means, torch.zeros_like(self.means)).log_prob(z)

    def sample(self, n):
        return self.means + torch.randn(n, self.means.shape[-1])

    def sample_like(self, z):
        return self.means + torch.randn_like(z)

    def near(self, z, size):
        return self.means + (1 - size**2) ** 0.5 * (z - self.means) + size * torch.randn_like(z)


def rows(n: int = 300) -> tuple[pd.DataFrame, list[str]]:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, n)
    table = pd.DataFrame({"a": 10 * kind + rng.normal(size=n), "b": rng.normal(size=n)})
    return table, [["low", "middle", "high"][k] for k in kind]


@pytest.fixture(scope="module")
def fitted():
    table, labels = rows()
    model = narrows.Autoencoder(
        2, bottleneck=bottlenecks.Gaussian(), prior=_ByClass(), training=Training(epochs=60), random_state=0
    )
    return model.fit(table, labels=labels)


@pytest.fixture(scope="module")
def plain():
    table, labels = rows(80)
    # a standard prior does not look at classes
    model = narrows.Autoencoder(2, bottleneck=bottlenecks.Gaussian(), training=QUICK, random_state=0)
    return model.fit(table, labels=labels)


class TestWhere:
    def test_rows_of_a_class(self, fitted):
        for name, place in (("low", 0), ("middle", 10), ("high", 20)):
            made = fitted.sample(200, where=f"label = '{name}'", random_state=0)
            assert len(made) == 200
            assert abs(made["a"].mean() - place) < 3

    def test_class_and_column_together(self, fitted):
        made = fitted.sample(50, where="label IN ('low', 'high') AND a > 15 AND NOT b < 0", random_state=0)
        assert (made["a"] > 15).all()
        assert (made["b"] >= 0).all()

    def test_without_a_condition_classes_come_as_often_as_they_did(self, fitted):
        source = fitted._source()
        condition = source.rows(4000, 0)[1]
        shares = np.bincount(condition, minlength=3) / 4000
        np.testing.assert_allclose(shares, fitted._labels.shares, atol=0.03)

    def test_equal_seeds_equal_rows(self, fitted):
        asked = {"where": "label = 'low' AND b > 0", "random_state": 3}
        pd.testing.assert_frame_equal(fitted.sample(20, **asked), fitted.sample(20, **asked))

    def test_a_class_never_seen(self, fitted):
        with pytest.raises(InvalidParameter, match="never holds 'top'; its values are: .*'high'"):
            fitted.sample(3, where="label = 'top'")

    def test_no_row_of_it(self, fitted):
        for where in ("label = 'low' AND label = 'high'", "label IS NULL AND a > 3"):
            with pytest.raises(InvalidData, match="no row of any class"):  # and none is drawn to find that out
                fitted.sample(3, where=where)


class TestWithoutClasses:
    def test_conditions_on_columns_work_for_every_model(self, plain):
        made = plain.sample(40, where="a > 5 AND b < 1", random_state=0)
        assert len(made) == 40
        assert (made["a"] > 5).all()
        assert (made["b"] < 1).all()

    def test_label_is_refused_in_words(self, plain):
        with pytest.raises(InvalidParameter, match="does not know what class"):
            plain.sample(3, where="label = 'low'")
        with pytest.raises(InvalidParameter, match="no column 'c'"):
            plain.sample(3, where="c = 1")

    def test_images(self, tiny_images):
        model = narrows.Autoencoder(2, training=QUICK, random_state=0).fit(tiny_images)
        for where in ("label = 1", "a > 1"):
            with pytest.raises(InvalidParameter, match="does not know what class"):
                model.sample(3, where=where)

    def test_labels_change_nothing_for_a_model_that_does_not_look(self, plain):
        table, _ = rows(80)
        again = narrows.Autoencoder(2, bottleneck=bottlenecks.Gaussian(), training=QUICK, random_state=0).fit(table)
        assert np.array_equal(again.transform(table), plain.transform(table))
        assert not hasattr(again, "classes_")
        assert not hasattr(plain.fit(table), "classes_")


class TestLabels:
    @pytest.mark.parametrize(
        ("given", "classes", "index"),
        [
            ([3, 1, 3, 1], [1, 3], [1, 0, 1, 0]),
            (np.array([2.5, np.nan, 2.5, 0.5]), [0.5, 2.5], [1, -1, 1, 0]),
            (pd.Series(["b", None, "a", "a"]), ["a", "b"], [1, -1, 0, 0]),
            (pa.array([True, False, True, True]), [False, True], [1, 0, 1, 1]),
            (pd.Series(["b", pd.NA, "a", "a"], dtype="string"), ["a", "b"], [1, -1, 0, 0]),
            (list(np.array([3, 1, 3, 1])), [1, 3], [1, 0, 1, 0]),
        ],
        ids=["numbers", "blanks", "text", "booleans", "pandas-blank", "numpy-scalars"],
    )
    def test_classes_and_places(self, given, classes, index):
        labels, found = Labels.of(given, 4)
        assert labels.classes.tolist() == classes
        assert found.tolist() == index
        assert sum(labels.shares) == pytest.approx(1)
        again = Labels.from_config(labels.to_config())
        assert again.classes.tolist() == classes
        assert again.classes.dtype == labels.classes.dtype

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ([1, 2, 3], "3 entries for 4 rows"),
            ([None] * 4, "every row's label is blank"),
            ([1, "a", 1, 1], "several kinds"),
            ([(1,), (2,), (1,), (1,)], "several kinds or of none"),
            ("abcd", "give one per row"),
            (np.zeros((4, 1)), "give one value per row"),
            ([1, 2, 3, 4], "4 different values in 4 rows"),
        ],
        ids=["length", "blank", "kinds", "tuples", "text", "column", "identifier"],
    )
    def test_bad_labels(self, given, words):
        with pytest.raises(InvalidData, match=words):
            Labels.of(given, 4)

    def test_a_column_of_the_same_name(self):
        table, labels = rows(60)
        with pytest.raises(InvalidData, match="column 'label' of its own"):
            narrows.Autoencoder(2, training=QUICK).fit(table.assign(label=1.5 * table["a"]), labels=labels)

    def test_a_bad_label_leaves_a_model_as_it_was(self):
        table, labels = rows(60)
        model = narrows.Autoencoder(2, training=QUICK, random_state=0)
        with pytest.raises(InvalidData, match="entries"):
            model.fit(table, labels=labels[:-1])
        assert not hasattr(model, "module_")


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ("label = 1", [False, True, False]),
        ("label > 0 AND a < 3", [False, True, True]),
        ("label = 0 OR a < 3", [True, True, True]),
        ("NOT (label = 0 OR a < 3)", [False, True, True]),
        ("NOT (label = 0 AND a < 3)", [True, True, True]),
        ("label = 0 AND label = 1", [False, False, False]),
    ],
)
def test_which_classes_a_condition_leaves_open(where, allowed):
    assert possible(parse(where), "label", pa.array([0, 1, 2])).tolist() == allowed


@pytest.mark.parametrize("random_state", ["x", -1, 1.5], ids=["text", "negative", "fraction"])
def test_a_random_state_that_is_none(plain, random_state):
    with pytest.raises(InvalidParameter, match="random_state="):
        plain.sample(2, random_state=random_state)
