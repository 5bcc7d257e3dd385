"""Kneser-Ney trigrams: hand-worked numbers, and what must hold for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.language.ngrams import BEGIN, END, SPECIAL, UNKNOWN, Ngrams

TEXTS = st.lists(st.lists(st.integers(UNKNOWN, 7), min_size=1, max_size=6), min_size=1, max_size=6)


@given(TEXTS)
def test_after_every_history_the_probabilities_sum_to_one(texts):
    model = Ngrams.learn(texts, 8)
    after = [(BEGIN, BEGIN), (BEGIN, 3), (3, 4), (7, 7), (UNKNOWN, 5)]
    for a, b in after:
        p = np.exp(model.log_prob(a, b, np.arange(END, 8)))
        assert p.min() > 0
        assert p.sum() == pytest.approx(1)


def test_a_small_text_by_hand():
    """Two sentences, "3 4" and "3 5": discounts are the usual ones, since nothing occurs often enough to tell."""
    model = Ngrams.learn([[3, 4], [3, 5]], 6)
    # single tokens: how many different ones they follow: 3 one, 4 one, 5 one, END two (4, 5); two singletons, 4 and 5,
    # stand for the unknown. Sum 7; discounts 0.5 (once) and 0.75 (twice), so that 3 × 0.5 + 2 × 0.75 is left for all 5
    left = (3 * 0.5 + 2 * 0.75) / 7
    one = {3: 0.5 / 7 + left / 5, 4: 0.5 / 7 + left / 5, END: 1.25 / 7 + left / 5, UNKNOWN: 1.25 / 7 + left / 5}
    assert np.exp(model.log_prob(9 - 4, 5, UNKNOWN)) == pytest.approx(1 * one[UNKNOWN] * 0.5)  # (5 END) once: 0.5 left
    # behind 3: 4 and 5, each seen behind one word
    two = 0.5 / 2 + (0.5 + 0.5) / 2 * one[4]
    # behind (BEGIN 3): 4 once of two times
    assert np.exp(model.log_prob(BEGIN, 3, 4)) == pytest.approx(0.5 / 2 + (0.5 + 0.5) / 2 * two)
    # behind BEGIN it counts how often: 3 twice of two; behind two of them likewise
    short = 1.25 / 2 + 0.75 / 2 * one[3]
    assert np.exp(model.log_prob(BEGIN, BEGIN, 3)) == pytest.approx(1.25 / 2 + 0.75 / 2 * short)


def test_discounts_follow_the_counts_of_counts():
    from narrows.language.ngrams import _discounts

    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] * 1 + [9])
    y = 8 / (8 + 2 * 4)
    assert _discounts(counts) == pytest.approx([0, 1 - 2 * y * 4 / 8, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2])


def test_a_sentence_scores_as_its_steps_and_what_was_learnt_can_be_put_back():
    rng = np.random.default_rng(0)
    texts = [rng.integers(SPECIAL, 12, rng.integers(1, 9)) for _ in range(60)]
    model = Ngrams.learn(texts, 12)
    steps = [(BEGIN, BEGIN, 5), (BEGIN, 5, 6), (5, 6, END)]
    assert model.score([5, 6]) == pytest.approx(sum(float(model.log_prob(*s)) for s in steps))
    again = Ngrams.restored(12, model.arrays())
    assert again.score([5, 6, 7]) == model.score([5, 6, 7])


def test_what_was_seen_is_likelier_than_in_another_order():
    rng = np.random.default_rng(0)
    texts = [np.concatenate([np.arange(3, 3 + k) for k in rng.integers(2, 7, 3)]) for _ in range(50)]
    model = Ngrams.learn(texts, 12)
    assert model.score([3, 4, 5, 6]) > model.score([6, 4, 3, 5]) + 3


@given(TEXTS, st.integers(2, 5))
def test_the_probabilities_of_any_order_sum_to_one(texts, order):
    model = Ngrams.learn(texts, 8, order)
    assert model.order == order
    for before in ((BEGIN, BEGIN, BEGIN, BEGIN), (BEGIN, BEGIN, 3, 4), (7, 3, 4, 7)):
        p = np.exp(model.log_prob(*before[5 - order :], np.arange(END, 8)))
        assert p.min() > 0
        assert p.sum() == pytest.approx(1)


def test_longer_histories_tell_more_where_they_matter():
    rng = np.random.default_rng(0)
    texts = [[3, a, a, a, 4] if rng.random() < 0.5 else [5, a, a, a, 6] for a in rng.integers(7, 9, 60)]
    p = {n: np.exp(Ngrams.learn(texts, 9, n).score([3, 7, 7, 7, 4])) for n in (2, 3, 5)}
    assert p[5] > 1.5 * p[3] > 0
    again = Ngrams.restored(9, Ngrams.learn(texts, 9, 5).arrays())
    assert (again.order, np.exp(again.score([3, 7, 7, 7, 4]))) == (5, p[5])
