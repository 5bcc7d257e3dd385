"""The imputer: what it fills, what it leaves alone, what it says."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import Imputer, Training
from narrows.errors import DataWarning, InvalidData, InvalidParameter, NarrowsError, SavedModelError


@parametrize_with_checks([Imputer(members=1, training=Training(epochs=2)), Imputer(members=0)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


QUICK = Training(epochs=4, batch_size=128, learning_rate=4e-3)


def curved(n: int = 500, seed: int = 0) -> np.ndarray:
    """Columns that two hidden numbers make, by curves: a straight line misses some of it."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-2, 2, (2, n))
    clean = np.stack([a, b, a * b, np.sin(2 * a), b**2, a + b], axis=1)
    return clean + 0.1 * rng.normal(size=clean.shape)


def blanked(X: np.ndarray, share: float = 0.25, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.random.default_rng(seed).random(X.shape) < share
    return np.where(hidden, np.nan, X), hidden


def error(X: np.ndarray, filled: np.ndarray, hidden: np.ndarray) -> float:
    return float((((filled - X) / X.std(0))[hidden] ** 2).mean())


@pytest.fixture(scope="module")
def fitted():
    return Imputer(members=1, training=QUICK, random_state=0).fit(blanked(curved())[0])


def mixed(n: int = 300) -> pd.DataFrame:
    """A category that follows from a number, a number that follows from a category, and whole numbers."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=n)
    kind = np.where(size > 0.5, "large", np.where(size < -0.5, "small", "middle")).astype(object)
    frame = pd.DataFrame(
        {
            "size": size,
            "kind": pd.Categorical(kind),
            "price": np.where(kind == "large", 10.0, 1.0) + 0.1 * rng.normal(size=n),
            "rooms": pd.array(np.rint(3 + size).astype(int), dtype="Int64"),
            "good": pd.array(size > 0, dtype="boolean"),
        },
        index=[f"row{i}" for i in range(n)],
    )
    for j in range(frame.shape[1]):
        frame.iloc[rng.permutation(n)[: n // 6], j] = pd.NA if j > 2 else None
    return frame


class TestQuality:
    def test_beats_mean_straight_lines_and_its_untrained_self(self, fitted):
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer

        X = curved()
        Z, hidden = blanked(X)
        ours = error(X, fitted.transform(Z), hidden)
        assert ours < 0.85 * error(X, IterativeImputer(random_state=0).fit_transform(Z), hidden)
        assert ours < 0.6 * error(X, np.where(hidden, np.nanmean(Z, axis=0), Z), hidden)
        assert ours < error(X, Imputer(members=0, random_state=0).fit_transform(Z), hidden)

    def test_rows_it_was_not_trained_on(self, fitted):
        X = curved(300, 5)
        Z, hidden = blanked(X, seed=6)
        assert error(X, fitted.transform(Z), hidden) < 0.6 * error(X, np.where(hidden, 0, X), hidden)

    def test_a_linear_rule_is_found(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 2))
        X = np.column_stack([X, X[:, 0] - 2 * X[:, 1]])
        Z = X.copy()
        Z[:40, 2] = np.nan
        filled = Imputer(members=0, random_state=0).fit_transform(Z)
        assert np.corrcoef(filled[:40, 2], X[:40, 2])[0, 1] > 0.99

    def test_intervals_of_draws_hold_what_they_promise(self, fitted):
        X = curved(400, 9)
        Z, hidden = blanked(X, seed=10)
        draws = np.array(fitted.draws(Z, 200, random_state=0))[:, hidden]
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        assert 0.85 <= np.mean((X[hidden] >= low) & (X[hidden] <= high)) <= 0.95

    def test_columns_that_go_together_vary_together(self):
        rng = np.random.default_rng(0)
        a = rng.normal(size=400)
        X = np.column_stack([a, a + 0.05 * rng.normal(size=400), rng.normal(size=400)])
        imputer = Imputer(members=0, random_state=0).fit(X)
        blank = np.tile([np.nan, np.nan, 0.0], (1, 1))
        draws = np.array(imputer.draws(blank, 300, random_state=0))[:, 0]
        assert np.corrcoef(draws[:, 0], draws[:, 1])[0, 1] > 0.9
        for a in ([1, 0], [0, 1], [1, 1]):
            assert 0.85 < (draws[:, :2] @ a).std() / (X[:, :2] @ a).std() < 1.2

    def test_drawn_numbers_have_the_columns_decimal_places(self):
        rng = np.random.default_rng(4)
        a = rng.normal(5, 1, 300)
        frame = pd.DataFrame({"weight": a.round(2), "pieces": (3 * a).round(), "free": a + rng.normal(size=300)})
        hidden = rng.random(frame.shape) < 0.2
        imputer = Imputer(members=0, random_state=0).fit(frame.mask(hidden))
        (drawn,) = imputer.draws(frame.mask(hidden), 1, random_state=0)
        for name, places in (("weight", 2), ("pieces", 0)):
            assert np.allclose(drawn[name], drawn[name].round(places), atol=1e-9)
        assert not np.allclose(drawn["free"], drawn["free"].round(3))
        expected = imputer.transform(frame.mask(hidden))
        assert not np.allclose(expected["pieces"], expected["pieces"].round())

    def test_draws_of_a_row_do_not_depend_on_the_rows_after_it(self, fitted):
        Z, _ = blanked(curved())
        few, many = (fitted.draws(Z[:n], 1, random_state=0)[0] for n in (7, 400))
        assert np.array_equal(few, many[:7])

    def test_heavy_tails_do_not_bend_the_weights(self):
        # two cells in a hundred make up the squared error of the last column, and nothing foretells them
        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 4))
        X[:, 3] = np.where(rng.random(600) < 0.02, 40 * rng.random(600), 0.1 * X[:, 0])
        weights = Imputer(members=0, random_state=0).fit(blanked(X, 0.1)[0]).filler_.weights
        assert (weights >= 0).all()
        assert (weights.sum(1) <= 1 + 1e-4).all()

    def test_of_many_rows_some_are_learnt_from(self, monkeypatch):
        monkeypatch.setattr("narrows.tasks.impute.MOST_ROWS", 150)
        X = curved(400)
        Z, hidden = blanked(X)
        imputer = Imputer(members=0, random_state=0).fit(Z)
        assert "150 rows of 400" in imputer.reasons_[-1]
        assert error(X, imputer.transform(Z), hidden) < 0.7 * error(
            X, np.where(hidden, np.nanmean(Z, axis=0), Z), hidden
        )

    @pytest.mark.slow
    def test_wide_tables_keep_their_correlations(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(250, 3)) @ rng.normal(size=(3, 260)) + 0.5 * rng.normal(size=(250, 260))
        Z, hidden = blanked(X, 0.2)
        imputer = Imputer(members=0, random_state=0).fit(Z)
        assert "factors" in imputer.reasons_[-1]
        assert error(X, imputer.transform(Z), hidden) < 0.25
        few = X[:50][hidden[:50]]
        draws = np.array(imputer.draws(Z[:50], 19, random_state=0))[:, hidden[:50]]
        assert 0.86 <= np.mean((few >= draws.min(0)) & (few <= draws.max(0))) <= 0.94


class TestCells:
    def test_observed_cells_are_the_same_bit_for_bit(self, fitted):
        Z, hidden = blanked(curved() * np.pi)
        for filled in (fitted.transform(Z), *fitted.draws(Z, 2, random_state=0)):
            assert not np.isnan(filled).any()
            assert filled.dtype == Z.dtype
            assert np.array_equal(filled[~hidden].view(np.int64), Z[~hidden].view(np.int64))

    def test_the_input_is_not_changed(self, fitted):
        Z, _ = blanked(curved())
        before = Z.copy()
        fitted.transform(Z)
        assert np.array_equal(Z, before, equal_nan=True)

    def test_a_rows_result_does_not_depend_on_its_batch(self, fitted):
        Z, _ = blanked(curved())
        whole = fitted.transform(Z)
        assert np.array_equal(fitted.transform(Z[7:9]), whole[7:9])

    @pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
    def test_frames_come_back_as_they_were_but_filled(self, kind):
        frame = mixed()
        given = {
            "pandas": frame,
            "polars": pl.from_pandas(frame.astype({"kind": object})).with_columns(pl.col("kind").cast(pl.Categorical)),
            "pyarrow": pa.Table.from_pandas(frame.astype({"kind": object}), preserve_index=False),
        }[kind]
        imputer = Imputer(members=0, random_state=0).fit(given)
        for filled in (imputer.transform(given), imputer.draws(given, 1, random_state=0)[0]):
            assert type(filled) is type(given)
            if kind == "pandas":
                assert filled.dtypes.equals(frame.dtypes)
                assert list(filled.index) == list(frame.index)
                assert not filled.isna().any().any()
                seen = frame.notna()
                for name in frame.columns:
                    assert filled[name][seen[name]].tolist() == frame[name][seen[name]].tolist()
            elif kind == "polars":
                assert filled.schema == given.schema
                assert sum(filled.null_count().row(0)) == 0
                assert all((filled[c] == given[c]).drop_nulls().all() for c in given.columns)
            else:
                assert filled.schema.names == given.schema.names
                assert filled.schema.types == given.schema.types
                assert sum(c.null_count for c in filled.columns) == 0
        if kind == "pandas":
            blank = frame["kind"].isna() & frame["size"].notna()
            truth = np.where(frame["size"] > 0.5, "large", np.where(frame["size"] < -0.5, "small", "middle"))
            assert (imputer.transform(frame)["kind"].astype(str)[blank] == truth[blank]).mean() > 0.7

    def test_columns_in_another_order_are_matched_by_name(self):
        frame = mixed()
        imputer = Imputer(members=0, random_state=0).fit(frame)
        other = imputer.transform(frame[frame.columns[::-1]])
        pd.testing.assert_frame_equal(other[frame.columns], imputer.transform(frame))

    def test_unseen_categories_stay(self):
        frame = mixed().astype({"kind": object})
        imputer = Imputer(members=0, random_state=0).fit(frame)
        frame.loc["row0", "kind"] = "huge"
        with pytest.warns(DataWarning):
            assert imputer.transform(frame).loc["row0", "kind"] == "huge"


class TestBadInput:
    def test_no_complete_row(self):
        X = curved(200)
        X[np.arange(200), np.arange(200) % 6] = np.nan
        assert np.isfinite(Imputer(members=0, random_state=0).fit_transform(X)).all()

    def test_a_row_and_a_column_all_blank(self):
        X = curved(200)
        X[0] = np.nan
        X[:, 3] = np.nan
        with pytest.warns(DataWarning, match="blank"):
            filled = Imputer(members=0, random_state=0).fit_transform(X)
        assert np.isnan(filled[:, 3]).all()
        assert np.isfinite(np.delete(filled, 3, axis=1)).all()

    def test_one_category_constant_columns_and_few_rows(self):
        frame = pd.DataFrame({"a": [1.0, 1.0, None, 1.0], "b": ["x", None, "x", "x"], "c": [1.0, 2.0, 3.0, None]})
        filled = Imputer(members=1, training=Training(epochs=1), random_state=0).fit_transform(frame)
        assert filled["a"].tolist() == [1.0] * 4
        assert filled["b"].tolist() == ["x"] * 4
        assert 1 <= filled["c"][3] <= 3

    def test_ten_thousand_categories(self):
        rng = np.random.default_rng(0)
        names = [f"name{i}" for i in range(10_000)] * 2
        frame = pd.DataFrame({"name": names, "x": rng.normal(size=20_000)})
        frame.loc[::500, "name"] = None
        imputer = Imputer(members=0, random_state=0).fit(frame)
        filled = imputer.transform(frame)
        assert any("pooled into 'other'" in reason for reason in imputer.reasons_)
        assert set(filled["name"]) <= set(names)  # never the pool's own name, which the table does not hold
        assert (filled["name"] == frame["name"])[frame["name"].notna()].all()

    def test_a_single_row_and_a_blank_one(self, fitted):
        with pytest.raises(InvalidData, match="at least 2 rows"):
            Imputer().fit(curved(1))
        filled = fitted.transform(np.full((1, 6), np.nan))
        # of a row without anything the means are expected
        assert np.allclose(filled, np.nanmean(blanked(curved())[0], axis=0), atol=0.25)
        row = np.array([[1.0, 1.0, np.nan, 0.9, 1.0, 2.0]])
        assert 0.4 < fitted.transform(row)[0, 2] < 1.6

    def test_nothing_blank_and_only_blanks(self):
        X = curved(60)
        assert np.array_equal(Imputer(members=0).fit_transform(X), X)
        with pytest.raises(InvalidData, match="blank"):
            Imputer().fit(np.full((5, 2), np.nan))

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"members": -1}, "members=-1"),
            ({"model": "vae"}, "model='vae'"),
            ({"network": "dense"}, "network='dense'"),
            ({"training": Training(epochs=0)}, "epochs=0"),
            ({"format": narrows.data.Image()}, "Table"),
        ],
    )
    def test_parameters_are_checked_when_fitting_starts(self, params, words):
        imputer = Imputer(**params)
        with pytest.raises(InvalidParameter, match=words):
            imputer.fit(curved(50))
        assert not hasattr(imputer, "filler_")

    def test_a_column_that_changes_its_type(self):
        frame = mixed()
        imputer = Imputer(members=0).fit(frame)
        with pytest.raises(InvalidData, match="size"):
            imputer.transform(frame.assign(size="big"))
        table = pa.Table.from_pandas(frame.astype({"kind": object}), preserve_index=False)
        booleans = table.set_column(1, "kind", pa.array([None, *[True] * (len(frame) - 1)]))
        with pytest.warns(DataWarning), pytest.raises(InvalidData, match="convert the column"):
            imputer.transform(frame.assign(kind=[None, *[1.0] * (len(frame) - 1)]))
        imputer = Imputer(members=0).fit(table)
        with pytest.warns(DataWarning), pytest.raises(InvalidData, match="convert the column"):
            imputer.transform(booleans)

    def test_not_fitted_and_bad_numbers(self, fitted):
        with pytest.raises(NarrowsError, match="call fit"):
            Imputer().transform(curved(3))
        with pytest.raises(InvalidParameter, match="n=0"):
            fitted.draws(curved(3), 0)
        with pytest.raises(InvalidParameter, match="share"):
            fitted.self_test(curved(3), share=0.9)
        with pytest.raises(InvalidParameter, match="fitted"):
            Imputer.from_model(narrows.Autoencoder(), curved(10))


class TestModels:
    def test_from_a_fitted_model(self, tmp_path):
        X = curved()
        Z, hidden = blanked(X)
        model = narrows.DenoisingAutoencoder(
            8, corruption=narrows.corruptions.Masking(0.3), training=Training(epochs=60), random_state=0
        ).fit(Z)
        imputer = Imputer.from_model(model, Z, random_state=0)
        filled = imputer.transform(Z)
        assert np.array_equal(filled[~hidden], Z[~hidden])
        assert error(X, filled, hidden) < 0.8 * error(X, np.where(hidden, np.nanmean(Z, axis=0), Z), hidden)
        draws = np.array(imputer.draws(Z, 100, random_state=0))[:, hidden]
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        assert 0.85 <= np.mean((X[hidden] >= low) & (X[hidden] <= high)) <= 0.97
        again = narrows.load(imputer.save(tmp_path / "imputer"))
        assert np.array_equal(again.transform(Z), filled)
        assert np.array_equal(again.draws(Z, 1, random_state=0)[0][hidden], draws[0])

    def test_an_unfitted_model_is_trained_and_the_given_one_left_alone(self):
        model = narrows.Autoencoder(2, training=Training(epochs=2))
        imputer = Imputer(model, random_state=0).fit(mixed())
        assert not hasattr(model, "module_")
        assert hasattr(imputer.model_, "module_")
        assert not imputer.transform(mixed()).isna().any().any()
        assert imputer.set_params(model__code_size=3).get_params()["model__code_size"] == 3


class TestScikitLearn:
    def test_pipeline_names_and_output(self):
        Z, _ = blanked(curved(100))
        pipeline = make_pipeline(Imputer(members=0), LinearRegression()).fit(Z, Z[:, 0] != Z[:, 0])
        assert pipeline.predict(Z).shape == (100,)
        frame = pd.DataFrame(Z, columns=list("abcdef"))
        imputer = Imputer(members=0).set_output(transform="pandas").fit(frame)
        assert list(imputer.get_feature_names_out()) == list("abcdef")
        assert list(imputer.transform(frame).columns) == list("abcdef")
        assert isinstance(imputer.set_output(transform="polars").transform(frame), pl.DataFrame)

    def test_equal_seeds_equal_fillings(self, fitted):
        Z, _ = blanked(curved())
        assert np.array_equal(clone(fitted).fit(Z).transform(Z), fitted.transform(Z))
        a, b = (fitted.draws(Z, 1, random_state=3)[0] for _ in range(2))
        assert np.array_equal(a, b)
        assert not np.array_equal(fitted.draws(Z, 1, random_state=4)[0], a)

    def test_pickled_and_saved_is_the_same(self, fitted, tmp_path):
        Z, _ = blanked(curved())
        fitted.save(tmp_path / "imputer")
        again = narrows.load(tmp_path / "imputer")
        for other in (pickle.loads(pickle.dumps(fitted)), again):
            assert np.array_equal(other.transform(Z), fitted.transform(Z))
            assert np.array_equal(other.draws(Z, 1, random_state=0)[0], fitted.draws(Z, 1, random_state=0)[0])
        text = (tmp_path / "imputer" / "model.json").read_text()
        (tmp_path / "imputer" / "model.json").write_text(text.replace('"members": 1', '"members": 0'))
        with pytest.raises(SavedModelError):
            narrows.load(tmp_path / "imputer")


class TestSelfTest:
    def test_beside_the_classical_methods(self):
        Z, _ = blanked(curved(400))
        test = Imputer(members=1, training=QUICK).self_test(Z)
        assert set(test.squared_error) == {"narrows", "mean/mode", "kNN", "iterative"}
        assert test.squared_error["narrows"] < test.squared_error["iterative"] < test.squared_error["mean/mode"]
        assert test.wrong is None
        assert 0.8 <= test.coverage <= 0.97
        assert test.cells == pytest.approx(0.1 * np.isfinite(Z).sum(), abs=6)
        assert "hidden cells" in test.sentence()
        assert "missing at random" in test.assumption

    def test_categories(self):
        test = Imputer(members=0).self_test(mixed())
        assert test.wrong["narrows"] < test.wrong["mean/mode"]
