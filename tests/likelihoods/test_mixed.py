"""Mixed: the sum of its columns, whatever their order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter
from narrows.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Laplace,
    Mixed,
    Poisson,
    log_likelihood,
)


def table(*categories, low=-3.0, high=3.0):
    return Layout(shape=(len(categories),), categories=categories, low=(low,), high=(high,))


def test_columns_are_what_they_would_be_alone():
    layout = Layout(shape=(4,), categories=(3, 0, 4, 0))
    module = Mixed((Categorical(), Gaussian(0.5), Categorical(), Poisson())).build(layout)
    theta = torch.randn(6, 9, generator=torch.Generator().manual_seed(1))
    x = module(theta)
    value = torch.tensor([[1.0, 0.2, 3.0, 2.0]]).expand(6, 4)
    log_p = x.log_prob(value)
    # θ: the categories' logits come first because a category comes first in the table, then mean, then log-rate
    torch.testing.assert_close(log_p[:, 0], theta[:, 0:3].log_softmax(-1)[:, 1])
    torch.testing.assert_close(log_p[:, 2], theta[:, 3:7].log_softmax(-1)[:, 3])
    torch.testing.assert_close(log_p[:, 1], torch.distributions.Normal(theta[:, 7], 0.5).log_prob(value[:, 1]))
    torch.testing.assert_close(log_p[:, 3], torch.distributions.Poisson(theta[:, 8].exp()).log_prob(value[:, 3]))
    torch.testing.assert_close(x.mean[:, 1], theta[:, 7])
    torch.testing.assert_close(x.mean[:, 3], theta[:, 8].exp())
    torch.testing.assert_close(x.mean[:, 2], theta[:, 3:7].argmax(-1).float())
    torch.testing.assert_close(x.probabilities(2), theta[:, 3:7].softmax(-1))


KINDS = st.sampled_from([Gaussian(0.5), Gaussian("predicted"), Laplace(1.5), Bernoulli(), Poisson(), Categorical()])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(KINDS, st.integers(1, 6)), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_shuffling_the_columns_shuffles_the_result(columns, random):
    def run(order):
        parts = [columns[i][0] for i in order]
        layout = Layout(
            shape=(len(order),),
            categories=tuple(columns[i][1] if isinstance(columns[i][0], Categorical) else 0 for i in order),
        )
        part = Mixed(tuple(parts))
        module = part.build(layout)
        # equal θ everywhere means the same to every column whatever the order
        x = module(torch.full((2, *part.theta_shape(layout)), 0.4))
        return x.log_prob(torch.zeros(2, len(order))), x.mean

    order = list(range(len(columns)))
    random.shuffle(order)
    for shuffled, straight in zip(run(order), run(range(len(columns))), strict=True):
        torch.testing.assert_close(shuffled, straight[:, order])


def test_equal_likelihoods_share_what_they_learn():
    layout = table(0, 0, 2, 0)
    shared = Mixed((Gaussian(), Gaussian(), Categorical(), Laplace())).build(layout)
    assert sorted(p.numel() for p in shared.parameters()) == [1, 1]
    apart = Mixed((Gaussian("column"), Gaussian("column"), Categorical(), Gaussian("column"))).build(layout)
    assert [p.numel() for p in apart.parameters()] == [3]


def test_blank_categories_and_numbers_do_not_count():
    layout = table(0, 3)
    part = Mixed((Gaussian(1.0), Categorical()))
    theta = torch.randn(2, *part.theta_shape(layout))
    x = part.build(layout)(theta)
    observed = torch.tensor([[True, False], [False, True]])
    result = log_likelihood(x, Rows(torch.tensor([[0.5, 0.0], [0.0, 2.0]]), observed))
    elements = x.log_prob(torch.tensor([[0.5, 0.0], [0.0, 2.0]]))
    torch.testing.assert_close(result, torch.stack([elements[0, 0], elements[1, 1]]))


@pytest.mark.parametrize(
    ("columns", "layout", "message"),
    [
        ((Gaussian(), Gaussian()), table(0, 3), r"column 1: .*Gaussian.*category of 3"),
        ((Gaussian(), Categorical()), table(0, 0), r"column 1: .*Categorical.*number"),
        ((Gaussian(), Poisson()), table(0, 0), r"column 1: .*Poisson.*at least 0"),
        ((Gaussian(), Gaussian(scale=-1)), table(0, 0), r"column 1: .*scale=-1"),
        ((Gaussian(),), table(0, 0), r"names 1 columns.*\(2,\)"),
        ((Gaussian(), Mixed((Gaussian(),))), table(0, 0), r"column 1: .*another"),
        ((), table(0, 0), "names no column"),
        ((Gaussian(), Gaussian()), Layout(shape=(2, 3, 3)), "of a table"),
        ((Gaussian(), "gaussian"), table(0, 0), "tuple of one of the likelihoods"),
    ],
)
def test_what_does_not_fit_is_named(columns, layout, message):
    with pytest.raises(InvalidParameter, match=message):
        Mixed(columns).build(layout)


def test_numbers_have_no_probabilities():
    part, layout = Mixed((Gaussian(), Categorical(), Categorical())), table(0, 2, 3)
    x = part.build(layout)(torch.zeros(1, 6))
    with pytest.raises(InvalidParameter, match=r"column 0.*\[1, 2\]"):
        x.probabilities(0)
