"""Cells on one line, and cells drawn again: hand-worked places, and a Gibbs sampler that finds the joint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from narrows import Training
from narrows.tasks._cells import CellLine
from narrows.tasks._redraw import train_redraw
from narrows.training.seeds import seeded

LINE = CellLine(states=(3, 1), numbers=(False, True), edges=(0.0, 0.25, 0.5, 1.0))


class TestLine:
    def test_places_of_states_and_shares_by_hand(self):
        assert LINE.widths == (3, 4)
        state = torch.tensor([0.0, 2.0])
        assert LINE.places(0, state, torch.zeros(2)).tolist() == [0, 2]
        # a state; the middle of the first bin; three quarters of the last one
        places = LINE.places(1, torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.9, 0.125, 0.875]))
        assert places.tolist() == pytest.approx([0, 1.5, 3.75])
        states, shares = LINE.cells(1, places)
        assert states.tolist() == [0, 1, 1]
        assert shares[1:].tolist() == pytest.approx([0.125, 0.875])

    def test_features_by_hand(self):
        found = LINE.features(torch.tensor([[2.0, 3.75], [0.0, 0.0], [1.0, 1.5]]))
        assert found.tolist() == [[0, 0, 1, 0, 1, 1, 0.75], [1, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0.5, 0, 0]]

    def test_the_smallest_bins_hold_enough_rows(self):
        for rows in (400, 1000, 100_000):
            line = CellLine.of((0,), (True,), rows)
            widths = np.diff(line.edges)
            assert line.edges[0] == 0
            assert line.edges[-1] == 1
            assert (widths > 0).all()
            assert widths.min() * rows >= 15
        assert np.isclose(widths, 1 / 24).sum() == 22  # and two that are halved four times

    def test_bins_give_way_to_many_columns_and_too_many_categories_to_nothing(self):
        wide = CellLine.of((0,) * 100, (True,) * 100, 100_000)
        assert sum(wide.widths) <= 2048
        assert CellLine.of((80,) * 30, (False,) * 30, 1000) is None


@pytest.fixture(scope="module")
def learnt():
    """Two columns: a category, and a number near 0.2 or 0.8 as the category says, nine times of ten."""
    rng = np.random.default_rng(0)
    line = CellLine.of((3, 0), (False, True), 4000)
    kind = rng.choice(3, 4000, p=[0.5, 0.3, 0.2])
    high = np.where(rng.random(4000) < 0.9, kind == 0, kind != 0)
    share = rng.random(4000) / 2 + 0.5 * high
    cells = [(0, torch.tensor(kind)), (1, torch.zeros(4000))]
    places = torch.stack([line.places(j, state.float(), torch.tensor(share)) for j, state in cells], dim=1)
    return train_redraw(line, places, Training(epochs=30), 0), places


def agree(redraw, places):
    high = redraw.module.line.cells(1, places[:, 1])[1].numpy() > 0.5
    return float((high == (places[:, 0].numpy() == 0)).mean())


class TestRedraw:
    def calibrated(self, learnt, sweeps):
        redraw, places = learnt
        shares = {j: torch.bincount(places[:, j].long(), minlength=redraw.module.line.widths[j]) for j in (0, 1)}
        with seeded(1):
            mixed = torch.stack([column[torch.randperm(4000)] for column in places.T], dim=1)
            return redraw.calibrated(mixed, {j: n / 4000 for j, n in shares.items()}, sweeps), mixed

    def test_one_sweep_joins_columns_that_were_torn_apart(self, learnt):
        redraw, mixed = self.calibrated(learnt, 1)
        assert abs(agree(redraw, mixed) - 0.5) < 0.05
        with seeded(2):
            found = redraw.places(mixed)
        assert abs(agree(redraw, found) - 0.9) < 0.03

    def test_shares_stay_those_of_the_data(self, learnt):
        redraw, mixed = self.calibrated(learnt, 2)
        with seeded(3):
            found = redraw.places(mixed)
        share = np.bincount(found[:, 0].long(), minlength=3) / 4000
        assert share == pytest.approx(np.bincount(learnt[1][:, 0].long(), minlength=3) / 4000, abs=0.025)
        shares = redraw.module.line.cells(1, found[:, 1])[1].numpy()
        real = redraw.module.line.cells(1, learnt[1][:, 1])[1].numpy()
        assert abs((shares < 0.5).mean() - (real < 0.5).mean()) < 0.025

    def test_a_condition_goes_on_holding_and_says_what_the_rest_is(self, learnt):
        redraw, mixed = self.calibrated(learnt, 3)
        start = mixed[mixed[:, 0] == 0]
        with seeded(4):
            found = redraw.places(start, lambda places: places[:, 0] == 0)
        assert (found[:, 0] == 0).all()
        assert abs((redraw.module.line.cells(1, found[:, 1])[1] > 0.5).float().mean() - 0.9) < 0.04

    def test_equal_seeds_give_equal_draws(self, learnt):
        redraw, mixed = self.calibrated(learnt, 1)
        draws = []
        for seed in (5, 5, 6):
            with seeded(seed):
                draws.append(redraw.places(mixed))
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])
