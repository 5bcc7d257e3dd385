"""Autoregressive models: that they are densities, look only back, and go on where they stopped."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from narrows import likelihoods, networks
from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter
from narrows.models import AutoregressiveModule, AutoregressiveStep
from narrows.training import Loop, Player, Training

NETWORKS = [
    networks.Recurrent(hidden=8),
    networks.Recurrent(cell="peephole", hidden=8),
    networks.Transformer(layers=2, heads=2, width=8),
]
TEXT = Layout(shape=(6, 1), categories=(4,))
MIXED = Layout(shape=(6, 3), categories=(0, 3, 20), blanks=(True, True, False), ragged=True)


def mixed_model(network):
    parts = (likelihoods.Gaussian(), likelihoods.Categorical(), likelihoods.Categorical())
    model = AutoregressiveModule(MIXED, network, likelihoods.Mixed(columns=parts))
    return model.eval()


def mixed_rows(n=5):
    values = torch.stack(
        [torch.randn(n, 6), torch.randint(0, 3, (n, 6)).float(), torch.randint(0, 20, (n, 6)).float()], -1
    )
    observed = torch.rand(n, 6, 3) > 0.3
    observed[..., 2] = True
    return Rows(torch.where(observed, values, 0), observed, torch.tensor([6, 4, 1, 2, 5])[:n])


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
@pytest.mark.parametrize("tied", [False, True])
def test_probabilities_of_all_texts_sum_to_one(network, tied):
    model = AutoregressiveModule(TEXT, network, likelihoods.Categorical(), embedding=5, tied=tied).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # far from a uniform guess
        texts = torch.tensor(list(itertools.product(range(4), repeat=5))).float().unsqueeze(-1)
        log_prob = model.log_prob(Rows(texts))
    assert log_prob.std() > 0.1
    torch.testing.assert_close(log_prob.logsumexp(0), torch.zeros(()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_a_step_depends_on_those_before_it_alone(network):
    model, rows = mixed_model(network), mixed_rows()
    rows = rows.replace(lengths=torch.full((5,), 6))

    judged = rows.values
    before = model(rows).log_prob(judged)
    for t in range(6):
        values, observed = rows.values.clone(), rows.observed.clone()
        values[:, t] = torch.tensor([5.0, 1.0, 19.0])
        observed[:, t] = True
        moved = (model(rows.replace(values=values, observed=observed)).log_prob(judged) - before).abs().amax((0, 2))
        assert not moved[: t + 1].any()
        assert t == 5 or moved[t + 1] > 1e-6


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_going_on_is_the_same_as_reading_at_once(network):
    model, rows = mixed_model(network), mixed_rows()
    rows = rows.replace(lengths=None)
    whole = model(rows).log_prob(rows.values)
    for start in (0, 1, 4):
        said, state = model.begin(rows.values[:, :start], rows.observed[:, :start])
        for t in range(start, 6):
            found = said.log_prob(rows.values[:, t])
            torch.testing.assert_close(found, whole[:, t], rtol=0, atol=1e-5)
            now = slice(t, t + 1)
            said, state = model.advance(rows.values[:, now], state, rows.observed[:, now])
        assert all(len(tensor) == 5 for tensor in state)


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_blanks_and_steps_that_do_not_exist_count_for_nothing(network):
    model, rows = mixed_model(network), mixed_rows()
    found = model.log_prob(rows)
    other = rows.values.masked_fill(~rows.mask(), 1.0)
    torch.testing.assert_close(model.log_prob(rows.replace(values=other)), found, rtol=0, atol=1e-6)
    for row, length in enumerate(rows.lengths):
        alone = Rows(rows.values[row : row + 1, :length], rows.observed[row : row + 1, :length])
        torch.testing.assert_close(model.log_prob(alone), found[row : row + 1], rtol=0, atol=1e-5)


def test_rows_in_parts_are_rows_at_once(monkeypatch):
    model, rows = mixed_model(NETWORKS[0]), mixed_rows()
    whole = model.log_prob(rows)
    monkeypatch.setattr("narrows.models.autoregressive.AT_ONCE", 1)
    torch.testing.assert_close(model.log_prob(rows), whole, rtol=0, atol=1e-5)


def test_loss_is_per_row_and_per_step_is_comparable():
    model, rows = mixed_model(NETWORKS[0]), mixed_rows()
    rows = rows.replace(weight=torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0]))
    step = AutoregressiveStep(model)
    for mode in (True, False):
        terms = step.train(mode)(rows.tensors(), torch.zeros(()))
        surprise = -model.log_prob(rows)
        expected = float((surprise[0] + 2 * surprise[2] + surprise[4]).detach() / 4)
        assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)
        assert terms["per step"].item() == pytest.approx(expected / ((6 + 2 * 1 + 5) / 4), rel=1e-5)


def test_tied_weights_are_the_embeddings_own():
    layout = Layout(shape=(8, 1), categories=(50,))
    network = networks.Recurrent(hidden=16)
    count = {
        tied: sum(
            p.numel() for p in AutoregressiveModule(layout, network, likelihoods.Categorical(), 12, tied).parameters()
        )
        for tied in (False, True)
    }
    # 16 · 12 + 12 to the embedding's width and 50 biases, instead of 16 · 50 + 50
    assert count[False] - count[True] == 16 * 50 + 50 - (16 * 12 + 12 + 50)
    model = AutoregressiveModule(layout, network, likelihoods.Categorical(), 12, True)
    assert model.stem.embedding.weight.shape == (50, 12)
    assert set(model.state_dict()) == {*dict(model.named_parameters())}


def test_what_cannot_be_is_said():
    with pytest.raises(InvalidParameter, match=r"tied=True needs series of one category"):
        AutoregressiveModule(MIXED, NETWORKS[0], _mixed(), tied=True)
    with pytest.raises(InvalidParameter, match="tied=True"):  # four categories are not embedded by themselves
        AutoregressiveModule(TEXT, NETWORKS[0], likelihoods.Categorical(), tied=True)
    with pytest.raises(InvalidParameter, match=r"use networks\.Recurrent"):
        AutoregressiveModule(TEXT, networks.Dense(), likelihoods.Categorical())
    with pytest.raises(InvalidParameter, match="category"):
        AutoregressiveModule(TEXT, NETWORKS[0], likelihoods.Gaussian())


def _mixed():
    return likelihoods.Mixed(columns=(likelihoods.Gaussian(), likelihoods.Categorical(), likelihoods.Categorical()))


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_a_hidden_rule_is_learnt(network):
    """Each token is the last plus one modulo four, but for one in ten: the loss comes down to the rule's entropy."""
    generator = torch.Generator().manual_seed(0)
    moves = torch.where(torch.rand(512, 6, generator=generator) < 0.1, 2, 1)
    tokens = (torch.randint(0, 4, (512, 1), generator=generator) + moves.cumsum(1)) % 4
    rows = Rows(tokens.unsqueeze(-1).float())
    step = AutoregressiveStep(AutoregressiveModule(TEXT, network, likelihoods.Categorical(), embedding=8))
    training = Training(epochs=25, batch_size=64, learning_rate=0.02)
    history = Loop(step, [Player(step, list(step.parameters()))], training, seed=0).fit(rows)
    share = (moves[:, 1:] == 2).float().mean()
    entropy = -share * share.log() - (1 - share) * (1 - share).log()
    best = (math.log(4) + 5 * float(entropy)) / 6
    assert history.rows[0]["per step"] > best + 0.2
    assert history.rows[-1]["per step"] < best + 0.05
