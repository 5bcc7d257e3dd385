"""Words in text, words that look alike, and the search for the likeliest sentence."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from narrows.language.lattice import Edge, gain, score, search
from narrows.language.lexicon import Lexicon
from narrows.language.ngrams import SPECIAL, Ngrams
from narrows.language.words import like, pieces


def test_text_is_cut_into_words_numbers_and_marks_that_can_be_put_back():
    text = "It's 5 o'clock, U.S. third-quarter e-mail: me@x.org  3.5% don’t <unk> a1b «é»_"
    found = pieces(text)
    assert [p.text for p in found if p.kind == "word"] == [
        *("It", "o'clock", "U.S", "third-quarter", "e-mail", "don’t", "é"),
    ]
    assert [p.text for p in found if p.kind == "number"] == ["5", "3.5", "a1b"]
    assert {"'s", "me@x.org", "<unk>", "%", "«"} <= {p.text for p in found if p.kind == "mark"}
    assert all(text[p.start : p.end] == p.text for p in found)
    rest = "".join(c for i, c in enumerate(text) if not any(p.start <= i < p.end for p in found))
    assert not rest.strip()
    assert next(p for p in found if p.text == "don’t").token == "don't"


def test_words_with_digits_or_underlines_in_them_are_not_torn_apart():
    found = pieces("covid19 is x2y _new_ snake_case 3rd-rate well-known4")
    assert [(p.text, p.kind) for p in found] == [
        *(("covid19", "number"), ("is", "word"), ("x2y", "number")),
        *(("_", "mark"), ("new", "word"), ("_", "mark"), ("snake_case", "mark")),
        *(("3rd", "number"), ("-", "mark"), ("rate", "word"), ("well", "word"), ("-", "mark"), ("known4", "number")),
    ]


def test_a_long_run_without_spaces_is_cut_quickly():
    began = time.perf_counter()
    assert [p.text for p in pieces("a-" * 20_000)] == ["a-" * 19_999 + "a", "-"]
    assert len(pieces("(" * 40_000)) == 40_000
    assert len(pieces("me@" * 10_000)) == 20_000
    assert [p.text for p in pieces("write to me.too@x.org!")] == ["write", "to", "me.too@x.org!"]
    assert time.perf_counter() - began < 5


def test_a_word_takes_the_case_of_another():
    assert [like("boston", w) for w in ("bostin", "Bostin", "BOSTIN", "B", "bOSTIN")] == [
        *("boston", "Boston", "BOSTON", "Boston", "boston"),
    ]


@pytest.mark.parametrize("written", ["teh", "wether", "bostin", "fisical", "rainnig", "recieve"])
def test_near_words_are_found_among_many(written):
    rng = np.random.default_rng(0)
    meant = ["the", "weather", "boston", "physical", "raining", "receive"]
    made = {"".join(rng.choice(list("abcdefghiklmnoprstuwy"), n)) for n in rng.integers(3, 10, 5000)}
    lexicon = Lexicon([*meant, *sorted(made - set(meant))])
    found = [lexicon.words[i] for i in lexicon.near(written, 60)]
    assert len(found) == 60
    right = {"teh": "the", "wether": "weather", "bostin": "boston", "fisical": "physical"}
    assert {**right, "rainnig": "raining", "recieve": "receive"}[written] in found


def test_a_word_is_not_near_itself_and_nothing_is_near_nothing():
    lexicon = Lexicon(["abc", "abd"])
    assert lexicon.near("abc", 5).tolist() == [1]
    assert lexicon.near("§", 5).tolist() == []


def test_the_search_finds_the_best_of_all_readings():
    rng = np.random.default_rng(0)
    model = Ngrams.learn([rng.integers(SPECIAL, 10, 6) for _ in range(40)], 10)
    length = 4
    edges = [
        Edge(i, i + 1, (int(t),), float(rng.normal()), (str(t),))
        for i in range(length)
        for t in rng.choice(np.arange(SPECIAL, 10), 3, replace=False)
    ]
    edges += [Edge(1, 3, (4,), -0.1, ("joined",)), Edge(2, 3, (5, 6), 0.3, ("five", "six"))]

    def ways(place: int):
        if place == length:
            yield ()
        for edge in edges:
            if edge.start == place:
                yield from ((edge, *rest) for rest in ways(edge.end))

    best = max(ways(0), key=lambda path: score(path, model, 0.7))
    found = search(edges, length, model, width=10_000, weight=0.7)
    assert found[0].edges == best
    assert found[0].score == pytest.approx(score(best, model, 0.7))
    assert len(found) == len({tuple(e.tokens for e in p.edges)[-2:] for p in found})
    assert all(a.score >= b.score for a, b in itertools.pairwise(found))
    for path in found[:50]:
        for place, edge in enumerate(path.edges):
            instead = next(([e] for e in edges if (e.start, e.end) == (edge.start, edge.end) and e != edge), None)
            if instead is None:  # two for one that reads both
                instead = [
                    next(e for e in edges if (e.start, e.end) == (i, i + 1)) for i in range(edge.start, edge.end)
                ]
            other = (*path.edges[:place], *instead, *path.edges[place + 1 :])
            whole = score(path.edges, model, 0.7) - score(other, model, 0.7)
            assert gain(path.edges, place, instead, model, 0.7) == pytest.approx(whole)
    narrow = search(edges, length, model, width=1, weight=0.7)
    assert narrow[0].score <= found[0].score + 1e-9
