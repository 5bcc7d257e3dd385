"""Series on the command line: recognised, held out, counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from narrows import files
from narrows.errors import InvalidParameter


def read(source: Any, request: Any) -> Any:
    """A source as series, where it holds some or ``--as series`` asks for it; of a table the columns asked for."""
    from narrows.cli._fit import select
    from narrows.data.recognise import check_kind, read_as

    check_kind(request.kind)
    chosen = source
    if (request.columns or request.drop) and hasattr(source.data, "column_names") and request.labels is None:
        chosen = replace(source, data=select(source.data, request))
    every = step_of(request.every)
    found = read_as(chosen, request.kind, every)
    return found if found.kind == "series" else read_as(source, request.kind, every)


def step_of(every: str | None) -> str | float | None:
    """The step that ``--every`` names: a number where time stamps are numbers."""
    try:
        return None if every is None else float(every)
    except ValueError:
        return every


def later(data: Any, share: float, notes: list[str]) -> tuple[Any, Any]:
    """The first part of long series, and the last, which is held out; None where they are too short for that."""
    from narrows.data import Series

    length, window = max(len(t) for t in data.tracks), Series().fit(data).steps
    held = max(round(share * length), window)
    if not share or held > length // 3:
        notes.append("no steps were held out of so short a series, so errors are those of training")
        return data, None
    which = "" if len(data) == 1 else f" of every series of {3 * held:,} steps or more"
    notes.append(f"the last {held:,} steps{which} were held out")
    return data.cut(held)


def counted(train: Any, test: Any) -> str:
    """How many series there are to learn from, and how many were held out."""
    from narrows.data.series import few_and_long

    if test is not None and len(train) > 1 and few_and_long(train.tracks):
        return f"{len(train)} series to learn from, {len(test.tracks[0]):,} steps held out of {len(test)} of them"
    if len(train) == 1:
        return f"1 series of {len(train.tracks[0]):,} steps to learn from" + (
            "" if test is None else f", {len(test.tracks[0]):,} steps held out"
        )
    return f"{len(train):,} series to learn from" + ("" if test is None else f", {len(test):,} held out")


def write(rows: Any, out: str) -> str:
    """Write series: arrays of one shape as .npz or .npy, all as a long table with a row for each step.

    Returns:
        What was written, in words.
    """
    from narrows.data import write_table

    suffix = Path(out).suffix.lower()
    if isinstance(rows, list) and rows and hasattr(rows[0], "notes"):
        return _write_music(rows, out)
    if hasattr(rows, "columns") or hasattr(rows, "column_names"):
        write_table(rows, out)
        return f"{rows.shape[0]:,} steps → {out}"
    if suffix in (".npz", ".npy"):
        if not isinstance(rows, np.ndarray):
            raise InvalidParameter(
                f"--out {out!r}: these series are of unequal lengths; end the name in .csv or .parquet"
            )
        with files.atomic(out) as temporary, temporary.open("wb") as file:
            if suffix == ".npy":
                np.save(file, rows, allow_pickle=False)
            else:
                np.savez_compressed(file, series=rows)
        return f"{len(rows):,} series → {out}"
    write_table(long_table(rows), out)
    return f"{len(rows):,} series, a row for each step → {out}"


def is_music(model: Any) -> bool:
    """Whether a model makes tunes."""
    from narrows.data import MusicFormat

    return isinstance(model.format_, MusicFormat)


def _write_music(tunes: Any, out: str) -> str:
    """Write tunes as one MIDI file, one after the other."""
    from narrows.data import Tune
    from narrows.data.midi import ENDINGS

    if Path(out).suffix.lower() not in ENDINGS:
        raise InvalidParameter(f"--out {out!r}: this model makes music; end the name in .mid")
    Tune.joined(tunes).write(out)
    return f"{len(tunes):,} tunes, one after the other → {out}"


def long_table(rows: Any) -> Any:
    """Series ``(T,)`` or ``(T, C)`` as an Arrow table with the columns series, step and one for each channel."""
    import pyarrow as pa

    rows = [rows] if isinstance(rows, np.ndarray) and rows.ndim == 1 else rows
    flat = [one.reshape(len(one), -1) for one in rows]
    values = np.concatenate(flat)
    names = ["value"] if values.shape[1] == 1 else [f"channel{j}" for j in range(values.shape[1])]
    places = {
        "series": np.repeat(np.arange(len(flat)), [len(one) for one in flat]),
        "step": np.concatenate([np.arange(len(one)) for one in flat]),
    }
    return pa.table(places | {name: values[:, j] for j, name in enumerate(names)})
