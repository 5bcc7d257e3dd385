"""Margins: columns into states and scores, and exactly back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from narrows.data.margins import Margins, to_uniform
from narrows.errors import InvalidData


def people(n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Every kind of column that margins know."""
    rng = np.random.default_rng(seed)
    gain = np.where(rng.random(n) < 0.9, 0, rng.integers(100, 99999, n))
    return pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "gain": gain,
            "price": np.round(rng.lognormal(3, 2, n), 2),
            "weight": np.where(rng.random(n) < 0.3, np.nan, rng.normal(70, 10, n)),
            "town": rng.choice(["A", "B", None], n, p=[0.6, 0.3, 0.1]),
            "code": rng.choice([f"c{i}" for i in range(300)], n),
            "same": 7,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
            "flag": rng.random(n) < 0.2,
        }
    )


def back(margins, view):
    places = [(int(n.split()[0]), n.endswith("score")) for n in view.column_names]
    states, uniforms = {}, {}
    for name, (j, score) in zip(view.column_names, places, strict=True):
        if score:
            uniforms[j] = to_uniform(np.nan_to_num(view[name].to_numpy()))
        else:
            states[j] = view[name].combine_chunks().indices.to_numpy()
    return margins.close(margins.inverse(states, uniforms, view.num_rows, 0))


def test_a_table_goes_there_and_back():
    table = people()
    margins = Margins.fit(table)
    found = back(margins, margins.forward(table, 1))
    assert list(found.columns) == list(table.columns)
    assert (found.dtypes == table.dtypes).all()
    for name in ("age", "gain", "price", "town", "same", "day", "flag"):
        pd.testing.assert_series_equal(found[name], table[name])
    assert (found["weight"].isna() == table["weight"].isna()).all()
    assert np.allclose(found["weight"], table["weight"], equal_nan=True)


def test_rare_categories_keep_their_set_and_their_frequencies():
    table = people(20_000)
    margins = Margins.fit(table[["code", "age"]])
    found = back(margins, margins.forward(table[["code", "age"]], 1))
    assert set(found["code"]) == set(table["code"])
    share = (found["code"].value_counts() / len(found)).reindex(sorted(set(table["code"])))
    true = (table["code"].value_counts() / len(table)).reindex(share.index)
    assert abs(share - true).max() < 0.002


def test_scores_are_standard_normal_even_where_values_are_tied():
    table = people(5000)
    view = Margins.fit(table).forward(table, 3)
    for name in ("0 score", "2 score", "3 score", "7 score"):
        scores = view[name].drop_null().to_numpy()
        assert stats.kstest(scores, "norm").pvalue > 1e-3, name


def test_a_shared_value_is_a_state_and_has_no_score():
    table = people()
    margins = Margins.fit(table)
    view = margins.forward(table)
    zero = (table["gain"] == 0).to_numpy()
    assert margins.margins[1].states == (0.0 - margins.format.columns[1].base,)
    assert (view["1 score"].is_null().to_numpy() == zero).all()
    assert "0 state" not in view.column_names  # ages vary: no value is shared by many
    assert not any(name.startswith("6 ") for name in view.column_names)  # constant: nothing to model


def test_what_a_generator_draws_stays_within_the_range_and_the_decimals(rng):
    table = people()[["price", "age"]]
    margins = Margins.fit(table)
    made = margins.close(margins.inverse({}, {0: rng.random(5000), 1: rng.random(5000)}, 5000, 0))
    assert made["price"].between(table["price"].min(), table["price"].max()).all()
    assert np.array_equal(made["price"].round(2), made["price"])
    assert set(made["age"]) <= set(table["age"])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_prices_with_two_decimals_come_out_with_two(precision, rng):
    table = pd.DataFrame({"price": np.round(rng.lognormal(3, 1, 5000), 2).astype(precision)})
    margins = Margins.fit(table)
    made = margins.close(margins.inverse({}, {0: rng.random(5000)}, 5000, 0))["price"]
    assert made.dtype == precision
    assert not set(made) <= set(table["price"])  # between the values that were seen too
    assert np.array_equal(np.round(made.astype(float), 2).astype(precision), made)


def test_many_distinct_values_are_drawn_from_a_line_through_their_quantiles(rng):
    x = pd.DataFrame({"x": rng.normal(size=10_000)})
    margins = Margins.fit(x)
    made = margins.close(margins.inverse({}, {0: rng.random(10_000)}, 10_000, 0))
    assert stats.ks_2samp(made["x"], x["x"]).statistic < 0.03
    assert made["x"].nunique() > 9_000  # not the training values again


def test_margins_are_plain_json_and_come_back():
    margins = Margins.fit(people())
    assert Margins.from_config(json.loads(json.dumps(margins.to_config()))) == margins


def test_other_columns_are_refused():
    margins = Margins.fit(people())
    with pytest.raises(InvalidData, match="should match"):
        margins.forward(people().drop(columns="age"))
