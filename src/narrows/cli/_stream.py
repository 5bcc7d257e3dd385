"""Rows that do not fit into memory, in and out: read piece by piece, written as they come."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows import files
from narrows.errors import InvalidParameter

if TYPE_CHECKING:
    from narrows.cli._fit import Material, Request
    from narrows.data import Source

TESTED = 10_000  # rows held out for the comparison, about: no more are compared
SHOWN = 20_000  # rows for figures and for fitting PCA
PART = 100_000  # rows that are made up at a time
ENDINGS = (".parquet", ".pq", ".csv")


def write_parts(parts: Iterable[Any], out: str) -> int:
    """Write Arrow tables, one after the other, into one file that is there whole or not at all.

    Args:
        parts: Tables of the same columns.
        out: .parquet or .csv.

    Returns:
        How many rows were written.

    Raises:
        InvalidParameter: If files of that kind cannot be written in parts.
        DiskFull: If there is no room; what was at ``out`` before stays.
    """
    check_ending(out)
    rows = 0
    with files.atomic(out) as temporary, contextlib.ExitStack() as stack:
        schema: Any = None
        for part in parts:
            if schema is None:
                schema, writer = part.schema, stack.enter_context(_writer(temporary, part.schema))
            writer.write_table(part.cast(schema))
            rows += part.num_rows
    return rows


def _writer(path: Path, schema: Any) -> Any:
    if path.suffix.lower() == ".csv":
        import pyarrow.csv as arrow_csv

        return arrow_csv.CSVWriter(path, schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema)


def check_ending(out: str) -> None:
    """Raise unless files of that ending can be written in parts."""
    if Path(out).suffix.lower() not in ENDINGS:
        raise InvalidParameter(
            f"--out {out!r}: so many rows are written as they come: end the name in .parquet or .csv"
        )


def as_arrow(rows: Any) -> Any:
    """Any table as an Arrow table."""
    from narrows.data.margins import as_arrow as convert

    return convert(rows)


def in_parts(number: int, seed: int | None, make: Callable[[int, int | None], Any]) -> Iterator[Any]:
    """Made-up rows, some at a time, each part with a seed of its own.

    Args:
        number: How many rows in all.
        seed: Seed of the first part, from which the others follow; None: another every time.
        make: Makes so many rows with such a seed.
    """
    from narrows.training.seeds import hash_seed

    for part, start in enumerate(range(0, number, PART)):
        own = seed if part == 0 or seed is None else hash_seed(seed, part) % 2**32
        yield make(min(PART, number - start), own)


def budget(memory: str | None) -> int:
    """``--memory`` in bytes."""
    from narrows.data.budget import size_in_bytes

    return size_in_bytes(memory)


def prepare(request: Request, source: Source) -> Material:
    """Rows to learn from as a stream, and those held out and shown as tables in memory."""
    from narrows.cli._fit import Material, colour_values, select
    from narrows.data.stream import Rule

    stream = source.data
    total, seed = len(stream), request.seed
    held, some = Rule(2 * seed, min(request.held_out, TESTED / total)), Rule(2 * seed + 1, SHOWN / total)
    test, shown = stream.pick([held, lambda at: some(at) & ~held(at)])
    if shown is None:
        raise InvalidParameter(f"{request.source!r} has too few rows ({total}) to be read piece by piece")
    labels, test_labels, label_name = None, None, None
    if request.colour is not None:
        labels, label_name = colour_values(request, shown)
        test_labels = None if test is None else colour_values(request, test)[0]
    notes = list(source.notes)
    if test is None:
        notes.append(f"no rows were held out of {total:,}, so errors are those of training rows")
    else:
        stream, test = stream.without(held), select(test, request)
    stream, shown = select(stream, request), select(shown, request)
    return Material(
        source.name, source.kind, stream, test, labels, test_labels, label_name, notes, source.format, shown
    )
