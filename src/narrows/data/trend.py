"""Trends and seasons taken away by logarithms and differences, and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    r"""What is taken away from series before they are learnt.

    $y = (1 - L^{k_1})(1 - L^{k_2}) \dots \log x$, with $L^k$ the series k steps earlier: a difference of lag 1 takes away
    a level that wanders, one of a season's lag takes the season away with it, and the logarithm makes changes relative.

    Attributes:
        lags: The lags of the differences; none for none.
        log: Whether logarithms are taken first. Values of 0 or less are blank then.
        start: ``(S, C)`` the S = Σ k raw values per channel that a made-up series goes on from.
    """

    lags: tuple[int, ...] = ()
    log: bool = False
    start: tuple[tuple[float, ...], ...] = ()

    @property
    def lost(self) -> int:
        """How many first steps of a series have no difference."""
        return sum(self.lags)

    def forward(self, values: Floats) -> Floats:
        """Differences ``(T − lost, C)`` of a series ``(T, C)``; of one with fewer steps, one that is blank."""
        if len(values) <= self.lost:
            return np.full((1, values.shape[1]), np.nan)
        x = self._log(values)
        for lag in self.lags:
            x = x[lag:] - x[:-lag]
        return x

    def integrate(self, y: Floats, history: Floats | None = None) -> Floats:
        """Series that go on from a history.

        Args:
            y: ``(…, H, C)`` differences of the next H steps.
            history: ``(T, C)`` the raw values so far, T at least ``lost``, none blank among the last; None: ``start``.

        Returns:
            ``(…, H, C)`` raw values.
        """
        past = [self._log(np.asarray(self.start if history is None else history, dtype=np.float64)[-max(1, self.lost) :])]
        for lag in self.lags:
            past.append(past[-1][lag:] - past[-1][:-lag])
        result = np.asarray(y, dtype=np.float64)
        for lag, before in zip(self.lags[::-1], past[-2::-1], strict=True):
            whole = np.concatenate([np.broadcast_to(before[-lag:], (*result.shape[:-2], lag, result.shape[-1])), result], axis=-2)
            for t in range(lag, whole.shape[-2]):
                whole[..., t, :] += whole[..., t - lag, :]
            result = whole[..., lag:, :]
        return np.exp(np.minimum(result, 700.0)) if self.log else result

    def describe(self) -> str:
        """In words, what is taken away."""
        parts = ["logarithms"] if self.log else []
        parts += [f"differences to {'the step before' if lag == 1 else f'{lag} steps before'}" for lag in self.lags]
        return f"learnt are {', then '.join(parts)}" if parts else "learnt are the values themselves"

    def to_config(self) -> dict[str, Any]:
        """The trend as plain JSON."""
        return {"lags": list(self.lags), "log": self.log, "start": [list(row) for row in self.start]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Trend:
        """The trend that ``to_config`` described."""
        lags = tuple(map(int, config["lags"]))
        if any(lag < 1 for lag in lags):
            raise ValueError(f"lags {lags}")
        return cls(lags, bool(config["log"]), tuple(tuple(map(float, row)) for row in config["start"]))

    def _log(self, values: Floats) -> Floats:
        if not self.log:
            return values
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(values > 0, np.log(values), np.nan)


def usual_level(tracks: Sequence[Floats], steps: int) -> tuple[tuple[float, ...], ...]:
    """The first steps of the first series that has none of them blank; zeros where there is none."""
    for track in tracks:
        if len(track) >= steps and not np.isnan(track[:steps]).any():
            return tuple(tuple(map(float, row)) for row in track[:steps])
    return tuple((0.0,) * tracks[0].shape[1] for _ in range(steps))
