"""``narrows compare``."""

from __future__ import annotations

import json

import numpy as np
import pytest

import narrows

from .conftest import names_in, refused, well


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("compare") / "flowers.csv"
    kinds = rng.choice(["rose", "lily"], 200)
    lines = [f"{k},{rng.normal(3 + 2 * (k == 'rose')):.3f},{rng.normal():.3f}" for k in kinds]
    path.write_text("kind,length,width\n" + "\n".join(lines) + "\n")
    return path


def test_models_side_by_side(flowers):
    out = flowers.parent / "side"
    told = well("compare", flowers, "--models", "VAE,flow", "--epochs", 2, "--time-budget", "20s", "-o", out, "--json")
    assert told.json["run"] == str(out)
    assert [m["estimator"] for m in told.json["models"]] == ["VariationalAutoencoder", "Flow"]
    assert told.json["models"][0]["likelihood"] is None
    assert told.json["models"][1]["likelihood"] < 0
    assert (told.json["trained_on"], told.json["measured"], told.json["time_budget"]) == (160, 40, 20)
    assert names_in(out) == ["compare.html", "comparison.json", "figures", "models", "run.json"]
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    assert narrows.load(out / "models" / "vae").sample(3).num_rows == 3
    assert "older run" in refused("compare", flowers, "--models", "vae", "--epochs", 1, "-o", out)


def test_words_for_people_and_labels(flowers):
    told = well(
        "compare", flowers, "--models", "latent-diffusion", "--labels", "kind", "--epochs", 1,
        "-o", flowers.parent / "one", "-n", 20,
    )  # fmt: skip
    assert "160 rows to learn from, 40 held out" in told.out
    assert "Nearest to held-out rows: latent-diffusion" in told.out
    assert "narrows generate" in told.out
    model = narrows.load(flowers.parent / "one" / "models" / "latent-diffusion")
    assert list(model.classes_) == ["lily", "rose"]
    assert model.sample(2, where="label = 'rose'").column_names == ["length", "width"]


def test_where_all_fail_nothing_is_left(flowers):
    text = flowers.parent / "constant.csv"
    text.write_text("a\n" + "1\n" * 120)
    told = refused("compare", text, "--models", "diffusion", "-o", flowers.parent / "none")
    assert "no model has a result: diffusion has no result: all 86 rows are the same" in told
    assert not (flowers.parent / "none").exists()
    assert not (flowers.parent / "none.partial").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--models", "vae,teapot"), "'teapot' is not known"),
        (("--models", "vae,variational"), "vae and variational are the same model"),
        (("--models", " , "), "names no model"),
        (("--models", "vae", "--time-budget", "soon"), "no length of time"),
        (("--models", "vae", "--held-out", "0"), "0 rows are held out"),
        (("--models", "vae", "--labels", "colour"), "there is no such column"),
    ],
    ids=["unknown", "twice", "none", "time", "held-out", "labels"],
)
def test_what_cannot_be_is_refused_at_once(flowers, words, why):
    assert why in refused("compare", flowers, *words, "-o", flowers.parent / "refused")
    assert not (flowers.parent / "refused").exists()
    assert not (flowers.parent / "refused.partial").exists()
