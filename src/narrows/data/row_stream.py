"""Streams as training rows: windows of shuffled rows, each of them in memory, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from narrows._types import Rows
from narrows.data.stream import Chosen, PictureStream, Rule, Stream, TableStream, ahead
from narrows.data.summaries import TableFitter
from narrows.errors import InvalidData

#: A window may take this part of the budget: one is trained on while the next is filled, from pieces.
WINDOW = 8
#: Rows that are held in memory to fit quantiles and priors to, at most.
SAMPLED = 100_000
#: Rows that are held out for validation, at most: a mean over as many has settled.
VALIDATED = 50_000


@dataclass(frozen=True)
class RowStream:
    """The rows of a stream as a format makes them, shuffled.

    An epoch takes the pieces in a random order and cuts the long line of their rows into windows of one size. A window
    is filled in random order, so that a batch mixes rows of all pieces in it. Several processes cut the line into equal
    stretches, one for each, and read no other piece. Everything is a function of seed, epoch and process: any batch can
    be reached again without having kept where reading was.

    Args:
        stream: Where raw rows come from.
        format_: The fitted format.
        sample: Some of the rows, in random order, for what needs a few of them at once.
    """

    stream: Stream
    format_: Any
    sample: Rows

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return len(self.stream)

    def take(self, index: Any) -> Rows:
        """Some of the sampled rows."""
        return self.sample.take(index)

    def fingerprint(self) -> str:
        """A short name that other rows would not have."""
        return f"{self.stream.fingerprint()} {self.window}"

    @property
    def window(self) -> int:
        """Rows of a window."""
        layout = self.format_.layout
        return max(1, self.stream.memory // WINDOW // (layout.size * (5 if any(layout.blanks) else 4)))

    def epoch(
        self, seed: int, epoch: int, batch: int, first: int = 0, *, rank: int = 0, world: int = 1
    ) -> Iterator[Rows]:
        """The rows of one epoch, window by window.

        Args:
            seed: Other seeds give other orders.
            epoch: Number of the epoch; each has an order of its own.
            batch: Rows per batch, over all processes. Rows that do not fill a batch come in another epoch.
            first: The batch to begin with.
            rank: Which process's share of every batch to give.
            world: How many processes there are. No row is given to two of them in one epoch.

        Yields:
            Whole shares of batches, one after the other.
        """
        steps, share = len(self) // batch, batch // world
        each = min(steps, max(1, self.window // share))  # batches of a window
        start = first // each
        order = np.random.default_rng([seed, epoch]).permutation(len(self.stream.sizes))
        lengths = [min(each, steps - at) * share for at in range(start * each, steps, each)]
        line = self._line(order, (rank * steps + start * each) * share)
        seeds = [[seed, epoch, 1 + start + n, *([rank] if rank else [])] for n in range(len(lengths))]
        for number, rows in enumerate(ahead(self._windows(line, lengths, seeds))):
            yield rows.take(slice((first - start * each) * share, None)) if number == 0 else rows

    def _line(self, order: Any, skipped: int) -> Iterator[Rows]:
        """The rows of the pieces in an order, without the first ones."""
        for piece in map(int, order):
            count = self.stream.counts[piece]
            if skipped >= count:
                skipped -= count
                continue
            rows = self.format_.to_rows(self.stream.read(piece))
            yield rows.take(slice(skipped, None))
            skipped = 0

    def _windows(self, line: Iterator[Rows], lengths: list[int], seeds: list[list[int]]) -> Iterator[Rows]:
        masked = any(self.format_.layout.blanks)
        rest: Rows | None = None
        for seed, length in zip(seeds, lengths, strict=True):
            place = torch.from_numpy(np.random.default_rng(seed).permutation(length))
            values = torch.empty(length, *self.format_.layout.shape)
            observed = torch.ones(values.shape, dtype=torch.bool) if masked else None
            have = 0
            while have < length:
                rows = next(line, None) if rest is None else rest
                if rows is None:
                    raise InvalidData(f"{self.stream.name} has fewer rows than when it was opened: were files changed?")
                cut = min(len(rows), length - have)
                rest = rows.take(slice(cut, None)) if cut < len(rows) else None
                at = place[have : have + cut]
                values[at] = rows.values[:cut]
                if observed is not None and rows.observed is not None:
                    observed[at] = rows.observed[:cut]
                have += cut
            yield Rows(values, observed)


Prepared = tuple[Any, RowStream, Rows | None]


def prepare(stream: TableStream, options: Any, likelihood: Any, seed: int, held: int) -> Prepared:
    """Fit a format to a table and set validation rows aside, in one pass.

    Args:
        stream: The raw rows.
        options: The `Table` with its options.
        likelihood: The likelihood that the model will use; None to let the data choose.
        seed: Fixes which rows are sampled and held out.
        held: How many rows to hold out for validation, about.

    Returns:
        The fitted format, the training rows, and the validation rows (None when there are none).

    Raises:
        InvalidData: If there is nothing to learn from.
        UnreadableFile: If a file cannot be read.
    """
    fit = TableFitter(options, stream.schema, stream.notes, likelihood)
    hold, some = _rules(stream, len(fit.columns), seed, held)
    raw_held, raw_some = stream.pick([hold, some], see=fit.add)
    # both parts are random, so both together are
    format_ = fit.finish(stream.join([part for part in (raw_held, raw_some) if part is not None]))
    return _parts(stream, format_, hold, raw_held, raw_some, seed)


def prepare_pictures(stream: PictureStream, format_: Any, seed: int, held: int) -> Prepared:
    """Set validation images aside; otherwise like `prepare`, with a format that was fitted already."""
    hold, some = _rules(stream, format_.layout.size, seed, held)
    raw_held, raw_some = stream.pick([hold, some])
    return _parts(stream, format_, hold, raw_held, raw_some, seed)


def _rules(stream: Stream, size: int, seed: int, held: int) -> tuple[Rule, Chosen]:
    """Which rows are held out, and which are sampled from the others."""
    # raw cells of a row and their scaled values together take about 16 bytes each
    total, most = len(stream), max(100, stream.memory // 16 // (16 * size))
    hold, some = Rule(2 * seed, min(held, VALIDATED, most) / total), Rule(2 * seed + 1, min(SAMPLED, most) / total)
    # what is held out must not come back by way of the sample
    return hold, lambda places: some(places) & ~hold(places)


def _parts(stream: Stream, format_: Any, hold: Rule, raw_held: Any, raw_some: Any, seed: int) -> Prepared:
    if raw_some is None:
        raise InvalidData(f"{stream.name} has too few rows ({len(stream)}) to be read piece by piece: give more")
    rows = format_.to_rows(raw_some)
    order = torch.from_numpy(np.random.default_rng([seed, len(rows)]).permutation(len(rows)))
    train = RowStream(stream if raw_held is None else stream.without(hold), format_, rows.take(order))
    return format_, train, None if raw_held is None else format_.to_rows(raw_held)
