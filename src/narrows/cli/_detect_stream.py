"""``narrows detect`` on rows that do not fit into memory: scored piece by piece, written as they come."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from narrows.cli import _engine, _stream
from narrows.cli._group import say

ROWS = 65_536  # rows that are finished at a time
TRAINED = "is a training row"
JUDGED = ("score", "p_value", TRAINED)
WRITTEN = ("row", "score", "p_value", "alarm", "reason")


def judged(detector: Any, piece: Any) -> Any:
    """Scores and p-values of a piece's rows, and whether each is a training row."""
    import pyarrow as pa

    found = dict(zip(JUDGED, (t.numpy() for t in detector._judge(piece)), strict=True))
    names = {"file": [str(path) for path in piece]} if isinstance(piece, list) else {}
    return pa.table({**names, **found})


def judged_with_rows(detector: Any, piece: Any) -> Any:
    """The same beside the rows' own columns."""
    table = judged(detector, piece)
    for name in piece.column_names:
        table = table.append_column(own_name(name), piece[name])
    return table


def own_name(name: str) -> str:
    """What a row's own column is called beside those that are written."""
    return f"{name}_" if name in WRITTEN else name


class Strangest:
    """The strangest rows of those that have gone by.

    Args:
        most: How many.

    Attributes:
        found: ``(≤ most, 3)`` their places, scores and p-values, the strangest first.
        rows: How many rows have gone by.
    """

    def __init__(self, most: int) -> None:
        self.most, self.found, self.rows = most, np.empty((0, 3)), 0

    def watch(self, parts: Iterable[Any]) -> Iterator[Any]:
        """Hand on judged pieces, and look at them."""
        for part in parts:
            scores, p = part["score"].to_numpy(), part["p_value"].to_numpy()
            new = np.stack([np.arange(self.rows, self.rows + len(scores)), scores, p], axis=1)
            both = np.concatenate([self.found, new])
            self.found = both[np.argsort(-both[:, 1], kind="stable")[: self.most]]
            self.rows += len(scores)
            yield part


class Judgement:
    """Scores of all rows, in a temporary file.

    Args:
        folder: Where the file may lie.
        detector: The fitted detector.
        saved: The folder that it was loaded from; None: it was not saved yet.
        stream: The rows.
        with_rows: Whether their own columns are kept beside.
        engine: Who goes through them.
        most: How many of the strangest are looked at closely.
    """

    def __init__(
        self, folder: str, detector: Any, saved: str | None, stream: Any, with_rows: bool, engine: str, most: int
    ) -> None:
        self.path, self.stream = Path(folder) / "judged.parquet", stream
        if engine != _engine.LOCAL and saved is None:
            saved = str(detector.save(Path(folder) / "detector"))
        strangest = Strangest(most)
        parts = _engine.parts(str(saved), detector, stream, judged_with_rows if with_rows else judged, engine)
        _stream.write_parts(strangest.watch(parts), str(self.path))
        self.strangest, self.rows = strangest.found, strangest.rows

    def limit(self, detector: Any, rate: float | None, fdr: float | None) -> float:
        """The largest p-value of an alarm."""
        if fdr is None:
            return float(detector._limit(rate))
        import pyarrow.parquet as pq
        import torch

        from narrows.estimators._explanation import found_limit

        table = pq.read_table(self.path, columns=["p_value", TRAINED])
        p, trained = (torch.tensor(table[name].to_numpy()) for name in ("p_value", TRAINED))
        return found_limit(p, trained, fdr)

    def alarms(self, limit: float) -> int:
        """How many rows are alarms."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.path)
        return sum(int((b["p_value"].to_numpy() <= limit).sum()) for b in file.iter_batches(ROWS, columns=["p_value"]))

    def raw(self, told: Any) -> Any:
        """Some rows as they were read, in the order of ``told``, their places."""
        from narrows.data.split import take

        (rows,) = self.stream.pick([lambda places: np.isin(places, told.astype(np.uint64))])
        return take(rows, np.argsort(np.argsort(told)))

    def finished(self, limit: float, reasons: dict[int, str]) -> Iterator[Any]:
        """All rows as they are written, some at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        at = 0
        for batch in pq.ParquetFile(self.path).iter_batches(ROWS):
            names, p = batch.schema.names, batch["p_value"].to_numpy()
            rows, alarms = np.arange(at, at + len(p)), p <= limit
            said = [reasons.get(int(row)) if alarm else None for row, alarm in zip(rows, alarms, strict=True)]
            columns = {"row": rows, **({"file": batch["file"]} if self.stream.kind == "images" else {})}
            columns |= {"score": batch["score"], "p_value": p, "alarm": alarms, "reason": pa.array(said, pa.string())}
            columns |= {name: batch[name] for name in names if name not in (*JUDGED, *columns)}
            yield pa.table(columns)
            at += len(p)


def judge(request: Any, source: Any, detector: Any, saved: str | None, most: int, shown: int) -> tuple[Any, ...]:
    """Score every row of a stream, and write the scores if that was asked for.

    Args:
        request: What was asked for.
        source: The rows.
        detector: The fitted detector.
        saved: The folder that it was loaded from, if it was.
        most: How many strange rows are explained.
        shown: How many are told of in any case.

    Returns:
        Places of the strangest rows; scores, p-values and alarms of these by place; reasons by place; how many rows and
        alarms there are.
    """
    for note in source.data.notes:
        say(f"note: {note}")
    with tempfile.TemporaryDirectory(prefix="narrows-") as folder:
        found = Judgement(folder, detector, saved, source.data, request.with_rows, request.engine, most)
        limit = found.limit(detector, request.alarm_rate, request.fdr)
        alarms = found.alarms(limit)
        told = found.strangest[: max(shown, min(alarms, most)), 0].astype(int)
        reasons: dict[int, str] = {}
        if source.kind == "table":
            explained = detector.explain(found.raw(told))
            reasons = {int(row): explained.sentence(i) for i, row in enumerate(told)}
        if request.out is not None:
            _stream.write_parts(found.finished(limit, reasons), request.out)
        by_place = [{int(row): value for row, value in found.strangest[:, [0, k]]} for k in (1, 2)]
        return told, (*by_place, {row: p <= limit for row, p in by_place[1].items()}), reasons, (found.rows, alarms)
