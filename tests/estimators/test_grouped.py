"""Codes of which a part is shared by a group: evidence put together, and what is shared found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import narrows
from narrows import Training
from narrows._normal import Normal
from narrows.bottlenecks import Grouped
from narrows.errors import InvalidData, InvalidParameter
from narrows.training.gather import gathered


def test_the_evidence_of_a_group_by_hand():
    module = Grouped(2, shared=1).build().eval()
    scales = torch.tensor([[0.0, 0.0], [0.0, 0.0], [-0.5 * math.log(2), 0.0]])
    own = Normal(torch.tensor([[0.0, 5.0], [2.0, 6.0], [4.0, 7.0]]), scales)
    # the first and third are a group: precisions 1 and 2, means 0 and 4
    found = module.accumulated(own, torch.tensor([7, 3, 7]))
    torch.testing.assert_close(found.mean, torch.tensor([[8 / 3, 5.0], [2.0, 6.0], [8 / 3, 7.0]]))
    torch.testing.assert_close(found.log_scale[:, 0].exp() ** 2, torch.tensor([1 / 3, 1.0, 1 / 3]))
    group = 0.5 * (64 / 9 + 1 / 3 - 1 - math.log(1 / 3))
    torch.testing.assert_close(found.kl(), torch.tensor([group / 2 + 12.5, 2.0 + 18.0, group / 2 + 24.5]))


def test_the_groups_units_are_drawn_once():
    module = Grouped(4, shared=2).build()
    z = module.grouped(torch.randn(6, 8), torch.tensor([0, 1, 0, 0, 1, 2])).z
    assert torch.equal(z[[0, 0]][:, :2], z[[2, 3]][:, :2])
    assert torch.equal(z[1, :2], z[4, :2])
    assert not torch.equal(z[0, :2], z[1, :2])
    assert len({tuple(row) for row in z[:, 2:].tolist()}) == 6
    several = module.grouped(torch.randn(6, 8), torch.tensor([0, 1, 0, 0, 1, 2]), samples=3).z
    assert torch.equal(several[:, 0, :2], several[:, 2, :2])
    assert not torch.equal(several[0], several[1])


def test_rows_of_a_group_come_together_and_all_rows_come():
    group = torch.arange(200) % 10
    order = gathered(torch.randperm(200), group, block=4)
    assert order.sort().values.tolist() == list(range(200))
    blocks = group[order].reshape(-1, 4)
    assert (blocks == blocks[:, :1]).all()
    assert (blocks[1:, 0] == blocks[:-1, 0]).float().mean() < 0.4  # blocks are in a random order
    alone = torch.randperm(50)
    assert torch.equal(gathered(alone, torch.arange(50)), alone)


def rows(groups: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows made of a number of the group and one of their own, the group of each, and the two numbers."""
    rng = np.random.default_rng(seed)
    shared, own = np.repeat(rng.normal(size=groups), 8), rng.normal(size=8 * groups)
    X = np.stack([shared + own, shared - own, shared * own, np.sin(shared), np.cos(own), own + 0.5 * shared], axis=1)
    return X + 0.05 * rng.normal(size=X.shape), np.repeat(np.arange(groups), 8), shared, own


@pytest.fixture(scope="module")
def fitted():
    X, groups, _, _ = rows(80, 0)
    training = Training(epochs=80, batch_size=64, learning_rate=5e-3)
    return narrows.GroupedAutoencoder(2, shared=1, training=training, random_state=0).fit(X, groups=groups)


def related(code: np.ndarray, value: np.ndarray) -> float:
    """Share of a value's variance that a cubic of a code unit explains."""
    fit = np.polynomial.Polynomial.fit(code, value, 3)
    return float(1 - (value - fit(code)).var() / value.var())


def test_the_shared_unit_holds_what_the_group_has_in_common(fitted):
    X, groups, shared, own = rows(60, 1)
    z = fitted.transform(X, groups=groups)
    assert related(z[:, 0], shared) > 0.9
    assert related(z[:, 0], own) < 0.1
    assert related(z[:, 1], shared) < 0.2
    assert all(np.ptp(z[groups == g, 0]) == 0 for g in range(60))


def test_more_rows_of_a_group_say_more(fitted):
    X, groups, shared, _ = rows(60, 1)
    one, all_of_them = fitted.transform(X)[:, 0], fitted.transform(X, groups=groups)[:, 0]
    assert related(all_of_them, shared) > related(one, shared)
    np.testing.assert_allclose(fitted.transform(X, groups=np.arange(480)), fitted.transform(X), rtol=1e-4, atol=1e-5)


def test_combining_takes_the_group_from_one_and_the_rest_from_the_other(fitted):
    X, _, _, _ = rows(20, 1)
    np.testing.assert_allclose(fitted.combine(X, X), fitted.reconstruct(X), rtol=1e-4, atol=1e-4)
    mixed = fitted.transform(X[:30])[:, :1], fitted.transform(X[30:60])[:, 1:]
    expected = fitted.inverse_transform(np.concatenate(mixed, axis=1))
    np.testing.assert_allclose(fitted.combine(X[:30], X[30:60]), expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_grouped(fitted):
    X = rows(3, 0)[0]
    model = narrows.GroupedAutoencoder(2, training=Training(epochs=1))
    with pytest.raises(InvalidData, match="groups has 2 entries for 24 rows"):
        model.fit(X, groups=[1, 2])
    with pytest.raises(InvalidData, match="groups holds"):
        model.fit(X, groups=[[1], [2, 3]] * 12)
    with pytest.raises(InvalidParameter, match="labels or groups, not both"):
        model.fit(X, groups=np.arange(24), labels=np.arange(24))
    with pytest.raises(InvalidParameter, match="shared=5 of a code of 2"):
        model.set_params(shared=5).fit(X)
    with pytest.raises(InvalidData, match="not 24 and 3"):
        fitted.combine(X, X[:3])


def test_rows_without_a_group_are_by_themselves(fitted):
    X = rows(3, 0)[0]
    alone = fitted.transform(X)
    np.testing.assert_allclose(fitted.transform(X, groups=[None] * 24), alone, rtol=1e-4, atol=1e-5)
    some = fitted.transform(X, groups=[None, "a", 7] * 8)
    np.testing.assert_allclose(some[::3], alone[::3], rtol=1e-4, atol=1e-5)
    assert len(np.unique(some[1::3, 0])) == len(np.unique(some[2::3, 0])) == 1
