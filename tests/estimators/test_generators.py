"""Models that make rows: what they share, on a small table and on small images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import narrows
from narrows import GAN, Boltzmann, Flow, MomentMatching, Training, adversarial, networks
from narrows.errors import InvalidData, InvalidParameter
from narrows.evaluate import columns
from narrows.evaluate._columns import alike, points
from narrows.models.boltzmann import BoltzmannStep
from narrows.models.flow import FlowStep
from narrows.models.gan import DiscriminatorStep, GeneratorStep, MomentStep
from narrows.training.replay import Tape

MODELS = {
    "gan": (GAN, {"network": networks.Dense(widths=(64, 64, 64), activation="relu")}, 60),
    "moments": (MomentMatching, {}, 60),
    "flow": (Flow, {"transforms": 3, "hidden": (32, 32)}, 30),
    "boltzmann": (Boltzmann, {"code_size": 32}, 150),
}

# what adds the same to all scores has no slope where only differences of scores count
DIFFERENCES = {"discriminator.layers.6.bias"}


def shop(n: int, seed: int = 0) -> pd.DataFrame:
    """A curve, a category that goes with it, a column that is blank now and then, whole numbers, and a constant."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return pd.DataFrame(
        {
            "a": a,
            "b": np.where(rng.random(n) < 0.2, np.nan, 2 * a + 0.4 * rng.normal(size=n)),
            "kind": np.where(a > 0.3, "x", rng.choice(["y", "z"], n)),
            "count": rng.poisson(np.exp(0.5 * a) * 4),
            "same": 7.0,
        }
    )


def apart(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """The energy distance between two tables."""
    x, y = points(*alike(columns(real), columns(made)))

    def mean(p, q):
        return float(torch.cdist(torch.tensor(p), torch.tensor(q)).mean())

    return 2 * mean(x, y) - mean(x, x) - mean(y, y)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request):
    kind, params, epochs = MODELS[request.param]
    table = shop(500)
    model = kind(**params, training=Training(epochs=epochs, learning_rate=4e-3), random_state=0)
    return model.fit(table.drop(columns="kind") if kind is Boltzmann else table, labels=table["kind"])


def known(model, n: int, seed: int) -> pd.DataFrame:
    return shop(n, seed)[list(model.feature_names_in_)]


class TestFitted:
    def test_training_changed_every_parameter_that_can_change(self, fitted):
        before = dict(fitted.untrained().module_.named_parameters())
        fixed = {n for n, p in fitted.module_.named_parameters() if torch.equal(before[n], p)}
        assert fixed <= DIFFERENCES

    def test_samples_are_of_the_datas_kind_and_vary(self, fitted):
        made, real = fitted.sample(300, random_state=0), known(fitted, 500, 0)
        assert (made.dtypes == real.dtypes).all()
        assert (made["same"] == 7).all()
        assert made["a"].nunique() > 250
        assert 0.05 < made["b"].isna().mean() < 0.4
        assert made["count"].between(real["count"].min(), real["count"].max()).all()

    def test_it_beats_its_untrained_self_and_independent_columns(self, fitted):
        held, train = known(fitted, 500, 1), known(fitted, 500, 0)
        rng = np.random.default_rng(0)
        shuffled = pd.DataFrame({name: rng.permutation(cells) for name, cells in train.items()})
        own = apart(held, fitted.sample(500, random_state=0))
        assert own < 0.5 * apart(held, fitted.untrained().sample(500, random_state=0))
        assert own < apart(held, shuffled)

    def test_equal_seeds_equal_rows_and_generators_left_alone(self, fitted):
        torch.manual_seed(3)
        expected = torch.rand(2)
        torch.manual_seed(3)
        a, b, c = (fitted.sample(20, random_state=seed) for seed in (1, 1, 2))
        assert torch.equal(torch.rand(2), expected)
        pd.testing.assert_frame_equal(a, b)
        assert not a.equals(c)

    def test_conditions_on_columns(self, fitted):
        made = fitted.sample(60, where="a > 1 AND count >= 3 AND b IS NOT NULL", random_state=0)
        assert len(made) == 60
        assert (made["a"] > 1).all()
        assert (made["count"] >= 3).all()
        assert made["b"].notna().all()

    def test_saved_and_loaded(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        again = narrows.load(tmp_path / "model")
        asked = {"where": "a < 0", "random_state": 1}
        pd.testing.assert_frame_equal(again.sample(9, **asked), fitted.sample(9, **asked))
        pd.testing.assert_frame_equal(
            again.untrained().sample(3, random_state=0), fitted.untrained().sample(3, random_state=0)
        )
        assert again.history_.diagnose() == fitted.history_.diagnose()
        assert again.classes_.tolist() == ["x", "y", "z"]

    def test_rows_of_a_class(self, fitted):
        if not fitted.module_.conditional:
            with pytest.raises(InvalidParameter, match="does not know what class"):
                fitted.sample(3, where="label = 'y'")
            return
        made = fitted.sample(200, where="label = 'y' AND a > -2", random_state=0)
        assert (made["kind"] == "y").mean() > 0.8
        assert (made["a"] > -2).all()
        with pytest.raises(InvalidParameter, match="never holds 'w'; its values are"):
            fitted.sample(3, where="label = 'w'")

    def test_equal_fits(self, fitted):
        model = type(fitted)(**fitted.get_params(deep=False)).set_params(training__epochs=2)
        table = known(fitted, 80, 2)
        first = model.fit(table).sample(5, random_state=0)
        pd.testing.assert_frame_equal(model.fit(table).sample(5, random_state=0), first)
        with pytest.raises(InvalidParameter, match="does not know what class"):
            model.sample(3, where="label = 'y'")


@pytest.mark.parametrize("name", ["gan", "moments", "flow"])
def test_steps_that_are_recorded_are_the_ordinary_ones(name, monkeypatch):
    """Steps from a recording and steps by autograd leave the same model, bit by bit."""
    kind, params, _ = MODELS[name]
    model = kind(**params, training=Training(epochs=9, batch_size=32), random_state=0)
    steps = {"gan": [GeneratorStep, DiscriminatorStep], "moments": [MomentStep]}
    steps |= {"flow": [FlowStep]}
    replayed = []
    call = Tape.__call__
    monkeypatch.setattr(Tape, "__call__", lambda self, *args: replayed.append(1) or call(self, *args))
    table = shop(300)
    first = model.fit(table, labels=table["kind"]).module_.state_dict()
    assert len(replayed) > 15 * len(steps[name])
    for step in steps[name]:
        monkeypatch.setattr(step, "pure", False)
    count = len(replayed)
    second = model.fit(table, labels=table["kind"]).module_.state_dict()
    assert len(replayed) == count
    assert all(torch.equal(a, second[n]) for n, a in first.items())


@pytest.mark.parametrize("name", ["gan", "boltzmann"])
def test_a_run_that_broke_off_goes_on_bit_by_bit(name, tmp_path, monkeypatch):
    """Both players, the moving average and the particles are in the checkpoint."""
    kind, params, _ = MODELS[name]
    step = {"gan": DiscriminatorStep, "boltzmann": BoltzmannStep}[name]
    settings = {"epochs": 6, "batch_size": 32, "checkpoint_every": 0.0}
    table = shop(300)
    whole = kind(**params, training=Training(**settings), random_state=0).fit(table).module_.state_dict()
    forward, calls = step.forward, []

    def breaking(self, *args):
        calls.append(1)
        if len(calls) == 35:
            raise OSError("the machine went down")
        return forward(self, *args)

    model = kind(**params, training=Training(**settings, checkpoint=str(tmp_path / "c")), random_state=0)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="went down"):
        patch.setattr(step, "forward", breaking)
        model.fit(table)
    assert list((tmp_path / "c").glob("*.safetensors"))
    again = model.fit(table).module_.state_dict()
    assert all(torch.equal(a, again[n]) for n, a in whole.items())


@pytest.mark.parametrize("name", MODELS)
def test_images_of_a_class(name, tiny_images):
    kind, params, _ = MODELS[name]
    labels = np.arange(len(tiny_images)) % 2
    model = kind(**params, training=Training(epochs=3), random_state=0).fit(tiny_images, labels=labels)
    made = model.sample(5, random_state=0)
    assert made.shape == (5, 8, 8)
    assert made.dtype == np.uint8
    assert len(np.unique(made.reshape(5, -1), axis=0)) == 5
    if model.module_.conditional:
        assert model.sample(7, where="label = 1", random_state=0).shape == (7, 8, 8)


@pytest.mark.parametrize("name", MODELS)
class TestBadInput:
    def model(self, name, **training):
        kind, params, _ = MODELS[name]
        return kind(**params, training=Training(**{"epochs": 2, **training}), random_state=0)

    def test_few_rows(self, name):
        model = self.model(name).fit(shop(50))
        assert len(model.sample(5)) == 5
        if name in ("gan", "moments"):
            assert any("rows are few" in reason for reason in model.reasons_)
        with pytest.raises(InvalidData, match="one sample"):
            self.model(name).fit(shop(1))

    def test_a_column_that_is_a_copy(self, name):
        table = shop(120).assign(copy=lambda t: 3 - 2 * t["a"])
        model = self.model(name, epochs=3).fit(table)
        made = model.sample(50, random_state=0)
        assert np.isfinite(made["copy"]).all()
        assert np.isfinite(model.history_["loss"]).all()

    def test_a_budget_too_short_for_one_epoch(self, name):
        model = self.model(name, epochs=None, time_budget=1e-3).fit(shop(400))
        assert "time budget" in model.history_.stopped
        assert len(model.sample(5)) == 5

    def test_training_that_is_not_finite_rolls_back(self, name):
        # a rate at which any of these models diverges
        model = self.model(name, epochs=6, learning_rate=1e25)
        with (
            pytest.warns(narrows.errors.TrainingWarning, match="went back"),
            pytest.raises(narrows.errors.TrainingFailed, match="learning rate"),
        ):
            model.fit(shop(200))
        assert not hasattr(model, "module_")

    def test_all_columns_constant(self, name):
        table = pd.DataFrame({"a": [1.0] * 60, "b": ["x"] * 60})
        if name == "flow":
            with pytest.raises(InvalidData, match="one value only"):
                self.model(name).fit(table)
        else:
            made = self.model(name).fit(table).sample(4)
            assert (made["a"] == 1).all()
            assert (made["b"] == "x").all()


class TestGAN:
    @pytest.mark.parametrize(
        "loss",
        [
            adversarial.Minimax(),
            adversarial.NonSaturating(),
            adversarial.Hinge(),
            adversarial.Wasserstein(),
            adversarial.Relativistic(r2=0.0),
        ],
        ids=lambda loss: type(loss).__name__,
    )
    def test_every_loss_trains_every_parameter(self, loss):
        model = GAN(loss=loss, training=Training(epochs=2), random_state=0).fit(shop(200))
        before = dict(model.untrained().module_.named_parameters())
        fixed = {n for n, p in model.module_.named_parameters() if torch.equal(before[n], p)}
        level = isinstance(loss, (adversarial.Wasserstein, adversarial.Relativistic))
        assert fixed == (DIFFERENCES if level else set())
        assert np.isfinite(model.history_["loss"]).all()

    def test_collapse_is_said_in_words(self):
        """A generator without noise to speak of makes one row again and again."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 2)) + rng.choice([-6, 6], (600, 1))
        model = GAN(training=Training(epochs=1, learning_rate=1e-6), random_state=0).fit(X)
        with torch.no_grad():
            for p in model.module_.average.parameters():
                p.mul_(0.01)
        rows = model.format_.to_rows(X)
        model.history_.rows[-1].update(model.choices_.plan(model.module_, rows).watch(rows))
        said = " ".join(model.history_.diagnose())
        assert "Mode collapse" in said
        assert "It repeats itself" in said

    def test_the_moving_average_makes_the_rows(self):
        model = GAN(decay=0.9, training=Training(epochs=3), random_state=0).fit(shop(200))
        module = model.module_
        moving = dict(module.generator.named_parameters())
        assert any(not torch.equal(moving[n], p) for n, p in module.average.named_parameters())
        z = torch.randn(4, module.code_size)
        assert torch.equal(module.made(z), module.make(z, None, module.average))
