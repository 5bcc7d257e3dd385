"""What every likelihood promises. A new one joins by being listed in CASES."""

import copy
import math

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from narrows import likelihoods
from narrows._part import Part
from narrows._types import Distribution, Layout, Rows
from narrows.errors import InvalidParameter
from narrows.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Laplace,
    Likelihood,
    Mixed,
    Poisson,
    log_likelihood,
)

TABLE = Layout(shape=(4,))
IMAGE = Layout(shape=(2, 3, 5))
SERIES = Layout(shape=(6, 3))
REAL = Layout(shape=(4,), low=(-3.0,), high=(3.0,))
CATEGORIES = Layout(shape=(4,), categories=(3, 2, 7, 3))
BOTH = Layout(
    shape=(7,),
    categories=(0, 3, 0, 0, 2, 5, 0),
    low=(-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    high=(2.0, 2.0, 9.0, 1.0, 1.0, 4.0, 1.0),
)
MIXED = Mixed((Gaussian("predicted"), Categorical(), Poisson(), Bernoulli(), Categorical(), Categorical(), Laplace()))

CASES = [
    (Gaussian(), REAL),
    (Gaussian(scale=0.5), IMAGE),
    (Gaussian("column"), IMAGE),
    (Gaussian("column"), SERIES),
    (Gaussian("predicted"), IMAGE),
    (Gaussian("predicted"), SERIES),
    (Laplace(), TABLE),
    (Laplace(scale=2), SERIES),
    (Laplace("column"), TABLE),
    (Laplace("predicted"), TABLE),
    (Bernoulli(), IMAGE),
    (ContinuousBernoulli(), IMAGE),
    (Poisson(), TABLE),
    (Categorical(), CATEGORIES),
    (MIXED, BOTH),
    (Mixed((Gaussian("column"),) * 4), TABLE),
]
B, S = 5, 3

cases = pytest.mark.parametrize(("part", "layout"), CASES, ids=[f"{p!r}-{x.shape}"[:70] for p, x in CASES])


def listed(part):
    yield part
    for column in getattr(part, "columns", ()):
        yield from listed(column)


def theta_for(part, layout, *leading, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*leading, *part.theta_shape(layout), generator=generator)


def draw(part, layout, seed=0):
    """A module, parameters for B rows, and rows that lie in the support, some of their cells blank."""
    torch.manual_seed(seed)
    module = part.build(layout)
    theta = theta_for(part, layout, B, seed=seed)
    observed = torch.rand(B, *layout.shape) < 0.7
    values = module(theta).sample().detach() * observed
    return module, theta, Rows(values, observed)


def test_every_likelihood_is_listed():
    room = {c for c in vars(likelihoods).values() if isinstance(c, type) and issubclass(c, Likelihood)} - {Likelihood}
    assert room == {type(part) for case, _ in CASES for part in listed(case)}


@cases
def test_shapes_follow_the_leading_axes(part, layout):
    module = part.build(layout)
    for leading in [(B,), (S, B)]:
        x = module(theta_for(part, layout, *leading))
        assert isinstance(x, Distribution)
        for tensor in (x.mean, x.mode, x.sample()):
            assert tensor.shape == (*leading, *layout.shape)
        value = module(theta_for(part, layout, B)).sample()
        assert x.log_prob(value).shape == (*leading, *layout.shape)
        assert log_likelihood(x, Rows(value)).shape == leading


@cases
def test_samples_of_codes_are_judged_one_by_one(part, layout):
    module, _, rows = draw(part, layout)
    theta = theta_for(part, layout, S, B, seed=1)
    together = log_likelihood(module(theta), rows)
    apart = torch.stack([log_likelihood(module(t), rows) for t in theta])
    torch.testing.assert_close(together, apart)


@cases
def test_values_lie_in_the_support(part, layout):
    module = part.build(layout)
    x = module(theta_for(part, layout, 50) * 3)
    for tensor in (x.mean, x.mode, x.sample()):
        assert tensor.isfinite().all()
    for column, k in enumerate(layout.categories or ()):
        for values in (x.mean[:, column], x.mode[:, column], x.sample()[:, column]):
            if k:
                assert set(values.tolist()) <= set(range(k))
    low, high = part.support
    assert low <= x.sample().min()
    assert x.sample().max() <= high


@cases
def test_mode_is_the_likeliest_value(part, layout):
    module = part.build(layout)
    x = module(theta_for(part, layout, B))
    best = x.log_prob(x.mode)
    for _ in range(20):
        assert (x.log_prob(x.sample()) <= best + 1e-5).all()


@cases
def test_mean_is_the_average_of_samples(part, layout):
    torch.manual_seed(0)
    module = part.build(layout)
    theta = theta_for(part, layout, 1)
    n = 20_000
    samples = module(theta.expand(n, *theta.shape[1:])).sample()
    number = torch.tensor([k == 0 for k in layout.categories or (0,)])
    error = (samples.mean(0) - module(theta).mean[0]) * number
    allowed = 5 * samples.std(0) / math.sqrt(n) + 1e-6
    assert (error.abs() <= allowed).all()


@cases
def test_entropy_is_the_average_surprise(part, layout):
    torch.manual_seed(0)
    x = part.build(layout)(theta_for(part, layout, 1))
    if not hasattr(x, "entropy"):
        pytest.skip("no closed form")
    surprise = torch.stack([-x.log_prob(x.sample()) for _ in range(4000)])
    error = (surprise.mean(0) - x.entropy()).abs()
    assert (error <= 5 * surprise.std(0) / math.sqrt(4000) + 1e-6).all()


@cases
def test_log_likelihood_sums_all_or_only_what_is_observed(part, layout):
    module, theta, rows = draw(part, layout)
    elements = module(theta).log_prob(rows.values)
    everything = log_likelihood(module(theta), Rows(rows.values))
    torch.testing.assert_close(everything, elements.flatten(1).sum(1))
    masked = log_likelihood(module(theta), rows)
    torch.testing.assert_close(masked, (elements * rows.observed).flatten(1).sum(1))


@cases
def test_gradients_are_finite_and_ignore_blanks(part, layout):
    module, theta, rows = draw(part, layout)
    blank_row = rows.observed.clone()
    blank_row[0] = False
    values = torch.where(blank_row, rows.values, torch.nan)
    theta.requires_grad_()
    total = log_likelihood(module(theta), Rows(values, blank_row))
    assert total[0] == 0
    total.sum().backward()
    assert theta.grad.isfinite().all()
    assert (theta.grad[0] == 0).all()
    assert theta.grad[1:].abs().sum() > 0
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in module.parameters())


@cases
def test_extreme_parameters_stay_finite(part, layout):
    module, theta, rows = draw(part, layout)
    for size in (-80.0, 0.0, 80.0):
        extreme = torch.full_like(theta, size).requires_grad_()
        total = log_likelihood(module(extreme), rows)
        assert total.isfinite().all()
        (gradient,) = torch.autograd.grad(total.sum(), extreme)
        assert gradient.isfinite().all()


@cases
def test_gradient_agrees_with_finite_differences(part, layout):
    module, theta, rows = draw(part, layout)
    module.double()
    rows = Rows(rows.values[:1].double(), rows.observed[:1])
    theta = theta[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: log_likelihood(module(t), rows), theta)


@cases
def test_stacked_models(part, layout):
    models = [part.build(layout) for _ in range(S)]
    for i, model in enumerate(models):
        for p in model.parameters():
            p.data += 0.1 * i
    _, _, rows = draw(part, layout)
    theta = theta_for(part, layout, S, B)
    params, buffers = stack_module_state(models)

    def one(p, b, t):
        x = functional_call(models[0], (p, b), (t,))
        return log_likelihood(x, rows), x.sample()

    stacked, samples = vmap(one, randomness="different")(params, buffers, theta)
    apart = torch.stack([log_likelihood(m(t), rows) for m, t in zip(models, theta, strict=True)])
    torch.testing.assert_close(stacked, apart)
    assert samples.shape == (S, B, *layout.shape)


@cases
def test_compiles_without_graph_breaks(part, layout):
    module, theta, rows = draw(part, layout)
    torch.compiler.reset()

    def loss(t, values, observed):
        return log_likelihood(module(t), Rows(values, observed))

    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(theta, *rows.tensors().values()), loss(theta, *rows.tensors().values()))


@cases
def test_half_precision_is_judged_in_single(part, layout):
    module, theta, rows = draw(part, layout)
    half = log_likelihood(module(theta.bfloat16()), rows)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, log_likelihood(module(theta.bfloat16().float()), rows))


@cases
def test_plain_json_and_repr_round_trip(part, layout):
    assert Part.from_config(part.to_config()) == part
    assert eval(repr(part), {"likelihoods": likelihoods}) == part
    assert part.set_params() == part


@cases
def test_weights_round_trip(part, layout):
    module, theta, rows = draw(part, layout)
    for p in module.parameters():
        p.data -= 0.5
    other = part.build(layout)
    other.load_state_dict(module.state_dict())
    expected = log_likelihood(module(theta), rows)
    torch.testing.assert_close(log_likelihood(other(theta), rows), expected)
    torch.testing.assert_close(log_likelihood(copy.deepcopy(module)(theta), rows), expected)


@cases
def test_a_layout_of_the_other_kind_is_refused(part, layout):
    n = layout.shape[0]
    wrong = Layout(shape=(n,), categories=(0,) * n if isinstance(part, Categorical) else (2,) * n)
    with pytest.raises(InvalidParameter, match="column 0"):
        part.check_layout(wrong)
    with pytest.raises(InvalidParameter, match="column 0"):
        part.build(wrong)


@cases
def test_building_does_not_touch_the_generator(part, layout):
    before = torch.get_rng_state()
    part.build(layout)
    assert torch.equal(torch.get_rng_state(), before)


def test_domains_are_known():
    for case, _ in CASES:
        for part in listed(case):
            assert part.domain in {"real", "unit", "binary", "counts", "indices", "mixed"}
