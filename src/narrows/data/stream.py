"""Rows that are read piece by piece, so that there may be more of them than memory holds."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from narrows.data.paths import first_line
from narrows.errors import InvalidData, InvalidParameter, UnreadableFile

T = TypeVar("T")
Mask = NDArray[np.bool_]
Chosen = Callable[[NDArray[np.uint64]], Mask]
_END = 1 << 16  # bytes at both ends of a file that tell it from another


@dataclass(frozen=True)
class Rule:
    """A random part of all rows, by a hash of each row's position: the same rows whenever it is asked.

    Attributes:
        seed: Other seeds are other rows.
        share: How large the part is, in [0, 1].
    """

    seed: int
    share: float

    def __call__(self, positions: NDArray[np.uint64]) -> Mask:
        """Which rows belong to it.

        Args:
            positions: ``(n,)`` places of rows.

        References:
            Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014,
            https://doi.org/10.1145/2714064.2660195
        """
        if self.share >= 1:
            return np.ones(len(positions), bool)
        z = positions * np.uint64(0x9E3779B97F4A7C15) + np.uint64(self.seed * 0xD1B54A32D192ED03 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) < np.uint64(int(self.share * 2**64))


@dataclass(frozen=True, kw_only=True)
class Stream(ABC):
    """Rows in pieces that are read one at a time.

    Attributes:
        name: What to call the data.
        memory: Bytes that reading may take; pieces and shuffling follow from it.
        notes: What should be said about how it is read.
        left_out: Rows that are not part of it.
    """

    name: str
    memory: int
    notes: tuple[str, ...] = ()
    left_out: tuple[Rule, ...] = ()

    kind = "table"

    @property
    @abstractmethod
    def sizes(self) -> Sequence[int]:
        """Rows of every piece, those left out included."""

    @abstractmethod
    def load(self, piece: int) -> Any:
        """All rows of a piece, raw; those left out included."""

    @abstractmethod
    def keep(self, raw: Any, mask: Mask) -> Any:
        """Some of the raw rows of a piece."""

    @abstractmethod
    def join(self, parts: Sequence[Any]) -> Any:
        """Raw rows of several pieces together."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A short name that other data would not have."""

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Rows of every piece that are part of it."""
        return tuple(int(self.mask(i).sum()) for i in range(len(self.sizes)))

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(self.counts)

    def positions(self, piece: int) -> NDArray[np.uint64]:
        """Where the rows of a piece stand among all."""
        return np.arange(self._first[piece], self._first[piece + 1], dtype=np.uint64)

    def mask(self, piece: int) -> Mask:
        """Which rows of a piece are part of it."""
        if not self.left_out:
            return np.ones(self.sizes[piece], bool)
        places = self.positions(piece)
        return ~np.logical_or.reduce([rule(places) for rule in self.left_out])

    def read(self, piece: int) -> Any:
        """The rows of a piece, raw, without those left out."""
        mask = self.mask(piece)
        raw = self.load(piece)
        return raw if mask.all() else self.keep(raw, mask)

    def pieces(self) -> Iterator[Any]:
        """All rows in their order, piece by piece, the next one read ahead; empty pieces are skipped."""
        yield from ahead(self.read(i) for i in range(len(self.sizes)) if self.counts[i])

    def without(self, rule: Rule) -> Self:
        """The stream without some rows."""
        return dataclasses.replace(self, left_out=(*self.left_out, rule))

    def pick(
        self, rules: Sequence[Callable[[NDArray[np.uint64]], Mask]], see: Callable[[Any], None] | None = None
    ) -> list[Any]:
        """Random parts of the rows, in one pass.

        Args:
            rules: Which rows, by their positions; parts should be small, as they are held in memory.
            see: Called with every piece on the way.

        Returns:
            The raw rows of every part, in their order; None where a part is empty.
        """
        found: list[list[Any]] = [[] for _ in rules]
        wanted = [i for i in range(len(self.sizes)) if self.counts[i]]
        for piece, raw in zip(wanted, ahead(self.read(i) for i in wanted), strict=True):
            if see is not None:
                see(raw)
            places = self.positions(piece)[self.mask(piece)]
            for parts, rule in zip(found, rules, strict=True):
                mask = rule(places)
                if mask.any():
                    parts.append(self.keep(raw, mask))
        return [self.join(parts) if parts else None for parts in found]


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, the next one made by a thread while the one before is used. Errors come where they would have."""
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


# --- tables ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """A row group of a Parquet file.

    Attributes:
        path: The file.
        number: Its number in the file.
        rows: How many rows it has.
    """

    path: str
    number: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class TableStream(Stream):
    """A table in Parquet files, read a row group at a time.

    Attributes:
        groups: The row groups.
        schema: Names and Arrow types of the columns.
        origin: The files that the user named.
        recast: For columns that are text in the files and something else in truth: what makes it of their cells.
        folder: Keeps temporary files alive as long as the stream.
    """

    groups: tuple[Group, ...]
    schema: Any
    origin: tuple[str, ...]
    recast: tuple[tuple[str, Callable[[Any], Any]], ...] = ()
    folder: Any = field(default=None, compare=False, repr=False)

    @cached_property
    def sizes(self) -> Sequence[int]:
        """Rows of every row group."""
        return tuple(g.rows for g in self.groups)

    @property
    def column_names(self) -> list[str]:
        """The columns' names."""
        return list(self.schema.names)

    def select(self, names: Sequence[str]) -> Self:
        """The stream with some of the columns.

        Raises:
            InvalidParameter: If there is no such column.
        """
        missing = [n for n in names if n not in self.schema.names]
        if missing:
            raise InvalidParameter(f"there is no column {missing[0]!r}; there are {', '.join(self.schema.names)}")
        import pyarrow as pa

        return dataclasses.replace(self, schema=pa.schema([self.schema.field(n) for n in names]))

    def load(self, piece: int) -> Any:
        """A row group as an Arrow table.

        Raises:
            UnreadableFile: Naming file and row group.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        group = self.groups[piece]
        recast = dict(self.recast)
        try:
            # no read-ahead: it would hold the packed bytes of all columns beside the unpacked ones
            with pq.ParquetFile(group.path, pre_buffer=False) as file:
                table = file.read_row_group(group.number, columns=self.schema.names)
            columns = [
                recast[f.name](table[f.name]) if f.name in recast else _as(table[f.name], f.type) for f in self.schema
            ]
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UnreadableFile(
                f"{group.path}, row group {group.number} ({group.rows:,} rows), cannot be read: {first_line(error)}. "
                "Write this file again, or leave it out"
            ) from error
        return pa.table(columns, schema=self.schema)

    def keep(self, raw: Any, mask: Mask) -> Any:
        """Some of the rows of a table."""
        return raw.filter(mask)

    def join(self, parts: Sequence[Any]) -> Any:
        """Tables one below the other."""
        import pyarrow as pa

        return pa.concat_tables(parts)

    def fingerprint(self) -> str:
        """Of the files' sizes and ends (where Parquet keeps its statistics), the columns and the rows left out."""
        words = f"{self.schema} {self.left_out} {[g.rows for g in self.groups]}"
        digest = hashlib.sha256(words.encode())
        for path in self.origin:
            size = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                digest.update(f"{size} ".encode() + file.read(_END))
                file.seek(max(0, size - _END))
                digest.update(file.read(_END))
        return digest.hexdigest()[:16]


def _as(cells: Any, kind: Any) -> Any:
    return cells if cells.type == kind else cells.cast(kind)


# --- pictures --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PictureStream(Stream):
    """Image files, a block of them at a time. The raw rows are their paths; the format decodes them, in threads.

    Attributes:
        paths: The files.
        block: Files per piece.
    """

    paths: tuple[Any, ...]
    block: int = 64

    kind = "images"

    @cached_property
    def sizes(self) -> Sequence[int]:
        """Files of every block."""
        return tuple(min(self.block, len(self.paths) - i) for i in range(0, len(self.paths), self.block))

    def load(self, piece: int) -> Any:
        """The paths of a block."""
        return list(self.paths[piece * self.block : (piece + 1) * self.block])

    def keep(self, raw: Any, mask: Mask) -> Any:
        """Some of the paths."""
        return [path for path, kept in zip(raw, mask, strict=True) if kept]

    def join(self, parts: Sequence[Any]) -> Any:
        """All of the paths."""
        return [path for part in parts for path in part]

    def fingerprint(self) -> str:
        """Of the files' names and sizes, and those left out."""
        digest = hashlib.sha256(str(self.left_out).encode())
        for path in self.paths:
            digest.update(f"{Path(path).name} {Path(path).stat().st_size}\n".encode())
        return digest.hexdigest()[:16]


def check_columns(path: str, names: Sequence[str], wanted: Sequence[str], of: str) -> None:
    """Raise unless a file has the columns of the first one."""
    missing, new = [n for n in wanted if n not in names], [n for n in names if n not in wanted]
    if missing or new:
        parts = [f"lacks {', '.join(map(repr, missing[:5]))}"] if missing else []
        parts += [f"also has {', '.join(map(repr, new[:5]))}"] if new else []
        raise InvalidData(
            f"the files are not one table: {path} {' and '.join(parts)}, compared with {of}. "
            "Give files of the same columns, or choose them with --sql"
        )
