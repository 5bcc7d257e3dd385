"""Commands on data larger than a budget: the same results, written whole or not at all."""

from __future__ import annotations

import errno

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from narrows import AnomalyDetector, Imputer, Training
from narrows.cli import _stream
from narrows.data import TableStream, open_stream, read_table

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


@pytest.fixture(scope="module")
def holes(place):
    """300 rows with blanks, one of them strange."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    columns = {"a": a, "b": 2 * a + 0.1 * rng.normal(size=300), "n": (10 * a).astype(int)}
    columns["b"][17] = 30.0
    blank = {name: pa.array(v, mask=rng.random(300) < 0.1 * (name != "b")) for name, v in columns.items()}
    table = pa.table({**blank, "kind": ["up" if x > 0 else "down" for x in a]})
    pq.write_table(table, place / "holes.parquet")
    brief = Training(epochs=10, batch_size=100, validation=0.0)
    AnomalyDetector(trim=0.0, members=2, training=brief, random_state=0).fit(table).save(place / "holes-detector")
    Imputer(members=0, random_state=0).fit(table).save(place / "holes-imputer")
    return place / "holes.parquet"


@pytest.mark.parametrize("rate", [("--alarm-rate", 0.05), ("--fdr", 0.9)], ids=["rate", "fdr"])
def test_strange_rows_do_not_depend_on_the_budget(place, holes, rate):
    shifted = read_table(holes).slice(0, 290)
    column = pa.array([None if v is None else v + 0.001 for v in shifted["a"].to_pylist()])
    pq.write_table(shifted.set_column(0, "a", column), place / "shifted.parquet")  # no training rows
    tables, told = [], []
    for memory in ("1GiB", "16KiB"):
        out = place / f"strange-{memory}.parquet"
        words = ("--model", place / "holes-detector", *rate, "--with-rows", "--out", out, "--json")
        told.append(well("detect", place / "shifted.parquet", "--memory", memory, *words).json)
        tables.append(read_table(out))
    assert {**told[0], "out": ""} == {**told[1], "out": ""}
    assert told[0]["strangest"][0]["row"] == 17
    assert tables[0].column_names == tables[1].column_names
    for name in tables[0].column_names:
        assert tables[0][name].to_pylist() == tables[1][name].to_pylist()
    if "--alarm-rate" in rate:
        assert told[0]["alarms"] > 0
        assert tables[1]["reason"].to_pylist()[17].startswith("b = 30")


def test_a_detector_learns_from_a_stream(place, holes):
    """All of so few rows are learnt from, so that it learns the same."""
    stream = open_stream(holes, memory="16KiB")
    assert len(stream.sizes) > 3
    brief = Training(epochs=3, batch_size=100, validation=0.0)
    one, two = (
        AnomalyDetector(trim=0.0, members=2, training=brief, random_state=0).fit(rows)
        for rows in (read_table(holes), stream)
    )
    assert np.array_equal(one.anomaly_score(read_table(holes)), two.anomaly_score(read_table(holes)))


def test_filled_blanks_do_not_depend_on_the_budget(place, holes):
    words = ("--model", place / "holes-imputer", "--no-self-test", "--json")
    one, two = place / "filled.parquet", place / "filled-parts.parquet"
    told = [well("impute", holes, *words, "--out", one).json]
    told.append(well("impute", holes, *words, "--memory", "16KiB", "--out", two).json)
    assert told[0]["blanks"] == told[1]["blanks"] > 30
    filled = read_table(two)
    assert filled.equals(read_table(one))
    assert sum(column.null_count for column in filled.columns) == 0
    # observed cells are as they were
    for name in filled.column_names:
        for given, now in zip(read_table(holes)[name].to_pylist(), filled[name].to_pylist(), strict=True):
            assert given is None or given == now


def test_a_long_table_in_memory_is_filled_in_parts(place, holes, monkeypatch):
    words, found = ("--model", place / "holes-imputer", "--no-self-test", "--out", place / "filled.parquet"), []
    for part in (100_000, 70):
        monkeypatch.setattr(_stream, "PART", part)
        well("impute", holes, *words)
        found.append(read_table(place / "filled.parquet"))
    assert found[0].equals(found[1])


def test_draws_of_a_stream_are_numbered_and_vary(place, holes):
    out = place / "draws.parquet"
    model = ("--model", place / "holes-imputer")
    well("impute", holes, *model, "--no-self-test", "--memory", "16KiB", "--draws", 2, "--out", out)
    drawn = read_table(out)
    assert drawn["draw"].to_pylist() == [1] * 300 + [2] * 300
    blank = np.array([v is None for v in read_table(holes)["a"].to_pylist()])
    one, two = (drawn.slice(start, 300)["a"].to_numpy() for start in (0, 300))
    assert np.array_equal(one[~blank], two[~blank])
    assert (one[blank] != two[blank]).all()


def test_rows_are_made_up_after_a_stream(place, numbers):
    out = place / "made-up.parquet"
    told = well("generate", numbers, "--memory", "64KiB", "--epochs", 2, "-n", 90, "--out", out, "--json")
    assert read_table(out).num_rows == 90
    assert "rows, chosen by chance" in told.err
    assert told.json["report"] is not None


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


def test_a_shard_that_breaks_while_a_model_learns(numbers, tmp_path, monkeypatch):
    """It is named, and the run can be gone on with once the shard is whole again."""
    data, run = tmp_path / "data", tmp_path / "run.partial"
    data.mkdir()
    for part in range(3):
        pq.write_table(read_table(numbers).slice(300 * part, 300), data / f"{part}.parquet", row_group_size=10)
    words = ("--epochs", 3, "--checkpoint-every", 0, "--out", tmp_path / "run")
    whole, real = (data / "1.parquet").read_bytes(), TableStream.load

    def load(self, piece):
        if (run / "checkpoint" / "checkpoint.json").exists():
            (data / "1.parquet").write_bytes(whole[: len(whole) // 2])
        return real(self, piece)

    monkeypatch.setattr(TableStream, "load", load)
    line = stopped("fit", data, *SMALL, *words)
    assert "1.parquet, row group " in line
    assert names_in(tmp_path) == ["data", "run.partial"]
    assert names_in(run) == ["checkpoint", "run.json"]
    monkeypatch.undo()
    (data / "1.parquet").write_bytes(whole)
    well("fit", data, *SMALL, *words, "--resume")
    assert names_in(tmp_path) == ["data", "run"]


def test_what_cannot_be_written_in_parts_is_refused(numbers, streamed_run, tmp_path):
    line = stopped("encode", streamed_run[0], numbers, *SMALL, "--out", tmp_path / "codes.npz")
    assert "end the name in .parquet or .csv" in line
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("memory", ["much", "0", "-1GiB"])
def test_a_budget_that_is_none_is_refused(numbers, memory):
    assert "no amount of memory" in refused("fit", numbers, f"--memory={memory}")
