"""Strange points and windows of long series: learnt from one part, calibrated on the rest, watched as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows import corruptions
from narrows._types import Layout, Rows
from narrows.data.series_format import SeriesFormat
from narrows.data.series_set import SeriesSet, Track
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators.autoencoder import DenoisingAutoencoder
from narrows.tasks.anomaly import Detector, TableEvidence
from narrows.training import Training

STEPS = 2_000  # of training, where the number of epochs was left open
HIDDEN = 0.3  # of the values of a window, in training
LEARNT = 0.6  # of each long series, the rest calibrates
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Points(NamedTuple):
    """What is said of a long series, step by step, as it would have been said when the step came.

    Attributes:
        scores: ``(T,)`` how strange the window is that ends with the step; NaN until there is one.
        p_values: ``(T,)`` how often a window of normal series scores as high; NaN likewise.
        alarms: ``(T,)`` which windows are called strange.
        point_scores: ``(T,)`` what the step itself adds to its window's score.
        point_p_values: ``(T,)`` how often the last step of a normal window adds as much.
        point_alarms: ``(T,)`` which steps are called strange by themselves.
        channel: ``(T,)`` the channel that adds most to the window's score; −1 where there is no window.
    """

    scores: Floats
    p_values: Floats
    alarms: Bools
    point_scores: Floats
    point_p_values: Floats
    point_alarms: Bools
    channel: NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """What is said of the step that came last; see `Points`. All is NaN and nothing an alarm until a window is full.

    Attributes:
        score: Of the window that ends here.
        p_value: Its p-value.
        alarm: Whether the window is called strange.
        point_score: What this step adds to it.
        point_p_value: The step's own p-value.
        point_alarm: Whether the step is called strange by itself.
        channel: The channel that adds most to the window's score; None until a window is full.
    """

    score: float
    p_value: float
    alarm: bool
    point_score: float
    point_p_value: float
    point_alarm: bool
    channel: str | None


class Watch:
    """A detector at work: takes one step at a time, and says of each what `AnomalyDetector.points` says of it.

    Args:
        detector: A fitted `AnomalyDetector` of windows of series.
        rate: Share of normal windows that may be called strange; None: the detector's.

    ``watch = detector.watch()`` begins, and every ``watch.update(value)`` says whether to ring.
    """

    def __init__(self, detector: Any, rate: float | None = None) -> None:
        format_ = detector.format_
        if not isinstance(format_, SeriesFormat) or not format_.stride:
            raise InvalidParameter(
                "watch() follows long series window by window: fit AnomalyDetector(format=Series(window=…)) on one"
            )
        self._detector, self._rate, self._steps = detector, rate, format_.steps
        self._recent: list[Any] = []

    def update(self, point: Any = None) -> Reading:
        """Take in the next step.

        Args:
            point: One number, or one per channel; NaN where blank, None for a step at which nothing came.

        Returns:
            What is said of it.

        Raises:
            InvalidData: If there are not as many numbers as channels, or one is infinite or no number; the step is not
                taken in.
        """
        format_: SeriesFormat = self._detector.format_
        channels = len(format_.channels)
        numbers = not any(format_.table.layout.categories or ())
        given = [np.nan] * channels if point is None else np.atleast_1d(np.asarray(point, dtype=object)).tolist()
        given = [_number(v) for v in given] if numbers else given
        if len(given) != channels:
            raise InvalidData(
                f"a point of {len(given)} values: the series have {channels} ({', '.join(format_.channels)})"
            )
        if any(isinstance(v, float) and np.isinf(v) for v in given):
            raise InvalidData(f"the point {point!r} is infinite: give NaN where a value is not known")
        recent = [*self._recent, given][-self._steps :]
        track = Track(np.array(recent, dtype=np.float64 if numbers else object).reshape(-1, channels))
        said = None
        if len(recent) == self._steps:
            said = _said(self._detector, [track], self._rate)[0]
        self._recent = recent
        if said is None:
            return Reading(np.nan, np.nan, False, np.nan, np.nan, False, None)
        last = [column[-1] for column in said]
        return Reading(
            float(last[0]), float(last[1]), bool(last[2]), float(last[3]), float(last[4]), bool(last[5]),
            format_.channels[int(last[6])],
        )  # fmt: skip


def _number(value: Any) -> float:
    """A value of a point; NaN where it is blank."""
    try:
        return np.nan if value is None or str(value) in ("<NA>", "NaT") else float(value)
    except (TypeError, ValueError):
        raise InvalidData(f"the point holds {value!r}, which is no number: give one number per channel") from None


def points_of(detector: Any, X: Any, rate: float | None) -> list[Points]:
    """What a detector says of long series, step by step: one `Points` for each series.

    Raises:
        InvalidParameter: If the detector is not of windows of series.
        InvalidData: If the series do not fit.
    """
    format_ = detector.format_
    if not isinstance(format_, SeriesFormat) or not format_.stride:
        raise InvalidParameter(
            "points(X) looks at long series window by window: fit AnomalyDetector(format=Series(window=…)) on some; of "
            "short series that are rows as a whole, explain(X).contributions says which steps are strange"
        )
    return _said(detector, format_.open(X).tracks, rate)


def _said(detector: Any, tracks: Sequence[Track], rate: float | None) -> list[Points]:
    format_, core = detector.format_, detector.detector_
    every = replace(format_, stride=1)
    long = [i for i, t in enumerate(tracks) if len(t) >= format_.steps]
    if not long:
        return [_nothing(len(t)) for t in tracks]
    set_ = _set(format_, [tracks[i] for i in long])
    sums, last, channel = judged_windows(core, every, every.to_rows(set_))
    limit = detector._limit(rate)
    p, own = p_of(core.scores, sums), p_of(core.points, last)
    found, at = {}, 0
    for i in long:
        n = len(tracks[i]) - format_.steps + 1
        some = slice(at, at + n)
        values = (sums[some], p[some], p[some] <= limit, last[some], own[some], own[some] <= limit, channel[some])
        found[i] = _placed(len(tracks[i]), format_.steps - 1, values)
        at += n
    return [found.get(i, _nothing(len(t))) for i, t in enumerate(tracks)]


def _placed(length: int, start: int, values: Sequence[Tensor]) -> Points:
    empty = _nothing(length)
    for whole, part in zip(empty, values, strict=True):
        whole[start:] = part.numpy()
    return empty


def _nothing(length: int) -> Points:
    blank, none = np.full(length, np.nan), np.zeros(length, dtype=bool)
    copies = (blank.copy(), blank.copy(), none.copy(), blank.copy(), blank.copy(), none.copy())
    return Points(*copies, np.full(length, -1, dtype=np.int64))


def p_of(calibration: Tensor, scores: Tensor) -> Tensor:
    """Conformal p-values of new scores: their ranks among sorted ones, and themselves."""
    n = len(calibration)
    beyond = (n - torch.searchsorted(calibration, scores.contiguous(), right=False)).double()
    return (1 + beyond) / (n + 1)


def judged_windows(core: Detector, format_: SeriesFormat, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of windows ``(n,)``, what their last steps add ``(n,)``, and the channels that add most ``(n,)``."""
    shape = format_.layout.shape
    terms = core.judge(as_table(core, rows))[0].reshape(len(rows), *shape)
    return terms.sum((1, 2)), terms[:, -1].sum(1), terms.sum(1).argmax(1)


def as_table(core: Detector, rows: Rows) -> Rows:
    """Rows of series as the detector's evidence takes them: denoisers and neighbours see a table of all steps."""
    return flat_rows(rows) if isinstance(core.evidence, TableEvidence) and rows.values.ndim == 3 else rows


def flat_rows(rows: Rows) -> Rows:
    """Series ``(B, T, C)`` as rows of a table ``(B, T · C)``; steps beyond their end are blank."""
    mask = rows.mask()
    return Rows(rows.values.flatten(1), None if mask is None else mask.flatten(1))


def flat_layout(layout: Layout) -> Layout:
    """What such a row looks like."""
    if not layout.series:
        return layout
    steps, columns = layout.shape
    blanks = tuple(bool(b) for b in np.broadcast_to(layout.blanks, columns))
    return Layout(
        shape=(steps * columns,),
        categories=None if layout.categories is None else layout.categories * steps,
        low=tuple(map(float, np.broadcast_to(layout.low, columns))) * steps,
        high=tuple(map(float, np.broadcast_to(layout.high, columns))) * steps,
        blanks=((True,) * columns if layout.ragged else blanks) * steps,
    )


def halves(format_: Any, X: Any) -> tuple[SeriesSet, SeriesSet] | None:
    """The parts of long series to learn from and to calibrate on; None where rows are whole series.

    Windows overlap, so that those of one part must not be judged by what learnt their neighbours.

    Raises:
        InvalidData: If the series are too short for both.
    """
    if not isinstance(format_, SeriesFormat) or not format_.stride:
        return None
    opened = format_.open(X)
    first, second = [], []
    for track in opened.tracks:
        at = round(LEARNT * len(track))
        if at >= format_.steps:
            first.append(track.part(0, at, opened.clock))
        if len(track) - at >= format_.steps:
            second.append(track.part(at, len(track), opened.clock))
    if not first or not second:
        longest = max(len(t) for t in opened.tracks)
        raise InvalidData(
            f"series of {longest} steps are too short for windows of {format_.steps}: one part is learnt from and "
            f"another calibrates; give {3 * format_.steps} steps or more, or a shorter Series(window=…)"
        )
    return _set(format_, first), _set(format_, second)


def window_model(options: Any, format_: SeriesFormat, rows: int, training: Training | None) -> BaseAutoencoder:
    """What judges windows unless another model is given: an autoencoder that learnt to fill in hidden values."""
    size = max(2, min(32, format_.layout.size // 12))
    plan = Training() if training is None else training
    if plan.epochs is None:
        plan = plan.set_params(epochs=max(20, -(-STEPS // plan.plan(rows)[1])))
    stride = options.stride or max(1, format_.steps // 8)
    made = options.set_params(window=format_.steps, stride=stride)
    return DenoisingAutoencoder(size, corruption=corruptions.Masking(HIDDEN), format=made, training=plan)


def calibrate(core: Detector, format_: SeriesFormat, second: SeriesSet) -> Detector:
    """A detector whose scores are those of windows that were not learnt from, one for every step."""
    every = replace(format_, stride=1)
    sums, last, _ = judged_windows(core, every, every.to_rows(second))
    note = (
        f"learnt from the first {LEARNT:.0%} of every series; false-alarm rates are those of the {len(sums):,} windows "
        "in the rest, which overlap, so that alarms come in runs"
    )
    return replace(core, scores=sums.sort().values, points=last.sort().values, notes=(note,))


def _set(format_: SeriesFormat, tracks: Sequence[Track]) -> SeriesSet:
    t = format_.template
    return SeriesSet(tuple(tracks), t.shape, t.kind, t.channels, t.axes, t.clock)
