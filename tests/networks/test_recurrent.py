"""Every cell against its equations in NumPy, against torch where torch has it, and in the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

from narrows._types import Layout, Rows
from narrows.bottlenecks import Plain
from narrows.likelihoods import Gaussian
from narrows.models import AutoencoderModule
from narrows.networks import Recurrent, Transformer
from narrows.networks.cells import CoupledModule, NativeModule, PeepholeModule, layer
from narrows.networks.recurrent import places
from narrows.objectives import ELBO
from narrows.priors import StandardNormal
from narrows.training import Loop, Player, Training
from narrows.training.replay import Gradients
from narrows.training.step import Step

CELLS = ["rnn", "lstm", "gru", "peephole", "coupled"]
H, F = 4, 3


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def reference(module, x, state):
    """The equations of the docstrings, one series ``(T, F)``."""
    w = {name.removeprefix("rnn.").removesuffix("_l0"): p.detach().numpy() for name, p in module.named_parameters()}
    if isinstance(module, NativeModule):
        kind = type(module.rnn).__name__
        b, b2 = w["bias_ih"], w["bias_hh"]
    else:
        kind, b, b2 = type(module).__name__, w["bias"], 0 * w["bias"]
    h, *rest = state
    out = []
    for step in x:
        wx, uh = w["weight_ih"] @ step + b, w["weight_hh"] @ h + b2
        a = wx + uh
        if kind == "RNN":
            h = np.tanh(a)
        elif kind == "GRU":
            r, z = sigmoid(a[:H]), sigmoid(a[H : 2 * H])
            n = np.tanh(wx[2 * H :] + r * uh[2 * H :])
            h = (1 - z) * n + z * h
        else:
            c = rest[0]
            if kind == "CoupledModule":
                f, g, o = sigmoid(a[:H]), np.tanh(a[H : 2 * H]), sigmoid(a[2 * H :])
                c = f * c + (1 - f) * g
            else:
                p = w.get("peephole", np.zeros((3, H)))
                i, f = sigmoid(a[:H] + p[0] * c), sigmoid(a[H : 2 * H] + p[1] * c)
                c = f * c + i * np.tanh(a[2 * H : 3 * H])
                o = sigmoid(a[3 * H :] + p[2] * c)
            h, rest = o * np.tanh(c), [c]
        out.append(h)
    return np.array(out), (h, *rest)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["64", "32"])
def test_cell_is_its_equations(cell, dtype, tolerance):
    module = layer(cell, F, H, 1.0).to(dtype)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7)
    x = torch.randn(2, 11, F, dtype=dtype)
    state = tuple(torch.randn(2, H, dtype=dtype) for _ in range(module.states))
    out, after = module(x, state)
    for row in range(2):
        wanted, end = reference(module, x[row].numpy(), [s[row].numpy() for s in state])
        np.testing.assert_allclose(out[row].detach().numpy(), wanted, rtol=0, atol=tolerance)
        for found, last in zip(after, end, strict=True):
            np.testing.assert_allclose(found[row].detach().numpy(), last, rtol=0, atol=tolerance)


def test_own_scan_with_torchs_weights_is_torchs_lstm_and_so_are_its_gradients():
    own, theirs = PeepholeModule(F, H, 1.0), nn.LSTM(F, H, batch_first=True)
    with torch.no_grad():
        own.weight_ih.copy_(theirs.weight_ih_l0)
        own.weight_hh.copy_(theirs.weight_hh_l0)
        own.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    x, weights = torch.randn(5, 20, F), torch.randn(5, 20, H)
    found, wanted = own(x, own.begin(x))[0], theirs(x)[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    torch.testing.assert_close(own.weight_ih.grad, theirs.weight_ih_l0.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own.weight_hh.grad, theirs.weight_hh_l0.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own.bias.grad, theirs.bias_ih_l0.grad, rtol=1e-5, atol=1e-5)


def test_a_coupled_cell_is_torchs_lstm_with_opposite_gates():
    own, theirs = CoupledModule(F, H, 1.0), nn.LSTM(F, H, batch_first=True)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh"):
            weight = getattr(own, name)
            getattr(theirs, f"{name}_l0").copy_(torch.cat([-weight[:H], weight]))
        theirs.bias_ih_l0.copy_(torch.cat([-own.bias[:H], own.bias]))
        theirs.bias_hh_l0.zero_()
    x = torch.randn(5, 20, F)
    torch.testing.assert_close(own(x, own.begin(x))[0], theirs(x)[0], rtol=0, atol=1e-6)


def test_derivatives_of_the_own_scan_are_numerical_ones():
    module = PeepholeModule(2, 3, 1.0).double()
    nn.init.normal_(module.peephole)
    x, state = torch.randn(2, 4, 2, dtype=torch.double), torch.randn(2, 2, 3, dtype=torch.double)
    names, weights = zip(*module.named_parameters())

    def run(x, h, c, *weights):
        out, after = functional_call(module, dict(zip(names, weights)), (x, (h, c)))
        return out, *after

    inputs = [t.detach().clone().requires_grad_() for t in (x, *state, *weights)]
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("kind", ["peephole", "transformer"])
def test_what_fused_kernels_cannot_derive_twice_is_done_without_them(kind):
    """A contraction penalty takes derivatives of derivatives; values are the same either way."""
    small = Transformer(layers=1, heads=1, width=4)
    network = small if kind == "transformer" else Recurrent(cell=kind, hidden=4)
    encoder = network.encoder((5, 2), 3)
    x, lengths = torch.randn(4, 5, 2), torch.tensor([5, 3, 1, 4])
    whole = vmap(lambda row, length: encoder(row[None], length[None])[0])(x, lengths)
    torch.testing.assert_close(whole, encoder(x, lengths), rtol=1e-4, atol=1e-6)
    norm = vmap(jacrev(encoder))(x).square().sum()
    slopes = torch.autograd.grad(norm, list(encoder.parameters()), allow_unused=True)
    assert sum(float(s.abs().sum()) for s in slopes if s is not None) > 0
    step = 1e-3 * torch.randn(2)
    moved = x.clone()
    moved[0, 2] += step
    guess = jacrev(encoder)(x[0])[:, 2] @ step
    torch.testing.assert_close(encoder(moved)[0] - encoder(x)[0], guess, rtol=0.02, atol=2e-6)


@pytest.mark.parametrize(("cell", "gate"), [("lstm", 1), ("gru", 1), ("peephole", 1), ("coupled", 0)])
def test_forget_gates_begin_with_the_bias_asked_for(cell, gate):
    module = layer(cell, F, H, 2.5)
    biases = [p for name, p in module.named_parameters() if "bias" in name]
    total = sum(b.detach() for b in biases).view(-1, H)
    assert (total[gate] == 2.5).all()
    assert total.sum() == 2.5 * H


def test_a_decoder_knows_where_it_is():
    found = places(140)
    assert found.shape == (140, 16)
    distances = torch.cdist(found, found) + 9 * torch.eye(140)
    assert distances.min() > 0.3  # no two steps look alike


def autoencoder(cell, ragged):
    torch.manual_seed(3)
    layout = Layout(shape=(12, 1), ragged=ragged)
    network = Recurrent(cell=cell, hidden=8, layers=2, dropout=0.1)
    model = AutoencoderModule(layout, network, Plain(size=3), Gaussian(), StandardNormal())
    return Step(model, ELBO(), {}, None, layout)


def waves(ragged):
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(64, 1, generator=generator) * 6
    values = torch.sin(torch.arange(12) / 2 + phase).unsqueeze(-1)
    return Rows(values, lengths=torch.randint(1, 13, (64,), generator=generator) if ragged else None)


@pytest.mark.parametrize("cell", CELLS)
def test_a_replayed_fit_is_an_ordinary_one(cell, monkeypatch):
    """After fifty steps the loop replays a recording, or sees that it cannot: weights come out the same bit by bit."""
    training = Training(epochs=20, batch_size=16)
    rows, replayed, ends = waves(True), [], []
    call = Gradients.__call__

    def watched(self, *args):
        values = call(self, *args)
        replayed.append(self.replayed)
        return values

    monkeypatch.setattr(Gradients, "__call__", watched)
    for pure in (True, False):
        step = autoencoder(cell, True)
        monkeypatch.setattr(Step, "pure", pure)
        Loop(step, [Player(step, list(step.parameters()))], training, seed=0).fit(rows)
        ends.append({name: p.detach().clone() for name, p in step.named_parameters()})
    # oneDNN's LSTM keeps what its derivative needs only where autograd watches, so it cannot be replayed
    assert (sum(replayed) > 20) == (cell not in ("lstm", "coupled"))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_an_autoencoder_of_waves_learns_their_phase():
    step = autoencoder("lstm", False)
    rows = waves(False)

    def loss():
        step.eval()
        with torch.no_grad():
            return float(step(rows.tensors(), torch.zeros(()))["loss"])

    before = loss()
    Loop(step, [Player(step, list(step.parameters()))], Training(epochs=150, batch_size=32), seed=0).fit(rows)
    after = loss()
    # the best that can be said without a code: the mean series and its spread
    spread = (rows.values - rows.values.mean(0)).square().mean().log() / 2
    blind = float(12 * (spread + 0.5 * np.log(2 * np.pi) + 0.5))
    assert before > blind
    assert after < blind - 5
