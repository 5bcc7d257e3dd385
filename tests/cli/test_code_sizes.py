"""``narrows fit --code-sizes``: several sizes at once, and one kept."""

from __future__ import annotations

import csv as csv_module
import json
from pathlib import Path

import numpy as np
import pytest

import narrows as package

from .conftest import refused, well


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes") / "run"
    told = well("fit", "banknote", "--code-sizes", "3,1,2", "--epochs", 8, "--out", folder, "--json")
    return folder, told.json


def test_a_size_is_chosen_by_held_out_error_and_kept(run):
    folder, told = run
    elbow = told["elbow"]
    assert [bend["size"] for bend in elbow["sizes"]] == [1, 2, 3]
    assert all(np.isfinite(bend["error"]) and bend["pca"] > 0 for bend in elbow["sizes"])
    assert told["code_size"] == elbow["chosen"] == package.load(folder).code_size
    chosen = next(bend for bend in elbow["sizes"] if bend["size"] == elbow["chosen"])
    result = told["comparison"]["rows"][0]
    assert result["squared_error"] == pytest.approx(chosen["error"])


def test_figure_table_and_reason_are_written(run):
    folder, told = run
    assert (folder / "figures" / "elbow.png").stat().st_size > 5_000
    with (folder / "code_sizes.csv").open() as file:
        rows = list(csv_module.DictReader(file))
    assert [row["code_size"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert float(row["ratio"]) == pytest.approx(float(row["error"]) / float(row["pca"]), rel=1e-4)
    page = (folder / "report.html").read_text()
    assert "Code sizes" in page
    assert all(sentence.split(":")[0] in page for sentence in told["elbow"]["sentences"])


def test_the_kept_model_is_an_ordinary_one(run):
    folder, _ = run
    content = json.loads((folder / "model.json").read_text())
    assert content["estimator"] == "Autoencoder"
    model = package.load(folder)
    assert model.training == package.Training(epochs=8)
    assert model.random_state == 0
    well("encode", folder, "banknote", "--out", folder / "codes.csv")
    assert (folder / "codes.csv").read_text().startswith("code0")


def test_people_are_told_of_every_size(tmp_path, monkeypatch, csv):
    monkeypatch.chdir(tmp_path)
    told = well("fit", csv, "--code-sizes", "1,2", "--epochs", 2, "--model", "vae")
    places = [told.out.index(w) for w in ("Code sizes", "numbers", "←", "2 models of one shape", "Model: Variational")]
    assert places == sorted(places)
    assert Path("runs/people-data/figures/elbow.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--code-sizes", "2,x"], "whole numbers"),
        (["--code-sizes", ""], "whole numbers"),
        (["--code-sizes", "0,2"], "at least 1"),
        (["--code-sizes", "2,2"], "twice"),
        (["--code-sizes", "2,60"], "6 values"),
        (["--code-sizes", "2,4", "--code-size", "3"], "not both"),
    ],
    ids=["word", "empty", "zero", "repeated", "large", "both"],
)
def test_bad_sizes_are_refused_and_leave_nothing(words, said, csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused("fit", csv, "--epochs", 1, *words)
    assert not [p for p in Path("runs").rglob("*") if p.is_file()]


def test_a_saved_ensemble_is_described(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    model = package.Autoencoder(2, training=package.Training(epochs=1))
    package.Ensemble(model, n=2).fit(rows).save(tmp_path / "ensemble")
    found = well("info", tmp_path / "ensemble", "--json").json
    assert found["estimator"] == "Ensemble"
    assert found["members"] == ["Autoencoder, 2 numbers per code"] * 2
    assert len(found["columns"]) == 3
