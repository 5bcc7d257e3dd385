"""Generate rows of a table: a prior fitted to draws of the codes, rows drawn from it, rows that meet a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._types import Rows
from narrows.data.frames import close_table
from narrows.data.margins import Floats, Margins, to_uniform
from narrows.data.table import TableFormat
from narrows.errors import InvalidData
from narrows.models import AutoencoderModule
from narrows.tasks.inference import chunk_size
from narrows.training.seeds import hash_seed, seeded

MOST = 20_000  # rows whose codes a prior is fitted to, and rows drawn to compare the margins
KNOTS = 201  # quantiles kept of the drawn scores
BATCH = 8192

Accept = Callable[[list[Any]], NDArray[np.bool_]]


def posterior_draws(module: AutoencoderModule, rows: Rows) -> Tensor:
    """One draw from q(z|x) per row; from torch's global generator.

    A prior has to look like the codes that the decoder was trained on, and these are draws: their means lie closer
    together, and a prior fitted to means makes rows that vary too little.

    Args:
        module: A trained model, in evaluation mode.
        rows: B rows.

    Returns:
        ``(B, L)``; the codes themselves where the model draws none.
    """
    size, parts = chunk_size(module.layout), []
    device = next(module.parameters()).device
    with torch.no_grad():
        for start in range(0, len(rows), size):
            part = rows.take(slice(start, start + size)).to(device)
            phi = module.encoder(module.stem(part))
            z = module.bottleneck(phi, samples=1).z[0] if module.stochastic else module.bottleneck.mean(phi)
            parts.append(z.cpu())
    return torch.cat(parts)


def fit_prior(module: AutoencoderModule, rows: Rows, seed: int) -> None:
    """Fit the model's prior to draws of the codes, at most 20,000.

    Args:
        module: A trained model whose prior is fitted afterwards.
        rows: Training rows.
        seed: For the draws and the fit; the caller's generators are left as they were.
    """
    with seeded(hash_seed(seed, 11)):
        if len(rows) > MOST:
            rows = rows.take(torch.randperm(len(rows))[:MOST])
        codes = posterior_draws(module, rows)
    module.prior.fit_codes(codes.double().numpy(), seed)  # type: ignore[operator]


@dataclass(frozen=True)
class Source:
    """What rows are drawn from.

    Attributes:
        module: A trained model of states and scores.
        margins: The columns' margins.
        places: Of every column of the model: (column of the table, whether it is a score).
        drawn: Quantiles of the scores as the model draws them, by column of the table; empty to take them as normal.
        steps: How often a drawn row is encoded and drawn again.
    """

    module: AutoencoderModule
    margins: Margins
    places: tuple[tuple[int, bool], ...]
    drawn: Mapping[int, Floats]
    steps: int = 0

    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table of Arrow columns."""
        return self.margins.arrow(arrays)

    def close(self, arrays: list[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""
        return self.margins.close(arrays)

    def empty(self) -> Any:
        """An Arrow table without rows: names and types."""
        return self.arrow(self.table(torch.zeros(0, len(self.places)), 0))

    def draw(self, n: int) -> Tensor:
        """``(n, columns)`` states and scores, from torch's global generator."""
        with torch.no_grad():
            device = next(self.module.parameters()).device
            parts = []
            for start in range(0, n, BATCH):
                z = self.module.prior().sample(min(BATCH, n - start)).to(device)
                values = self.module.decode(z).sample()
                for _ in range(self.steps):
                    values = self._again(values)
                parts.append(values.cpu())
        return torch.cat(parts)

    def walk(self, values: Tensor) -> Tensor:
        """One step from each row to a row near it: a code drawn from q(z|x), a row drawn from p(x|z)."""
        with torch.no_grad():
            return self._again(values.to(next(self.module.parameters()).device)).cpu()

    def _again(self, values: Tensor) -> Tensor:
        rows = self.rows(values)
        phi = self.module.encoder(self.module.stem(rows))
        bottleneck = self.module.bottleneck
        z = bottleneck(phi, samples=1).z[0] if self.module.stochastic else bottleneck.mean(phi)
        return self.module.decode(z).sample()

    def rows(self, values: Tensor) -> Rows:
        """Rows of drawn values: scores are observed where the state says that the column varies."""
        observed = torch.ones_like(values, dtype=torch.bool)
        state = {j: k for k, (j, score) in enumerate(self.places) if not score}
        for k, (j, score) in enumerate(self.places):
            if score and j in state:
                observed[:, k] = values[:, state[j]] == self.margins.margins[j].width - 1
        whole = bool(observed.all())
        return Rows(torch.where(observed, values, 0.0), None if whole else observed)

    def table(self, values: Tensor, seed: int) -> list[Any]:
        """Arrow columns of states and scores."""
        cells = values.double().numpy()
        states: dict[int, Any] = {}
        uniforms: dict[int, Floats] = {}
        for k, (j, score) in enumerate(self.places):
            if score:
                uniforms[j] = self._uniform(j, cells[:, k])
            else:
                states[j] = np.rint(cells[:, k]).astype(np.int64)
        return self.margins.inverse(states, uniforms, len(cells), seed)

    def _uniform(self, column: int, score: Floats) -> Floats:
        knots = self.drawn.get(column)
        if knots is None:
            return to_uniform(score)
        return np.interp(score, knots, np.linspace(0, 1, len(knots)))

    def calibrated(self, seed: int) -> Source:
        """This source with the quantiles of its own scores, so that every margin comes out as it was."""
        with seeded(hash_seed(seed, 12)):
            rows = self.rows(self.draw(MOST))
        drawn = {}
        for k, (j, score) in enumerate(self.places):
            if score:
                cells = rows.values[:, k] if rows.observed is None else rows.values[rows.observed[:, k], k]
                if len(cells) >= KNOTS:
                    knots = np.quantile(cells.double().numpy(), np.linspace(0, 1, KNOTS))
                    drawn[j] = np.maximum.accumulate(knots)
        return Source(self.module, self.margins, self.places, drawn, self.steps)


@dataclass(frozen=True)
class PlainSource:
    """Rows drawn from a model of raw tables; blanks fall at each column's rate in training.

    Attributes:
        module: A trained model.
        format: Its table format.
    """

    module: AutoencoderModule
    format: TableFormat

    def draw(self, n: int) -> Tensor:
        """``(n, columns)`` values in scaled units, NaN where blank, from torch's global generator."""
        device = next(self.module.parameters()).device
        parts = []
        with torch.no_grad():
            for start in range(0, n, BATCH):
                z = self.module.prior().sample(min(BATCH, n - start)).to(device)
                parts.append(self.module.decode(z).sample().cpu())
        values = torch.cat(parts)
        return torch.where(torch.rand_like(values) < self._blanks(), torch.nan, values)

    def walk(self, values: Tensor) -> Tensor:
        """One step from each row to a row near it."""
        device = next(self.module.parameters()).device
        observed = ~values.isnan()
        rows = Rows(torch.where(observed, values, 0.0), None if bool(observed.all()) else observed).to(device)
        with torch.no_grad():
            new = self.module.decode(posterior_draws(self.module, rows).to(device)).sample().cpu()
        return torch.where(torch.rand_like(new) < self._blanks(), torch.nan, new)

    def _blanks(self) -> Tensor:
        return torch.tensor([c.blanks for c in self.format.columns])

    def table(self, values: Tensor, seed: int) -> list[Any]:
        """Arrow columns of scaled values."""
        cells = values.double().numpy()
        blank = np.isnan(cells)
        return [c.decode(cells[:, j], blank[:, j]) for j, c in enumerate(self.format.columns)]

    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table of Arrow columns."""
        return pa.table(arrays, names=[str(c.name) for c in self.format.columns])

    def close(self, arrays: list[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""
        names = [c.name for c in self.format.columns] if self.format.named else None
        return close_table(self.format.container, arrays, names, [c.native for c in self.format.columns])

    def empty(self) -> Any:
        """An Arrow table without rows: names and types."""
        return self.arrow(self.table(torch.zeros(0, len(self.format.columns)), 0))


AnySource = Source | PlainSource


def generate(source: AnySource, n: int, seed: int) -> list[Any]:
    """New rows.

    Args:
        source: What they are drawn from.
        n: How many.
        seed: Equal seeds give equal rows. The caller's generators are left as they were.

    Returns:
        One Arrow column of n cells per column of the table.
    """
    with seeded(hash_seed(seed, 13)):
        return source.table(source.draw(n), hash_seed(seed, 14))


def generate_where(source: AnySource, n: int, seed: int, accept: Accept, words: str, most: int = 500_000) -> list[Any]:
    """New rows that meet a condition, by rejection.

    Rows are drawn until n are accepted. Where fewer than n of ``most`` are, those found walk: each is encoded, drawn
    again, and stays where it was if the row drawn does not meet the condition. Such a chain leaves the model's
    distribution of rows that meet the condition as it is.

    Args:
        source: What rows are drawn from.
        n: How many.
        seed: Equal seeds give equal rows.
        accept: Which rows of Arrow columns meet the condition.
        words: The condition, for messages.
        most: How many rows are drawn at most.

    Returns:
        One Arrow column of n cells per column of the table.

    Raises:
        InvalidData: If none of the rows drawn meets the condition.
    """
    kept: list[_Drawn] = []
    count = tried = 0
    with seeded(hash_seed(seed, 13)):
        for size in _sizes(n, most):
            drawn = _Drawn.of(source, source.draw(size), hash_seed(seed, 15, tried))
            kept.append(drawn.take(np.flatnonzero(accept(drawn.cells))))
            tried, count = tried + size, count + len(kept[-1].values)
            if count >= n:
                break
        if count == 0:
            raise InvalidData(
                f"where {words}: none of {tried:,} rows drawn meets this (fewer than {3 / tried:.4%} of the model's "
                "rows do, with 95 % confidence): ask for something less rare"
            )
        found = _Drawn.joined(kept).take(np.arange(n) % count)
        return (_grow(source, found, seed, accept) if count < n else found).cells


@dataclass(frozen=True)
class _Drawn:
    """Rows as drawn and as cells: what is drawn by frequency alone (a rare category) is only in the cells."""

    values: Tensor
    cells: list[Any]

    @classmethod
    def of(cls, source: AnySource, values: Tensor, seed: int) -> _Drawn:
        return cls(values, source.table(values, seed))

    @classmethod
    def joined(cls, parts: list[_Drawn]) -> _Drawn:
        columns = zip(*(p.cells for p in parts), strict=True)
        return cls(torch.cat([p.values for p in parts]), [pa.concat_arrays(list(c)) for c in columns])

    def take(self, places: NDArray[Any]) -> _Drawn:
        index = pa.array(places, pa.int64())
        return _Drawn(self.values[torch.from_numpy(places)], [c.take(index) for c in self.cells])


def _sizes(n: int, most: int) -> Iterator[int]:
    size, left = max(1024, min(2 * n, BATCH)), max(most, n)
    while left > 0:
        yield min(size, left)
        left -= size
        size = min(2 * size, 4 * BATCH)


def _grow(source: AnySource, rows: _Drawn, seed: int, accept: Accept, steps: int = 10) -> _Drawn:
    n = len(rows.values)
    for step in range(steps):
        new = _Drawn.of(source, source.walk(rows.values), hash_seed(seed, 16, step))
        rows = _Drawn.joined([rows, new]).take(np.arange(n) + n * accept(new.cells))
    return rows
