from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from narrows._types import Layout, Rows
from narrows.networks import StemModule
from narrows.networks.stem import embedding_width


def test_numbers_pass_unchanged():
    stem = StemModule(Layout(shape=(3,)))
    values = torch.rand(4, 3)
    assert stem.shape == (3,)
    assert torch.equal(stem(Rows(values)), values)
    assert not list(stem.parameters())


def test_one_hot_and_mask_by_hand():
    layout = Layout(shape=(4,), categories=(3, 0, 2, 0))
    values = torch.tensor([[2.0, 0.5, 0.0, -1.0], [0.0, 0.0, 1.0, 4.0]])
    observed = torch.tensor([[True, True, False, True], [True, False, True, True]])
    plain = StemModule(layout)
    assert plain.shape == (7,)
    assert plain(Rows(values)).tolist() == [[0.5, -1, 0, 0, 1, 1, 0], [0, 4, 1, 0, 0, 0, 1]]
    # a blank category is no category, not the first one
    assert plain(Rows(values, observed)).tolist() == [[0.5, -1, 0, 0, 1, 0, 0], [0, 4, 1, 0, 0, 0, 1]]
    masked = StemModule(layout.maskable())
    assert masked.shape == (11,)
    assert masked(Rows(values, observed))[:, 7:].tolist() == [[1, 1, 0, 1], [1, 0, 1, 1]]
    assert masked(Rows(values))[:, 7:].tolist() == [[1, 1, 1, 1]] * 2


def test_large_categories_are_embedded():
    stem = StemModule(Layout(shape=(4,), categories=(17, 0, 40, 16)))
    width = embedding_width(40)
    assert width == 13  # 1.6 · 40^0.56 = 12.6
    assert stem.shape == (1 + 16 + 2 * width,)
    assert stem.embedding.weight.shape == (57, width)
    rows = Rows(torch.tensor([[16.0, 0.3, 39.0, 15.0], [0.0, 0.3, 0.0, 0.0]]))
    out = stem(rows)
    torch.testing.assert_close(out[0, 17 : 17 + width], stem.embedding.weight[16])
    torch.testing.assert_close(out[0, 17 + width :], stem.embedding.weight[56])
    torch.testing.assert_close(out[1, 17 + width :], stem.embedding.weight[17])
    out.square().sum().backward()
    touched = stem.embedding.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert touched == [0, 16, 17, 56]


def test_blank_embedded_categories_are_zero_and_learn_nothing():
    stem = StemModule(Layout(shape=(1,), categories=(20,)))
    rows = Rows(torch.zeros(2, 1), torch.tensor([[False], [False]]))
    out = stem(rows)
    assert not out.any()
    out.sum().backward()
    assert not stem.embedding.weight.grad.any()


def test_images_get_mask_channels():
    layout = Layout(shape=(3, 4, 5))
    values, observed = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5) > 0.5
    assert StemModule(layout).shape == (3, 4, 5)
    stem = StemModule(layout.maskable())
    assert stem.shape == (6, 4, 5)
    out = stem(Rows(values, observed))
    assert torch.equal(out[:, :3], values * observed)
    assert torch.equal(out[:, 3:], observed.float())


def test_what_lies_under_a_blank_never_shows():
    for layout in (Layout(shape=(2,)), Layout(shape=(2,), categories=(0, 3)), Layout(shape=(2,), categories=(0, 30))):
        torch.manual_seed(0)
        stem = StemModule(layout.maskable())
        observed = torch.tensor([[True, False], [False, True]])
        a = stem(Rows(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), observed))
        b = stem(Rows(torch.tensor([[1.0, float("nan")], [7.0, 2.0]]), observed))
        assert torch.equal(a, b)


def test_lengths_count_as_blank():
    stem = StemModule(Layout(shape=(3,)).maskable())
    out = stem(Rows(torch.ones(2, 3), lengths=torch.tensor([1, 3])))
    assert out.tolist() == [[1, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]]


@given(st.lists(st.integers(0, 25), min_size=1, max_size=8), st.booleans())
@settings(max_examples=50, deadline=None)
def test_shape_is_what_comes_out(categories, mask):
    layout = Layout(shape=(len(categories),), categories=tuple(categories))
    values = torch.stack([torch.full((5,), float(max(k - 1, 0))) for k in categories], dim=1)
    stem = StemModule(layout.maskable() if mask else layout)
    out = stem(Rows(values))
    assert out.shape == (5, *stem.shape)
    assert out.dtype == torch.float32
    hot = sum(1 for k in categories if 0 < k <= 16)
    numbers = sum(1 for k in categories if k == 0)
    small = sum(k for k in categories if 0 < k <= 16)
    assert out[0, numbers : numbers + small].sum() == hot  # each category is exactly one of its slots


def test_state_holds_only_what_is_learnt():
    layout = Layout(shape=(3,), categories=(0, 4, 40))
    stem = StemModule(layout.maskable())
    assert set(stem.state_dict()) == {"embedding.weight"}
    other = StemModule(layout.maskable())
    other.load_state_dict(stem.state_dict())
    rows = Rows(torch.tensor([[0.1, 3.0, 39.0]]))
    assert torch.equal(stem(rows), other(rows))


def test_stem_works_under_vmap():
    stem = StemModule(Layout(shape=(3,), categories=(0, 4, 40)).maskable())
    values = torch.tensor([[0.1, 3.0, 39.0], [0.2, 0.0, 5.0]])
    observed = torch.tensor([[True, True, False], [True, False, True]])
    out = torch.func.vmap(lambda v, o: stem(Rows(v, o)))(values.unsqueeze(1), observed.unsqueeze(1))
    torch.testing.assert_close(out.squeeze(1), stem(Rows(values, observed)))


def test_layouts_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="2 categories"):
        StemModule(Layout(shape=(3,), categories=(0, 2)))


def test_series_have_their_features_last_and_say_which_steps_exist():
    layout = Layout(shape=(3, 2), categories=(0, 3), blanks=(True, False), ragged=True)
    stem = StemModule(layout)
    assert stem.shape == (3, 1 + 3 + 1 + 1)  # number, one-hot, seen, exists
    values = torch.tensor([[[0.5, 2.0], [0.0, 1.0], [9.0, 0.0]]])
    observed = torch.tensor([[[True, True], [False, True], [True, True]]])
    found = stem(Rows(values=values, observed=observed, lengths=torch.tensor([2])))
    assert found.tolist() == [[[0.5, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]]


def test_a_series_is_described_step_by_step():
    layout = Layout(shape=(7, 2), categories=(0, 4), ragged=True)
    assert layout.series
    assert layout.steps == (7,)
    assert layout.step == Layout(shape=(2,), categories=(0, 4))
    assert Layout(shape=(3,)).step == Layout(shape=(3,))
    assert Layout(shape=(3, 4, 5)).steps == ()


def test_an_autoencoder_of_short_series_does_not_look_beyond_their_ends():
    from narrows.bottlenecks import Plain
    from narrows.likelihoods import Categorical, Gaussian, Mixed, log_likelihood
    from narrows.models import AutoencoderModule
    from narrows.networks import Dense
    from narrows.priors import StandardNormal

    layout = Layout(shape=(5, 2), categories=(0, 3), ragged=True)
    module = AutoencoderModule(layout, Dense((8,)), Plain(2), Mixed((Gaussian(), Categorical())), StandardNormal())
    values = torch.rand(4, 5, 2) * torch.tensor([1.0, 0.0]) + torch.tensor([0.0, 2.0])
    other = values.clone()
    lengths = torch.tensor([5, 3, 1, 4])
    other[1, 3:], other[2, 1:] = 7.0, 1.0
    first, second = Rows(values, lengths=lengths), Rows(other, lengths=lengths)
    one, two = module(first), module(second)
    assert torch.equal(one.code.z, two.code.z)
    assert one.x.mean.shape == (4, 5, 2)
    assert torch.equal(log_likelihood(one.x, first), log_likelihood(two.x, second))
