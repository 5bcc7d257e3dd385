"""Forecasts beside those that anyone could make: the last value, the last season, exponential smoothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData

Floats = NDArray[np.float64]

#: Seasons beyond which exponential smoothing is fitted without one: its states would be as many.
LONGEST = 60
#: Steps that exponential smoothing looks back to.
RECENT = 1_000
LEVEL = 0.9  # of the intervals whose coverage is counted


def filled(values: Floats, season: int = 1) -> Floats:
    """A series without gaps: each holds what was a season earlier, else the value before; gaps at the start the first.

    Args:
        values: ``(T,)``, NaN where blank.
        season: Steps of a season.
    """
    result = np.array(values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(result))
    if not len(known):
        return np.zeros_like(result)
    result[: known[0]] = result[known[0]]
    for t in np.flatnonzero(~np.isfinite(result)):
        result[t] = result[t - season] if t >= season else result[t - 1]
    return result


def naive(history: Floats, steps: int, season: int = 1) -> Floats:
    """The last value, for ever: ``(steps,)``."""
    return np.repeat(filled(history, season)[-1:], steps)


def seasonal_naive(history: Floats, steps: int, season: int) -> Floats:
    """The last season again and again: ``(steps,)``; without a season, the last value."""
    last = filled(history, season)[-season:]
    return np.resize(last, steps) if len(last) == season else naive(history, steps)


def exponential_smoothing(history: Floats, steps: int, season: int) -> Floats:
    """Exponential smoothing with a damped trend and, where there is one, a season: ``(steps,)``.

    The season adds, or multiplies where all values are above 0 and the corrected Akaike criterion likes it better.

    Raises:
        ImportError: Without statsmodels (the extra ``series``).

    References:
        Hyndman, Koehler, Ord, Snyder: Forecasting with Exponential Smoothing, 2008,
        https://doi.org/10.1007/978-3-540-71918-2; Seabold, Perktold: statsmodels, 2010
    """
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    y = filled(history, season)[-RECENT:]
    if len(y) < 8 or np.ptp(y) == 0:
        return naive(history, steps)
    seasonal = 1 < season <= LONGEST and len(y) >= 2 * season + 2
    kinds = (["add", "mul"] if y.min() > 0 else ["add"]) if seasonal else [None]
    found = []
    for kind in kinds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an optimiser that did not settle: what it found is compared anyway
            periods = season if seasonal else None
            model = ExponentialSmoothing(y, trend="add", damped_trend=True, seasonal=kind, seasonal_periods=periods)
            fitted = model.fit()
        found.append((fitted.aicc if math.isfinite(fitted.aicc) else math.inf, np.asarray(fitted.forecast(steps))))
    best = min(found, key=lambda pair: pair[0])[1]
    return best if np.isfinite(best).all() else naive(history, steps)


def baselines(season: int) -> dict[str, Callable[[Floats, int], Floats]]:
    """The forecasts that a model must beat, by name; exponential smoothing where statsmodels is installed."""
    found: dict[str, Callable[[Floats, int], Floats]] = {"naive": lambda y, h: naive(y, h, season)}
    if season > 1:
        found["seasonal naive"] = lambda y, h: seasonal_naive(y, h, season)
    if find_spec("statsmodels") is not None:
        found["exponential smoothing"] = lambda y, h: exponential_smoothing(y, h, season)
    return found


def scale_of(history: Floats, season: int) -> float:
    """What errors are divided by: the mean absolute difference to a season earlier, in the history.

    References:
        Hyndman, Koehler: Another look at measures of forecast accuracy, 2006,
        https://doi.org/10.1016/j.ijforecast.2006.03.001
    """
    lag = season if len(history) > season else 1
    steps = np.abs(history[lag:] - history[:-lag])
    steps = steps[np.isfinite(steps)]
    return float(steps.mean()) if len(steps) and steps.mean() > 0 else 1.0


@dataclass(frozen=True)
class ForecastComparison:
    """A model's forecasts beside simple ones, from the same origins.

    Attributes:
        errors: By name, the mean absolute scaled error of each; the model's first. Below 1 is better than a season ago
            was in training.
        steps: How far ahead each forecast went.
        origins: How many forecasts there were.
        season: Steps of a season.
        coverage: Share of the values that lay in the model's 90 % intervals.
        missing: What could not be compared, and why.
    """

    errors: Mapping[str, float]
    steps: int
    origins: int
    season: int
    coverage: float
    missing: str = ""

    @property
    def better(self) -> bool:
        """Whether the model's error is below that of all the simple forecasts."""
        return self.errors["model"] < min(v for name, v in self.errors.items() if name != "model")

    def sentence(self) -> str:
        """One honest line."""
        others = {name: value for name, value in self.errors.items() if name != "model"}
        listed = ", ".join(f"{name} {value:.2f}" for name, value in others.items())
        best = min(others, key=lambda name: others[name])
        verdict = (
            "it beats them all"
            if self.better
            else f"it does not beat {best}: use that unless you need more than a forecast"
        )
        origins = f"{self.origins} origin{'s' * (self.origins != 1)}"
        line = (
            f"Forecasts of {self.steps} steps from {origins} that were held out: mean absolute scaled error "
            f"{self.errors['model']:.2f} beside {listed}: {verdict}; {self.coverage:.0%} of the values lay in "
            "the 90 % intervals."
        )
        return f"{line} {self.missing}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "errors": dict(self.errors), "better": self.better, "sentence": self.sentence()}


def compare_forecasts(
    forecast: Callable[[int, int], Floats],
    series: Sequence[Floats],
    steps: int,
    origins: Sequence[Sequence[int]],
    season: int = 1,
) -> ForecastComparison:
    """A model's forecasts beside simple ones, from rolling origins.

    Args:
        forecast: Draws ``(draws, steps, C)`` of what comes after the first so many steps of a series: its place among
            ``series``, and how many steps.
        series: Whole series ``(T, C)``, NaN where blank.
        steps: How far ahead.
        origins: For each series, the steps that forecasts begin at.
        season: Steps of a season.

    Returns:
        Mean absolute scaled errors, by the medians of the draws, and the coverage of the 90 % intervals.

    Raises:
        InvalidData: If all values after the origins are blank.
    """
    simple, errors, inside = baselines(season), dict[str, list[float]](), list[NDArray[np.bool_]]()
    for i, (one, starts) in enumerate(zip(series, origins, strict=True)):
        for start in starts:
            history, future = one[:start], one[start : start + steps]
            seen = np.isfinite(future)
            if not seen.any():
                continue
            draws = forecast(i, start)[:, : len(future)]
            low, middle, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2], axis=0)
            inside.append(((future >= low) & (future <= high))[seen])
            scale = np.array([scale_of(column, season) for column in history.T])
            answers = {"model": middle}
            for name, make in simple.items():
                answers[name] = np.stack([make(column, steps)[: len(future)] for column in history.T], axis=1)
            for name, answer in answers.items():
                errors.setdefault(name, []).append(float((np.abs(answer - future) / scale)[seen].mean()))
    if not errors:
        raise InvalidData("no forecast can be compared: all values after the origins are blank; give other origins")
    missing = "" if "exponential smoothing" in simple else "Exponential smoothing: pip install 'narrows[series]'."
    covered = float(np.concatenate(inside).mean())
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    return ForecastComparison(means, steps, len(inside), season, covered, missing)
