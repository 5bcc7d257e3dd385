"""Masking and summing."""

import torch

from narrows._types import Layout, Rows
from narrows.likelihoods import Gaussian, feature_axis, log_likelihood, masked_sum


def test_steps_beyond_a_series_end_do_not_count():
    module = Gaussian(scale=1.0).build(Layout(shape=(4, 2)))
    values = torch.randn(3, 4, 2)
    lengths = torch.tensor([4, 2, 0])
    result = log_likelihood(module(torch.zeros(3, 4, 2)), Rows(values, lengths=lengths))
    elements = module(torch.zeros(3, 4, 2)).log_prob(values)
    expected = torch.stack([elements[i, :n].sum() for i, n in enumerate([4, 2, 0])])
    torch.testing.assert_close(result, expected)


def test_infinite_and_nan_cells_are_harmless_when_masked():
    module = Gaussian("predicted").build(Layout(shape=(3,)))
    theta = torch.zeros(1, 6, requires_grad=True)
    rows = Rows(torch.tensor([[1.0, torch.nan, torch.inf]]), torch.tensor([[True, False, False]]))
    log_likelihood(module(theta), rows).sum().backward()
    assert theta.grad.isfinite().all()
    assert theta.grad[0, [1, 2, 4, 5]].abs().sum() == 0


def test_masked_sum_drops_what_the_mask_hides():
    elements = torch.tensor([[1.0, torch.nan], [2.0, 3.0]])
    mask = torch.tensor([[True, False], [True, True]])
    assert masked_sum(elements, mask, 1).tolist() == [1.0, 5.0]
    assert masked_sum(elements[1:], None, 1).tolist() == [5.0]
    assert masked_sum(elements[1], None, 0).tolist() == [2.0, 3.0]


def test_rows_are_summed_over_all_axes_but_the_first():
    module = Gaussian(scale=1.0).build(Layout(shape=(2, 3, 4)))
    rows = Rows(torch.ones(5, 2, 3, 4))
    one = log_likelihood(Gaussian(1.0).build(Layout(shape=(1,)))(torch.zeros(1, 1)), Rows(torch.ones(1, 1)))
    torch.testing.assert_close(log_likelihood(module(torch.zeros(5, 2, 3, 4)), rows), (24 * one).expand(5))


def test_feature_axis():
    assert [feature_axis(shape) for shape in [(7,), (3, 8, 8), (20, 4)]] == [0, 0, 1]
