"""Filling blanks: a straight line, networks that improve on it, and similar rows, weighed by hidden cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows._types import Layout, Rows
from narrows.models import AutoencoderModule
from narrows.networks import Dense, Network
from narrows.tasks._candidates import CPU, Candidates
from narrows.tasks._factors import Factors, fit_factors
from narrows.tasks._features import Features, seen_cells
from narrows.tasks._gaussian import Gaussian, fit_gaussian
from narrows.tasks._refine import masked_copies, train_refiner
from narrows.tasks._weigh import hidden_cells, hide_some, quantile, residuals, weigh
from narrows.tasks.inference import in_chunks
from narrows.training import Training
from narrows.training.seeds import hash_seed

SHRINK = (0.0, 0.01, 0.05)
REFERENCES = 5_000
WIDE = 256  # features above which the straight line knows what few factors explain, and no more
MOST_ROWS = 30_000  # to learn from
MOST_CELLS = 10_000_000  # features of rows to learn from, to train on, or to look for similar ones


@dataclass(frozen=True)
class Filler:
    """Fills blanks of rows in scaled units.

    Attributes:
        candidates: The ways to fill.
        weights: ``(columns, K)`` how much each counts.
        residuals: Per column how far off hidden cells were (`narrows.tasks._weigh.residuals`); empty for categories.
        held: How many cells were hidden to find them.
        notes: In words, what was done.
    """

    candidates: Candidates
    weights: Tensor
    residuals: tuple[Tensor, ...]
    held: int
    notes: list[str] = field(default_factory=list)

    def expect(self, rows: Rows) -> Tensor:
        """Expected values ``(B, columns)``: means of numbers, most likely indices of categories."""
        features = self.candidates.features

        def run(part: Rows) -> Tensor:
            return features.collapse(self.combine(self.candidates.fill(part))).unsqueeze(1)

        return self._blanks(rows, run, 1)[0]

    def combine(self, found: Tensor) -> Tensor:
        """Features ``(B, D)`` of what the candidates fill in ``(B, K, D)``."""
        features, marginal = self.candidates.features, self.candidates.marginal
        weight = self.weights[features.column].T
        # column by column the same order of additions, whatever the number of rows
        away = sum(weight[k] * (found[:, k] - marginal) for k in range(weight.shape[0]))
        return features.probabilities(marginal + away)

    def draw(self, rows: Rows, n: int, seed: int) -> list[Tensor]:
        """``n`` times values ``(B, columns)`` that the blanks may have had, together.

        Numbers that go together vary together, as the straight line says; how far they vary is what the errors of
        hidden cells were. A draw depends on the seed and on the place of its row among the rows with blanks.
        """
        generators = [torch.Generator().manual_seed(hash_seed(seed, i)) for i in range(n)]

        def run(part: Rows) -> Tensor:
            found, given = self.candidates.spread(part)
            centre = self.combine(found)
            return torch.stack([self._one(centre, given.deviation, given.noise, g) for g in generators], dim=1)

        return self._blanks(rows, run, n)

    def _one(
        self, centre: Tensor, deviation: Tensor, noise: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> Tensor:
        features = self.candidates.features
        rank = noise(torch.randn(centre.shape, generator=generator)) / deviation
        chance = torch.rand(len(centre), len(features.width), generator=generator)
        values = features.collapse(centre)
        for j in features.numbers:
            at = features.start[j]
            error = quantile(self.residuals[j], torch.special.ndtr(rank[:, at]), deviation[:, at])
            values[:, j] = centre[:, at] + error
        for j in features.categories:
            below = centre[:, features.of(j)].cumsum(1)
            index = (chance[:, [j]] * below[:, -1:] > below).sum(1)
            values[:, j] = index.clamp_max(features.width[j] - 1).to(values.dtype)
        return values

    def _blanks(self, rows: Rows, run: Callable[[Rows], Tensor], n: int) -> list[Tensor]:
        """``n`` tables of values ``(B, columns)``: ``run`` gives those of chunks of rows with blanks."""
        mask = seen_cells(rows)
        some = torch.nonzero(~mask.all(1)).flatten()
        if not len(some):
            return [rows.values] * n
        found = in_chunks(run, Rows(rows.values[some], mask[some]), self.candidates.chunk, CPU)
        result = []
        for i in range(n):
            values = rows.values.clone()
            values[some] = torch.where(mask[some], rows.values[some], found[:, i])
            result.append(values)
        return result


# --- learning --------------------------------------------------------------------------------------------------


def learn_filler(
    rows: Rows,
    layout: Layout,
    *,
    members: int = 2,
    network: Network | None = None,
    training: Training | None = None,
    seed: int = 0,
) -> Filler:
    """Learn to fill blanks from rows that have some themselves.

    A tenth of the observed cells is hidden first. From the rest a normal distribution is fitted, networks learn what it
    leaves over (on rows with further cells hidden at many rates), and similar rows are looked up. The hidden cells then
    say how much each counts, column by column, and how far off the filling is. Of very large tables 30,000 rows are
    learnt from.

    Args:
        rows: n rows.
        layout: What a row looks like.
        members: How many networks are averaged; 0 for none.
        network: Makes them.
        training: Settings of the loop.
        seed: Fixes everything.

    Returns:
        What fills.
    """
    features = Features(layout)
    budget = max(64, MOST_CELLS // len(features.column))
    given = len(rows)
    rows = _some(Rows(rows.values, seen_cells(rows)), min(MOST_ROWS, budget), hash_seed(seed, 4))
    shown, held = hide_some(rows, seed)
    candidates, shrink = _line(features, rows, shown, held, seed)
    if members:
        copies = masked_copies(shown, candidates.inputs, budget, seed)
        validation = _validation(candidates, rows, shown, held, budget)
        part = network or default_network()
        refiners = tuple(
            train_refiner(features, part, copies, validation, training, hash_seed(seed, 2, i)) for i in range(members)
        )
        candidates = replace(candidates, refiners=refiners)
    candidates = _with_known(candidates, shown, budget, seed)
    hidden = hidden_cells(candidates, rows, shown, held)
    weights = weigh(candidates, hidden)
    # the networks stay; the rest is learnt again from all that is observed
    x, seen = features.expand(rows)
    at, start = candidates.frequent, candidates.gaussian
    gaussian = _fit_line(x[:, at], seen[:, at], seed, start).shortened(shrink)
    final = replace(candidates, marginal=_marginal(x, seen), gaussian=gaussian)
    final = _with_known(final, rows, budget, seed)
    errors = residuals(candidates, weights, hidden)
    return Filler(final, weights, errors, int(held.sum()), _notes(final, weights, held, given))


def from_module(module: AutoencoderModule, rows: Rows, seed: int = 0) -> Filler:
    """Fill by a trained model, calibrated on cells of ``rows`` that are hidden from it.

    Args:
        module: A trained model, in evaluation mode.
        rows: Rows to calibrate by.
        seed: Fixes which cells are hidden.
    """
    features = Features(module.layout)
    rows = _some(Rows(rows.values, seen_cells(rows)), MOST_ROWS, hash_seed(seed, 4))
    shown, held = hide_some(rows, seed)
    marginal = _marginal(*features.expand(rows))
    nothing = Factors(marginal, torch.zeros(len(marginal), 0), torch.ones(len(marginal)))
    candidates = Candidates(features, marginal, nothing, torch.arange(len(marginal)), model=module)
    weights = torch.ones(len(features.width), 1)
    errors = residuals(candidates, weights, hidden_cells(candidates, rows, shown, held))
    return Filler(candidates, weights, errors, int(held.sum()), ["filled by the given model, pass after pass"])


def default_network() -> Network:
    """What refines when nothing else is asked for."""
    return Dense(widths=(128, 128), dropout=0.1)


def _some(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    return rows.take(torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most])


def _fit_line(x: Tensor, seen: Tensor, seed: int, start: Gaussian | Factors | None = None) -> Gaussian | Factors:
    if x.shape[1] <= WIDE:
        return fit_gaussian(x, seen, seed, start if isinstance(start, Gaussian) else None)
    return fit_factors(x, seen, seed, start if isinstance(start, Factors) else None)


def _line(features: Features, rows: Rows, shown: Rows, held: Tensor, seed: int) -> tuple[Candidates, float]:
    """The straight line whose correlations are shortened as hidden cells like best."""
    x, seen = features.expand(shown)
    marginal, frequent = _marginal(x, seen), features.frequent(x)
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:1000]
    truth, _ = features.expand(rows.take(some))
    judged = held[some][:, features.column]
    fitted = _fit_line(x[:, frequent], seen[:, frequent], seed)
    per_column = F.one_hot(features.column, len(features.width)).double()
    del x, seen

    def cost(shrink: float) -> float:
        # the normal likelihood with the best variance per column: all columns count alike, in whatever units
        line = Candidates(features, marginal, fitted.shortened(shrink), frequent).lines(shown.take(some))
        square = torch.where(judged, (features.probabilities(line) - truth).square(), 0).double().sum(0)
        cells = held[some].sum(0).double()
        return float((cells * ((square @ per_column) / cells.clamp_min(1) + 1e-9).log()).sum())

    best = min(SHRINK, key=cost)
    return Candidates(features, marginal, fitted.shortened(best), frequent), best


def _marginal(x: Tensor, seen: Tensor) -> Tensor:
    """Means and frequencies ``(D,)``."""
    # a column at a time: a copy of all in double would be large
    total = torch.stack([torch.where(seen[:, i], x[:, i], 0).double().sum() for i in range(x.shape[1])])
    return (total / seen.sum(0).clamp_min(1)).float()


def _with_known(candidates: Candidates, rows: Rows, budget: int, seed: int) -> Candidates:
    kept = _some(rows, min(REFERENCES, budget), hash_seed(seed, 3))
    return replace(candidates, known=(*candidates.features.expand(kept), candidates.lines(kept)))


def _validation(candidates: Candidates, rows: Rows, shown: Rows, held: Tensor, budget: int) -> Rows | None:
    some = torch.nonzero(held.any(1)).flatten()[: min(5_000, budget)]
    if len(some) < 2:
        return None
    inputs = candidates.inputs(shown.take(some))
    return Rows(inputs, target=rows.values[some], condition=held[some].float())


def _notes(candidates: Candidates, weights: Tensor, held: Tensor, given: int) -> list[str]:
    shares = ", ".join(f"{n} {float(w):.2f}" for n, w in zip(candidates.names, weights.mean(0), strict=True))
    notes = [f"{int(held.sum())} observed cells were hidden to weigh the ways to fill; mean weights: {shares}"]
    if len(held) < given:
        notes.append(f"learnt from {len(held):,} rows of {given:,}, chosen by chance")
    if isinstance(candidates.gaussian, Factors):
        q = candidates.gaussian.loadings.shape[1]
        notes.append(f"{len(candidates.frequent):,} features: of what they have in common {q} factors are known")
    return notes
