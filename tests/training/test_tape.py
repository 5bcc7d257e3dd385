"""Tapes: they do what was recorded, gradients and fresh noise included, or they are refused."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap

from narrows.training.tape import Unrecordable, record


def curve(w, x):
    return [torch.tanh(x @ w).square().sum(), torch.sigmoid(w).mean()]


def inputs(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 2, generator=generator).requires_grad_(), torch.randn(5, 3, generator=generator)]


def test_a_tape_does_to_other_tensors_what_was_done_to_the_first():
    tape = record(curve, inputs(0))
    w, x = inputs(1)
    expected, found = curve(w, x), tape(w, x)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    (slope,) = torch.autograd.grad(sum(expected), w)
    (own,) = torch.autograd.grad(sum(found), w)
    torch.testing.assert_close(own, slope, rtol=1e-6, atol=1e-7)


def test_noise_is_drawn_afresh_from_the_global_generator():
    def noisy(w, x):
        return [(x @ w + torch.randn_like(x[:, :2])).sum(), torch.nn.functional.dropout(w, 0.5).sum()]

    tape = record(noisy, inputs())
    first, second = tape(*inputs()), tape(*inputs())
    assert not torch.equal(first[0], second[0])
    torch.manual_seed(3)
    expected = noisy(*inputs())
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(expected, tape(*inputs()), strict=True))


def test_recording_leaves_the_callers_generator_alone():
    before = torch.get_rng_state()
    record(lambda w, x: [(w * torch.rand_like(w)).sum()], inputs())
    assert torch.equal(torch.get_rng_state(), before)


def test_stacked_functions_are_recorded_without_their_stacking():
    def one(w, x):
        return torch.logsumexp(torch.nn.functional.linear(x, w), 1).mean()

    w = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1))
    tape = record(lambda a, b: [vmap(one)(a, b)], [w, x])
    assert torch.equal(tape(w, 2 * x)[0], vmap(one)(w, 2 * x))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("item", lambda w, x: [w.sum() * (2.0 if w.sum().item() > 0 else 1.0)]),
        ("branch", lambda w, x: [w.sum() if bool((x > 0).any()) else w.mean()]),
        ("mask", lambda w, x: [w[w > 0].sum()]),
    ],
)
def test_what_depends_on_values_is_refused(name, function):
    with pytest.raises(Unrecordable):
        record(function, inputs())


def test_what_writes_into_its_surroundings_is_refused():
    count = torch.zeros(())

    def counting(w, x):
        count.add_(1)
        return [w.sum() * count]

    with pytest.raises(Unrecordable, match="was there before"):
        record(counting, inputs())


def test_what_hides_from_autograd_is_noticed():
    def partly(w, x):
        with torch.no_grad():
            weight = torch.softmax(w, 0)
        return [(weight * w).sum()]

    with pytest.raises(Unrecordable, match="gradients"):
        record(partly, inputs())
