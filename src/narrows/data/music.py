"""The music format: tunes as melodies of tokens or as piano rolls, and back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.data.midi import Tune, read_tunes
from narrows.errors import InvalidData, InvalidParameter, SavedModelError

__all__ = ["Music", "MusicFormat", "Tune"]

HOLD, REST, PITCHES = 0, 1, 2  # what sounds goes on; silence begins; from here on a pitch begins


class Music(Part, room="formats"):
    """Tunes cut into pieces of some bars, on a grid.

    Args:
        form: "melody": one token per step, which holds what sounds, begins silence or begins a pitch; of pitches that
            sound together the highest is kept. "roll": of every pitch, whether it sounds at the step; a pitch struck
            again at once is one note.
        bars: Bars of a row.
        beats: Beats per bar.
        grid: Steps per beat: 4 for sixteenths of a common bar.
        stride: Bars from one row of a tune to the next.

    Example:
        ```python
        import numpy as np
        from narrows.data import Music, Tune

        tune = Tune(np.array([[0, 4, 60], [4, 4, 64], [8, 8, 67]]), steps=32)
        fitted = Music(bars=1).fit([tune])
        fitted.to_rows([tune]).values[0, :9, 0]  # tensor([2., 0., 0., 0., 6., 0., 0., 0., 9.])
        ```

    Reference:
        A Hierarchical Latent Vector Model for Learning Long-Term Structure in Music, Roberts, Engel, Raffel, Hawthorne,
        Eck, 2018, https://arxiv.org/abs/1803.05428 (the tokens of melodies).
    """

    form: Literal["melody", "roll"] = "melody"
    bars: Annotated[int, Interval(1)] = 2
    beats: Annotated[int, Interval(1)] = 4
    grid: Annotated[int, Interval(1)] = 4
    stride: Annotated[int, Interval(1)] = 1

    @property
    def bar(self) -> int:
        """Steps of a bar."""
        return self.beats * self.grid

    def fit(self, raw: Any, likelihood: Any = None) -> MusicFormat:
        """Find the range of pitches and the usual tempo.

        Args:
            raw: A MIDI file, a folder of them, a tune, or a list of files, tunes and piano rolls ``(steps, 88)``.
            likelihood: The one that suits is Categorical of melodies, Bernoulli of rolls, and no other does.

        Returns:
            The fitted format.

        Raises:
            InvalidData: If there is no note.
            UnreadableFile: If a file is not MIDI.
            InvalidParameter: If the likelihood cannot describe notes.
        """
        self.check()
        tunes = read_tunes(raw, self.grid)
        pitches = np.concatenate([tune.notes[:, 2] for tune in tunes])
        if not len(pitches):
            raise InvalidData(f"there is no note in {len(tunes)} tunes: give music that has some (drums are left out)")
        low, high = int(pitches.min()), int(pitches.max())
        made = MusicFormat(self, low, high, float(np.median([tune.tempo for tune in tunes])))
        if likelihood is not None and type(likelihood) is not type(made.likelihood()):
            raise InvalidParameter(
                f"{likelihood!r} does not describe a {self.form}: leave it out, {made.likelihood()!r} does"
            )
        made.reasons.append(f"{len(tunes)} tunes of {len(pitches):,} notes, pitches {low} to {high}")
        made.reasons.append(f"rows are {self.bars} bars of {self.bar} steps, one every {self.stride}")
        return made


@dataclass(frozen=True)
class MusicFormat:
    """A fitted music format.

    Attributes:
        options: The options it was fitted with.
        low: The lowest pitch.
        high: The highest pitch.
        tempo: Beats per minute of tunes that are made up.
        reasons: What was found, in words.
    """

    options: Music
    low: int
    high: int
    tempo: float
    reasons: list[str] = field(default_factory=list)

    feature_names: ClassVar[None] = None
    channels: ClassVar[tuple[str, ...]] = ("pitch",)

    @property
    def melody(self) -> bool:
        """Whether rows are melodies of tokens."""
        return self.options.form == "melody"

    @property
    def keys(self) -> int:
        """How many pitches there are."""
        return self.high - self.low + 1

    @property
    def steps(self) -> int:
        """Steps of a row."""
        return self.options.bars * self.options.bar

    @property
    def layout(self) -> Layout:
        """A series of one category column, or of one column per pitch."""
        if self.melody:
            size = PITCHES + self.keys
            return Layout((self.steps, 1), (size,), low=(0.0,), high=(size - 1.0,))
        return Layout((self.steps, self.keys))

    @property
    def n_features(self) -> int:
        """Numbers per row."""
        return self.layout.size

    def likelihood(self) -> Any:
        """The one that suits: categorical for tokens, Bernoulli for what sounds or not."""
        from narrows.likelihoods import Bernoulli, Categorical

        return Categorical() if self.melody else Bernoulli()

    # --- there -------------------------------------------------------------------------------------------------

    def to_rows(self, raw: Any, owner: str = "this model") -> Rows:
        """Tunes as rows of whole bars; the last of a tune is filled up with silence.

        Rows of silence amid longer tunes are left out.

        Raises:
            InvalidData: If pitches were never seen in training, or there are only silences.
        """
        hop, found = self.options.stride * self.options.bar, list[NDArray[Any]]()
        for tune in read_tunes(raw, self.options.grid):
            count = max(0, -(-(tune.steps - self.steps) // hop)) + 1
            pieces: NDArray[Any] = (
                self._melody(tune, count, hop) if self.melody else self._roll(tune, count, hop, owner)
            )
            sounds = (pieces >= PITCHES if self.melody else pieces).any((1, 2))
            found += list(pieces[sounds | (count == 1)])
        if not found:
            raise InvalidData("the tunes hold nothing but silence: give some that have notes")
        values = np.stack(found).astype(np.float32)
        if self.melody and values.max() >= PITCHES + self.keys:
            raise self._strange(owner)
        return Rows(torch.from_numpy(values))

    def _melody(self, tune: Tune, count: int, hop: int) -> NDArray[np.int64]:
        """Tokens of ``count`` rows ``(count, steps, 1)``: the highest pitch at every step, and where one begins."""
        roll = _filled(tune.roll(), (count - 1) * hop + self.steps)
        struck = np.zeros_like(roll)
        struck[tune.notes[:, 0], tune.notes[:, 2]] = True
        top = np.where(roll.any(1), 127 - roll[:, ::-1].argmax(1), -1)
        again = (top >= 0) & struck[np.arange(len(top)), top]
        # a pitch outside those of training is one past the last token
        known = np.where((top >= self.low) & (top <= self.high), top - self.low, self.keys)
        begun = np.where(top < 0, REST, PITCHES + known)
        tokens = np.where(again | (np.diff(top, prepend=-2) != 0), begun, HOLD)
        rows = np.stack([tokens[start : start + self.steps] for start in range(0, count * hop, hop)])
        rows[:, 0] = begun[: count * hop : hop]  # what sounds when a row begins is told to it
        return rows[..., np.newaxis]

    def _roll(self, tune: Tune, count: int, hop: int, owner: str) -> NDArray[np.bool_]:
        roll = _filled(tune.roll(), (count - 1) * hop + self.steps)
        if roll[:, : self.low].any() or roll[:, self.high + 1 :].any():
            raise self._strange(owner)
        own = roll[:, self.low : self.high + 1]
        return np.stack([own[start : start + self.steps] for start in range(0, count * hop, hop)])

    def _strange(self, owner: str) -> InvalidData:
        return InvalidData(
            f"there are pitches that {owner} never saw (it knows {self.low} to {self.high}): transpose the tunes, or "
            "fit on some of that range"
        )

    # --- back --------------------------------------------------------------------------------------------------

    def from_values(
        self, values: Tensor, observed: Tensor | None = None, *, clip: bool = True, like: Any = None
    ) -> list[Tune]:
        """Rows' values ``(…, steps, columns)`` as tunes, one per row.

        Raises:
            InvalidData: If the values have another shape than this format's rows.
        """
        if tuple(values.shape[-2:]) != self.layout.shape:
            raise InvalidData(f"values of shape {tuple(values.shape)} are no music of shape {self.layout.shape}")
        flat = values.detach().cpu().reshape(-1, *self.layout.shape).numpy()
        return [self._tune(row) for row in flat]

    def _tune(self, row: NDArray[np.float32]) -> Tune:
        if not self.melody:
            return Tune.from_roll(row >= 0.5, self.options.grid, self.tempo, self.low)
        tokens = row[:, 0].round().astype(int)
        begins = [*np.flatnonzero(tokens != HOLD).tolist(), len(tokens)]
        notes = [
            (start, end - start, self.low + int(tokens[start]) - PITCHES)
            for start, end in itertools.pairwise(begins)
            if tokens[start] >= PITCHES
        ]
        return Tune(np.array(notes, dtype=np.int64).reshape(-1, 3), len(tokens), self.options.grid, self.tempo)

    def curves(self, raw: Any) -> list[NDArray[np.float64]]:
        """The highest pitch at every step of every tune ``(steps, 1)``, to draw; NaN where nothing sounds."""
        rolls = [tune.roll() for tune in read_tunes(raw, self.options.grid)]
        tops = [np.where(roll.any(1), 127.0 - roll[:, ::-1].argmax(1), np.nan) for roll in rolls]
        return [top[:, np.newaxis] for top in tops]

    # --- words and files ---------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """One entry, for the music."""
        return [{"name": "music", "kind": self.options.form, "low": self.low, "high": self.high, "steps": self.steps}]

    def to_config(self) -> dict[str, Any]:
        """The fitted format as plain JSON."""
        found = {name: getattr(self, name) for name in ("low", "high", "tempo")}
        return {"format": "music", "options": self.options.to_config(), **found, "reasons": list(self.reasons)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The format that `to_config` described.

        Raises:
            SavedModelError: If something is missing from ``config`` or does not fit.
        """
        try:
            options, low, high = Part.from_config(config["options"]), int(config["low"]), int(config["high"])
            if not isinstance(options, Music) or not 0 <= low <= high <= 127:
                raise ValueError("the options or pitches are not those of a music format")
            reasons: Sequence[Any] = config["reasons"]
            return cls(options, low, high, float(config["tempo"]), [str(reason) for reason in reasons])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedModelError(f"the saved music format cannot be used ({error!r}); save the model again") from error


def _filled(roll: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """A roll made longer by silence."""
    return np.pad(roll, [(0, steps - len(roll)), (0, 0)])
