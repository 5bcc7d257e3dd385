"""What a word on the command line means."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image as Pillow

from narrows.data import Image, Table, format_for, format_from_config, load, open_source, write_images
from narrows.errors import InvalidData, InvalidType, UnreadableFile

CSV = "a,b\n1,x\n2,y\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sample_name(here):
    source = open_source("Fashion")
    assert (source.name, source.kind) == ("fashion", "images")
    assert source.data.shape == (6000, 28, 28)
    assert source.test.shape == (1000, 28, 28)
    assert source.format == Image()
    assert source.licence == "MIT"
    assert "MIT" in source.notes[0]


def test_a_sample_table(here):
    source = open_source("census")
    assert source.kind == "table"
    assert source.format == Table()
    assert source.data.num_rows == 5000


def test_an_existing_path_wins_over_a_sample_and_that_is_said(here):
    write_images(np.zeros((3, 4, 4), np.uint8), here / "fashion")
    source = open_source("fashion")
    assert len(source.data) == 3
    assert any("also the name of a sample" in note for note in source.notes)


def test_a_folder_of_images_with_options(here):
    write_images(np.zeros((3, 4, 4), np.uint8), here / "photos")
    (here / "photos/list.csv").write_text(CSV)
    source = open_source("photos/", image_size=(2, 2), skip_bad=True)
    assert source.kind == "images"
    assert source.format == Image(size=(2, 2), skip_bad=True)
    assert source.name == "photos"
    assert [Path(n).name for n in source.names] == ["00000.png", "00001.png", "00002.png"]
    assert any("1 table files" in note for note in source.notes)
    assert source.format.fit(source.data).size == (2, 2)


def test_skipped_images_are_gone_from_the_rows_and_named(here):
    write_images(np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8), here / "photos")
    whole = (here / "photos/00001.png").read_bytes()
    (here / "photos/00001.png").write_bytes(whole[: len(whole) // 2])
    source = open_source("photos", skip_bad=True)
    assert [Path(n).name for n in source.names] == ["00000.png", "00002.png", "00003.png"]
    assert any("1 of 4" in note and "00001.png" in note for note in source.notes)
    assert len(source.format.fit(source.data).to_rows(source.data)) == 3


def test_one_image_and_a_pattern_of_images(here):
    write_images(np.zeros((3, 4, 4), np.uint8), here / "photos")
    (here / "photos/notes.md").write_text("x")
    assert len(open_source("photos/00001.png").data) == 1
    source = open_source("photos/*")
    assert (source.kind, len(source.data)) == ("images", 3)
    assert any("1 files" in note for note in source.notes)


def test_table_files(here):
    (here / "sales.csv").write_text(CSV)
    source = open_source(here / "sales.csv")
    assert (source.name, source.kind) == ("sales", "table")
    assert source.data.column_names == ["a", "b"]
    source.data.to_pandas().to_parquet(here / "sales.parquet")
    assert open_source("sales.parquet").data.num_rows == 2


def test_a_folder_and_a_pattern_of_tables(here):
    (here / "months").mkdir()
    for month in "12":
        (here / f"months/{month}.csv").write_text(CSV)
    for word in ("months", "months/*.csv"):
        source = open_source(word)
        assert (source.name, source.kind, source.data.num_rows) == ("months", "table", 4)
    (here / "months/3.json").write_text("[]")
    with pytest.raises(UnreadableFile, match=r"several kinds \(\.csv, \.json\)"):
        open_source("months")


def test_queries(here):
    (here / "sales.csv").write_text(CSV)
    assert open_source("SELECT a FROM 'sales.csv' WHERE a > 1").data["a"].to_pylist() == [2]
    assert open_source("sales.csv", sql="SELECT b FROM data").data["b"].to_pylist() == ["x", "y"]


def test_a_table_in_a_database(here):
    with sqlite3.connect(here / "shop.db") as database:
        database.execute("create table sales (a integer)")
        database.execute("create table staff (b integer)")
        database.execute("insert into sales values (5)")
    database.close()
    source = open_source("shop.db::sales")
    assert (source.name, source.data["a"].to_pylist()) == ("sales", [5])


def test_array_files(here):
    np.save(here / "flat.npy", np.zeros((5, 3)))
    np.savez(here / "two.npz", images=np.zeros((4, 6, 6), np.uint8), y=np.arange(4), other=np.zeros((9, 9)))
    assert open_source("flat.npy").kind == "table"
    source = open_source("two.npz")
    assert (source.kind, source.data.shape) == ("images", (4, 6, 6))
    assert source.labels.tolist() == [0, 1, 2, 3]
    assert "images" in source.notes[0]
    assert open_source("two.npz::other").data.shape == (9, 9)
    with pytest.raises(InvalidData, match="called 'nothing'"):
        open_source("two.npz::nothing")


def test_array_files_with_objects_or_damage_are_refused(here):
    np.save(here / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (here / "cut.npz").write_bytes(b"PK\x03\x04")
    np.save(here / "line.npy", np.arange(4))
    for name, error in (("objects.npy", UnreadableFile), ("cut.npz", UnreadableFile), ("line.npy", InvalidData)):
        with pytest.raises(error, match=name):
            open_source(name)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("fasion", "Did you mean the sample fashion"),
        ("nowhere/at/all.csv", "no file, folder or sample 'nowhere/at/all.csv'"),
        ("*.nothing", "no file matches"),
        ("https://example.org/x.csv", "Download it first"),
        ("report.docx", r"no known kind \(\.docx\)"),
        ("", "no file, folder or sample ''"),
    ],
)
def test_unknown_words_are_answered(here, word, says):
    (here / "report.docx").touch()
    with pytest.raises(UnreadableFile, match=says):
        open_source(word)


def test_an_empty_folder(here):
    (here / "void").mkdir()
    with pytest.raises(InvalidData, match="neither images nor table files"):
        open_source("void")


def test_data_itself():
    array = np.zeros((3, 4, 4))
    source = open_source(array)
    assert (source.kind, source.data is array) == ("images", True)


@pytest.mark.parametrize(
    "data",
    [np.zeros((4, 2)), pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), [[1, 2], [3, 4]], load("banknote").data],
    ids=["array", "pandas", "polars", "lists", "arrow"],
)
def test_tables_get_the_table_format(data):
    assert format_for(data, size=(2, 2)) == Table()


@pytest.mark.parametrize(
    "data",
    [np.zeros((4, 2, 2)), np.zeros((4, 2, 2, 3)), ["a.png"], [Path("b.jpg")], [Pillow.new("L", (1, 1))], "folder"],
)
def test_images_get_the_image_format(data):
    assert format_for(data, mode="grey", size=None) == Image(mode="grey")


def test_what_is_neither():
    with pytest.raises(InvalidType, match="neither a table nor images"):
        format_for(7)
    with pytest.raises(InvalidData, match="too many axes"):
        format_for(np.zeros((1, 1, 1, 1, 1)))


@pytest.mark.parametrize("data", [np.random.default_rng(0).random((9, 3)), np.zeros((3, 4, 4), np.uint8)])
def test_formats_come_back_from_their_description(data):
    fitted = format_for(data).fit(data)
    again = format_from_config(fitted.to_config())
    np.testing.assert_array_equal(again.to_rows(data).values, fitted.to_rows(data).values)


def test_importing_the_room_is_cheap():
    code = "import sys, narrows.data; print(sorted({'torch', 'PIL', 'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
