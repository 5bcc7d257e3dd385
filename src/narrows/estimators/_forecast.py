"""Forecasts: drawing what comes next, and what people look at."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.data.clock import Clock
from narrows.data.series_close import Template, close_series
from narrows.data.series_format import SeriesFormat, seen, stacked
from narrows.data.series_set import SeriesSet, Track
from narrows.errors import DataWarning, InvalidData
from narrows.evaluate.forecasts import baselines, filled
from narrows.training.seeds import hash_seed, seeded

#: Periods that the calendar has, by the length of a step in microseconds.
_PERIODS = {3_600e6: (24, 168, 8766), 86_400e6: (7, 365), 604_800e6: (52,), 1_800e6: (48, 336), 900e6: (96, 672)}
CLOSE = 0.05  # of a period: a season found so near to one is that one
BEYOND = 1.0  # of the range seen in training that a drawn step may lie outside it


@dataclass(frozen=True)
class Forecast:
    """How series go on.

    Attributes:
        draws: ``(draws, n, steps, C)`` ways to go on, in raw units.
        level: Share of the draws inside the intervals.
        simple: What simple methods say, by name: ``(n, steps, C)``.
        template: What series came as.
        names: What the series are called.
        starts: Tick of each series' first step that is to come.
    """

    draws: NDArray[Any]
    level: float
    simple: Mapping[str, NDArray[Any]] = field(repr=False)
    template: Template = field(repr=False)
    names: tuple[Any, ...] = field(repr=False)
    starts: tuple[float, ...] = field(repr=False)

    @property
    def mean(self) -> NDArray[Any]:
        """Mean of the draws, in the shape that series came in: ``(steps,)``, ``(n, steps)`` or ``(n, steps, C)``.

        Of categories it is the most frequent, and so are median and quantiles.
        """
        return self._shaped(self._over(lambda x: x.mean(axis=0)))

    @property
    def median(self) -> NDArray[Any]:
        """Median of the draws, likewise: the guess with the smallest absolute error."""
        return self.quantile(0.5)

    @property
    def low(self) -> NDArray[Any]:
        """Lower end of the intervals."""
        return self.quantile(0.5 - self.level / 2)

    @property
    def high(self) -> NDArray[Any]:
        """Upper end of the intervals."""
        return self.quantile(0.5 + self.level / 2)

    def quantile(self, q: float) -> NDArray[Any]:
        """A quantile of the draws, step by step."""
        return self._shaped(self._over(lambda x: np.quantile(x, q, axis=0)))

    @property
    def shares(self) -> NDArray[Any]:
        """Share of the draws that are the most frequent value, likewise: how sure a forecast of categories is."""
        n, steps, channels = self.draws.shape[1:]
        cells = self.draws.reshape(len(self.draws), -1)
        found = [Counter(cells[:, i].tolist()).most_common(1)[0][1] / len(cells) for i in range(cells.shape[1])]
        return self._shaped(np.array(found).reshape(n, steps, channels))

    def _over(self, of_numbers: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """Something of the draws of every step; of categories, the most frequent, the first of equally frequent."""
        if self.draws.dtype != object:
            return of_numbers(self.draws)
        found: NDArray[Any] = np.empty(self.draws.shape[1:], dtype=object)
        for j in range(found.shape[2]):
            cells = self.draws[..., j]
            if all(isinstance(v, Real) and not isinstance(v, bool | np.bool_) for v in cells.flat):
                found[..., j] = of_numbers(cells.astype(float))
                continue
            for i, t in np.ndindex(found.shape[:2]):
                found[i, t, j] = Counter(cells[:, i, t].tolist()).most_common(1)[0][0]
        return found

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.shape[2] == 1:
            values = values[..., 0]
        return values[0] if len(values) == 1 else values

    def frame(self) -> Any:
        """A long table: series, time, channel where there are several, mean, low, high, and the simple forecasts.

        Of categories the mean is the most frequent, without low and high, and a further column says its share of draws.

        Returns:
            A DataFrame of the kind that was given (pandas, polars, pyarrow); for arrays, of pyarrow.
        """
        import pyarrow as pa

        n, steps, channels = self.draws.shape[1:]
        parts = {
            "mean": self._over(lambda x: x.mean(axis=0)),
            "low": self._over(lambda x: np.quantile(x, 0.5 - self.level / 2, axis=0)),
            "high": self._over(lambda x: np.quantile(x, 0.5 + self.level / 2, axis=0)),
            **{name.replace(" ", "_"): values for name, values in self.simple.items()},
        }
        id_, time = self.template.axes
        columns: dict[str, Any] = {}
        if id_ is not None or n > 1:
            columns[str(id_ if id_ is not None else "series")] = [
                name for name in self.names for _ in range(steps * channels)
            ]
        clock = self.template.clock or Clock("number", 1.0, "int64")
        stamps = [clock.stamps(start, np.arange(steps)).to_pylist() for start in self.starts]
        columns[str(time if time is not None else "step")] = [t for one in stamps for t in one for _ in range(channels)]
        if channels > 1:
            columns["channel"] = list(self.template.channels) * (n * steps)
        cells: dict[str, Any] = {name: values.reshape(-1) for name, values in parts.items()}
        if self.draws.dtype == object:  # a category has no interval, but a share of the draws
            number = [isinstance(v, float) for v in cells["mean"]]
            if not all(number):
                cells["mean"] = [str(v) for v in cells["mean"]]
            for name in ("low", "high"):
                ends = [v if n else None for v, n in zip(cells[name], number, strict=True)]
                cells[name] = pa.array(ends, pa.float64())
            cells["share"] = self.shares.reshape(-1)
        table = pa.table(columns | cells)
        if self.template.shape != "frame" or self.template.kind == "pyarrow":
            return table
        if self.template.kind == "pandas":
            return table.to_pandas()
        import polars as pl

        return pl.from_arrow(table)


def ends_of(format_: SeriesFormat, most: int) -> SeriesSet:
    """The ends of training series, ``most`` of them, as series to go on from; where there were more, a warning."""
    if len(format_.ends) > most:
        message = (
            f"the model holds the ends of its first {most:,} series only: forecast(X=...) goes on from all of them"
        )
        warnings.warn(DataWarning(message), stacklevel=3)
    t = format_.template
    return SeriesSet(format_.ends[:most], t.shape, t.kind, t.channels, t.axes, t.clock)


def forecast_of(
    module: Any, format_: SeriesFormat, opened: SeriesSet, steps: int, draws: int, level: float, seed: int, season: int
) -> Forecast:
    """The forecast of some series, with the simple ones beside it."""
    template, tracks = format_.template, opened.tracks
    empty = [i if t.name is None else t.name for i, t in enumerate(tracks) if not seen(t.values).any()]
    if empty:
        message = f"{len(empty)} of {len(tracks)} series hold no value at all, such as {empty[0]!r}: what is foretold"
        warnings.warn(DataWarning(f"{message} of them is what is usual, whatever they are"), stacklevel=3)
    known = {id(t) for t in format_.ends}
    phases = [template.phase(t) for t in tracks] if id(tracks[0]) in known else format_.phases(tracks)
    made = roll(module, format_, [t.values for t in tracks], steps, draws, seed, season, phases)
    step = 1.0 if template.clock is None else template.clock.step
    starts = tuple(t.start + len(t) * step for t in tracks)
    simple = {}
    if tracks[0].values.dtype != object:
        for name, method in baselines(season).items():
            simple[name] = np.stack([np.stack([method(c, steps) for c in t.values.T], axis=1) for t in tracks])
    names = tuple(t.name if t.name is not None else i for i, t in enumerate(tracks))
    return Forecast(made, level, simple, template, names, starts)


def roll(
    module: Any,
    format_: SeriesFormat,
    histories: Sequence[NDArray[Any]],
    steps: int,
    draws: int,
    seed: int,
    season: int,
    phases: Sequence[int],
) -> NDArray[Any]:
    """Draws of what comes after histories ``(T, C)``: ``(draws, n, steps, C)`` in raw units.

    Series by series, each with the same noise, so that a forecast does not depend on which series come with it.
    """
    found = [_one(module, format_, h, steps, draws, seed, season, p) for h, p in zip(histories, phases, strict=True)]
    return np.stack(found, axis=1)


def _one(
    module: Any, format_: SeriesFormat, history: Any, steps: int, draws: int, seed: int, season: int, phase: int
) -> NDArray[Any]:
    trend, device = format_.trend, next(module.parameters()).device
    lost = 0 if trend is None else trend.lost
    if len(history) <= lost:
        raise InvalidData(
            f"a series has {len(history)} steps; forecasts need more than {lost}, which differences reach over: give "
            "a longer one"
        )
    taken = history if trend is None else trend.forward(history, phase)
    rows = format_.table.to_rows(stacked([taken[-format_.steps :]], format_.channels), warn=False)
    values = rows.values.unsqueeze(0).expand(draws, -1, -1).to(device)
    observed = None if rows.observed is None else rows.observed.unsqueeze(0).expand(draws, -1, -1).to(device)
    low, high = (torch.tensor(v, device=device) for v in (format_.table.layout.low, format_.table.layout.high))
    span = BEYOND * (high - low)
    made = []
    with torch.inference_mode(), seeded(hash_seed(seed, 0)):
        x, state = module.begin(values, observed)
        for _ in range(steps):
            # a draw that leaves all that was ever seen would be fed back, and run away
            made.append(torch.clamp(x.sample(), low - span, high + span))
            x, state = module.advance(made[-1].unsqueeze(1), state)
    cells = format_._decode(torch.stack(made, dim=1).cpu(), None, clip=False)
    if trend is None:
        return cells
    whole = np.stack([filled(c, season) for c in (trend.above(history) if trend.log else history).T], axis=1)
    if trend.log:  # a channel without a value goes on from the usual level
        whole = np.where(whole > 0, whole, np.mean(trend.start, axis=0) if trend.start else 1.0)
    return trend.integrate(cells, whole, phase)


def calendar(season: int, clock: Clock | None) -> int:
    """The calendar's period next to a season that was found; the season itself where none is near."""
    periods: tuple[int, ...] = ()
    if clock is not None and clock.kind == "month" and 12 % max(1, round(clock.step)) == 0:
        periods = (12 // round(clock.step),)
    elif clock is not None and clock.kind == "datetime":
        periods = next((p for unit, p in _PERIODS.items() if abs(clock.step - unit) < 1), ())
    near = [p for p in periods if abs(season - p) <= CLOSE * p]
    return near[0] if near and season > 1 else season


__all__ = ["Forecast", "Track", "calendar", "close_series", "forecast_of", "roll"]
