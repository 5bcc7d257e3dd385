from __future__ import annotations

import itertools
import math
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from narrows import objectives
from narrows._normal import Normal, UnitNormal, row_mean, rsample
from narrows._part import REGISTRY, Part
from narrows._types import Code, Distribution, Pass, Rows
from narrows.bottlenecks import Gaussian, Plain
from narrows.errors import InvalidParameter
from narrows.objectives import ELBO, ImportanceWeighted, log_prior_ratio
from narrows.penalties import KL, L2, MMD, Contraction, Penalties
from narrows.priors import MixtureDistribution


def total(terms):
    """The loss: the sum of the terms, rows averaged."""
    return sum(row_mean(term) if term.ndim else term for term in terms.values())


OBJECTIVES = [ELBO(), ELBO(samples=3), ImportanceWeighted(), ImportanceWeighted(samples=1)]
NOISE = 0.5


@dataclass(frozen=True)
class Elements(Distribution):
    """Gaussians of standard deviation NOISE, element by element."""

    centre: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        return self.centre

    mode = mean

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(self.centre, NOISE, validate_args=False).log_prob(value)

    def sample(self) -> torch.Tensor:
        return rsample(self.centre, scale=torch.full_like(self.centre, NOISE))


WEIGHTS = torch.tensor([[1.0, 0.5, -0.8], [0.0, 1.2, 0.4]])


def linear_pass(samples: int | None, rows: int = 4, *, cost: Any = None, prior: Any = "unit", copies: int = 1) -> Pass:
    """z ~ N(0, I), x | z ~ N(z W, NOISE²), and a posterior that is not the true one."""
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(1)).repeat(copies, 1)
    posterior = Normal(0.3 * x[:, :2] + 0.1, torch.full((rows * copies, 2), -0.5))
    z = posterior.sample() if samples is None else posterior.samples(samples)
    prior = UnitNormal(torch.zeros(2)) if prior == "unit" else prior
    code = Code(z, posterior, cost)
    return Pass(Rows(x), code, prior, Elements(z @ WEIGHTS), x, lambda v: 0.3 * v[:, :2] + 0.1, torch.tensor(0.0))


def evidence(x: torch.Tensor) -> torch.Tensor:
    covariance = WEIGHTS.T @ WEIGHTS + NOISE**2 * torch.eye(3)
    return torch.distributions.MultivariateNormal(torch.zeros(3), covariance).log_prob(x)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_is_a_part(objective):
    objective.check()
    assert Part.from_config(objective.to_config()) == objective
    assert eval(repr(objective), {"objectives": objectives}) == objective
    assert pickle.loads(pickle.dumps(objective)) == objective
    assert REGISTRY[objective.key()] is type(objective)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_terms_are_named_shaped_and_finite(objective):
    penalties = Penalties(kl=KL(), mmd=MMD(), contraction=Contraction())
    terms = objective(linear_pass(objective.samples), penalties)
    assert next(iter(terms)) == "reconstruction"
    assert terms["reconstruction"].shape == terms["contraction"].shape == (4,)
    assert terms["mmd"].shape == ()
    assert all(torch.isfinite(t).all() for t in terms.values())
    assert ("kl" in terms) == isinstance(objective, ELBO)
    assert ("divergence" in terms) == isinstance(objective, ImportanceWeighted)


def test_reconstruction_is_summed_over_features():
    p = linear_pass(None)
    expected = -p.x.log_prob(p.rows.values).sum(-1)
    torch.testing.assert_close(ELBO()(p, {})["reconstruction"], expected)
    several = linear_pass(3)
    expected = -several.x.log_prob(several.rows.values).sum(-1).mean(0)
    torch.testing.assert_close(ELBO(samples=3)(several, {})["reconstruction"], expected)


def test_blanks_do_not_count():
    p = linear_pass(None)
    observed = torch.ones(4, 3, dtype=torch.bool)
    observed[0, 1] = False
    blank = Pass(
        p.rows.replace(observed=observed, values=p.rows.values.masked_fill(~observed, 0)),
        p.code, p.prior, p.x, p.inputs, p.encode, p.epoch,
    )  # fmt: skip
    elements = -p.x.log_prob(p.rows.values)
    expected = elements.sum(-1) - torch.tensor([1.0, 0, 0, 0]) * elements[:, 1]
    torch.testing.assert_close(ELBO()(blank, {})["reconstruction"], expected)


def test_without_penalties_it_is_a_plain_autoencoder():
    x = torch.randn(5, 3)
    p = Pass(Rows(x), Code(x[:, :2]), None, Elements(x), x, lambda v: v[:, :2], torch.tensor(0.0))
    terms = ELBO()(p, Penalties())
    assert list(terms) == ["reconstruction"]
    expected = 3 * (math.log(NOISE) + 0.5 * math.log(2 * math.pi))
    torch.testing.assert_close(terms["reconstruction"], torch.full((5,), expected))


def test_one_importance_sample_is_the_bounds_one_sample_estimate():
    p = linear_pass(1)
    terms = ImportanceWeighted(samples=1)(p, {})
    torch.testing.assert_close(terms["reconstruction"], ELBO(samples=1)(p, {})["reconstruction"])
    torch.testing.assert_close(terms["divergence"], -log_prior_ratio(p)[0])
    # the same estimate through a prior whose divergence from the posterior has no closed form here
    other = MixtureDistribution(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2))
    estimated = Pass(p.rows, p.code, other, p.x, p.inputs, p.encode, p.epoch)
    elbo = ELBO(samples=1)(estimated, Penalties(kl=KL()))
    torch.testing.assert_close(sum(terms.values()), sum(elbo.values()))


def test_the_bound_tightens_with_samples_and_never_passes_the_evidence():
    copies = 3000
    truth = evidence(linear_pass(None).rows.values).mean().item()
    closed = total(ELBO(samples=10)(linear_pass(10, copies=copies), Penalties(kl=KL()))).item()
    bounds = [-closed]
    for k in (1, 3, 10, 50):
        terms = ImportanceWeighted(samples=k)(linear_pass(k, copies=copies), Penalties(kl=KL()))
        bounds.append(-total(terms).item())
    assert bounds[0] == pytest.approx(bounds[1], abs=0.05)  # k = 1 is the evidence lower bound
    assert all(low + 0.02 < high for low, high in itertools.pairwise(bounds[1:]))
    assert bounds[-1] <= truth + 0.01
    assert bounds[-1] == pytest.approx(truth, abs=0.1)


def test_with_the_true_posterior_one_sample_is_the_evidence():
    x = linear_pass(None).rows.values
    precision = torch.eye(2) + WEIGHTS @ WEIGHTS.T / NOISE**2
    from narrows._normal import FullNormal

    covariance = torch.linalg.inv(precision)
    mean = x @ WEIGHTS.T @ covariance / NOISE**2
    posterior = FullNormal(mean, torch.linalg.cholesky(covariance).expand(4, 2, 2))
    z = posterior.samples(2)
    p = Pass(Rows(x), Code(z, posterior), None, Elements(z @ WEIGHTS), x, lambda v: v, torch.tensor(0.0))
    terms = ImportanceWeighted(samples=2)(p, {})
    torch.testing.assert_close(-sum(terms.values()), evidence(x), atol=1e-4, rtol=1e-4)


def test_the_importance_weighted_gradient_is_that_of_the_bound():
    x = torch.randn(4, 3)
    mean = torch.zeros(4, 2, requires_grad=True)
    posterior = Normal(mean, torch.zeros(4, 2))
    z = posterior.samples(5)
    p = Pass(Rows(x), Code(z, posterior), None, Elements(z @ WEIGHTS), x, lambda v: v, torch.tensor(0.0))
    (got,) = torch.autograd.grad(total(ImportanceWeighted(samples=5)(p, {})), mean, retain_graph=True)
    log_w = p.x.log_prob(x).sum(-1) + log_prior_ratio(p)
    (expected,) = torch.autograd.grad(-(torch.logsumexp(log_w, 0) - math.log(5)).mean(), mean)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_other_penalties_are_added_and_kl_is_not_twice():
    p = linear_pass(5)
    terms = ImportanceWeighted()(p, Penalties(kl=KL(weight=100), small=L2(weight=2)))
    assert set(terms) == {"reconstruction", "divergence", "small"}
    torch.testing.assert_close(terms["small"], L2(weight=2)(p))


@pytest.mark.parametrize("objective", [ELBO(samples=2), ImportanceWeighted(samples=2)], ids=repr)
def test_what_the_bottleneck_charges_is_a_term(objective):
    cost = torch.tensor([1.0, 2, 3, 4])
    assert torch.equal(objective(linear_pass(2, cost=cost), {})["bottleneck"], cost)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_works_stacked(objective):
    def run(shift: torch.Tensor) -> torch.Tensor:
        x = torch.ones(4, 3) + shift
        posterior = Normal(x[:, :2], torch.zeros(4, 2))
        z = posterior.sample() if objective.samples is None else posterior.samples(objective.samples)
        p = Pass(Rows(x), Code(z, posterior), None, Elements(z @ WEIGHTS), x, lambda v: v[:, :2], torch.tensor(0.0))
        return total(objective(p, Penalties(kl=KL(), mmd=MMD())))

    losses = torch.func.vmap(run, randomness="different")(torch.zeros(3))
    assert losses.unique().numel() == 3
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_works_compiled(objective):
    torch.compiler.reset()

    def run(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        posterior = Normal(x[:, :2], torch.zeros(4, 2))
        p = Pass(Rows(x), Code(z, posterior), None, Elements(z @ WEIGHTS), x, lambda v: v[:, :2], torch.tensor(0.0))
        return total(objective(p, {"kl": KL(), "small": L2()}))

    x, z = torch.randn(4, 3), torch.randn(*([objective.samples] if objective.samples else []), 4, 2)
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, z), run(x, z))


def test_an_objective_that_cannot_work_says_what_to_choose():
    ImportanceWeighted().check_model(Gaussian(2))
    ELBO().check_model(Plain(2))
    with pytest.raises(InvalidParameter, match=r"bottleneck=Gaussian\(\), or objective=ELBO\(\)"):
        ImportanceWeighted().check_model(Plain(2))
    with pytest.raises(InvalidParameter, match=r"objectives\.ImportanceWeighted: samples=0"):
        ImportanceWeighted(samples=0).check()
