"""Strategies against hand-worked numbers and brute force, on models that are tables of probabilities."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from narrows._part import Part
from narrows.errors import InvalidParameter
from narrows.language import Beam, Greedy, Sample, Strategy, probabilities


class Chain:
    """A model whose next token depends on the last two; its state is the tokens themselves."""

    def __init__(self, vocabulary: int, alive: int | None = None, seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        self.table = 2 * torch.randn(vocabulary + 1, vocabulary + 1, vocabulary, generator=random)
        if alive is not None:
            self.table[..., alive:] = -torch.inf
        self.vocabulary, self.calls = vocabulary, 0

    def begin(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pad = torch.full((len(tokens), 2), self.vocabulary)
        state = torch.cat([pad, tokens], dim=1)
        return self.table[state[:, -2], state[:, -1]], state

    def advance(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        state = torch.cat([state, tokens.unsqueeze(1)], dim=1)
        return self.table[state[:, -2], state[:, -1]], state

    def reorder(self, state: Tensor, index: Tensor) -> Tensor:
        return state[index]

    def log_p(self, tokens: tuple[int, ...], prompt: tuple[int, ...] = ()) -> float:
        total, seen = 0.0, [self.vocabulary, self.vocabulary, *prompt]
        for token in tokens:
            total += float(self.table[seen[-2], seen[-1]].double().log_softmax(-1)[token])
            seen.append(token)
        return total


NOTHING = torch.zeros(0, dtype=torch.long)


def test_softmax_with_temperature_is_the_formula():
    x = torch.tensor([1.0, 2.0, 4.0])
    for t in (0.01, 0.25, 1.0, 1.5, 7.0):
        # largest first, so that the formula itself does not overflow
        hand = [math.exp((v - 4.0) / t) for v in x.tolist()]
        torch.testing.assert_close(probabilities(x, t), torch.tensor(hand, dtype=torch.double) / sum(hand))
    hand = torch.tensor([math.exp(0.5), math.exp(1.0), math.exp(2.0)], dtype=torch.double)
    torch.testing.assert_close(probabilities(x, 2.0), hand / hand.sum())


def test_as_the_temperature_goes_to_nothing_the_likeliest_takes_all():
    x = torch.tensor([3.0, 1e4, -2.0])
    assert probabilities(x, 1e-300).tolist() == [0.0, 1.0, 0.0]
    model = Chain(9)
    greedy = list(Greedy().stream(model, NOTHING, 30))
    assert list(Sample(temperature=1e-9).stream(model, NOTHING, 30, seed=5)) == greedy
    assert greedy[0] == int(model.table[9, 9].argmax())


def test_draws_have_the_probabilities_of_the_formula():
    model = Chain(6)
    wanted = probabilities(model.table[6, 6], 0.7)
    drawn = [next(Sample(temperature=0.7).stream(model, NOTHING, 1, seed=s)) for s in range(4000)]
    found = torch.bincount(torch.tensor(drawn), minlength=6) / 4000
    torch.testing.assert_close(found.double(), wanted, atol=0.025, rtol=0)


def test_top_k_and_top_p_keep_what_they_say():
    logits = torch.tensor([0.1, 0.2, 0.4, 0.3]).log()
    torch.testing.assert_close(
        Sample(top_k=2).probabilities(logits), torch.tensor([0, 0, 4 / 7, 3 / 7], dtype=torch.double)
    )
    # 0.4 alone does not reach 0.5; with 0.3 it does
    torch.testing.assert_close(
        Sample(top_p=0.5).probabilities(logits), torch.tensor([0, 0, 4 / 7, 3 / 7], dtype=torch.double)
    )
    assert Sample(top_p=0.39).probabilities(logits).tolist() == [0, 0, 1, 0]
    assert Sample(top_k=1, temperature=3.0).probabilities(logits).tolist() == [0, 0, 1, 0]
    torch.testing.assert_close(Sample(top_k=99, top_p=1.0).probabilities(logits), logits.double().exp())


def test_the_probability_that_suffices_counts_only_what_top_k_left():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    # of 4/7 and 3/7 the first is enough for 0.5, though 0.4 of all would not be
    assert Sample(top_k=2, top_p=0.5).probabilities(logits).tolist() == [1, 0, 0, 0]


def test_equal_seeds_give_equal_tokens_and_leave_the_callers_generator_alone():
    model = Chain(12)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again, other = (list(Sample().stream(model, NOTHING, 40, seed=s)) for s in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_tokens_come_one_by_one():
    model = Chain(5)
    stream = Sample().stream(model, torch.tensor([1, 2]), 100)
    next(stream)
    assert model.calls == 0
    next(stream)
    assert model.calls == 1


@pytest.mark.parametrize("strategy", [Greedy(), Sample(), Beam(width=2)], ids=lambda s: type(s).__name__)
def test_the_end_mark_ends_and_is_not_given(strategy: Strategy):
    model = Chain(4)
    model.table[:] = -torch.inf
    model.table[4, 1, 2] = model.table[1, 2, 0] = model.table[2, 0, 3] = 0.0
    assert list(strategy.stream(model, torch.tensor([1]), 50, stop=3)) == [2, 0]
    assert list(strategy.stream(model, torch.tensor([1]), 1, stop=3)) == [2]


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_drops_nothing_finds_the_likeliest_text(seed: int):
    # 3 tokens live, so 27 beginnings of 3 tokens are all that there are
    model = Chain(27, alive=3, seed=seed)
    prompt = (1, 0)
    best = max(itertools.product(range(3), repeat=4), key=lambda y: model.log_p(y, prompt))
    found, score = Beam(width=27).search(model, torch.tensor(prompt), 4)
    assert tuple(found) == best
    assert score == pytest.approx(model.log_p(best, prompt), rel=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_weighs_texts_of_unequal_length_as_its_penalty_says(seed: int, penalty: float):
    model, stop = Chain(27, alive=3, seed=seed), 2
    ended = [(*y, stop) for n in range(4) for y in itertools.product(range(2), repeat=n)]
    whole = list(itertools.product(range(2), repeat=4))
    best = max([*ended, *whole], key=lambda y: model.log_p(y) / len(y) ** penalty)
    found, score = Beam(27, penalty).search(model, NOTHING, 4, stop)
    assert tuple(found) == tuple(t for t in best if t != stop)
    assert score == pytest.approx(model.log_p(best) / len(best) ** penalty, rel=1e-6)


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_no_worse_here():
    model = Chain(20, seed=3)
    greedy = list(Greedy().stream(model, NOTHING, 6))
    assert list(Beam(width=1).stream(model, NOTHING, 6)) == greedy
    wide, score = Beam(width=20).search(model, NOTHING, 6)
    assert score >= model.log_p(tuple(greedy)) - 1e-6
    assert score == pytest.approx(model.log_p(tuple(wide)), rel=1e-6)


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0])
def test_a_temperature_that_is_no_temperature_leads_to_greedy(temperature: float):
    with pytest.raises(InvalidParameter, match=r"above 0.*Greedy\(\)"):
        Sample(temperature=temperature).stream(Chain(4), NOTHING, 3)


def test_a_beam_over_the_vocabulary_is_told_how_wide_it_may_be():
    with pytest.raises(InvalidParameter, match=r"width=5.*4 tokens.*Beam\(width=4\)"):
        list(Beam(width=5).stream(Chain(4), NOTHING, 3))


@pytest.mark.parametrize(
    "strategy",
    [Sample(top_k=0), Sample(top_p=0.0), Sample(top_p=1.5), Beam(width=0), Beam(length_penalty=-1.0)],
    ids=["top_k", "top_p-0", "top_p-1.5", "width", "penalty"],
)
def test_other_parameters_that_mean_nothing(strategy: Strategy):
    with pytest.raises(InvalidParameter, match="it must be"):
        strategy.stream(Chain(4), NOTHING, 3)


def test_no_tokens_is_no_length():
    with pytest.raises(InvalidParameter, match="at least 1"):
        Greedy().stream(Chain(4), NOTHING, 0)


def test_words_of_the_command_line():
    assert Strategy.parse("beam:width=3,length-penalty=0.5") == Beam(3, 0.5)
    assert Strategy.parse("Greedy") == Greedy()
    with pytest.raises(InvalidParameter, match="Greedy"):
        Strategy.parse("sample:temperature=0")
    assert Part.from_config(Sample(0.5, top_p=0.9).to_config()) == Sample(0.5, top_p=0.9)


def test_a_temperature_is_a_finite_number():
    with pytest.raises(InvalidParameter, match="a number above 0"):
        Sample(temperature=float("inf")).check()
