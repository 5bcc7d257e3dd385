"""Equal modules side by side: the same results and gradients as one after the other."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from narrows.models import StackedModule
from narrows.networks import Dense, Residual


def members(part, n=3):
    torch.manual_seed(0)
    return [part.map((5,), (4,)) for _ in range(n)]


@pytest.mark.parametrize("part", [Dense(widths=(7, 6)), Residual(width=8, depth=2)], ids=["dense", "residual"])
def test_results_and_gradients_are_those_of_the_members(part):
    single = members(part)
    stacked = StackedModule(copy.deepcopy(single))
    x = torch.randn(3, 10, 5, generator=torch.Generator().manual_seed(1))
    found = stacked(x)
    expected = torch.stack([member(x[i]) for i, member in enumerate(single)])
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in single[1].named_parameters():
        torch.testing.assert_close(getattr(stacked, name.replace(".", "/")).grad[1], parameter.grad)


def test_weights_are_the_stacked_modules_own():
    single = members(Dense(widths=(7,)))
    stacked = StackedModule(single)
    with torch.no_grad():
        single[0].layers[0].weight.zero_()
    assert not (stacked.get_parameter("layers/0/weight")[0] == 0).all()
    assert {tuple(p.shape) for p in stacked.parameters()} == {(3, 7, 5), (3, 7), (3, 4, 7), (3, 4)}


def test_state_can_be_loaded_copied_and_pickled():
    stacked, other = StackedModule(members(Residual(width=8))), StackedModule(members(Residual(width=8), 4)[1:])
    x = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(stacked(x), other(x))
    other.load_state_dict(stacked.state_dict())
    assert torch.equal(stacked(x), other(x))
    assert torch.equal(pickle.loads(pickle.dumps(stacked))(x), copy.deepcopy(stacked)(x))


def test_dropout_differs_between_members_in_training_only():
    stacked = StackedModule([torch.nn.Dropout(0.5) for _ in range(2)])
    x = torch.ones(2, 100)
    torch.manual_seed(0)
    dropped = stacked(x)
    assert not torch.equal(dropped[0], dropped[1])
    assert torch.equal(stacked.eval()(x), x)
