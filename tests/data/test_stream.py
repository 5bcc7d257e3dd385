"""Tables and pictures piece by piece: the same format, every row once an epoch, in bounded memory, or clear words."""

from __future__ import annotations

import errno
import gzip
import itertools
import shutil
import threading
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from narrows import files
from narrows._types import Rows
from narrows.data import open_source, open_stream, read_table
from narrows.data.budget import size_in_bytes
from narrows.data.columns import Column
from narrows.data.moments import Moments
from narrows.data.row_stream import WINDOW, RowStream, prepare, prepare_pictures
from narrows.data.scaling import Affine
from narrows.data.spool import OWN
from narrows.data.stream import Rule, ahead
from narrows.data.summaries import TableFitter
from narrows.data.table import Table
from narrows.data.words import Words
from narrows.errors import DataWarning, DiskFull, InvalidData, InvalidParameter, UnreadableFile

ROWS, MEMORY = 1200, 512 * 1024
QUERY = f"""
    SELECT i::INT AS id, random() AS a, CASE WHEN i % 7 = 0 THEN NULL ELSE (random() * 100)::INT END AS b,
        CASE WHEN i % 7 = 3 THEN NULL ELSE (i % 50)::DOUBLE END AS whole,
        CASE WHEN i % 3 = 0 THEN 'x' WHEN i % 300 = 1 THEN 'rare' ELSE 'zed' END AS c,
        TIMESTAMP '2024-01-01' + to_days((random() * 400)::INT) AS t, random() < 0.3 AS f,
        exp(6 * random() * random()) AS heavy, 1700000000000000000 + i * 1000 AS nanoseconds, 5 AS same
    FROM range({ROWS}) rows(i)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One table as Parquet, as CSV and in three Parquet files."""
    place = tmp_path_factory.mktemp("tables")
    with duckdb.connect() as con:
        con.execute("SET threads=1; SELECT setseed(0.3)")
        con.execute(f"CREATE TABLE rows AS {QUERY}")
        con.execute(f"COPY rows TO '{place}/one.parquet'")
        con.execute(
            "CREATE TABLE text AS SELECT *, CASE WHEN f THEN 'yes' ELSE 'no' END AS said, ' ' || id || ' ' AS spaced, "
            "CASE WHEN f THEN 'true' ELSE 'False' END AS truth, "
            "strftime(t, '%d.%m.%Y') AS dotted FROM rows"
        )
        con.execute(f"COPY text TO '{place}/one.csv'")
        (place / "parts").mkdir()
        for part in range(3):
            con.execute(f"COPY (FROM rows WHERE id // 400 = {part}) TO '{place}/parts/{part}.parquet'")
    return place


def same_number(a: float, b: float) -> bool:
    return a == pytest.approx(b, rel=1e-9, abs=1e-12)


def assert_same_column(a: Column, b: Column) -> None:
    one, two = a.to_config(), b.to_config()
    first, second = one.pop("scaler"), two.pop("scaler")
    assert one == two
    assert type(a.scaler) is type(b.scaler)
    if isinstance(a.scaler, Affine):
        assert first["kind"] == second["kind"]
        width = abs(a.high - a.low) or 1.0
        assert first["scale"] == pytest.approx(second["scale"], rel=1e-9)
        assert first["centre"] == pytest.approx(second["centre"], rel=1e-9, abs=1e-9 * width)
    else:
        assert first == second


# --- formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("one.parquet", Table(scaling="standard")),
        ("one.csv", Table(scaling="standard")),
        ("parts/*.parquet", Table(scaling="minmax")),
        ("one.parquet", Table(max_categories=2, categorical=("b",), scaling="none")),
        ("one.parquet", Table(integer_categories=150, scaling="standard")),
    ],
    ids=["parquet", "csv", "files", "categorical", "integers"],
)
def test_the_format_of_a_stream_is_that_of_the_whole(folder, name, options):
    stream = open_stream(str(folder / name), memory=MEMORY)
    assert len(stream.sizes) > 3
    whole = options.fit(read_table(str(folder / name)))
    format_, _, _ = prepare(stream, options, None, 0, 100)
    assert [c.name for c in format_.columns] == [c.name for c in whole.columns]
    for a, b in zip(format_.columns, whole.columns, strict=True):
        assert_same_column(a, b)
    assert format_.layout.categories == whole.layout.categories
    assert set(whole.notes) <= set(format_.notes)
    assert any("read piece by piece" in note for note in format_.notes)


def test_with_all_rows_in_the_sample_quantiles_are_those_of_the_whole(folder):
    table = read_table(str(folder / "one.parquet"))
    for options in (Table(), Table(scaling="quantile"), Table(scaling="robust")):
        fitter = TableFitter(options, table.schema, [])
        for start in range(0, ROWS, 400):
            fitter.add(table.slice(start, 400))
        for a, b in zip(fitter.finish(table).columns, options.fit(table).columns, strict=True):
            assert_same_column(a, b)


def test_a_sample_is_said_and_its_ends_are_exact(folder):
    stream = open_stream(folder / "one.parquet", memory=MEMORY)
    format_, rows, _ = prepare(stream, Table(scaling="quantile"), None, 0, 100)
    assert len(rows.sample) < ROWS
    assert any("sampled cells" in note for note in format_.notes)
    whole = Table(scaling="quantile").fit(read_table(str(folder / "one.parquet")))
    for a, b in zip(format_.columns, whole.columns, strict=True):
        assert (a.low, a.high) == (b.low, b.high)
        if b.scaler is not None and b.scaler.kind == "quantile":
            assert a.scaler.x[0] == b.scaler.x[0]
            assert a.scaler.x[-1] == b.scaler.x[-1]


def test_one_far_value_that_a_sample_misses_is_still_found():
    """The kurtosis is exact: a single extreme among many rows is not scaled by a line."""
    values = np.random.default_rng(0).normal(size=5000)
    values[1234] = 1e4
    table = pa.table({"x": values})
    fitter = TableFitter(Table(), table.schema, [])
    fitter.add(table)
    assert fitter.finish(table.slice(0, 500)).columns[0].scaler.kind == "quantile"
    assert Table().fit(table).columns[0].scaler.kind == "quantile"


def test_moments_join_to_those_of_all_values():
    values = np.random.default_rng(0).gamma(0.5, size=1000) + 1e6
    moments = Moments()
    for start in (0, 1, 10, 400):
        moments.add(values[start : {0: 1, 1: 10, 10: 400, 400: 1000}[start]])
    z = (values - values.mean()) / values.std()
    assert moments.mean == pytest.approx(values.mean(), rel=1e-14)
    assert moments.deviation == pytest.approx(values.std(), rel=1e-9)
    assert moments.kurtosis == pytest.approx((z**4).mean() - 3, rel=1e-8)
    assert moments.shifted(-1e6).mean == pytest.approx(values.mean() - 1e6, rel=1e-9)


def test_identifiers_are_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("narrows.data.summaries.DISTINCT", 100)
    table = pa.table({"id": [f"n{i}" for i in range(1000)], "kind": ["a", "b"] * 500})
    fitter = TableFitter(Table(), table.schema, [])
    for start in range(0, 1000, 50):
        fitter.add(table.slice(start, 50))
        assert len(fitter.columns[0].counts) <= 100
    format_ = fitter.finish(table.slice(0, 100))
    assert format_.columns[0].pooled is None
    assert any("more than 100 distinct" in note for note in format_.notes)
    assert format_.columns[1].categories == ("a", "b")
    assert format_.to_rows(pa.table({"id": ["new"], "kind": ["b"]})).observed is None
    assert format_.from_values(format_.to_rows(table).values)["id"].to_pylist()[0] in ("other", "n0")


def test_blank_tables_and_columns_are_told():
    table = pa.table({"x": pa.array([None, None], pa.float64()), "y": pa.array([1.0, 2.0])})
    fitter = TableFitter(Table(), table.schema, [])
    fitter.add(table)
    with pytest.warns(DataWarning, match="blank in every row"):
        assert fitter.finish(table).columns[0].kind == "blank"
    fitter = TableFitter(Table(), table.select(["x"]).schema, [])
    fitter.add(table.select(["x"]))
    with pytest.raises(InvalidData, match="every cell of the table is blank"):
        fitter.finish(table.select(["x"]))


# --- epochs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(folder) -> tuple[RowStream, Rows]:
    stream = open_stream(folder / "one.parquet", memory=384 * 1024)
    _, rows, validation = prepare(stream, Table(scaling="standard"), None, 0, 150)
    return rows, validation


def ids(rows: Rows) -> list[float]:
    """What tells rows apart: the first column is a number of its own for each."""
    return rows.values[:, 0].tolist()


def epoch(rows: RowStream, *args, **options) -> list[Rows]:
    return list(rows.epoch(*args, **options))


def test_every_row_comes_once_an_epoch_and_none_that_is_held_out(trained):
    rows, validation = trained
    seen = ids_of_all = [i for window in epoch(rows, 0, 0, 1) for i in ids(window)]
    assert len(seen) == len(rows) == len(set(ids_of_all))
    assert not set(seen) & set(ids(validation))
    assert len(seen) + len(validation) == ROWS
    assert 0.4 * 150 < len(validation) < 1.6 * 150


def test_the_sample_holds_no_row_that_is_held_out(trained):
    rows, validation = trained
    assert not set(ids(rows.sample)) & set(ids(validation))


def test_orders_differ_between_epochs_and_seeds_and_come_again(trained):
    rows, _ = trained
    orders = {key: [i for w in epoch(rows, *key, 10) for i in ids(w)] for key in [(0, 0), (0, 1), (1, 0)]}
    assert orders[0, 0] == [i for w in epoch(rows, 0, 0, 10) for i in ids(w)]
    for one, two in itertools.combinations(orders.values(), 2):
        assert one != two
        assert len(one) == len(two) == len(rows) // 10 * 10


def test_rows_are_mixed_over_the_whole_table(trained):
    """The first window of an epoch holds rows of many pieces, in no order."""
    rows, _ = trained
    first = torch.tensor(ids(next(iter(rows.epoch(0, 0, 1)))))
    assert len(rows.stream.sizes) > 8
    assert len(first) <= rows.window
    assert (first.diff() < 0).float().mean() > 0.3
    assert first.max() - first.min() > 0.5 * (max(ids(rows.sample)) - min(ids(rows.sample)))


@pytest.mark.parametrize("first", [1, 2, 7, 31])
def test_an_epoch_can_be_taken_up_at_any_batch(trained, first):
    rows, _ = trained
    whole = torch.cat([w.values for w in epoch(rows, 3, 2, 16)])
    rest = torch.cat([w.values for w in epoch(rows, 3, 2, 16, first)])
    assert torch.equal(whole[first * 16 :], rest)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_the_rows_of_an_epoch(trained, world, monkeypatch):
    """Each reads its own stretch of the pieces; together they see every row once, up to what fills no batch."""
    rows, _ = trained
    batch, pieces = 4 * world, len(rows.stream.sizes)
    read: list[int] = []
    load = type(rows.stream).load
    monkeypatch.setattr(type(rows.stream), "load", lambda self, piece: (read.append(piece), load(self, piece))[1])
    seen, read_by = [], []
    for rank in range(world):
        read.clear()
        seen.append([i for w in epoch(rows, 5, 1, batch, rank=rank, world=world) for i in ids(w)])
        read_by.append(list(read))
        assert seen[-1] == [i for w in epoch(rows, 5, 1, batch, rank=rank, world=world) for i in ids(w)]
    assert {len(part) for part in seen} == {len(rows) // batch * 4}
    assert len({i for part in seen for i in part}) == len(rows) // batch * batch
    assert all(len(part) <= pieces / world + 2 for part in read_by)
    assert sum(map(len, read_by)) < pieces + world
    # what one sees is a mixture of the table, not a stretch of it
    assert all(max(part) - min(part) > 0.5 * (max(ids(rows.sample)) - min(ids(rows.sample))) for part in seen)


def test_a_share_can_be_taken_up_at_any_batch(trained):
    rows, _ = trained
    whole = torch.cat([w.values for w in epoch(rows, 3, 2, 16, rank=1, world=2)])
    rest = torch.cat([w.values for w in epoch(rows, 3, 2, 16, 7, rank=1, world=2)])
    assert torch.equal(whole[7 * 8 :], rest)


def test_values_are_those_of_the_whole_table(folder, trained):
    rows, validation = trained
    whole = rows.format_.to_rows(read_table(str(folder / "one.parquet")))
    place = {i: n for n, i in enumerate(ids(whole))}
    for window in [*epoch(rows, 0, 0, 1), validation]:
        at = torch.tensor([place[i] for i in ids(window)])
        assert torch.equal(window.values, whole.values[at])
        assert torch.equal(window.observed, whole.observed[at])


def test_no_piece_and_no_window_exceeds_its_part_of_the_budget(folder):
    for name in ("one.parquet", "one.csv"):
        stream = open_stream(folder / name, memory=MEMORY)
        _, rows, _ = prepare(stream, Table(), None, 0, 100)
        for piece in stream.pieces():
            assert piece.nbytes <= 2 * MEMORY // OWN
        for window in rows.epoch(0, 0, 1):
            assert window.values.nbytes + window.observed.nbytes <= MEMORY // WINDOW


# --- parts of a stream -----------------------------------------------------------------------------------------


def test_a_rule_is_a_random_part_and_the_same_every_time():
    places = np.arange(100_000, dtype=np.uint64)
    one, again, other = Rule(1, 0.2)(places), Rule(1, 0.2)(places), Rule(2, 0.2)(places)
    assert np.array_equal(one, again)
    for mask in (one, other):
        assert mask.mean() == pytest.approx(0.2, abs=0.005)  # 4 standard deviations of a share of 100,000
    assert (one & other).mean() == pytest.approx(0.04, abs=0.0025)
    assert np.corrcoef(one[:-1], one[1:])[0, 1] == pytest.approx(0, abs=0.0127)
    assert Rule(0, 1.0)(places).all()
    assert not Rule(0, 0.0)(places).any()


def test_pieces_are_all_rows_in_their_order(folder):
    for name in ("one.parquet", "one.csv", "parts"):
        stream = open_stream(folder / name, memory=MEMORY)
        assert stream.join(list(stream.pieces()))["id"].to_pylist() == list(range(ROWS))
        assert len(stream) == ROWS


def test_columns_can_be_chosen(folder):
    stream = open_stream(folder / "one.parquet", memory=MEMORY).select(["c", "a"])
    assert next(iter(stream.pieces())).column_names == ["c", "a"] == stream.column_names
    with pytest.raises(InvalidParameter, match="there is no column 'nix'"):
        stream.select(["nix"])


def test_text_is_what_all_of_its_cells_are(folder):
    """Words, dates and numbers in disguise are decided as they are in memory."""
    stream = open_stream(folder / "one.csv", memory=MEMORY)
    whole = read_table(str(folder / "one.csv"))
    got = stream.join(list(stream.pieces()))
    assert got.schema.types == whole.schema.types
    assert pa.types.is_string(got.schema.field("said").type)
    assert pa.types.is_boolean(got.schema.field("truth").type)
    assert pa.types.is_date32(got.schema.field("dotted").type)
    for name in whole.column_names:
        assert got[name].to_pylist() == whole[name].to_pylist(), name


def test_a_late_number_that_does_not_fit_is_not_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("narrows.data.spool._SNIFFED", 100)
    lines = ["n,m"] + [f"{i},{i}" for i in range(5000)] + ["5000.5,x", "5001,7"]
    (tmp_path / "late.csv").write_text("\n".join(lines) + "\n")
    got = open_stream(tmp_path / "late.csv", memory=MEMORY)
    assert got.schema.types == read_table(tmp_path / "late.csv").schema.types == [pa.float64(), pa.string()]


def test_columns_of_very_many_texts_are_numbers_or_text(monkeypatch):
    monkeypatch.setattr("narrows.data.words.DISTINCT", 10)
    for texts, kind in (
        ([str(i) for i in range(20)], pa.int64()),
        ([f"{i}.5" for i in range(20)], pa.float64()),
        ([f"n{i}" for i in range(20)], None),
    ):
        words = Words("x", False, False)
        for start in (0, 5):
            words.add(pa.array([*texts[start : start + 15], None]))
        truth = words.truth()
        assert (truth and truth[0]) == kind
        if kind is not None:
            assert truth[1](pa.chunked_array([texts[:3]])).to_pylist() == [float(t) for t in texts[:3]]


def test_queries_stream_too(folder):
    query = f"SELECT a, c FROM '{folder}/one.parquet' WHERE id < 1000"
    whole = read_table(query)
    for stream in (
        open_stream(query, memory=MEMORY),
        open_stream(folder / "one.parquet", sql="SELECT a, c FROM data WHERE id < 1000", memory=MEMORY),
    ):
        assert stream.join(list(stream.pieces())).equals(whole)
    with pytest.raises(InvalidData, match="cannot be run"):
        open_stream(folder / "one.parquet", sql="SELECT nix FROM data", memory=MEMORY)


def test_the_budget_chooses(folder):
    path = folder / "one.parquet"
    assert isinstance(open_source(path, memory=size_in_bytes("1GiB")).data, pa.Table)
    assert isinstance(open_source(path).data, pa.Table)
    small = open_source(path, memory=50_000)
    assert not isinstance(small.data, pa.Table)
    assert "above the budget of 48.8 KiB: read piece by piece" in small.notes[0]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GiB", 2**30), ("1.5 KiB", 1536), ("500MB", 500_000_000), (123, 123), ("2g", 2 * 10**9)],
    ids=str,
)
def test_budgets_are_read(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "1XB", "1 GiB/s"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(InvalidParameter, match="no amount of memory"):
        size_in_bytes(text)


# --- pictures --------------------------------------------------------------------------------------------------


def test_pictures_come_once_an_epoch(tmp_path):
    from PIL import Image as Pillow

    from narrows.data import Image

    for i in range(200):
        Pillow.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i:03}.png")
    stream = open_stream(tmp_path, memory=60_000)
    format_ = Image().fit(list(stream.paths))
    _, rows, validation = prepare_pictures(stream, format_, 0, 20)
    seen = sorted(round(v) for w in rows.epoch(0, 0, 1) for v in (255 * w.values[:, 0, 0, 0]).tolist())
    held = sorted(round(v) for v in (255 * validation.values[:, 0, 0, 0]).tolist())
    assert sorted(seen + held) == list(range(200))
    assert len(held) > 5
    assert len(list(rows.epoch(0, 0, 1))) > 1


# --- what goes wrong -------------------------------------------------------------------------------------------


def test_files_of_other_columns_are_named(folder, tmp_path):
    shutil.copy(folder / "one.parquet", tmp_path / "a.parquet")
    table = pq.read_table(folder / "one.parquet")
    pq.write_table(table.drop_columns(["a"]).append_column("new", table["a"]), tmp_path / "b.parquet")
    with pytest.raises(InvalidData, match=r"b\.parquet lacks 'a' and also has 'new', compared with .*a\.parquet"):
        open_stream(tmp_path, memory=MEMORY)


def test_a_damaged_row_group_is_named(folder, tmp_path):
    path = tmp_path / "rows.parquet"
    table = pq.read_table(folder / "one.parquet", columns=["id", "a"])
    pq.write_table(table, path, row_group_size=100, compression="zstd")
    group = pq.read_metadata(path).row_group(7)
    raw = bytearray(path.read_bytes())
    start = group.column(1).dictionary_page_offset or group.column(1).data_page_offset
    raw[start : start + group.column(1).total_compressed_size] = b"\xff" * group.column(1).total_compressed_size
    path.write_bytes(bytes(raw))
    stream = open_stream(path, memory="1MiB")
    with pytest.raises(UnreadableFile, match=r"rows\.parquet, row group 7 \(100 rows\), cannot be read"):
        prepare(stream, Table(), None, 0, 100)


def test_a_cut_file_is_named(folder, tmp_path):
    path = tmp_path / "cut.parquet"
    path.write_bytes((folder / "one.parquet").read_bytes()[:-20])
    with pytest.raises(UnreadableFile, match=r"cut\.parquet cannot be read"):
        open_stream(path, memory=MEMORY)


@pytest.mark.parametrize("memory", ["64KiB", None])
@pytest.mark.parametrize(
    ("ending", "damage", "word"),
    [
        (".csv", lambda raw: raw[:20_000] + b'1,"unfinished\n' + raw[20_000:], "cannot be read"),
        (".csv", lambda raw: raw[:20_000] + bytes(1000) + raw[21_000:], "(is damaged|cannot be read)"),
        (".csv.gz", lambda raw: raw[: len(raw) // 2], "cannot be read"),
    ],
    ids=["quote", "zeros", "cut"],
)
def test_a_damaged_part_of_text_files_is_named(ending, damage, word, memory, tmp_path):
    raw = ("a,b,c\n" + "".join(f"{0.37 * i:.3f},{-i},up\n" for i in range(3000))).encode()
    raw = gzip.compress(raw) if ending == ".csv.gz" else raw
    for number in range(3):
        (tmp_path / f"{number}{ending}").write_bytes(damage(raw) if number == 1 else raw)
    with pytest.raises(UnreadableFile, match=rf"^\S*1{ending} {word}"):
        open_stream(tmp_path, memory=memory) if memory else read_table(tmp_path / f"*{ending}")


@pytest.mark.parametrize("read", [read_table, lambda path: open_stream(path, memory="64KiB")])
def test_zero_bytes_are_no_text(read, tmp_path):
    """A number among them would make text of its column, and nobody would know why."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1.5,up\n" * 1000 + "2.5\0\0,up\n" + "1.5,up\n" * 1000)
    with pytest.raises(UnreadableFile, match=r"rows\.csv is damaged: it holds zero bytes"):
        read(path)


def test_a_file_that_shrinks_meanwhile_is_told(folder, tmp_path):
    shutil.copy(folder / "one.parquet", tmp_path / "a.parquet")
    stream = open_stream(tmp_path / "a.parquet", memory="64MiB")
    _, rows, _ = prepare(stream, Table(), None, 0, 0)
    pq.write_table(pq.read_table(tmp_path / "a.parquet").slice(0, 1000), tmp_path / "a.parquet")
    with pytest.raises(InvalidData, match="were files changed"):
        epoch(rows, 0, 0, 1)


def test_what_cannot_be_read_in_pieces_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 2)))
    with pytest.raises(UnreadableFile, match="cannot be read piece by piece"):
        open_stream(tmp_path / "x.npy")


def test_errors_of_the_reading_thread_come_where_they_would_have():
    def items():
        yield 1
        raise OSError("gone")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="gone"):
        next(coming)


def test_the_reading_thread_ends_with_its_reader():
    before = threading.active_count()
    coming = ahead(iter(range(10)))
    next(coming)
    coming.close()
    assert threading.active_count() == before


def test_a_full_disk_is_told_and_nothing_is_left(folder, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DiskFull, match="the disk is full: there is no room for the temporary copy"):
        open_stream(folder / "one.csv", memory=MEMORY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_really_full_device_is_told_whoever_writes(tmp_path):
    (tmp_path / "kept.txt").write_text("before")

    def write(path):
        with Path("/dev/full").open("w") as file:
            file.write("x" * 10_000)

    with pytest.raises(DiskFull, match=r"no room for .*kept\.txt"), files.atomic(tmp_path / "kept.txt") as path:
        write(path)
    assert (tmp_path / "kept.txt").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
