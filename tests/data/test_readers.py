from __future__ import annotations

import datetime
import gzip
import re
import sqlite3

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from narrows.data.frames import notes_of
from narrows.data.readers import read_array, read_table, write_table
from narrows.data.table import Table
from narrows.errors import InvalidData, InvalidParameter, InvalidType, UnreadableFile


@pytest.fixture
def write(tmp_path):
    def _write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return _write


def test_csv_with_blank_markers(write):
    path = write("a.csv", "n,w,m\n1,x,?\n2,,3\n,NA,4.5\n")
    table = read_table(path)
    assert table.to_pydict() == {"n": [1, 2, None], "w": ["x", None, None], "m": [None, 3.0, 4.5]}
    assert any("read as blank" in r for r in Table().fit(table).reasons)


def test_adult_style_text_without_header(write):
    table = read_table(write("adult.data", "39, State-gov, 77516\n40, ?, 3\n41, Private, ?\n"))
    assert table.column_names == ["column0", "column1", "column2"]
    assert table["column1"].to_pylist() == ["State-gov", None, "Private"]
    assert table["column2"].to_pylist() == [77516, 3, None]
    assert any("no header" in r for r in Table().fit(table).reasons)


def test_delimiters_and_decimal_commas(write):
    assert read_table(write("a.tsv", "a\tb\n1\tx, y\n2\tz\n")).to_pydict() == {"a": [1, 2], "b": ["x, y", "z"]}
    assert read_table(write("b.csv", "a;b\n1,5;2\n2,25;3\n")).to_pydict() == {"a": [1.5, 2.25], "b": [2, 3]}
    assert read_table(write("c.txt", "0 0 1 0\n1 1 0 0\n")).num_columns == 4
    assert read_table(write("d.csv", "x\n1\n2\n")).to_pydict() == {"x": [1, 2]}


def test_text_that_looks_like_numbers_but_is_not(write):
    table = read_table(write("zip.csv", "zip,day,x\n00123,2020-01-01,inf\n00456,2021-01-01,2\n"))
    assert table["zip"].to_pylist() == ["00123", "00456"]
    with pytest.raises(InvalidData, match="infinity"):
        Table().fit(table)


def test_latin_1_and_byte_order_mark(write):
    assert read_table(write("a.csv", b"name,v\nJos\xe9,1\nAna,2\n"))["name"].to_pylist() == ["José", "Ana"]
    assert read_table(write("b.csv", b"\xef\xbb\xbfa,b\n1,2\n")).column_names == ["a", "b"]


def test_names_with_quotes_and_brackets(write):
    path = write("it's [1]*/a 'b' [x].csv", "a,b\n1,2\n")
    assert read_table(path).to_pydict() == {"a": [1], "b": [2]}


def test_globs_lists_and_gzip(write, tmp_path):
    write("p/1.csv", "a,b\n1,x\n")
    second = write("p/2.csv", "b,a\ny,2\n")
    assert read_table(str(tmp_path / "p/*.csv")).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    zipped = write("3.csv.gz", gzip.compress(b"a,b\n3,z\n"))
    assert read_table([zipped]).to_pydict() == {"a": [3], "b": ["z"]}
    assert read_table([second, second]).num_rows == 2
    assert read_table(tmp_path / "p" / "1.csv", limit=1).num_rows == 1
    other = write("p/3.csv", "c\n1\n")
    with pytest.raises(UnreadableFile, match=r"1\.csv"):
        read_table([str(tmp_path / "p/1.csv"), other])
    with pytest.raises(UnreadableFile, match="different kinds"):
        read_table([other, write("x.json", "[]")])


def test_parquet_and_json(write, tmp_path):
    table = pa.table({"a": [1, None], "b": ["None", "?"]})  # typed files have real blanks: words stay words
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").to_pydict() == table.to_pydict()
    lines = write("a.jsonl", '{"a": 1, "b": "x"}\n{"a": null}\n')
    assert read_table(lines).to_pydict() == {"a": [1, None], "b": ["x", None]}
    assert read_table(write("b.json", '[{"a": 1}, {"a": 2}]')).to_pydict() == {"a": [1, 2]}


def test_sql(write):
    path = write("x.csv", "a,b\n1,?\n2,y\n3,z\n")
    assert read_table(f"SELECT b FROM '{path}' WHERE a < 3").to_pydict() == {"b": [None, "y"]}
    assert read_table(path, sql="SELECT a + 1 AS c FROM data ORDER BY a DESC", limit=2).to_pydict() == {"c": [4, 3]}
    assert read_table(None, sql="SELECT 1 AS one").to_pydict() == {"one": [1]}
    for query, words in (
        (f"SELECT nope FROM '{path}'", "nope"),
        ("SELECT a FROM 'missing.csv'", "missing.csv"),
        (f"SELECT a FROM '{path}' WHERE a > 99", "no rows"),
        (f"SELECT 1; DROP TABLE x; SELECT a FROM '{path}'", "not one SELECT"),
        ("SELECT * FROM 'https://example.org/a.csv'", "extension"),
    ):
        with pytest.raises(InvalidData, match=words):
            read_table(query)
    with pytest.raises(InvalidData, match="not one SELECT"):
        read_table(path, sql="COPY data TO 'stolen.csv'")


def test_sqlite(tmp_path):
    path = tmp_path / "a b'c.sqlite"
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE people (name TEXT, age INTEGER, born TIMESTAMP, ok BOOLEAN, odd)")
        con.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
            [("x", 3, "2020-01-01 10:00:00", 1, 1), (None, None, None, 0, "t")],
        )
    con.close()
    table = read_table(path)
    assert table["age"].to_pylist() == [3, None]
    assert table["ok"].to_pylist() == [True, False]
    assert table["odd"].to_pylist() == ["1", "t"]
    assert pa.types.is_timestamp(table["born"].type)
    with sqlite3.connect(path) as con:
        con.execute('CREATE TABLE "two words" (v REAL)')
        con.execute('INSERT INTO "two words" VALUES (1.5)')
    con.close()
    with pytest.raises(UnreadableFile, match="several tables: people, two words"):
        read_table(path)
    assert read_table(f"{path}::two words").to_pydict() == {"v": [1.5]}
    with pytest.raises(UnreadableFile, match="no table 'three'"):
        read_table(f"{path}::three")
    assert read_table(f"{path}::people", sql="SELECT max(age) AS oldest FROM data").to_pydict() == {"oldest": [3]}


def test_numpy_files(tmp_path):
    x = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", X=x, y=np.arange(3))
    np.savez(tmp_path / "c.npz", first=x, second=x)
    np.savez(tmp_path / "images.npz", np.zeros((2, 4, 4)))
    np.save(tmp_path / "pickle.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    assert read_table(tmp_path / "a.npy").to_pydict() == {"column0": [0, 2, 4], "column1": [1, 3, 5]}
    assert (read_array(tmp_path / "b.npz") == x).all()
    assert (read_array(f"{tmp_path}/b.npz::y") == np.arange(3)).all()
    assert read_array(tmp_path / "images.npz").shape == (2, 4, 4)
    for name, words in (
        ("c.npz", "several arrays: first, second"),
        ("b.npz::z", "no array 'z'"),
        ("images.npz", "read_array"),
        ("pickle.npy", "never loaded"),
    ):
        with pytest.raises(UnreadableFile, match=words):
            read_table(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", "is empty"),
        ("header.csv", "a,b\n", "only a header"),
        ("ragged.csv", "a,b\n1,2\n3,4,5\n6,7\n", "line 3 has 3 cells where the first line has 2"),
        ("short.csv", "a,b\n1,2\n3\n", "line 3 has 1 cells"),
        ("junk.csv", bytes(range(256)) * 20, "cannot be read"),
        ("junk.parquet", b"PAR1" + b"\0" * 50, "cannot be read"),
        ("cut.json", '{"a": 1, "b":', "cannot be read"),
        ("junk.db", b"x" * 5000, "not an SQLite database"),
        ("damaged.db", b"SQLite format 3\0" + b"x" * 5000, "cannot be read as an SQLite"),
        ("junk.npz", b"PK\x03\x04junk", "cannot be read as a NumPy file"),
        ("junk.npy", b"junk", "NumPy|never"),
        ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)[:40], "cannot be read"),
        ("a.docx", "x", "'.docx' are not known as tables"),
    ],
)
def test_bad_files_are_named(write, name, content, words):
    path = write(name, content)
    with pytest.raises(UnreadableFile, match=words) as error:
        read_table(path)
    assert name in str(error.value)


def test_no_such_file(tmp_path):
    for source, words in (
        (tmp_path / "nope.csv", "there is no file"),
        (str(tmp_path / "*.csv"), "no file matches"),
        (tmp_path, "is a folder"),
        ("https://example.org/a.csv", "nothing is read over the network"),
        ([], "list is empty"),
    ):
        with pytest.raises(UnreadableFile, match=words):
            read_table(source)
    with pytest.raises(InvalidParameter, match="limit"):
        read_table("a.csv", limit=0)
    with pytest.raises(InvalidParameter, match="name a file"):
        read_table(None)


# --- writing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.json", "a.jsonl", "a.csv.gz", "it's a.csv"])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_written_tables_are_read_again(tmp_path, name, kind):
    content = {"a": [1, 2, 3], "b": ["x, y", 'say "hi"', None], "c": [0.1, None, 1e-17]}
    write_table(kind(content), tmp_path / "new" / name)
    assert read_table(tmp_path / "new" / name).to_pydict() == content


def test_write_arrays(tmp_path):
    x = np.array([[1.5, np.nan], [2.0, 3.0]])
    write_table(x, tmp_path / "a.npz")
    assert np.array_equal(read_array(tmp_path / "a.npz"), x, equal_nan=True)
    write_table(pd.DataFrame(x), tmp_path / "a.npy")
    assert np.array_equal(read_array(tmp_path / "a.npy"), x, equal_nan=True)
    write_table(x, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "column0,column1\n1.5,\n2.0,3.0\n"


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "old.npz").write_bytes(b"old")
    with pytest.raises(InvalidType, match="text or blanks"):
        write_table(pd.DataFrame({"a": ["x", None]}), tmp_path / "old.npz")
    assert (tmp_path / "old.npz").read_bytes() == b"old"
    with pytest.raises(UnreadableFile, match=r"\.xlsx"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "a.xlsx")
    with pytest.raises(InvalidType, match="not a table"):
        write_table(object(), tmp_path / "a.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["old.npz"]


def test_words_for_yes_and_no_stay_words(write):
    path = write("a.csv", "smoker,flag,'q\nyes,TRUE,no\nno,FALSE,no\n,TRUE,yes\n")
    assert read_table(path).to_pydict() == {
        "smoker": ["yes", "no", None],
        "flag": [True, False, True],
        "'q": ["no", "no", "yes"],
    }
    assert read_table(write("b.csv", "1,yes\n2,no\n")).to_pydict() == {"column0": [1, 2], "column1": ["yes", "no"]}


def test_dates_in_several_styles_and_how_they_were_read(write):
    path = write(
        "a.csv",
        "a,b,c,d\n13/01/2020,01/13/2020,01.02.2020,3 May 2020\n02/01/2020,01/02/2020,15.03.2020,14 May 2020\n,,,\n",
    )
    table = read_table(path)
    first, second = (datetime.date(2020, 1, d) for d in (13, 2))
    assert table["a"].to_pylist() == table["b"].to_pylist() == [first, second, None]
    assert [str(d) for d in table["c"].to_pylist()] == ["2020-02-01", "2020-03-15", "None"]
    assert [str(d) for d in table["d"].to_pylist()] == ["2020-05-03", "2020-05-14", "None"]
    reasons = " ".join(Table().fit(table).reasons)
    for words in ("the day before the month", "'b': read as dates, the month first", "'c': read as dates, the day"):
        assert words in reasons


@pytest.mark.parametrize("cells", [("31.02.2020", "01.02.2020"), ("1.2.3", "4.5.6"), ("13/13/2020", "01/01/2020")])
def test_what_is_no_date_stays_text(write, cells):
    assert read_table(write("a.csv", "n,x\n1,{}\n2,{}\n".format(*cells)))["x"].to_pylist() == list(cells)


def test_whole_numbers_with_blanks_written_by_pandas(tmp_path):
    pd.DataFrame({"n": [1, None, 3, 8], "x": [0.5, None, 1.0, 2.0]}).to_csv(tmp_path / "a.csv", index=False)
    kinds = [c.kind for c in Table().fit(read_table(tmp_path / "a.csv")).columns]
    assert kinds == ["integer", "number"]


def test_amounts_and_shares_are_numbers(write):
    table = read_table(
        write(
            "amounts.csv",
            'price;share;plain\n"$1,200.50";12 %;"1,200"\n-$3;3.5 %;12\n;?;3\n'.replace(";", "|"),
        )
    )
    assert table["price"].to_pylist() == [1200.5, -3.0, None]
    assert table["share"].to_pylist() == [12.0, 3.5, None]
    assert table["plain"].to_pylist() == [1200, 12, 3]
    assert any("'price'" in note and "'$'" in note for note in notes_of(table))


@pytest.mark.parametrize("cells", [["$1", "£2"], ["1.200 €", "3 €"], ["$007", "$1"], ["$", "$1"], ["1,2", "3"]])
def test_amounts_that_leave_a_doubt_stay_text(write, cells):
    table = read_table(write("amounts.csv", "\n".join(["x|y", *(f"{c}|1" for c in cells)]) + "\n"))
    assert table["x"].to_pylist() == cells


@pytest.mark.parametrize("written", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_in_utf_16_or_32_is_read_by_its_mark(write, written, name):
    text = "größe;wort\n" + "".join(f"{i},5;wört {i % 3}\n" for i in range(40))
    data = ("\ufeff" + text).encode(written)
    table = read_table(write(name, gzip.compress(data) if name.endswith(".gz") else data))
    assert table.column_names == ["größe", "wort"]
    assert table["größe"].to_pylist()[:2] == [0.5, 1.5]
    assert table["wort"].to_pylist()[1] == "wört 1"
    assert any(f"read as {written[:6].upper()}" in note for note in notes_of(table))


def test_what_is_wrong_with_a_table_in_utf_16_is_said_of_the_file_itself(write):
    path = write("odd.csv", "a,b,c\n1,2,3\n4,5\n1,2,3,4\n".encode("utf-16"))
    with pytest.raises(UnreadableFile, match=re.escape(str(path))):
        read_table(path)
    with pytest.raises(UnreadableFile, match="cut.csv"):
        read_table(write("cut.csv", "a,b\n1,2".encode("utf-16")[:-1]))
