"""Music at the command line: a folder of MIDI files is recognised, learnt, and new tunes are written."""

import numpy as np
import pytest

from narrows.data import Tune, open_source

from .conftest import refused, well

pytest.importorskip("mido")


@pytest.fixture
def tunes(tmp_path):
    folder = tmp_path / "tunes"
    folder.mkdir()
    for i in range(24):
        pitches = 55 + i % 4 + np.array([0, 2, 4, 5, 7, 5, 4, 2])
        Tune(np.stack([4 * np.arange(8), np.full(8, 4), pitches], 1), 32).write(folder / f"{i:02}.mid")
    return folder


def test_a_folder_of_midi_is_learnt_and_tunes_are_written(tmp_path, tunes):
    run, out = str(tmp_path / "run"), tmp_path / "made.mid"
    result = well("fit", str(tunes), "--model", "vae", "--epochs", "3", "--out", run, "--json").json
    assert result["kind"] == "music"
    assert not result["problems"]
    assert {"figures/reconstructions.png", "figures/samples.png", "report.html"} <= set(result["files"])
    assert "3 tunes, one after the other" in well("sample", run, "-n", "3", "--out", str(out)).out
    made = Tune.read(out)
    assert made.steps == 3 * 32
    assert "end the name in .mid" in refused("sample", run, "-n", "3", "--out", str(tmp_path / "made.csv"))
    assert not (tmp_path / "made.csv").exists()


def test_a_single_file_is_music_and_a_broken_one_is_said(tmp_path, tunes):
    source = open_source(tunes / "00.mid")
    assert (source.kind, len(source.data)) == ("music", 1)
    (tunes / "07.mid").write_bytes(b"MThd no music")
    assert "07.mid' cannot be read as MIDI" in refused("fit", str(tunes), "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
