"""Tunes, and MIDI files read and written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData, MissingExtra, UnreadableFile
from narrows.files import atomic

ENDINGS = (".mid", ".midi")
DRUMS = 9  # the channel whose notes are instruments, not pitches
PIANO = 21  # the lowest key of a piano, where rolls of 88 keys begin
TICKS = 480  # per beat, in files that are written


@dataclass(frozen=True, eq=False)
class Tune:
    """Notes on a grid.

    Attributes:
        notes: ``(n, 3)`` whole numbers: first step, steps, and MIDI pitch (60 is the middle C) of every note, in the
            order in which they begin.
        steps: How long the tune is.
        grid: Steps per beat.
        tempo: Beats per minute.

    Example:
        ```python
        tune = Tune(np.array([[0, 2, 60], [2, 2, 64], [4, 4, 67]]), steps=8)
        tune.roll().shape  # (8, 128)
        ```
    """

    notes: NDArray[np.int64]
    steps: int
    grid: int = 4
    tempo: float = 120.0

    def __eq__(self, other: object) -> bool:
        """Tunes are equal when all their notes are, and grid, length and tempo."""
        if not isinstance(other, Tune):
            return NotImplemented
        mine, theirs = (self.steps, self.grid, self.tempo), (other.steps, other.grid, other.tempo)
        return mine == theirs and np.array_equal(self.notes, other.notes)

    __hash__ = None  # type: ignore[assignment]

    def roll(self) -> NDArray[np.bool_]:
        """Which pitches sound at which step, ``(steps, 128)``."""
        found = np.zeros((self.steps, 128), dtype=bool)
        for start, length, pitch in self.notes:
            found[start : start + length, pitch] = True
        return found

    @classmethod
    def from_roll(cls, roll: Any, grid: int = 4, tempo: float = 120.0, lowest: int | None = None) -> Self:
        """The tune of a piano roll; a pitch that sounds in steps one after the other is one note.

        Args:
            roll: ``(steps, keys)``, not 0 where a pitch sounds.
            grid: Steps per beat.
            tempo: Beats per minute.
            lowest: The pitch of the first key; None: 0 of 128 keys, 21 of 88, those of a piano.

        Raises:
            InvalidData: If that is no roll.
        """
        on = np.asarray(roll)
        if on.ndim != 2 or (lowest is None and on.shape[1] not in (88, 128)) or on.shape[1] + (lowest or 0) > 128:
            raise InvalidData(f"an array of shape {on.shape} is no piano roll: give (steps, 88) or (steps, 128)")
        low = (PIANO if on.shape[1] == 88 else 0) if lowest is None else lowest
        edges = np.diff(np.pad((on != 0).astype(np.int8), ((1, 1), (0, 0))), axis=0)
        keys, starts = np.nonzero(edges.T == 1)  # key by key, so that starts and ends pair up
        _, ends = np.nonzero(edges.T == -1)
        return cls(_ordered(np.stack([starts, ends - starts, keys + low], 1)), len(on), grid, tempo)

    @classmethod
    def joined(cls, tunes: Sequence[Tune]) -> Self:
        """Tunes one after the other, at the grid and tempo of the first."""
        starts = np.cumsum([0, *(tune.steps for tune in tunes)])
        notes = [tune.notes + np.array([start, 0, 0]) for tune, start in zip(tunes, starts, strict=False)]
        return cls(np.concatenate(notes), int(starts[-1]), tunes[0].grid, tunes[0].tempo)

    @classmethod
    def read(cls, path: str | os.PathLike[str], grid: int = 4) -> Self:
        """The notes of a MIDI file, brought to a grid; drums are left out. Needs the extra ``narrows[music]``.

        Raises:
            UnreadableFile: If the file is not there, or is not MIDI.
        """
        mido = _mido()
        path = Path(path)
        if not path.is_file():
            raise UnreadableFile(f"{str(path)!r} is not there: give a MIDI file ({', '.join(ENDINGS)})")
        try:
            file = mido.MidiFile(path)
            if file.ticks_per_beat <= 0 or file.type == 2:
                raise ValueError(
                    "its time is not counted in beats" if file.type != 2 else "its tracks are not one piece"
                )
            events = list(mido.merge_tracks(file.tracks))
        except Exception as error:  # a damaged file can make the parser stumble in any way
            why = str(error) or type(error).__name__
            raise UnreadableFile(
                f"{str(path)!r} cannot be read as MIDI ({why}): export it again as a standard MIDI file (format 0 or "
                "1), or leave it out"
            ) from error
        notes, end, tempo = _notes(events)
        scale = grid / file.ticks_per_beat
        steps = [(round(a * scale), max(1, round(b * scale) - round(a * scale)), pitch) for a, b, pitch in notes]
        found = _ordered(np.array(steps, dtype=np.int64).reshape(-1, 3))
        length = max([round(end * scale), *(found[:, 0] + found[:, 1])])
        return cls(found, int(length), grid, round(6e7 / tempo, 3))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a MIDI file of one track. Needs the extra ``narrows[music]``.

        Raises:
            InvalidData: If a pitch is not in 0 to 127.
        """
        mido = _mido()
        if len(self.notes) and (self.notes[:, 2].min() < 0 or self.notes[:, 2].max() > 127):
            raise InvalidData("MIDI knows pitches from 0 to 127: transpose the tune")
        events = sorted(
            event
            for start, length, pitch in self.notes.tolist()
            for event in ((start + length, 0, pitch), (start, 1, pitch))
        )
        track, now = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(6e7 / self.tempo))]), 0
        for step, on, pitch in events:
            time = round(step * TICKS / self.grid)
            track.append(mido.Message("note_on", note=pitch, velocity=80 * on, time=time - now))
            now = time
        end = round(self.steps * TICKS / self.grid)
        track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
        file = mido.MidiFile(type=0, ticks_per_beat=TICKS, tracks=[track])
        with atomic(path) as temporary:
            file.save(temporary)


def read_tunes(raw: Any, grid: int = 4) -> list[Tune]:
    """Tunes of whatever holds music.

    Args:
        raw: A MIDI file, a folder of them (searched to the bottom), a tune, or a list of files, tunes and piano rolls
            ``(steps, 88)`` or ``(steps, 128)``.
        grid: Steps per beat that files are brought to.

    Raises:
        InvalidData: If there is no music.
        UnreadableFile: If a file cannot be read.
    """
    if isinstance(raw, (str, os.PathLike)):
        path = Path(raw)
        found = find_midi(path) if path.is_dir() else [path]
        if not found:
            raise InvalidData(f"the folder {str(path)!r} holds no MIDI files ({', '.join(ENDINGS)})")
        return [Tune.read(one, grid) for one in found]
    if isinstance(raw, Tune) or (isinstance(raw, np.ndarray) and raw.ndim == 2):
        raw = [raw]
    if not isinstance(raw, Iterable):
        raise InvalidData(f"{type(raw).__name__} holds no music: give MIDI files, a folder, tunes or piano rolls")
    tunes = [_tune(one, grid) for one in raw]
    if not tunes:
        raise InvalidData("there is no tune: give MIDI files, a folder of them, tunes or piano rolls")
    for number, tune in enumerate(tunes):
        if tune.grid != grid:
            raise InvalidData(
                f"tune {number} has {tune.grid} steps per beat, but {grid} are asked for: bring it to those"
            )
    return tunes


def find_midi(folder: Path) -> list[Path]:
    """MIDI files in a folder and the folders in it, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def _tune(one: Any, grid: int) -> Tune:
    if isinstance(one, Tune):
        return one
    return Tune.read(one, grid) if isinstance(one, (str, os.PathLike)) else Tune.from_roll(one, grid)


def _notes(events: Iterable[Any]) -> tuple[list[tuple[int, int, int]], int, int]:
    """Notes as first and last tick and pitch, the last tick of all, and microseconds per beat."""
    open_: dict[tuple[int, int], int] = {}
    notes, now, tempo = list[tuple[int, int, int]](), 0, 0
    for event in events:
        now += event.time
        if event.type == "set_tempo":
            tempo = tempo or event.tempo
        if event.type not in ("note_on", "note_off") or event.channel == DRUMS:
            continue
        key = event.channel, event.note
        if key in open_:  # a note struck again ends here
            notes.append((open_.pop(key), now, event.note))
        if event.type == "note_on" and event.velocity > 0:
            open_[key] = now
    notes += [(start, now, pitch) for (_, pitch), start in open_.items()]
    return notes, now, tempo or 500_000


def _ordered(notes: NDArray[np.int64]) -> NDArray[np.int64]:
    return notes[np.lexsort((notes[:, 2], notes[:, 0]))].astype(np.int64)


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise MissingExtra("MIDI files need mido: pip install 'narrows[music]'") from error
    return mido
