"""Models that make rows, on the command line."""

from __future__ import annotations

import csv as reader
import json

import numpy as np
import pytest
from PIL import Image

from .conftest import names_in, refused, well

WORDS = {"gan": "GAN", "moment-matching": "MomentMatching", "flow": "Flow", "boltzmann": "Boltzmann"}


@pytest.fixture(scope="module")
def runs(place, csv):
    """One run per model, on a table whose column of colours is its label."""
    for name in WORDS:
        well("fit", csv, "--model", name, "--labels", "colour", "--epochs", 3, "--out", place / name, "--quiet")
    return place


@pytest.mark.parametrize("name", WORDS)
class TestTables:
    def test_the_run_says_what_it_is(self, runs, name):
        told = well("info", runs / name)
        assert told.out.startswith(f"{WORDS[name]} in")
        assert "3 classes: blue, green, red" in told.out
        assert "colour" not in json.loads(well("info", runs / name, "--json").out)["columns"]
        page = (runs / name / "report.html").read_text()
        assert "it has no codes" in page
        assert names_in(runs / name / "figures") == ["loss.png", "samples.png"]

    def test_rows_under_conditions(self, runs, name, tmp_path):
        where = "height > 165" if name == "boltzmann" else "label = 'red' AND height > 165"
        well("generate", runs / name, "-n", 30, "--where", where, "--out", tmp_path / "x.csv")
        with (tmp_path / "x.csv").open() as file:
            rows = list(reader.DictReader(file))
        assert len(rows) == 30
        assert all(float(row["height"]) > 165 for row in rows)
        assert "colour" not in rows[0]

    def test_refusals(self, runs, csv, name, tmp_path):
        out = tmp_path / "x.csv"
        assert "which cannot do this" in refused("encode", runs / name, csv, "--out", out)
        assert "--balance goes with" in refused("generate", runs / name, "--balance", "id", "--out", out)
        if name != "boltzmann":
            words = refused("generate", runs / name, "--where", "label = 'pink'", "--out", out)
            assert "never holds 'pink'" in words
        assert not list(tmp_path.iterdir())


def test_scores_of_a_flow(runs, csv, tmp_path):
    well("score", runs / "flow", csv, "--out", tmp_path / "s.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 81
    assert "which cannot do this" in refused("score", runs / "gan", csv, "--out", tmp_path / "t.csv")


def test_images_by_the_folders_they_lie_in(pngs, tmp_path):
    run = tmp_path / "run"
    told = well("fit", pngs, "-m", "gan", "--labels", "folders", "--epochs", 2, "--out", run)
    assert "GAN" in told.out
    well("generate", run, "-n", 4, "--where", "label = 'more'", "--out", tmp_path / "made")
    files = names_in(tmp_path / "made")
    assert len(files) == 4
    with Image.open(tmp_path / "made" / files[0]) as image:
        assert image.size == (10, 8)
    well("generate", run, "-n", 3, "--out", tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz") as arrays:
        assert next(iter(arrays.values())).shape == (3, 8, 10, 3)
    assert "never holds 'less'" in refused("generate", run, "--where", "label = 'less'", "--out", tmp_path / "y.npz")
    assert "--against compares tables" in refused("generate", run, "--against", pngs, "--out", tmp_path / "y.npz")


def test_labels_that_cannot_be(csv, pngs, tmp_path):
    asked = ("--epochs", 1, "--out", tmp_path / "run")
    assert "no such column" in refused("fit", csv, "-m", "gan", "--labels", "sex", *asked)
    assert "these are images" in refused("fit", pngs, "-m", "gan", "--labels", "sex", *asked)
    assert "not lie in several folders" in refused("fit", pngs / "more", "-m", "gan", "--labels", "folders", *asked)
    assert "different values" in refused("fit", csv, "-m", "gan", "--labels", "id", *asked)
    assert not list(tmp_path.iterdir())


def test_parts_that_a_model_has_not(csv, tmp_path):
    words = refused("fit", csv, "-m", "flow", "--bottleneck", "gaussian", "--out", tmp_path / "run")
    assert "--bottleneck: a Flow has no such part" in words
    words = refused("fit", csv, "-m", "flow", "--code-size", 3, "--out", tmp_path / "run")
    assert "--code-size: a Flow has no such part" in words
    assert "boltzmann (rbm)" in refused("fit", csv, "-m", "gans", "--out", tmp_path / "run")


def test_a_loss_is_chosen_by_name(csv, tmp_path):
    chosen = ("--set", "every=2", "--set", "loss=wasserstein:weight=5")
    well("fit", csv, "-m", "gan", *chosen, "--epochs", 1, "--out", tmp_path / "run", "--quiet")
    params = json.loads((tmp_path / "run" / "model.json").read_text())["params"]
    assert params["every"] == 2
    assert params["loss"] == {"part": "adversarial.Wasserstein", "params": {"weight": 5}}
    words = refused("fit", csv, "-m", "gan", "--set", "loss=hing", "--out", tmp_path / "other")
    assert "hinge" in words
