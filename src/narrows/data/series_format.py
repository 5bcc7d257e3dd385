"""Series to rows of tensors and back: a fitted series format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._arrow import pa
from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.data.series_close import Template, close_series
from narrows.data.series_set import SeriesSet, Track, open_series
from narrows.data.table import TableFormat
from narrows.data.trend import Trend
from narrows.errors import InvalidData, SavedModelError

FLAT = 1e-3  # of the channel's spread over all series: what varies less is flat, and is not blown up


@dataclass(frozen=True)
class SeriesFormat:
    """A fitted series format: what series are in this model, and the way there and back.

    One row is a series, or a window of one, of up to ``steps`` steps; every step is like a row of a table, whose
    columns are the channels: numbers are scaled, categories indices, gaps 0 and not observed. Series that are shorter
    than others hold 0 beyond their end, and ``Rows.lengths`` says where that is.

    *Lengths of made-up series.* Where series are of unequal lengths, codes say nothing of them: the lengths of series
    that are sampled, decoded or interpolated are those of training, in turn, whatever the series hold. What belongs to
    given series (`reconstruct`) has their lengths.

    *Levels of made-up series.* With ``scaling="instance"``, likewise: the middle level and spread of training, or
    those of the given series.

    Attributes:
        options: The options it was fitted with.
        table: How one step is read.
        steps: Steps per row, at most.
        stride: Steps from window to window; 0 where a row is a whole series.
        ragged: Whether rows may be shorter than ``steps``.
        template: What series came as, and go back as.
        lengths: Lengths of training rows, from the shortest to the longest, at most 64 of them.
        level: Middle level of training rows per channel, in the table's scaled units (instance scaling).
        spread: Middle spread, likewise.
        reach: Smallest and largest value after instance scaling.
        trend: What is taken away first.
        ends: The last steps of training series, which forecasts go on from.
        season: Steps of a season, where forecasts asked for it.
        given: The likelihood that was given; None when it was chosen.
        reasons: What was chosen and why, and what was changed, in plain words.
    """

    options: Any
    table: TableFormat
    steps: int
    stride: int
    ragged: bool
    template: Template
    lengths: tuple[int, ...] = ()
    level: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    reach: tuple[float, float] = (0.0, 1.0)
    trend: Trend | None = None
    ends: tuple[Track, ...] = ()
    season: int = 1
    given: Any = None
    reasons: Sequence[str] = ()

    feature_names: ClassVar[None] = None

    @cached_property
    def layout(self) -> Layout:
        """What a row looks like: ``shape`` (steps, channels), and of every channel what a table says of a column."""
        step = self.table.layout
        found = replace(step, shape=(self.steps, *step.shape), ragged=self.ragged)
        if not self.instance:
            return found
        number = [k == 0 for k in step.categories or (0,) * len(step.low)]
        low, high = self.reach
        return replace(
            found,
            low=tuple(low if n else v for n, v in zip(number, step.low, strict=True)),
            high=tuple(high if n else v for n, v in zip(number, step.high, strict=True)),
        )

    @property
    def instance(self) -> bool:
        """Whether every row has a scale of its own."""
        return self.options.scaling == "instance"

    @property
    def channels(self) -> tuple[str, ...]:
        """What the channels are called."""
        return self.template.channels

    @property
    def n_features(self) -> int:
        """How many values a row has, at most."""
        return self.layout.size

    def likelihood(self) -> Any:
        """The likelihood of one step: the one given at fitting, or the one that suits the channels."""
        return self.table.likelihood()

    # --- raw to rows -----------------------------------------------------------------------------------------

    def open(self, raw: Any) -> SeriesSet:
        """Series as the ones that were fitted: the same columns, the same clock.

        Raises:
            InvalidData: If they have other channels, or come at another pace.
        """
        id_, time = self.template.axes
        options = {"id": id_, "time": time, "values": self.template.named, "every": self.options.every}
        found = open_series(raw, **options, clock=self.template.clock)
        if len(found.channels) != len(self.channels):
            raise InvalidData(
                f"the series have {len(found.channels)} channel{'s' * (len(found.channels) != 1)} "
                f"({', '.join(found.channels[:5])}), but the model was fitted on {len(self.channels)} "
                f"({', '.join(self.channels[:5])}): give as many, in the same order"
            )
        return found

    def places(self, lengths: Sequence[int]) -> NDArray[np.int64]:
        """Where rows lie in series.

        Args:
            lengths: Steps of each series.

        Returns:
            ``(n, 3)``: the series, its first step, and the number of steps of every row.
        """
        found = []
        for i, length in enumerate(lengths):
            if not self.stride or length <= self.steps:
                found.append((i, 0, length))
                continue
            last = length - self.steps
            found += [(i, start, self.steps) for start in range(0, last, self.stride)] + [(i, last, self.steps)]
        return np.array(found, dtype=np.int64).reshape(-1, 3)

    def phases(self, tracks: Sequence[Track]) -> list[int]:
        """Which step of the usual season each series begins with: by the clock, or else the one that fits it best."""
        found = [self.template.phase(t) for t in tracks]
        if self.template.clock is not None or self.trend is None:
            return found
        return [self.trend.nearest(t.values, p) for t, p in zip(tracks, found, strict=True)]

    def to_rows(self, raw: Any, owner: str = "this model", known: bool = False) -> Rows:
        """Rows of series.

        Args:
            raw: What `Series.fit` takes.
            owner: Who asks, for messages.
            known: Whether series without time stamps begin where those did that were fitted, rather than anywhere in
                the usual season.

        Returns:
            n rows: values ``(n, steps, channels)`` float32, what is observed where there are gaps, and lengths where
            series may be shorter than others.

        Raises:
            InvalidData: If the series have other channels or steps than the fitted ones, or hold infinite values.
        """
        return self._rows(self.open(raw), owner, known)[0]

    def _rows(self, opened: SeriesSet, owner: str = "this model", known: bool = False) -> tuple[Rows, Tensor, Tensor]:
        """Rows, and under instance scaling each one's level and spread ``(n, 1, channels)``."""
        tracks = [t.values for t in opened.tracks]
        if self.trend is not None:
            phases = [self.template.phase(t) for t in opened.tracks] if known else self.phases(opened.tracks)
            tracks = [self.trend.forward(v, p) for v, p in zip(tracks, phases, strict=True)]
        places = self._checked(self.places([len(t) for t in tracks]), owner)
        whole = self.table.to_rows(stacked(tracks, self.channels), owner)
        starts = np.cumsum([0, *(len(t) for t in tracks)])[places[:, 0]] + places[:, 1]
        lengths = torch.from_numpy(places[:, 2])
        step = torch.arange(self.steps)
        exists = step < lengths.unsqueeze(1)
        index = torch.where(exists, torch.from_numpy(starts).unsqueeze(1) + step, 0)
        values = torch.where(exists.unsqueeze(2), whole.values[index], 0)
        observed = None if whole.observed is None else whole.observed[index] & exists.unsqueeze(2)
        cut = torch.from_numpy(places[:, :2]) if self.stride else None
        rows = Rows(values, observed, lengths if self.ragged else None, place=cut)
        return self._scaled(rows) if self.instance else (rows, torch.zeros(1), torch.ones(1))

    def _checked(self, places: NDArray[np.int64], owner: str) -> NDArray[np.int64]:
        longest, shortest = int(places[:, 2].max()), int(places[:, 2].min())
        if longest > self.steps:
            raise InvalidData(
                f"a series has {longest} steps, but {owner} was fitted on up to {self.steps}: cut it, or fit with "
                f"format=Series(window={self.steps})"
            )
        if shortest < self.steps and not self.ragged:
            raise InvalidData(
                f"a series has {shortest} steps, but {owner} was fitted on {self.steps}: fill it up with NaN at the "
                "end where the rest is unknown, or fit on series of unequal lengths"
            )
        return places

    def _scaled(self, rows: Rows) -> tuple[Rows, Tensor, Tensor]:
        mask = rows.mask()
        seen = torch.ones_like(rows.values) if mask is None else mask.to(rows.values.dtype)
        count = seen.sum(1, keepdim=True).clamp_min(1)
        level = (rows.values * seen).sum(1, keepdim=True) / count
        spread = (((rows.values - level) * seen).square().sum(1, keepdim=True) / count).sqrt().clamp_min(FLAT)
        hot = torch.tensor([k > 0 for k in self.table.layout.categories or (0,) * len(self.channels)])
        level, spread = torch.where(hot, 0, level), torch.where(hot, 1, spread)
        return rows.replace(values=(rows.values - level) / spread * seen), level, spread

    # --- rows to raw -----------------------------------------------------------------------------------------

    def from_values(
        self, values: Tensor, observed: Tensor | None = None, *, clip: bool = True, like: Any = None
    ) -> Any:
        """Series of rows' values, in the container that was fitted.

        Args:
            values: ``(…, steps, channels)`` in scaled units.
            observed: Like ``values``, false where a step is to come back blank.
            clip: Whether to keep every channel within the range seen in training.
            like: Series of which these are the rows: they lend their lengths, levels, names and time stamps, and
                windows are put together again, averaged where they overlap.

        Returns:
            The series: an array, a list of arrays, or a long table.

        Raises:
            InvalidData: If the values have another shape than this format's rows.
        """
        if tuple(values.shape[-2:]) != self.layout.shape:
            raise InvalidData(f"values of shape {tuple(values.shape)} are no series of shape {self.layout.shape}")
        flat = values.detach().to("cpu", torch.float32).reshape(-1, *self.layout.shape)
        source = self._source(like, len(flat))
        if self.instance:
            level, spread = torch.tensor(self.level), torch.tensor(self.spread)
            if source is not None:
                _, level, spread = self._rows(source)
            flat = flat * spread + level
        cells = self._decode(flat, None if observed is None else observed.cpu().reshape(flat.shape), clip)
        if source is not None and self.trend is None:
            tracks = [replace(t, values=v) for t, v in zip(source.tracks, self._joined(cells, source), strict=True)]
            return close_series(self.template, tracks, whole=True)
        if self.trend is not None:
            cells = self.trend.integrate(cells)
        tracks = [
            Track(one[:length], i, self.template.origin)
            for i, (one, length) in enumerate(zip(cells, self._some_lengths(len(cells)), strict=True))
        ]
        made = close_series(self.template, tracks)
        return made.reshape(*values.shape[:-2], *made.shape[1:]) if isinstance(made, np.ndarray) else made

    def _source(self, like: Any, rows: int) -> SeriesSet | None:
        if like is None:
            return None
        source = self.open(like)
        return source if len(self.places([len(t) for t in source.tracks])) == rows else None

    def _decode(self, values: Tensor, observed: Tensor | None, clip: bool) -> NDArray[Any]:
        n, steps, channels = values.shape
        seen = None if observed is None else observed.reshape(-1, channels)
        table = self.table.from_values(values.reshape(-1, channels), seen, clip=clip)
        if isinstance(table, pa.Table):
            table = np.stack([np.array(c.to_pylist(), dtype=object) for c in table.columns], axis=1)
        return np.asarray(table).reshape(n, steps, channels)

    def _joined(self, cells: NDArray[Any], source: SeriesSet) -> list[NDArray[Any]]:
        """Windows ``(n, steps, C)`` put together to the series that they were cut from."""
        lengths = [len(t) for t in source.tracks]
        if cells.dtype == object:
            wholes = [np.full((length, cells.shape[2]), None, dtype=object) for length in lengths]
            for one, (i, start, length) in zip(cells, self.places(lengths), strict=True):
                wholes[i][start : start + length] = one[:length]
            return wholes
        sums = [np.zeros((length, cells.shape[2])) for length in lengths]
        counts = [np.zeros((length, 1)) for length in lengths]
        for one, (i, start, length) in zip(cells, self.places(lengths), strict=True):
            sums[i][start : start + length] += one[:length]
            counts[i][start : start + length] += 1
        return [total / count for total, count in zip(sums, counts, strict=True)]

    def _some_lengths(self, n: int) -> list[int]:
        """Lengths of n made-up rows: those of training in a scattered order, the same for the same n."""
        if not self.ragged:
            return [self.steps] * n
        place = (np.arange(n) * 0.6180339887498949) % 1.0  # multiples of the golden ratio fall evenly
        return [self.lengths[int(p * len(self.lengths))] for p in place]

    # --- for people and files --------------------------------------------------------------------------------

    def curves(self, raw: Any) -> list[NDArray[np.float64]]:
        """Series as arrays ``(T, channels)`` to draw, whatever they came as; categories as indices."""
        found = []
        for track in self.open(raw).tracks:
            if track.values.dtype == object:
                coded = self.table.to_rows(stacked([track.values], self.channels), warn=False)
                found.append(coded.values.numpy().astype(np.float64))
            else:
                found.append(track.values)
        return found

    def describe(self) -> list[dict[str, Any]]:
        """One entry per channel: name, kind, share of gaps, scaling, range, categories."""
        return [{**entry, "name": name} for entry, name in zip(self.table.describe(), self.channels, strict=True)]

    def to_config(self) -> dict[str, Any]:
        """The format as plain JSON."""
        return {
            "format": "series",
            "options": self.options.to_config(),
            "table": self.table.to_config(),
            "template": self.template.to_config(),
            "trend": None if self.trend is None else self.trend.to_config(),
            "ends": [{"name": t.name, "start": t.start, "values": _plain(t.values)} for t in self.ends],
            "given": None if self.given is None else self.given.to_config(),
            **{name: getattr(self, name) for name in ("steps", "stride", "ragged", "season")},
            **{name: list(getattr(self, name)) for name in ("lengths", "level", "spread", "reach", "reasons")},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeriesFormat:
        """The format that `to_config` described.

        Raises:
            SavedModelError: If the description is damaged.
        """
        try:
            if config["given"] is not None:
                import narrows.likelihoods  # noqa: F401  (registers them, so that they can be looked up)
            options = Part.from_config(config["options"])
            table, template = TableFormat.from_config(config["table"]), Template.from_config(config["template"])
            steps, stride = int(config["steps"]), int(config["stride"])
            if (
                options.key() != "formats.Series"
                or steps < 1
                or stride < 0
                or len(template.channels) != table.n_features
            ):
                raise ValueError("options, steps or channels are not those of a series format")
            low, high = map(float, config["reach"])
            ends = tuple(_track(end, len(template.channels)) for end in config["ends"])
            return cls(
                options, table, steps, stride, bool(config["ragged"]), template,
                tuple(map(int, config["lengths"])), tuple(map(float, config["level"])),
                tuple(map(float, config["spread"])), (low, high),
                None if config["trend"] is None else Trend.from_config(config["trend"]), ends, int(config["season"]),
                None if config["given"] is None else Part.from_config(config["given"]),
                [str(r) for r in config["reasons"]],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedModelError(f"the saved series format is damaged: {error!r}") from error


def _plain(values: NDArray[Any]) -> list[Any]:
    """Cells as JSON has them: None where blank."""
    return [[None if v is None or v != v else v for v in row] for row in values.tolist()]


def _track(config: Mapping[str, Any], channels: int) -> Track:
    values = np.array(config["values"], dtype=object).reshape(-1, channels)
    if not any(isinstance(v, str) for v in values.ravel()):
        values = values.astype(np.float64)
    return Track(values, config["name"], float(config["start"]))


def stacked(tracks: Sequence[NDArray[Any]], channels: Sequence[str]) -> Any:
    """All steps one below the other, as the step's table takes them."""
    whole = np.concatenate(list(tracks))
    if whole.dtype != object:
        return whole
    return pa.table({name: pa.array(list(whole[:, j]), from_pandas=True) for j, name in enumerate(channels)})


def seen(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values of a series ``(T, C)`` are there."""
    if values.dtype != object:
        return ~np.isnan(values)
    return np.array([[v is not None and v == v for v in row] for row in values], dtype=bool).reshape(values.shape)
