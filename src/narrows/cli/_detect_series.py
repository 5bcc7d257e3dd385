"""``narrows detect`` on long series: which steps are strange, and in which channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.cli._output import Output
from narrows.errors import InvalidParameter

SHOWN = 10  # strange stretches told of
OWN_END = (
    "The last part of the series says how strange windows usually are, so that what is strange there hardly stands "
    "out; --train CLEAN judges all of it."
)


def detect_in_series(request: Any, source: Any, detector: Any, output: Output) -> None:
    """Score every step of long series; tell of the strangest stretches, write all steps."""
    if request.fdr is not None or request.with_rows:
        raise InvalidParameter("--fdr and --with-rows are for rows: steps of a series depend on each other")
    format_ = detector.format_
    opened = format_.open(source.data)
    found = detector.points(source.data, request.alarm_rate)
    rate = request.alarm_rate or detector.alarm_rate
    stretches = [s for i, points in enumerate(found) for s in _stretches(i, points, opened, format_)]
    stretches.sort(key=lambda s: -s["score"])
    output.points([*detector.reasons_, f"stretches are what strange windows of {format_.steps} steps have in common"])
    if request.train is None and request.model is None:
        output.say(OWN_END)
    output.head("The strangest stretches" if stretches else "No alarm; the strangest steps")
    shown = stretches or [s for i, points in enumerate(found) for s in _stretches(i, points, opened, format_, True)]
    heads = ["series", "from", "to", "score", "p-value", "channel"]
    cells = [
        (str(s["series"]), str(s["from"]), str(s["to"]), f"{s['score']:.2f}", f"{s['p_value']:.2g}", s["channel"])
        for s in shown[:SHOWN]
    ]
    output.table(heads, cells, right=(3, 4)) if cells else output.say("none")
    output.say()
    steps = sum(int(np.isfinite(p.scores).sum()) for p in found)
    alarms = sum(int((p.alarms | p.point_alarms).sum()) for p in found)
    line = (
        f"{alarms:,} of {steps:,} steps are alarms, in {len(stretches):,} stretches, at a false-alarm rate of {rate:g}"
    )
    if request.out is not None:
        from narrows.data import write_table

        write_table(_table(found, opened, format_), request.out)
        line = f"{line} → {request.out}"
    if request.save is not None:
        detector.save(request.save)
        line = f"{line}; detector → {request.save}"
    facts = {"steps": steps, "alarms": alarms, "alarm_rate": rate, "out": request.out, "assumed": detector.reasons_}
    output.result({**facts, "strangest": stretches[:SHOWN]}, line)


def _stretches(place: int, points: Any, opened: Any, format_: Any, strangest: bool = False) -> list[dict[str, Any]]:
    """Runs of alarms, or else the strangest window alone: first and last of the steps that they point to."""
    at = np.flatnonzero(points.alarms | points.point_alarms)
    if strangest:
        at = np.flatnonzero(points.scores == np.max(points.scores, where=np.isfinite(points.scores), initial=-np.inf))
    if not len(at):
        return []
    track, found = opened.tracks[place], []
    stamps = _stamps(track, format_)
    for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1):
        worst = int(run[np.argmax(points.scores[run])])
        first, last = _pointed_to(run, points, format_.steps)
        found.append(
            {
                "series": place if track.name is None else track.name,
                "from": stamps[first],
                "to": stamps[last],
                "score": float(points.scores[worst]),
                "p_value": float(min(points.p_values[run].min(), points.point_p_values[run].min())),
                "channel": format_.channels[int(points.channel[worst])],
            }
        )
    return found


def _pointed_to(run: Any, points: Any, steps: int) -> tuple[int, int]:
    """First and last step of what is strange about windows that end one after the other at ``run``.

    What the windows have in common, as they all hold what makes them strange. Where they have nothing in common, it
    begins when the first ends, and ends where the last begins. Where no window is an alarm, it is the steps that are.
    """
    windows = run[points.alarms[run]]
    if not len(windows) and points.point_alarms[run].any():
        return int(run[0]), int(run[-1])
    windows = windows if len(windows) else run
    ends = sorted((int(windows[0]), max(0, int(windows[-1]) - steps + 1)))
    return ends[0], ends[1]


def _stamps(track: Any, format_: Any) -> list[Any]:
    clock = format_.template.clock
    if clock is None:
        return list(range(len(track)))
    return [
        v if isinstance(v, (int, float)) else str(v)
        for v in clock.stamps(track.start, np.arange(len(track))).to_pylist()
    ]


def _table(found: Any, opened: Any, format_: Any) -> Any:
    """A row for each step: the window that ends there, its score, p-value and alarm, and those of the step itself."""
    import pyarrow as pa

    names = [i if t.name is None else t.name for i, t in enumerate(opened.tracks)]
    channels = [*format_.channels, None]
    columns: dict[str, Any] = {
        "series": [name for name, t in zip(names, opened.tracks, strict=True) for _ in range(len(t))],
        "step": [s for t in opened.tracks for s in _stamps(t, format_)],
        "window_from": [s for t in opened.tracks for s in _begins(_stamps(t, format_), format_.steps)],
    }
    for field in ("scores", "p_values", "alarms", "point_scores", "point_p_values", "point_alarms"):
        columns[field.removesuffix("s")] = pa.array(
            np.concatenate([getattr(p, field) for p in found]), from_pandas=True
        )
    columns["channel"] = pa.array([channels[int(k)] for p in found for k in p.channel], pa.string())
    return pa.table(columns)


def _begins(stamps: list[Any], steps: int) -> list[Any]:
    """When each step's window begins; None where there is none yet."""
    return [None] * min(steps - 1, len(stamps)) + stamps[: max(0, len(stamps) - steps + 1)]
