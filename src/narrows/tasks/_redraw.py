"""Cells drawn again, each from what the row's other cells say: a Gibbs sampler over a table's columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from narrows._types import Rows
from narrows.likelihoods.discrete import CategoricalDistribution, CategoricalModule
from narrows.networks import Dense, Network
from narrows.tasks._cells import CellLine
from narrows.tasks._shares import shift_towards
from narrows.training import Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded

WIDTH = 256
HIDDEN = 0.3  # share of a row's cells that is hidden in training, at most
ROWS = 1_500_000  # that training looks at, unless told otherwise
FEWEST, MOST = 4, 60  # epochs
BATCH = 512
FASTER = 2.0  # learning rate in units of the settings': batches are larger
CHUNK = 2048


class RedrawModule(nn.Module):
    """p(x_j | x_{−j}) of every column j: a row with cells hidden in, a distribution over every cell's places out.

    Args:
        line: Where cells lie.
        network: Makes the layers.
    """

    def __init__(self, line: CellLine, network: Network) -> None:
        super().__init__()
        columns, d = len(line.widths), sum(line.widths)
        self.line, self.recipe = line, network
        self.network = network.encoder((d + columns,), WIDTH)
        self.head = nn.Linear(WIDTH, d)
        self.likelihood = CategoricalModule(line.widths)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(self, places: Tensor, hidden: Tensor) -> Tensor:
        """What is known ``(n, WIDTH)`` of rows with places ``(n, columns)`` whose ``hidden`` cells it does not see."""
        seen = self.line.features(places).masked_fill(hidden[:, self.line.column.to(hidden.device)], 0)
        return nn.functional.silu(self.network(torch.cat([seen, hidden.to(seen.dtype)], dim=1)))

    def log_prob(self, places: Tensor, hidden: Tensor) -> Tensor:
        """``(n, columns)`` log-probability of the state or bin of every cell."""
        x = CategoricalDistribution(self.head(self(places, hidden)), self.likelihood.segments)
        return x.log_prob(places.floor())

    def logits(self, places: Tensor, column: int) -> Tensor:
        """``(n, K)`` log-odds of the states and bins of one column, given all others."""
        hidden = torch.zeros(places.shape, dtype=torch.bool, device=places.device)
        hidden[:, column] = True
        start, k = self.likelihood.segments.starts[column], self.line.widths[column]
        known = self(places, hidden)
        return nn.functional.linear(known, self.head.weight[start : start + k], self.head.bias[start : start + k])


class RedrawStep(nn.Module):
    """The step that the loop trains: ``values`` are places; every row hides some of its cells, at least one."""

    def __init__(self, model: RedrawModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """Nats per hidden cell."""
        places = batch["values"]
        chance = torch.rand_like(places)
        hidden = chance < HIDDEN * torch.rand_like(places[:, :1])
        hidden = hidden | (chance == chance.amin(1, keepdim=True))
        found = self.model.log_prob(places, hidden)
        return {"loss": -(found * hidden).sum() / hidden.sum()}


def default_network() -> Network:
    """What learns the conditionals when nothing else is asked for."""
    return Dense(widths=(WIDTH,), dropout=0.3)


def plan(training: Training, rows: int) -> Training:
    """The settings of the loop for ``rows`` rows: as many rows looked at as suit, unless epochs were given."""
    epochs = training.epochs or min(MOST, max(FEWEST, math.ceil(ROWS / rows)))
    return training.set_params(
        epochs=epochs,
        batch_size=training.batch_size or min(BATCH, max(32, rows // 32)),
        learning_rate=FASTER * training.learning_rate,
        optimiser="adamw",
        weight_decay=1e-2,
        checkpoint=None,
    )


@dataclass(frozen=True)
class Redraw:
    """Draws cells again, column by column.

    If p(x_j | x_{−j}) is right, drawing x_j from it leaves right rows right, and makes wrong ones less so.

    Attributes:
        module: What knows the conditionals.
        order: In which columns are drawn.
        shifts: For every sweep, what is added to the log-odds of every column's states and bins.
    """

    module: RedrawModule
    order: tuple[int, ...]
    shifts: tuple[Mapping[int, Tensor], ...]

    def places(self, places: Tensor, meets: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Places ``(n, columns)`` drawn again in as many sweeps as there are shifts, from torch's global generator.

        Args:
            places: Of n rows.
            meets: Says which rows ``(n,)`` of places meet a condition. A cell is drawn again only where the row still
                does: if p is the distribution of rows, this leaves that of rows that meet the condition as it is.
        """
        for shifts in self.shifts:
            for j in self.order:
                # piece by piece: log-odds of all rows at once would be large
                parts = torch.split(places, CHUNK)
                new = torch.cat([self._drawn(part, j, self._logits(part, j) + shifts[j]) for part in parts])
                kept = None if meets is None else meets(new)
                places = new if kept is None else torch.where(kept.unsqueeze(1), new, places)
        return places

    def calibrated(self, places: Tensor, shares: Mapping[int, Tensor], sweeps: int) -> Redraw:
        """This with the shifts that give every state and bin its share in rows that begin as ``places``."""
        found: list[Mapping[int, Tensor]] = []
        for _ in range(sweeps):
            shifts = {}
            for j in self.order:
                logits = self._logits(places, j)
                shifts[j] = shift_towards(logits, shares[j])
                places = self._drawn(places, j, logits + shifts[j])
            found.append(shifts)
        return replace(self, shifts=tuple(found))

    def _logits(self, places: Tensor, column: int) -> Tensor:
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            parts = [self.module.logits(part.to(device), column).cpu() for part in torch.split(places, CHUNK)]
        return torch.cat(parts) if parts else torch.zeros(0, self.module.line.widths[column])

    def _drawn(self, places: Tensor, column: int, logits: Tensor) -> Tensor:
        noise = -torch.empty_like(logits).exponential_().clamp_min(1e-30).log()
        index = (logits + noise).argmax(1).float()
        within = torch.rand_like(index).clamp_max(1 - 1e-3) * (index >= self.module.line.states[column])
        places = places.clone()
        places[:, column] = index + within if self.module.line.numbers[column] else index
        return places


def train_redraw(
    line: CellLine, places: Tensor, training: Training, seed: int, network: Network | None = None
) -> Redraw:
    """Learn every column's conditional distribution.

    Args:
        line: Where cells lie.
        places: ``(n, columns)`` of the rows to learn from.
        training: Settings of the loop.
        seed: Fixes weights, what is hidden, and the order of columns.
        network: Makes the layers.

    Returns:
        What draws again; no sweeps yet.
    """
    # nothing is held out: what over-fits first would stop all columns before the shares of rare cells are right
    with seeded(hash_seed(seed, 22)):
        model = RedrawModule(line, network or default_network())
    step, rows = RedrawStep(model), Rows(places)
    settings = plan(training, len(rows))
    Loop(step, [Player(step, trainable(step))], settings, hash_seed(seed, 23), words="redraw").fit(rows)
    order = torch.randperm(len(line.widths), generator=torch.Generator().manual_seed(hash_seed(seed, 21))).tolist()
    return Redraw(model.eval(), tuple(order), ())
