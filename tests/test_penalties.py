from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows._normal import FullNormal, Normal, UnitNormal, kl_divergence
from narrows._part import Part
from narrows._types import Code, Pass, Rows
from narrows.bottlenecks import Gaussian, Plain
from narrows.errors import InvalidParameter
from narrows.penalties import (
    KL,
    L1,
    L2,
    MMD,
    Contraction,
    Penalties,
    Penalty,
    Sparsity,
    TotalCorrelation,
    as_penalties,
    kl_bernoulli,
    kl_categorical,
)
from narrows.priors import MixtureDistribution

UNIT = UnitNormal(torch.zeros(2))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def make_pass(z: torch.Tensor, posterior: Any = None, prior: Any = UNIT, weight: Any = None, epoch: float = 0) -> Pass:
    inputs = torch.zeros(z.shape[-2], 3)
    rows = Rows(inputs, weight=None if weight is None else torch.as_tensor(weight, dtype=torch.float32))
    return Pass(rows, Code(z, posterior), prior, None, inputs, lambda x: x, torch.tensor(float(epoch)))  # type: ignore[arg-type]


def stochastic(posterior: Any, prior: Any = UNIT, samples: int | None = None, **other: Any) -> Pass:
    return make_pass(posterior.sample() if samples is None else posterior.samples(samples), posterior, prior, **other)


def encoding(encode: Any, inputs: torch.Tensor, size: int) -> Pass:
    z = encode(inputs)
    assert z.shape == (len(inputs), size)
    return Pass(Rows(inputs), Code(z), None, None, inputs, encode, torch.tensor(0.0))  # type: ignore[arg-type]


# --- divergences of discrete distributions -------------------------------------------------------------------


def test_hand_worked_discrete_divergences():
    p = (0.1, 0.2, 0.4, 0.2, 0.1)
    assert kl_categorical(p, (0.4, 0.1, 0.1, 0.1, 0.3)).item() == pytest.approx(0.583, abs=5e-4)
    assert kl_categorical(p, (0.15, 0.15, 0.4, 0.2, 0.1)).item() == pytest.approx(0.017, abs=5e-4)
    assert kl_categorical(p, p).item() == 0
    assert kl_categorical((0.0, 1.0), (0.5, 0.5)).item() == pytest.approx(math.log(2))
    assert kl_categorical((0.5, 0.5), (0.0, 1.0)).item() == math.inf


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_bernoulli_divergence(p, q):
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert kl_bernoulli(p, q).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


# --- weight and warm-up --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0), (2, 1), (4, 2), (8, 4), (20, 4)])
def test_the_weight_grows_in_a_straight_line(epoch, expected):
    z = torch.ones(3, 1)
    torch.testing.assert_close(L2(weight=4, warmup=8)(make_pass(z, epoch=epoch)), torch.full((3,), float(expected)))


def test_no_warmup_is_the_whole_weight_at_once():
    torch.testing.assert_close(L2(weight=3)(make_pass(torch.ones(2, 2))), torch.tensor([6.0, 6.0]))


# --- KL ------------------------------------------------------------------------------------------------------


def test_kl_is_in_closed_form_per_row():
    posterior = Normal(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(2)], [0.0, 0.0]]))
    expected = torch.tensor([0.5 + 0.5 * (4 - 1 - math.log(4)), 0.0])
    for prior in (UNIT, None):
        torch.testing.assert_close(KL(weight=2)(stochastic(posterior, prior)), 2 * expected)


def test_kl_from_another_gaussian_prior_is_closed_too():
    posterior = Normal(torch.randn(4, 2), torch.randn(4, 2))
    prior = FullNormal(torch.ones(2), torch.tensor([[1.0, 0.0], [0.7, 0.5]]))
    torch.testing.assert_close(KL()(stochastic(posterior, prior)), kl_divergence(posterior, prior))


@pytest.mark.parametrize("full", [False, True])
def test_kl_from_any_other_prior_is_estimated_without_bias(full):
    posterior: Any = Normal(torch.tensor([[0.5, -1.0]]), torch.tensor([[-0.5, 0.2]]))
    if full:
        posterior = FullNormal.from_log_diagonal(posterior.mean, posterior.log_scale, torch.tensor([[0.6]]))
    # one component of all: a Gaussian in disguise, whose divergence is known
    prior = MixtureDistribution(torch.ones(1), torch.tensor([[0.2, 0.3]]), torch.tensor([[1.5, 0.8]]))
    known = kl_divergence(posterior, Normal(prior.means[0], prior.scales[0].log()))
    torch.testing.assert_close(KL()(stochastic(posterior, prior, samples=40_000)), known, atol=0.03, rtol=0.02)
    wide = type(posterior)(*(t.expand(40_000, *t.shape[1:]) for t in vars(posterior).values()))
    evaluated = make_pass(wide.mean, wide, prior)  # in evaluation z is the mean, which is no draw
    torch.testing.assert_close(KL()(evaluated).mean(), known[0], atol=0.03, rtol=0.02)


def test_free_bits_bound_the_mean_of_each_unit_from_below():
    means = torch.tensor([[2.0, 0.1], [0.0, 0.1]])
    posterior = Normal(means, torch.zeros(2, 2))
    # unit 1: mean of 2 and 0 is 1; unit 2: 0.005
    assert KL(free_bits=0.25)(stochastic(posterior)).item() == pytest.approx(1.25)
    assert KL(free_bits=0.001)(stochastic(posterior)).item() == pytest.approx(1.005)
    assert KL(free_bits=3)(stochastic(posterior)).item() == pytest.approx(6)
    weighted = KL(free_bits=0.25)(stochastic(posterior, weight=[1, 3]))
    assert weighted.item() == pytest.approx(0.5 + 0.25)


def test_units_below_their_free_bits_are_not_pushed():
    mean = torch.tensor([[2.0, 0.1], [2.0, 0.1]], requires_grad=True)
    KL(free_bits=0.1)(stochastic(Normal(mean, torch.zeros(2, 2)))).backward()
    torch.testing.assert_close(mean.grad, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def test_free_bits_without_a_closed_form_bound_the_sum():
    prior = MixtureDistribution(torch.tensor([0.5, 0.5]), torch.zeros(2, 2), torch.ones(2, 2))
    posterior = Normal(torch.zeros(3, 2), torch.zeros(3, 2))
    assert KL(free_bits=0.7)(stochastic(posterior, prior)).item() == pytest.approx(1.4)


# --- on the codes --------------------------------------------------------------------------------------------


def test_sparsity_is_the_divergence_of_mean_activations():
    z = torch.tensor([[0.2, 0.05], [0.4, 0.05]])
    expected = kl_bernoulli(0.05, 0.3)
    assert Sparsity(weight=2)(make_pass(z)).item() == pytest.approx(2 * expected.item(), rel=1e-4)
    assert Sparsity()(make_pass(z, weight=[1, 0])).item() == pytest.approx(kl_bernoulli(0.05, 0.2).item(), rel=1e-4)


def test_sparsity_is_least_at_its_target_and_finite_at_the_ends():
    for rho in (0.05, 0.3):
        assert Sparsity(target=rho)(make_pass(torch.full((4, 2), rho))).item() == pytest.approx(0, abs=1e-5)
    for end in (0.0, 1.0):
        z = torch.full((4, 2), end, requires_grad=True)
        value = Sparsity()(make_pass(z))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(z.grad).all()
        assert (z.grad * (0.5 - end) < 0).all()  # away from the end


def test_norms_of_codes():
    z = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    torch.testing.assert_close(L1()(make_pass(z)), torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(L2()(make_pass(z)), torch.tensor([5.0, 9.0]))
    several = torch.stack([z, 3 * z])
    torch.testing.assert_close(L1()(make_pass(several)), torch.tensor([6.0, 6.0]))
    torch.testing.assert_close(L2()(make_pass(several)), torch.tensor([25.0, 45.0]))


# --- contraction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [2, 5, 9])
def test_contraction_of_a_sigmoid_layer_has_its_closed_form(numbers):
    layer = nn.Linear(numbers, 5)
    x = torch.randn(7, numbers)
    p = encoding(lambda v: torch.sigmoid(layer(v)), x, 5)
    slope = (p.code.z * (1 - p.code.z)).square()
    expected = (slope * layer.weight.square().sum(1)).sum(1)
    torch.testing.assert_close(Contraction()(p), expected)
    with torch.no_grad():
        torch.testing.assert_close(Contraction()(p), expected)
    with torch.inference_mode():
        torch.testing.assert_close(Contraction()(p), expected)


def test_contraction_equals_autograds_jacobian_through_convolutions():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.Tanh())
    x = torch.randn(3, 1, 6, 6)
    jacobian = [torch.autograd.functional.jacobian(lambda v: network(v[None])[0], row) for row in x]
    expected = torch.stack([j.square().sum() for j in jacobian])
    torch.testing.assert_close(Contraction()(encoding(network, x, 4)), expected)


@pytest.mark.parametrize("size", [3, 8])
def test_contraction_trains_the_encoder(size):
    layer = nn.Linear(5, size)
    p = encoding(lambda v: torch.tanh(layer(v)), torch.randn(6, 5), size)
    Contraction()(p).sum().backward()
    got = layer.weight.grad.clone()
    layer.weight.grad = None
    slope = (1 - p.code.z.square()).square()
    (slope * layer.weight.square().sum(1)).sum().backward()
    torch.testing.assert_close(got, layer.weight.grad)


def test_estimated_contraction_is_unbiased():
    layer = nn.Linear(6, 10)
    p = encoding(layer, torch.randn(4, 6), 10)
    exact = layer.weight.square().sum().expand(4)
    assert Contraction(samples=1)(p).shape == (4,)
    torch.testing.assert_close(Contraction(samples=4000)(p), exact, rtol=0.05, atol=0)


@pytest.mark.parametrize(("numbers", "size"), [(7, 3), (2, 5)])
def test_contraction_is_the_same_a_few_directions_at_a_time(
    numbers: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = nn.Sequential(nn.Linear(numbers, 6), nn.Tanh(), nn.Linear(6, size))
    p = encoding(network, torch.randn(4, numbers), size)
    exact = Contraction()(p)
    monkeypatch.setattr("narrows.penalties._contraction.AT_ONCE", 2 * p.inputs.numel())
    torch.testing.assert_close(Contraction()(p), exact)


# --- MMD -----------------------------------------------------------------------------------------------------


def imq(a: np.ndarray, b: np.ndarray) -> float:
    c = 2 * len(a) * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
    return float((c / (c + ((a - b) ** 2).sum())).sum())


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.0, 1.0]])
def test_mmd_written_out(weight):
    z = torch.randn(4, 2)
    torch.manual_seed(7)
    value = MMD()(make_pass(z, weight=weight)).item()
    torch.manual_seed(7)
    y, x = torch.randn_like(z).numpy(), z.numpy()
    w = np.ones(4) if weight is None else np.array(weight)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    within = sum(w[i] * w[j] * imq(x[i], x[j]) for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs)
    prior = sum(imq(y[i], y[j]) for i, j in pairs) / len(pairs)
    across = sum(w[i] * imq(x[i], y[j]) for i in range(4) for j in range(4)) / (4 * w.sum())
    assert value == pytest.approx(within + prior - 2 * across, abs=1e-4)


@pytest.mark.parametrize("penalty", [MMD(), MMD(kernel="rbf"), MMD(kernel="rbf", bandwidth=(0.5, 2.0))])
def test_mmd_tells_the_prior_from_others(penalty):
    same = torch.stack([penalty(make_pass(torch.randn(200, 2))) for _ in range(20)])
    # the estimate is unbiased: zero on average, on both sides of it
    assert same.mean().abs() < 4 * same.std() / math.sqrt(20)
    assert same.min() < 0
    for other in (torch.randn(200, 2) + 1, 3 * torch.randn(200, 2), torch.zeros(200, 2)):
        assert penalty(make_pass(other)) > 5 * same.abs().max()


def test_mmd_uses_the_models_prior():
    prior = MixtureDistribution(torch.tensor([0.5, 0.5]), torch.tensor([[-4.0, 0], [4, 0]]), torch.full((2, 2), 0.5))
    assert MMD()(make_pass(prior.sample(300), prior=prior)).abs() < 0.05
    assert MMD()(make_pass(torch.randn(300, 2), prior=prior)) > 0.5


def test_gradient_descent_on_mmd_moves_codes_to_the_prior():
    noise, scale, shift = torch.randn(100, 2), torch.full((2,), 0.2), torch.full((2,), 1.5)
    params = [scale.requires_grad_(), shift.requires_grad_()]
    optimiser = torch.optim.Adam(params, lr=0.05)
    for _ in range(120):
        optimiser.zero_grad()
        MMD()(make_pass(noise * scale + shift)).backward()
        optimiser.step()
    z = noise * scale + shift
    assert z.mean(0).norm() < 0.3
    assert (z.std(0) - 1).abs().max() < 0.3


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_one_row_is_no_reason_to_fail(kernel):
    z = torch.zeros(1, 2, requires_grad=True)
    value = MMD(kernel=kernel)(make_pass(z))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


# --- total correlation ---------------------------------------------------------------------------------------


def test_total_correlation_of_correlated_gaussian_codes():
    # q(z) = N(0, S) built as a continuous mixture: means ~ N(0, S − 0.04 I), each posterior N(mean, 0.04 I)
    rho = 0.8
    spread = torch.tensor([[1.0, rho], [rho, 1.0]])
    means = torch.randn(3000, 2) @ torch.linalg.cholesky(spread - 0.04 * torch.eye(2)).mT
    posterior = Normal(means, torch.full((3000, 2), math.log(0.2)))
    expected = -0.5 * math.log(1 - rho**2)
    assert TotalCorrelation(weight=1)(stochastic(posterior)).item() == pytest.approx(expected, abs=0.06)
    same = FullNormal.from_log_diagonal(means, posterior.log_scale, torch.zeros(3000, 1))
    few = slice(0, 300)
    torch.manual_seed(1)
    a = TotalCorrelation()(stochastic(Normal(means[few], posterior.log_scale[few])))
    torch.manual_seed(1)
    b = TotalCorrelation()(stochastic(FullNormal(means[few], same.scale_tril[few])))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_total_correlation_of_one_row_is_that_of_its_posterior():
    posterior = FullNormal(torch.zeros(1, 2), torch.linalg.cholesky(torch.tensor([[[1.0, 0.6], [0.6, 1.0]]])))
    value = torch.stack([TotalCorrelation(weight=1)(stochastic(posterior)) for _ in range(4000)]).mean()
    assert value.item() == pytest.approx(-0.5 * math.log(1 - 0.36), abs=0.04)
    apart = Normal(torch.zeros(1, 2), torch.zeros(1, 2))
    assert TotalCorrelation()(stochastic(apart)).item() == pytest.approx(0, abs=1e-5)


def test_rows_without_weight_do_not_count_in_total_correlation():
    means, log_scale = torch.randn(6, 2), torch.full((6, 2), -1.0)
    torch.manual_seed(2)
    z = Normal(means, log_scale).samples(1)
    whole = make_pass(z, Normal(means, log_scale), weight=[1, 1, 1, 1, 0, 0])
    part = make_pass(z[:, :4], Normal(means[:4], log_scale[:4]))
    torch.testing.assert_close(TotalCorrelation()(whole), TotalCorrelation()(part))


def test_weights_of_zero_leave_finite_gradients():
    means = torch.randn(4, 2, requires_grad=True)
    posterior = Normal(means, torch.zeros(4, 2))
    TotalCorrelation()(stochastic(posterior, weight=[1, 1, 0, 0])).backward()
    assert torch.isfinite(means.grad).all()


# --- several at once -----------------------------------------------------------------------------------------


def test_several_penalties_are_one_part():
    penalties = Penalties(kl=KL(weight=4), sparsity=Sparsity(target=0.1))
    assert penalties.get_params(deep=True)["sparsity__target"] == 0.1
    assert penalties.get_params(deep=False) == {"kl": KL(weight=4), "sparsity": Sparsity(target=0.1)}
    changed = penalties.set_params(sparsity__weight=3)
    assert changed == Penalties(kl=KL(weight=4), sparsity=Sparsity(weight=3, target=0.1))
    assert penalties["sparsity"].weight == 1
    assert repr(changed) == (
        "penalties.Penalties(kl=penalties.KL(weight=4), sparsity=penalties.Sparsity(weight=3, target=0.1))"
    )
    assert Part.from_config(changed.to_config()) == changed
    assert pickle.loads(pickle.dumps(changed)) == changed
    assert changed != penalties
    assert hash(changed) == hash(changed.set_params())
    assert dict(penalties) == penalties.get_params(deep=False)
    from sklearn.base import clone

    assert clone(penalties) == penalties


def test_a_name_given_none_is_no_penalty():
    penalties = Penalties(a=L1(), b=L2()).set_params(a=None)
    assert list(penalties) == ["b"]
    assert "a" not in penalties
    assert penalties.get_params(deep=False) == {"a": None, "b": L2()}
    assert list(penalties(make_pass(torch.ones(2, 2)))) == ["b"]
    penalties.check()
    assert Penalties.from_config(penalties.to_config()) == penalties


def test_no_penalties_at_all():
    none = Penalties()
    assert none(make_pass(torch.ones(2, 2))) == {}
    assert len(none) == 0
    assert none
    assert repr(none) == "penalties.Penalties()"


def test_any_way_to_name_penalties():
    assert as_penalties(None) == Penalties()
    assert as_penalties(KL(2)) == Penalties(kl=KL(2))
    assert as_penalties({"mine": L1()}) == Penalties(mine=L1())
    assert as_penalties(Penalties(kl=KL())) == Penalties(kl=KL())
    with pytest.raises(InvalidParameter, match="not a penalty"):
        as_penalties(3)


@pytest.mark.parametrize(
    ("penalties", "words"),
    [
        (Penalties(a=3), "a=3 is not a penalty"),
        (Penalties(a=Plain(2)), "is not a penalty"),
        (Penalties(a__b=L1()), "cannot name a penalty"),
        (Penalties(reconstruction=L1()), "cannot name a penalty"),
        (Penalties(a=L1(weight=-1)), r"penalties\.L1: weight=-1 cannot be used"),
        (Penalties(a=Sparsity(target=1.0)), "target=1.0 cannot be used"),
    ],
)
def test_bad_penalties_are_refused(penalties, words):
    with pytest.raises(InvalidParameter, match=words):
        penalties.check()


def test_unknown_names_are_refused():
    with pytest.raises(InvalidParameter, match="nosuch"):
        Penalties(a=L1()).set_params(nosuch__weight=3)
    with pytest.raises(InvalidParameter, match="nosuch"):
        Penalties(a=L1()).set_params(a__nosuch=3)


@pytest.mark.parametrize(
    ("penalty", "good", "bad", "words"),
    [
        (KL(), Gaussian(2), Plain(2), r"bottleneck=Gaussian\(\)"),
        (TotalCorrelation(), Gaussian(2), Plain(2), r"bottleneck=Gaussian\(\)"),
        (Sparsity(), Plain(2, "sigmoid"), Plain(2), r"bottleneck=Plain\(activation='sigmoid'\)"),
        (Sparsity(), Plain(2, "sigmoid"), Gaussian(2), r"bottleneck=Plain\(activation='sigmoid'\)"),
        (Sparsity(), Plain(2, "sigmoid"), Plain(2, "relu"), r"lie in \(0, inf\)"),
    ],
)
def test_penalties_that_cannot_work_say_what_to_choose(penalty, good, bad, words):
    Penalties(it=penalty).check_model(good)
    with pytest.raises(InvalidParameter, match=words):
        Penalties(it=penalty).check_model(bad)


def test_named_on_the_command_line():
    assert Penalty.parse("sparsity:target=0.1,weight=3") == Sparsity(weight=3, target=0.1)
    assert Penalty.parse("mmd:bandwidth=(1,2)") == MMD(bandwidth=(1, 2))
    with pytest.raises(InvalidParameter, match="choose one of"):
        Penalty.parse("penalties")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.floats(-30, 30, width=32))
def test_every_penalty_is_finite_on_any_code(rows, size, offset):
    posterior = Normal(torch.randn(rows, size) + offset, 2 * torch.randn(rows, size))
    p = stochastic(posterior, None)
    for penalty in (KL(), KL(free_bits=0.1), L1(), L2(), MMD(), MMD(kernel="rbf"), TotalCorrelation()):
        assert torch.isfinite(penalty(p)).all()
