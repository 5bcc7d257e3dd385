"""Flows: densities that integrate to one, and both ways of the map."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from narrows import Flow, Training
from narrows._types import Layout, Rows
from narrows.models.flow import Dequantisation, FlowModule


def built(layout: Layout, part: Dequantisation, kind: str = "coupling", bins: int = 8) -> FlowModule:
    torch.manual_seed(0)
    module = FlowModule(layout, part, kind, 3, bins, (16,))
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module.eval()


@pytest.mark.parametrize("bins", [8, 0])
@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_the_density_of_two_numbers_integrates_to_one(kind, bins):
    module = built(Layout((2,)), Dequantisation((0.0, 0.0), ((), ())), kind, bins)
    line = torch.linspace(-9, 9, 600)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    with torch.no_grad():
        density = module.log_prob(Rows(grid), torch.full((len(grid), 2), 0.5)).exp()
    assert float(density.sum() * (line[1] - line[0]) ** 2) == pytest.approx(1, abs=0.01)


def test_probabilities_of_categories_and_blanks_add_up_to_one():
    """Averaged over the noise, all states of two categories, one of which may be blank."""
    layout = Layout((2,), categories=(3, 2), blanks=(True, False))
    part = Dequantisation((0.0, 0.0), ((0.4, 0.3, 0.1, 0.2), (0.7, 0.3)))
    module = built(layout, part)
    places = (torch.arange(80) + 0.5) / 80
    noise = torch.cartesian_prod(places, places)
    total = 0.0
    with torch.no_grad():
        for first, second in itertools.product(range(4), range(2)):
            seen = torch.tensor([[first < 3, True]]).expand(len(noise), 2)
            values = torch.tensor([[float(first % 3), float(second)]]).expand(len(noise), 2) * seen
            total += float(module.log_prob(Rows(values, seen), noise).double().exp().mean())
    assert total == pytest.approx(1, abs=0.02)


def test_a_number_that_may_be_blank():
    """P(blank) and the density of the number where it is there add up to one, averaged over the noise."""
    module = built(Layout((1,), blanks=(True,)), Dequantisation((0.0,), ((0.8, 0.2),)))
    places = (torch.arange(80) + 0.5) / 80
    noise = torch.cartesian_prod(places, places)
    line = torch.linspace(-8, 8, 400)
    with torch.no_grad():
        blank = Rows(torch.zeros(len(noise), 1), torch.zeros(len(noise), 1, dtype=torch.bool))
        missing = float(module.log_prob(blank, noise).exp().mean())
        number = line.repeat_interleave(len(places)).unsqueeze(1)
        flag = torch.stack([torch.full_like(places, 0.5), places], 1).repeat(len(line), 1)
        there = module.log_prob(Rows(number, torch.ones_like(number, dtype=torch.bool)), flag).exp()
    assert 0.05 < missing < 0.5
    assert missing + float(there.mean() * 16) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_there_and_back(kind):
    layout = Layout((4,), categories=(0, 3, 0, 0), blanks=(False, True, True, False))
    part = Dequantisation((0.0, 0.0, 0.5, 0.0), ((), (0.5, 0.2, 0.1, 0.2), (0.9, 0.1), ()), ((3.0, 1.0, 2.0, 0, 0, 0),))
    module = built(layout, part, kind)
    generator = torch.Generator().manual_seed(1)
    seen = torch.rand(40, 4, generator=generator) < 0.7
    seen[:, [0, 3]] = True
    a = torch.randn(40, generator=generator)
    values = torch.stack([a, torch.randint(3, (40,), generator=generator).float(), a * 0 + 2.5, 1 + 2 * a], 1) * seen
    noise = torch.rand(40, module.code_size, generator=generator)
    with torch.no_grad():
        y, _ = module.rows(Rows(values, seen), noise)
        z = module.map(None)(y)
        found = module.generate(z)
    wanted = torch.where(seen, values, torch.nan)
    assert torch.equal(found.isnan(), wanted.isnan())
    torch.testing.assert_close(found[:, [0, 1, 3]], wanted[:, [0, 1, 3]], equal_nan=True, atol=2e-3, rtol=0)
    assert ((found[:, 2] - 2.5).abs()[seen[:, 2]] <= 0.2501).all()  # half a step of noise


class TestEstimator:
    def test_scores_are_the_log_density(self):
        """Of standard normal data the score is about −log √(2πe) per column, in scaled units."""
        X = np.random.default_rng(0).normal(size=(1500, 2)) * [3.0, 0.1] + 5
        model = Flow(transforms=2, hidden=(16,), training=Training(epochs=15), random_state=0).fit(X)
        new = np.random.default_rng(1).normal(size=(4000, 2)) * [3.0, 0.1] + 5
        assert model.score(new) == pytest.approx(-(1 + np.log(2 * np.pi)), abs=0.06)
        scores = model.score_samples(new)
        assert np.array_equal(scores[5:9], model.score_samples(new[5:9]))
        assert model.score_samples(new[:1] + np.array([[100, 0]]))[0] < scores.min() - 50

    def test_scores_of_discrete_columns_are_probabilities(self):
        """A category of two kinds and a whole number from 0 to 3, independent: nats of a table without noise."""
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"kind": rng.choice(["u", "v"], 2000, p=[0.8, 0.2]), "n": rng.integers(0, 4, 2000)})
        model = Flow(transforms=2, hidden=(16,), training=Training(epochs=12), random_state=0).fit(table)
        step = model.choices_.dequantisation.steps[1]
        assert step == pytest.approx(1 / table["n"].std(ddof=0), rel=1e-3)
        entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2)) + np.log(4)
        # the whole number's is a density over steps, not a probability
        assert -model.score(table) == pytest.approx(entropy + np.log(step), abs=0.1)

    def test_with_classes_the_score_is_that_of_all_of_them(self):
        rng = np.random.default_rng(0)
        k = rng.integers(0, 2, 800)
        X = (rng.normal(size=(800, 2)) * 0.3 + 2 * k[:, None]) @ np.array([[1.0, 0.5], [0, 1]])
        model = Flow(transforms=2, hidden=(16,), training=Training(epochs=10), random_state=0).fit(X, labels=k)
        line = np.linspace(-3, 6, 220)
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        scale = np.prod([c.scaler.scale for c in model.format_.columns])
        total = np.exp(model.score_samples(grid)).sum() * (line[1] - line[0]) ** 2 / scale
        assert total == pytest.approx(1, abs=0.03)
        assert abs(model.sample(200, where="label = 1", random_state=0)[:, 0].mean() - X[k == 1, 0].mean()) < 0.3

    def test_copies_are_made_from_their_originals(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
        table = table.assign(copy=table["a"], total=table["a"] + 2 * table["b"], same=4.0)
        model = Flow(transforms=2, hidden=(16,), training=Training(epochs=8), random_state=0).fit(table)
        assert any("'copy', 'total'" in reason and "infinite" in reason for reason in model.reasons_)
        made = model.sample(100, random_state=0)
        # what was clipped to the range of training no longer adds up
        ends = table.min() + 1e-3, table.max() - 1e-3
        inside = ((made >= ends[0]) & (made <= ends[1]))[["a", "b", "total"]].all(axis=1)
        assert inside.sum() > 80
        np.testing.assert_allclose(made["copy"], made["a"], atol=1e-4)
        np.testing.assert_allclose((made["a"] + 2 * made["b"])[inside], made["total"][inside], atol=1e-3)
        plain = Flow(transforms=2, hidden=(16,), training=Training(epochs=8), random_state=0).fit(table[["a", "b"]])
        assert model.score(table) == pytest.approx(plain.score(table[["a", "b"]]), abs=0.1)


@pytest.mark.parametrize(("equal", "said"), [(3, False), (12, True)], ids=["chance", "spike"])
def test_a_few_equal_cells_of_a_small_table_are_no_spike(equal, said):
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[:equal, 0] = 1.25
    model = Flow(training=Training(epochs=1, verbose=False), random_state=0).fit(X)
    assert any("one and the same number" in reason for reason in model.reasons_) == said
