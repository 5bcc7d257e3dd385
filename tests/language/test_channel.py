"""The noisy channel: every way of writing a word wrong counts, and examples teach it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from narrows.language.channel import TABLES, Channel

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def by_hand(channel: Channel, typed: str, meant: str) -> float:
    """The same probability by going through all edits one after the other."""
    t, index = channel.tables, {c: i + 1 for i, c in enumerate(channel.letters)}
    a, b = [index[c] for c in typed], [0, *(index[c] for c in meant)]

    def ways(i: int, j: int) -> float:
        """p(what is left of typed from i | what is left of meant behind letter j)."""
        total = float(i == len(a) and j == len(b) - 1)
        if i < len(a):
            total += t["added"][b[j], a[i]].item() * ways(i + 1, j)
        if j + 1 < len(b):
            m = b[j + 1]
            total += t["dropped"][b[j], m].item() * ways(i, j + 1)
            if i < len(a):
                other = t["first" if j == 0 else "rest"][m, a[i]]
                total += (t["same"][m] if m == a[i] else other).item() * ways(i + 1, j + 1)
            if i + 1 < len(a):
                total += t["one_for_two"][m, a[i], a[i + 1]].item() * ways(i + 2, j + 1)
            if j + 2 < len(b) and i < len(a):
                total += t["two_for_one"][m, b[j + 2], a[i]].item() * ways(i + 1, j + 2)
            if j + 2 < len(b) and i + 1 < len(a) and m != b[j + 2] and (a[i], a[i + 1]) == (b[j + 2], m):
                total += t["swapped"][m, b[j + 2]].item() * ways(i + 2, j + 2)
        return total

    return ways(0, 0)


def edited(channel: Channel, meant: str) -> float:
    """The sum over all ways of writing a word but the one that keeps every letter, place by place."""
    t, index = channel.tables, {c: i + 1 for i, c in enumerate(channel.letters)}
    word, kept = [0, *(index[c] for c in meant)], 1.0
    ways = [1 / (1 - t["added"][0].sum().item())]  # letters that do not belong: none, one, two, …
    for j in range(1, len(word)):
        b, m = word[j - 1], word[j]
        alone = (
            t["same"][m] + t["first" if j == 1 else "rest"][m].sum() + t["dropped"][b, m] + t["one_for_two"][m].sum()
        )
        both = t["two_for_one"][b, m].sum() + (t["swapped"][b, m] if b != m else 0) if j > 1 else 0.0
        more = ways[-1] * float(alone) + (ways[-2] * float(both) if j > 1 else 0.0)
        ways.append(more / (1 - t["added"][m].sum().item()))
        kept *= t["same"][m].item()
    return ways[-1] - kept


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bostin", "boston"),
        ("teh", "the"),
        ("fone", "phone"),
        ("a", "a"),
        ("kwik", "quick"),
        ("ab", "z"),
        ("apy", "appy"),
    ],
)
def test_all_ways_are_summed_and_shares_are_of_those_with_an_edit(typed, meant):
    channel = Channel(LETTERS)
    found = channel.log_prob(typed, [meant, "unre", "x"])
    for p, word in zip(found.exp().tolist(), (meant, "unre", "x"), strict=True):
        assert p == pytest.approx(by_hand(channel, typed, word) / edited(channel, word), rel=1e-9)


def test_a_word_has_its_probability_whatever_stands_beside_it():
    channel = Channel(LETTERS)
    words = ["boston", "a", "internationalisation", "bo"]
    together = channel.log_prob("bostin", words)
    assert torch.equal(together, torch.cat([channel.log_prob("bostin", [w]) for w in words]))


@pytest.mark.parametrize("meant", ["b", "ab"])
def test_the_shares_of_all_that_can_be_written_wrong_sum_to_one(meant):
    channel = Channel("ab")
    written = ["".join(w) for n in range(7) for w in itertools.product("abé", repeat=n)]  # é: one that is not known
    total = sum(channel.log_prob(w, [meant]).exp().item() for w in written)
    kept = (channel.tables["same"][1].item() ** len(meant)) / edited(channel, meant)
    assert 0.99 < total - kept < 1 + 1e-9


def test_short_words_are_not_kept_as_they_are_more_often_than_long_ones():
    """A word that is wrong is wrong somewhere: one slip in two letters is no less likely than in ten."""
    channel = Channel(LETTERS)
    short, long = channel.log_prob("nn", ["in"]).item(), channel.log_prob("anternational", ["international"]).item()
    assert short > long


def test_what_is_usual_is_likelier():
    channel = Channel(LETTERS)

    def p(typed, meant):
        return channel.log_prob(typed, [meant]).item()

    assert p("acommodate", "accommodate") > p("acommodate", "bacommodate")  # a doubled letter left out
    assert p("recieve", "receive") > p("recuuve", "receive")  # swapped
    assert p("seperate", "separate") > p("seprrate", "separate")  # a vowel for a vowel
    assert p("hwllo", "hello") > p("hpllo", "hello")  # a key beside
    assert p("fisical", "physical") > p("tisical", "physical")  # as it is heard
    assert p("hello", "hello") > p("hallo", "hello")


def test_examples_teach_it_and_it_forgets_nothing():
    pairs = [
        (w.replace("ee", "ie"), w) for w in ("seen", "keep", "feel", "deep", "week", "queen", "green", "steel")
    ] * 6
    before = Channel(LETTERS)
    after = before.learnt(pairs)
    held = [("niedle", "needle"), ("spied", "speed")]
    for typed, meant in held:
        assert after.log_prob(typed, [meant]).item() > before.log_prob(typed, [meant]).item() + 0.3
    for name in TABLES:
        assert after.tables[name].shape == before.tables[name].shape
        assert after.tables[name].min() >= 0
        assert after.tables[name].max() <= 1 + 1e-9
    torch.testing.assert_close(after.tables["dropped"][-2], before.tables["dropped"][-2])  # nothing was said about z
    assert before.learnt([]) is before


def test_letters_that_are_not_known_are_one_more_letter():
    channel = Channel("ab")
    assert math.isfinite(channel.log_prob("aé", ["ab"]).item())
    assert channel.log_prob("é", ["é"]).item() > channel.log_prob("é", ["a"]).item()
