"""The detector: what it finds, what it promises, what it says."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import AnomalyDetector, Training
from narrows.errors import DataWarning, InvalidData, InvalidParameter, NarrowsError, SavedModelError

BRIEF = Training(epochs=2, validation=0.0)
QUICK = Training(epochs=60, batch_size=160, validation=0.0, learning_rate=2e-3, optimiser="adamw")


# few rows cannot promise a rate of 1 %
@pytest.mark.filterwarnings("ignore::narrows.errors.DataWarning")
@parametrize_with_checks([AnomalyDetector(trim=0.0, members=2, training=BRIEF)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def together(n: int = 400, seed: int = 0) -> np.ndarray:
    """Rows whose columns depend on each other by curves."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-2, 2, (2, n))
    return np.stack([a, b, a * b, np.sin(2 * a), a + b], axis=1) + 0.05 * rng.normal(size=(n, 5))


def shuffled(n: int = 100, seed: int = 9) -> np.ndarray:
    """Rows whose every cell is usual, but not together."""
    return np.random.default_rng(seed).permuted(together(n, seed), axis=0)


def mixed(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    kind = np.where(size > 0.5, "large", np.where(size < -0.5, "small", "middle")).astype(object)
    frame = pd.DataFrame({"size": size, "kind": kind, "weight": 3 * size + 0.1 * rng.normal(size=n), "unit": 1.0})
    frame["rooms"] = rng.integers(1, 9, n)
    frame.loc[rng.permutation(n)[:30], "kind"] = None
    frame.loc[rng.permutation(n)[:30], "weight"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted():
    return AnomalyDetector(trim=0.0, members=4, training=QUICK, random_state=0).fit(together())


@pytest.fixture(scope="module")
def of_mixed():
    return AnomalyDetector(trim=0.0, members=4, training=QUICK, random_state=0).fit(mixed())


class TestFinds:
    def test_training_pays(self, fitted):
        """Better than its untrained self, than distances alone, and than chance."""
        X = np.concatenate([together(200, 1), shuffled()])
        y = np.repeat([0, 1], [200, 100])
        still = (
            clone(fitted).set_params(training=Training(epochs=1, learning_rate=1e-12, validation=0.0)).fit(together())
        )
        found = {}
        for name, model in (("trained", fitted), ("untrained", still)):
            denoising = model.detector_.evidence.denoising
            rows = denoising.space(model.format_.to_rows(X))
            found[name] = roc_auc_score(y, denoising.terms(rows).sum(1))
        assert found["trained"] > max(0.9, found["untrained"] + 0.1)
        assert roc_auc_score(y, fitted.anomaly_score(X)) > 0.93

    def test_alarms_come_at_no_more_than_the_rate_that_was_chosen(self, fitted):
        """New rows are judged by the mean of all folds, which is less noisy than one: few alarms at low rates."""
        X = together(2000, 3)
        for rate, least in ((0.02, 0.001), (0.1, 0.05), (0.3, 0.22)):
            assert least < fitted.alarms(X, rate=rate).mean() < 1.3 * rate

    def test_scores_vary_and_equal_seeds_give_equal_scores(self, fitted):
        X = together(100, 1)
        scores = fitted.score_samples(X)
        assert np.isfinite(scores).all()
        assert np.unique(scores).size == 100
        assert np.array_equal(clone(fitted).fit(together()).score_samples(X), scores)
        assert not np.array_equal(clone(fitted).set_params(random_state=1).fit(together()).score_samples(X), scores)

    def test_a_rows_result_never_depends_on_its_batch(self, fitted):
        X = together(50, 1)
        whole = fitted.score_samples(X)
        assert np.array_equal(np.concatenate([fitted.score_samples(X[i : i + 7]) for i in range(0, 50, 7)]), whole)

    def test_training_rows_are_not_their_own_witnesses(self, fitted):
        """They score like new rows, not like rows learnt by heart."""
        known, new = fitted.anomaly_score(together()), fitted.anomaly_score(together(2000, 3))
        assert abs(known.mean() - new.mean()) < 0.2
        assert abs(np.quantile(known, 0.9) - np.quantile(new, 0.9)) < 0.4

    def test_contaminated_rows(self):
        rng = np.random.default_rng(0)
        strange = rng.normal(size=(40, 5)) * 0.2 + np.array([3.0, -3, 3, -3, 3])
        X = np.concatenate([together(360), strange])
        found = AnomalyDetector(members=4, training=QUICK, random_state=0).fit(X)
        assert roc_auc_score(np.repeat([0, 1], [360, 40]), found.anomaly_score(X)) > 0.98
        assert found.alarms(X, rate=0.05)[360:].sum() >= 15
        assert found.alarms(X, rate=0.05)[:360].sum() == 0
        assert any("most suspicious rows were set aside" in reason for reason in found.reasons_)

    def test_false_discoveries_are_controlled(self, fitted):
        X = np.concatenate([together(900, 4), 5 * shuffled(100)])
        found = fitted.alarms(X, false_discovery_rate=0.2)
        assert found[900:].sum() > 60
        assert found[:900].sum() <= 0.35 * found.sum()


class TestMixed:
    @pytest.mark.parametrize(
        ("column", "value"),
        [("weight", 9.0), ("kind", "never seen"), ("unit", 2.0), ("rooms", 500)],
    )
    def test_the_cell_that_was_spoilt_is_blamed(self, of_mixed, column, value):
        clean = mixed(40, 1)
        clean = clean[clean.notna().all(axis=1) & (clean["kind"] == "middle")].iloc[:1]
        spoilt = clean.copy()
        spoilt.loc[:, column] = value
        assert of_mixed.anomaly_score(spoilt)[0] > of_mixed.anomaly_score(clean)[0] + 3
        said = of_mixed.explain(spoilt)
        name, given, expected, added = said.cells(0)[0]
        assert (name, given) == (column, value)
        assert expected != value
        assert added > 0.4 * said.scores[0]
        assert said.sentence(0).startswith(f"{column} = ")

    def test_contributions_add_up_and_blanks_add_nothing(self, of_mixed):
        X = mixed(60, 2)
        said = of_mixed.explain(X)
        np.testing.assert_allclose(said.contributions.sum(1), said.scores, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(said.scores, of_mixed.anomaly_score(X))
        assert (said.contributions[X.isna().to_numpy()] == 0).all()
        assert list(said.expected.columns) == list(X.columns)

    def test_expected_values_follow_from_the_other_cells(self, of_mixed):
        X = mixed(100, 3).dropna()
        expected = of_mixed.explain(X).expected
        assert np.corrcoef(expected["weight"], X["size"])[0, 1] > 0.95
        assert (expected["kind"].to_numpy() == X["kind"].to_numpy()).mean() > 0.75

    def test_columns_in_another_order_and_other_containers(self, of_mixed):
        X = mixed(20, 1)
        scores = of_mixed.score_samples(X)
        assert np.array_equal(of_mixed.score_samples(X[X.columns[::-1]]), scores)
        assert np.array_equal(of_mixed.score_samples(pl.from_pandas(X)), scores)
        table = pa.Table.from_pandas(X, preserve_index=False)
        assert np.array_equal(of_mixed.score_samples(table), scores)
        said = of_mixed.explain(table.select(table.column_names[::-1]))
        assert said.cells(3)[0][1] == X[said.cells(3)[0][0]].iloc[3]

    def test_a_blank_where_there_was_none_in_training_is_not_strange(self):
        """Neither in a category nor in a number, though what is filled in equals no row's cell, and others miss it."""
        whole = mixed(300).drop(columns="unit").dropna()
        model = AnomalyDetector(trim=0.0, members=4, training=QUICK, random_state=0).fit(whole)
        X = mixed(300, 5).drop(columns="unit").dropna()
        for column in ("kind", "weight"):
            blank = X.copy()
            blank[column] = None if column == "kind" else np.nan
            assert (model.p_values(blank) < 0.05).mean() < 0.2
            assert (model.explain(blank).contributions[:, list(X.columns).index(column)] == 0).all()

    def test_a_row_of_blanks_is_not_strange(self, of_mixed):
        blank = mixed(1).astype(object)
        blank.loc[:] = None
        assert np.isfinite(of_mixed.anomaly_score(blank)).all()
        assert of_mixed.predict(blank)[0] == 1


class TestModels:
    def test_any_estimator_can_be_the_judge(self):
        inner = narrows.Autoencoder(2, training=Training(epochs=60), random_state=0)
        found = AnomalyDetector(inner, alarm_rate=0.05, random_state=0).fit(together())
        assert len(found.models_) == 4
        X = np.concatenate([together(200, 1), shuffled()])
        assert roc_auc_score(np.repeat([0, 1], [200, 100]), found.anomaly_score(X)) > 0.8
        assert found.alarms(together(1000, 2), rate=0.1).mean() < 0.16
        said = found.explain(X[:5])
        np.testing.assert_allclose(said.contributions.sum(1), said.scores, atol=1e-6)

    def test_a_fitted_model_of_images(self):
        rng = np.random.default_rng(0)
        images = np.clip(np.linspace(0, 1, 64).reshape(8, 8) * rng.uniform(0.5, 1, (200, 1, 1)), 0, 1)
        model = narrows.Autoencoder(2, training=Training(epochs=40), random_state=0).fit(images[:100])
        found = AnomalyDetector.from_model(model, images[100:])
        spoilt = images[:1].copy()
        spoilt[0, 2, 3] = 1.0
        said = found.explain(spoilt)
        assert said.contributions.shape[-2:] == (8, 8)
        assert np.unravel_index(said.contributions[0].reshape(8, 8).argmax(), (8, 8)) == (2, 3)
        assert found.p_values(spoilt)[0] == pytest.approx(1 / 101)


class TestFiles:
    @pytest.mark.parametrize("name", ["fitted", "of_mixed"])
    def test_saved_and_loaded_is_the_same_detector(self, name, request, tmp_path):
        model, X = request.getfixturevalue(name), mixed(20, 1) if name == "of_mixed" else together(20, 1)
        again = narrows.load(model.save(tmp_path / "detector"))
        assert again.get_params() == model.get_params()
        assert np.array_equal(again.p_values(X), model.p_values(X))
        assert np.array_equal(again.predict(X), model.predict(X))
        assert again.reasons_ == model.reasons_
        assert again.explain(X).sentence(0) == model.explain(X).sentence(0)
        assert np.array_equal(pickle.loads(pickle.dumps(model)).score_samples(X), model.score_samples(X))

    def test_detectors_over_models(self, tmp_path):
        inner = narrows.VariationalAutoencoder(2, training=Training(epochs=2), random_state=0)
        X = together(60)
        made = AnomalyDetector(inner, alarm_rate=0.1).fit(X)
        again = narrows.load(made.save(tmp_path / "a"))
        assert repr(again.get_params()) == repr(made.get_params())
        assert np.array_equal(again.score_samples(X), made.score_samples(X))
        judged = AnomalyDetector.from_model(inner.fit(X), together(150, 1))
        assert np.array_equal(narrows.load(judged.save(tmp_path / "b")).p_values(X), judged.p_values(X))

    def test_damaged_weights_are_named(self, fitted, tmp_path):
        from narrows.estimators._detector_files import rebuild
        from narrows.estimators._files import describe, load_file

        folder = fitted.save(tmp_path / "detector")
        content = describe(folder)
        state = load_file(folder / content["weights"])
        with pytest.raises(SavedModelError, match=r"near\.usual"):
            rebuild(AnomalyDetector(), content, {n: t for n, t in state.items() if n != "near.usual"}, [])
        with pytest.raises(SavedModelError, match=r"denoising\.noise"):
            rebuild(AnomalyDetector(), content, {**state, "denoising.noise": state["denoising.noise"][:1]}, [])


class TestBadInput:
    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"alarm_rate": 0}, "alarm_rate=0"),
            ({"trim": 0.6}, "trim=0.6"),
            ({"members": 1}, "members=1"),
            ({"format": narrows.data.Image()}, "not for tables"),
            ({"model": "vae"}, "give an unfitted narrows estimator"),
            ({"network": "dense"}, "network='dense'"),
        ],
    )
    def test_parameters_are_checked_when_fitting_starts(self, params, words):
        model = AnomalyDetector(**params)
        with pytest.raises(InvalidParameter, match=words):
            model.fit(together(50))
        assert not hasattr(model, "detector_")

    def test_rates(self, fitted):
        X = together(5)
        with pytest.raises(InvalidParameter, match="rate=2"):
            fitted.alarms(X, rate=2)
        with pytest.raises(InvalidParameter, match="not both"):
            fitted.alarms(X, rate=0.1, false_discovery_rate=0.1)
        with pytest.raises(InvalidParameter, match="rows that were not learnt from"):
            fitted.alarms(together(), false_discovery_rate=0.1)

    def test_few_rows_cannot_promise_a_low_rate(self):
        model = AnomalyDetector(trim=0.0, members=2, training=BRIEF, random_state=0)
        with pytest.warns(DataWarning, match="99 rows would do"):
            model.fit(together(50))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.set_params(alarm_rate=0.05).fit(together(50))

    def test_rows_that_cannot_be_used(self, fitted):
        with pytest.raises(InvalidData, match="one sample"):
            AnomalyDetector().fit(together(1))
        with pytest.raises(ValueError, match="infinity"):
            AnomalyDetector().fit(np.array([[1.0, np.inf], [0.0, 1.0]]))
        with pytest.raises(InvalidData, match="3 features"):
            fitted.score_samples(together(5)[:, :3])
        with pytest.raises(NarrowsError, match="call fit"):
            AnomalyDetector().score_samples(together(5))
        with pytest.raises(InvalidParameter, match="not fitted|no fitted"):
            AnomalyDetector.from_model(narrows.Autoencoder(), together(5))

    @pytest.mark.filterwarnings("ignore::narrows.errors.DataWarning")
    def test_odd_tables(self):
        """No row complete, a column all blank, one category only, as many categories as rows, all rows equal."""
        n = 120
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "left": np.where(np.arange(n) % 2, rng.normal(size=n), np.nan),
                "right": np.where(np.arange(n) % 2, np.nan, rng.normal(size=n)),
                "empty": pd.Series([None] * n, dtype=object),
                "same": ["only"] * n,
                "name": [f"n{i}" for i in range(n)],
            }
        )
        model = AnomalyDetector(members=2, training=BRIEF, random_state=0).fit(frame)
        assert np.isfinite(model.anomaly_score(frame)).all()
        strange = frame.iloc[:1].assign(left=50.0)
        assert model.anomaly_score(strange)[0] > model.anomaly_score(frame).max()
        equal = AnomalyDetector(members=2, training=BRIEF, random_state=0).fit(np.ones((20, 2)))
        assert np.isfinite(equal.score_samples(np.array([[1.0, 1.0], [2.0, 1.0]]))).all()
        assert equal.predict(np.array([[1.0, 2.0]]))[0] == -1

    def test_a_column_whose_type_changed(self, of_mixed):
        with pytest.raises(InvalidData, match="'size' held numbers when fitted, but now holds text"):
            of_mixed.score_samples(mixed(5).assign(size=["a", "b", "c", "d", "e"]))


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_too_few_rows_to_say_what_is_usual_are_refused(n):
    with pytest.raises(InvalidData, match=f"n_samples={n}: so few rows"):
        AnomalyDetector(training=BRIEF, random_state=0).fit(together(n))


@pytest.mark.filterwarnings("ignore::narrows.errors.DataWarning")
def test_few_rows_and_few_different_ones_are_judged_within_reason():
    few = AnomalyDetector(training=BRIEF, random_state=0).fit(together(8))
    assert np.abs(few.score_samples(together(8))).max() < 100
    three = np.repeat(together(3), 20, axis=0)
    for members in (3, 5, 8):
        found = AnomalyDetector(training=BRIEF, members=members, trim=0.0, random_state=0).fit(three)
        assert np.isfinite(found.score_samples(three)).all()
