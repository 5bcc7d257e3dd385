"""Music: MIDI there and back, melodies as tokens, piano rolls, and a model that learns them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import narrows
from narrows import networks
from narrows.data import Music, MusicFormat, Tune, format_from_config
from narrows.errors import InvalidData, InvalidParameter, SavedModelError, UnreadableFile

mido = pytest.importorskip("mido")
# C for a beat, struck twice; E and G together; silence; A to the end
NOTES = np.array([[0, 2, 60], [2, 2, 60], [4, 4, 64], [4, 4, 67], [12, 4, 69]])
TUNE = Tune(NOTES, steps=16, tempo=90.0)


def test_midi_there_and_back(tmp_path):
    TUNE.write(tmp_path / "a.mid")
    assert Tune.read(tmp_path / "a.mid") == TUNE
    assert [p.name for p in tmp_path.iterdir()] == ["a.mid"]
    # on a finer grid everything is twice as long
    finer = Tune.read(tmp_path / "a.mid", grid=8)
    np.testing.assert_array_equal(finer.notes[:, :2], 2 * NOTES[:, :2])
    # silence at the end is kept
    Tune(NOTES, steps=40).write(tmp_path / "b.mid")
    assert Tune.read(tmp_path / "b.mid").steps == 40


def test_midi_of_other_hands(tmp_path):
    """Tracks side by side, drums, note-on with velocity 0, other ticks, notes off the grid and never ended."""
    message = mido.Message
    one = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=400_000), message("note_on", note=60, time=7)])
    one.append(message("note_on", note=60, velocity=0, time=90))
    two = mido.MidiTrack([message("note_on", channel=9, note=35), message("note_on", channel=1, note=70, time=96)])
    two.append(mido.MetaMessage("end_of_track", time=96))
    mido.MidiFile(type=1, ticks_per_beat=96, tracks=[one, two]).save(tmp_path / "a.mid")
    tune = Tune.read(tmp_path / "a.mid")
    assert tune.tempo == 150.0
    np.testing.assert_array_equal(tune.notes, [[0, 4, 60], [4, 4, 70]])


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"not music at all" * 20, b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0"]
)
def test_what_is_no_midi_is_said(tmp_path, content):
    path = tmp_path / "broken.mid"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"broken\.mid' cannot be read as MIDI .*: export it again"):
        Music().fit(path)


def test_a_cut_off_file_is_said(tmp_path):
    TUNE.write(tmp_path / "a.mid")
    (tmp_path / "a.mid").write_bytes((tmp_path / "a.mid").read_bytes()[:-20])
    with pytest.raises(UnreadableFile, match="cannot be read as MIDI"):
        Tune.read(tmp_path / "a.mid")


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(UnreadableFile, match="is not there"):
        Music().fit(tmp_path / "none.mid")
    with pytest.raises(InvalidData, match="holds no MIDI files"):
        Music().fit(tmp_path)
    with pytest.raises(InvalidData, match="no tune"):
        Music().fit([])
    with pytest.raises(InvalidData, match="no note in 1 tunes"):
        Music().fit([Tune(NOTES[:0], 16)])
    with pytest.raises(InvalidData, match="no piano roll"):
        Music().fit([np.zeros((5, 60))])
    with pytest.raises(InvalidData, match="8 steps per beat, but 4"):
        Music().fit([Tune(NOTES, 16, grid=8)])
    with pytest.raises(InvalidParameter, match="does not describe a melody"):
        Music().fit([TUNE], likelihood=narrows.likelihoods.Gaussian())


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(InvalidData, match="0 to 127"):
        Tune(np.array([[0, 1, 128]]), 4).write(tmp_path / "a.mid")
    assert not list(tmp_path.iterdir())


def test_rolls_there_and_back():
    roll = TUNE.roll()
    assert roll.sum() == 4 + 8 + 4
    # struck twice is one note on a roll
    again = Tune.from_roll(roll, tempo=90.0)
    np.testing.assert_array_equal(again.notes, [[0, 4, 60], [4, 4, 64], [4, 4, 67], [12, 4, 69]])
    piano = Tune.from_roll(roll[:, 21:109])
    np.testing.assert_array_equal(piano.notes, again.notes)


def test_a_melody_is_the_highest_voice():
    fitted = Music(bars=1).fit([TUNE])
    assert (fitted.low, fitted.high) == (60, 69)
    rows = fitted.to_rows([TUNE])
    c, g, a = 2, 9, 11
    assert rows.values[0, :, 0].tolist() == [c, 0, c, 0, g, 0, 0, 0, 1, 0, 0, 0, a, 0, 0, 0]
    assert fitted.layout.categories == (12,)
    (tune,) = fitted.from_values(rows.values)
    np.testing.assert_array_equal(tune.notes, NOTES[[0, 1, 3, 4]])
    assert tune.tempo == 90.0


def test_rows_are_bars_one_after_the_other():
    long = Tune(np.array([[0, 20, 60], [40, 4, 64]]), steps=44)
    rows = Music(bars=1).fit([long]).to_rows([long])
    # the second bar begins within a note, which it is told; the third ends in the silence that fills it up
    c, e = 2, 6
    assert rows.values.shape == (3, 16, 1)
    assert rows.values[1, :5, 0].tolist() == [c, 0, 0, 0, 1]
    assert rows.values[2, 6:14, 0].tolist() == [0, 0, e, 0, 0, 0, 1, 0]
    assert rows.values[2, 0, 0] == 1
    # two bars with one in common; and bars of nothing are left out
    assert len(Music(bars=2).fit([long]).to_rows([long])) == 2
    silent = Tune(np.array([[0, 4, 60], [64, 4, 60]]), steps=80)
    assert len(Music(bars=1).fit([silent]).to_rows([silent])) == 2


def test_pitches_never_seen_are_said():
    for form in ("melody", "roll"):
        fitted = Music(form=form, bars=1).fit([TUNE])
        with pytest.raises(InvalidData, match=r"never saw \(it knows 60 to 69\): transpose"):
            fitted.to_rows([Tune(NOTES + np.array([0, 0, 12]), 16)])


@pytest.mark.parametrize("form", ["melody", "roll"])
def test_config_round_trip(form):
    fitted = Music(form=form).fit([TUNE])
    again = format_from_config(fitted.to_config())
    assert isinstance(again, MusicFormat)
    assert again == fitted
    assert torch.equal(again.to_rows([TUNE]).values, fitted.to_rows([TUNE]).values)
    for change in ({"low": 200}, {"options": None}, {"tempo": "fast"}):
        with pytest.raises(SavedModelError, match="music format cannot be used"):
            MusicFormat.from_config({**fitted.to_config(), **change})


def scales(n=48):
    """Up or down four degrees per beat from one of six tonics, two bars."""
    rng, tunes = np.random.default_rng(0), []
    for _ in range(n):
        degrees = np.array([0, 2, 4, 5, 7, 9, 11, 12])[:: rng.choice([1, -1])]
        pitches = 55 + rng.integers(6) + np.tile(degrees, 2)
        tunes.append(Tune(np.stack([2 * np.arange(16), np.full(16, 2), pitches], 1), 32))
    return tunes


def test_a_variational_autoencoder_of_bars(tmp_path):
    """The user's path: learn, sample, go from one melody to another, save, load, write MIDI."""
    tunes = scales()
    recurrent = networks.Recurrent(hidden=24)
    model = narrows.VariationalAutoencoder(
        4,
        beta=0.1,
        network=networks.Hierarchical(segment=16, conductor=recurrent, plan=32),
        format=Music(),
        training=narrows.Training(epochs=70, batch_size=8, learning_rate=0.01),
        random_state=0,
    ).fit(tunes)
    back = model.reconstruct(tunes)
    found, wanted = (np.stack([t.roll() for t in several]).argmax(-1) for several in (back, tunes))
    # without a code, the best is the commonest pitch of every step
    blind = np.mean([np.bincount(step).max() / len(step) for step in wanted.T])
    assert (found == wanted).mean() > blind + 0.15
    made = model.sample(5, random_state=0)
    assert all(isinstance(tune, Tune) and tune.steps == 32 for tune in made)
    assert model.sample(5, random_state=0) == made
    (line,) = model.interpolate(tunes[:1], tunes[1:2], steps=5)
    assert line[0] == back[0]
    assert line[-1] == back[1]
    made[0].write(tmp_path / "made.mid")
    assert np.array_equal(Tune.read(tmp_path / "made.mid").notes, made[0].notes)
    model.save(tmp_path / "model")
    again = narrows.load(tmp_path / "model")
    assert again.sample(5, random_state=0) == made


def test_made_up_melodies_have_the_notes_of_the_data_and_not_the_likeliest_alone():
    """Half of the tunes have a note on every beat, half on the first alone; where that is unsure, both come out."""
    rng, tunes = np.random.default_rng(0), []
    for _ in range(120):
        starts = 4 * np.arange(4)[: 4 if rng.random() < 0.4 else 1]
        notes = np.stack([starts, np.full(len(starts), 2), rng.choice([60, 64, 67], len(starts))], 1)
        tunes.append(Tune(notes, 16))
    model = narrows.VariationalAutoencoder(
        2, beta=50.0, format=Music(bars=1), training=narrows.Training(epochs=20, learning_rate=0.01), random_state=0
    ).fit(tunes)  # codes that say nothing
    count = [np.mean([len(t.notes) for t in some]) for some in (tunes, model.sample(200, random_state=0))]
    assert count[1] == pytest.approx(count[0], rel=0.25)
    assert np.mean([len(t.notes) for t in model.reconstruct(tunes)]) < 0.75 * count[0]  # the likeliest: one note
