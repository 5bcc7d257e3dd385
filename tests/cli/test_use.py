"""What is done with a model: every verb, in every form of output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import narrows as package
from narrows.data import open_source, read_table

from .conftest import refused, well


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- codes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["c.csv", "c.parquet", "c.json", "c.npz", "c.npy", "c.tsv"])
def test_codes_go_out_and_come_back_in_any_form(table_run, csv, out):
    told = well("encode", table_run, csv, "--out", out, "--json")
    assert told.json == {"out": out, "rows": 80, "code_size": 2}
    well("decode", table_run, out, "--out", "rows.parquet")
    model = package.load(table_run)
    expected = model.inverse_transform(model.transform(read_table(csv)))
    assert pq.read_table("rows.parquet").to_pylist() == expected.to_pylist()


def test_codes_of_pictures_carry_the_file_names(photo_run, pngs):
    well("encode", photo_run, pngs, "--out", "c.csv")
    table = read_table("c.csv")
    assert table.column_names == ["file", "code0", "code1", "code2"]
    assert table["file"].to_pylist() == open_source(str(pngs)).names
    well("decode", photo_run, "c.csv", "--out", "back.npz")
    assert np.load("back.npz")["images"].shape == (30, 8, 10, 3)


def test_columns_the_model_does_not_know_are_left_out_and_named(place, csv):
    well("fit", csv, "--epochs", 1, "--drop", "id", "--out", place / "no-id", "--quiet", "--force")
    told = well("encode", place / "no-id", csv, "--out", "c.csv")
    assert "left out: id" in told.err


# --- rows of tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["r.csv", "r.parquet", "r.json"])
def test_reconstructed_tables_keep_names_and_types(table_run, csv, out):
    assert well("reconstruct", table_run, csv, "--out", out, "--json").json["rows"] == 80
    original, back = read_table(csv), read_table(out)
    assert back.column_names == original.column_names
    assert back.num_rows == 80
    assert back["colour"].null_count == 0  # blanks come back filled
    assert set(back["same"].to_pylist()) == {5}
    if out.endswith("parquet"):
        assert back.schema.types == original.schema.types


def test_denoising_with_a_model_that_did_not_learn_it_is_said(table_run, csv):
    told = well("denoise", table_run, csv, "--out", "d.csv")
    assert "not trained to denoise" in told.err
    assert read_table("d.csv").num_rows == 80


def test_sampled_tables_are_the_same_for_the_same_seed(table_run):
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        well("sample", table_run, "-n", 17, "--seed", seed, "--out", name)
    a, b, c = (Path(f"{n}.csv").read_text() for n in "abc")
    assert a == b != c
    assert read_table("a.csv").num_rows == 17
    assert set(read_table("a.csv")["colour"].to_pylist()) <= {"red", "green", "blue"}


def test_interpolation_begins_and_ends_at_the_rows_reconstructions(table_run, csv):
    well("interpolate", table_run, csv, "--from", 3, "--to", -1, "--steps", 5, "--out", "i.parquet")
    well("reconstruct", table_run, csv, "--out", "r.parquet")
    line, rows = pq.read_table("i.parquet").to_pylist(), pq.read_table("r.parquet").to_pylist()
    assert len(line) == 5
    assert line[0]["height"] == pytest.approx(rows[3]["height"], abs=1e-3)
    assert line[-1]["height"] == pytest.approx(rows[-1]["height"], abs=1e-3)


# --- rows of images ------------------------------------------------------------------------------------------


def test_images_as_grid_array_and_folder(digits_run, here):
    told = well("reconstruct", digits_run, "digits", "--out", "grid.png")
    assert "the first 100 of 1,797" in told.out
    assert min(Image.open("grid.png").size) > 80
    well("reconstruct", digits_run, "digits", "--out", "all.npz")
    assert np.load("all.npz")["images"].shape == (1797, 8, 8)
    well("sample", digits_run, "-n", 7, "--out", "seven")
    assert len(list((here / "seven").glob("*.png"))) == 7
    assert "--force" in refused("sample", digits_run, "-n", 3, "--out", "seven", "--json").replace(
        "overwrite=True", "--force"
    )
    well("sample", digits_run, "-n", 3, "--out", "seven", "--force")
    assert len(list((here / "seven").glob("*.png"))) == 3


def test_reconstructed_pictures_keep_their_names(photo_run, pngs, here):
    well("reconstruct", photo_run, pngs, "--out", "out/pictures")
    assert sorted(p.name for p in (here / "out" / "pictures").iterdir()) == [f"photo-{i:02}.png" for i in range(30)]
    assert Image.open(here / "out" / "pictures" / "photo-04.png").size == (10, 8)
    assert [p.name for p in (here / "out").iterdir()] == ["pictures"]
    assert "already holds files" in refused("reconstruct", photo_run, pngs, "--out", "out/pictures", "--json")


def test_interpolated_images_stand_in_one_row(digits_run):
    well("interpolate", digits_run, "digits", "--from", 0, "--to", 9, "--steps", 6, "--out", "i.png")
    width, height = Image.open("i.png").size
    assert width > 5 * height


# --- other verbs ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_onnx(table_run):
    pytest.importorskip("onnxscript")
    told = well("export", table_run, "--onnx", "ox", "--json")
    assert told.json["files"] == ["decoder.onnx", "encoder.onnx"]


def test_info_says_what_the_model_is(table_run):
    told = well("info", table_run, "--json")
    model = package.load(table_run)
    assert told.json["estimator"] == "Autoencoder"
    assert told.json["code_size"] == 2
    assert told.json["reasons"] == model.reasons_
    assert told.json["training"]["diagnosis"] == model.history_.diagnose()
    assert told.json["columns"] == [
        {k: list(v) if isinstance(v, tuple) else v for k, v in c.items()} for c in model.format_.describe()
    ]
    words = well("info", table_run).out
    for expected in ("tables of 6 columns", "Held-out squared error", "colour", "3: ", "1960-03-01", "networks.Dense("):
        assert expected in words


def test_info_of_pictures_and_of_the_installation(photo_run):
    assert "rgb images of 8 × 10 pixels" in well("info", photo_run).out
    told = well("info", "--json")
    assert told.json["versions"]["narrows"] == package.__version__
    assert any(d.startswith("cpu") for d in told.json["devices"])


def test_samples_are_listed_and_exported(here):
    listed = well("data", "list", "--json").json["samples"]
    assert {"digits", "fashion", "banknote", "census"} <= {s["name"] for s in listed if s["embedded"]}
    assert "CC BY 4.0" in well("data", "list").out
    well("data", "export", "banknote", "--out", "b.csv")
    assert read_table("b.csv").num_rows == 1372
    well("data", "export", "fashion", "--out", "f.npz")
    assert np.load("f.npz")["test"].shape == (1000, 28, 28)
    assert "did you mean fashion" in refused("data", "export", "fashon", "--out", "f.npz", "--json")


# --- bad input -----------------------------------------------------------------------------------------------


def test_a_folder_without_a_model(here, csv):
    (here / "empty").mkdir()
    for words in (["info"], ["encode"], ["sample"]):
        more = {"encode": [csv, "--out", "c.csv"], "sample": ["--out", "s.csv"]}.get(words[0], [])
        assert "holds no model" in refused(*words, "empty", *more, "--json")


def test_a_damaged_model(table_run, here, csv):
    import shutil

    shutil.copytree(table_run, here / "copy")
    model = here / "copy" / "model.json"
    model.write_text(model.read_text().replace('"code_size": 2', '"code_size": 3'))
    assert "checksum" in refused("info", "copy", "--json")
    assert "checksum" in refused("encode", "copy", csv, "--out", "c.csv", "--json")


def test_rows_of_another_kind(table_run, digits_run, csv):
    assert "holds a table, but this model was fitted on images" in refused(
        "encode", digits_run, csv, "--out", "c.csv", "--json"
    )
    assert "holds images, but this model was fitted on a table" in refused(
        "encode", table_run, "digits", "--out", "c.csv", "--json"
    )
    assert "height" in refused("encode", table_run, "banknote", "--out", "c.csv", "--json")
    assert "8 × 8" in refused("encode", digits_run, "fashion", "--out", "c.csv", "--json")


def test_codes_of_another_width_or_kind(table_run, digits_run, csv):
    well("encode", digits_run, "digits", "--out", "c.npy")
    assert "2 numbers each, not 4" in refused("decode", table_run, "c.npy", "--out", "r.csv", "--json")
    assert "more than numbers" in refused("decode", table_run, csv, "--out", "r.csv", "--json")


def test_endings_that_do_not_fit(table_run, digits_run, csv, here):
    assert "cannot write" in refused("encode", table_run, csv, "--out", "c.xyz", "--json")
    assert "these rows are a table" in refused("sample", table_run, "--out", "s.png", "--json")
    assert "these rows are images" in refused("sample", digits_run, "--out", "s.csv", "--json")
    assert list(here.iterdir()) == []


def test_rows_that_are_not_there(table_run, csv):
    assert "from 0 to 79" in refused("interpolate", table_run, csv, "--to", 80, "--out", "i.csv", "--json")
    assert "--steps" in refused("interpolate", table_run, csv, "--steps", 1, "--out", "i.csv", "--json")
    assert "--number" in refused("sample", table_run, "-n", 0, "--out", "s.csv", "--json")


def test_missing_columns_are_listed_on_one_line(table_run, here):
    (here / "few.csv").write_text("age,rest\n1,2\n3,4\n")
    said = refused("encode", table_run, "few.csv", "--out", "c.csv", "--json")
    assert " - " not in said.replace("--", "")
    assert "missing: " in said


def test_a_place_that_cannot_be_written_names_the_folder(table_run, csv, here):
    (here / "file").write_text("in the way")
    said = refused("encode", table_run, csv, "--out", "file/c.csv", "--json")
    assert "file" in said
    assert "/.c-" not in said
