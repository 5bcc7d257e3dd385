"""Files that are damaged while a model learns from them: named, nothing lost, nothing half-fitted."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageFile

from narrows import Autoencoder, Training, networks
from narrows.data import PictureStream, Table, TableStream, image, open_stream
from narrows.errors import UnreadableFile
from narrows.training.checkpoint import NAME, Checkpoints


def shards(folder):
    """Four files of four row groups each."""
    rng = np.random.default_rng(0)
    for number in range(4):
        z = rng.normal(size=200)
        columns = {"a": z, "b": -z + 0.1 * rng.normal(size=200), "c": rng.normal(size=200)}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=50)


def pictures(folder):
    rng = np.random.default_rng(0)
    for number in range(160):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{number:03}.png")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    path.write_bytes(b"\xff" * path.stat().st_size)


def remove(path):
    path.unlink()


CASES = {"table": (shards, TableStream, "2.parquet"), "images": (pictures, PictureStream, "070.png")}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    make, stream, name = CASES[request.param]
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    format_ = Table(scaling="standard") if stream is TableStream else None

    def estimator(**settings):
        training = Training(epochs=4, batch_size=20, verbose=False, checkpoint_every=0.0, **settings)
        return Autoencoder(2, network=networks.Dense((8,)), format=format_, training=training, random_state=0)

    return estimator, stream, tmp_path / "data" / name


def when(monkeypatch, stream, condition, action):
    """Do something to the files once, just before a piece is loaded, when it is time."""
    real, done = stream.load, []

    def load(self, piece):
        if not done and condition():
            done.append(piece)
            action()
        return real(self, piece)

    monkeypatch.setattr(stream, "load", load)
    return done


@pytest.mark.parametrize("damage", [cut, overwrite, remove])
def test_a_file_damaged_in_the_middle_of_training(case, damage, tmp_path, monkeypatch):
    """It is named, the last checkpoint is whole, and with the file back the run ends as if nothing had happened."""
    estimator, stream, path = case
    data, run = path.parent, tmp_path / "run"
    undisturbed = estimator().fit(open_stream(data, memory="64KiB"))
    shutil.copy(path, tmp_path / "copy")
    saved = run / NAME
    with monkeypatch.context() as patched:
        done = when(patched, stream, saved.exists, lambda: damage(path))
        model = estimator(checkpoint=str(run))
        with pytest.raises(UnreadableFile, match=path.name.replace(".", r"\.")):
            model.fit(open_stream(data, memory="64KiB"))
    assert done
    assert not hasattr(model, "module_")
    assert sorted(p.suffix for p in run.iterdir()) == [".json", ".safetensors"]
    tensors, state = Checkpoints(run, json.loads(saved.read_text())["run"]).load()
    assert state["step"] > 0
    assert all(torch.isfinite(t).all() for t in tensors.values())
    shutil.copy(tmp_path / "copy", path)
    resumed = estimator(checkpoint=str(run)).fit(open_stream(data, memory="64KiB"))
    for name, tensor in undisturbed.module_.state_dict().items():
        assert torch.equal(tensor, resumed.module_.state_dict()[name])
    assert not run.exists()


def test_a_file_damaged_in_the_middle_of_scoring(case, monkeypatch):
    estimator, stream, path = case
    model = estimator().fit(open_stream(path.parent, memory="64KiB"))
    opened, read = open_stream(path.parent, memory="64KiB"), []
    when(monkeypatch, stream, lambda: read.append(0) or len(read) > 1, lambda: cut(path))
    with pytest.raises(UnreadableFile, match=path.name.replace(".", r"\.")):
        model.score_samples(opened)
    assert len(read) == 2


@pytest.mark.parametrize("skip", [True, False])
def test_want_of_memory_is_not_the_pictures_fault(skip, tmp_path, monkeypatch):
    """A decoder that runs out of memory stops the work: its picture is neither blamed nor skipped."""
    pictures(tmp_path)
    paths = sorted(tmp_path.glob("*.png"))
    format_ = image.Image(skip_bad=skip).fit(paths)

    def load(self):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(MemoryError):
        format_.to_rows(paths)
