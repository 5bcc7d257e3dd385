"""``narrows detect`` and ``narrows evaluate`` from file to file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import narrows
from narrows import AnomalyDetector, Training
from narrows.cli._app import app

BRIEF = Training(epochs=20, batch_size=100, validation=0.0)


def rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    frame = pd.DataFrame({"a": a, "b": 2 * a + 0.1 * rng.normal(size=n), "c": np.where(a > 0, "large", "small")})
    frame.iloc[rng.permutation(n)[: n // 15], 0] = None
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("detect")
    frame, new = rows(300, 0), rows(40, 1)
    frame.to_csv(place / "clean.csv", index=False)
    new.loc[7, "b"] = 40.0
    new.to_csv(place / "new.csv", index=False)
    AnomalyDetector(trim=0.0, members=2, training=BRIEF, random_state=0).fit(frame).save(place / "detector")
    narrows.VariationalAutoencoder(2, training=Training(epochs=2), random_state=0).fit(frame).save(place / "model")
    return place


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


def test_learns_from_clean_rows_and_writes_scores(folder):
    out = folder / "scores.parquet"
    done = run("detect", folder / "new.csv", "--train", folder / "clean.csv", "--out", out, "--save", folder / "kept")
    assert done.exit_code == 0, done.output
    assert "of 40 rows are alarms at a false-alarm rate of 0.01" in done.stdout
    assert "assumed that all rows learnt from are normal" in done.stdout
    found = pd.read_parquet(out)
    assert list(found.columns) == ["row", "score", "p_value", "alarm", "reason"]
    assert found["score"].idxmax() == 7
    assert found["alarm"][7]
    assert found["reason"][7].startswith("b = 40, expected ")
    assert found["reason"][~found["alarm"]].isna().all()
    assert isinstance(narrows.load(folder / "kept"), AnomalyDetector)


def test_a_saved_detector_judges_and_reports(folder):
    out = folder / "scores.csv"
    words = ("--model", folder / "detector", "--fdr", 0.2, "--with-rows", "--out", out, "--json")
    done = run("detect", folder / "new.csv", *words)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["rows"] == 40
    assert report["strangest"][0]["row"] == 7
    found = pd.read_csv(out)
    assert found["b"][7] == 40.0
    assert found["alarm"].sum() == report["alarms"] >= 1


def test_a_fitted_model_judges_by_reconstruction(folder):
    done = run("detect", folder / "new.csv", "--model", folder / "model", "--train", folder / "clean.csv", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["strangest"][0]["row"] == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "scores.txt"), "end the name in .csv"),
        (("--alarm-rate", 0.1, "--fdr", 0.1), "not both"),
        (("--alarm-rate", 3), "alarm_rate=3"),
        (("--train", "clean.csv", "--trim", 0.1), "taken to be normal"),
        (("--model", "detector", "--train", "clean.csv"), "a detector already"),
        (("--model", "nothing"), "holds no model"),
    ],
)
def test_what_cannot_be_done_is_said(folder, words, said):
    words = tuple(folder / w if w in ("clean.csv", "detector", "nothing") else w for w in words)
    done = run("detect", folder / "new.csv", *words)
    assert done.exit_code != 0
    assert said in " ".join(done.output.split())


def test_info_and_other_verbs(folder):
    done = run("info", folder / "detector", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["estimator"] == "AnomalyDetector"
    refused = run("encode", folder / "detector", folder / "new.csv", "--out", folder / "codes.csv")
    assert refused.exit_code != 0


@pytest.mark.parametrize("model", ["detector", "model"])
def test_anomaly_rate_per_group(folder, model):
    done = run("evaluate", folder / model, folder / "clean.csv", "--by", "c", "--json")
    assert done.exit_code == 0, done.output
    groups = {g["name"]: g for g in json.loads(done.stdout)["groups"]}
    assert set(groups) == {"large", "small"}
    for group in groups.values():
        rate = group["alarms"]
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] < 0.3
    assert (groups["large"]["made"] is None) == (model == "detector")
