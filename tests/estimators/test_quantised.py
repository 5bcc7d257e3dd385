"""Codes of whole numbers, in use: indices and back, draws that are codes, what the history says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import narrows
from narrows import Training, bottlenecks
from narrows.errors import InvalidData

PARTS = [bottlenecks.Quantised(entries=8, subcodes=2), bottlenecks.FiniteScalar(levels=5)]


def rows(n: int = 300) -> np.ndarray:
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, n))
    return np.stack([a, b, a * b, a**2], axis=1)


@pytest.fixture(scope="module", params=PARTS, ids=lambda part: type(part).__name__)
def fitted(request):
    training = Training(epochs=30, batch_size=50, learning_rate=5e-3)
    return narrows.QuantisedAutoencoder(2, bottleneck=request.param, training=training, random_state=0).fit(rows())


def test_indices_and_back(fitted):
    X = rows(40)
    indices = fitted.indices(X)
    assert indices.shape == (40, 2)
    assert indices.dtype == np.int64
    np.testing.assert_allclose(fitted.from_indices(indices), fitted.reconstruct(X), rtol=1e-4, atol=1e-5)
    same = (indices[:, None] == indices[None]).all(-1)
    codes = fitted.transform(X)
    assert np.array_equal(same, (codes[:, None] == codes[None]).all(-1))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_draw_is_a_code(part):
    images = np.rint(100 * (rows(100).reshape(-1, 2, 2) + 1)).astype(np.uint8)
    model = narrows.QuantisedAutoencoder(2, bottleneck=part, training=Training(epochs=2), random_state=0).fit(images)
    grid = torch.cartesian_prod(*[torch.arange(int(k)) for k in model.module_.bottleneck.entries_per_subcode])
    possible = model.from_indices(grid.numpy()).astype(float)
    drawn = model.sample(40, random_state=0).astype(float)
    assert np.abs(drawn[:, None] - possible[None]).max((2, 3)).min(1).max() < 1e-3
    assert len(np.unique(drawn.reshape(40, -1).round(3), axis=0)) > 3


def test_the_history_says_how_much_of_the_codebook_is_used(fitted):
    perplexity = fitted.history_["perplexity"]
    assert ((perplexity >= 1) & (perplexity <= int(fitted.module_.bottleneck.entries_per_subcode.max()))).all()
    assert perplexity[-1] > 2


def test_codes_that_are_none(fitted):
    with pytest.raises(InvalidData, match="2 whole numbers each, not int64 of shape"):
        fitted.from_indices([[1, 2, 3]])
    with pytest.raises(InvalidData, match="whole numbers of a code lie from 0 to"):
        fitted.from_indices([[0, 99]])
    with pytest.raises(InvalidData, match="whole numbers"):
        fitted.from_indices([[0.5, 1.0]])


def test_codebooks_train_one_after_the_other_in_an_ensemble():
    model = narrows.QuantisedAutoencoder(2, training=Training(epochs=2), random_state=0)
    ensemble = narrows.Ensemble(model, 2).fit(rows(60))
    assert any("codebooks keep moving averages" in reason for reason in ensemble.reasons_)
    critics = narrows.AdversarialAutoencoder(2, widths=(8,), training=Training(epochs=2), random_state=0)
    ensemble = narrows.Ensemble(critics, 2).fit(rows(60))
    assert any("players of their own" in reason for reason in ensemble.reasons_)
