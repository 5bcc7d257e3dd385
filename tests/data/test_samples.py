"""Sample data: what is embedded, and downloads that are checked, kept, and explained when they fail."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from narrows.data import catalogue, load, samples
from narrows.data.entries import Entry
from narrows.data.samples import idx_bytes, parse_adult, parse_idx
from narrows.errors import InvalidData, InvalidParameter, UnreadableFile

# --- embedded ------------------------------------------------------------------------------------------------


def test_digits():
    sample = load("digits")
    assert sample.data.shape == (1797, 8, 8)
    assert (sample.data.min(), sample.data.max()) == (0, 16)
    assert sample.labels is not None
    assert np.unique(sample.labels).tolist() == list(range(10))


def test_fashion_has_equally_many_of_each_kind():
    sample = load("fashion")
    assert sample.data.shape == (6000, 28, 28)
    assert sample.test.shape == (1000, 28, 28)
    assert sample.data.dtype == np.uint8
    assert np.bincount(sample.labels).tolist() == [600] * 10
    assert np.bincount(sample.test_labels).tolist() == [100] * 10
    # trousers are narrower than shirts: labels belong to their images
    covered = [(sample.data[sample.labels == k] > 0).mean() for k in (1, 2)]
    assert covered[0] < covered[1]


def test_banknote():
    sample = load("banknote")
    assert sample.data.shape == (1372, 5)
    assert sample.data.column_names == ["variance", "skewness", "curtosis", "entropy", "authentic"]
    assert sample.data["variance"][0].as_py() == 3.6216
    assert np.bincount(sample.labels).tolist() == [762, 610]


def test_census_keeps_its_blanks():
    sample = load("census")
    assert sample.data.shape == (5000, 15)
    blanks = {name: sample.data[name].null_count for name in sample.data.column_names}
    assert {name for name, count in blanks.items() if count} == {"workclass", "occupation", "native-country"}
    assert str(sample.data["age"].type) == "int64"
    assert str(sample.data["income"].type) == "string"
    assert sorted(set(sample.labels)) == ["<=50K", ">50K"]
    assert "?" not in sample.data["workclass"].to_pylist()


def test_every_set_states_its_licence_and_source():
    names = [entry.name for entry in catalogue()]
    assert len(set(names)) == len(names)
    assert {"digits", "fashion", "banknote", "census", "passengers", "heartbeats"} == {
        e.name for e in catalogue() if e.embedded
    }
    for entry in catalogue():
        assert entry.licence
        assert entry.source
        assert entry.embedded == (entry.url is None) == (not entry.files)
        assert all(len(sha) == 64 for _, _, sha in entry.files)


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(InvalidParameter, match=r"'fasion'; did you mean fashion"):
        load("fasion")


# --- idx and adult -------------------------------------------------------------------------------------------


def test_idx_there_and_back():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), "x"), array)
    deep = bytes([0, 0, 0x0D, 1, 0, 0, 0, 2]) + np.array([1.5, -2.0], ">f4").tobytes()
    assert parse_idx(deep, "x").tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"hello world", bytes([0, 0, 8, 3, 0]), bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])]
)
def test_damaged_idx_is_refused(content):
    with pytest.raises(UnreadableFile, match="my file"):
        parse_idx(content, "my file")


def test_adult_text():
    row = (
        "39, {}, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, ?, <=50K{}"
    )
    text = "|1x3 Cross validator\n" + row.format("State-gov", ".") + "\n" + row.format("?", ".") + "\n\n"
    table = parse_adult(text)
    assert table.num_rows == 2
    assert table["workclass"].to_pylist() == ["State-gov", None]
    assert table["income"].to_pylist() == ["<=50K", "<=50K"]
    assert table["age"].to_pylist() == [39, 39]
    with pytest.raises(InvalidData):
        parse_adult("<html>moved</html>")


# --- downloads -----------------------------------------------------------------------------------------------

IMAGES = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
LABELS = np.array([7, 8, 9], np.uint8)
CONTENT = {"images": IMAGES, "labels": LABELS, "test": IMAGES[:1], "test-labels": LABELS[:1]}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A mirror on this machine that holds a tiny set called "mnist", and the folder it serves."""
    folder = tmp_path / "mirror/mnist"
    folder.mkdir(parents=True)
    files = []
    for role, array in CONTENT.items():
        content = idx_bytes(array)
        (folder / f"{role}.gz").write_bytes(gzip.compress(content))
        files.append((role, f"{role}.gz", hashlib.sha256(content).hexdigest()))
    tiny = Entry("mnist", "images", "3", False, "none", "here", "tiny", "http://unused.invalid/", tuple(files))
    monkeypatch.setattr(samples, "ENTRIES", (tiny,))
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "mirror")))
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", folder
    web.shutdown()
    web.server_close()


def test_a_good_download_is_kept(server, tmp_path):
    url, folder = server
    sample = load("mnist", url=url, cache=tmp_path / "cache")
    np.testing.assert_array_equal(sample.data, IMAGES)
    np.testing.assert_array_equal(sample.test_labels, LABELS[:1])
    for file in folder.iterdir():
        file.unlink()  # from now on only the cache can answer
    np.testing.assert_array_equal(load("mnist", url=url, cache=tmp_path / "cache").labels, LABELS)


def test_the_mirror_and_cache_are_found_in_the_environment(server, tmp_path, monkeypatch):
    url, _ = server
    monkeypatch.setenv("NARROWS_DATA_URL", url + "/")
    monkeypatch.setenv("NARROWS_DATA_DIR", str(tmp_path / "kept"))
    assert load("mnist").data.shape == (3, 2, 2)
    assert sorted(p.name for p in (tmp_path / "kept/mnist").iterdir()) == ["images", "labels", "test", "test-labels"]


def test_packed_anew_is_the_same_content(server, tmp_path):
    url, folder = server
    (folder / "images.gz").write_bytes(gzip.compress(idx_bytes(IMAGES), compresslevel=1, mtime=1))
    np.testing.assert_array_equal(load("mnist", url=url, cache=tmp_path / "cache").data, IMAGES)


def test_other_content_is_refused_and_not_kept(server, tmp_path):
    url, folder = server
    (folder / "images.gz").write_bytes(gzip.compress(idx_bytes(IMAGES + 1)))
    with pytest.raises(UnreadableFile, match=r"images\.gz is not the file it should be .*SHA-256"):
        load("mnist", url=url, cache=tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_what_is_no_gzip_is_refused_and_not_kept(server, tmp_path):
    url, folder = server
    (folder / "images.gz").write_bytes(b"<html>please log in</html>")
    with pytest.raises(UnreadableFile, match="not a gzip file"):
        load("mnist", url=url, cache=tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_a_damaged_cache_is_downloaded_anew(server, tmp_path):
    url, _ = server
    load("mnist", url=url, cache=tmp_path / "cache")
    (tmp_path / "cache/mnist/images").write_bytes(b"cut")
    np.testing.assert_array_equal(load("mnist", url=url, cache=tmp_path / "cache").data, IMAGES)


def test_a_missing_file_and_a_server_that_is_down_say_what_to_do(server, tmp_path):
    url, folder = server
    (folder / "images.gz").unlink()
    with pytest.raises(UnreadableFile, match=r"404.*NARROWS_DATA_URL"):
        load("mnist", url=url, cache=tmp_path / "cache")
    with pytest.raises(
        UnreadableFile, match=r"cannot be downloaded .*check the network.*put the unpacked file at .*images"
    ):
        load("mnist", url="http://127.0.0.1:9", cache=tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []
