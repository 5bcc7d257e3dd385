"""Text on the command line: recognised, learnt, written, judged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import narrows as package
from narrows.data import open_source

from .conftest import names_in, narrows, refused, well


def tale(sentences: int, seed: int) -> str:
    choose = random.Random(seed)
    animals = [choose.choice(["dog", "cat", "owl"]) for _ in range(sentences)]
    return "".join(
        f"The {a} {'barks' if a == 'dog' else 'sleeps'} at {choose.choice(['noon', 'night'])}.\n" for a in animals
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def corpus(folder) -> Path:
    path = folder / "corpus.txt"
    path.write_text(tale(200, 0))
    return path


QUICK = ("--network", "recurrent:hidden=24", "--set", "context=16", "--epochs", 5, "--learning-rate", 0.02)


@pytest.fixture(scope="module")
def run(folder, corpus) -> Path:
    out = folder / "run"
    told = well("fit", corpus, *QUICK, "--out", out)
    assert "corpus: text" in told.out
    assert "perplexity per character" in told.out
    for name in ("model", "unigram", "bigram", "5-gram"):
        assert name in told.out
    assert "narrows write" in told.out
    return out


def test_a_run_of_a_text(run):
    assert {"report.html", "model.json", "history.csv", "comparison.json", "samples.txt"} <= set(names_in(run))
    page = (run / "report.html").read_text()
    assert "Written at temperature 0.5" in page
    assert "Counts: bigram" in page
    assert "narrows write" in page
    assert "data:image/png" in page
    assert isinstance(package.load(run), package.LanguageModel)
    assert not (run / "checkpoint").exists()


def test_equal_seeds_write_equal_texts_and_a_prompt_is_shown(run):
    first = well("write", run, "--prompt", "The dog", "--temperature", 2, "--seed", 1, "-n", 40)
    again = well("write", run, "--prompt", "The dog", "--temperature", 2, "--seed", 1, "-n", 40)
    other = well("write", run, "--prompt", "The dog", "--temperature", 2, "--seed", 2, "-n", 40)
    assert first.out == again.out != other.out
    assert first.out.startswith("The dog")
    assert len(first.out) == len("The dog") + 40 + 1


def test_the_same_prompt_at_several_temperatures(run):
    told = well("write", run, "-p", "The cat", "--compare", "0.01,0.5,1.5", "-n", 30, "--seed", 3)
    assert [line for line in told.out.splitlines() if line.startswith("temperature")] == [
        "temperature 0.01",
        "temperature 0.5",
        "temperature 1.5",
    ]
    found = well("write", run, "-p", "The cat", "--compare", "0.01,1.5", "-n", 30, "--json").json
    assert [w["strategy"] for w in found["written"]] == [
        "strategies.Sample(temperature=0.01)",
        "strategies.Sample(temperature=1.5)",
    ]
    greedy = well("write", run, "-p", "The cat", "--strategy", "greedy", "-n", 30, "--json").json
    assert found["written"][0]["text"] == greedy["written"][0]["text"]


def test_a_strategy_and_a_file(run, folder):
    out = folder / "said.txt"
    told = well("write", run, "-p", "The owl", "--strategy", "beam:width=3", "-n", 20, "--out", out)
    assert told.out.strip() == f"1 text → {out}"
    assert out.read_text().startswith("The owl")
    assert well("write", run, "-p", "The owl", "--top-k", 3, "--top-p", 0.9, "-n", 5).out.startswith("The owl")


def test_what_cannot_be_written(run, folder):
    assert "--strategy greedy" in refused("write", run, "--temperature", 0)
    assert "wider than the vocabulary" in refused("write", run, "--strategy", "beam:width=500")
    assert "two things" in refused("write", run, "--strategy", "greedy", "--compare", "1,2")
    assert "temperatures with commas" in refused("write", run, "--compare", "hot")
    assert "choose one of" in refused("write", run, "--strategy", "shout")
    assert "holds no model" in refused("write", folder)
    told = narrows("write", run, "--prompt", "The €", "-n", 3)
    assert told.code == 0
    assert "never seen" in told.err


def test_info_and_evaluate(run, folder):
    told = well("info", run).out
    assert "text as" in told
    assert "windows of 16" in told
    assert "0 numbers" not in told
    (folder / "other.txt").write_text(tale(20, 9))
    found = well("evaluate", run, folder / "other.txt", "--json").json
    assert found["perplexity"] == pytest.approx(package.load(run).perplexity(tale(20, 9)))
    assert found["unknown"] == 0
    (folder / "strange.txt").write_text("½½½½" + tale(1, 9))
    assert "never seen in training" in well("evaluate", run, folder / "strange.txt").out


def test_other_verbs_say_what_to_use(run, corpus, folder):
    for verb in (("encode", run, corpus), ("sample", run)):
        assert "narrows write" in refused(*verb, "--out", folder / "x.csv")


def test_a_column_of_a_table_as_words(folder):
    table = folder / "reviews.csv"
    table.write_text(
        "stars,review\n" + "".join(f'{i % 5},"{line}"\n' for i, line in enumerate(tale(120, 3).splitlines()))
    )
    options = (*QUICK, "--set", "tokens=words", "--out", folder / "words", "--json")
    found = well("fit", table, "--as", "text", "--columns", "review", *options).json
    assert found["kind"] == "text"
    assert any("column 'review'" in reason for reason in found["reasons"])
    assert found["comparison"]["rows"][0]["perplexity"] < found["comparison"]["rows"][1]["perplexity"]


def test_what_goes_with_no_text(corpus, folder):
    assert "no meaning for a text" in refused("fit", corpus, "--sql", "select 1")
    assert "language model" in refused("fit", corpus, "--model", "vae")
    assert "the text is empty" in refused("fit", _file(folder, "empty.md", b""), "--out", folder / "none")
    assert "byte 3 is 0xff" in refused("fit", _file(folder, "bad.md", b"abc\xffdef"), "--out", folder / "none")
    assert not (folder / "none").exists()


def test_text_can_be_a_table_where_asked(corpus):
    assert open_source(str(corpus)).kind == "text"
    assert open_source(str(corpus), kind="table").kind == "table"
    assert open_source(str(corpus), kind="text").kind == "text"


def _file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name
