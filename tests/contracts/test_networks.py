"""What every network promises. A new network joins by being listed in NETWORKS."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from narrows._part import Part
from narrows.errors import InvalidParameter
from narrows.networks import Asymmetric, Conv, Dense, Hierarchical, Network, Recurrent, Residual, Transformer

TABLE = (5,)
SERIES = [(6, 3), (2, 1)]
IMAGES = [(1, 1, 1), (1, 7, 5), (3, 28, 28), (4, 9, 2)]
NETWORKS: list[Network] = [
    Dense(),
    Dense(widths=()),
    Dense(widths=(7, 4), activation="tanh", normalisation="layer"),
    Dense(widths=(6,), activation="gelu", normalisation="batch", dropout=0.2),
    Dense(widths=(8,), activation="sigmoid", sparse=0.5),
    Residual(),
    Residual(width=6, depth=3, activation="gelu", dropout=0.2),
    Conv(),
    Conv(channels=(4, 6), activation="relu", down="pool"),
    Conv(channels=(4, 6, 8), down="stride", up="transposed", kernel=4, dense=(10,)),
    Conv(channels=(4,), kernel=5, normalisation="batch", down="pool", seed_channels=2, out_kernel=1),
    Conv(channels=(4, 4), up="transposed", normalisation="layer", dropout=0.2, activation="gelu", out_kernel=2),
    Conv(channels=(3,), kernel=2, down="stride", activation="linear"),
    Asymmetric(Conv(channels=(4,)), Dense(widths=(6,))),
    Recurrent(hidden=7),
    Recurrent(cell="rnn", hidden=6, bidirectional=False),
    Recurrent(cell="gru", hidden=6, layers=2, dropout=0.2),
    Recurrent(cell="peephole", hidden=6, layers=2, bidirectional=False),
    Recurrent(cell="coupled", hidden=6, layers=2),
    Hierarchical(segment=4, conductor=Recurrent(hidden=6), plan=5),
    Hierarchical(segment=2, conductor=Recurrent(hidden=6), player=Transformer(layers=1, heads=1, width=4), plan=5),
    Transformer(layers=1),
    Transformer(layers=2, heads=2, width=8, positions="learned", dropout=0.2, expand=2),
]
CASES = [
    pytest.param(network, shape, id=f"{i}-{type(network).__name__}-{'x'.join(map(str, shape))}")
    for i, network in enumerate(NETWORKS)
    for shape in ([TABLE] if isinstance(network, Dense | Residual) else [])
    + (SERIES if network.takes_lengths else IMAGES)
]
WIDTH, CODE = 6, 3


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def modules(network: Network, shape: tuple[int, ...]):
    """(module, input shape, output shape) of all three kinds."""
    out = {1: (4,), 2: (*shape[:1], 4), 3: (2, *shape[1:])}[len(shape)]
    return [
        (network.encoder(shape, WIDTH), shape, (WIDTH,)),
        (network.decoder(CODE, shape), (CODE,), shape),
        (network.map(shape, out), shape, out),
    ]


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_shapes_with_any_leading_dimensions(network, shape):
    for module, before, after in modules(network, shape):
        module.eval()
        x = torch.rand(2, 3, *before)
        y = module(x)
        assert y.shape == (2, 3, *after)
        torch.testing.assert_close(y[1], module(x[1]), rtol=1e-4, atol=1e-5)
        assert module(x[0]).shape == (3, *after)
        assert module(x[0, 0]).shape == after


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_gradient_reaches_every_parameter(network, shape):
    for module, before, after in modules(network, shape):
        # a bias of its own keeps relu units alive at the start
        weights = torch.randn(8, *after)
        (module(torch.randn(8, *before)) * weights).sum().backward()
        silent = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not silent
        assert all(torch.isfinite(p.grad).all() for p in module.parameters())
        # fused optimisers read parameters and gradients as flat memory
        assert all(p.is_contiguous() and p.grad.is_contiguous() for p in module.parameters())


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_evaluation_is_deterministic_and_independent_of_the_batch(network, shape):
    for module, before, _ in modules(network, shape):
        module(torch.rand(8, *before))  # normalisation gets statistics
        module.eval()
        x = torch.rand(5, *before)
        y = module(x)
        assert torch.equal(y, module(x))
        torch.testing.assert_close(y[3:4], module(x[3:4]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_train_mode_takes_one_row(network, shape):
    for module, before, after in modules(network, shape):
        y = module(torch.rand(1, *before))
        assert y.shape == (1, *after)
        assert torch.isfinite(y).all()


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_copies_and_state(network, shape):
    pairs = zip(modules(network, shape), modules(network, shape))
    for (module, before, _), (other, _, _) in pairs:
        x = torch.rand(4, *before)
        module.eval(), other.eval()
        assert torch.equal(copy.deepcopy(module)(x), module(x))
        assert not torch.equal(other(x), module(x))  # drawn afresh
        other.load_state_dict(module.state_dict())
        assert torch.equal(other(x), module(x))
        assert all(t.is_contiguous() for t in module.state_dict().values())


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_initialisation_follows_torchs_generator(network, shape):
    torch.manual_seed(1)
    first = [m.state_dict() for m, _, _ in modules(network, shape)]
    torch.manual_seed(1)
    for state, (module, _, _) in zip(first, modules(network, shape)):
        assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_stacks_under_vmap(network, shape):
    if isinstance(network, Recurrent | Hierarchical):
        pytest.skip("torch has no batching rule for recurrent kernels: such models are trained one after another")
    together = [modules(network, shape) for _ in range(3)]
    for kind in range(3):
        members = [t[kind][0].eval() for t in together]
        before = together[0][kind][1]
        params, buffers = stack_module_state(members)
        x = torch.rand(3, 4, *before)
        call = vmap(lambda p, b, x, m=members[0]: functional_call(m, (p, b), (x,)))
        torch.testing.assert_close(
            call(params, buffers, x), torch.stack([m(v) for m, v in zip(members, x)]), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_output_starts_at_a_useful_size(network, shape):
    """Standardised rows come out of the encoder neither flat nor huge."""
    if math.prod(shape) == 1:
        pytest.skip("one pixel amid padding, or one number normalised over itself")
    module = network.encoder(shape, 64).eval()
    spread = module(torch.randn(64, *shape)).std()
    assert 0.01 < spread < 10


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: repr(n))
def test_config_round_trip(network):
    network.check()
    assert Part.from_config(network.to_config()) == network
    assert copy.deepcopy(network) == network


def test_asymmetric_has_nested_parameters_and_refuses_other_parts():
    network = Asymmetric(encoder=Conv(channels=(4,)), decoder=Dense(widths=(6,)))
    assert network.get_params()["encoder__channels"] == (4,)
    changed = network.set_params(decoder__widths=(9, 8))
    assert changed == Asymmetric(Conv(channels=(4,)), Dense(widths=(9, 8)))
    assert network == eval(repr(network), {"networks": __import__("narrows.networks").networks})
    with pytest.raises(InvalidParameter, match="decoder='dense' cannot be used"):
        Asymmetric(Dense(), "dense").check()
    with pytest.raises(InvalidParameter, match="widths"):
        Asymmetric(Dense(), Dense(widths=(0,))).check()


@pytest.mark.parametrize(
    "network",
    [
        Dense(widths=(0,)),
        Dense(activation="swish"),
        Dense(dropout=1.0),
        Dense(sparse=1.0),
        Dense(normalisation="instance"),
        Conv(channels=(3, -1)),
        Conv(kernel=0),
        Conv(down="max"),
        Conv(up="bilinear"),
        Conv(out_kernel=0),
        Conv(seed_channels=0),
        Recurrent(cell="elman"),
        Recurrent(hidden=0),
        Recurrent(layers=0),
        Recurrent(dropout=1.0),
        Transformer(layers=0),
        Transformer(heads=0),
        Transformer(width=126),
        Transformer(positions="sinusoidal"),
    ],
    ids=repr,
)
def test_bad_parameters_are_named(network):
    (name,) = network.get_params().keys() & {
        k for k, v in network.get_params().items() if v != type(network)().get_params()[k]
    }
    with pytest.raises(InvalidParameter, match=name):
        network.check()


@pytest.mark.parametrize("network", [n for n in NETWORKS if not n.takes_lengths], ids=repr)
def test_what_cannot_read_step_by_step_says_so(network):
    with pytest.raises(InvalidParameter, match=r"use networks\.Recurrent"):
        network.causal(3, 4)


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.takes_lengths], ids=repr)
class TestSeries:
    def test_other_shapes_are_refused_in_words(self, network):
        for make in (
            lambda: network.encoder((5,), 2),
            lambda: network.decoder(2, (1, 8, 8)),
            lambda: network.map((5,), (5,)),
        ):
            with pytest.raises(InvalidParameter, match=r"reads series \(steps, columns\), but rows have the shape"):
                make()
        with pytest.raises(InvalidParameter, match="as many steps, not 6 to 5"):
            network.map((6, 2), (5, 2))

    def test_a_step_that_does_not_exist_never_matters(self, network):
        """Every length gives what the series of that length alone gives, whatever stands behind it."""
        encoder = network.encoder((6, 2), 4).eval()
        x, lengths = torch.randn(6, 6, 2), torch.tensor([6, 5, 3, 2, 1, 4])
        code = encoder(x, lengths)
        for row, length in enumerate(lengths):
            alone = encoder(x[row : row + 1, :length])
            torch.testing.assert_close(code[row : row + 1], alone, rtol=1e-4, atol=1e-6)
        other = x.clone()
        other[torch.arange(6) >= lengths.unsqueeze(1)] = 1e3
        torch.testing.assert_close(encoder(other, lengths), code, rtol=0, atol=1e-6)
        x.requires_grad_()
        (slope,) = torch.autograd.grad(encoder(x, lengths).square().sum(), x)
        exists = torch.arange(6) < lengths.unsqueeze(1)
        assert not slope[~exists].any()
        assert slope[exists].abs().sum(-1).gt(0).all()

    def test_a_series_without_steps_has_the_code_of_nothing(self, network):
        encoder = network.encoder((4, 2), 3).eval()
        a, b = encoder(torch.randn(2, 4, 2), torch.tensor([0, 0]))
        assert torch.equal(a, b)
        assert torch.isfinite(a).all()

    def test_lengths_take_any_leading_dimensions(self, network):
        encoder = network.encoder((5, 2), 3).eval()
        x, lengths = torch.randn(2, 3, 5, 2), torch.tensor([[5, 4, 3], [2, 1, 5]])
        torch.testing.assert_close(encoder(x, lengths)[1], encoder(x[1], lengths[1]), rtol=1e-4, atol=1e-6)

    def test_causal_outputs_know_nothing_of_later_inputs(self, network):
        module = network.causal(3, 4).eval()
        x = torch.randn(2, 8, 3)
        out, _ = module(x)
        assert out.shape == (2, 8, 4)
        for t in range(8):
            changed = x.clone()
            changed[:, t] += 1
            moved = (module(changed)[0] - out).abs().amax((0, 2))
            assert not moved[:t].any()
            assert moved[t] > 1e-6
            assert t == 0 or moved[-1] > 0  # and later ones remember it

    def test_in_pieces_or_at_once_is_the_same(self, network):
        module = network.causal(3, 4).eval()
        x = torch.randn(3, 9, 3)
        whole, end = module(x)
        pieces, state = [], None
        for piece in x.split([4, 1, 1, 3], dim=1):
            out, state = module(piece, state)
            pieces.append(out)
        torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-4, atol=1e-5)
        for found, wanted in zip(state, end, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

    def test_states_have_the_batch_first(self, network):
        module = network.causal(3, 4).eval()
        x, order = torch.randn(4, 5, 3), torch.tensor([2, 0, 0, 3])
        _, state = module(x)
        assert all(len(tensor) == 4 for tensor in state)
        after, _ = module(x[order, :2], tuple(tensor[order] for tensor in state))
        again = torch.cat([x, x[:, :2]], 1)[order]
        torch.testing.assert_close(after, module(again)[0][:, -2:], rtol=1e-4, atol=1e-5)
