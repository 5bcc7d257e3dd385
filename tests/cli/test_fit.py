"""``narrows fit``: runs, their folders, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import narrows as package
from narrows.cli import _folders

from .conftest import names_in, narrows, refused, well


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_says_what_and_why_and_the_honest_line(csv):
    told = well("fit", csv, "--epochs", 2, "--code-size", 2)
    folder = "runs/people-data"
    honest = json.loads(Path(f"{folder}/comparison.json").read_text())["sentence"]
    order = ["people data: table", "72 rows to learn from, 8 held out", "6 columns", "Model: Autoencoder", honest]
    places = [told.out.index(words) for words in [*order, f"Written to {folder}"]]
    assert places == sorted(places)
    assert names_in("runs") == ["people-data"]
    assert json.loads(Path(f"{folder}/run.json").read_text())["status"] == "finished"


def test_json_is_one_object_and_nothing_else(csv):
    told = well("fit", csv, "--epochs", 2, "--code-size", 2, "--json")
    assert told.json["run"] == "runs/people-data"
    assert told.json["rows"] == 72
    assert told.json["held_out"] == 8
    assert told.json["epochs"] == 2
    assert told.json["sentence"].startswith("Held-out")
    assert "report.html" in told.json["files"]
    assert told.json["comparison"]["code_size"] == 2


def test_quiet_prints_the_folder_only(csv):
    assert well("fit", csv, "--epochs", 1, "--quiet").out == "runs/people-data\n"


def test_the_same_seed_gives_the_same_model(csv):
    runs = [well("fit", csv, "--epochs", 2, "--quiet", *more).out.strip() for more in ([], [], ["--seed", 1])]
    assert runs == ["runs/people-data", "runs/people-data-2", "runs/people-data-3"]
    weights = [json.loads(Path(f"{run}/model.json").read_text())["weights_sha256"] for run in runs]
    assert weights[0] == weights[1] != weights[2]


def test_the_model_in_the_folder_is_the_one_that_python_would_fit(csv):
    """Nothing of the command line sticks to the model: no checkpoint folder, no silence."""
    well("fit", csv, "--epochs", 2, "--quiet", "--set", "format__scaling=robust")
    model = package.load("runs/people-data")
    assert model.training == package.Training(epochs=2)
    assert model.format.scaling == "robust"


# --- data ----------------------------------------------------------------------------------------------------


def test_columns_are_chosen_and_dropped(csv):
    told = well("fit", csv, "--epochs", 1, "--drop", "id,born", "--drop", "same", "--colour", "id", "--json")
    assert package.load(told.json["run"]).feature_names_in_.tolist() == ["height", "weight", "colour"]
    told = well("fit", csv, "--epochs", 1, "--columns", "weight,height", "--json")
    assert package.load(told.json["run"]).feature_names_in_.tolist() == ["weight", "height"]


def test_a_query_chooses_rows(csv):
    told = well("fit", csv, "--sql", "SELECT height, weight FROM data WHERE id < 40", "--epochs", 1, "--json")
    assert told.json["rows"] + told.json["held_out"] == 40


def test_a_folder_of_pictures_and_a_size(pngs):
    told = well("fit", pngs, "--epochs", 1, "--image-size", "6x5", "--json")
    assert told.json["kind"] == "images"
    assert package.load(told.json["run"]).format_.layout.shape == (3, 6, 5)


def test_a_bad_picture_stops_with_its_name_or_is_left_out_and_counted(pngs, here):
    import shutil

    shutil.copytree(pngs, here / "photos")
    (here / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert "broken.png" in refused("fit", "photos", "--epochs", 1, "--json")
    told = well("fit", "photos", "--epochs", 1, "--skip-bad", "--json")
    assert told.json["rows"] + told.json["held_out"] == 30
    assert any("1 of 31" in note for note in told.json["notes"])


def test_an_array_with_labels(here):
    rng = np.random.default_rng(0)
    np.savez(here / "a.npz", X=rng.normal(size=(60, 3)), y=np.arange(60) % 2)
    assert well("fit", "a.npz", "--epochs", 1, "--json").json["problems"] == []


def test_few_rows_are_not_held_out_and_that_is_said(here):
    np.save(here / "few.npy", np.random.default_rng(0).normal(size=(8, 3)))
    told = well("fit", "few.npy", "--epochs", 1, "--json")
    assert told.json["held_out"] == 0
    assert "No rows were held out" in told.json["sentence"]


def test_odd_tables(here):
    rows = "\n".join(f"{i},,x,{'a' if i % 2 else 'b'}" for i in range(30))
    (here / "odd.csv").write_text("n,blank,same,k\n" + rows)
    told = narrows("fit", "odd.csv", "--epochs", 1, "--json")
    assert told.code == 0, told.err
    assert told.err.count("note: ") >= 1
    assert "blank" in told.err
    assert told.json["problems"] == []


# --- parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "name"),
    [("vae", "Variational"), ("SparseAutoencoder", "Sparse"), ("contractive", "Contractive"), ("DAE", "Denoising")],
)
def test_models_by_any_name(csv, word, name):
    assert well("fit", csv, "-m", word, "--epochs", 1, "--json").json["estimator"] == f"{name}Autoencoder"


def test_parts_combine_freely(csv):
    told = well(
        *("fit", csv, "-m", "vae", "--epochs", 1, "--corruption", "gaussian:scale=0.5", "--corruption", "masking"),
        *("--penalty", "l1:weight=0.1", "--penalty", "kl=kl:weight=4", "--network", "dense:widths=(7,)", "--json"),
    )
    model = package.load(told.json["run"])
    assert repr(model.choices_.corruption) == (
        "corruptions.Chain(parts=(corruptions.Gaussian(scale=0.5), corruptions.Masking()))"
    )
    assert {n: p.weight for n, p in model.choices_.penalties.items()} == {"kl": 4, "l1": 0.1}
    assert model.choices_.bottleneck.stochastic
    assert model.choices_.network.widths == (7,)


def test_a_stochastic_bottleneck_keeps_its_kl_beside_another_penalty(csv):
    told = well("fit", csv, "--bottleneck", "gaussian", "--penalty", "l2", "--epochs", 1, "--json")
    assert set(package.load(told.json["run"]).choices_.penalties) == {"kl", "l2"}
    told = well("fit", csv, "--bottleneck", "gaussian", "--penalty", "kl=none", "--epochs", 1, "--json")
    assert set(package.load(told.json["run"]).choices_.penalties) == set()


def test_parameters_of_the_named_model_are_set(csv):
    told = well("fit", csv, "-m", "vae", "--set", "beta=3", "--corruption", "masking", "--epochs", 1, "--json")
    assert package.load(told.json["run"]).choices_.penalties["kl"].weight == 3


def test_a_time_budget_ends_training():
    told = well("fit", "digits", "--time-budget", "1s", "--json")
    assert "time budget of 1 s" in told.json["stopped"]
    assert told.json["seconds"] < 5


# --- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["fashoin"], "fashion"),
        (["digits", "--model", "dragon"], "autoencoder (ae), sparse (sae)"),
        (["digits", "--epochs", "0"], "--epochs"),
        (["digits", "--epochs", "many"], "--epochs"),
        (["digits", "--learning-rate", "-1"], "learning_rate=-1"),
        (["digits", "--time-budget", "soon"], "90s, 5m, 1h30m"),
        (["digits", "--time-budget", "0"], "leaves no time"),
        (["digits", "--image-size", "big"], "64x48"),
        (["digits", "--corruption", "gauss"], "gaussian, masking"),
        (["digits", "--corruption", "masking:fraction=2"], "fraction=2"),
        (["digits", "--network", "conv:chanels=3"], "channels"),
        (["digits", "--penalty", "nope"], "'nope' is not among the penalties"),
        (["digits", "--penalty", "kl"], "bottleneck"),
        (["digits", "--likelihood", "categorical"], "Categorical"),
        (["digits", "--set", "beta"], "--set beta=4"),
        (["digits", "--set", "beta=4"], "beta"),
        (["digits", "--device", "cuda:99"], "cuda:99"),
        (["digits", "--device", "toaster"], "auto, cpu, cuda"),
        (["digits", "--held-out", "1"], "below 1"),
        (["digits", "--columns", "a"], "named columns|table with names"),
        (["digits", "--colour", "a"], "named columns"),
        (["digits", "--resume"], "no unfinished run"),
        (["digits", "--nonsense"], "--nonsense"),
        ([], "SOURCE"),
    ],
)
def test_bad_input_is_told_in_one_sentence_and_leaves_nothing(here, words, said):
    import re

    told = narrows("fit", *words)
    assert told.code == 2
    lines = [line for line in told.err.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert re.search(said, lines[0]) or said in lines[0]
    left = [p for p in here.rglob("*") if p.is_file() or p.name.endswith(".partial")]
    assert left == []


def test_columns_that_do_not_exist_are_named(csv):
    assert "hieght" in refused("fit", csv, "--columns", "hieght", "--json")
    assert "no column to learn from" in refused("fit", csv, "--columns", "id", "--drop", "id", "--json")
    assert "there are id, height" in refused("fit", csv, "--colour", "color", "--json")


def test_a_tiny_or_empty_table_is_refused(here):
    (here / "one.csv").write_text("a,b\n1,2\n")
    assert "at least 2 rows" in refused("fit", "one.csv", "--json")
    (here / "none.csv").write_text("")
    refused("fit", "none.csv", "--json")


# --- folders -------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_run_is_left_as_it_is(csv, here):
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    for force in ([], ["--force"]):
        assert "no run of narrows" in refused("fit", csv, "--out", "mine", "--json", *force)
    assert names_in("mine") == ["thesis.txt"]
    (here / "file").write_text("x")
    assert "is a file" in refused("fit", csv, "--out", "file", "--json")


def test_an_older_run_is_replaced_only_when_asked_and_only_when_complete(csv):
    well("fit", csv, "--epochs", 1, "--out", "mine", "--quiet")
    before = Path("mine/model.json").read_text()
    assert "--force" in refused("fit", csv, "--epochs", 2, "--out", "mine", "--json")
    # a run that fails leaves the older one
    assert "KL" in refused("fit", csv, "--penalty", "kl", "--out", "mine", "--force", "--json")
    assert Path("mine/model.json").read_text() == before
    well("fit", csv, "--epochs", 2, "--out", "mine", "--force", "--quiet")
    assert json.loads(Path("mine/run.json").read_text())["options"]["epochs"] == 2
    assert names_in(".") == ["mine"]


def test_an_empty_folder_is_taken(csv, here):
    (here / "empty").mkdir()
    assert well("fit", csv, "--epochs", 1, "--out", "empty/", "--quiet").out == "empty\n"


def test_two_runs_never_take_the_same_folder(here):
    first, second = _folders.claim(None, "x"), _folders.claim(None, "x")
    assert first.target != second.target
    first.record({})
    assert "--resume" in refused("fit", "digits", "--out", first.target, "--json")


def test_names_become_folders_that_every_system_takes():
    assert _folders._plain("a b/c:d*") == "a-b-c-d"
    assert _folders._plain("***") == "data"
    assert len(_folders._plain("x" * 300)) == 60


def test_a_report_that_fails_keeps_the_model(csv, monkeypatch):
    from narrows import plots

    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "samples", broken)
    told = well("fit", csv, "--epochs", 1, "--json")
    assert told.json["problems"] == ["the figure samples.png could not be made: RuntimeError: no ink"]
    package.load(told.json["run"])
