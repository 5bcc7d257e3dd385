from __future__ import annotations

import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from narrows import likelihoods
from narrows._part import Part
from narrows.data.table import Table, TableFormat
from narrows.errors import DataWarning, InvalidData, InvalidParameter, InvalidType, SavedModelError


def round_trip(raw, options=None, likelihood=None):
    fitted = (options or Table()).fit(raw, likelihood)
    rows = fitted.to_rows(raw)
    return fitted, rows, fitted.from_values(rows.values, rows.observed)


# --- scaling by hand ---------------------------------------------------------------------------------------


def test_standard_scaling_by_hand():
    fitted, rows, back = round_trip(np.array([[0.0, 5.0], [2.0, 7.0]]))
    assert rows.values.tolist() == [[-1, -1], [1, 1]]
    assert rows.observed is None
    assert fitted.to_rows(np.array([[1.0, 8.0]])).values.tolist() == [[0, 2]]
    assert fitted.layout.shape == (2,)
    assert fitted.layout.categories is None
    assert (fitted.layout.low, fitted.layout.high) == ((-1, -1), (1, 1))
    assert back.tolist() == [[0, 5], [2, 7]]


def test_robust_scaling_by_hand():
    x = np.arange(5.0)[:, None]
    rows = Table(scaling="robust").fit(x).to_rows(x)  # median 2, quartiles 1 and 3
    assert rows.values[:, 0].tolist() == pytest.approx([-1.349, -0.6745, 0, 0.6745, 1.349])


def test_quantile_scaling_makes_a_normal():
    rng = np.random.default_rng(0)
    x = np.exp(3 * rng.normal(size=(5000, 1)))
    fitted, rows, back = round_trip(x, Table(scaling="quantile"))
    z = rows.values[:, 0].double().numpy()
    order = np.argsort(x[:, 0])
    assert (np.diff(z[order]) >= 0).all()
    assert abs(z.mean()) < 0.01
    assert z.std() == pytest.approx(1, abs=0.02)
    assert np.allclose(back, x, rtol=1e-3)
    # an outlier stays one
    assert fitted.to_rows(x.max() * np.full((1, 1), 2.0)).values.item() > z.max() + 3


def test_minmax_none_and_unit_domain():
    x = np.array([[2.0, -1.0], [4.0, 3.0]])
    assert Table(scaling="minmax").fit(x).to_rows(x).values.tolist() == [[0, 0], [1, 1]]
    assert Table(scaling="none").fit(x).to_rows(x).values.tolist() == x.tolist()
    fitted = Table().fit(x, likelihoods.Bernoulli())
    assert fitted.to_rows(np.array([[3.0, 7.0]])).values.tolist() == [[0.5, 1.0]]  # clipped
    assert fitted.likelihood() == likelihoods.Bernoulli()


def test_auto_scaling_by_tails():
    rng = np.random.default_rng(1)
    n = 4000
    income = np.where(rng.random(n) < 0.9, 0, rng.lognormal(8, 2, n))
    slip = rng.normal(size=n)
    slip[:5] = 15  # a few outliers on an ordinary column
    pixel = np.where(rng.random(n) < 0.98, 0, rng.integers(1, 17, n))  # mostly black: not heavy-tailed
    frame = pd.DataFrame({"ordinary": rng.normal(size=n), "income": income, "slip": slip, "pixel": pixel})
    fitted = Table().fit(frame)
    kinds = {d["name"]: d["scaling"] for d in fitted.describe()}
    assert kinds == {"ordinary": "standard", "income": "quantile", "slip": "robust", "pixel": "standard"}
    assert any("'income'" in r and "quantile" in r for r in fitted.reasons)
    assert any("'slip'" in r and "robust" in r for r in fitted.reasons)


def test_arrays_take_heavier_tails_to_leave_standard_scaling():
    laplace = np.random.default_rng(0).laplace(size=(4000, 1)) ** 3
    assert Table().fit(pd.DataFrame(laplace, columns=["a"])).describe()[0]["scaling"] == "quantile"
    assert Table().fit(np.random.default_rng(0).laplace(size=(4000, 1))).describe()[0]["scaling"] == "standard"
    assert (
        Table().fit(np.exp(3 * np.random.default_rng(0).normal(size=(4000, 1)))).describe()[0]["scaling"] == "quantile"
    )


def test_counts_stay_as_they_are():
    x = np.array([[0, 3], [7, 1]])
    assert Table().fit(x, likelihoods.Poisson()).to_rows(x).values.tolist() == x.tolist()
    for wrong in (-1.0, 0.5):
        with pytest.raises(InvalidData, match="not a count"):
            Table().fit(np.array([[wrong], [2.0]]), likelihoods.Poisson())


# --- kinds of columns ---------------------------------------------------------------------------------------


def everything():
    return pd.DataFrame(
        {
            "number": [1.5, np.nan, -2.25, 1e3],
            "integer": [1, 2, 3, 4],
            "nullable": pd.array([1, None, 3, -7], dtype="Int64"),
            "text": ["x", None, "y", "x"],
            "category": pd.Categorical(["u", "v", None, "u"], categories=["w", "v", "u"], ordered=True),
            "flag": [True, False, True, True],
            "perhaps": pd.array([True, None, False, True], dtype="boolean"),
            "when": pd.to_datetime(["2020-01-01 01:00", "2021-06-01 10:00", None, "2020-03-01 00:00"]).tz_localize(
                "Europe/Berlin"
            ),
            "day": [dt.date(2020, 1, 1), None, dt.date(2024, 2, 2), dt.date(2021, 1, 1)],
            "clock": [dt.time(1, 30), None, dt.time(2), dt.time(23, 59)],
            "took": pd.to_timedelta([1, 2, None, 4], unit="h"),
            "money": [decimal.Decimal("1.25"), None, decimal.Decimal("3.50"), decimal.Decimal("-0.05")],
            "same": [7.5] * 4,
            "arrow": pd.Series([1.5, None, 2.0, 3.0], dtype="float64[pyarrow]"),
        }
    )


def test_pandas_round_trip_with_types():
    frame = everything().set_index(pd.Index([10, 20, 30, 40]))
    fitted, rows, _ = round_trip(frame)
    back = fitted.from_values(rows.values, rows.observed, like=frame)
    pd.testing.assert_frame_equal(back, frame, rtol=1e-5)
    assert rows.observed is not None
    assert torch.equal(rows.observed, torch.from_numpy(frame.notna().to_numpy(dtype=bool)))
    assert not rows.values.isnan().any()
    assert (rows.values[~rows.observed] == 0).all()
    assert fitted.layout.blanks
    assert fitted.layout.categories == (0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0)
    kinds = {d["name"]: d["kind"] for d in fitted.describe()}
    assert kinds["nullable"] == "integer"
    assert kinds["category"] == "category"
    assert kinds["perhaps"] == "boolean"
    assert kinds["clock"] == kinds["took"] == kinds["when"] == kinds["day"] == "datetime"
    assert kinds["money"] == "number"
    assert fitted.likelihood().columns[3] == likelihoods.Categorical()
    fitted.likelihood().check_layout(fitted.layout)


def test_polars_round_trip_with_types():
    frame = pl.DataFrame(
        {
            "a": [1, None, 3],
            "b": ["x", None, "y"],
            "d": [dt.datetime(2020, 1, 1), None, dt.datetime(2022, 1, 1)],
            "e": [dt.time(1), dt.time(2), None],
            "f": [1.5, None, 2.5],
            "g": [True, None, False],
        },
        schema_overrides={"a": pl.UInt8, "f": pl.Float32},
    ).with_columns(c=pl.col("b").cast(pl.Categorical), w=pl.col("b").cast(pl.Enum(["y", "never", "x"])))
    _, _, back = round_trip(frame)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_pyarrow_round_trip_with_types():
    table = pa.table(
        {
            "a": pa.array([1, None, 300], pa.int16()),
            "d": pa.array(["p", "q", None]).dictionary_encode(),
            "t": pa.array([0, 10**9, None], pa.timestamp("ns", "UTC")),
            "m": pa.array([decimal.Decimal("1.10"), decimal.Decimal("2.20"), None], pa.decimal128(8, 2)),
            "h": pa.array([1.0, 2.0, None], pa.float16()),
        }
    )
    _, _, back = round_trip(table)
    assert back.schema == table.schema
    assert back.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int64", "uint8", "uint64", "bool"])
def test_arrays_come_back_as_they_were(dtype):
    x = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]]).astype(dtype)
    fitted, _, back = round_trip(x)
    assert back.dtype == x.dtype
    assert np.allclose(back, x, atol=1e-7)
    assert fitted.layout.shape == (3,)
    assert fitted.feature_names is None
    assert fitted.n_features == 3


def test_object_and_text_arrays():
    x = np.array([[1, "a", None], [2.5, "b", True], [np.nan, None, False]], dtype=object)
    fitted, _, back = round_trip(x)
    assert [d["kind"] for d in fitted.describe()] == ["number", "category", "boolean"]
    assert back[:2].tolist() == [[1.0, "a", None], [2.5, "b", True]]
    assert np.isnan(back[2, 0])
    assert back[2, 1] is None
    words = np.array([["a", "bb"], ["c", "bb"]])
    assert (round_trip(words)[2] == words).all()
    numbers = np.arange(6.0).reshape(3, 2).astype(object)
    assert Table().fit(numbers).layout.categories is None


def test_mixed_cells_are_text_and_said_so():
    fitted, _, back = round_trip(pd.DataFrame({"a": pd.Series([1, "one", None, 2], dtype=object)}))
    assert back["a"].tolist()[:2] == ["1", "one"]
    assert any("several types" in r for r in fitted.reasons)


def test_integers_come_back_as_integers_in_range():
    x = np.array([[3], [10], [7]], dtype=np.int16)
    fitted = Table().fit(x)
    values = torch.tensor([[-50.0], [0.1], [50.0]])
    assert fitted.from_values(values).tolist() == [[3], [7], [10]]
    assert fitted.from_values(values).dtype == np.int16
    assert fitted.from_values(values, clip=False)[0, 0] < 3


def test_whole_numbers_with_blanks_in_pandas():
    frame = pd.DataFrame({"a": [1.0, np.nan, 4.0], "b": [1.0, 2.0, 3.0], "c": [1.5, np.nan, 2.0]})
    fitted = Table().fit(frame)
    assert [d["kind"] for d in fitted.describe()] == ["integer", "number", "number"]
    back = fitted.from_values(torch.full((1, 3), 0.1))
    assert back.dtypes.tolist() == [np.float64] * 3
    assert back["a"].item() in (2.0, 3.0)
    assert back["b"].item() == pytest.approx(2 + 0.1 * np.sqrt(2 / 3))


def test_numbers_and_categories_stay_in_range():
    fitted = Table().fit(pd.DataFrame({"a": [0.0, 1.0], "b": ["x", "y"], "c": [True, False]}))
    back = fitted.from_values(torch.tensor([[99.0, 7.0, 7.0], [-99.0, -7.0, 0.4]]))
    assert back.to_dict("list") == {"a": [1.0, 0.0], "b": ["y", "x"], "c": [True, False]}


def test_large_whole_numbers_and_times_keep_their_offset():
    ids = 2**53 + np.array([[1], [3], [1000]])
    assert (round_trip(ids)[2] == ids).all()
    extremes = np.array([[-(2**63)], [2**63 - 1], [0]])
    assert np.abs(round_trip(extremes)[2].astype(float) - extremes).max() < 2**64 * 1e-7
    seconds = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=5000, freq="s")})
    assert (round_trip(seconds)[2]["t"].dt.round("s") == seconds["t"]).all()
    assert (round_trip(seconds)[2]["t"] == seconds["t"]).all()  # all were whole seconds, so they come back whole
    days = pd.DataFrame({"t": pd.date_range("1980-01-01", "2030-01-01", freq="D")})
    assert (round_trip(days)[2]["t"] == days["t"]).all()
    year = pd.DataFrame(
        {
            "t": pd.to_datetime(
                ["2024-01-01 00:00:00.000000", "2024-05-05 05:05:05.123456", "2024-12-31 00:00:00.000000"]
            )
        }
    )
    error = (round_trip(year)[2]["t"] - year["t"]).abs().max()
    assert error < pd.Timedelta(2, unit="s")


def test_constant_columns_are_zero_and_exact():
    frame = pd.DataFrame({"a": [0.1] * 3, "i": [2**60 + 1] * 3, "c": ["k"] * 3, "x": [1.0, 2.0, 3.0]})
    fitted, rows, back = round_trip(frame)
    pd.testing.assert_frame_equal(back, frame, rtol=1e-7)
    assert back["a"].tolist() == [0.1] * 3
    assert (rows.values[:, :3] == 0).all()
    assert fitted.layout.shape == (4,)
    assert [d["constant"] for d in fitted.describe()] == [True, True, True, False]
    assert any("constant" in r and "'a'" in r for r in fitted.reasons)
    assert back["i"].tolist() == [2**60 + 1] * 3


def test_blank_column_is_kept_out_and_comes_back_blank():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, np.nan]})
    with pytest.warns(DataWarning, match="'b'.*blank in every row"):
        fitted = Table().fit(frame)
    rows = fitted.to_rows(frame)
    assert rows.observed.tolist() == [[True, False], [True, False]]
    assert fitted.from_values(torch.ones(2, 2))["b"].isna().all()
    with pytest.warns(DataWarning, match="2 values are treated as blank"):
        assert not fitted.to_rows(pd.DataFrame({"a": [1.0, 2.0], "b": [5.0, 6.0]})).observed[:, 1].any()


def test_one_row():
    frame = pd.DataFrame({"a": [3.0], "b": ["x"], "c": [True]})
    _, rows, back = round_trip(frame)
    assert rows.values.isfinite().all()
    pd.testing.assert_frame_equal(back, frame)


# --- categories ------------------------------------------------------------------------------------------------


def test_rare_categories_are_pooled():
    words = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"]
    fitted, rows, back = round_trip(pd.DataFrame({"w": words}), Table(max_categories=3))
    assert fitted.layout.categories == (3,)
    assert back["w"].tolist() == ["a"] * 5 + ["b"] * 4 + ["other"] * 6
    assert any("3 rarest" in r and "40.0%" in r for r in fitted.reasons)
    few = Table(min_count=3).fit(pd.DataFrame({"w": words}))
    assert few.layout.categories == (4,)
    assert rows.values[:, 0].tolist() == [0] * 5 + [1] * 4 + [2] * 6
    with pytest.warns(DataWarning, match="1 cell holds a category"):  # never seen is not the same as rare
        assert fitted.to_rows(pd.DataFrame({"w": ["z", "e"]})).observed.tolist() == [[False], [True]]


def test_pooled_types_without_room_for_other():
    kinds = pd.Categorical(["a", "a", "a", "b", "b", "c", "c", "c", "d"])
    _, _, back = round_trip(pd.DataFrame({"w": kinds}), Table(max_categories=3))
    assert back["w"].tolist() == ["a", "a", "a", "b", "b", "c", "c", "c", "b"]
    assert back["w"].dtype == kinds.dtype


def test_a_category_called_other_is_not_mistaken():
    words = ["other"] * 5 + ["b"] * 4 + ["c"] * 3
    _, _, back = round_trip(pd.DataFrame({"w": words}), Table(max_categories=2))
    assert back["w"].tolist() == ["other"] * 5 + ["other (pooled)"] * 7


def test_identifiers_are_pooled_and_named():
    frame = pd.DataFrame({"id": [f"u{i}" for i in range(20_000)], "x": np.arange(20_000.0)})
    fitted, _, _ = round_trip(frame)
    assert fitted.layout.categories == (1, 0)
    assert any("20000 distinct values" in r and "identifier" in r and "'id'" in r for r in fitted.reasons)
    assert len(json.dumps(fitted.to_config())) < 10_000


def test_unseen_categories_warn_and_are_blank():
    fitted = Table().fit(pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}))
    with pytest.warns(DataWarning, match=r"column 'a': 2 cells .*unseen.*'z', 'q'"):
        rows = fitted.to_rows(pd.DataFrame({"a": ["z", "y", "q", None], "b": [1.0] * 4}))
    assert rows.observed[:, 0].tolist() == [False, True, False, False]
    assert rows.values[:, 0].tolist() == [0, 1, 0, 0]


def test_integer_categories():
    frame = pd.DataFrame({"zip": [10, 2, 10, 30], "n": [1, 2, 3, 4]})
    assert Table().fit(frame).layout.categories is None
    fitted, rows, back = round_trip(frame, Table(integer_categories=3))
    assert fitted.layout.categories == (3, 0)
    assert rows.values[:, 0].tolist() == [1, 0, 1, 2]  # in numerical order
    pd.testing.assert_frame_equal(back, frame)
    named, _, back = round_trip(frame, Table(categorical=("n",)))
    assert named.layout.categories == (0, 4)
    pd.testing.assert_frame_equal(back, frame)
    assert named.to_rows(frame.astype(float)).values.tolist() == named.to_rows(frame).values.tolist()
    with pytest.raises(InvalidParameter, match="no such column"):
        Table(categorical=("nope",)).fit(frame)


# --- likelihoods -----------------------------------------------------------------------------------------------


def test_likelihood_follows_the_columns():
    assert Table().fit(np.eye(3)).likelihood() == likelihoods.Gaussian()
    assert Table().fit(np.array([["a"], ["b"]])).likelihood() == likelihoods.Categorical()
    assert Table().fit(np.eye(3, dtype=bool)).likelihood() == likelihoods.Categorical()
    mixed = Table().fit(np.array([["a", 1], ["b", 2]], dtype=object)).likelihood()
    assert mixed == likelihoods.Mixed(columns=(likelihoods.Categorical(), likelihoods.Gaussian()))


def test_booleans_under_a_likelihood_of_numbers():
    x = np.array([[True, False], [False, False], [True, False]])
    fitted, rows, back = round_trip(x, likelihood=likelihoods.Bernoulli())
    assert fitted.layout.categories is None
    assert rows.values.tolist() == [[1, 0], [0, 0], [1, 0]]
    assert (back == x).all()


def test_integers_under_a_categorical_likelihood():
    x = np.array([[3, 1], [5, 1], [3, 2]])
    fitted, rows, back = round_trip(x, likelihood=likelihoods.Categorical())
    assert fitted.layout.categories == (2, 2)
    assert rows.values.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert (back == x).all()
    with pytest.raises(InvalidParameter, match="Categorical cannot describe"):
        Table().fit(np.random.default_rng(0).normal(size=(500, 1)), likelihoods.Categorical())


def test_mixed_likelihood_by_column():
    frame = pd.DataFrame({"n": [0, 4, 9], "u": [5.0, 6.0, 7.0], "w": ["a", "b", "a"]})
    mixed = likelihoods.Mixed(
        columns=(likelihoods.Poisson(), likelihoods.ContinuousBernoulli(), likelihoods.Categorical())
    )
    fitted, rows, back = round_trip(frame, likelihood=mixed)
    assert rows.values.tolist() == [[0, 0, 0], [4, 0.5, 1], [9, 1, 0]]
    pd.testing.assert_frame_equal(back, frame)
    assert fitted.likelihood() == mixed
    with pytest.raises(InvalidParameter, match="3 likelihoods for a table of 2 columns"):
        Table().fit(frame[["n", "u"]], mixed)


def test_a_likelihood_that_cannot_describe_the_table():
    with pytest.raises(InvalidParameter):
        Table().fit(pd.DataFrame({"w": ["a", "b"]}), likelihoods.Gaussian())


# --- matching --------------------------------------------------------------------------------------------------


def test_columns_are_matched_by_name_in_any_order_and_container():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    fitted = Table().fit(frame)
    expected = fitted.to_rows(frame).values
    for other in (
        frame[["b", "a"]],
        pl.DataFrame({"b": ["x", "y"], "a": [1, 2]}),
        pa.table({"b": ["x", "y"], "a": [1, 2]}),
    ):
        assert torch.equal(fitted.to_rows(other).values, expected)
    assert fitted.feature_names == ["a", "b"]
    assert torch.equal(fitted.to_rows(np.array([[1, "x"], [2, "y"]], dtype=object)).values, expected)


def test_other_names_are_named():
    fitted = Table().fit(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]}))
    with pytest.raises(InvalidData) as error:
        fitted.to_rows(pd.DataFrame({"a": [1.0], "c": [2.0]}))
    words = str(error.value)
    assert "The feature names should match those that were passed during fit" in words
    assert "unseen at fit time:\n- c" in words
    assert "now missing:\n- b" in words
    with pytest.raises(InvalidData, match="unseen at fit time:\n- z"):
        fitted.to_rows(pd.DataFrame({"a": [1.0], "b": [2.0], "z": [3.0]}))


def test_wrong_width_in_the_words_of_scikit_learn():
    fitted = Table().fit(np.eye(3))
    with pytest.raises(ValueError, match="X has 2 features, but Autoencoder is expecting 3 features as input"):
        fitted.to_rows(np.eye(2), owner="Autoencoder")
    with pytest.raises(InvalidData, match="for a table of 3 columns"):
        fitted.from_values(torch.zeros(4, 2))


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (np.empty((0, 3)), ValueError, r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
        (np.empty((4, 0)), ValueError, r"0 feature\(s\) \(shape=\(4, 0\)\) while a minimum of 1 is required."),
        (pd.DataFrame({"a": []}), ValueError, r"0 sample\(s\)"),
        (np.arange(3.0), ValueError, "Expected 2D array, got 1D array instead.*Reshape your data"),
        (pd.Series([1.0]), ValueError, "Expected 2D array, got 1D array instead.*Reshape your data"),
        (np.zeros((2, 2, 2)), ValueError, "dim 3"),
        (np.full((2, 2), np.nan), ValueError, "every cell of the table is blank"),
        (pd.DataFrame({"a": [None, None]}), ValueError, "every cell of the table is blank"),
        (np.array([[1.0], [np.inf]]), ValueError, "infinity: column 0, row 1"),
        (pd.DataFrame({"a": [1.0, -np.inf]}), ValueError, "infinity: column 'a', row 1"),
        (np.array([[1.0], [1e200]]), ValueError, "infinity or a value too large"),
        (np.array([[1 + 2j], [0]]), ValueError, "Complex data not supported"),
        (pd.DataFrame({"a": [1 + 2j, 0]}), ValueError, "Complex data not supported"),
        (np.array([[{"foo": "bar"}], [1.0]], dtype=object), TypeError, "argument must be .* string.* number"),
        (np.array([[{"foo": "bar"}], [{}]], dtype=object), TypeError, "argument must be .* string.* number"),
        (pd.DataFrame({"a": [[1], [2]]}), TypeError, "column 'a' holds"),
        (pd.DataFrame({"a": [b"x", b"y"]}), TypeError, "column 'a' holds"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "more than one column is named 'a'"),
        ({"a": [1]}, TypeError, "DataFrame"),
        ("people.csv", TypeError, "read_table"),
        (7, TypeError, "not a table"),
        ([[1, 2], [3]], ValueError, "rows and columns"),
        (np.zeros(3, dtype=[("a", float)]), TypeError, "structured"),
    ],
)
def test_bad_tables_are_refused_in_words(raw, error, words):
    with pytest.raises(error, match=words):
        Table().fit(raw)


def test_sparse_is_refused_in_words():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_matrix, sparse.csr_array, sparse.coo_matrix):
        with pytest.raises(InvalidType, match=r"Sparse data .*X.toarray\(\)"):
            Table().fit(kind(np.eye(3)))


def test_cells_of_another_kind_later():
    fitted = Table().fit(
        pd.DataFrame(
            {"n": [1.0, 2.0], "i": [1, 2], "t": pd.to_datetime(["2020-01-01", "2021-01-01"]), "b": [True, False]}
        )
    )
    good = {"n": [1.0], "i": [1], "t": pd.to_datetime(["2020-01-01"]), "b": [True]}
    for name, cells, words in (
        ("n", ["abc"], "column 'n' held numbers when fitted, but now holds text such as 'abc'"),
        (
            "i",
            [
                "7",
            ][:1],
            "column 'i' held whole numbers when fitted, but now holds text such as '7'",
        ),
        ("t", ["2020-01-01"], "column 't' held timestamps when fitted, but now holds text"),
        ("t", [3.5], "column 't' held timestamps when fitted, but now holds numbers such as 3.5"),
        ("b", [2], "column 'b' held booleans when fitted, but now holds"),
        ("n", [np.inf], "infinity"),
    ):
        with pytest.raises(InvalidData, match=words):
            fitted.to_rows(pd.DataFrame({**good, name: cells}))
    rows = fitted.to_rows(pd.DataFrame({**good, "i": [1.5], "b": [0], "n": [None]}))
    assert rows.values[0, 1].item() == pytest.approx(0.0)
    assert rows.observed.tolist() == [[False, True, True, True]]


def test_options_are_checked():
    for options in ({"max_categories": 1}, {"scaling": "log"}, {"min_count": 0}):
        with pytest.raises(InvalidParameter):
            Table(**options).fit(np.eye(2))


def test_infinity_later_in_a_plain_array():
    fitted = Table().fit(np.eye(3))
    with pytest.raises(InvalidData, match="infinity: column 1, row 0"):
        fitted.to_rows(np.array([[0, np.inf, 0]]))


# --- files and speed -------------------------------------------------------------------------------------------


def test_options_are_a_part():
    part = Table(max_categories=7, scaling="robust")
    assert Part.from_config(json.loads(json.dumps(part.to_config()))) == part
    assert repr(part) == "formats.Table(max_categories=7, scaling='robust')"


def test_config_is_exact_json():
    frame = everything()
    rng = np.random.default_rng(0)
    heavy = pd.DataFrame({"h": np.exp(4 * rng.normal(size=300)), "w": rng.integers(0, 500, 300).astype(str)})
    for raw in (frame, heavy, np.random.default_rng(0).normal(size=(20, 3)), pl.from_pandas(frame[["text", "number"]])):
        fitted = Table().fit(raw)
        text = json.dumps(fitted.to_config(), allow_nan=False)
        again = TableFormat.from_config(json.loads(text))
        assert again == fitted
        assert again.layout == fitted.layout
        rows = fitted.to_rows(raw)
        assert torch.equal(again.to_rows(raw).values, rows.values)
        first, second = (f.from_values(rows.values, rows.observed) for f in (fitted, again))
        assert type(first) is type(second)
        assert np.array_equal(first, second) if isinstance(first, np.ndarray) else first.equals(second)
    given = Table().fit(np.eye(3), likelihoods.Laplace())
    assert TableFormat.from_config(given.to_config()).likelihood() == likelihoods.Laplace()


def test_damaged_config_is_refused():
    config = Table().fit(np.eye(3)).to_config()
    for damage in (
        {"columns": [{"name": 0}]},
        {"columns": None},
        {"likelihood": {"part": "os.system"}},
        {"container": {}},
    ):
        with pytest.raises(SavedModelError, match="damaged"):
            TableFormat.from_config({**config, **damage})
    with pytest.raises(SavedModelError):
        TableFormat.from_config({})


def test_fast_path_equals_column_by_column():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(50, 4))
    x[3, 1] = np.nan
    fitted = Table().fit(x)
    slow = fitted.to_rows(x.astype(object))
    fast = fitted.to_rows(x)
    assert torch.equal(fast.values, slow.values)
    assert torch.equal(fast.observed, slow.observed)
    assert torch.equal(fitted.to_rows(x[:1]).values, fast.values[:1])


def test_leading_dimensions():
    fitted = Table().fit(np.eye(3))
    assert fitted.from_values(torch.zeros(5, 2, 3)).shape == (5, 2, 3)


@pytest.mark.slow
def test_a_large_table_takes_seconds():
    rng = np.random.default_rng(0)
    n = 700_000
    frame = pd.DataFrame(
        {
            **{f"x{i}": rng.normal(size=n) for i in range(6)},
            **{f"c{i}": rng.integers(0, 50, n).astype(str) for i in range(4)},
            "t": pd.date_range("2000", periods=n, freq="s"),
            "k": rng.integers(0, 1000, n),
        }
    )
    fitted = Table().fit(frame)
    rows = fitted.to_rows(frame)
    assert rows.values.shape == (n, 12)


@pytest.mark.parametrize("blank", [False, True])
def test_arrays_are_scaled_alike_in_blocks_of_any_size(blank, monkeypatch):
    x = np.random.default_rng(0).normal(3, 2, size=(50, 4))
    if blank:
        x[10:20] = np.nan
    fitted = Table().fit(x)
    whole = fitted.to_rows(x)
    monkeypatch.setattr("narrows.data.table._AT_ONCE", 12)
    blocks = fitted.to_rows(x)
    assert torch.equal(whole.values, blocks.values)
    assert (whole.observed is None) == (blocks.observed is None) == (not blank)
    if blank:
        assert torch.equal(whole.observed, blocks.observed)
    x[49, 1] = np.inf
    with pytest.raises(InvalidData, match="row 49"):
        fitted.to_rows(x)
