"""``narrows impute`` from file to file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from narrows import Imputer
from narrows.cli._app import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("impute")
    rng = np.random.default_rng(0)
    a = rng.normal(size=120)
    frame = pd.DataFrame({"a": a, "b": 2 * a + 0.1 * rng.normal(size=120), "c": np.where(a > 0, "large", "small")})
    for j in range(3):
        frame.iloc[rng.permutation(120)[:20], j] = None
    frame.to_csv(place / "table.csv", index=False)
    Imputer(members=0, random_state=0).fit(frame).save(place / "imputer")
    return place


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


def test_fills_with_a_saved_imputer_and_reports(folder):
    out = folder / "filled.csv"
    done = run("impute", folder / "table.csv", "--model", folder / "imputer", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["blanks"] == 60
    assert "missing at random" in report["assumption"]
    assert set(report["self_test"]["squared_error"]) == {"narrows", "mean/mode", "kNN", "iterative"}
    before, after = pd.read_csv(folder / "table.csv"), pd.read_csv(out)
    assert not after.isna().any().any()
    seen = before["b"].notna()
    assert (after["b"][seen] == before["b"][seen]).all()


def test_draws_are_numbered(folder):
    out = folder / "draws.csv"
    words = ("--draws", 3, "--no-self-test", "--model", folder / "imputer", "--out", out)
    done = run("impute", folder / "table.csv", *words)
    assert done.exit_code == 0, done.output
    assert "missing at random" in done.output
    assert pd.read_csv(out)["draw"].value_counts().to_dict() == {1: 120, 2: 120, 3: 120}


def test_a_saved_imputer_is_described_and_has_no_codes(folder):
    done = run("info", folder / "imputer", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["estimator"] == "Imputer"
    assert [column["name"] for column in found["columns"]] == ["a", "b", "c"]
    refused = run("encode", folder / "imputer", folder / "table.csv", "--out", folder / "codes.csv")
    assert refused.exit_code == 2
    assert "narrows impute --model" in refused.output
    assert not (folder / "codes.csv").exists()
