"""Preferences: the loss by hand, the step, and a model that learns to do without a word."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import narrows
from narrows import LanguageModel, networks
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators import NotFitted, drift, prefer, preference
from narrows.estimators._shared import draw_seed
from narrows.models.preference import PreferenceStep, preference_loss, reply_log_probs, rows_of
from narrows.training import Training
from narrows.training.seeds import hash_seed

PLACES = ["basel", "bern", "chur", "zug", "thun", "sion"]


def reports(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"in {rng.choice(PLACES)} it is {'very ' if rng.random() < 0.5 else ''}{rng.choice(['cold', 'warm', 'wet'])}"
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def model():
    training = Training(epochs=12, learning_rate=1e-2, batch_size=16)
    made = LanguageModel(networks.Recurrent(hidden=24, dropout=0.2), tokens="words", training=training, random_state=0)
    return made.fit(reports(200))


@pytest.fixture(scope="module")
def tuned(model):
    pairs = [(f"in {place} it is", mood, f"very {mood}") for place in PLACES[:4] for mood in ("cold", "warm", "wet")]
    return prefer(model, pairs * 8, training=Training(epochs=6, batch_size=16, learning_rate=1e-3), random_state=0)


def test_the_loss_by_hand():
    ratios = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0]], dtype=torch.double)
    found = preference_loss(ratios, 0.5)
    by_hand = [math.log(2), math.log(1 + math.exp(-0.5 * 2)), math.log(1 + math.exp(0.5 * 4))]
    assert found.tolist() == pytest.approx(by_hand)


def test_its_gradient_pushes_the_better_up_and_the_worse_down():
    ratios = torch.tensor([[1.0, 0.5]], dtype=torch.double, requires_grad=True)
    preference_loss(ratios, 0.1).sum().backward()
    share = 0.1 / (1 + math.exp(0.1 * 0.5))  # β σ(β (r_l − r_w))
    assert ratios.grad.tolist() == [pytest.approx([-share, share])]


def test_a_reply_has_its_log_probability_given_the_prompt(model):
    encode = model.format_.encode
    start, prompt, replies = [model.format_.end], encode("in bern it is").tolist(), ["very cold", "wet"]
    rows = rows_of([(start + prompt, *(encode(r).tolist() for r in replies))])
    with torch.inference_mode():
        found = reply_log_probs(model.module_, rows)[0]
        whole = [start + prompt + encode(r).tolist() for r in replies]
        for k, tokens in enumerate(whole):
            values = torch.tensor(tokens).float().reshape(1, -1, 1)
            by_step = model.module_(narrows._types.Rows(values)).log_prob(values)[0, len(start + prompt) :]
            assert found[k].item() == pytest.approx(by_step.sum().item(), abs=1e-4)


def test_nothing_has_moved_at_the_beginning_and_dropout_stays_off(model):
    encode = model.format_.encode
    rows = rows_of([(encode("in bern it is").tolist(), encode("wet").tolist(), encode("very wet").tolist())] * 3)
    rows = rows.replace(target=reply_log_probs(model.module_, rows).detach())
    step = PreferenceStep(model.module_, 0.1).train()
    assert model.module_.training
    losses = [step(rows.tensors(), torch.zeros(()))["loss"].item() for _ in range(2)]
    model.module_.eval()
    assert losses == [pytest.approx(math.log(2), abs=1e-5)] * 2


def test_it_does_without_the_word_where_it_was_never_told_and_drifts_little(model, tuned):
    prompts = [f"in {place} it is" for place in PLACES[4:] for _ in range(40)]

    def share(m) -> float:
        return float(np.mean(["very" in m.generate(p, 4, random_state=i) for i, p in enumerate(prompts)]))

    before, after = share(model), share(tuned)
    assert before > 0.2
    assert after < before / 2
    assert drift(model, model, prompts[:5], 4, random_state=0) == 0
    assert 0 < drift(tuned, model, prompts[:60], 4, random_state=0) < 1
    calm = [text for text in reports(60) if "very" not in text]
    assert tuned.perplexity(calm) < 1.15 * model.perplexity(calm)


def test_the_model_given_stays_and_the_same_seed_gives_the_same_model(model, tmp_path):
    before = {n: t.clone() for n, t in model.module_.state_dict().items()}
    state = torch.get_rng_state()
    pairs, training = [("in bern it is", "wet", "very wet"), ("in zug it is", "cold", "very cold")], Training(epochs=3)
    one, two = (prefer(model, pairs, training=training, random_state=1) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    after = model.module_.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)
    states = one.module_.state_dict(), two.module_.state_dict()
    assert all(torch.equal(states[0][n], states[1][n]) for n in before)
    assert any(not torch.equal(states[0][n], before[n]) for n in before)
    again = narrows.load(one.save(tmp_path / "model"))
    assert again.generate("in bern", 5, random_state=0) == one.generate("in bern", 5, random_state=0)
    assert "better and a worse" in again.reasons_[-1]


def test_replies_end_where_the_models_texts_end(model):
    rows, end = preference._rows(model, [("in bern it is", "wet", "very wet")] * 2), model.format_.end
    for k, reply in enumerate(("wet", "very wet")):
        tokens = rows.values[0, :, k][rows.observed[0, :, k]].tolist()
        assert tokens == [*model.format_.encode(reply).tolist(), end]
    whole = LanguageModel(networks.Recurrent(hidden=8), training=Training(epochs=1), random_state=0)
    whole.fit("so it goes. " * 40)  # one text has no end
    assert preference._reply(whole, "goes. ") == whole.format_.encode("goes. ").tolist()


def test_drift_looks_at_the_end_of_what_was_written_too(model, tuned):
    encode, end = model.format_.encode, model.format_.end
    begun = [end, *encode("in bern it is").tolist()]
    tokens = preference._written(model, begun, 20, draw_seed(3))
    assert tokens[-1] == end
    assert end not in tokens[:-1]
    assert model.format_.decode(tokens).split() == model.generate("in bern it is", 20, random_state=3).split()
    assert len(preference._written(model, begun, 1, 0)) == 1
    made = preference._written(tuned, begun, 20, draw_seed(hash_seed(draw_seed(0), 0) % 2**32))
    text = model.format_.decode([*begun, *made])
    own, other = tuned.score_samples([text])[0], model.score_samples([text])[0]
    known = [sum(m._log_probs(np.array(begun))[1:]) for m in (tuned, model)]
    by_hand = ((own - known[0]) - (other - known[1])) / len(made)
    assert drift(tuned, model, ["in bern it is"], 20, random_state=0) == pytest.approx(by_hand, abs=1e-5)


def test_bad_input_is_refused_in_words(model):
    pair = ("in bern it is", "wet", "very wet")
    with pytest.raises(NotFitted, match="fit"):
        prefer(LanguageModel(), [pair] * 2)
    for beta in (0.0, -1.0, "0.1"):
        with pytest.raises(InvalidParameter, match="beta"):
            prefer(model, [pair] * 2, beta=beta)
    for wrong in ([], [pair], [("a", "b")] * 2, [("in bern", " ", "wet")] * 2, ["abc"] * 2):
        with pytest.raises(InvalidData, match=r"pairs|no pair|without any"):
            prefer(model, wrong)
    with pytest.raises(InvalidData, match="no prompts"):
        drift(model, model, [])
    with pytest.raises(InvalidData, match="give strings"):
        drift(model, model, [3])
    with pytest.raises(InvalidParameter, match="length"):
        drift(model, model, ["in bern"], 0)
