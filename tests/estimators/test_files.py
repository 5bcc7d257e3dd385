"""Saved models: what is refused, and that nothing is ever half written or executed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import narrows
from narrows import Training, _saved
from narrows.errors import SavedModelError
from narrows.estimators import _files


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(10, 1, n)),
            "job": rng.choice(["clerk", "smith", None], n),
            "member": rng.random(n) < 0.3,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, n), unit="D"),
        }
    )
    return narrows.VariationalAutoencoder(2, training=Training(epochs=2), random_state=0).fit(frame), frame


@pytest.fixture
def folder(model, tmp_path):
    return model[0].save(tmp_path / "model", metrics={"error": 0.5})


def edit(folder, *, checksum=True, **changes):
    """Change model.json as an attacker or a later version would, with a checksum that fits or not."""
    path = folder / "model.json"
    content = {**json.loads(path.read_text()), **changes}
    if checksum:
        content["checksum"] = _saved.checksum(content)
    path.write_text(json.dumps(content))


def test_a_mixed_table_survives(model, folder):
    fitted, frame = model
    again = narrows.load(folder)
    pd.testing.assert_frame_equal(again.reconstruct(frame), fitted.reconstruct(frame))
    pd.testing.assert_frame_equal(again.sample(9, random_state=1), fitted.sample(9, random_state=1))
    assert {p.name.split("-")[0] for p in folder.iterdir()} == {"README.md", "model.json", "weights"}


def test_another_process_reads_the_same(model, folder, tmp_path):
    fitted, frame = model
    frame.to_parquet(tmp_path / "frame.parquet")
    code = (
        "import sys, narrows, pandas as pd; m = narrows.load(sys.argv[1]);"
        "print(float(m.transform(pd.read_parquet(sys.argv[2])).sum()).hex())"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "frame.parquet")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float.fromhex(out.strip()) == pytest.approx(float(fitted.transform(frame).sum()), rel=1e-5)


def test_saving_again_replaces_the_weights(model, folder):
    _, frame = model
    other = narrows.VariationalAutoencoder(3, training=Training(epochs=1), random_state=1).fit(frame)
    other.save(folder)
    assert len(list(folder.glob("weights-*"))) == 1
    assert narrows.load(folder).transform(frame).shape[1] == 3


def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()
    assert card.startswith("# VariationalAutoencoder")
    for words in ("bottlenecks.Gaussian", "error: 0.5", "narrows.load"):
        assert words in card


def test_measures_that_are_not_numbers_can_be_kept(model, tmp_path):
    model[0].save(tmp_path / "model", metrics={"ratio": float("nan"), "best": np.float32(0.5)})
    assert narrows.load(tmp_path / "model")


def test_a_file_in_the_way(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SavedModelError, match="is a file"):
        model[0].save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failure_while_saving_leaves_the_old_model(model, folder, monkeypatch):
    fitted, frame = model
    before = fitted.transform(frame)
    monkeypatch.setattr(_files, "_card", lambda content: 1 / 0)
    other = narrows.Autoencoder(1, training=Training(epochs=1), random_state=5).fit(frame)
    with pytest.raises(ZeroDivisionError):
        other.save(folder)
    assert np.array_equal(narrows.load(folder).transform(frame), before)


@pytest.mark.parametrize("name", ["model.json", "weights"])
def test_truncated(folder, name):
    path = next(folder.glob(f"{name}*"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SavedModelError, match="damaged"):
        narrows.load(folder)


def test_no_model(tmp_path, folder):
    with pytest.raises(SavedModelError, match="holds no model"):
        narrows.load(tmp_path / "nothing")
    next(folder.glob("weights*")).unlink()
    with pytest.raises(SavedModelError, match="missing"):
        narrows.load(folder)


def test_newer_version(folder):
    edit(folder, format_version=99, narrows="9.0")
    with pytest.raises(SavedModelError, match=r"newer narrows \(9\.0, format 99\).*upgrade"):
        narrows.load(folder)


def test_tampered(folder):
    edit(folder, checksum=False, code_size=3)
    with pytest.raises(SavedModelError, match="changed after it was written"):
        narrows.load(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"estimator": "Popen"}, "unknown estimator 'Popen'"),
        ({"weights": "../secret.safetensors"}, "not a file of this folder"),
        ({"parts": {"network": {"part": "os.system", "params": {}}}}, "unknown part 'os.system'"),
        ({"code_size": 3}, "do not fit the model|disagree"),
        ({"parts": []}, "can be built"),
        ({"format": {"format": "nonsense"}}, "data of kind .nonsense."),
        ({"params": {"nonsense": 3}}, "can be built"),
    ],
)
def test_tampered_with_a_fitting_checksum(folder, changes, words):
    edit(folder, **changes)
    with pytest.raises(SavedModelError, match=words):
        narrows.load(folder)


@pytest.mark.parametrize("name", ["network", "bottleneck", "likelihood", "prior", "objective"])
def test_a_part_that_is_missing(folder, name):
    parts = json.loads((folder / "model.json").read_text(encoding="utf-8"))["parts"]
    edit(folder, parts={key: part for key, part in parts.items() if key != name})
    with pytest.raises(SavedModelError, match=f"lacks its {name}"):
        narrows.load(folder)


@pytest.mark.parametrize(("field", "value"), [("base", "x"), ("base", None), ("name", [1]), ("categories", [[1]])])
def test_a_column_of_other_types_is_refused_when_loading(folder, field, value):
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))["format"]
    content["columns"][0][field] = value
    edit(folder, format=content)
    with pytest.raises(SavedModelError, match=f"table format is damaged.*{field}"):
        narrows.load(folder)


def test_weights_of_other_shapes(model, folder):
    _, frame = model
    other = narrows.VariationalAutoencoder(5, training=Training(epochs=1)).fit(frame)
    other.save(folder.parent / "other")
    theirs = json.loads((folder.parent / "other" / "model.json").read_text())
    weights = folder.parent / "other" / theirs["weights"]
    (folder / theirs["weights"]).write_bytes(weights.read_bytes())
    edit(folder, weights=theirs["weights"], weights_sha256=theirs["weights_sha256"])
    with pytest.raises(SavedModelError, match="do not fit the model: model|do not fit the model"):
        narrows.load(folder)


@pytest.mark.parametrize("kind", ["Table", "Image"])
def test_another_process_knows_the_format_that_was_asked_for(kind, tmp_path):
    """The command line always asks for one, and a process that only loads has never made one."""
    from narrows import data

    X = np.random.default_rng(0).normal(size=(20, 4) if kind == "Table" else (20, 6, 6))
    asked = getattr(data, kind)()
    narrows.Autoencoder(2, format=asked, training=Training(epochs=1), random_state=0).fit(X).save(tmp_path / "m")
    code = "import sys, narrows; print(narrows.load(sys.argv[1]).sample(2, random_state=0).shape)"
    command = [sys.executable, "-c", code, str(tmp_path / "m")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("(2, ")
