"""Penalties that own a network: what critics learn, what they charge, and how they train in the one loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from narrows._normal import Normal, UnitNormal
from narrows._types import Code, Layout, Pass, Rows
from narrows.bottlenecks import Gaussian, Plain
from narrows.errors import InvalidParameter
from narrows.likelihoods import Gaussian as GaussianLikelihood
from narrows.models import AutoencoderModule
from narrows.networks import Dense
from narrows.objectives import ELBO
from narrows.penalties import DIP, KL, Adversarial, CriticTotalCorrelation, Judged, Penalties
from narrows.priors import StandardNormal
from narrows.training import Loop, Player, Step, Training
from narrows.training.loop import trainable
from narrows.training.seeds import seeded


def made(z: torch.Tensor, posterior: Any = None, weight: Any = None) -> Pass:
    rows = Rows(torch.zeros(len(z), 1), weight=weight)
    prior = UnitNormal(torch.zeros(z.shape[-1]))
    return Pass(rows, Code(z, posterior), prior, None, rows.values, lambda x: x, torch.tensor(0.0))  # type: ignore[arg-type]


class First(nn.Module):
    """A critic that says the first number of the code."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z[..., 0]


def test_what_critics_charge():
    p = made(torch.tensor([[0.0, 5.0], [math.log(3.0), 0.0]]))
    # −log(1 − 1/2) and −log(1 − 3/4)
    torch.testing.assert_close(Judged(Adversarial(weight=2.0), First())(p), 2 * torch.tensor([2.0, 4.0]).log())
    torch.testing.assert_close(
        Judged(CriticTotalCorrelation(weight=1.0), First())(p), torch.tensor([0.0, math.log(3.0)])
    )
    with pytest.raises(InvalidParameter, match="needs its critic"):
        Adversarial()(p)


def test_a_critics_loss_is_the_logistic_one_and_rows_without_weight_do_not_count():
    z = torch.tensor([[2.0], [2.0], [-50.0]])
    p = made(z, weight=torch.tensor([1.0, 1.0, 0.0]))
    with seeded(0):
        expected = torch.nn.functional.softplus(torch.randn_like(z)[:2, 0]).mean()
    with seeded(0):
        loss = Adversarial().loss(p, First())
    torch.testing.assert_close(loss, 0.5 * (math.log(1 + math.exp(-2)) + expected))


def test_shuffled_codes_keep_each_units_values():
    z = torch.arange(12.0).reshape(6, 2) + torch.tensor([0.0, 100.0])
    torch.manual_seed(0)
    other = CriticTotalCorrelation().others(made(z), z)
    assert torch.equal(other.sort(0).values, z)
    assert not torch.equal(other[:, 1] - other[:, 0], z[:, 1] - z[:, 0])


def test_the_critic_finds_the_total_correlation_of_a_gaussian():
    rho = 0.8
    penalty, factor = (
        CriticTotalCorrelation(weight=1.0, widths=(64, 64)),
        torch.linalg.cholesky(torch.tensor([[1.0, rho], [rho, 1.0]])),
    )
    critic = penalty.critic(2)
    optimiser = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(400):
        optimiser.zero_grad()
        penalty.loss(made(torch.randn(512, 2) @ factor.T), critic).backward()
        optimiser.step()
    found = Judged(penalty, critic)(made(torch.randn(20_000, 2) @ factor.T)).mean()
    assert found.item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.06)  # 0.51 nats


def test_dip_by_hand():
    mean = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    p = made(mean, Normal(mean, torch.full((4, 2), 0.5 * math.log(3.0))))
    # means: [[1, 1], [1, 1]]; codes: 3 more on the diagonal
    assert DIP(weight=1.0, kind="I")(p).item() == pytest.approx(2.0)
    assert DIP(weight=1.0, kind="II")(p).item() == pytest.approx(2.0 + 2 * 9)
    assert DIP(weight=2.0, kind="II", diagonal=0.5)(p).item() == pytest.approx(2 * (2.0 + 9))
    with pytest.raises(InvalidParameter, match="Gaussian"):
        DIP().check_model(Plain(2))


# --- in the loop ---------------------------------------------------------------------------------------------

LAYOUT = Layout(shape=(4,), categories=(0,) * 4, blanks=(False,) * 4)


def rows(n: int = 300) -> Rows:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.rand(n, 2, generator=generator)
    return Rows(torch.cat([hidden, hidden.square() - hidden.flip(1)], 1))


def step_for(named: Penalties, bottleneck: Any) -> Step:
    with seeded(1):
        model = AutoencoderModule(LAYOUT, Dense(widths=(16,)), bottleneck, GaussianLikelihood(), StandardNormal())
        return Step(model, ELBO(), named, None, LAYOUT)


def train(step: Step, **settings: Any) -> Any:
    players = [Player(step, trainable(step.model)), *(Player(s, trainable(s.critic)) for s in step.adversaries())]
    loop = Loop(step, players, Training(batch_size=50, learning_rate=2e-3, **settings), 0)
    return loop.fit(rows(), rows(40))


def test_the_critic_moves_and_codes_come_to_look_like_the_prior():
    step = step_for(Penalties(match=Adversarial(weight=3.0, widths=(64, 64))), Plain(2))
    before = [p.clone() for p in step.critics["match"].parameters()]
    history = train(step, epochs=150)
    assert all(not torch.equal(a, b) for a, b in zip(before, step.critics["match"].parameters(), strict=True))
    z = step.model.encode(rows()).detach()
    plain = step_for(Penalties(), Plain(2))
    train(plain, epochs=30)
    free = plain.model.encode(rows()).detach()

    def apart(codes: torch.Tensor) -> float:
        return float(codes.mean(0).square().sum() + (codes.T.cov() - torch.eye(2)).square().sum())

    assert apart(z) < 0.2
    assert apart(z) < 0.2 * apart(free)
    assert {"match", "validation_match"} <= set(history.columns)


def test_verdicts_count_in_training_and_not_in_the_choice_of_the_best_epoch():
    history = train(step_for(Penalties(kl=KL(), match=Adversarial(widths=(8,))), Gaussian(2)), epochs=5)
    row = history.rows[-1]
    assert row["loss"] == pytest.approx(row["reconstruction"] + row["kl"] + row["match"], rel=1e-5)
    assert row["validation_loss"] == pytest.approx(row["validation_reconstruction"] + row["validation_kl"], rel=1e-5)


def test_the_critic_leaves_the_model_alone():
    step = step_for(Penalties(match=Adversarial(widths=(8,))), Plain(2))
    (adversary,) = step.adversaries()
    adversary({"values": rows().values}, torch.tensor(0.0))["loss"].backward()
    assert all(p.grad is None for p in step.model.parameters())
    assert all(p.grad is not None for p in step.critics.parameters())


@pytest.mark.parametrize("kind", [Adversarial, CriticTotalCorrelation])
def test_recorded_steps_are_ordinary_ones_and_equal_seeds_equal_runs(kind: Any, monkeypatch: pytest.MonkeyPatch):
    states = []
    for after in (10**9, 3, 3):
        monkeypatch.setattr("narrows.training.replay.AFTER", after)
        monkeypatch.setattr("narrows.training.replay.PAYS", 1)
        step = step_for(Penalties(kl=KL(), match=kind(widths=(8,))), Gaussian(2))
        train(step, epochs=6)
        states.append(step.state_dict())
    for other in states[1:]:
        assert all(torch.equal(states[0][name], tensor) for name, tensor in other.items())


def test_a_killed_run_goes_on_with_its_critic(tmp_path: Any):
    def run(checkpoint: Any, stop_at: int | None) -> dict[str, torch.Tensor]:
        step = step_for(Penalties(match=Adversarial(widths=(8,))), Plain(2))
        adversary = step.adversaries()[0]
        players = [Player(step, trainable(step.model)), Player(adversary, trainable(adversary.critic))]
        training = Training(batch_size=50, epochs=8, checkpoint=checkpoint, checkpoint_every=0.0)
        loop = Loop(step, players, training, 0)
        if stop_at is not None:

            def killed() -> None:
                if loop.step == stop_at:
                    raise MemoryError

            loop.after_step = killed
            with pytest.raises(MemoryError):
                loop.fit(rows())
        else:
            loop.fit(rows())
        return step.state_dict()

    whole = run(None, None)
    run(str(tmp_path / "c"), 30)
    again = run(str(tmp_path / "c"), None)
    assert all(torch.equal(whole[name], tensor) for name, tensor in again.items())
