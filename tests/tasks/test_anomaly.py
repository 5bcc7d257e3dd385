"""Finding strange rows: the mathematics under the detector."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows._types import Layout, Rows
from narrows.tasks._denoise import Denoising, plan
from narrows.tasks._neighbours import Neighbours
from narrows.tasks._space import Space
from narrows.tasks._trim import suspicion
from narrows.tasks._twins import Twins
from narrows.tasks.anomaly import Detector, discoveries, learn_detector
from narrows.training import Training

NUMBERS = Layout((3,))


def together(n: int, seed: int = 0) -> torch.Tensor:
    """Three numbers, the third the sum of the others."""
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    x[:, 2] = x[:, 0] + x[:, 1]
    return x


class TestSpace:
    def test_every_column_has_variance_one(self):
        kind = torch.tensor([0.0, 0, 0, 1, 1, 2, 2, 2]).repeat(25)
        rows = Rows(torch.stack([torch.randn(200) * 7 + 3, kind], dim=1))
        space = Space.fit(rows, Layout((2,), categories=(0, 3)))
        x = space(rows).values
        assert x.shape == (200, 4)
        torch.testing.assert_close(x.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
        variance = space.by_column(x.square()).mean(0)
        torch.testing.assert_close(variance, torch.ones(2), atol=1e-4, rtol=0)
        assert torch.equal(space.values(x)[:, 1], kind)

    def test_blanks_and_constants(self):
        values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [0.0, 5.0]])
        rows = Rows(values, torch.tensor([[True, True], [True, True], [False, True]]))
        space = Space.fit(rows, Layout((2,)))
        assert space.centre.tolist() == [2.0, 5.0]
        assert space(rows).values.tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
        assert space.varies().tolist() == [True, False]


class TestNeighbours:
    def line(self, robust: bool = False) -> tuple[Neighbours, torch.Tensor]:
        x = torch.arange(30.0)[:, None]
        return Neighbours.fit(Space.fit(Rows(x), Layout((1,))), x, robust=robust, seed=0)

    def test_nearest_leaves_a_row_itself_out(self):
        near, place = self.line()
        assert place.tolist() == list(range(30))
        distance, index = near.nearest(torch.tensor([[10.0], [10.2]]), torch.tensor([10, -1]))
        assert distance[0, :4].tolist() == [1.0, 1.0, 2.0, 2.0]
        assert index[1, 0] == 10
        assert distance[1, 0].item() == pytest.approx(0.2, abs=1e-5)

    def test_evidence_is_standard_over_reference_rows(self):
        x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        for robust in (False, True):
            near, place = Neighbours.fit(Space.fit(Rows(x), Layout((4,))), x, robust=robust, seed=0)
            sums = near.terms(x, place).double().sum(1)
            assert float(sums.mean()) == pytest.approx(0, abs=1e-4)
            assert float(sums.std(correction=0)) == pytest.approx(1, abs=1e-4)

    def test_the_column_that_is_far_off_gets_the_blame(self):
        x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        near, _ = Neighbours.fit(Space.fit(Rows(x), Layout((4,))), x, robust=False, seed=0)
        strange = torch.zeros(1, 4)
        strange[0, 2] = 9.0
        terms = near.terms(strange, torch.tensor([-1]))[0]
        assert terms.argmax() == 2
        assert terms[2] > 0.9 * terms.sum() > 2

    def test_distances_are_measured_where_cells_are_known(self):
        """By hand: one of two columns is blank; the squared distance in the other counts twice."""
        x = torch.tensor([[0.0, 0.0], [3.0, 5.0], [9.0, 9.0], [20.0, 0.0]])
        near, _ = Neighbours.fit(Space.fit(Rows(x), Layout((2,))), x, robust=False, seed=0)
        known = torch.tensor([[True, False]])
        distance, index = near.nearest(torch.tensor([[2.0, 4.0]]), torch.tensor([-1]), known)
        assert index[0, 0] == 1
        assert distance[0, 0].item() == pytest.approx(2**0.5)
        terms = near.terms(torch.tensor([[2.0, 4.0]]), torch.tensor([-1]), known)
        assert terms[0, 1] == 0

    def test_density_counts(self):
        """Between tight rows a gap is strange that is usual between loose ones."""
        generator = torch.Generator().manual_seed(0)
        tight = 0.05 * torch.randn(300, 2, generator=generator)
        loose = 5 + torch.randn(300, 2, generator=generator)
        x = torch.cat([tight, loose])
        near, _ = Neighbours.fit(Space.fit(Rows(x), Layout((2,))), x, robust=False, seed=0)
        new = torch.tensor([-1])
        beside_tight, beside_loose = torch.tensor([[0.5, 0.0]]), torch.tensor([[5.5, 5.0]])
        assert near.terms(beside_tight, new).sum() > near.terms(beside_loose, new).sum() + 2

    def test_few_strange_rows_do_not_vouch_for_each_other(self):
        x = torch.cat([torch.randn(200, 2, generator=torch.Generator().manual_seed(0)), torch.full((3, 2), 9.0)])
        x[-1] += 0.01
        scores = {}
        for robust in (False, True):
            near, place = Neighbours.fit(Space.fit(Rows(x), Layout((2,))), x, robust=robust, seed=0)
            scores[robust] = near.terms(x, place).sum(1)
        assert scores[True][-3:].min() > scores[True][:-3].max()
        assert scores[False][-3:].min() < scores[False][:-3].max()


@pytest.fixture(scope="module")
def fitted():
    rows = Rows(together(400))
    space = Space.fit(rows, NUMBERS)
    x = space(rows).replace(group=torch.arange(400) % 2)
    training = Training(epochs=100, batch_size=160, validation=0.0)
    return Denoising.fit(space, x, members=4, folds=2, network=None, training=training, seed=0), x


class TestDenoising:
    def test_terms_are_standard_over_training_rows(self, fitted):
        denoising, x = fitted
        sums = denoising.terms(x).double().sum(1)
        assert float(sums.mean()) == pytest.approx(0, abs=1e-3)
        assert float(sums.std(correction=0)) == pytest.approx(1, abs=1e-3)

    def test_it_has_learnt_that_the_third_is_the_sum(self, fitted):
        denoising, _ = fitted
        new = denoising.space(Rows(together(50, 1)))
        expected = denoising.space.values(denoising.expected(new))
        error = (expected - denoising.space.values(new.values)).square().mean(0)
        assert (error < 0.3).all()  # of variances 1, 1, 2, were nothing known

    def test_blanks_are_filled_and_say_nothing(self, fitted):
        denoising, _ = fitted
        new = denoising.space(Rows(together(50, 1)))
        known = torch.ones(50, 3, dtype=torch.bool)
        known[:, 1] = False
        blank = Rows(torch.where(known, new.values, 0), known)
        filled = denoising.filled(blank)
        assert torch.equal(filled[known], new.values[known])
        assert (filled - new.values)[~known].square().mean() < 0.3
        assert (denoising.terms(blank)[:, 1] == 0).all()

    def test_new_rows_are_judged_by_all_folds_alike(self, fitted):
        """A new row's terms are the mean of what each fold's members say, as far spread as one fold's."""
        denoising, x = fitted
        part = x.take(slice(0, 20))
        one, two = (denoising.terms(part.replace(group=torch.full((20,), k))) for k in (0, 1))
        found = denoising.terms(part.replace(group=None))
        torch.testing.assert_close(found, (one + two) / 2 / denoising.calm, atol=1e-4, rtol=1e-4)

    def test_as_many_new_rows_lie_beyond_a_score_as_training_rows(self, fitted):
        """Folds are centred one by one, and the calm of many members is undone."""
        denoising, x = fitted
        sums = denoising.terms(x).double().sum(1)
        for fold in (0, 1):
            assert float(sums[x.group == fold].mean()) == pytest.approx(0, abs=1e-3)
        new = denoising.space(Rows(together(4_000, 5)))
        spread = denoising.terms(new).double().sum(1).std()
        assert 0.5 < denoising.calm < 1
        assert abs(float(spread) - 1) < 0.1

    def test_steps_grow_with_rows_up_to_a_limit(self):
        steps = [plan(None, n).epochs * max(1, n // min(160, n)) for n in (100, 3_000, 12_000, 50_000)]
        assert steps[0] == 500
        assert 500 <= steps[1] < 520
        assert 1_000 <= steps[2] < 1_080
        assert 2_000 <= steps[3] < 2_400


class TestTwins:
    def test_copies_share_a_fold_and_are_known_again(self):
        values = together(40)
        values[20:] = values[:20]
        twins = Twins.fit(Rows(values), torch.ones(40, dtype=torch.bool), 4)
        found = twins.find(Rows(values))
        assert torch.equal(found.fold[:20], found.fold[20:])
        assert sorted(torch.bincount(found.fold).tolist()) == [10, 10, 10, 10]
        new = twins.find(Rows(together(5, 7)))
        assert not new.known.any()
        assert (new.fold == -1).all()

    def test_rows_set_aside_are_known_but_not_learnt(self):
        values = together(10)
        learnt = torch.arange(10) < 8
        twins = Twins.fit(Rows(values), learnt, 2).placed(Rows(values[:8]), torch.arange(8))
        found = twins.find(Rows(values))
        assert found.known.all()
        assert torch.equal(found.fold >= 0, learnt)
        assert found.own.tolist() == [*range(8), -1, -1]

    def test_a_blank_is_not_a_zero(self):
        values = torch.zeros(2, 2)
        observed = torch.tensor([[True, True], [True, False]])
        found = Twins.fit(Rows(values, observed), torch.ones(2, dtype=torch.bool), 2)
        assert len(found.marks) == 2
        assert Twins.none().find(Rows(values)).fold.tolist() == [-1, -1]


def detector(scores) -> Detector:
    ordered = torch.tensor(sorted(scores), dtype=torch.float64)
    return Detector(None, Twins.none(), torch.empty(0, 2, dtype=torch.long), 0.0, ordered)


class TestPValues:
    def test_by_hand(self):
        found = detector([1.0, 2, 3, 4, 5, 6, 7, 8, 9])
        new = torch.zeros(4, dtype=torch.bool)
        p = found.p_values(torch.tensor([0.5, 5.0, 9.0, 9.5]).double(), new)
        assert p.tolist() == pytest.approx([1.0, 0.6, 0.2, 0.1])
        trained = found.p_values(torch.tensor([9.0, 1.0]).double(), torch.ones(2, dtype=torch.bool))
        assert trained.tolist() == pytest.approx([1 / 9, 1.0])

    @given(
        st.lists(st.floats(-5, 5, width=16), min_size=2, max_size=60),
        st.floats(0.02, 0.5),
        st.floats(-6, 6, width=16),
    )
    def test_the_threshold_and_the_p_values_agree(self, scores, rate, score):
        """Above the threshold p is at most the rate, as far as n rows can promise it."""
        found, n = detector(scores), len(scores)
        p = float(found.p_values(torch.tensor([score]).double(), torch.tensor([False])))
        if score > found.threshold(rate):
            assert p <= max(rate, 1 / (n + 1)) + 1e-9
        above = sum(s >= found.threshold(rate) for s in scores)
        assert above <= max(1, math.floor(rate * (n + 1) + 1e-9))

    def test_valid_for_exchangeable_scores(self):
        """Over many calibration sets, p ≤ α happens with probability at most α, and not much less."""
        rng = np.random.default_rng(0)
        draws = rng.normal(size=(4000, 50))
        hits = [
            float(detector(row[:49]).p_values(torch.tensor([row[49]]), torch.tensor([False]))) <= 0.1 for row in draws
        ]
        assert 0.085 < np.mean(hits) < 0.115

    def test_benjamini_hochberg_by_hand(self):
        p = torch.tensor([0.01, 0.02, 0.03, 0.04, 0.9])
        assert discoveries(p, 0.05).tolist() == [True, True, True, True, False]
        assert discoveries(torch.tensor([0.2, 0.9]), 0.05).tolist() == [False, False]


def test_suspicion_finds_a_cluster_of_strange_rows():
    x = torch.cat([torch.randn(180, 3, generator=torch.Generator().manual_seed(0)), torch.full((8, 3), 6.0)])
    x[-8:] += 0.01 * torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    found = suspicion(x, 0)
    assert set(found.argsort(descending=True)[:8].tolist()) == set(range(180, 188))


def test_strange_rows_do_not_bend_what_is_learnt_when_they_are_set_aside():
    strange = torch.randn(30, 3, generator=torch.Generator().manual_seed(5)) * 0.3 + torch.tensor([4.0, 4.0, -6.0])
    rows = Rows(torch.cat([together(300), strange]))
    found = learn_detector(rows, NUMBERS, members=4, trim=0.2, training=Training(epochs=40, validation=0.0), seed=0)
    scores = found.judge(rows)[0].sum(1)
    assert (scores[300:].argsort() >= 0).all()
    rank = scores.argsort(descending=True)
    assert (rank[:30] >= 300).float().mean() > 0.9


def test_a_single_category_counts_as_new_to_the_others():
    """A category of one training row: the row is as strange as if nobody had seen the category."""
    kind = torch.tensor([0.0, 1.0]).repeat(40)
    kind[5] = 2.0
    rows = Rows(torch.stack([kind, torch.randn(80, generator=torch.Generator().manual_seed(0))], dim=1))
    layout = Layout((2,), categories=(3, 0))
    found = learn_detector(rows, layout, members=2, trim=0, training=Training(epochs=5, validation=0.0), seed=0)
    assert found.singles.tolist() == [[0, 2]]
    terms, twins = found.judge(rows)
    assert twins.known.all()
    without = found.evidence.terms(rows, twins).double()
    added = terms - without
    assert added[5].tolist() == pytest.approx([math.log(81), 0])
    assert (added[torch.arange(80) != 5] == 0).all()
