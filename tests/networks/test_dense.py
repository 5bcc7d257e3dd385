from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from narrows.networks import Conv, Dense, Residual, default_widths
from narrows.networks.activations import initialise
from narrows.networks.dense import SparseLinearModule


def count(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def train(encoder, decoder, x, steps, rate=0.01, squash=None):
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], rate)
    squash = squash or (lambda y: y)
    for _ in range(steps):
        loss = ((squash(decoder(encoder(x))) - x) ** 2).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return squash(decoder(encoder(x)))


def test_textbook_parameter_counts():
    linear = Dense(widths=())
    assert count(linear.encoder((6400,), 400), linear.decoder(400, (6400,))) == 5_126_800
    small = Dense(widths=(4,), activation="tanh")  # 6-4-2-4-6
    assert count(small.encoder((6,), 2), small.decoder(2, (6,))) == 28 + 10 + 12 + 30


def test_the_decoder_mirrors_the_widths():
    network = Dense(widths=(50, 20))
    sizes = [
        [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, torch.nn.Linear)]
        for module in (network.encoder((2, 5, 6), 8), network.decoder(4, (60,)))
    ]
    assert sizes == [[(60, 50), (50, 20), (20, 8)], [(4, 20), (20, 50), (50, 60)]]


def test_no_widths_is_one_linear_map():
    module = Dense(widths=()).encoder((3, 2), 2)
    x, y = torch.rand(4, 3, 2), torch.rand(4, 3, 2)
    torch.testing.assert_close(module(x + 2 * y), module(x) + 2 * module(y))
    layer = module.layers[0]
    torch.testing.assert_close(module(x), x.flatten(1) @ layer.weight.T)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", [0, 0, 2]),
        ("linear", [-1, 0, 2]),
        ("tanh", [-0.7615942, 0, 0.9640276]),
        ("sigmoid", [0.2689414, 0.5, 0.8807971]),
        ("silu", [-0.2689414, 0, 1.7615942]),
        ("gelu", [-0.1586553, 0, 1.9544997]),
    ],
)
def test_activations_by_hand(activation, expected):
    """x σ(x) and x Φ(x) from tables: σ(1) = 0.7311, Φ(1) = 0.8413, Φ(2) = 0.9772."""
    module = Dense(widths=(1,), activation=activation).encoder((1,), 1)
    first, last = module.layers[0], module.layers[-1]
    with torch.no_grad():
        first.weight.fill_(1), last.weight.fill_(1)
    y = module(torch.tensor([[-1.0], [0.0], [2.0]])).squeeze(1)
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "width", "expected"),
    [
        ((1,), 1, (64, 64)),
        ((14,), 4, (64, 64)),
        ((17,), 4, (128, 64)),
        ((64,), 8, (256, 128)),
        ((784,), 32, (512, 256)),
        ((1, 28, 28), 64, (512, 256)),
        ((784,), 300, (512, 300)),
        ((784,), 2000, (512, 512)),
    ],
)
def test_default_widths(shape, width, expected):
    assert default_widths(shape, width) == expected


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1, exclude_max=True, exclude_min=True),
)
@settings(max_examples=60, deadline=None)
def test_sparse_weights_are_exactly_as_many_as_said_and_evenly_spread(fan_in, fan_out, sparse):
    mask = SparseLinearModule(fan_in, fan_out, sparse).mask
    zeros = (~mask).sum(dim=1)
    assert zeros.sum() == round(sparse * fan_in * fan_out)
    assert zeros.max() - zeros.min() <= 1


def test_sparse_weights_stay_zero_through_training_and_do_nothing():
    torch.manual_seed(0)
    network = Dense(widths=(16,), sparse=0.75)
    encoder, decoder = network.encoder((8,), 4), network.decoder(4, (8,))
    before = encoder.layers[0].weight.detach().clone()
    train(encoder, decoder, torch.rand(32, 8), steps=30)
    for layer in [m for m in [*encoder.modules(), *decoder.modules()] if isinstance(m, SparseLinearModule)]:
        assert (layer.weight == 0).float().mean() == 0.75
        assert torch.equal(layer.weight != 0, layer.mask)
    assert not torch.equal(encoder.layers[0].weight, before)
    with torch.no_grad():  # even a weight that something else has changed
        x, y = torch.rand(3, 8), None
        y = encoder(x)
        encoder.layers[0].weight.add_((~encoder.layers[0].mask) * 5.0)
        assert torch.equal(encoder(x), y)


def test_sparse_pattern_is_saved():
    network = Dense(widths=(5,), sparse=0.5)
    a, b = network.encoder((6,), 2), network.encoder((6,), 2)
    assert not torch.equal(a.layers[0].mask, b.layers[0].mask)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.layers[0].mask, b.layers[0].mask)


def test_initialisation_bounds():
    """He: √(6 / 300) = 0.1414; Xavier: √(6 / 400) = 0.1225; half the weights: √2 times as much."""
    for activation, kept, bound in [
        ("relu", 1.0, math.sqrt(6 / 300)),
        ("silu", 1.0, math.sqrt(6 / 300)),
        ("gelu", 1.0, math.sqrt(6 / 300)),
        ("tanh", 1.0, math.sqrt(6 / 400)),
        ("sigmoid", 1.0, math.sqrt(6 / 400)),
        ("relu", 0.5, math.sqrt(6 / 150)),
    ]:
        weight = torch.empty(100, 300)
        initialise(weight, activation, kept=kept)
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("network", [Dense((256, 256)), Conv((8, 16)), Residual(256)], ids=lambda n: type(n).__name__)
def test_a_decoder_says_little_before_it_has_learnt(network):
    """What it would say is noise, which would have to be unlearnt; what goes into the last layer keeps its size."""
    torch.manual_seed(0)
    said = network.decoder(64, (1, 16, 16))(torch.randn(100, 64)).std()
    assert said < 0.3
    torch.manual_seed(0)
    assert network.encoder((1, 16, 16), 64)(torch.randn(100, 1, 16, 16)).std() > 2 * said


def test_signals_keep_their_size_through_many_layers():
    torch.manual_seed(0)
    module = Dense(widths=(256,) * 8, activation="relu").encoder((256,), 256)
    assert 0.6 < module.layers[:-1](torch.randn(200, 256)).square().mean().item() < 1.6


def test_dropout_only_in_training():
    torch.manual_seed(0)
    module = Dense(widths=(200,), dropout=0.5).encoder((4,), 1)
    x = torch.rand(1, 4)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_batch_normalisation_by_hand():
    module = Dense(widths=(1,), activation="linear", normalisation="batch").encoder((1,), 1)
    assert module.layers[0].bias is None
    with torch.no_grad():
        module.layers[0].weight.fill_(1), module.layers[-1].weight.fill_(1)
    # mean 2, variance 1
    torch.testing.assert_close(module(torch.tensor([[1.0], [3.0]])), torch.tensor([[-1.0], [1.0]]), atol=1e-4, rtol=0)


def test_mitchells_eight_three_eight():
    """Mitchell, Machine Learning, 1997, section 4.6.4: each unit vector is its own nearest reconstruction."""
    torch.manual_seed(0)
    network = Dense(widths=())
    encoder, decoder = network.encoder((8,), 3), network.decoder(3, (8,))
    x = torch.eye(8)
    y = train(torch.nn.Sequential(encoder, torch.nn.Sigmoid()), decoder, x, 2000, 0.05, torch.sigmoid)
    assert torch.equal(torch.cdist(y, x).argmin(dim=1), torch.arange(8))


def test_a_linear_autoencoder_reaches_pca():
    """Baldi and Hornik, 1989: the best linear autoencoder spans the principal subspace."""
    torch.manual_seed(0)
    x = torch.randn(200, 6) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5, 0.3, 0.1])) @ torch.randn(6, 6)
    x = x - x.mean(0)
    network = Dense(widths=())
    y = train(network.encoder((6,), 2), network.decoder(2, (6,)), x, 1500, 0.02)
    _, s, _ = np.linalg.svd(x.numpy(), full_matrices=False)
    assert ((y - x) ** 2).sum().item() <= 1.01 * (s[2:] ** 2).sum()
