"""Finding strange rows: evidence cell by cell, and how often a normal row looks as strange."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from narrows._types import Layout, Rows
from narrows.errors import InvalidData
from narrows.models import AutoencoderModule
from narrows.networks import Network
from narrows.tasks._denoise import Denoising
from narrows.tasks._features import seen_cells
from narrows.tasks._neighbours import Neighbours
from narrows.tasks._space import Space
from narrows.tasks._surprise import Surprise
from narrows.tasks._trim import suspicion
from narrows.tasks._twins import Found, Twins
from narrows.training import Training
from narrows.training.seeds import hash_seed

FOLDS = 4
FEWEST = 2 * FOLDS  # rows: those of a fold are judged by those of the others
MOST = 50_000  # rows that are learnt from and calibrated on; beyond, chance decides which


class Evidence(Protocol):
    """What is said of rows, cell by cell."""

    def terms(self, rows: Rows, found: Found) -> Tensor:
        """What every cell adds to the score ``(B, columns)``, 0 where blank.

        Args:
            rows: B rows in the format's scaled units.
            found: What is known of them.
        """

    def expected(self, rows: Rows, found: Found) -> Tensor:
        """What was expected in every cell ``(B, columns)``, in the format's scaled units."""


@dataclass(frozen=True)
class TableEvidence:
    """Denoisers and neighbours together.

    Attributes:
        denoising: How far every cell lies from what the others lead to expect.
        neighbours: How far the nearest rows are.
    """

    denoising: Denoising
    neighbours: Neighbours

    def terms(self, rows: Rows, found: Found) -> Tensor:
        """See `Evidence`."""
        x = self.denoising.space(rows).replace(group=found.fold)
        near = self.neighbours.terms(self.denoising.filled(x), found.own, x.observed)
        return self.denoising.terms(x) + near

    def expected(self, rows: Rows, found: Found) -> Tensor:
        """See `Evidence`."""
        space = self.denoising.space
        return space.values(self.denoising.expected(space(rows).replace(group=found.fold)))


@dataclass(frozen=True)
class Detector:
    """Scores rows by evidence, and knows the scores of training rows by those who had not seen them.

    Attributes:
        evidence: What is said of rows.
        twins: Which rows were trained on.
        singles: ``(S, 2)`` column and index of categories that one training row alone has.
        surprise: What a cell adds that holds what no training row did, ln(n + 1): its probability is about
            1 / (n + 1).
        scores: ``(n,)`` sorted scores of training rows.
        notes: In words, what was done and assumed.
        points: Of windows of series, sorted: what their last steps added. Empty for other rows.
    """

    evidence: Evidence
    twins: Twins
    singles: Tensor
    surprise: float
    scores: Tensor
    notes: tuple[str, ...] = ()
    points: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))

    def judge(self, rows: Rows, novel: Tensor | None = None) -> tuple[Tensor, Found]:
        """What every cell adds to the score ``(B, columns)``, and what is known of the rows.

        Args:
            rows: B rows in the format's scaled units.
            novel: ``(B, columns)`` true where a cell holds what no training row did.
        """
        found = self.twins.find(rows)
        terms = self.evidence.terms(rows, found).double()
        new = torch.zeros(terms.shape, dtype=torch.bool) if novel is None else novel.clone()
        seen = seen_cells(rows)
        for column, index in self.singles.tolist():
            # to the other rows, the only one of its kind is new
            new[:, column] |= (rows.values[:, column] == index) & found.known & seen[:, column]
        return terms + self.surprise * new, found

    def p_values(self, scores: Tensor, trained: Tensor) -> Tensor:
        """How often a row like the training rows scores as high ``(B,)``: conformal p-values.

        A new row's rank among the n training rows and itself; a training row's among the training rows.

        Args:
            scores: ``(B,)``.
            trained: ``(B,)`` which rows were trained on.
        """
        n = len(self.scores)
        beyond = (n - torch.searchsorted(self.scores, scores.contiguous(), right=False)).double()
        return torch.where(trained, beyond.clamp_min(1) / n, (1 + beyond) / (n + 1))

    def threshold(self, rate: float) -> float:
        """The score from which on at most a share ``rate`` of rows like the training rows lies.

        With fewer than 1 / rate − 1 rows: the highest score of a training row.
        """
        n = len(self.scores)
        k = max(1, math.floor(rate * (n + 1) + 1e-9))
        tied = n - torch.searchsorted(self.scores, self.scores, right=False)
        enough = self.scores[tied <= k]
        # where even the highest score is shared by more rows than that, nothing but a higher one will do
        return float(enough[0]) if len(enough) else math.nextafter(float(self.scores[-1]), math.inf)


def discoveries(p: Tensor, rate: float) -> Tensor:
    """Which p-values are alarms when a share of at most ``rate`` of the alarms may be false (Benjamini–Hochberg).

    Args:
        p: ``(B,)`` p-values.
        rate: The false-discovery rate.

    Reference:
        Controlling the False Discovery Rate, Benjamini, Hochberg, 1995,
        https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    """
    ordered = p.sort().values
    line = rate * torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
    below = torch.nonzero(ordered <= line).flatten()
    return p <= (ordered[below[-1]] if len(below) else -1.0)


def check_enough(rows: int) -> None:
    """Raise unless so many rows can be judged by each other.

    Raises:
        InvalidData: If they are too few.
    """
    if rows < FEWEST:
        raise InvalidData(
            f"n_samples={rows}: so few rows do not say what is usual; give {FEWEST} or more, better hundreds"
        )


# --- learning --------------------------------------------------------------------------------------------------


def learn_detector(
    rows: Rows,
    layout: Layout,
    *,
    members: int = 8,
    trim: float = 0.2,
    network: Network | None = None,
    training: Training | None = None,
    seed: int = 0,
) -> Detector:
    """Learn what rows are usual.

    Args:
        rows: n rows, at least 2.
        layout: What a row looks like.
        members: How many denoisers, or a few more: equally many for every fold.
        trim: Share of the rows that is set aside first, as suspicious; 0 when all are known to be normal.
        network: Makes the denoisers' networks.
        training: Settings of the loop.
        seed: Fixes everything.

    Returns:
        What finds strange rows.
    """
    whole = len(rows)
    generator = torch.Generator().manual_seed(hash_seed(seed, 1))
    if whole > MOST:
        rows = rows.take(torch.randperm(whole, generator=generator)[:MOST].sort().values)
    learnt = _trusted(rows, layout, trim, seed)
    kept = rows.take(learnt)
    space = Space.fit(kept, layout)
    twins = Twins.fit(rows, learnt, min(FOLDS, members))
    x = space(kept).replace(group=twins.find(kept).fold)
    members = -(-members // twins.folds) * twins.folds  # equally many for every fold
    denoising = Denoising.fit(
        space, x, members=members, folds=twins.folds, network=network, training=training, seed=seed
    )
    neighbours, place = Neighbours.fit(space, denoising.filled(x), x.observed, robust=trim > 0, seed=seed)
    evidence = TableEvidence(denoising, neighbours)
    return calibrated(evidence, twins.placed(kept, place), rows, layout, _notes(whole, len(rows), len(kept), trim))


def from_modules(models: Sequence[AutoencoderModule], rows: Rows, layout: Layout, twins: Twins) -> Detector:
    """A detector by trained models.

    Args:
        models: One model that saw none of ``rows``; or one for every fold of ``twins``, which saw none of that fold.
        rows: Rows to calibrate on.
        layout: What a row looks like.
        twins: Which rows were trained on.
    """
    evidence = Surprise.fit(models, rows, twins.find(rows))
    return calibrated(evidence, twins, rows, layout, [f"false-alarm rates are those of {len(rows):,} rows"])


def calibrated(evidence: Evidence, twins: Twins, rows: Rows, layout: Layout, notes: Sequence[str]) -> Detector:
    """A detector whose scores are calibrated on ``rows``."""
    singles = _singles(rows, layout) if len(twins.marks) and not layout.series else torch.empty(0, 2, dtype=torch.long)
    blank = torch.empty(0, dtype=torch.float64)
    made = Detector(evidence, twins, singles, math.log(len(rows) + 1), blank, tuple(notes))
    return replace(made, scores=made.judge(rows)[0].sum(1).sort().values)


def _trusted(rows: Rows, layout: Layout, trim: float, seed: int) -> Tensor:
    """Which rows to learn from ``(n,)``."""
    learnt = torch.ones(len(rows), dtype=torch.bool)
    count = min(math.floor(trim * len(rows)), len(rows) - 2)
    if count > 0:
        score = suspicion(Space.fit(rows, layout)(rows).values, hash_seed(seed, 2))
        learnt[score.argsort(stable=True)[len(rows) - count :]] = False
    return learnt


def _singles(rows: Rows, layout: Layout) -> Tensor:
    found, seen = [], seen_cells(rows)
    for column, kinds in enumerate(layout.categories or ()):
        if kinds:
            counts = torch.bincount(rows.values[seen[:, column], column].long(), minlength=kinds)
            found += [(column, int(index)) for index in torch.nonzero(counts == 1).flatten()]
    return torch.tensor(found, dtype=torch.long).reshape(-1, 2)


def _notes(whole: int, used: int, kept: int, trim: float) -> list[str]:
    notes = []
    if used < whole:
        notes.append(f"learnt from {used:,} of {whole:,} rows, chosen by chance")
    if trim:
        notes.append(
            f"assumed that most rows are normal and at most about {trim:.0%} are not: the {used - kept:,} most "
            "suspicious rows were set aside before learning; false-alarm rates count them as if they were normal, "
            "which errs on the side of fewer alarms. A small group of rows that are alike and right may be among "
            "them: trim=0.05 sets fewer aside, trim=0 none"
        )
    else:
        notes.append("assumed that all rows learnt from are normal")
    return notes
