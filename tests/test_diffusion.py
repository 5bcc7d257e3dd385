"""The core of diffusion against closed forms: of mixtures of Gaussians the best denoiser and densities are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from narrows import networks
from narrows._part import REGISTRY, Part
from narrows.diffusion import (
    DDIM,
    DDPM,
    ClassCondition,
    Denoise,
    DiffusionModule,
    DiffusionStep,
    Heun,
    Noise,
    Sampler,
    inpaint,
    log_density,
    to_noise,
)
from narrows.errors import InvalidParameter

WEIGHTS, MEANS = torch.tensor([0.3, 0.7]), torch.tensor([[-1.2, 0.4], [0.6, -0.3]])
SPREAD = 0.4


def mixture(x: Tensor, variance: float | Tensor) -> Tensor:
    """``(K, n)`` log-density of every component."""
    apart = (x - MEANS[:, None]).square().sum(-1)
    return WEIGHTS.log()[:, None] - 0.5 * apart / variance - torch.log(2 * torch.pi * torch.as_tensor(variance))


def best(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact E[clean | noisy] of two Gaussians in the plane."""
    share = mixture(x, SPREAD**2 + sigma**2).softmax(0).unsqueeze(-1)
    kept = SPREAD**2 / (SPREAD**2 + sigma**2)
    return (share * (MEANS[:, None] + kept * (x - MEANS[:, None]))).sum(0)


def shrink(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact E[clean | noisy] of N(0, I)."""
    return x / (1 + sigma**2)


def known_rows(n: int) -> tuple[Tensor, Tensor]:
    kind = torch.multinomial(WEIGHTS, n, replacement=True)
    return MEANS[kind] + SPREAD * torch.randn(n, 2), kind


SAMPLERS = [Heun(), DDIM(400), DDPM(400)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_samplers_draw_from_a_known_mixture(sampler: Sampler):
    torch.manual_seed(0)
    noise = Noise()
    x = sampler(best, noise.high * torch.randn(20_000, 2), noise)
    exact = known_rows(20_000)[0]
    torch.testing.assert_close(x.mean(0), exact.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.T.cov(), atol=0.02, rtol=0)
    left = [(mixture(rows, SPREAD**2).argmax(0) == 0).float().mean().item() for rows in (x, exact)]
    assert left[0] == pytest.approx(left[1], abs=0.015)
    density = [mixture(rows, SPREAD**2).logsumexp(0).mean().item() for rows in (x, exact)]
    assert density[0] == pytest.approx(density[1], abs=0.03)


def test_errors_fall_with_the_square_of_heuns_steps_and_with_ddims_steps():
    torch.manual_seed(0)
    noise, start = Noise(), 80 * torch.randn(500, 2, dtype=torch.float64)
    exact = Heun(400)(best, start, noise)

    def error(sampler: Sampler) -> float:
        return float((sampler(best, start, noise) - exact).square().mean().sqrt())

    assert 3 < error(Heun(20)) / error(Heun(40)) < 5.5
    assert 1.7 < error(DDIM(40)) / error(DDIM(80)) < 2.4
    assert error(Heun(20)) < error(DDIM(40)) / 5


def test_the_flow_of_normal_rows_is_no_change():
    start = 80 * torch.randn(50, 3, dtype=torch.float64)
    torch.testing.assert_close(Heun(5)(shrink, start, Noise()), start / math.sqrt(1 + 80**2), atol=1e-5, rtol=1e-5)


def test_the_flow_goes_along_the_gradient_of_the_log_density():
    # dx / dσ = −σ ∇ ln p(x; σ) in the plane; here by finite differences of one small step
    x, now, then = torch.randn(20, 2, dtype=torch.float64), torch.tensor(0.7), torch.tensor(0.699)
    x.requires_grad_()
    (score,) = torch.autograd.grad(mixture(x, SPREAD**2 + 0.7**2).logsumexp(0).sum(), x)
    moved = (Heun().step(best, x.detach(), now, then) - x.detach()) / (then - now)
    torch.testing.assert_close(moved, -0.7 * score, atol=2e-3, rtol=2e-3)


def test_ddim_is_eulers_step_and_one_step_is_the_denoiser():
    x, now, then = torch.randn(5, 2), torch.tensor(2.0), torch.tensor(1.5)
    euler = x + (then - now) * (x - best(x, now)) / now
    torch.testing.assert_close(DDIM().step(best, x, now, then), euler)
    torch.testing.assert_close(DDIM(1)(best, x, Noise(high=3.0)), best(x, torch.tensor(3.0)))


def test_levels_fall_from_the_most_to_none():
    levels = Noise(low=0.01, high=50.0).levels(9)
    assert len(levels) == 10
    assert levels[0].item() == pytest.approx(50, rel=1e-5)
    assert levels[-2].item() == pytest.approx(0.01, rel=1e-5)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    even = Noise(rho=1.0).levels(9)[:-1].atan().diff()
    torch.testing.assert_close(even, even.mean().expand(8))
    assert Noise().levels(5, high=1.5)[0].item() == pytest.approx(1.5, rel=1e-5)
    assert Noise().levels(1).tolist() == pytest.approx([80, 0])


def test_density_by_the_flow_is_the_known_one():
    torch.manual_seed(0)
    x = 0.7 * torch.randn(100, 2)
    found = log_density(best, x, Noise(), steps=100)
    torch.testing.assert_close(found, mixture(x, SPREAD**2).logsumexp(0), atol=0.02, rtol=0.01)
    assert log_density(best, x[:0], Noise()).shape == (0,)


def test_density_of_large_rows_comes_near_by_random_directions():
    # independent numbers of variance s²: D = x s² / (s² + σ²), and their divergence is exact in every direction
    torch.manual_seed(0)
    spread = torch.linspace(0.5, 1.5, 100)
    x = spread * torch.randn(20, 100)
    exact = torch.distributions.Normal(0.0, spread).log_prob(x).sum(1)
    found = log_density(lambda v, sigma: v * spread**2 / (spread**2 + sigma**2), x, Noise())
    torch.testing.assert_close(found, exact, atol=0.5, rtol=0)


def test_inpainting_keeps_what_is_known_and_draws_the_rest_to_suit():
    # x₁ = 0.6 belongs to the right Gaussian, whose x₂ is N(−0.3, 0.4²); x₁ = −1.2 to the left, with N(0.4, 0.4²)
    torch.manual_seed(0)
    values = torch.stack([torch.tensor([0.6, -1.2]).repeat(1000), torch.full((2000,), math.nan)], dim=1)
    known = torch.tensor([True, False]).expand(2000, 2)
    drawn = inpaint(best, values.nan_to_num(), known, Noise(), steps=50, rounds=8)
    assert torch.equal(drawn[:, 0], values[:, 0])
    for part, mean in ((drawn[::2, 1], -0.3), (drawn[1::2, 1], 0.4)):
        assert part.mean().item() == pytest.approx(mean, abs=0.06)
        assert part.std().item() == pytest.approx(SPREAD, abs=0.05)


def module(shape: tuple[int, ...] = (2,), classes: int = 0) -> DiffusionModule:
    torch.manual_seed(0)
    network = networks.Residual(width=64).conditioned(shape, 32)
    return DiffusionModule(shape, network, 32, ClassCondition(classes, 32) if classes else None)


def train(model: DiffusionModule, values: Tensor, condition: Tensor | None = None, steps: int = 600) -> None:
    model.prepare(values)
    step = DiffusionStep(model).train()
    optimiser = torch.optim.Adam(model.live.parameters(), 3e-3)
    for _ in range(steps):
        index = torch.randint(len(values), (256,))
        batch = {"values": values[index]} | ({} if condition is None else {"condition": condition[index]})
        loss = step(batch, torch.zeros(()))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.follow()
    model.eval()


def test_training_comes_near_the_least_possible_loss_and_guidance_draws_the_class():
    torch.manual_seed(1)
    rows, kind = known_rows(4000)
    rows = 10 * rows + 5  # its own units are no business of the network
    model = module(classes=2)
    train(model, rows, kind)
    step = DiffusionStep(model).eval()
    with torch.no_grad():
        batch = {"values": rows, "condition": kind}
        loss = torch.stack([step(batch, torch.zeros(()))["loss"] for _ in range(10)]).mean()
    sigma = model.noise.draw(torch.zeros(100_000, 1)).square().unsqueeze(1)
    own = (10 * SPREAD / model.scale).square()  # of a class, what is left to know of a row: s² σ² / (s² + σ²)
    least = (own * (1 + sigma) / (own + sigma)).mean()
    assert 0.98 * least < loss < 1.06 * least
    x = model.standard(rows)
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(model.raw(x), rows, atol=1e-3, rtol=0)
    for wanted in (0, 1):
        start = 80 * torch.randn(1000, 2)
        drawn = Heun()(model.guided(torch.full((1000,), wanted)), start, model.noise)
        plain = (model.raw(drawn.detach()) - 5) / 10
        assert (mixture(plain, SPREAD**2).argmax(0) == wanted).float().mean() > 0.93
        torch.testing.assert_close(plain.mean(0), MEANS[wanted], atol=0.12, rtol=0)


def test_guidance_extrapolates_and_one_is_none():
    model = module(classes=2).eval()
    with torch.no_grad():
        for parameter in model.average.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        x, sigma, kind = torch.randn(4, 2), torch.tensor(0.7), torch.tensor([0, 1, 0, 1])
        free, told = model(x, sigma), model(x, sigma, kind)
        assert not torch.allclose(free, told)
        torch.testing.assert_close(model.guided(kind, 1.0)(x, sigma), told)
        torch.testing.assert_close(model.guided(kind, 0.0)(x, sigma), free)
        torch.testing.assert_close(model.guided(kind, 3.0)(x, sigma), free + 3 * (told - free))
        torch.testing.assert_close(model(x, sigma, torch.full((4,), -1)), free)


def test_the_average_follows_and_is_what_evaluation_uses():
    model = module()
    x, sigma = torch.randn(3, 2), torch.tensor(1.0)
    before = model.eval()(x, sigma)
    with torch.no_grad():
        for parameter in model.live.parameters():
            parameter.add_(1.0)
    assert torch.equal(model.eval()(x, sigma), before)
    assert not torch.allclose(model.train()(x, sigma), before)
    for _ in range(200):
        model.follow()
    for mine, theirs in zip(model.average.parameters(), model.live.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=0)


def test_a_rows_estimate_does_not_depend_on_its_batch_and_weights_hold_at_the_ends():
    model = module((1, 4, 3)).eval()
    x, sigma = torch.randn(5, 1, 4, 3), torch.tensor([1e-4, 0.1, 1.0, 5.0, 1e4])
    together = model(x, sigma)
    for i in range(5):
        torch.testing.assert_close(model(x[i : i + 1], sigma[i : i + 1])[0], together[i])
    torch.testing.assert_close(together[0], x[0], atol=1e-2, rtol=0)  # without noise a row is what it is
    assert together[4].abs().max() < 20  # and against much noise it says nothing


def test_images_are_scaled_alike_and_what_is_constant_does_no_harm():
    model = DiffusionModule((1, 2, 2), networks.Residual(8).conditioned((1, 2, 2), 8), 8)
    model.prepare(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]).expand(4, 1, 2, 2))
    assert model.centre.shape == ()
    assert model.centre.item() == pytest.approx(1.5)
    flat = module()
    flat.prepare(torch.tensor([[7.0, 1.0], [7.0, 3.0]]))
    assert flat.centre.tolist() == [7, 2]
    assert flat.scale.tolist() == [1, 1]


def test_samplers_are_parts():
    for part in (*SAMPLERS, Noise(low=0.01)):
        part.check()
        assert Part.from_config(part.to_config()) == part
        assert REGISTRY[part.key()] is type(part)
    assert Sampler.parse("ddim:steps=30") == DDIM(30)
    with pytest.raises(InvalidParameter, match="steps=0"):
        Heun(0).check()
    with pytest.raises(InvalidParameter, match="UNet"):
        networks.Conv().conditioned((1, 8, 8), 4)


def correlated(n: int, reach: float, size: int = 40) -> tuple[Tensor, Tensor]:
    """Normal rows whose numbers go together, one long direction and the others short, and their covariance."""
    way = torch.nn.functional.normalize(torch.arange(1.0, size + 1).double(), dim=0)
    covariance = 0.25 * torch.eye(size).double() + (reach**2 - 0.25) * torch.outer(way, way)
    return torch.randn(n, size).double() @ torch.linalg.cholesky(covariance).T, covariance


def wiener(covariance: Tensor) -> Denoise:
    """The exact E[clean | noisy] of N(0, Σ): Σ (Σ + σ²)⁻¹ x."""
    values, ways = torch.linalg.eigh(covariance)
    return lambda x, sigma: x @ ways * (values / (values + sigma**2)) @ ways.T


def test_steps_suit_rows_that_reach_far():
    # the flow of normal rows is linear, so that it is known from where it takes each direction of their covariance
    covariance = correlated(1, reach=12)[1]
    values, ways = torch.linalg.eigh(covariance)

    def kept(noise: Noise, steps: int) -> Tensor:
        start = math.sqrt(1 + noise.high**2) * ways.T
        return (Heun(steps)(wiener(covariance), start, noise) * ways.T).sum(1) / values.sqrt()

    assert (kept(Noise().reaching(12), 18) - 1).abs().max() < 0.04
    assert (kept(Noise().reaching(12), 12) - 1).abs().max() < 0.08
    assert kept(Noise(), 18)[-1] < 0.75  # even in the angle of single numbers, steps leap over what is decided early


def test_reach_is_learnt_from_rows_unless_it_is_said():
    torch.manual_seed(0)
    rows, covariance = correlated(3000, reach=12)
    model = DiffusionModule((1, 5, 8), networks.Residual(8).conditioned((1, 5, 8), 8), 8)
    model.prepare(rows.reshape(-1, 1, 5, 8).float())
    scaled = 12 / math.sqrt(covariance.diagonal().mean())
    assert model.noise.reach == pytest.approx(scaled, rel=0.05)
    free = module((40,))
    free.prepare(torch.randn(3000, 40))
    assert free.noise.reach == pytest.approx(1, abs=0.15)
    told = DiffusionModule((1, 5, 8), networks.Residual(8).conditioned((1, 5, 8), 8), 8, noise=Noise(reach=3.0))
    told.prepare(rows.reshape(-1, 1, 5, 8).float())
    assert told.noise == Noise(reach=3.0)
    assert Noise().reaching(100).high == 600
    same = module()
    same.prepare(torch.ones(5, 2))
    assert same.noise.reach == 1


def test_density_and_noise_of_rows_that_reach_far():
    torch.manual_seed(0)
    x, covariance = correlated(50, reach=12)
    exact = torch.distributions.MultivariateNormal(torch.zeros(40).double(), covariance).log_prob(x)
    noise = Noise().reaching(12)
    found = log_density(wiener(covariance), x, noise, steps=100)
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0)
    back = Heun(200)(
        wiener(covariance), math.sqrt(1 + noise.high**2) * to_noise(wiener(covariance), x, noise, 200), noise
    )
    torch.testing.assert_close(back, x, atol=0.02, rtol=0.02)
