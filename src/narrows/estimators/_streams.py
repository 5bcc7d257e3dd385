"""Data that is named rather than given, and data that is larger than memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from narrows._types import Rows
from narrows.data import PictureStream, Stream, TableStream, format_for, open_source
from narrows.data.budget import in_words, size_in_bytes
from narrows.data.row_stream import Prepared, RowStream, prepare, prepare_pictures
from narrows.data.split import count, take
from narrows.data.stream import Rule
from narrows.data.summaries import TableFitter
from narrows.errors import InvalidData
from narrows.estimators._choices import ModelChoices
from narrows.training import Training
from narrows.training.ranks import ranks_for

Method = TypeVar("Method", bound=Callable[..., Any])
LARGEST = 256 * 256 * 4  # values of the largest image that a format chooses by itself
VALUE = 8  # bytes per value while rows are learnt: once as they were read, once as they were split


def open_data(X: Any, memory: int | str | None) -> Any:
    """Rows as they were given; a name as what it names: rows, or a stream when they would take more than ``memory``."""
    if not isinstance(X, (str, os.PathLike)):
        return X
    return open_source(X, memory=size_in_bytes(memory)).data


def _pictures(X: Any) -> Sequence[Any] | None:
    named = isinstance(X, (list, tuple)) and X and all(isinstance(x, (str, os.PathLike)) for x in X)
    return X if named else None


def too_many(X: Any, memory: int | str | None, values: int) -> PictureStream | None:
    """A stream of image files, when they would take more than ``memory``; else None.

    Args:
        X: What was given.
        memory: The budget.
        values: Numbers that an image becomes.
    """
    paths, size = _pictures(X), size_in_bytes(memory)
    if paths is None or len(paths) * values * VALUE <= size:
        return None
    said = (
        f"{len(paths):,} images would take {in_words(len(paths) * values * VALUE)} in memory, above the budget of "
        f"{in_words(size)}: decoded when they are needed"
    )
    return PictureStream(name="images", memory=size, notes=(said,), paths=tuple(paths))


def prepared(X: Any, choices: ModelChoices, training: Training, seed: int) -> tuple[Any, RowStream, Rows | None] | None:
    """Fitted format, training rows and validation rows of a stream; None when the data fits into memory.

    Args:
        X: Rows, or a stream.
        choices: What was chosen of the model's parts.
        training: Budget and share of validation rows.
        seed: Fixes which rows are held out.

    Raises:
        InvalidData: If the rows cannot be used.
    """
    stream = X if isinstance(X, Stream) else too_many(X, training.memory, LARGEST)
    if stream is None:
        return None
    if len(stream) < 2:
        raise InvalidData(f"n_samples={len(stream)}: one sample is not enough to learn from; give at least 2 rows")
    options: Any = choices.format or format_for(stream)
    held = training.held_out(len(stream))
    if isinstance(stream, TableStream):
        return _by_one(training, stream, lambda: prepare(stream, options, choices.likelihood, seed, held))
    assert isinstance(stream, PictureStream)
    format_ = options.fit(list(stream.paths), likelihood=choices.likelihood)
    pictures = stream if stream is X else too_many(X, training.memory, format_.layout.size)
    if pictures is None:
        return None
    format_.reasons.extend(pictures.notes)
    return _by_one(training, pictures, lambda: prepare_pictures(pictures, format_, seed, held))


def _by_one(training: Training, stream: Stream, prepare: Callable[[], Prepared]) -> Prepared:
    """What the first process finds in one pass over a stream, for all that train together: they need not read it."""

    def found() -> tuple[Any, ...]:
        format_, rows, validation = prepare()
        return format_, rows.stream.left_out, rows.sample, validation

    format_, left_out, sample, validation = ranks_for(training).agree(found)
    return format_, RowStream(replace(stream, left_out=left_out), format_, sample), validation


def some_of(X: Any, most: int, seed: int) -> Any:
    """Rows as they are; of a stream about ``most``, chosen by chance."""
    return X.pick([_share(X, most, seed)])[0] if isinstance(X, Stream) else X


def fitted_format(X: Any, options: Any, most: int, seed: int) -> tuple[Any, Any]:
    """A format fitted to all rows, and the rows to learn from: of a stream about ``most``, found in the same pass.

    Args:
        X: Rows, or a stream of a table.
        options: The `Table` with its options.
        most: How many rows to learn from.
        seed: Fixes which.
    """
    if not isinstance(X, TableStream):
        # what only becomes an array on the way has no length
        format_, rows = options.fit(X), count(X) if hasattr(X, "__len__") else most
        chosen = np.sort(np.random.default_rng([seed, rows]).permutation(rows)[:most])
        return format_, X if rows <= most else take(X, chosen)
    fit = TableFitter(options, X.schema, X.notes)
    (rows,) = X.pick([_share(X, most, seed)], see=fit.add)
    if rows is None:
        raise InvalidData(f"{X.name} has too few rows ({len(X)}) to be read piece by piece: give more")
    return fit.finish(rows), rows


def _share(X: Stream, most: int, seed: int) -> Rule:
    return Rule(2 * seed + 1, min(1.0, most / max(1, len(X))))


def streamed(method: Method) -> Method:
    """A method of rows that takes names and streams too: piece by piece, the results put together."""

    @wraps(method)
    def run(self: Any, X: Any) -> Any:
        self._check_fitted()
        memory = self._training().memory
        X = open_data(X, memory)
        X = too_many(X, memory, self.format_.layout.size) or X
        if not isinstance(X, Stream):
            return method(self, X)
        return joined([method(self, piece) for piece in X.pieces()])

    return cast("Method", run)


def joined(parts: list[Any]) -> Any:
    """Arrays or Arrow tables one below the other."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import pyarrow as pa

    return pa.concat_tables(parts)
