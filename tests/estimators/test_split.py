"""Which rows are held out: by chance, and of windows of long series the last, with a gap."""

import numpy as np
import pytest
import torch

from narrows import Training
from narrows._types import Rows
from narrows.data import Series
from narrows.estimators._split import split_rows


def windows(lengths, steps, stride):
    """Rows of series whose values are their own places: series · 10,000 + step."""
    format_ = Series(window=steps, stride=stride).fit([np.arange(n, dtype=float) for n in lengths])
    place = format_.to_rows([np.arange(n, dtype=float) for n in lengths]).place
    values = place[:, :1] * 10_000 + place[:, 1:] + torch.arange(steps)
    return Rows(values.unsqueeze(2).float(), place=place)


def steps_of(rows):
    return set(rows.values.flatten().tolist())


@pytest.mark.parametrize("stride", [1, 5, 12])
def test_one_long_series_is_held_out_at_its_end_without_shared_steps(stride):
    rows = windows([1200], 24, stride)
    n = len(rows)
    train, held = split_rows(rows, Training(), 0)
    assert not steps_of(train) & steps_of(held)
    assert len(held) == round(0.1 * n)
    assert min(steps_of(held)) > max(steps_of(train))
    assert max(steps_of(held)) == 1199
    assert n - len(train) - len(held) == -(-24 // stride) - 1  # the gap is no wider than it must be
    assert train.place is None
    assert held.place is None


def test_every_long_series_gives_its_end_and_of_short_ones_some_are_held_out_whole():
    long, short = 4, 60
    rows = windows([800] * long + [60] * short, 24, 6)
    train, held = split_rows(rows, Training(), 0)
    assert not steps_of(train) & steps_of(held)
    whose = (held.values[:, 0, 0] // 10_000).long()
    assert set(range(long)) <= set(whose.tolist())
    whole = [i for i in range(long, long + short) if (whose == i).any()]
    assert len(whole) == 6  # a tenth
    kept = (train.values[:, 0, 0] // 10_000).long()
    assert not set(kept.tolist()) & set(whole)
    other = set((split_rows(windows([800] * long + [60] * short, 24, 6), Training(), 1)[1].values[:, 0, 0]).tolist())
    assert other != set(held.values[:, 0, 0].tolist())


def test_series_that_are_one_window_each_are_held_out_by_chance_and_none_is_lost():
    rows = windows([24] * 100, 24, 6)
    train, held = split_rows(rows, Training(), 3)
    assert (len(train), len(held)) == (90, 10)
    assert sorted(steps_of(train) | steps_of(held)) == sorted(steps_of(windows([24] * 100, 24, 6)))
    assert len({int(v) // 10_000 for v in held.values[:, 0, 0]} & set(range(10))) < 10


def test_nothing_is_held_out_where_the_gap_would_take_most():
    train, held = split_rows(windows([110], 48, 1), Training(), 0)
    assert held is None
    assert len(train) == 63
    train, held = split_rows(windows([1200], 24, 5), Training(validation=0.0), 0)
    assert held is None
    assert train.place is None


def test_rows_that_share_nothing_are_held_out_by_chance_and_lent_their_memory():
    rows = Rows(torch.arange(200.0).unsqueeze(1), condition=torch.arange(200))
    memory = rows.values.data_ptr()
    train, held = split_rows(rows, Training(), 0)
    assert train.values.data_ptr() == memory
    assert sorted([*train.condition.tolist(), *held.condition.tolist()]) == list(range(200))
    assert torch.equal(train.values[:, 0].long(), train.condition)
    assert held.condition.tolist() != sorted(held.condition.tolist())
