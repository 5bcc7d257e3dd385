"""Fitting what forecasts: which steps are held out, which windows are learnt from, and how sure the model may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows._types import Rows
from narrows.data.seasons import find_season
from narrows.data.series_format import SeriesFormat
from narrows.data.series_set import SeriesSet
from narrows.estimators._forecast import calendar
from narrows.likelihoods.base import masked_sum
from narrows.likelihoods.continuous import LaplaceDistribution
from narrows.models.autoregressive import AutoregressiveModule, AutoregressiveStep
from narrows.training import Training

STEPS = 400  # of training, where the number of epochs was left open


def horizon(opened: SeriesSet, season: int) -> int:
    """How far ahead forecasts are compared: a season or 12 steps, less where series are short; 0 where too short."""
    longest = max(len(t) for t in opened.tracks)
    steps = min(season if 1 < season <= 60 else 12, longest // 10)
    return steps if longest - len(held_steps(longest, steps)) >= 24 + season else 0


def season_of(given: int | None, opened: SeriesSet) -> tuple[int, list[str]]:
    """Steps of a season, 1 for none, as given or as found, and why."""
    if given is not None:
        return int(given), [f"a season of {given} steps, as given"]
    if opened.tracks[0].values.dtype == object:
        return 1, []
    found, strength = find_season([t.values for t in opened.tracks])
    season = calendar(found, opened.clock)
    if season == 1:
        return 1, ["no season: the autocorrelation has no clear peak"]
    near = "" if season == found else f", the calendar's period next to {found}"
    return season, [f"a season of {season} steps{near}: the autocorrelation there is {strength:.2f} (season= sets it)"]


def held_steps(length: int, steps: int) -> range:
    """The last steps of a series that are held out: three horizons, at most a fifth of it."""
    return range(max(0, min(3 * steps, length // 5)))


def head_of(length: int, steps: int) -> range:
    return range(length - len(held_steps(length, steps)))


def head(opened: SeriesSet, steps: int) -> SeriesSet:
    return replace(
        opened, tracks=tuple(replace(t, values=t.values[: len(head_of(len(t), steps))]) for t in opened.tracks)
    )


def origins_of(tracks: Sequence[Any], steps: int, origins: int, most: int) -> tuple[list[Any], list[list[int]]]:
    """Series whose held-out steps forecasts can be compared on, and where the forecasts begin.

    Args:
        tracks: Whole series.
        steps: How far ahead.
        origins: Forecasts per series, at most.
        most: Series, at most.
    """
    series: list[Any] = []
    found: list[list[int]] = []
    for track in tracks:
        length, seen = len(track), np.isfinite(track.values).any(axis=1)
        held, last = len(held_steps(length, steps)), length - steps
        if not 0 < steps <= held:
            continue
        possible = np.unique(np.linspace(length - held, last, origins).round().astype(int)).tolist()
        starts = [s for s in possible if seen[:s].any() and seen[s : s + steps].any()]
        if len(series) == most:
            break
        if starts:
            series.append(track)
            found.append(starts)
    return series, found


def start_of(track: Any, kept: int, opened: SeriesSet) -> float:
    step = 1.0 if opened.clock is None else opened.clock.step
    return float(track.start + max(0, len(track) - kept) * step)


def later(rows: Rows, format_: SeriesFormat, opened: SeriesSet, training: Training) -> tuple[Rows, Rows | None]:
    """Windows to learn from, and those that end in the last part of their series, to stop by.

    Of series that are one window each, every so many are held out whole.
    """
    rows = rows.replace(place=None)  # only the last step of a window is judged, and it is in no window learnt from
    lost = 0 if format_.trend is None else format_.trend.lost
    lengths = [max(1, len(t) - lost) for t in opened.tracks]
    places = format_.places(lengths)
    ends = places[:, 1] + places[:, 2]
    limit = np.array(lengths)[places[:, 0]] * (1 - max(training.validation, 0.0))
    alone = np.bincount(places[:, 0], minlength=len(lengths))[places[:, 0]] == 1
    turn = np.cumsum(alone) * max(training.validation, 0.0)
    chosen = np.floor(turn) > np.floor(turn - max(training.validation, 0.0))
    late = torch.from_numpy(np.where(alone, chosen, ends > np.ceil(limit)))
    if training.validation == 0 or int(late.sum()) < 4 or int((~late).sum()) < 8:
        return rows, None
    return rows.take(~late), rows.take(late)


class ForecastStep(AutoregressiveStep):
    """Trains on all steps of a window, and judges held-out windows by their last: the others may have been learnt from.

    Args:
        model: What is trained.
    """

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss in nats per row; of held-out windows that of the last step, times as many steps as there are."""
        if self.training:
            return super().forward(batch, epoch)
        rows = Rows(**batch)
        steps, mask = rows.values.shape[1], rows.mask()
        ends = torch.full((len(rows),), steps) if rows.lengths is None else rows.lengths
        last = torch.arange(steps, device=rows.values.device) == (ends.to(rows.values.device) - 1).unsqueeze(1)
        last = last.unsqueeze(2).expand(rows.values.shape)
        seen = last if mask is None else last & mask
        values = rows.values.masked_fill(~seen, 0.0)
        loss = -masked_sum(self.model(rows).log_prob(values), seen, 2).mean()
        return {"loss": loss * steps, "per step": loss}


def widening(module: AutoregressiveModule, held: Rows | None) -> float:
    """How many times as large errors are at steps that were not learnt from as the model believes, at least 1.

    A learned scale is that of the errors in training, which a network can make small: intervals would be too narrow.

    Args:
        module: A trained model.
        held: Windows whose last steps were not learnt from; None where there are none.
    """
    scale = getattr(module.likelihood, "scale", None)
    if held is None or not isinstance(scale, Tensor) or not scale.requires_grad:
        return 1.0
    with torch.inference_mode():
        device = next(module.parameters()).device
        last = torch.cat(
            [_last_errors(module, held.take(slice(i, i + 256)).to(device)) for i in range(0, len(held), 256)]
        )
    return (
        float(last[torch.isfinite(last)].square().mean().sqrt().clamp(1.0, 10.0)) if torch.isfinite(last).any() else 1.0
    )


def _last_errors(module: AutoregressiveModule, rows: Rows) -> Tensor:
    """Errors of each row's last step, in standard deviations; NaN where it is blank."""
    x: Any = module(rows)
    mask = rows.mask()
    errors = (rows.values - x.mean) / x.scale / (math.sqrt(2) if isinstance(x, LaplaceDistribution) else 1.0)
    errors = errors if mask is None else torch.where(mask, errors, torch.nan)
    at = torch.full((len(rows),), errors.shape[1] - 1) if rows.lengths is None else rows.lengths - 1
    return errors[torch.arange(len(rows)), at]


def widen(module: AutoregressiveModule, by: float) -> None:
    """Make a learned scale larger."""
    rho = getattr(module.likelihood, "rho", None)
    if rho is not None and by != 1:
        with torch.no_grad():
            rho.add_(math.log(by))


def planned(training: Training, rows: int, twice: bool, earlier: Any) -> Training:
    """How one of the fits is trained; each of two keeps its checkpoints in a folder of its own."""
    if twice and training.checkpoint is not None:
        folder = str(Path(training.checkpoint) / ("held-out" if earlier is None else "whole"))
        training = training.set_params(checkpoint=folder)
    if earlier is not None:
        return training.set_params(epochs=max(1, earlier.history_.best_epoch), time_budget=None)
    if training.epochs is not None:
        return training
    return training.set_params(epochs=max(2, -(-STEPS // training.plan(rows)[1])))


def few_values(tracks: Sequence[Any]) -> bool:
    """Whether series are counts or switches: whole numbers from 0 on, of which there are few."""
    some = np.concatenate([t[:1000] for t in tracks[:20]])
    some = some[np.isfinite(some)]
    return bool(len(some)) and bool((some >= 0).all() and (some == np.rint(some)).all() and len(np.unique(some)) <= 10)
