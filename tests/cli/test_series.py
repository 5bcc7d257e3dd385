"""Series at the command line: recognised, fitted, foretold, watched."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import narrows
from narrows.cli._detect_series import _pointed_to
from narrows.data import read_table

from .conftest import narrows as command
from .conftest import refused, well


def hours(path, seed, spike=0.0):
    random, t = np.random.default_rng(seed), np.arange(400)
    x = np.sin(2 * np.pi * t / 12) + 0.1 * random.normal(size=400)
    x[200] += spike
    pd.DataFrame({"time": pd.date_range("2026-01-01", periods=400, freq="h"), "load": x}).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def hourly(tmp_path):
    return hours(tmp_path / "load.csv", 0)


@pytest.mark.slow
def test_a_set_of_series_is_fitted_sampled_and_described(tmp_path):
    run = str(tmp_path / "run")
    result = well("fit", "heartbeats", "--epochs", "2", "--code-size", "4", "--out", run, "--json").json
    assert result["kind"] == "series"
    assert result["held_out"] == 120
    assert not result["problems"]
    assert {"figures/reconstructions.png", "figures/samples.png", "report.html"} <= set(result["files"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert (
        "140 steps × 1 channel" in page and "Originals and their reconstructions" in page
    ) or "reconstructions" in page
    well("sample", run, "-n", "3", "--out", str(tmp_path / "made.npz"))
    assert np.load(tmp_path / "made.npz")["series"].shape == (3, 140)
    well("encode", run, "heartbeats", "--out", str(tmp_path / "codes.csv"))
    assert read_table(str(tmp_path / "codes.csv")).num_columns == 4
    assert "series of up to 140 steps" in well("info", run).out


def test_one_long_series_holds_out_its_end(hourly, tmp_path):
    found = well("fit", hourly, "--epochs", "2", "--code-size", "2", "--out", str(tmp_path / "run"), "--json").json
    assert found["kind"] == "series"
    assert any("last 40 steps were held out" in n for n in found["notes"])
    table = well("fit", hourly, "--as", "table", "--epochs", "1", "--out", str(tmp_path / "t"), "--json").json
    assert table["kind"] == "table"


def test_a_forecast_is_written_drawn_and_kept(tmp_path):
    out, model = str(tmp_path / "f.csv"), str(tmp_path / "model")
    said = well(
        "forecast", "passengers", "-n", "3", "--epochs", "2", "--out", out, "--figure", str(tmp_path / "f.png"),
        "--save", model,
    ).out  # fmt: skip
    assert "beside naive" in said
    assert "season of 12 steps" in said
    rows = list(csv.DictReader(Path(out).read_text().splitlines()))
    assert [r["Month"] for r in rows] == ["1961-01", "1961-02", "1961-03"]
    assert all(float(r["low"]) <= float(r["mean"]) <= float(r["high"]) for r in rows)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    again = well("forecast", model, "-n", "3", "--json").json
    np.testing.assert_allclose(again["forecast"]["mean"], [float(r["mean"]) for r in rows])
    assert narrows.load(model).season_ == 12
    assert "is for learning" in command("forecast", model, "--season", "4").err


def test_strange_stretches_are_told_and_every_step_written(hourly, tmp_path):
    out, new = str(tmp_path / "scores.csv"), hours(tmp_path / "new.csv", 1, spike=3.0)
    found = well("detect", new, "--train", hourly, "--out", out, "--save", str(tmp_path / "d"), "--json").json
    assert found["steps"] > 300
    rows = list(csv.DictReader(Path(out).read_text().splitlines()))
    assert len(rows) == 400
    assert rows[200]["step"].startswith("2026-01-09 08")
    assert float(rows[200]["point_score"]) == max(float(r["point_score"]) for r in rows if r["point_score"])
    again = well("detect", new, "--model", str(tmp_path / "d"), "--json").json
    assert again["alarms"] == found["alarms"]
    assert "--fdr" in command("detect", hourly, "--fdr", "0.1", "--model", str(tmp_path / "d")).err


def two_long(path, spike=None):
    t = np.arange(400)
    wave = [10 + np.sin(t * np.pi / 10), 20 + np.cos(t * np.pi / 10)]
    if spike is not None:
        wave[1][spike] += 4
    days = np.datetime64("2026-01-01") + t
    lines = [f"{name},{d},{v:.3f}" for name, x in zip("ab", wave, strict=True) for d, v in zip(days, x, strict=True)]
    path.write_text("shop,day,sold\n" + "\n".join(lines) + "\n")
    return str(path)


def test_strange_steps_of_few_long_series_are_found_within_them(tmp_path):
    clean, new = two_long(tmp_path / "clean.csv"), two_long(tmp_path / "new.csv", spike=300)
    out = str(tmp_path / "scores.csv")
    found = well("detect", new, "--train", clean, "--out", out, "--json").json
    worst = found["strangest"][0]
    assert worst["series"] == "b"
    assert worst["from"] <= "2026-10-28" <= worst["to"]
    assert np.datetime64(worst["to"]) - np.datetime64(worst["from"]) < np.timedelta64(20, "D")
    rows = list(csv.DictReader(Path(out).read_text().splitlines()))
    assert len(rows) == 800
    assert (rows[38]["window_from"], rows[39]["window_from"]) == ("", "2026-01-01")
    assert (rows[439]["series"], rows[439]["step"]) == ("b", "2026-02-09")


def test_what_strange_windows_point_to():
    def points(own=()):
        windows = np.full(60, not len(own))
        return SimpleNamespace(alarms=windows, point_alarms=np.isin(np.arange(60), own))

    # windows of ten steps that end at 20 to 29 all hold step 20
    assert _pointed_to(np.arange(20, 30), points(), 10) == (20, 20)
    assert _pointed_to(np.arange(20, 25), points(), 10) == (15, 20)
    assert _pointed_to(np.array([20]), points(), 10) == (11, 20)
    assert _pointed_to(np.arange(20, 40), points(), 10) == (20, 30)
    assert _pointed_to(np.arange(22, 24), points(own=[22, 23]), 10) == (22, 23)
    # the strangest window of a series without an alarm
    assert _pointed_to(
        np.array([20]), SimpleNamespace(alarms=np.zeros(60, bool), point_alarms=np.zeros(60, bool)), 10
    ) == (11, 20)


def test_a_file_without_a_value_is_told_of(tmp_path):
    (tmp_path / "gap.csv").write_text("day,x\n" + "".join(f"2026-01-{d:02},\n" for d in range(1, 21)))
    for words in (("forecast",), ("fit",), ("detect", "--as", "series")):
        assert "(x: all blank)" in refused(words[0], tmp_path / "gap.csv", *words[1:])


def test_series_of_mixed_frequencies_are_brought_to_one_step(tmp_path):
    path = str(tmp_path / "mixed.csv")
    time = pd.date_range("2026-01-01", periods=96, freq="h").append(pd.date_range("2026-01-05", periods=40, freq="D"))
    pd.DataFrame({"time": time, "load": np.sin(np.arange(136) / 3)}).to_csv(path, index=False)
    for verb in (["forecast"], ["detect"], ["fit", "--out", str(tmp_path / "no")]):
        told = refused(verb[0], path, *verb[1:])
        assert "several frequencies" in told
        assert "--every" in told
    found = well("forecast", path, "--every", "1d", "-n", "3", "--epochs", "1", "--json").json
    assert [str(day)[:10] for day in found["forecast"]["time"]] == ["2026-02-14", "2026-02-15", "2026-02-16"]
    fitted = well("fit", path, "--every", "1d", "--epochs", "1", "--out", str(tmp_path / "run"), "--json").json
    assert fitted["kind"] == "series"
    assert any("1 day" in reason for reason in fitted["notes"] + fitted["reasons"])
    assert "no length of time" in refused("detect", path, "--every", "1x")
    assert "leave one out" in refused("fit", path, "--every", "1d", "--as", "table")
