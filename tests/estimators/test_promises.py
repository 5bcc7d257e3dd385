"""Promises that every estimator keeps: seeds, generators, resuming, and formats that are formats."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from narrows import Autoencoder, Training, VariationalAutoencoder, corruptions, likelihoods, networks
from narrows._types import Rows
from narrows.errors import InvalidParameter
from narrows.estimators._split import split_rows
from narrows.training.checkpoint import Checkpoints


class Killed(Exception):
    """Stands for the end of the process."""


def table(training):
    x = np.random.default_rng(0).normal(size=(120, 5))
    x[::7, 2] = np.nan
    network = networks.Dense(widths=(16,), dropout=0.3)
    return VariationalAutoencoder(2, warmup=3, network=network, training=training, random_state=1), x


def images(training):
    x = np.random.default_rng(0).random((60, 9, 7, 3)).astype(np.float32)
    network = networks.Conv(channels=(4,), normalisation="batch", dropout=0.1)
    noise = corruptions.Gaussian(0.2)
    return Autoencoder(3, network=network, corruption=noise, training=training, random_state=1), x


@pytest.mark.parametrize("make", [table, images])
def test_a_fit_that_was_cut_short_goes_on_bit_by_bit(make, tmp_path, monkeypatch):
    settings = {"epochs": 30, "batch_size": 20}
    model, x = make(Training(**settings))
    whole = model.fit(x)
    model, _ = make(Training(**settings, checkpoint=str(tmp_path / "run"), checkpoint_every=0))
    save, saved = Checkpoints.save, []

    def save_and_die(self, *content):
        save(self, *content)
        saved.append(True)
        if len(saved) == 2:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "save", save_and_die)
        model.fit(x)
    assert not hasattr(model, "module_")
    resumed = model.fit(x)
    states = whole.module_.state_dict(), resumed.module_.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert np.array_equal(whole.history_["loss"], resumed.history_["loss"])


def test_no_generator_of_the_callers_is_touched_without_a_seed_either():
    x = np.random.default_rng(0).normal(size=(30, 4))
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    first, second = (Autoencoder(2, training=Training(epochs=1)).fit(x) for _ in range(2))
    first.sample(2)
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]
    assert before[2] == after[2]
    assert first.seed_ != second.seed_


def test_a_generator_that_is_given_moves_on():
    x = np.random.default_rng(0).normal(size=(30, 4))
    generator = np.random.RandomState(0)
    first, second = (Autoencoder(2, training=Training(epochs=1), random_state=generator).fit(x) for _ in range(2))
    again = Autoencoder(2, training=Training(epochs=1), random_state=np.random.RandomState(0)).fit(x)
    assert first.seed_ == again.seed_ != second.seed_


@pytest.mark.parametrize("part", [networks.Dense(), likelihoods.Gaussian()])
def test_a_format_must_be_a_format(part):
    with pytest.raises(InvalidParameter, match="is not a format"):
        Autoencoder(format=part).fit(np.eye(4))


def test_two_rows_are_left_to_train_on():
    x = np.random.default_rng(0).normal(size=(50, 3))
    model = Autoencoder(1, training=Training(epochs=1, validation=0.999), random_state=0).fit(x)
    assert np.isfinite(model.history_["loss"]).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_every_row_is_trained_on_or_held_out_once(share):
    values = torch.arange(100.0).reshape(100, 1).repeat(1, 3)
    given = values.clone()
    train, held = split_rows(Rows(given, observed=given > 50), Training(validation=share), seed=3)
    parts = [train] if held is None else [train, held]
    assert sorted(len(part) for part in parts) == sorted({0.0: [100], 0.1: [90, 10], 0.6: [40, 60]}[share])
    assert torch.equal(torch.cat([part.values for part in parts])[:, 0].sort().values, values[:, 0])
    assert all(torch.equal(part.observed, part.values > 50) for part in parts)
    assert train.values.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()  # no second copy
