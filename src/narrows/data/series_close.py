"""Series put back into the container that they came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows._arrow import pa
from narrows.data.clock import Clock
from narrows.data.series_set import SeriesSet, Track

SHAPES = ("grid", "flat", "single", "list", "lines", "frame")


@dataclass(frozen=True)
class Template:
    """What series came as.

    Attributes:
        shape: "grid", "flat", "single", "list", "lines" or "frame"; see `SeriesSet`.
        kind: Kind of table, or type of array.
        channels: What the channels are called.
        axes: Names of the columns of series and times of a table.
        clock: The grid of time stamps.
        origin: Tick that made-up series begin at.
    """

    shape: str
    kind: str
    channels: tuple[str, ...]
    axes: tuple[Any, Any] = (None, None)
    clock: Clock | None = None
    origin: float = 0.0

    @classmethod
    def of(cls, opened: SeriesSet) -> Template:
        """The template of series."""
        origin = min(t.start for t in opened.tracks)
        return cls(opened.shape, opened.kind, opened.channels, opened.axes, opened.clock, origin)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns of values of a table; none for arrays."""
        return self.channels if self.shape == "frame" else ()

    def phase(self, track: Track) -> int:
        """Steps from where the first training series began to where a series begins."""
        return round((track.start - self.origin) / (1.0 if self.clock is None else self.clock.step))

    def to_config(self) -> dict[str, Any]:
        """The template as plain JSON."""
        return {
            **vars(self),
            "channels": list(self.channels),
            "axes": list(self.axes),
            "clock": None if self.clock is None else self.clock.to_config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Template:
        """The template that ``to_config`` described."""
        if config["shape"] not in SHAPES:
            raise ValueError(f"{config['shape']!r} is no shape of series")
        id_, time = config["axes"]
        clock = None if config["clock"] is None else Clock.from_config(config["clock"])
        channels = tuple(map(str, config["channels"]))
        return cls(config["shape"], str(config["kind"]), channels, (id_, time), clock, float(config["origin"]))


def close_series(template: Template, tracks: Sequence[Track], whole: bool = False) -> Any:
    """Series in the container of a template.

    Args:
        template: What to make.
        tracks: The series, ``(T, C)`` each.
        whole: Whether they are the given series themselves, rather than rows made up.

    Returns:
        An array where all are of one length and arrays were given, ``(n, T)`` or ``(n, T, C)``, or ``(T,)`` for one
        whole series; a list of arrays; or a long table.
    """
    if template.shape == "frame":
        return _frame(template, tracks)
    arrays = [_typed(t.values, template.kind) for t in tracks]
    if template.shape in ("flat", "single", "lines"):
        arrays = [a[:, 0] for a in arrays]
    if template.shape in ("list", "lines") or len({len(a) for a in arrays}) > 1:
        return arrays
    return arrays[0] if template.shape == "single" and whole else np.stack(arrays)


def _typed(values: Any, kind: str) -> Any:
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return values.astype(dtype)
    # whole numbers have no blank
    return values if np.isnan(values).any() else np.rint(values).astype(dtype)


def _frame(template: Template, tracks: Sequence[Track]) -> Any:
    id_, time = template.axes
    columns: dict[str, Any] = {}
    if id_ is not None or len(tracks) > 1:
        names = [t.name if t.name is not None else i for i, t in enumerate(tracks)]
        columns[str(id_ if id_ is not None else "series")] = [
            n for n, t in zip(names, tracks, strict=True) for _ in range(len(t))
        ]
    if time is not None and template.clock is not None:
        stamps = [template.clock.stamps(t.start, np.arange(len(t))) for t in tracks]
        columns[str(time)] = pa.concat_arrays(stamps)
    values = np.concatenate([t.values for t in tracks])
    for j, name in enumerate(template.channels):
        columns[name] = pa.array(values[:, j].tolist() if values.dtype == object else values[:, j], from_pandas=True)
    table = pa.table(columns)
    if template.kind == "pandas":
        return table.to_pandas()
    if template.kind == "polars":
        import polars as pl

        return pl.from_arrow(table)
    return table
