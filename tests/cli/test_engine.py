"""Rows that others go through: the same results in the same order."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from narrows.cli import _engine
from narrows.cli._stream import write_parts
from narrows.data import load, open_stream, read_table, write_images
from narrows.errors import InvalidData, WorkerDied

from .conftest import names_in, refused, well


@pytest.fixture(scope="module")
def files(place):
    folder = place / "ray"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        values = rng.normal(size=(90, 2)) @ rng.normal(size=(2, 4))
        columns = {f"c{j}": values[:, j] for j in range(4)}
        pq.write_table(pa.table(columns | {"row": np.arange(90) + 90 * number}), folder / f"{number}.parquet")
    well("fit", folder, "--drop", "row", "--epochs", 1, "--code-size", 2, "--out", place / "ray-run")
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    _engine._begin(ray)
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_ray_gives_what_this_process_gives(place, files, cluster):
    for verb in ("encode", "score", "reconstruct"):
        for engine in ("local", "ray"):
            told = well(
                verb, place / "ray-run", files, "--engine", engine, "--out", place / f"{engine}.parquet", "--json"
            )
            assert told.json["rows"] == 270
        local, far = (read_table(str(place / f"{engine}.parquet")) for engine in ("local", "ray"))
        assert far.column_names == local.column_names
        for name in local.column_names:
            np.testing.assert_allclose(far[name].to_numpy(), local[name].to_numpy(), rtol=1e-5, atol=1e-6)
    # on images, by their names
    write_images(load("fashion").data[:70], place / "pictures")
    well("fit", place / "pictures", "--epochs", 1, "--model", "autoencoder", "--out", place / "picture-run")
    for engine in ("local", "ray"):
        well("score", place / "picture-run", place / "pictures", "--engine", engine, "--out", place / f"{engine}.csv")
    local, far = (read_table(str(place / f"{engine}.csv")) for engine in ("local", "ray"))
    assert far["file"].to_pylist() == local["file"].to_pylist()
    np.testing.assert_allclose(far["score"].to_numpy(), local["score"].to_numpy(), rtol=1e-5)
    # an actor's error is told in its own words, and nothing is left behind
    (files / "1.parquet").write_bytes((files / "1.parquet").read_bytes().replace(b"c3", b"c9"))
    line = refused("encode", place / "ray-run", files, "--engine", "ray", "--out", place / "never.parquet")
    assert "1.parquet" in line
    assert not (place / "never.parquet").exists()


def killing(marker, often):
    """Work that kills its own process at row 200, once or as often as it comes there."""

    def work(model, piece):
        import os
        import signal

        if 200 in piece["row"].to_pylist() and (often or not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    return work


@pytest.mark.slow
def test_an_actor_that_is_killed_is_begun_again_but_not_for_ever(place, files, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(_engine, "RESTARTS", 1)
    folder, stream = str(place / "ray-run"), open_stream(files / "[02].parquet", memory="1MiB")
    for often in (False, True):
        work = killing(tmp_path / "marker", often)
        found = _engine.parts(folder, None, stream, work, "ray")
        if often:
            with pytest.raises(WorkerDied, match="has died 2 times"):
                write_parts(found, tmp_path / "rows.parquet")
        else:
            assert write_parts(found, tmp_path / "rows.parquet") == 180
        # the first file is whole, and the second leaves it as it was
        assert read_table(tmp_path / "rows.parquet")["row"].to_pylist() == [*range(90), *range(180, 270)]
    assert names_in(tmp_path) == ["marker", "rows.parquet"]


def test_errors_of_actors_come_out(monkeypatch):
    error, cause = RuntimeError("task"), InvalidData("row 3")
    error.cause = cause
    outer = RuntimeError("job")
    outer.__cause__ = error
    assert _engine._own(outer) is cause
    assert _engine._own(cause) is cause
    other = RuntimeError("lost")
    assert _engine._own(other) is other
    assert isinstance(_engine._own(other, (RuntimeError,)), WorkerDied)
    assert _engine._own(outer, (RuntimeError,)) is cause  # its own words say more than that it died


def test_without_ray(place, files, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    line = refused("encode", place / "ray-run", files, "--engine", "ray", "--out", place / "x.parquet")
    assert "pip install 'narrows[ray]'" in line


def test_what_no_engine_can_do(place, files):
    line = refused("score", place / "ray-run", files, "--engine", "dask", "--out", place / "x.parquet")
    assert "write local or ray" in line
    np.save(place / "rows.npy", np.zeros((3, 4)))
    pytest.importorskip("ray.data")
    line = refused("score", place / "ray-run", place / "rows.npy", "--engine", "ray", "--out", place / "x.parquet")
    assert "cannot be read piece by piece" in line
