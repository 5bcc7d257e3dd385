"""What rows of a table are drawn from: codes from a prior, cells from p(x|z), and walks under a condition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows._arrow import pa
from narrows._types import Distribution, Rows
from narrows.data.frames import close_table
from narrows.data.margins import Floats, Margins, to_score, to_uniform
from narrows.data.table import TableFormat
from narrows.models import AutoencoderModule
from narrows.tasks._cells import CellLine
from narrows.tasks._redraw import Redraw
from narrows.tasks._shares import matched, shifted
from narrows.training.seeds import hash_seed, seeded

MOST = 20_000  # rows drawn to compare the margins
FEWER = 10_000  # rows drawn to compare the margins after cells have been drawn again
KNOTS = 201  # quantiles kept of the drawn scores
BATCH = 8192


class Source(ABC):
    """What rows are drawn from: a trained model and what its cells mean.

    Attributes:
        module: A trained model, in evaluation mode.
    """

    module: Any

    @property
    def width(self) -> int:
        """Numbers per row of drawn values."""
        return int(self.module.layout.shape[0])

    @abstractmethod
    def codes(self, n: int) -> Tensor:
        """``(n, L)`` codes, from torch's global generator."""

    @abstractmethod
    def cells(self, z: Tensor) -> Tensor:
        """``(n, columns)`` draws from p(x|z) in the model's units."""

    @abstractmethod
    def table(self, values: Tensor, seed: int) -> list[Any]:
        """Arrow columns of drawn values."""

    @abstractmethod
    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table of Arrow columns."""

    @abstractmethod
    def close(self, arrays: list[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""

    def empty(self) -> Any:
        """An Arrow table without rows: names and types."""
        return self.arrow(self.table(torch.zeros(0, self.width), 0))

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z)."""
        return self.module.decode(z)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """``(n, L)`` codes and ``(n, columns)`` values drawn from them, from torch's global generator."""
        codes, values = [], []
        for start in range(0, n, BATCH):
            codes.append(self.codes(min(BATCH, n - start)))
            values.append(self.cells(codes[-1]))
        if not codes:
            return torch.zeros(0, self.module.code_size), torch.zeros(0, self.width)
        return torch.cat(codes), torch.cat(values)

    @property
    def redraws(self) -> bool:
        """Whether rows are to be `redrawn` before they are shown."""
        return False

    def redrawn(self, values: Tensor, meets: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Values ``(n, columns)`` whose cells were drawn again one by one, from torch's global generator.

        Args:
            values: Drawn values.
            meets: Says which rows ``(n,)`` of values meet a condition; they go on doing so.
        """
        return values

    def near(self, z: Tensor, size: float) -> Tensor:
        """``(n, L)`` codes, a step of a size from 0 to 1 away; draws from the prior stay draws from the prior."""
        with torch.no_grad():
            return self.module.prior().near(z.to(next(self.module.parameters()).device), size).cpu()


@dataclass(frozen=True)
class MarginSource(Source):
    """Rows drawn from a model of states and scores.

    Attributes:
        module: A trained model of states and scores.
        margins: The columns' margins.
        places: Of every column of the model: (column of the table, whether it is a score).
        drawn: Quantiles of the scores as the model draws them, by column of the table; empty to take them as normal.
        shares: What is added to the log-odds of every category, by column of the model; empty for nothing.
        steps: How often a drawn row is encoded and drawn again.
        redraw: What draws cells again; None for nothing.
    """

    module: AutoencoderModule
    margins: Margins
    places: tuple[tuple[int, bool], ...]
    drawn: Mapping[int, Floats]
    shares: Mapping[int, Floats]
    steps: int = 0
    redraw: Redraw | None = None

    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table of Arrow columns."""
        return self.margins.arrow(arrays)

    def close(self, arrays: list[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""
        return self.margins.close(arrays)

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z), every category's log-odds moved by ``shares``."""
        return shifted(self.module.decode(z), self.shares)

    def codes(self, n: int) -> Tensor:
        """``(n, L)`` codes from the prior, encoded and drawn again ``steps`` times."""
        with torch.no_grad():
            z = self.module.prior().sample(n)
            for _ in range(self.steps):
                rows = self.rows(self.decode(z).sample())
                phi = self.module.encoder(self.module.stem(rows))
                bottleneck = self.module.bottleneck
                z = bottleneck(phi, samples=1).z[0] if self.module.stochastic else bottleneck.mean(phi)
        return z.cpu()

    def cells(self, z: Tensor) -> Tensor:
        """``(n, columns)`` states and scores drawn from p(x|z)."""
        with torch.no_grad():
            return self.decode(z.to(next(self.module.parameters()).device)).sample().cpu()

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

    @property
    def redraws(self) -> bool:
        """Whether there is something that draws again."""
        return self.redraw is not None

    def redrawn(self, values: Tensor, meets: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Values ``(n, columns)`` whose cells were drawn again one by one, from torch's global generator."""
        if self.redraw is None:
            return values
        found = self.redraw.places(self.on_line(values), None if meets is None else lambda p: meets(self.off_line(p)))
        return self.off_line(found)

    def line(self, rows: int) -> CellLine | None:
        """Where cells of the table lie (`narrows.tasks._cells`); None where it has too many columns."""
        margins = [self.margins.margins[j] for j in _tables(self.places)]
        return CellLine.of([m.width - m.scored for m in margins], [m.scored for m in margins], rows)

    def on_line(self, values: Tensor) -> Tensor:
        """``(n, columns of the table that vary)`` places (`narrows.tasks._cells`) of states and scores."""
        assert self.redraw is not None
        return on_line(self.redraw.module.line, self.places, values, self._uniform)

    def off_line(self, places: Tensor) -> Tensor:
        """States and scores of places."""
        assert self.redraw is not None
        line, values = self.redraw.module.line, places.new_zeros(len(places), len(self.places))
        cells = {j: line.cells(i, places[:, i]) for i, j in enumerate(_tables(self.places))}
        for k, (j, score) in enumerate(self.places):
            values[:, k] = torch.from_numpy(self._score(j, cells[j][1].numpy())) if score else cells[j][0]
        return values

    def _score(self, column: int, uniform: Floats) -> Floats:
        knots = self.drawn.get(column)
        if knots is None:
            return to_score(uniform)
        return np.interp(uniform, np.linspace(0, 1, len(knots)), knots)

    def calibrated(self, shares: Mapping[int, Floats], seed: int) -> MarginSource:
        """This source with what brings every margin back to what it was, on its own draws.

        Args:
            shares: What share every category has in the data, by column of the model.
            seed: For the draws; the caller's generators are left as they were.
        """
        with seeded(hash_seed(seed, 12)), torch.no_grad():
            z = torch.cat([self.codes(min(BATCH, MOST - start)) for start in range(0, MOST, BATCH)])
            found = replace(self, shares=matched(self.decode(z.to(next(self.module.parameters()).device)), shares))
            rows = self.rows(found.cells(z))
        drawn = {}
        for k, (j, score) in enumerate(self.places):
            if score:
                cells = rows.values[:, k] if rows.observed is None else rows.values[rows.observed[:, k], k]
                if len(cells) >= KNOTS:
                    knots = np.quantile(cells.double().numpy(), np.linspace(0, 1, KNOTS))
                    drawn[j] = np.maximum.accumulate(knots)
        return replace(found, drawn=drawn)

    def redrawing(self, redraw: Redraw, real: Tensor, sweeps: int, seed: int) -> MarginSource:
        """This source with cells drawn again, states and bins as frequent as in the data.

        Args:
            redraw: What draws again.
            real: ``(n, columns)`` places of the training rows.
            sweeps: How often every cell is drawn again.
            seed: For the draws; the caller's generators are left as they were.
        """
        found = replace(self, redraw=redraw)
        line = redraw.module.line
        shares = {
            i: torch.bincount(real[:, i].long(), minlength=k).float() / len(real) for i, k in enumerate(line.widths)
        }
        with seeded(hash_seed(seed, 24)):
            begun = found.on_line(self.draw(FEWER)[1])
            return replace(found, redraw=redraw.calibrated(begun, shares, sweeps))


def on_line(
    line: CellLine, places: Sequence[tuple[int, bool]], values: Tensor, uniform: Callable[[int, Floats], Floats]
) -> Tensor:
    """Places ``(n, columns of the table that vary)`` of states and scores ``(n, columns of the model)``.

    Args:
        line: Where cells lie.
        places: Of every column of the model: (column of the table, whether it is a score).
        values: States and scores.
        uniform: The share of the data below the scores of a column of the table.
    """
    at = {place: k for k, place in enumerate(places)}
    found = []
    for i, j in enumerate(_tables(places)):
        state = at.get((j, False))
        score = at.get((j, True))
        states = torch.zeros(len(values)) if state is None else values[:, state].round()
        shares = states if score is None else torch.from_numpy(uniform(j, values[:, score].double().numpy()))
        found.append(line.places(i, states, shares))
    return torch.stack(found, dim=1)


def places_of(names: Sequence[str]) -> tuple[tuple[int, bool], ...]:
    """Of every column of the model: the table's column that it belongs to, and whether it is a score."""
    return tuple((int(name.split()[0]), name.endswith("score")) for name in names)


def _tables(places: Sequence[tuple[int, bool]]) -> list[int]:
    return sorted({j for j, _ in places})


@dataclass(frozen=True)
class PlainSource(Source):
    """Rows drawn from a model of raw tables; blanks fall at each column's rate in training.

    Attributes:
        module: A trained model.
        format: Its table format.
    """

    module: AutoencoderModule
    format: TableFormat

    def codes(self, n: int) -> Tensor:
        """``(n, L)`` codes from the prior."""
        with torch.no_grad():
            return self.module.prior().sample(n).cpu()

    def cells(self, z: Tensor) -> Tensor:
        """``(n, columns)`` values in scaled units, NaN where blank."""
        with torch.no_grad():
            values = self.decode(z.to(next(self.module.parameters()).device)).sample().cpu()
        blanks = torch.tensor([c.blanks for c in self.format.columns])
        return torch.where(torch.rand_like(values) < blanks, torch.nan, values)

    def table(self, values: Tensor, seed: int) -> list[Any]:
        """Arrow columns of scaled values."""
        cells = values.double().numpy()
        blank = np.isnan(cells)
        return [c.decode(cells[:, j], blank[:, j], drawn=True) for j, c in enumerate(self.format.columns)]

    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table of Arrow columns."""
        return pa.table(arrays, names=[str(c.name) for c in self.format.columns])

    def close(self, arrays: list[Any]) -> Any:
        """The table of Arrow columns, in the container that was fitted."""
        names = [c.name for c in self.format.columns] if self.format.named else None
        return close_table(self.format.container, arrays, names, [c.native for c in self.format.columns])
