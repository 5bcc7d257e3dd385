"""``narrows correct``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from narrows.cli import app
from narrows.errors import UnreadableFile

from .conftest import refused, well

TEXT = "what is the weather like in bostin right now"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("correct") / "corpus.txt"
    cities = ("boston", "austin", "denver")
    path.write_text("\n".join(f"what is the weather like in {city} right now" for city in cities * 3))
    return path


@pytest.fixture(scope="module")
def saved(corpus):
    folder = corpus.parent / "model"
    well("correct", "--corpus", corpus, "--save", folder, TEXT)
    return folder


def test_a_text_is_mended_and_the_reason_told(corpus):
    told = well("correct", "--corpus", corpus, TEXT)
    assert told.out == TEXT.replace("bostin", "boston") + "\n"
    assert "bostin → boston" in told.err


def test_a_saved_model_mends_texts_files_and_the_standard_input(saved, tmp_path):
    told = well("correct", saved, TEXT, "--json")
    assert told.json["text"].endswith("boston right now")
    assert [c["meant"] for c in told.json["changes"]] == ["boston"]
    assert told.err == ""
    path, out = tmp_path / "text.txt", tmp_path / "mended.txt"
    path.write_text(f"{TEXT}\nwaht is the weather\n")
    well("correct", saved, path, "--out", out)
    assert out.read_text() == path.read_text().replace("bostin", "boston").replace("waht", "what")
    piped = CliRunner().invoke(app, ["correct", str(saved)], input="the wether")
    assert piped.stdout == "the weather\n"
    assert well("info", saved).out.count("words") >= 1


def test_a_list_of_misspellings_is_read(corpus, tmp_path):
    path = tmp_path / "wrong.txt"
    path.write_text("boston: bostin, bosten\n")
    assert "boston" in well("correct", "--corpus", corpus, "--misspellings", path, TEXT).out


def test_what_does_not_go_together_is_refused(corpus, saved, tmp_path):
    assert "no folder" in refused("correct", TEXT)
    assert "--corpus FILE" in refused("correct")
    assert "not both" in refused("correct", saved, TEXT, "--corpus", corpus)
    assert "--corpus" in refused("correct", saved, TEXT, "--error-rate", 0.1)
    assert "no file" in refused("correct", "--corpus", tmp_path / "none.txt", TEXT)
    assert "error_rate" in refused("correct", "--corpus", corpus, "--error-rate", 0.9, TEXT)
    assert "language model" in refused("correct", saved, TEXT, "--judge", saved)


def test_the_name_of_a_file_that_is_missing_is_no_text(monkeypatch):
    from narrows.cli._correct import text

    monkeypatch.chdir("/")
    assert text("the companny") == "the companny"
    assert text("see letter.txt") == "see letter.txt"
    with pytest.raises(UnreadableFile, match=r"no file 'letter\.txt'"):
        text("letter.txt")
