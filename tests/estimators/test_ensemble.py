"""Ensembles: members are what they would be alone, and together they know more."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import Autoencoder, Ensemble, Training, VariationalAutoencoder, networks, penalties
from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter, SavedModelError
from narrows.estimators._split import split_rows
from narrows.estimators._together import Draft, Group, Material, train_together
from narrows.models import Filling

QUICK = Training(epochs=3)
PLAIN = Training(epochs=4, optimiser="sgd", learning_rate=1e-3)


@parametrize_with_checks([Ensemble(Autoencoder(training=Training(epochs=2)), n=2)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def curved(n: int = 160, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-2, 2, (2, n))
    clean = np.stack([a, b, a * b, np.sin(2 * a), b**2, np.cos(a + b)], axis=1)
    return (clean + 0.02 * rng.normal(size=clean.shape)).astype(np.float32)


def material(model, X, seed: int = 0) -> Material:
    format_, rows = model._open(X)
    return Material(format_, *split_rows(rows, model._training(), seed), seed)


def alone(model, given: Material):
    return clone(model)._learn(given.format, given.train, given.validation, model.random_state)


def small(**more):
    return {"network": networks.Dense((8,)), "training": PLAIN, **more}


@pytest.mark.parametrize(
    "models",
    [
        [Autoencoder(2, **small(), random_state=i) for i in range(3)],
        [Autoencoder(2, **small(network=networks.Dense((8,), normalisation="layer")), random_state=i) for i in (4, 2)],
        [Autoencoder(k, **small(), random_state=i) for i, k in enumerate([3, 1, 2])],
        [narrows.SparseAutoencoder(k, **small(), random_state=7, weight=w) for k, w in [(2, 1.0), (3, 5.0), (3, 1.0)]],
        [narrows.ContractiveAutoencoder(k, **small(), random_state=1) for k in (1, 3)],
    ],
    ids=["seeds", "layer-norm", "code-sizes", "sparse-weights-and-sizes", "contractive-sizes"],
)
def test_a_stacked_member_equals_the_same_model_trained_alone(models):
    X = curved()
    given = material(models[0], X)
    notes = train_together(models, [m.random_state for m in models], given)
    assert notes == [f"{len(models)} models of one shape were trained side by side"]
    for model in models:
        lone = alone(model, given)
        np.testing.assert_allclose(model.transform(X), lone.transform(X), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(model.reconstruct(X), lone.reconstruct(X), rtol=1e-4, atol=1e-4)
        assert model.history_.columns == lone.history_.columns
        for column in set(lone.history_.columns) - {"seconds"}:
            np.testing.assert_allclose(model.history_[column], lone.history_[column], rtol=1e-3, err_msg=column)
        assert model.history_.code_size == lone.history_.code_size


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_variational_codes_of_several_sizes_equal_those_alone_when_noise_is_taken_away(covariance, monkeypatch):
    """The noise itself differs, since a filled code draws as many numbers as the longest."""
    monkeypatch.setattr("narrows._normal.rsample", lambda mean, scale=None, scale_tril=None: mean + 0 * mean)
    X = curved()
    models = [
        Autoencoder(
            k,
            bottleneck=narrows.bottlenecks.Gaussian(covariance=covariance),
            penalties=penalties.Penalties(kl=penalties.KL(weight=w, free_bits=0.3), l2=penalties.L2(0.1)),
            **small(),
            random_state=k,
        )
        for k, w in [(1, 0.5), (2, 1.0), (3, 2.0)]
    ]
    given = material(models[0], X)
    assert "side by side" in train_together(models, [m.random_state for m in models], given)[0]
    for model in models:
        lone = alone(model, given)
        np.testing.assert_allclose(model.transform(X), lone.transform(X), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(model.history_["kl"], lone.history_["kl"], rtol=1e-3)
        np.testing.assert_allclose(model.history_["validation_loss"], lone.history_["validation_loss"], rtol=1e-3)


@pytest.mark.parametrize(
    "penalty",
    [
        penalties.KL(free_bits=0.2),
        penalties.MMD(),
        penalties.TotalCorrelation(),
        penalties.L1(),
        penalties.Contraction(),
    ],
    ids=lambda p: type(p).__name__,
)
def test_nothing_flows_to_what_fills_a_code_up(penalty):
    layout = Layout((4,))
    model = Autoencoder(2, bottleneck=narrows.bottlenecks.Gaussian(), network=networks.Dense((5,)), penalties=penalty)
    drafts = [Draft(model, c, c.build(layout), 0) for c in (_choices(model, 2, layout), _choices(model, 5, layout))]
    filled = Filling(drafts[0].module, drafts[1].module, drafts[0].choices.bottleneck).fill()
    step = drafts[0].choices.step(filled, layout).train()
    rows = Rows(torch.randn(16, 4))
    step(rows.tensors(), torch.zeros(()))["loss"].backward()
    encoder, decoder = filled.encoder.layers[-1], filled.decoder.layers[0]
    used = torch.tensor([0, 1, 5, 6])
    free = torch.tensor([2, 3, 4, 7, 8, 9])
    assert encoder.weight.grad[free].abs().max() == 0
    assert encoder.bias.grad[free].abs().max() == 0
    assert decoder.weight.grad[:, 2:].abs().max() == 0
    assert encoder.weight.grad[used].abs().max() > 0
    assert decoder.weight.grad[:, :2].abs().max() > 0
    assert filled(rows).code.z[:, 2:].abs().max() == 0


def _choices(model, size, layout):
    from narrows.estimators._choose import resolve

    return resolve(clone(model).set_params(code_size=size).choices(), layout, narrows.likelihoods.Gaussian())


def test_a_sliced_code_gives_what_the_filled_one_gives():
    X = curved(60)
    models = [Autoencoder(k, **small(), random_state=0) for k in (2, 4)]
    given = material(models[0], X)
    drafts = [Draft.of(m, given, 0) for m in models]
    filling = Filling(drafts[0].module, drafts[1].module, drafts[0].choices.bottleneck)
    filled = filling.fill().eval()
    with torch.no_grad():
        for p in filled.encoder.layers[0].parameters():
            p.add_(0.1)
    filling.take(filled.state_dict())
    rows, module = given.train, drafts[0].module.eval()
    assert torch.equal(filled.encode(rows)[:, :2], module.encode(rows))
    torch.testing.assert_close(filled.decode(filled.encode(rows)).mean, module.decode(module.encode(rows)).mean)


def test_members_choose_what_their_model_chooses():
    """Latent diffusion learns how far a table's numbers scatter, which autoencoders in general do not."""
    X = curved(60)
    prior = narrows.priors.Diffusion(networks.Residual(8), rows=100)
    model = narrows.LatentDiffusion(2, prior=prior, training=QUICK, random_state=0)
    members = Ensemble(model, n=2, random_state=0).fit(X).members_
    assert all(member.choices_ == clone(model).fit(X).choices_ for member in members)


def test_what_differs_in_shape_is_trained_apart():
    models = [Autoencoder(k, training=QUICK, network=networks.Dense((w,))) for k, w in [(2, 8), (3, 8), (2, 9)]]
    notes = train_together(models, [0, 0, 0], material(models[0], curved()))
    assert sorted(notes) == [
        "1 model was trained by itself: no other has its shape",
        "2 models of one shape were trained side by side",
    ]
    assert all(m.__sklearn_is_fitted__() for m in models)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (networks.Dense((6,), normalisation="batch"), "running statistics"),
        (networks.Conv((4,)), "convolutions"),
    ],
    ids=["batch", "conv"],
)
def test_models_that_cannot_be_stacked_train_one_after_the_other_and_it_says_so(network, words):
    X = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    ensemble = Ensemble(Autoencoder(2, network=network, training=Training(epochs=1)), n=2).fit(X)
    assert any("2 models were trained one after the other" in r and words in r for r in ensemble.reasons_)
    assert ensemble.reconstruct(X).shape == X.shape
    assert ensemble.spread(X).shape == (20,)


@pytest.fixture(scope="module")
def ensemble():
    model = Autoencoder(2, network=networks.Dense((16,)), training=Training(epochs=40, learning_rate=5e-3))
    return Ensemble(model, n=5).fit(curved(300))


def test_members_differ_by_seed_and_equal_seeds_give_equal_ensembles(ensemble):
    X = curved(20, 1)
    codes = [member.transform(X) for member in ensemble.members_]
    assert all(not np.allclose(a, b) for i, a in enumerate(codes) for b in codes[:i])
    assert [member.seed_ for member in ensemble.members_] == [0, 1, 2, 3, 4]
    quick = [Ensemble(Autoencoder(2, training=QUICK), n=2, random_state=3).fit(curved(80)) for _ in range(2)]
    np.testing.assert_array_equal(quick[0].reconstruct(X), quick[1].reconstruct(X))


def test_together_they_reconstruct_better_than_the_mean_member(ensemble):
    X = curved(200, 1)
    errors = [((member.reconstruct(X) - X) ** 2).mean() for member in ensemble.members_]
    assert ((ensemble.reconstruct(X) - X) ** 2).mean() < np.mean(errors)


def test_members_disagree_where_they_know_nothing(ensemble):
    X = curved(100, 1)
    assert np.median(ensemble.spread(4 * X)) > 3 * np.median(ensemble.spread(X))


def test_scores_are_means_and_the_best_has_the_lowest_loss(ensemble):
    X = curved(30, 1)
    scores = np.mean([member.score_samples(X) for member in ensemble.members_], axis=0)
    np.testing.assert_allclose(ensemble.score_samples(X), scores)
    assert ensemble.best_ is ensemble.members_[int(np.argmin(ensemble.losses_))]
    kept = [min(m.history_["validation_loss"]) for m in ensemble.members_]
    np.testing.assert_allclose(ensemble.losses_, kept)


def test_an_ensemble_is_saved_and_pickled_whole_and_its_members_alone(ensemble, tmp_path):
    X = curved(30, 1)
    loaded = narrows.load(ensemble.save(tmp_path / "all"))
    one = narrows.load(ensemble.best_.save(tmp_path / "one"))
    for other in (loaded, pickle.loads(pickle.dumps(ensemble))):
        np.testing.assert_array_equal(other.reconstruct(X), ensemble.reconstruct(X))
        np.testing.assert_array_equal(other.spread(X), ensemble.spread(X))
        np.testing.assert_array_equal(other.losses_, ensemble.losses_)
    assert loaded.reasons_ == ensemble.reasons_
    np.testing.assert_array_equal(one.transform(X), ensemble.best_.transform(X))
    weights = next((tmp_path / "all").glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SavedModelError):
        narrows.load(tmp_path / "all")


def test_categories_are_voted_on_and_disagreement_about_them_counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = pa.table({"x": x, "y": 2 * x + rng.normal(size=200), "kind": np.where(x > 0, "high", "low")})
    found = Ensemble(Autoencoder(1, training=Training(epochs=8)), n=3).fit(table)
    guess = found.reconstruct(table)
    assert set(guess["kind"].to_pylist()) <= {"high", "low"}
    assert guess.num_rows == 200
    assert np.isfinite(found.spread(table)).all()


def test_a_grid_of_weights_and_sizes_is_one_stack():
    X = curved(80)
    found = Ensemble(
        VariationalAutoencoder(training=QUICK, network=networks.Dense((8,))),
        n=2,
        grid={"beta": [0.1, 1.0], "code_size": [2, 3]},
    ).fit(X)
    made = [(m.beta, m.code_size, m.seed_) for m in found.members_]
    assert made == [(b, k, s) for b in (0.1, 1.0) for k in (2, 3) for s in (0, 1)]
    assert "8 models of one shape were trained side by side" in found.reasons_
    assert [m.transform(X).shape[1] for m in found.members_] == [2, 2, 3, 3] * 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 2.5}, "n=2.5"),
        ({"model": "autoencoder"}, "unfitted narrows autoencoder"),
        ({"grid": {}}, "give values by parameter"),
        ({"grid": {"code_size": 3}}, "a list"),
        ({"grid": {"code_size": [2, 2]}}, "twice"),
        ({"grid": {"code_size": [0, 2]}}, "code_size=0"),
        ({"grid": {"random_state": [0, 1]}}, "cannot vary"),
        ({"grid": {"nonsense": [1]}}, "nonsense"),
    ],
    ids=["none", "half", "no-model", "empty", "no-list", "repeated", "zero", "seed", "unknown"],
)
def test_bad_input_is_refused_and_leaves_nothing_fitted(settings, words):
    made = Ensemble(**{"model": Autoencoder(training=QUICK), "n": 2, **settings})
    with pytest.raises(InvalidParameter, match=words):
        made.fit(curved(60))
    assert not hasattr(made, "members_")


def test_a_fitted_model_is_refused():
    model = Autoencoder(2, training=QUICK).fit(curved(60))
    with pytest.raises(InvalidParameter, match="clone"):
        Ensemble(model, n=2).fit(curved(60))


def test_the_largest_code_leads_a_group():
    given = material(Autoencoder(2, **small()), curved(60))
    drafts = [Draft.of(Autoencoder(k, **small()), given, 0) for k in (4, 2)]
    group = Group(drafts[0])
    assert group.add(drafts[1])
    assert not Group(drafts[1]).add(drafts[0])
