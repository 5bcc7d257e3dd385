"""Counts against hand-worked numbers; probabilities that sum to one."""

import numpy as np
import pytest

from narrows.evaluate.ngrams import compare_text, ngram_log_probs


def test_hand_worked():
    # a b a a: a 3 of 4, and 2 different tokens are seen; after a: b once, a once
    train, a, b = np.array([0, 1, 0, 0]), 0, 1
    unigram = {a: (3 + 2 / 3) / 6, b: (1 + 2 / 3) / 6, 2: (0 + 2 / 3) / 6}
    for token, p in unigram.items():
        assert np.exp(ngram_log_probs(train, np.array([token]), 3, 1))[0] == pytest.approx(p)
    # `train` ends with a, after which came 2 tokens, 2 of them different
    for token, p in unigram.items():
        found = np.exp(ngram_log_probs(train, np.array([token]), 3, 2))[0]
        assert found == pytest.approx(((token != 2) + 2 * p) / 4)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_whatever_came_before(order: int):
    random = np.random.default_rng(0)
    train = random.integers(0, 6, 500).astype(np.uint8)
    for end in ([0, 1, 2, 3], [7, 7, 7, 7], [5, 7, 1, 0]):
        before = np.concatenate([train, end])
        total = sum(np.exp(ngram_log_probs(before, np.array([w]), 8, order))[0] for w in range(8))
        assert total == pytest.approx(1)


def test_every_token_is_judged_once_and_needs_no_long_text():
    train, test = np.array([0]), np.array([0, 1, 1, 0])
    assert ngram_log_probs(train, test, 2, 3).shape == (4,)
    whole = ngram_log_probs(np.arange(50) % 7, np.arange(50, 60) % 7, 7, 3)
    assert np.exp(whole).min() > 0.7  # nothing but what was seen


def test_a_comparison_says_who_is_better():
    random = np.random.default_rng(1)
    tokens = random.integers(0, 4, 4000)
    found = compare_text(1.0, tokens[:3000], tokens[3000:], 4, kind="characters")
    assert found.better
    assert [row.name for row in found.rows] == ["model", "unigram", "bigram", "trigram", "5-gram"]
    assert found.rows[1].perplexity == pytest.approx(4, rel=0.02)
    assert "Held-out perplexity 2.718 per character, better than" in found.sentence()
    worse = compare_text(3.0, tokens, tokens, 4, kind="words", held_out=False)
    assert "no better than" in worse.sentence()
    assert "flatters" in worse.sentence()
