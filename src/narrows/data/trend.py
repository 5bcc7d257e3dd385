"""Trends and seasons taken away from series before they are learnt, and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A level wanders when the means of a series' fifths hold more than this share of its variance.
WANDERS = 0.6
#: A season is taken away when this leaves less than this share of the variance about the trend.
SEASONAL = 0.9
#: Slope of the logarithm of the spread over that of the level, from which on the spread grows with the level.
GROWS = 0.5


@dataclass(frozen=True)
class Trend:
    r"""What is taken away from series before they are learnt.

    $y = (1 - L^{k_1})(1 - L^{k_2}) \dots (\log x - s)$, with $L^k$ the series k steps earlier and s the usual season: a
    difference of lag 1 takes away a level that wanders, one of a season's lag takes the season away with it, and the
    logarithm makes changes relative.

    Attributes:
        lags: The lags of the differences; none for none.
        log: Whether logarithms are taken first. Values of 0 or less are blank then.
        profile: ``(m, C)`` the usual season, about 0; empty for none.
        start: ``(S, C)`` the S = Σ k raw values per channel that a made-up series goes on from.
    """

    lags: tuple[int, ...] = ()
    log: bool = False
    profile: tuple[tuple[float, ...], ...] = ()
    start: tuple[tuple[float, ...], ...] = ()

    @property
    def lost(self) -> int:
        """How many first steps of a series have no difference."""
        return sum(self.lags)

    def forward(self, values: Floats, phase: int = 0) -> Floats:
        """Differences ``(T − lost, C)`` of a series ``(T, C)``; of one with no more steps, a blank.

        Args:
            values: The series, NaN where blank.
            phase: Which step of the usual season it begins with.
        """
        if len(values) <= self.lost:
            return np.full((1, values.shape[1]), np.nan)
        x = self._log(values) - self._usual(phase, len(values))
        for lag in self.lags:
            x = x[lag:] - x[:-lag]
        return x

    def nearest(self, values: Floats, phase: int = 0) -> int:
        """Which step of the usual season a series begins with that has no time stamps: what leaves least variance.

        Args:
            values: ``(T, C)`` the series, NaN where blank.
            phase: What is said where nothing tells: there is no usual season, or too little to compare.
        """
        plain = replace(self, profile=()).forward(values) if self.profile else values
        told = np.isfinite(plain).sum(axis=0) > 1
        if not self.profile or not told.any():
            return phase
        scale = np.nanvar(plain[:, told], axis=0)
        left = [
            float((np.nanvar(self.forward(values, p)[:, told], axis=0) / np.where(scale > 0, scale, 1.0)).mean())
            for p in range(len(self.profile))
        ]
        return int(np.argmin(left))

    def above(self, values: Floats) -> Floats:
        """Values whose logarithm is taken: blank where they are 0 or less."""
        return np.where(values > 0, values, np.nan)

    def integrate(self, y: Floats, history: Floats | None = None, phase: int = 0) -> Floats:
        """Series that go on from a history.

        Args:
            y: ``(…, H, C)`` differences of the next H steps.
            history: ``(T, C)`` the raw values so far, T at least ``lost``, none blank among the last; None: ``start``.
            phase: Which step of the usual season the history begins with.

        Returns:
            ``(…, H, C)`` raw values.
        """
        given = np.asarray(self.start, dtype=np.float64) if history is None else history
        given = given.reshape(-1, np.shape(y)[-1])
        begin = phase + len(given) - self.lost
        past = [self._log(given[len(given) - self.lost :]) - self._usual(begin, self.lost)]
        for lag in self.lags:
            past.append(past[-1][lag:] - past[-1][:-lag])
        result = np.asarray(y, dtype=np.float64)
        for lag, before in zip(self.lags[::-1], past[-2::-1], strict=True):
            known = np.broadcast_to(before[len(before) - lag :], (*result.shape[:-2], lag, result.shape[-1]))
            whole = np.concatenate([known, result], axis=-2)
            for t in range(lag, whole.shape[-2]):
                whole[..., t, :] += whole[..., t - lag, :]
            result = whole[..., lag:, :]
        result = result + self._usual(phase + len(given), result.shape[-2])
        return np.exp(np.minimum(result, 700.0)) if self.log else result

    def describe(self) -> str:
        """In words, what is taken away."""
        parts = ["logarithms"] if self.log else []
        parts += [f"differences to the usual season of {len(self.profile)} steps"] if self.profile else []
        parts += [f"differences to {'the step before' if lag == 1 else f'{lag} steps before'}" for lag in self.lags]
        return f"learnt are {', then '.join(parts)}" if parts else "learnt are the values themselves"

    def to_config(self) -> dict[str, Any]:
        """The trend as plain JSON."""
        rows = {name: [list(row) for row in getattr(self, name)] for name in ("profile", "start")}
        return {"lags": list(self.lags), "log": self.log, **rows}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Trend:
        """The trend that ``to_config`` described."""
        lags = tuple(map(int, config["lags"]))
        if any(lag < 1 for lag in lags):
            raise ValueError(f"lags {lags}")
        profile, start = (tuple(tuple(map(float, row)) for row in config[name]) for name in ("profile", "start"))
        return cls(lags, bool(config["log"]), profile, start)

    def _log(self, values: Floats) -> Floats:
        if not self.log:
            return values
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(values > 0, np.log(values), np.nan)

    def _usual(self, phase: int, steps: int) -> Any:
        if not self.profile:
            return 0.0
        return np.asarray(self.profile)[(phase + np.arange(steps)) % len(self.profile)]


def choose_trend(tracks: Sequence[Floats], season: int, phases: Sequence[int]) -> Trend:
    """The trend that suits series: what leaves little to explain is taken away.

    Logarithms are taken where all values are above 0 and the spread within a season grows with its level. A season is
    taken away, by its usual course or by differences to the season before, whichever leaves less variance, if that is
    less than about a straight line. Then, where the level wanders, come differences to the step before.

    Args:
        tracks: Series ``(T, C)``, NaN where blank.
        season: Steps of a season, 1 for none.
        phases: Which step of a season each series begins with.

    Returns:
        The trend.
    """
    trend = Trend(log=_grows(tracks, max(season, 8)))
    if season > 1:
        plain = _variance([_straight(trend.forward(t)) for t in tracks])
        profile = usual_season([trend.forward(t) for t in tracks], season, phases)
        choices = [replace(trend, lags=(season,)), replace(trend, profile=profile)]
        left = [
            _variance([choices[0].forward(t) for t in tracks]),
            _variance(_left_out([trend.forward(t) for t in tracks], season, phases)),
        ]
        if min(left) < SEASONAL * plain:
            trend = choices[int(np.argmin(left))]
    taken = [trend.forward(t, p) for t, p in zip(tracks, phases, strict=True)]
    if _variance([_fifths(t, season) for t in taken]) > WANDERS * _variance(taken):
        trend = replace(trend, lags=(*trend.lags, 1))
    return replace(trend, start=usual_level(tracks, trend.lost))


def usual_level(tracks: Sequence[Floats], steps: int) -> tuple[tuple[float, ...], ...]:
    """The first steps of the first series that has none of them blank; ones where there is none."""
    for track in tracks:
        if len(track) >= steps and not np.isnan(track[:steps]).any():
            return tuple(tuple(map(float, row)) for row in track[:steps])
    return tuple((1.0,) * tracks[0].shape[1] for _ in range(steps))


def usual_season(tracks: Sequence[Floats], season: int, phases: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Mean of each step of a season ``(m, C)`` less the mean of all, smoothed over a twelfth of a long season."""
    total, count = _sums(tracks, season, phases)
    return tuple(tuple(map(float, row)) for row in _mean(total, count))


def _sums(tracks: Sequence[Floats], season: int, phases: Sequence[int]) -> tuple[Floats, Floats]:
    total = np.zeros((season, tracks[0].shape[1]))
    count = np.zeros_like(total)
    for track, phase in zip(tracks, phases, strict=True):
        at, seen = (phase + np.arange(len(track))) % season, np.isfinite(track)
        np.add.at(total, at, np.where(seen, track, 0))
        np.add.at(count, at, seen)
    return total, count


def _mean(total: Floats, count: Floats) -> Floats:
    width = len(total) // 24  # on either side
    if width:
        turns = range(-width, width + 1)
        total, count = (sum(np.roll(v, k, axis=0) for k in turns) for v in (total, count))  # type: ignore[assignment]
    mean = total / np.maximum(count, 1)
    return mean - mean.mean(axis=0)


def _left_out(tracks: Sequence[Floats], season: int, phases: Sequence[int]) -> list[Floats]:
    """What is left of each season when the others' mean is taken away."""
    total, count = _sums(tracks, season, phases)
    found = []
    for track, phase in zip(tracks, phases, strict=True):
        for start in range(0, len(track), season):
            part = track[start : start + season]
            own = _sums([part], season, [phase + start])
            usual = _mean(total - own[0], count - own[1])
            found.append(part - usual[(phase + start + np.arange(len(part))) % season])
    return found


def _variance(tracks: Sequence[Floats]) -> float:
    """Variance per channel, each in its own units' mean square, averaged; infinite where nothing is there."""
    whole = np.concatenate(list(tracks))
    if not np.isfinite(whole).any(axis=0).all():
        return np.inf
    return float(np.nanvar(whole, axis=0).mean())


def _fifths(values: Floats, season: int) -> Floats:
    """Means of a series' fifths, at least two seasons each, step by step."""
    size = max(len(values) // 5, 2 * season)
    parts = [values[i : i + size] for i in range(0, max(1, len(values) - size // 2), size)]
    means = [np.nanmean(p, axis=0) if np.isfinite(p).any(axis=0).all() else np.full(p.shape[1], np.nan) for p in parts]
    return np.concatenate([np.where(np.isfinite(p), m, np.nan) for p, m in zip(parts, means, strict=True)])


def _straight(values: Floats) -> Floats:
    """What is left of a series without the straight line through each channel."""
    t, result = np.arange(len(values), dtype=np.float64), np.array(values)
    for j in range(values.shape[1]):
        seen = np.isfinite(values[:, j])
        if seen.sum() > 2:
            result[:, j] -= np.polyval(np.polyfit(t[seen], values[seen, j], 1), t)
    return result


def _grows(tracks: Sequence[Floats], block: int) -> bool:
    """Whether all values are above 0 and their spread grows with their level, from block to block."""
    if any(np.nanmin(t, initial=np.inf) <= 0 for t in tracks):
        return False
    parts = [
        t[i : i + block, j] for t in tracks for j in range(t.shape[1]) for i in range(0, len(t) - block + 1, block)
    ]
    parts = [p for p in parts if np.isfinite(p).all() and np.ptp(p) > 0]
    level = np.log([p.mean() for p in parts]) if parts else np.empty(0)
    if len(parts) < 4 or np.ptp(level) < np.log(1.5):
        return False
    spread = np.log([np.std(p) for p in parts])
    return float(np.polyfit(level, spread, 1)[0]) > GROWS and float(np.corrcoef(level, spread)[0, 1]) > GROWS
