"""Texts to tokens and back, from wherever texts come, and what is said of those that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data import Text, TextFormat, format_from_config, open_source
from narrows.data import corpus as corpora
from narrows.data.corpus import corpus_of
from narrows.data.token_stream import TokenStream
from narrows.errors import InvalidData, InvalidParameter, InvalidType, SavedModelError, UnreadableFile

PROSE = "The cat sat on the mat.\nThe “dog” didn't (really) sit, 3.5 times!\n"
KINDS = ("characters", "words", "byte-pair")


@given(st.text(min_size=1))
def test_characters_come_back_exactly(text):
    format_ = Text().fit([text])
    assert format_.decode(format_.encode(text)) == text
    assert "".join(format_.stream(format_.encode(text).tolist())) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_byte_pairs_bring_back_texts_that_were_never_seen(text):
    assert PAIRS.decode(PAIRS.encode(text)) == text
    assert "".join(PAIRS.stream(PAIRS.encode(text).tolist())) == text


PAIRS = Text("byte-pair", vocabulary=300).fit(PROSE * 20)


def test_words_come_back_with_their_spacing_put_right():
    format_ = Text("words").fit(PROSE * 2)
    assert format_.decode(format_.encode(PROSE)) == PROSE
    assert format_.decode(format_.encode("The   cat , sat")) == "The cat, sat"
    assert "".join(format_.stream(format_.encode(PROSE).tolist())) == PROSE
    # a stream goes on after words that were told before
    before, after = format_.encode("The cat").tolist(), format_.encode(", sat").tolist()
    assert "".join(format_.stream(after, before)) == ", sat"


def test_a_rare_word_is_unknown_and_a_mark_is_a_word():
    format_ = Text("words", least=2).fit("a a b b c <unk> a")
    assert format_.tokeniser.words() == ["<unk>", "a", "b"]
    assert format_.encode("a c <unk> d").tolist() == [1, 0, 0, 0]
    assert Text("words", vocabulary=2).fit("a a b b a").tokeniser.words() == ["<unk>", "a"]


def test_words_between_spaces_are_left_whole_where_asked():
    format_ = Text("words", punctuation=False).fit("mr. n't N $ 's mr. n't N $ 's\n\n")
    assert format_.decode(format_.encode("mr. n't\n$")) == "mr. n't\n$"


def test_characters_that_were_never_seen_or_are_beyond_the_limit_are_unknown():
    format_ = Text(vocabulary=3).fit("aaabbbccd")
    assert format_.tokeniser.words() == ["a", "b", "<unk>"]
    assert format_.encode("abcdz€").tolist() == [0, 1, 2, 2, 2, 2]
    every = Text().fit("aaabbbccd")
    assert every.encode("da€ \U0010ffff").tolist() == [3, 0, 4, 4, 4]
    assert every.decode(every.encode("a€")) == "a\ufffd"


def test_an_end_mark_stands_between_texts_and_only_there():
    one, three = Text().fit("ab"), Text().fit(["ab", "c", ""])
    assert one.end is None
    assert one.read("ab").tolist() == [0, 1]
    assert three.read(["ab", "c", ""]).tolist() == [0, 1, 4, 2, 4, 4]
    assert three.decode([0, 4, 2]) == "ac"


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_survives_being_written_down(kind):
    format_ = Text(kind, context=12).fit([PROSE, PROSE])
    again = format_from_config(json.loads(json.dumps(format_.to_config())))
    assert isinstance(again, TextFormat)
    assert again.to_config() == format_.to_config()
    assert again.read([PROSE]).tolist() == format_.read([PROSE]).tolist()
    assert again.layout == format_.layout
    assert again.layout.shape == (12, 1)


def test_a_damaged_format_is_refused():
    config = Text("words").fit(PROSE).to_config()
    for damage in ({"tokeniser": {}}, {"options": Text().to_config()}, {"context": None}):
        with pytest.raises(SavedModelError, match="save the model again"):
            format_from_config(config | damage)


def test_rows_are_windows_and_values_are_text_again():
    format_ = Text(context=4).fit("abcdefghij")
    rows = format_.to_rows("abcdefghij")
    assert rows.values.shape == (3, 4, 1)
    assert rows.lengths.tolist() == [4, 4, 2]
    assert format_.from_values(rows.values)[:2] == ["abcd", "efgh"]
    assert int(rows.mask().sum()) == 10


# --- where texts come from -------------------------------------------------------------------------------------


def test_the_same_texts_from_everywhere(tmp_path: Path):
    texts = ["one text", "another"]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    (tmp_path / ".hidden.txt").write_text("no")
    table = {"n": [1, 2], "said": texts}
    csv = tmp_path / "t.csv"
    pd.DataFrame(table).to_csv(csv, index=False)
    paths = [tmp_path / "0.txt", tmp_path / "1.txt"]
    same = [texts, tuple(texts), tmp_path, str(tmp_path), paths, np.array(texts), pa.array(texts), str(csv)]
    same += [pd.Series(texts), pl.Series(texts), pd.DataFrame(table), pl.DataFrame(table), pa.table(table)]
    for raw in same:
        assert ["".join(text) for text in corpus_of(raw).texts()] == texts, type(raw)
    assert "".join(next(corpus_of(tmp_path / "0.txt").texts())) == "one text"
    assert "".join(next(corpus_of("to be, or not").texts())) == "to be, or not"


def test_blank_texts_are_left_out_and_said():
    found = Text().fit(pd.Series(["a", None, "b", float("nan")]))
    assert found.reasons[0] == "2 of 4 texts are blank and were left out"
    assert found.read(pd.Series(["a", None, "b"])).tolist() == [0, 3, 1, 3]


def test_which_column_must_be_clear():
    table = pd.DataFrame({"a": ["x"], "b": ["y"], "c": [1]})
    with pytest.raises(InvalidData, match=r"2 columns of text \(a, b\).*Text\(column="):
        corpus_of(table)
    with pytest.raises(InvalidParameter, match="no such column; there are a, b, c"):
        corpus_of(table, column="d")
    assert corpus_of(table, column="b").parts == ("y",)


def test_bytes_that_are_no_text_are_named(tmp_path: Path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9 au lait")
    with pytest.raises(UnreadableFile, match=r"byte 3 is 0xe9.*encoding='latin-1'"):
        Text().fit(path)
    assert "".join(next(corpus_of(path, "latin-1").texts())) == "café au lait"
    with pytest.raises(InvalidParameter, match="encoding='klingon' is not known"):
        Text(encoding="klingon").fit(path)


def test_the_place_of_a_bad_byte_is_right_in_a_later_piece(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(corpora, "PIECE", 7)
    path = tmp_path / "t.txt"
    path.write_bytes("é".encode() * 20 + b"\xff")
    with pytest.raises(UnreadableFile, match="byte 40 is 0xff"):
        Text().fit(path)
    path.write_bytes("é".encode()[:1])  # cut off within a character
    with pytest.raises(UnreadableFile, match="byte 0 is 0xc3"):
        Text().fit(path)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_change_nothing(kind, tmp_path: Path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_bytes((PROSE * 30).replace("\n", "\r\n").encode("utf-8-sig"))
    format_ = Text(kind).fit(PROSE * 30)
    whole = format_.encode(PROSE * 30).tolist()
    monkeypatch.setattr(corpora, "PIECE", 61)
    assert Text(kind).fit(path).to_config()["tokeniser"] == format_.to_config()["tokeniser"]
    assert format_.read(path).tolist() == whole
    assert format_.encode(PROSE * 30).tolist() == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_line_needs_little_memory(kind, tmp_path: Path):
    import tracemalloc

    path, size = tmp_path / "line.txt", 12 * corpora.PIECE
    path.write_bytes(b"spam and eggs " * (size // 14))
    format_ = Text(kind, vocabulary=300).fit("spam and eggs " * 9)
    longest = max(len(p) for text in corpus_of(path).texts() for p in format_.tokeniser.pieces(text))
    assert longest <= 2 * corpora.PIECE
    if kind == "characters":
        tracemalloc.start()
        tokens = format_.read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(tokens) == size // 14 * 14
        assert tokens.dtype == np.uint8
        # the tokens twice, a byte each, and the work on a piece
        assert peak < 2 * size + 64 * corpora.PIECE


def test_a_word_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(corpora, "PIECE", 100)
    format_ = Text("words").fit("ab " * 9)
    pieces = list(format_.tokeniser.pieces(corpora.cut("x" * 1050)))
    assert "".join(pieces) == "x" * 1050
    assert max(map(len, pieces)) <= 200


@pytest.mark.parametrize("empty", ["", [], [""], [None], pd.Series([], dtype=str)], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_to_be_nothing(empty, kind):
    with pytest.raises(InvalidData, match="the text is empty"):
        Text(kind).fit(empty)


def test_an_empty_file_or_folder(tmp_path: Path):
    with pytest.raises(InvalidData, match="holds no text files"):
        Text().fit(tmp_path)
    (tmp_path / "a.txt").write_text("")
    for raw in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(InvalidData, match="the text is empty"):
            Text().fit(raw).read(raw)


@pytest.mark.parametrize("raw", [3, b"bytes", {"a": "b"}, ["a", 3]], ids=repr)
def test_what_is_no_text(raw):
    with pytest.raises(InvalidType, match="is no text|of type int"):
        Text().fit(raw)


def test_a_name_of_nothing():
    with pytest.raises(UnreadableFile, match="no file or folder 'corpsu.txt'"):
        Text().fit("corpsu.txt")
    with pytest.raises(UnreadableFile, match="no file or folder"):
        Text().fit(Path("a b"))


@pytest.mark.parametrize(
    "options", [Text("letters"), Text(vocabulary=1), Text("byte-pair", vocabulary=99), Text(context=1)]
)
def test_options_that_mean_nothing(options):
    with pytest.raises(InvalidParameter):
        options.fit(PROSE)


# --- windows ---------------------------------------------------------------------------------------------------


def test_an_epoch_is_a_function_of_seed_and_number():
    stream = TokenStream(np.arange(1000, dtype=np.uint16), 10)
    first = torch.cat([rows.values for rows in stream.epoch(3, 0, 8)])
    again = torch.cat([rows.values for rows in stream.epoch(3, 0, 8)])
    later = torch.cat([rows.values for rows in stream.epoch(3, 1, 8)])
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert first.shape == (len(stream) // 8 * 8, 10, 1)
    # every window is ten tokens in a row, and none comes twice
    assert torch.equal(first.diff(dim=1), torch.ones(len(first), 9, 1))
    assert len(first[:, 0].unique()) == len(first)
    # windows of another epoch begin elsewhere
    assert int(first[0, 0]) % 10 != int(later[0, 0]) % 10


def test_an_epoch_can_be_entered_anywhere_and_dealt_out():
    stream = TokenStream(np.arange(1000, dtype=np.uint16), 10)
    whole = torch.cat([rows.values for rows in stream.epoch(3, 5, 8)]).reshape(-1, 8, 10)
    late = torch.cat([rows.values for rows in stream.epoch(3, 5, 8, first=4)]).reshape(-1, 8, 10)
    assert torch.equal(late, whole[4:])
    shares = [torch.cat([r.values for r in stream.epoch(3, 5, 8, rank=i, world=2)]) for i in (0, 1)]
    assert torch.equal(torch.cat([s.reshape(-1, 4, 10) for s in shares], dim=1), whole)


def test_epochs_may_be_shorter_or_longer_than_the_line():
    tokens = np.arange(100, dtype=np.uint8)
    for count in (3, 25):
        stream = TokenStream(tokens, 10, count)
        assert len(stream) == count
        assert sum(len(rows) for rows in stream.epoch(0, 0, 1)) == count
    assert stream.take(slice(2)).values[:, 0, 0].tolist() == [0, 10]
    assert stream.fingerprint() != TokenStream(tokens[::-1].copy(), 10, 25).fingerprint()


# --- text or table ---------------------------------------------------------------------------------------------

TABLES = {
    "numbers": "0.5\n1.25\n-3e-5\n",
    "columns": "1.0 2.0\n3.0 4.5\n",
    "commas": "name,age\nAnn,3\nBob,4\n",
    "tabs": "a b\tc d\ne f\tg\n",
    "words and numbers": "x y\na 1\nb 2\nc 3\n",
    "semicolons": "a;b;c\n1,5;2;3\n",
}
TEXT = {
    "prose": PROSE * 3,
    "one line": "To be, or not to be, that is the question",
    "a word": "hello",
    "verse": "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n" * 2,
    "a comma each": "It was late in the evening, and nobody had come home to the old house yet.\n" * 9,
    "split before": " no it was n't black monday \n but while the new york stock exchange\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_no_text(name, tmp_path: Path):
    (tmp_path / "t.txt").write_text(TABLES[name])
    assert not corpora.recognised(tmp_path / "t.txt")
    assert open_source(tmp_path / "t.txt").kind == "table"


@pytest.mark.parametrize("name", TEXT)
def test_text_is_no_table(name, tmp_path: Path):
    (tmp_path / "t.txt").write_text(TEXT[name])
    source = open_source(str(tmp_path / "t.txt"))
    assert (source.kind, source.name) == ("text", "t")
    assert source.format == Text()
    assert "".join(next(source.data.texts())) == TEXT[name]


def test_a_folder_is_what_most_of_its_files_are_and_the_others_are_told_of(tmp_path: Path):
    (tmp_path / "a.md").write_text("1,2\n3,4\n")
    assert open_source(tmp_path).kind == "text"
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    found = open_source(tmp_path)
    assert found.kind == "table"
    assert any("1 text file beside the tables" in note for note in found.notes)
    (tmp_path / "README.md").write_text("tells of the table")
    assert open_source(tmp_path).kind == "table"
    (tmp_path / "b.txt").write_text("some words, and others\n")
    found = open_source(tmp_path)
    assert (found.kind, len(found.data)) == ("text", 3)
    assert any("1 file of another kind beside the texts" in note for note in found.notes)


def test_a_file_that_is_no_text_is_told_of_in_the_words_of_text(tmp_path: Path):
    (tmp_path / "blank.txt").write_text("  \n\n \t\n")
    with pytest.raises(InvalidData, match="holds nothing but blanks"):
        open_source(tmp_path / "blank.txt")
    (tmp_path / "nul.txt").write_bytes(b"some\0words\n" * 9)
    with pytest.raises(UnreadableFile, match="no text: it holds NUL characters"):
        open_source(tmp_path / "nul.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("size", [301, 1 << 20])
def test_a_mark_at_the_beginning_says_how_a_file_is_written(tmp_path: Path, encoding, size, monkeypatch):
    monkeypatch.setattr(corpora, "PIECE", size)
    text = "Übung macht den Meister – sagt man.\n" * 50
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    source = open_source(tmp_path / "t.txt")
    assert source.kind == "text"
    assert "".join(next(source.data.texts())) == text


def test_the_last_part_is_held_out(tmp_path: Path, monkeypatch):
    text = "".join(chr(97 + i % 26) for i in range(2000))
    (tmp_path / "t.txt").write_text(text)
    monkeypatch.setattr(corpora, "PIECE", 301)
    for raw in (tmp_path / "t.txt", text[:1000] + "\n" + text[1001:]):
        train, test = corpus_of(raw).hold_out(0.1)
        assert "".join(next(train.texts())).replace("\n", text[1000]) == text[:1800]
        assert "".join(next(test.texts())) == text[1800:]
    train, test = corpus_of([text] * 20).hold_out(0.1)
    assert (len(train), len(test)) == (18, 2)
    for few in (["a", "b"], "too short\n"):
        assert corpus_of(few).hold_out(0.1) == (corpus_of(few), None)
