"""Language models: what they learn, what they write, and what is said of texts that they cannot use."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import narrows
from narrows import LanguageModel, Training
from narrows.data import Text
from narrows.errors import DataWarning, InvalidData, InvalidParameter, TrainingWarning, UnreadableFile
from narrows.estimators import NotFitted
from narrows.evaluate.ngrams import ngram_log_probs
from narrows.language import Beam, Greedy, Sample
from narrows.networks import Recurrent, Transformer

NETWORKS = {
    "recurrent": Recurrent(hidden=48),
    "transformer": Transformer(layers=2, heads=2, width=32),
}


def tale(sentences: int, seed: int) -> str:
    """Sentences whose verb follows from their subject, two words before: counting pairs cannot know."""
    deeds = {"dog": "barks", "cat": "sleeps", "owl": "watches", "fox": "runs"}
    choose = random.Random(seed)
    animals = [choose.choice(list(deeds)) for _ in range(sentences)]
    return "".join(f"the {a} {choose.choice(['often', 'never'])} {deeds[a]}. " for a in animals)


TRAIN, TEST = tale(260, 0), tale(40, 1)


def model_of(network: str = "recurrent", epochs: int = 8, **params) -> LanguageModel:
    training = Training(epochs=epochs, batch_size=16, learning_rate=1e-2)
    return LanguageModel(NETWORKS[network], context=24, training=training, random_state=0, **params)


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return model_of(request.param).fit(TRAIN)


@pytest.fixture(scope="module")
def one():
    return model_of(epochs=2).fit(TRAIN)


# --- learning --------------------------------------------------------------------------------------------------


def test_it_beats_counts_and_its_own_untrained_self_on_text_it_has_not_seen(model):
    seen, judged = model.format_.read(TRAIN), model.format_.read(TEST)
    unigram, bigram = (math.exp(-ngram_log_probs(seen, judged, model.format_.size, n).mean()) for n in (1, 2))
    found = model.perplexity(TEST)
    assert 1 < found < 0.8 * bigram < bigram < unigram
    assert found < 0.3 * model.untrained().perplexity(TEST)
    # four animals, two adverbs, 8 choices in some 21 characters: no model can be surer than this
    assert found > math.exp(math.log(8) / 22)


def test_training_changes_every_weight(model):
    before = model.untrained().module_.state_dict()
    for name, value in model.module_.named_parameters():
        assert not torch.equal(before[name], value), name


def test_the_loss_is_in_nats_per_token_and_falls(model):
    history = model.history_
    assert history.unit == "nats per token"
    assert history["loss"][0] > history["loss"][-1]
    assert history["validation_loss"][-1] < math.log(5)
    assert any("held out" in reason for reason in model.reasons_)


def test_equal_seeds_give_equal_models_and_leave_the_callers_generators_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (model_of(epochs=1).fit(TRAIN[:2000]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.module_.parameters(), again.module_.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_the_data_chooses_what_is_left_open():
    model = LanguageModel(training=Training(epochs=1), windows=8, random_state=0).fit(TRAIN)
    assert isinstance(model.choices_.network, (Recurrent, Transformer))
    assert model.format_.context == 128


# --- judging ---------------------------------------------------------------------------------------------------


def test_a_blank_text_has_no_score_and_moves_no_other(one):
    with pytest.raises(InvalidData, match="text 1 is blank"):
        one.score_samples(["the", None, "cat"])
    assert one.score_samples(["the", "", "cat"])[1] == 0
    assert one.perplexity(["the", None, "cat"]) == one.perplexity(["the", "cat"])


def test_of_a_text_without_tokens_only_the_end_is_judged():
    model = model_of(epochs=1).fit(["the dog barks", "the cat sleeps"] * 20)
    assert model.score_samples(["", "the"])[0] < 0


def test_the_perplexity_is_what_stepping_through_the_text_says(model):
    text = TEST[:20]
    reader, tokens = model.next_token(), model.format_.encode(text).tolist()
    reader.banned = []
    logits, state = reader.begin(torch.zeros(1, 0, dtype=torch.long))
    total = 0.0
    with torch.inference_mode():
        for token in tokens:
            total += float(logits.double().log_softmax(-1)[0, token])
            logits, state = reader.advance(torch.tensor([token]), state)
    assert model.score_samples([text])[0] == pytest.approx(total, abs=1e-3)
    assert model.perplexity(text) == pytest.approx(math.exp(-total / len(tokens)), rel=1e-4)
    assert model.score(text) == pytest.approx(total / len(tokens), abs=1e-4)


def test_every_token_counts_once_in_a_long_text_and_context_is_carried_on(model, monkeypatch):
    from narrows.estimators import language

    whole = model._log_probs(model.format_.read(TEST))
    assert whole.shape == (len(TEST),)
    monkeypatch.setattr(language, "JUDGED", 128)
    monkeypatch.setattr(language, "CARRIED", 64)
    pieces = model._log_probs(model.format_.read(TEST))
    assert pieces.shape == whole.shape
    # what came more than 64 characters before matters little, and first tokens are judged alike
    np.testing.assert_allclose(pieces[:100], whole[:100], atol=1e-3)
    assert abs(pieces.mean() - whole.mean()) < 0.01


def test_a_texts_score_does_not_depend_on_the_others(model):
    texts = ["the dog", TEST[:300], "", "sleeps. the owl often"]
    together = model.score_samples(texts)
    np.testing.assert_allclose(
        together, [*(model.score_samples([t])[0] for t in texts[:2]), 0, *model.score_samples(texts[3:])]
    )
    assert together[2] == 0
    assert len(set(together)) == 4


def test_strange_text_scores_lower(model):
    good, bad, foreign = model.score_samples(
        ["the dog often barks. ", "the dog often sleeps. ", "€h€ d€g €ft€n b€rks. "]
    )
    assert good > bad > foreign


def test_texts_of_a_column_begin_and_end():
    texts = [tale(1, seed).strip() for seed in range(300)]
    model = model_of(epochs=12).fit(pd.Series(texts))
    assert model.format_.ends
    whole, cut_short = model.score_samples(["the dog often barks.", "the dog often"])
    assert whole > cut_short  # a text that ends in the middle is strange
    assert model.generate(length=200, strategy=Greedy()).endswith(".")
    assert len(model.generate(length=200, strategy=Greedy())) < 40
    assert len(model.sample(3, random_state=0)) == 3


# --- writing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Greedy(), Sample(0.8), Sample(1.0, top_k=5, top_p=0.9), Beam(3)], ids=repr)
def test_what_is_kept_from_token_to_token_changes_nothing(model, strategy):
    # longer than a transformer can look back, so that it begins anew on the way
    prompt = torch.from_numpy(model.format_.encode("the owl "))
    kept, again = (list(strategy.stream(model.next_token(cached), prompt, 60, seed=4)) for cached in (True, False))
    assert kept == again


def test_equal_seeds_write_equal_texts(model):
    first, again, other = (model.generate("the ", 50, random_state=s) for s in (1, 1, 2))
    assert first == again != other
    assert len(first) == 50
    assert "".join(model.stream("the ", 50, random_state=1)) == first


def test_it_writes_what_it_has_learnt(model):
    # eight epochs on a small text are enough to end sentences that were begun
    assert model.generate("the dog often ba", 4, Greedy()) == "rks."
    assert model.generate("the cat never sl", 5, Beam(4)) == "eeps."


def test_a_stream_comes_piece_by_piece(model):
    stream = model.stream("the ", 10_000_000, Sample(), random_state=0)
    assert len([next(stream) for _ in range(5)]) == 5


def test_what_is_unknown_is_never_written_and_is_said_when_read(one):
    assert "\ufffd" not in one.generate("the ", 300, Sample(temperature=5.0), random_state=0)
    with pytest.warns(DataWarning, match=r"1 of the prompt's 5 tokens were never seen"):
        one.generate("the €", 3)


@pytest.mark.parametrize("kind", ["words", "byte-pair"])
def test_other_tokens(kind):
    model = model_of(epochs=10, tokens=kind).fit(TRAIN)
    assert model.format_.tokeniser.kind == kind
    written = model.generate("the dog", 12, random_state=0)
    assert written
    assert "<unk>" not in written
    assert model.perplexity(TEST) < 0.5 * model.format_.size


# --- files -----------------------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_model(model, tmp_path: Path):
    again = narrows.load(model.save(tmp_path / "m"))
    assert isinstance(again, LanguageModel)
    assert again.perplexity(TEST) == model.perplexity(TEST)
    assert again.generate("the ", 30, random_state=3) == model.generate("the ", 30, random_state=3)
    assert again.get_params(deep=False) == model.get_params(deep=False)
    assert "log p(text)" in (tmp_path / "m" / "README.md").read_text()


def test_texts_come_from_files_too(one, tmp_path: Path):
    (tmp_path / "a.txt").write_text(TEST)
    assert one.perplexity(str(tmp_path / "a.txt")) == pytest.approx(one.perplexity(TEST))
    fitted = model_of(epochs=1).fit(tmp_path / "a.txt")
    assert fitted.reasons_[0].startswith("text as")


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch):
    whole = model_of(epochs=3).fit(TRAIN)
    partly = model_of(epochs=3).set_params(training__checkpoint=str(tmp_path / "c"), training__checkpoint_every=0)
    from narrows.estimators._language_choices import LanguageStep

    real, calls = LanguageStep.forward, []

    def stop(self, batch, epoch):
        calls.append(1)
        if len(calls) == 40:
            raise MemoryError
        return real(self, batch, epoch)

    monkeypatch.setattr(LanguageStep, "forward", stop)
    with pytest.raises(MemoryError):
        partly.fit(TRAIN)
    monkeypatch.undo()
    partly.fit(TRAIN)
    assert all(torch.equal(a, b) for a, b in zip(whole.module_.parameters(), partly.module_.parameters(), strict=True))


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", [], ["", ""]], ids=repr)
def test_no_text(text, one):
    with pytest.raises(InvalidData, match="the text is empty"):
        model_of().fit(text)
    with pytest.raises(InvalidData, match="empty"):
        one.perplexity(text)


def test_one_token_and_few(tmp_path: Path):
    with pytest.raises(InvalidData, match="single token"):
        model_of().fit("x")
    with pytest.raises(UnreadableFile, match="no file or folder"):
        model_of().fit(tmp_path / "none.txt")
    model = model_of(epochs=1).fit("to be or not to be")
    assert any("the text has only 18" in reason for reason in model.reasons_)
    assert len(model.generate("to", 5)) == 5


def test_nothing_is_left_of_a_fit_that_failed():
    model = model_of()
    with pytest.raises(InvalidData):
        model.fit("")
    with pytest.raises(NotFitted):
        model.perplexity("a")
    assert not hasattr(model, "format_")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"strategy": Sample(temperature=0)}, r"Greedy\(\)"),
        ({"strategy": Sample(temperature=-1.0)}, r"Greedy\(\)"),
        ({"strategy": "greedy"}, r"Greedy\(\), Sample"),
        ({"length": 0}, "at least 1"),
        ({"length": 2.5}, "number of tokens"),
        ({"prompt": 3}, "is no text"),
        ({"random_state": "x"}, "random_state"),
    ],
    ids=["zero", "negative", "word", "none", "half", "number", "seed"],
)
def test_what_cannot_be_written(one, words, match):
    with pytest.raises(InvalidParameter, match=match):
        one.generate(**words)


def test_a_beam_wider_than_the_vocabulary(one):
    with pytest.raises(InvalidParameter, match="wider than the vocabulary"):
        one.generate("the", 3, Beam(width=1000))


def test_what_texts_do_not_have(one):
    with pytest.raises(InvalidParameter, match="no labels"):
        model_of().fit(TRAIN, labels=[1])
    with pytest.raises(InvalidParameter, match="no columns"):
        one.sample(2, where="a > 3")
    with pytest.raises(InvalidParameter, match="no format of text"):
        LanguageModel(format=Text()).set_params(format=narrows.data.Table()).choices()


def test_parameters_by_name():
    model = LanguageModel(tokens="words", context=9).set_params(format__least=1, training__epochs=3)
    assert model.choices().format == Text("words", context=9, least=1)
    assert model.training.epochs == 3


def test_a_loss_that_is_not_finite_is_told(monkeypatch):
    model = model_of(epochs=1).set_params(training__learning_rate=1e30)
    with pytest.raises(narrows.errors.TrainingFailed), pytest.warns(TrainingWarning):
        model.fit(TRAIN)
