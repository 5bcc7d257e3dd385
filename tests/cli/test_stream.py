"""Commands on data larger than a budget: the same results, written whole or not at all."""

from __future__ import annotations

import errno

import numpy as np
import pyarrow.parquet as pq
import pytest

from narrows.cli import _stream
from narrows.data import read_table

from .conftest import names_in, narrows, refused, well

SMALL = ("--memory", "64KiB")


def stopped(*words: object) -> str:
    """Run a command that begins to read and must then stop with one sentence; the sentence."""
    told = narrows(*words)
    assert told.code == 2, (told.code, told.err)
    *notes, line = told.err.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def numbers(place):
    rng = np.random.default_rng(0)
    path = place / "numbers.csv"
    codes = rng.normal(size=(900, 2))
    values = codes @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(900, 4))
    lines = [",".join(f"{v:.4f}" for v in row) + f",{'up' if row[0] > 0 else 'down'}" for row in values]
    path.write_text("a,b,c,d,kind\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def streamed_run(place, numbers):
    told = well("fit", numbers, *SMALL, "--epochs", 2, "--code-size", 2, "--out", place / "streamed", "--json")
    return place / "streamed", told.json


def test_fit_streams_and_says_so(streamed_run):
    folder, told = streamed_run
    assert any("above the budget of 64 KiB: read piece by piece" in note for note in told["notes"])
    assert told["rows"] + told["held_out"] == 900
    assert 30 < told["held_out"] < 180
    assert told["problems"] == []
    assert told["comparison"] is not None
    page = (folder / "report.html").read_text()
    assert "read piece by piece; " in page
    assert "are shown" in page


def test_fit_says_when_all_is_in_memory(place, numbers):
    told = well("fit", numbers, "--memory", "1GiB", "--epochs", 1, "--out", place / "memory", "--json").json
    assert "within the budget of 1 GiB: learnt in memory" in told["notes"]


def test_fit_streams_with_chosen_columns_and_colour(place, numbers):
    options = ("--drop", "kind", "--colour", "kind", "--out", place / "coloured")
    told = well("fit", numbers, *SMALL, "--epochs", 1, *options, "--json").json
    assert told["problems"] == []
    assert len(told["reasons"]) > 0
    assert "4 columns: 4 numbers" in told["reasons"][0]


@pytest.mark.parametrize("verb", ["encode", "score", "reconstruct", "denoise"])
def test_results_do_not_depend_on_the_budget(place, numbers, streamed_run, verb, monkeypatch):
    written = []
    real = _stream.write_parts
    monkeypatch.setattr(_stream, "write_parts", lambda parts, out: written.append(out) or real(parts, out))
    whole, parts = place / f"{verb}-whole.parquet", place / f"{verb}-parts.parquet"
    well(verb, streamed_run[0], numbers, "--out", whole)
    assert written == []
    assert well(verb, streamed_run[0], numbers, *SMALL, "--out", parts, "--json").json["rows"] == 900
    assert written == [str(parts)]
    assert pq.read_metadata(parts).num_row_groups > 3
    one, two = read_table(whole), read_table(parts)
    assert one.column_names == two.column_names
    for name in one.column_names:
        assert one[name].to_pylist() == two[name].to_pylist()


def test_scores_are_those_of_the_model(place, numbers, streamed_run):
    from narrows import load

    out = place / "scores.csv"
    assert "900 scores, in nats per row" in well("score", streamed_run[0], numbers, "--out", out).out
    expected = load(streamed_run[0]).score_samples(read_table(numbers))
    assert np.allclose(read_table(out)["score"].to_numpy(), expected)


def test_images_stream(place, pngs, photo_run):
    out = place / "photo-codes.parquet"
    well("encode", photo_run, pngs, "--memory", "20KiB", "--out", out)
    table = read_table(out)
    assert table.column_names == ["file", "code0", "code1", "code2"]
    well("encode", photo_run, pngs, "--out", place / "photo-whole.parquet")
    assert read_table(place / "photo-whole.parquet").equals(table)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_many_samples_are_written_as_they_come(place, streamed_run, monkeypatch, ending):
    monkeypatch.setattr(_stream, "PART", 40)
    out = place / f"made.{ending}"
    assert well("sample", streamed_run[0], "-n", 100, "--seed", 3, "--out", out, "--json").json["rows"] == 100
    made = read_table(out)
    assert made.num_rows == 100
    assert made.column_names == ["a", "b", "c", "d", "kind"]
    parts = [made.slice(start, 20)["a"].to_pylist() for start in (0, 40, 80)]
    assert parts[0] != parts[1] != parts[2] != parts[0]  # every part has a seed of its own
    well("sample", streamed_run[0], "-n", 40, "--seed", 3, "--out", place / "first.parquet")
    assert np.allclose(read_table(place / "first.parquet")["a"].to_numpy(), made["a"].to_numpy()[:40])


def test_many_rows_are_generated_as_they_come(place, numbers, streamed_run, monkeypatch):
    monkeypatch.setattr(_stream, "PART", 50)
    out = place / "generated.parquet"
    told = well("generate", streamed_run[0], "-n", 120, "--balance", "kind", "--out", out, "--json").json
    assert told["rows"] == 120
    made = read_table(out)
    assert sorted(made["kind"].to_pylist()).index("up") == 60
    assert len(set(made["a"].to_pylist())) > 100
    assert "end the name in .parquet or .csv" in refused(
        "generate", streamed_run[0], "-n", 120, "--out", place / "made.json"
    )


def test_nothing_half_written_is_left(place, numbers, streamed_run, tmp_path, monkeypatch):
    """A disk that is full after some row groups: told, and what was there before stays."""
    out = tmp_path / "codes.parquet"
    well("encode", streamed_run[0], numbers, *SMALL, "--out", out)
    before = out.read_bytes()
    real, calls = pq.ParquetWriter.write_table, []

    def write(self, table, *args, **kwargs):
        if "code0" in table.column_names:
            calls.append(table)
            if len(calls) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, table, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    line = stopped("encode", streamed_run[0], numbers, *SMALL, "--out", out)
    assert "the disk is full: there is no room for" in line
    assert out.read_bytes() == before
    assert names_in(tmp_path) == ["codes.parquet"]


def test_a_damaged_shard_leaves_no_output(place, numbers, streamed_run, tmp_path):
    for part in range(3):
        pq.write_table(read_table(numbers).slice(300 * part, 300), tmp_path / f"{part}.parquet", row_group_size=10)
    raw = bytearray((tmp_path / "2.parquet").read_bytes())
    group = pq.read_metadata(tmp_path / "2.parquet").row_group(4).column(0)
    start = group.dictionary_page_offset or group.data_page_offset
    raw[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    (tmp_path / "2.parquet").write_bytes(bytes(raw))
    line = stopped("score", streamed_run[0], tmp_path / "*.parquet", *SMALL, "--out", tmp_path / "scores.csv")
    assert "2.parquet, row group 4 (10 rows), cannot be read" in line
    assert names_in(tmp_path) == ["0.parquet", "1.parquet", "2.parquet"]


def test_what_cannot_be_written_in_parts_is_refused(numbers, streamed_run, tmp_path):
    line = stopped("encode", streamed_run[0], numbers, *SMALL, "--out", tmp_path / "codes.npz")
    assert "end the name in .parquet or .csv" in line
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("memory", ["much", "0", "-1GiB"])
def test_a_budget_that_is_none_is_refused(numbers, memory):
    assert "no amount of memory" in refused("fit", numbers, f"--memory={memory}")
