"""``narrows translate`` from files to files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import narrows
from narrows.cli._app import app


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("translate")
    rng = np.random.default_rng(0)
    for name, bright in (("dark", 80), ("light", 250)):
        (place / name).mkdir()
        for i in range(12):
            image = np.zeros((16, 16), np.uint8)
            image[:, rng.integers(16)] = bright
            Image.fromarray(image).save(place / name / f"{i:02}.png")
    t = rng.uniform(-1, 1, 60)
    pd.DataFrame({"x": t, "y": 2 * t}).to_csv(place / "up.csv", index=False)
    pd.DataFrame({"x": t + 5, "y": -t}).to_csv(place / "down.csv", index=False)
    return place


def test_learns_from_two_folders_and_keeps_the_translator(folder):
    words = ("translate", folder / "dark", folder / "light", "--epochs", 2, "--code-size", 2)
    done = run(*words, "--out", folder / "made", "--save", folder / "model", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["to"] == "light"
    assert len(list((folder / "made").glob("*.png"))) == 12
    again = run("translate", folder / "dark", "--model", folder / "model", "--to", "light", "--out", folder / "m.npz")
    assert again.exit_code == 0, again.output
    model = narrows.load(folder / "model")
    files = sorted((folder / "dark").glob("*.png"))
    with np.load(folder / "m.npz") as arrays:
        made = arrays[arrays.files[0]]
    assert np.array_equal(made.reshape(12, 16, 16), np.asarray(model.translate(files, to="light")).reshape(12, 16, 16))


def test_tables_by_name(folder):
    out = folder / "made.csv"
    words = ("translate", f"a={folder / 'up.csv'}", f"b={folder / 'down.csv'}", "--to", "b", "--epochs", 2)
    done = run(*words, "--out", out)
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(out).columns) == ["x", "y"]
    assert len(pd.read_csv(out)) == 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up.csv",), "give two sources or more"),
        (("up.csv", "down.csv", "--to", "left"), "none of the sets: up, down"),
        (("up.csv", "up.csv"), "two sets are called 'up'"),
        (("up.csv", "--model", "model"), "give one source and --to, one of dark, light"),
    ],
    ids=["one", "unknown", "twice", "model"],
)
def test_what_cannot_be_translated(folder, words, said):
    there = [folder / w if (folder / w).exists() else w for w in words]
    done = run("translate", *there, "--out", folder / "none.csv")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (folder / "none.csv").exists()


def test_a_translator_says_what_it_is_for(folder):
    done = run("encode", folder / "model", folder / "dark", "--out", folder / "codes.csv")
    assert done.exit_code == 2
    assert "narrows translate --model" in " ".join(done.output.split())
