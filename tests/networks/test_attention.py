"""Transformers against their formulas, and what their masks and caches promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from narrows.errors import InvalidParameter
from narrows.networks import Transformer
from narrows.networks.attention import BlockModule, turned

SMALL = Transformer(layers=2, heads=2, width=8)


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_a_block_is_its_formula():
    block = BlockModule(8, 2, 3, 0.0).double()
    x = torch.randn(1, 5, 8, dtype=torch.double)
    w = {name: p.detach().numpy() for name, p in block.named_parameters()}
    h = normalised(x[0].numpy())
    v, q, k = (h @ w["look.weight"].T).reshape(5, 3, 2, 4).transpose(1, 2, 0, 3)
    score = q @ k.transpose(0, 2, 1) / math.sqrt(4)
    score[:, np.triu(np.ones((5, 5), bool), 1)] = -np.inf
    weight = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    y = x[0].numpy() + (weight @ v).transpose(1, 0, 2).reshape(5, 8) @ w["merge.weight"].T
    a = normalised(y) @ w["widen.weight"].T
    gelu = a * 0.5 * (1 + np.vectorize(math.erf)(a / math.sqrt(2)))
    y = y + gelu @ w["narrow.weight"].T
    np.testing.assert_allclose(block(x, None, None, True)[0][0].detach().numpy(), y, rtol=0, atol=1e-12)


def test_rotary_attention_is_its_formula():
    stack = Transformer(layers=1, heads=2, width=8).causal(8, 2).double().stack
    block, x = stack.blocks[0], torch.randn(1, 5, 8, dtype=torch.double)
    cos, sin = stack._angles(3, x)
    _, (keys, _) = block(x, (cos, sin), None, True)
    found = block.look(block.before(x))[0].reshape(5, 3, 2, 2, 2)  # step, half, queries or keys, head, pair
    angle = (torch.arange(3, 8)[:, None] * torch.tensor([1.0, 0.01])).double()[:, None]  # two pairs per head
    a, b = found[:, 1, 1], found[:, 2, 1]
    expected = torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)
    torch.testing.assert_close(keys[0].transpose(0, 1), expected, rtol=0, atol=1e-6)


def test_turned_vectors_know_only_how_far_they_are_apart():
    stack = SMALL.causal(3, 2).stack
    q, k = torch.randn(2, 2, 8)  # first coordinates, second coordinates
    cos, sin = stack._angles(0, torch.zeros(1, 60, 8))
    queries, keys = (torch.cat(turned(*one.unsqueeze(1).expand(2, 60, 8), cos, sin), -1) for one in (q, k))
    products = queries @ keys.T
    for apart in (0, 1, 7, 30):
        torch.testing.assert_close(products.diagonal(apart), products[0, apart].expand(60 - apart), rtol=0, atol=1e-5)
    assert (products[0, 1:] - products[0, 0]).abs().min() > 1e-4
    torch.testing.assert_close(queries.norm(dim=-1), q.norm().expand(60))
    # and by the right angle: the slower of two pairs turns by 1 / 100 per step
    torch.testing.assert_close(stack._angles(7, torch.zeros(1, 2, 8))[1][1, :2], torch.tensor([8.0, 0.08]).sin())


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_cache_changes_nothing(positions):
    module = SMALL.set_params(positions=positions).causal(3, 4).eval()
    x = torch.randn(2, 40, 3)
    whole, _ = module(x)
    pieces, state = [], None
    for piece in x.split([7, *[1] * 20, 13], 1):
        out, state = module(piece, state)
        pieces.append(out)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-5)
    assert [tuple(t.shape) for t in state] == [(2, 2, 40, 4)] * 4


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_the_order_of_steps_matters_to_an_encoder(positions):
    encoder = SMALL.set_params(positions=positions).encoder((6, 3), 4).eval()
    for block in encoder.stack.blocks:
        torch.nn.init.normal_(block.look.weight)  # at the start, attention is nearly a mean
    x = torch.randn(2, 6, 3)
    assert (encoder(x) - encoder(x.flip(1))).abs().max() > 1e-4


def test_rows_do_not_meet():
    module, order = SMALL.causal(3, 4).eval(), torch.tensor([2, 0, 1])
    x = torch.randn(3, 6, 3)
    torch.testing.assert_close(module(x)[0][order], module(x[order])[0])


def test_learned_positions_have_an_end_and_rotary_ones_have_none():
    module = Transformer(layers=1, heads=1, width=4, positions="learned", context=5).causal(2, 2)
    _, state = module(torch.zeros(1, 5, 2))
    with pytest.raises(InvalidParameter, match=r'step 6 has no learned position: there are 5\..*positions="rotary"'):
        module(torch.zeros(1, 1, 2), state)
    Transformer(layers=1, heads=1, width=4, context=5).causal(2, 2)(torch.zeros(1, 9, 2))


def test_width_that_cannot_be_dealt_out_says_what_can():
    with pytest.raises(InvalidParameter, match=r"width=100 cannot be dealt out to 8 heads in pairs.*width=96"):
        Transformer(heads=8, width=100).encoder((5, 2), 3)


def test_dropout_is_for_training():
    module = SMALL.set_params(dropout=0.5).causal(3, 4)
    x = torch.randn(2, 5, 3)
    assert not torch.equal(module(x)[0], module(x)[0])
    module.eval()
    assert torch.equal(module(x)[0], module(x)[0])
