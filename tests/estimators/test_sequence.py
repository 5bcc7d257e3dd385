"""Texts from texts: reversed and copied exactly, mended when damaged, the same whatever stands beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import narrows
from narrows import SequenceToSequence, corruptions
from narrows._types import Layout, Rows
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators import NotFitted
from narrows.language import Beam, Greedy
from narrows.models.sequence import GONE, Reply, SequenceModule
from narrows.networks import Recurrent, Transformer
from narrows.training import Training


def strings(n: int, seed: int, most: int = 7) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefgh"), k)) for k in rng.integers(1, most + 1, n)]


@pytest.fixture(scope="module")
def reverser():
    texts, training = strings(600, 0), Training(epochs=26, learning_rate=5e-3, batch_size=32)
    return SequenceToSequence(width=48, training=training, random_state=0).fit(texts, [t[::-1] for t in texts])


def test_it_learns_to_reverse_strings_that_it_never_saw(reverser):
    held = sorted(set(strings(60, 1)) - set(strings(600, 0)))
    assert len(held) > 20
    made = reverser.predict(held)
    assert np.mean([a == b[::-1] for a, b in zip(made, held, strict=True)]) >= 0.95
    assert reverser.predict(held[:9], Greedy()) == [t[::-1] for t in held[:9]]


def test_it_beats_its_untrained_self_and_a_wrong_answer(reverser):
    texts = strings(20, 2)
    right = [t[::-1] for t in texts]
    assert reverser.score(texts, right) > reverser.untrained().score(texts, right) + 3
    scores = reverser.score_samples(["abcd", "abcd"], ["dcba", "abcd"])
    assert scores[0] > scores[1] + 3


def test_a_text_has_its_reply_and_score_whatever_stands_beside_it(reverser):
    texts = ["ab", "abcd", "e"]
    assert reverser.predict(texts) == [reverser.predict([t])[0] for t in texts]
    assert reverser.score_samples(texts).tolist() == [reverser.score_samples([t])[0] for t in texts]


def test_a_reply_step_by_step_is_what_all_steps_at_once_say(reverser):
    module, rows = reverser.module_, reverser._rows(["abcd"])
    tokens = reverser.format_.encode("dcb")
    before = torch.cat([torch.tensor([module.size]), torch.from_numpy(tokens)]).unsqueeze(0)
    with torch.inference_mode():
        whole = module(rows, before)[0]
        reply = Reply(module, rows)
        logits, state = reply.begin(torch.zeros(2, 0, dtype=torch.long))
        torch.testing.assert_close(logits, whole[:1].expand(2, -1))
        for place, token in enumerate(tokens):
            state = reply.reorder(state, torch.tensor([1, 0]))
            logits, state = reply.advance(torch.tensor([token, token]), state)
            torch.testing.assert_close(logits, whole[place + 1].expand(2, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "network", [Recurrent(hidden=16), Transformer(layers=1, heads=2, width=16)], ids=["rnn", "attn"]
)
def test_no_step_looks_ahead_and_what_does_not_exist_is_not_seen(network):
    torch.manual_seed(0)
    module = SequenceModule(Layout((6, 1), (5,), ragged=True), network, 16).eval()
    values, lengths = torch.randint(0, 5, (3, 6, 1)).float(), torch.tensor([6, 3, 0])
    before = torch.randint(0, 6, (3, 5))
    logits = module(Rows(values, lengths=lengths), before)
    assert logits.isfinite().all()
    later = before.clone()
    later[:, 3:] = (later[:, 3:] + 1) % 6
    torch.testing.assert_close(module(Rows(values, lengths=lengths), later)[:, :3], logits[:, :3])
    behind = values.clone()
    behind[1, 3:], behind[2] = 4, 2
    torch.testing.assert_close(module(Rows(behind, lengths=lengths), before), logits)
    other = values.clone()
    other[0, 5] = (other[0, 5] + 1) % 5
    assert not torch.allclose(module(Rows(other, lengths=lengths), before)[0], logits[0])


def test_texts_alone_teach_it_to_mend_damaged_ones():
    words = ["weather", "boston", "station", "together", "friend", "meeting", "morning", "eleven", "garden", "window"]
    training = Training(epochs=16, learning_rate=1e-2, batch_size=32)
    texts = [w for w in words for _ in range(40)]
    model = SequenceToSequence(width=32, corruption=corruptions.Slips(0.2), training=training, random_state=0).fit(
        texts
    )
    damaged = ["wether", "bostno", "xtation", "togeher", "freind", "metting", "mroning", "elevn", "gardxn", "winodw"]
    made = model.predict(damaged)
    assert sum(a == b for a, b in zip(made, words, strict=True)) >= 8  # doing nothing mends none


def test_a_mask_of_ragged_targets_counts_no_step_behind_the_end(reverser):
    from narrows.models.sequence import SequenceStep

    rows = reverser._rows(["ab", "abcd"])
    end = reverser.format_.end
    target = torch.full((2, 6), GONE)
    target[0, :3] = torch.tensor([*reverser.format_.encode("ba"), end])
    target[1, :5] = torch.tensor([*reverser.format_.encode("dcba"), end])
    step = SequenceStep(reverser.module_, None, end).eval()
    loss = step({**rows.tensors(), "target": target}, torch.zeros(()))["loss"]
    scores = reverser.score_samples(["ab", "abcd"], ["ba", "dcba"])
    assert loss.item() == pytest.approx(-(scores[0] / 3 + scores[1] / 5) / 2, rel=1e-4)


def test_the_same_seed_gives_the_same_model_and_files_keep_it(tmp_path):
    texts, training = strings(60, 0), Training(epochs=2)
    state = torch.get_rng_state()
    one, two = (SequenceToSequence(width=16, training=training, random_state=3).fit(texts) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert one.predict(texts[:4]) == two.predict(texts[:4])
    again = narrows.load(one.save(tmp_path / "model"))
    assert again.predict(texts[:4]) == one.predict(texts[:4])
    assert again.score_samples(texts[:4]).tolist() == one.score_samples(texts[:4]).tolist()
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".json", ".md", ".safetensors"}


def test_texts_may_lie_in_a_file_a_folder_or_a_table(reverser, tmp_path):
    expected = pytest.approx(reverser.score_samples(["ab", "dce", "eda"]), rel=1e-5)
    (tmp_path / "all.txt").write_text("ab\ndce\neda\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("ab\ndce\n")
    (tmp_path / "folder" / "b.txt").write_text("eda")
    (tmp_path / "table.csv").write_text("number,text\n1,ab\n2,dce\n3,eda\n")
    for name in ("all.txt", "folder", "table.csv"):
        assert reverser.score_samples(str(tmp_path / name)) == expected, name
    assert reverser.score_samples("ab\ndce\neda\n") == expected


def test_bad_input_is_refused_in_words(reverser):
    with pytest.raises(NotFitted, match="fit"):
        SequenceToSequence().predict(["a"])
    with pytest.raises(InvalidData, match="give pairs"):
        SequenceToSequence().fit(["a", "b"], ["a"])
    with pytest.raises(InvalidData, match="give pairs"):
        SequenceToSequence().fit(["a"])
    with pytest.raises(InvalidParameter, match="width"):
        SequenceToSequence(width=0).fit(["a", "b"])
    with pytest.raises(InvalidData, match="longest in training"):
        reverser.predict(["abcdeabcde"])
    with pytest.raises(InvalidParameter, match="beam"):
        reverser.predict(["ab"], Beam(width=50))


def test_blanks_take_their_partners_with_them_and_are_refused_where_every_text_needs_an_answer():
    from narrows.estimators.sequence import _pairs

    assert _pairs(["ab", None, "cd", "ef"], ["ba", "xx", float("nan"), "fe"]) == (["ab", "ef"], ["ba", "fe"])
    assert _pairs([None, "cd", "ef"], None) == (["cd", "ef"], ["cd", "ef"])
    for texts, replies in ((["a", "b", None], ["a", "b"]), (["a", None, "c"], ["a", "b", None])):
        with pytest.raises(InvalidData, match="give pairs"):
            SequenceToSequence().fit(texts, replies)


def test_a_blank_text_has_no_answer(reverser):
    with pytest.raises(InvalidData, match="text 1 is blank"):
        reverser.predict(["ab", None, "cd"])
    with pytest.raises(InvalidData, match="text 0 is blank"):
        reverser.score_samples(["ab", "cd"], [None, "dc"])
