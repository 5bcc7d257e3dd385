"""Bernoulli, Poisson and categorical against scipy, sums and hand-worked numbers."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter
from narrows.likelihoods import Bernoulli, Categorical, Poisson, log_likelihood

ONE, TWO = Layout(shape=(1,)), Layout(shape=(2,))


def scalar(value):
    return torch.tensor([[float(value)]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("probability", "total"),
    [(((0.9, 0.1), (0.1, 0.9)), 0.421), (((0.2, 0.8), (0.8, 0.2)), 6.438)],
)
def test_log_loss_by_hand(probability, total):
    rows = Rows(torch.tensor(((1.0, 0.0), (0.0, 1.0))))
    x = Bernoulli().build(TWO)(torch.logit(torch.tensor(probability)))
    assert -log_likelihood(x, rows).sum().item() == pytest.approx(total, abs=5e-4)


def test_sigmoid_by_hand():
    logits = torch.tensor([[-5.0, -2, -1, 0, 1, 2, 5]])
    mean = Bernoulli().build(Layout(shape=(7,)))(logits).mean[0]
    assert [round(p, 2) for p in mean.tolist()] == [0.01, 0.12, 0.27, 0.5, 0.73, 0.88, 0.99]


@given(st.floats(-30, 30))
def test_bernoulli_is_scipys_and_sums_to_one(logit):
    x = Bernoulli().build(ONE)(scalar(logit))
    p = x.mean.item()
    assert p == pytest.approx(scipy.special.expit(logit), rel=1e-9)
    assert sum(x.log_prob(scalar(k)).exp().item() for k in (0, 1)) == pytest.approx(1, abs=1e-8)
    for k in (0, 1):
        exact = scipy.special.log_expit(logit if k else -logit)
        assert x.log_prob(scalar(k)).item() == pytest.approx(exact, rel=1e-6, abs=3e-9)


@given(st.floats(0.02, 0.98))
def test_bernoulli_takes_grey_values_and_likes_its_own_best(grey):
    # as cross-entropy: the best logit is the grey value's own, where the gradient x − σ(η) vanishes
    logit = torch.logit(scalar(grey)).requires_grad_()
    log_p = Bernoulli().build(ONE)(logit).log_prob(scalar(grey))
    expected = grey * math.log(grey) + (1 - grey) * math.log1p(-grey)
    assert log_p.item() == pytest.approx(expected, abs=1e-8)
    (slope,) = torch.autograd.grad(log_p.sum(), logit)
    assert slope.item() == pytest.approx(0, abs=1e-9)


@given(st.floats(-5, 8), st.integers(0, 3000))
def test_poisson_is_scipys(log_rate, count):
    x = Poisson().build(ONE)(scalar(log_rate))
    assert x.log_prob(scalar(count)).item() == pytest.approx(
        scipy.stats.poisson.logpmf(count, math.exp(log_rate)), rel=1e-9, abs=1e-9
    )
    assert x.mean.item() == pytest.approx(math.exp(log_rate), rel=1e-12)


def test_poisson_sums_to_one():
    x = Poisson().build(ONE)(torch.full((200, 1), 3.0, dtype=torch.float64))
    total = x.log_prob(torch.arange(200.0, dtype=torch.float64)[:, None]).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-10)


def test_poisson_goes_on_in_a_straight_line_where_exponentials_would_overflow():
    log_rate = torch.tensor([[14.999, 15.001, 1000.0]], dtype=torch.float64, requires_grad=True)
    x = Poisson().build(Layout(shape=(3,)))(log_rate)
    assert x.mean[0, 0].item() == pytest.approx(math.exp(14.999))
    assert x.mean[0, 1].item() == pytest.approx(math.exp(15) * 1.001)
    assert x.mean.isfinite().all()
    (slope,) = torch.autograd.grad(x.log_prob(torch.ones(1, 3, dtype=torch.float64)).sum(), log_rate)
    # the count is far too small for the rate, and every place says so
    assert (slope < -1e6).all()
    assert slope[0, 1].item() == pytest.approx(slope[0, 0].item(), rel=0.01)


def test_poisson_samples_have_mean_and_variance_of_the_rate():
    torch.manual_seed(0)
    samples = Poisson().build(ONE)(torch.full((20000, 1), math.log(6.5))).sample()
    assert samples.mean().item() == pytest.approx(6.5, abs=0.1)
    assert samples.var().item() == pytest.approx(6.5, rel=0.05)


CARDS = (4, 2, 9, 4, 1)
LAYOUT = Layout(shape=(5,), categories=CARDS)


def categorical(*leading, seed=0, dtype=torch.float32):
    theta = torch.randn(*leading, sum(CARDS), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return Categorical().build(LAYOUT)(theta)


def test_categories_sum_to_one_column_by_column():
    x = categorical(3)
    for column, k in enumerate(CARDS):
        value = torch.zeros(k, 1, len(CARDS))
        value[:, :, column] = torch.arange(k, dtype=torch.float32)[:, None]
        p = x.log_prob(value.expand(k, 3, -1))[..., column].exp()
        torch.testing.assert_close(p.sum(0), torch.ones(3))
        torch.testing.assert_close(p.T, x.probabilities(column))


@pytest.mark.parametrize("cards", [(7, 2, 3, 2, 5), (2, 1000, 3, 2, 900, 4), (4, 4), (3,), (1, 60, 2)])
def test_columns_filled_up_are_as_they_are_alone(cards):
    """What fills a column up adds nothing to its sum, and takes no gradient from it."""
    module = Categorical().build(Layout(shape=(len(cards),), categories=cards))
    torch.manual_seed(0)
    theta = 30 * torch.randn(4, sum(cards), dtype=torch.float64)
    theta[0] -= 1e4
    theta.requires_grad_()
    x, value = module(theta), torch.stack([torch.randint(k, (4,)) for k in cards], -1).double()
    log_prob = x.log_prob(value)
    for column, start in enumerate(x.segments.starts):
        alone = theta[:, start : start + cards[column]].log_softmax(-1)
        expected = alone.gather(-1, value[:, column : column + 1].long())[:, 0]
        torch.testing.assert_close(log_prob[:, column], expected)
        mine, theirs = (
            torch.autograd.grad(y.sum(), theta, retain_graph=True)[0] for y in (log_prob[:, column], expected)
        )
        torch.testing.assert_close(mine, theirs)
    assert sum(width * n for width, n in x.segments.filled) <= 2 * sum(cards)


def test_categories_use_every_logit_once():
    theta = torch.zeros(1, sum(CARDS), requires_grad=True)
    x = Categorical().build(LAYOUT)(theta)
    shares = torch.stack(
        [torch.autograd.grad(x.probabilities(c)[0, 0], theta, retain_graph=True)[0][0] != 0 for c in range(4)]
    )
    assert shares.sum(1).tolist() == list(CARDS[:4])
    assert shares.sum(0).max() == 1


def test_categorical_mode_mean_and_entropy_are_scipys():
    x = categorical(6, dtype=torch.float64)
    for column in range(len(CARDS)):
        p = x.probabilities(column)
        torch.testing.assert_close(x.mode[:, column], p.argmax(-1).double())
        torch.testing.assert_close(x.mean[:, column], x.mode[:, column])
        expected = torch.tensor(scipy.stats.entropy(p.numpy(), axis=-1))
        torch.testing.assert_close(x.entropy()[:, column], expected)


def test_categorical_samples_follow_the_probabilities():
    torch.manual_seed(0)
    x = categorical()
    samples = Categorical().build(LAYOUT)(x.logits.expand(20000, -1)).sample()
    for column, k in enumerate(CARDS):
        share = samples[:, column].long().bincount(minlength=k) / 20000
        torch.testing.assert_close(share, x.probabilities(column), atol=0.015, rtol=0)


def test_columns_do_not_leak_into_one_another():
    theta = torch.randn(1, sum(CARDS))
    x, index = Categorical().build(LAYOUT)(theta), torch.zeros(1, 5)
    other = theta.clone()
    start = x.segments.starts[2]
    other[:, start : start + 9] = 1e4  # a column with huge logits
    changed = Categorical().build(LAYOUT)(other).log_prob(index) != x.log_prob(index)
    assert changed.tolist() == [[False, False, True, False, False]]


def test_one_number_among_the_columns_is_named():
    with pytest.raises(InvalidParameter, match=r"column 1.*is a number.*Mixed"):
        Categorical().build(Layout(shape=(3,), categories=(2, 0, 3)))
    with pytest.raises(InvalidParameter, match="number"):
        Categorical().build(Layout(shape=(3,)))


def test_negative_counts_are_refused():
    with pytest.raises(InvalidParameter, match=r"at least 0.*from -2"):
        Poisson().build(Layout(shape=(1,), low=(-2.0,), high=(5.0,)))
    Poisson().build(Layout(shape=(1,), high=(5000.0,)))


def test_bernoulli_refuses_values_above_one():
    with pytest.raises(InvalidParameter, match=r"in \[0, 1\]"):
        Bernoulli().build(Layout(shape=(1,), high=(255.0,)))
