"""Text is mended where it is wrong, and left alone where it is right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file

import narrows
from narrows import Corrector
from narrows.errors import InvalidData, InvalidParameter, InvalidType, SavedModelError, UnreadableFile
from narrows.estimators import NotFitted
from narrows.estimators._corrector_files import restored

CITIES = ["boston", "austin", "denver", "seattle", "chicago", "houston"]
NAMES = ["ruth", "ludwig", "ursula", "oskar", "fritz", "elsbeth", "bruno", "agnes", "konrad", "hedwig"]
CORPUS = [
    *(f"{name} said that" for name in NAMES),
    *(f"what is the weather like in {city} right now" for city in CITIES * 4),
    *(f"the train to {city} leaves at {n} o'clock, they said" for n, city in enumerate(CITIES * 3)),
    *("we were too late for the meeting", "it's their house, and there is no other", "there were two of them") * 12,
    *("she went to the station together with a friend", "their train is late", "a lot of rain fell there") * 5,
]


@pytest.fixture(scope="module")
def corrector():
    return Corrector().fit(CORPUS)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("what is the weather like in bostin right now", "what is the weather like in boston right now"),
        ("What is the wether like in BOSTEN,  right now?", "What is the weather like in BOSTON,  right now?"),
        ("the trane to Chikago leaves at 17 o'clock", "the train to Chicago leaves at 17 o'clock"),
        ("teh train is lait", "the train is late"),
        ("she went to gether with a freind", "she went together with a friend"),
        ("alot of rain fell there", "a lot of rain fell there"),
        ("it's there house, and there is no other", "it's their house, and there is no other"),
        ("\n\twhat is teh\nweather   liek\n", "\n\twhat is the\nweather   like\n"),
    ],
)
def test_what_is_wrong_is_mended_and_all_else_stays(corrector, written, meant):
    assert corrector.correct(written).text == meant


@pytest.mark.parametrize("text", ["", "  \n", "1, 2, 3…", *CORPUS[:8:3], "the train19 to Ulm leaves at 9"])
def test_what_is_right_stays(corrector, text):
    done = corrector.correct(text)
    assert (done.text, done.changes) == (text, ())


def test_changes_say_where_what_and_why(corrector):
    text = "We were late.\nwhat is the wether like in bostin"
    done = corrector.correct(text)
    assert [(c.written, c.meant) for c in done.changes] == [("wether", "weather"), ("bostin", "boston")]
    for change in done.changes:
        assert text[change.start :].startswith(change.written)
        assert change.gain > 0
        assert not change.known
        assert change.written in change.reason
        assert change.meant in change.reason
    (change,) = corrector.correct("it's there house, and there is no other").changes
    assert change.known
    assert "unlikely one here" in change.reason


def test_lists_give_what_their_texts_give(corrector):
    texts = ["teh train", "the trane to bostin", "the train"]
    together = corrector.correct(texts)
    assert together == [corrector.correct(text) for text in texts]
    assert corrector.transform(texts) == [c.text for c in together]


def test_fewer_expected_errors_mean_fewer_changes():
    text = "she went to the station together with a freund, and there house is there"
    changes = [len(Corrector(error_rate=r).fit(CORPUS).correct(text).changes) for r in (1e-12, 0.3)]
    assert changes[0] < changes[1]


def test_it_beats_doing_nothing_on_words_that_were_spoilt_by_chance(corrector):
    rng = np.random.default_rng(0)
    wrong = mended = right = spoilt = 0
    for line in CORPUS[:42]:
        words = line.replace(",", "").split()
        seen = list(words)
        for i, word in enumerate(words):
            if len(word) > 3 and word.isalpha() and rng.random() < 0.3:
                place = int(rng.integers(1, len(word)))
                seen[i] = word[:place] + str(rng.choice(list("aeionst"))) + word[place + int(rng.integers(0, 2)) :]
        came = corrector.correct(" ".join(seen)).text.split()
        assert len(came) == len(words)
        for meant, written, made in zip(words, seen, came, strict=True):
            wrong, mended = wrong + (meant != written), mended + (meant != written and made == meant)
            right, spoilt = right + (meant == written), spoilt + (meant == written and made != meant)
    assert wrong > 30
    assert mended > 0.9 * wrong
    assert spoilt < 0.01 * right


def test_misspellings_teach_how_words_go_wrong():
    """Whoever writes x for t writes xrain for train; without examples that may as well be the unknown word xrain."""
    pairs = [(w.replace("t", "x"), w) for w in ("tell", "letter", "water", "bottom", "stone", "test", "after") * 5]
    taught = Corrector().fit(CORPUS, misspellings=pairs)
    assert taught.correct("the xrain leaves the sxaxion").text == "the train leaves the station"
    assert "learnt from 35 pairs" in " ".join(taught.reasons_)


def test_it_learns_from_text_that_is_wrong_how_often_it_is():
    noisy = [line.replace("weather", "wheather").replace("what", "wat") for line in CORPUS[10:20]]
    calm, wild = Corrector().fit(CORPUS).adapt(CORPUS[10:20]), Corrector().fit(CORPUS).adapt(noisy)
    assert calm.error_rate_ < 0.02 < wild.error_rate_
    before = Corrector().fit(CORPUS).channel_.log_prob("wheather", ["weather"]).item()
    assert wild.channel_.log_prob("wheather", ["weather"]).item() > before
    assert wild.correct("the wheather is fine").text.startswith("the weather")


def test_a_judge_has_the_last_word(corrector):
    class Likes:
        """Whoever says "two" is right."""

        def score_samples(self, texts):
            return np.array([10.0 * ("two" in text) for text in texts])

    text = "there were tow of them"
    assert corrector.correct(text).text == "there were two of them"
    assert corrector.correct("there were too of them", judge=Likes()).text == "there were two of them"


def test_what_was_saved_is_the_same_and_holds_no_pickles(corrector, tmp_path):
    folder = corrector.save(tmp_path / "model", {"repaired": 0.5})
    again = narrows.load(folder)
    text = "the trane to bostin leaves, she went to gether"
    assert again.correct(text) == corrector.correct(text)
    assert again.get_params() == corrector.get_params()
    assert again.reasons_ == corrector.reasons_
    assert {p.suffix for p in folder.iterdir()} == {".json", ".md", ".safetensors"}


def test_a_changed_file_is_refused(corrector, tmp_path):
    folder = corrector.save(tmp_path / "model")
    path = folder / "model.json"
    content = json.loads(path.read_text())
    for change in (
        *({"words": content["words"][:-1]}, {"letters": "abc"}, {"params": {"error_rate": 7}}),
        *({"error_rate": rate} for rate in (7.0, 0, "0.1", float("nan"), True)),
        {"letters": content["letters"][:-1] + content["letters"][0]},
    ):
        from narrows._saved import checksum

        new = {**content, **change}
        path.write_text(json.dumps({**new, "checksum": checksum(new)}))
        with pytest.raises(SavedModelError):
            narrows.load(folder)


def test_counts_cut_short_or_of_another_kind_are_refused(corrector, tmp_path):
    folder = corrector.save(tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    state = load_file(folder / content["weights"])
    assert restored(content, state).correct("teh train").text == "the train"
    names = [name for name in state if name.startswith("language.")]
    assert len(names) == 9
    for name in names:
        rest = {n: t for n, t in state.items() if n != name}
        for changed in ({}, {name: state[name][:-1]}, {name: state[name].float()}, {name: state[name].flip(0)[None]}):
            with pytest.raises(SavedModelError, match="language"):
                restored(content, {**rest, **changed})
    with pytest.raises(SavedModelError, match="not in order"):
        restored(content, {**state, "language.two_grams": state["language.two_grams"].flip(0)})


def test_bad_input_is_refused_in_words(tmp_path):
    with pytest.raises(NotFitted, match="fit"):
        Corrector().correct("text")
    with pytest.raises(InvalidParameter, match="error_rate"):
        Corrector(error_rate=0.0).fit(CORPUS)
    with pytest.raises(InvalidData, match="no words"):
        Corrector().fit(["1 2 3 …"])
    with pytest.raises(InvalidData, match="pairs"):
        Corrector().fit(CORPUS, misspellings=["bostin"])
    with pytest.raises(UnreadableFile, match="no file"):
        Corrector().fit(str(tmp_path / "none.txt"))
    model = Corrector().fit(CORPUS)
    for odd in (3, [3], b"text", None):
        with pytest.raises(InvalidType, match="give a"):
            model.correct(odd)


def test_files_and_long_lines_are_read(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(" ".join(CORPUS) + "\n" + "\n".join(CORPUS))
    model = Corrector().fit(str(path))
    assert model.correct("what is the wether like").text == "what is the weather like"
    long = "what is the wether like in boston " * 40
    assert model.correct(long).text == long.replace("wether", "weather")
