"""One suite for all estimators: a new one joins by being listed."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import Training, bottlenecks, likelihoods, networks, objectives, penalties, priors
from narrows.errors import InvalidData, InvalidParameter, NarrowsError
from narrows.estimators import BaseAutoencoder
from narrows.estimators._recipes import estimators

ESTIMATORS = [
    narrows.Autoencoder,
    narrows.SparseAutoencoder,
    narrows.ContractiveAutoencoder,
    narrows.DenoisingAutoencoder,
    narrows.VariationalAutoencoder,
    narrows.QuantisedAutoencoder,
    narrows.WassersteinAutoencoder,
    narrows.AdversarialAutoencoder,
    narrows.GroupedAutoencoder,
    narrows.LatentDiffusion,
]


GENERATORS = [narrows.GAN, narrows.MomentMatching, narrows.Flow, narrows.Diffusion, narrows.Boltzmann]

# learn from several sets, or from text, so that what is fitted with one table alone does not apply
SEVERAL = [narrows.Translator, narrows.LanguageModel]


SERIES = [narrows.AutoregressiveModel]  # learn from series, which scikit-learn's tables are not


@parametrize_with_checks([kind(training=Training(epochs=2)) for kind in [*ESTIMATORS, *GENERATORS]])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_every_estimator_is_listed():
    own = {kind for kind in estimators().values() if kind.__module__.startswith("narrows")}
    assert own == {*ESTIMATORS, *GENERATORS, *SEVERAL, *SERIES}
    assert set(ESTIMATORS) == {kind for kind in own if issubclass(kind, BaseAutoencoder)}


def curved(n: int = 400, seed: int = 0) -> np.ndarray:
    """Six columns that two hidden numbers make, by curves: a plane misses some of it."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-2, 2, (2, n))
    clean = np.stack([a, b, a * b, np.sin(2 * a), b**2, np.cos(a + b)], axis=1)
    return clean + 0.02 * rng.normal(size=clean.shape)


def standard_error(model, X: np.ndarray, train: np.ndarray) -> float:
    """Squared error per value, in units of the training columns' variance."""
    return float((((np.asarray(model.reconstruct(X)) - X) / train.std(0)) ** 2).mean())


@pytest.fixture(scope="module", params=ESTIMATORS, ids=lambda kind: kind.__name__)
def fitted(request):
    settings = {"code_size": 2, "training": Training(epochs=150, learning_rate=5e-3), "random_state": 0}
    # milder than the defaults, so that two numbers can carry the six columns
    milder = {
        "SparseAutoencoder": {"target": 0.5, "weight": 0.1},
        "ContractiveAutoencoder": {"weight": 1e-3},
        "DenoisingAutoencoder": {"corruption": narrows.corruptions.Gaussian(0.1)},
        "QuantisedAutoencoder": {"bottleneck": bottlenecks.Quantised(entries=64, subcodes=2)},
    }
    model = request.param(**settings, **milder.get(request.param.__name__, {}))
    return model.fit(curved())


class TestTrained:
    def test_training_changed_every_parameter_that_can_change(self, fitted):
        before = dict(fitted.untrained().module_.named_parameters())
        for name, after in fitted.module_.named_parameters():
            assert not torch.equal(before[name], after), name

    def test_scores_vary_and_are_finite(self, fitted):
        scores = fitted.score_samples(curved(100, 1))
        assert scores.shape == (100,)
        assert np.isfinite(scores).all()
        assert np.unique(scores).size > 90

    def test_strange_rows_score_lower(self, fitted):
        X = curved(100, 1)
        strange = X.copy()
        rng = np.random.default_rng(0)
        for column in strange.T:
            rng.shuffle(column)
        assert np.median(fitted.score_samples(strange)) < np.median(fitted.score_samples(X)) - 1

    def test_beats_its_untrained_self_and_pca(self, fitted):
        train, test = curved(), curved(200, 1)
        pca = PCA(2).fit(train / train.std(0))
        plane = pca.inverse_transform(pca.transform(test / train.std(0)))
        error = standard_error(fitted, test, train)
        assert error < 0.5 * standard_error(fitted.untrained(), test, train)
        assert error < ((plane - test / train.std(0)) ** 2).mean()

    def test_history_and_reasons_say_something(self, fitted):
        assert len(fitted.history_) > 10
        assert fitted.history_.diagnose()
        assert all(isinstance(r, str) and r for r in fitted.reasons_)


class TestUse:
    def test_shapes_and_dtypes(self, fitted):
        X = curved(7, 1)
        assert fitted.transform(X).shape == (7, 2)
        assert fitted.transform(X).dtype == np.float64
        assert fitted.transform(X.astype(np.float32)).dtype == np.float32
        assert fitted.inverse_transform(fitted.transform(X)).shape == (7, 6)
        assert fitted.sample(5).shape == (5, 6)
        lines = fitted.interpolate(X[:2], X[2:4], steps=4)
        assert [line.shape for line in lines] == [(4, 6), (4, 6)]

    def test_reconstruct_is_decode_after_encode(self, fitted):
        X = curved(9, 1)
        np.testing.assert_allclose(
            fitted.reconstruct(X), fitted.inverse_transform(fitted.transform(X)), rtol=1e-4, atol=1e-4
        )

    def test_interpolation_begins_and_ends_at_the_reconstructions(self, fitted):
        X = curved(4, 1)
        line = fitted.interpolate(X[:1], X[1:2], steps=5)[0]
        np.testing.assert_allclose(line[[0, -1]], fitted.reconstruct(X[:2]), rtol=1e-4, atol=1e-4)

    def test_a_rows_result_never_depends_on_its_batch(self, fitted):
        X = curved(50, 1)
        for method in (fitted.transform, fitted.score_samples, fitted.reconstruct):
            whole = method(X)
            assert np.array_equal(np.concatenate([method(X[i : i + 7]) for i in range(0, 50, 7)]), whole)

    def test_samples_follow_the_seed_and_leave_generators_alone(self, fitted):
        torch.manual_seed(3)
        expected = torch.rand(2)
        torch.manual_seed(3)
        a, b, c = (
            fitted.sample(20, random_state=1),
            fitted.sample(20, random_state=1),
            fitted.sample(20, random_state=2),
        )
        assert torch.equal(torch.rand(2), expected)
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)

    def test_samples_look_like_the_data(self, fitted):
        train, new = curved(), fitted.sample(2000, random_state=0)
        assert (np.abs(new.mean(0) - train.mean(0)) < 0.4 * train.std(0)).all()
        assert (new.std(0) > 0.4 * train.std(0)).all()
        assert (new >= train.min(0) - 1e-6).all()
        assert (new <= train.max(0) + 1e-6).all()

    def test_saved_and_loaded_is_the_same_model(self, fitted, tmp_path):
        X = curved(20, 1)
        fitted.save(tmp_path / "model", metrics={"error": 0.1})
        again = narrows.load(tmp_path / "model")
        assert type(again) is type(fitted)
        assert again.get_params(deep=False).keys() == fitted.get_params(deep=False).keys()
        for method in ("transform", "score_samples", "reconstruct"):
            assert np.array_equal(getattr(again, method)(X), getattr(fitted, method)(X))
        assert np.array_equal(again.sample(5, random_state=0), fitted.sample(5, random_state=0))
        assert again.reasons_ == fitted.reasons_
        assert again.history_.diagnose() == fitted.history_.diagnose()
        assert again.untrained().score(X) == fitted.untrained().score(X)
        again.fit(curved(60))

    def test_pickled_is_the_same_model(self, fitted):
        X = curved(20, 1)
        assert np.array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), fitted.transform(X))

    def test_feature_names_and_set_output(self, fitted):
        name = type(fitted).__name__.lower()
        assert list(fitted.get_feature_names_out()) == [f"{name}0", f"{name}1"]
        frame = pd.DataFrame(curved(60), columns=list("abcdef"), index=range(100, 160))
        model = clone(fitted).set_params(training=Training(epochs=1)).set_output(transform="pandas")
        codes = model.fit_transform(frame)
        assert list(codes.columns) == [f"{name}0", f"{name}1"]
        assert list(codes.index) == list(frame.index)
        assert list(model.feature_names_in_) == list("abcdef")
        assert isinstance(model.set_output(transform="polars").transform(frame), pl.DataFrame)

    def test_not_fitted(self, fitted):
        with pytest.raises(NarrowsError, match="call fit"):
            clone(fitted).transform(curved(3))


def quick(**params):
    return narrows.Autoencoder(2, training=Training(epochs=3), random_state=0, **params)


class TestScikitLearn:
    def test_pipeline(self):
        X = curved(200)
        y = X[:, 0] * X[:, 1] > 0
        pipeline = make_pipeline(StandardScaler(), quick(), LogisticRegression()).fit(X, y)
        assert 0 <= pipeline.score(X, y) <= 1
        pipeline.set_params(autoencoder__training__epochs=1, autoencoder__code_size=3)
        assert pipeline.fit(X, y)[-1].coef_.shape == (1, 3)

    def test_grid_search_over_nested_parameters(self):
        model = quick(
            bottleneck=bottlenecks.Plain(activation="sigmoid"),
            penalties=penalties.Penalties(sparsity=penalties.Sparsity(target=0.2)),
        )
        grid = {"penalties__sparsity__weight": [0.1, 30.0], "code_size": [1, 3]}
        search = GridSearchCV(model, grid, cv=2).fit(curved(100))
        assert len(search.cv_results_["params"]) == 4
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        kept = search.best_estimator_.choices_.penalties.get_params()["sparsity__weight"]
        assert kept == search.best_params_["penalties__sparsity__weight"]

    def test_nested_parameters_of_a_part_left_at_none(self):
        model = quick().set_params(
            code_size=None, bottleneck__size=4, penalties__sparsity__weight=2.0, network__widths=(5,)
        )
        assert model.bottleneck == bottlenecks.Plain(size=4)
        assert model.penalties["sparsity"].weight == 2.0
        assert model.network == networks.Dense(widths=(5,))
        with pytest.raises(ValueError, match="Invalid parameter 'botleneck'"):
            model.set_params(botleneck__size=3)

    def test_nested_parameters_begin_with_what_the_estimator_would_choose(self):
        model = narrows.VariationalAutoencoder().set_params(prior__components=3)
        assert model.prior == priors.Mixture(3)
        with pytest.raises(ValueError, match="'scale'"):  # the default is noise and blanks: it has no single scale
            narrows.DenoisingAutoencoder().set_params(corruption__scale=0.5)

    def test_clone_keeps_the_parts(self):
        model = quick(likelihood=likelihoods.Laplace(), prior=priors.Mixture(3))
        assert clone(model).get_params() == model.get_params()

    def test_equal_seeds_equal_models(self):
        X = curved(100)
        a, b = quick().fit(X), quick().fit(X)
        assert np.array_equal(a.transform(X), b.transform(X))
        assert not np.array_equal(quick().set_params(random_state=1).fit(X).transform(X), a.transform(X))

    def test_fit_starts_anew(self):
        X = curved(100)
        model = quick().fit(X[:50])
        assert np.array_equal(model.fit(X).transform(X), quick().fit(X).transform(X))


class TestChoices:
    def test_parts_combine_freely(self):
        rng = np.random.default_rng(0)
        X = rng.random((60, 17, 19))
        model = narrows.Autoencoder(
            4,
            network=networks.Conv(channels=(4, 8)),
            corruption=narrows.corruptions.Gaussian(0.3),
            bottleneck=bottlenecks.Gaussian(),
            penalties=penalties.Penalties(kl=penalties.KL(weight=0.5), sparsity=penalties.L1(weight=0.1)),
            training=Training(epochs=2),
            random_state=0,
        ).fit(X)
        assert {"reconstruction", "kl", "sparsity"} < set(model.history_.columns)
        assert model.reconstruct(X).shape == X.shape

    def test_total_is_the_sum_of_its_terms(self):
        model = quick(
            bottleneck=bottlenecks.Gaussian(), penalties=penalties.Penalties(kl=penalties.KL(), l2=penalties.L2())
        )
        history = model.fit(curved(100)).history_
        total = history["reconstruction"] + history["kl"] + history["l2"]
        np.testing.assert_allclose(history["loss"], total, rtol=1e-5)

    def test_importance_weighted(self):
        model = quick(bottleneck=bottlenecks.Gaussian(), objective=objectives.ImportanceWeighted(samples=4)).fit(
            curved(100)
        )
        assert np.isfinite(model.history_["loss"]).all()

    def test_full_covariance(self):
        model = narrows.VariationalAutoencoder(2, covariance="full", training=Training(epochs=3)).fit(curved(100))
        assert np.isfinite(model.score(curved(10)))

    def test_warm_up_leaves_validation_comparable(self):
        """Validation counts the whole penalty from the first epoch on; training only what has warmed up."""
        model = narrows.VariationalAutoencoder(
            2, warmup=20, training=Training(epochs=10, batch_size=20), random_state=0
        ).fit(curved(400))
        history = model.history_
        assert history["kl"][0] < 0.2 * history["validation_kl"][0]

    def test_disagreeing_sizes(self):
        with pytest.raises(InvalidParameter, match="disagree"):
            quick(bottleneck=bottlenecks.Plain(size=3)).fit(curved(50))

    def test_parts_that_do_not_go_together(self):
        with pytest.raises(InvalidParameter, match="sigmoid"):
            quick(penalties=penalties.Sparsity()).fit(curved(50))
        with pytest.raises(InvalidParameter, match="Gaussian"):
            quick(penalties=penalties.KL()).fit(curved(50))
        with pytest.raises(InvalidParameter, match="use bottleneck=Gaussian"):
            quick(objective=objectives.ImportanceWeighted(samples=4)).fit(curved(50))

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"code_size": 0}, "code_size=0"),
            ({"code_size": 2.5}, "whole number"),
            ({"network": "dense"}, "network='dense'"),
            ({"training": Training(epochs=0)}, "epochs=0"),
            ({"training": Training(learning_rate=-1)}, "learning_rate=-1"),
        ],
    )
    def test_parameters_are_checked_when_fitting_starts(self, params, words):
        model = narrows.Autoencoder().set_params(**params)
        with pytest.raises(InvalidParameter, match=words):
            model.fit(curved(50))
        assert not hasattr(model, "module_")

    def test_one_row_and_bad_codes(self):
        with pytest.raises(InvalidData, match="one sample"):
            quick().fit(curved(1))
        model = quick().fit(curved(50))
        with pytest.raises(InvalidData, match="2 numbers each, not 3"):
            model.inverse_transform(np.zeros((2, 3)))
        with pytest.raises(InvalidParameter, match=r"sample\(0\)"):
            model.sample(0)
        with pytest.raises(InvalidParameter, match="steps"):
            model.interpolate(curved(1), curved(1), steps=1)
        with pytest.raises(InvalidData, match="as many"):
            model.interpolate(curved(1), curved(2))

    def test_bad_input_leaves_a_fitted_model_as_it_was(self):
        X = curved(50)
        model = quick().fit(X)
        before = model.transform(X)
        bad = X.copy()
        bad[3, 2] = np.inf
        with pytest.raises(ValueError, match="infinity"):
            model.fit(bad)
        assert np.array_equal(model.transform(X), before)
