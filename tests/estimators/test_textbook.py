"""Textbook results that must come out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

import narrows
from narrows import Training, bottlenecks, corruptions, likelihoods, networks


@pytest.mark.parametrize("seed", [0, 1])
def test_mitchells_8_3_8_identity(seed):
    """Three sigmoid units learn a code for eight symbols: every unit vector is its own nearest reconstruction."""
    rows = np.eye(8)
    model = narrows.Autoencoder(
        3,
        network=networks.Dense(widths=()),
        bottleneck=bottlenecks.Plain(activation="sigmoid"),
        likelihood=likelihoods.Bernoulli(),
        training=Training(epochs=1500, learning_rate=0.1, schedule="constant"),
        random_state=seed,
    ).fit(rows)
    distances = ((model.reconstruct(rows)[:, None] - rows[None]) ** 2).sum(-1)
    assert (distances.argmin(1) == np.arange(8)).all()


@pytest.mark.parametrize("likelihood", [likelihoods.Gaussian(scale=1.0), None], ids=["fixed", "default"])
def test_a_linear_autoencoder_reaches_pca(likelihood):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)) @ rng.normal(size=(8, 8))
    X = (X - X.mean(0)) / X.std(0)
    model = narrows.Autoencoder(
        3,
        network=networks.Dense(widths=()),
        likelihood=likelihood,
        training=Training(epochs=200, learning_rate=0.02, validation=0),
        random_state=0,
    ).fit(X)
    pca = PCA(3).fit(X)
    best = ((pca.inverse_transform(pca.transform(X)) - X) ** 2).mean()
    assert ((model.reconstruct(X) - X) ** 2).mean() == pytest.approx(best, rel=0.01)


def test_banknotes_better_than_pca():
    """A 6–4–2–4–6 tanh network reconstructs held-out banknotes better than PCA with two components."""
    table = narrows.data.load("banknote").data.to_pandas()
    notes = table[["variance", "skewness", "curtosis", "entropy"]].to_numpy(float)
    order = np.random.default_rng(0).permutation(len(notes))
    train, test = notes[order[300:]], notes[order[:300]]
    model = narrows.Autoencoder(
        2,
        network=networks.Dense(widths=(6, 4), activation="tanh"),
        training=Training(epochs=120, learning_rate=5e-3),
        random_state=0,
    ).fit(train)
    mean, scale = train.mean(0), train.std(0)
    pca = PCA(2).fit((train - mean) / scale)
    flat = pca.inverse_transform(pca.transform((test - mean) / scale)) * scale + mean
    ours, theirs = ((((x - test) / scale) ** 2).mean() for x in (model.reconstruct(test), flat))
    assert ours < 0.8 * theirs


def diagonals(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of 2 × 2 pixels: one diagonal or the other; clean, noisy, and which."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 2, n)
    clean = np.where(which[:, None, None] == 0, np.eye(2), 1 - np.eye(2))
    return clean, (clean + noise * rng.normal(size=clean.shape)).clip(0, 1), which


def test_two_diagonals_one_unit():
    """One hidden unit separates the two patterns, and the denoising autoencoder restores them."""
    _, X, which = diagonals(400, 0.1, 0)
    model = narrows.DenoisingAutoencoder(
        1,
        corruption=corruptions.Gaussian(0.3),
        network=networks.Dense(widths=(8,), activation="tanh"),
        training=Training(epochs=100, learning_rate=5e-3),
        random_state=0,
    ).fit(X)
    code = model.transform(X)[:, 0]
    low, high = sorted((code[which == 0], code[which == 1]), key=np.mean)
    assert low.max() < high.min()
    clean, noisy, _ = diagonals(400, 0.3, 1)
    restored = ((model.denoise(noisy) - clean) ** 2).mean()
    assert restored < 0.5 * ((noisy - clean) ** 2).mean()


def test_sparse_codes_reach_their_target():
    X = narrows.data.load("digits").data / 16
    for target in (0.05, 0.2):
        model = narrows.SparseAutoencoder(
            32, target=target, training=Training(epochs=40, learning_rate=5e-3), random_state=0
        ).fit(X[:1500])
        assert model.transform(X[1500:]).mean() == pytest.approx(target, rel=0.2)


def test_contraction_flattens_the_code():
    """The more contraction, the less a code moves when its row is nudged."""
    X = narrows.data.load("digits").data[:600] / 16
    nudge = np.random.default_rng(0).normal(size=X.shape).astype(X.dtype) * 0.01

    def moved(weight):
        model = narrows.ContractiveAutoencoder(8, weight=weight, training=Training(epochs=15), random_state=0).fit(X)
        return np.abs(model.transform(X + nudge) - model.transform(X)).mean()

    assert moved(10.0) < 0.5 * moved(0.0)


def test_variational_codes_come_near_the_prior_and_beta_brings_them_nearer():
    X = narrows.data.load("digits").data / 16

    def divergence(beta):
        model = narrows.VariationalAutoencoder(8, beta=beta, training=Training(epochs=15), random_state=0).fit(X)
        return model.history_["validation_kl"][-1] / beta

    assert divergence(4.0) < 0.7 * divergence(0.5)
