"""What hidden cells say: how much each way to fill counts, and how far off their mixture is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._types import Rows
from narrows.tasks._candidates import Candidates
from narrows.tasks._features import seen_cells
from narrows.training.seeds import hash_seed

HELD = 0.1  # share of the observed cells that is hidden to weigh and to calibrate
FEW_CELLS = 8.0  # how many cells the belief counts that all candidates are equally good
PRIOR_CELLS = 128.0  # how many cells the belief counts that a column's weights are those of all columns
SMOOTH = 0.35  # how far apart, in log σ, cells still speak for each other
MOST_ERRORS = 3_000  # of a column that are kept
ENOUGH = 30  # cells without which blanks and hidden cells are not told apart
MOST_ODDS = 10.0
SHAPE_CELLS = 32.0  # how many cells the belief counts that errors of a column are shaped as those of all
LEVELS = 99

Floats = NDArray[np.float64]


def hide(observed: Tensor, share: float, seed: int) -> Tensor:
    """Which observed cells to hide, ``(n, columns)``: a share of every column's, never its last ones.

    Args:
        observed: ``(n, columns)`` boolean.
        share: Of the observed cells.
        seed: Fixes the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(observed.shape, generator=generator).masked_fill(~observed, 2.0)
    count = observed.sum(0)
    hidden = torch.minimum((share * count).round(), (count - 2).clamp_min(0)).long()
    return (chance.argsort(0).argsort(0) < hidden) & observed


def hide_some(rows: Rows, seed: int) -> tuple[Rows, Tensor]:
    """Rows with a tenth of their observed cells hidden, and which these are."""
    observed = seen_cells(rows)
    held = hide(observed, HELD, hash_seed(seed, 1))
    return Rows(torch.where(held, 0, rows.values), observed & ~held), held


@dataclass(frozen=True)
class Hidden:
    """The hidden cells of one column, c of them with w features each.

    Attributes:
        found: ``(c, K, w)`` what the candidates fill in.
        truth: ``(c, w)`` what was there.
        deviation: ``(c, w)`` how far off the straight line says that it may be.
        weight: ``(c,)`` how much more often blanks are like this cell than hidden cells are.
    """

    found: Tensor
    truth: Tensor
    deviation: Tensor
    weight: Tensor


def hidden_cells(candidates: Candidates, rows: Rows, shown: Rows, held: Tensor) -> list[Hidden]:
    """The hidden cells of every column.

    Args:
        candidates: The ways to fill.
        rows: The true rows.
        shown: The rows with cells hidden.
        held: ``(n, columns)`` which are hidden.
    """
    features, width = candidates.features, len(candidates.features.width)
    cells: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in range(width)]
    blanks: list[list[Tensor]] = [[] for _ in range(width)]
    with torch.inference_mode():
        for index in torch.split(torch.nonzero(held.any(1)).flatten(), candidates.chunk):
            found, given = candidates.spread(shown.take(index))
            truth, _ = features.expand(rows.take(index))
            blank = ~seen_cells(rows.take(index))
            for j in range(width):
                at, of = held[index, j], features.of(j)
                cells[j].append((found[at][:, :, of], truth[at][:, of], given.deviation[at][:, of]))
                blanks[j].append(_alike(found[blank[:, j]][:, :, of], given.deviation[blank[:, j]][:, of]))
    result = []
    for j in range(width):
        if not cells[j]:
            nothing = torch.empty(0, 1)
            result.append(Hidden(torch.empty(0, len(candidates.names), 1), nothing, nothing, nothing[:, 0]))
            continue
        found, truth, deviation = (torch.cat(x) for x in zip(*cells[j], strict=True))
        weight = torch.ones(len(truth))
        if j in features.numbers:
            weight = _odds(_alike(found, deviation), torch.cat(blanks[j]))
        result.append(Hidden(found, truth, deviation, weight))
    return result


def _alike(found: Tensor, deviation: Tensor) -> Tensor:
    """What errors of numbers depend on most, ``(c, 3)``: what is expected, how far from the mean, how sure."""
    expected = found[:, 0, 0]
    return torch.stack([expected, expected.abs(), deviation[:, 0].log()], dim=1)


def _odds(hidden: Tensor, blank: Tensor) -> Tensor:
    """How much more often blanks are like each hidden cell than hidden cells are ``(c,)``, by logistic regression.

    Where blanks depend on what is observed, hidden cells, which chance chose, lie elsewhere; with these weights they
    speak for blanks (Tibshirani et al.: Conformal Prediction Under Covariate Shift, 2019,
    https://arxiv.org/abs/1904.06019).
    """
    if min(len(hidden), len(blank)) < ENOUGH:
        return torch.ones(len(hidden))
    from sklearn.linear_model import LogisticRegression

    x = torch.cat([hidden, blank])
    standard = ((x - x.mean(0)) / x.std(0).clamp_min(1e-6)).double().numpy()
    model = LogisticRegression().fit(standard, np.arange(len(x)) >= len(hidden))
    odds = np.exp(model.decision_function(standard[: len(hidden)]))
    return torch.from_numpy(np.minimum(odds / odds.mean(), MOST_ODDS)).float()


def weigh(candidates: Candidates, hidden: list[Hidden]) -> Tensor:
    """How much each candidate counts, ``(columns, K)``.

    Per column the weights minimise ‖y − A w‖² + τ ‖w − w₀‖² with w ≥ 0 and Σ w ≤ 1 over its hidden cells, y and A
    being true and filled values less the column's mean (which takes what is left of 1), w₀ the weights of all columns
    together, each column counting alike. τ is as heavy as 128 cells, and more for columns with heavy tails, by their
    kurtosis: there a few cells make up the squared error, and weights that suit those suit no others.

    Args:
        candidates: The ways to fill.
        hidden: The hidden cells of every column.
    """
    features, k = candidates.features, len(candidates.names)
    result = torch.full((len(features.width), k), 1 / k)
    for of in (features.numbers, features.categories):
        pairs = {j: _pair(candidates, hidden[j], j) for j in of if len(hidden[j].truth)}
        if not pairs:
            continue
        units = {j: float(np.sqrt(max((y**2).sum(), 1e-12))) for j, (_, y) in pairs.items()}
        a = np.concatenate([a / units[j] for j, (a, _) in pairs.items()])
        y = np.concatenate([y / units[j] for j, (_, y) in pairs.items()])
        shared = _convex(a, y, np.full(k, 1 / k), FEW_CELLS)
        for j in of:
            heavy = _heaviness(pairs[j][1]) if j in pairs and j in features.numbers else 1.0
            weights = _convex(*pairs[j], shared, PRIOR_CELLS * heavy) if j in pairs else shared
            result[j] = torch.from_numpy(weights)
    return result


def _pair(candidates: Candidates, hidden: Hidden, j: int) -> tuple[Floats, Floats]:
    marginal = candidates.marginal[candidates.features.of(j)]
    a = (hidden.found - marginal).transpose(1, 2).flatten(0, 1)
    return a.double().numpy(), (hidden.truth - marginal).flatten().double().numpy()


def _heaviness(y: Floats) -> float:
    """Kurtosis in units of a normal's, at least 1."""
    square = float((y**2).mean())
    return max(1.0, float((y**4).mean()) / (3 * square**2)) if square > 1e-12 else 1.0


def _convex(a: Floats, y: Floats, towards: Floats, cells: float) -> Floats:
    """The w ≥ 0 with Σ w ≤ 1 that minimises ‖y − a w‖² + τ ‖w − towards‖², τ as heavy as ``cells``."""
    from scipy.optimize import nnls

    if not (np.isfinite(a).all() and np.isfinite(y).all()):
        return towards
    k = len(towards)
    pull = np.sqrt(cells * max(float((a**2).mean()), 1e-8))
    firm = 1e3 * np.sqrt(float((a**2).sum()) + pull**2)  # what is left of 1 is one weight more, and all add up to 1
    matrix = np.zeros((len(a) + k + 2, k + 1))
    matrix[: len(a), :k] = a
    matrix[len(a) : -1] = pull * np.eye(k + 1)
    matrix[-1] = firm
    goal = np.concatenate([y, pull * towards, [pull * (1 - towards.sum()), firm]])
    return np.asarray(nnls(matrix, goal)[0][:k])


def residuals(candidates: Candidates, weights: Tensor, hidden: list[Hidden]) -> tuple[Tensor, ...]:
    """How far off the mixture is, by column; empty for categories.

    Errors are taken in units of the straight line's deviation σ, times how far off that is where it is like σ:
    r² (σ) = (Σ k (e / σ)² + 8) / (Σ k + 8) over hidden cells, k falling with the distance of log σ. Cells that are
    known well need not be off by as much of their σ as cells that little is known of.

    Args:
        candidates: The ways to fill.
        weights: ``(columns, K)`` how much each counts.
        hidden: The hidden cells of every column.

    Returns:
        Per column ``(3, c)``: sorted errors in units of r σ, evenly spaced log σ, and log r there.
    """
    features = candidates.features
    found, counts = {}, {}
    for j in features.numbers:
        cells, mean = hidden[j], candidates.marginal[features.start[j]]
        centre = mean + (cells.found[:, :, 0] - mean) @ weights[j]
        error, log = (cells.truth[:, 0] - centre) / cells.deviation[:, 0], cells.deviation[:, 0].log()
        error, log, weight = error[:MOST_ERRORS], log[:MOST_ERRORS], cells.weight[:MOST_ERRORS]
        found[j] = _in_units(error, log, weight)
        counts[j] = weight
    normal = torch.special.ndtri(_levels(LEVELS))
    pooled = torch.cat([*(error for error, _ in found.values()), torch.empty(0)])
    every = _towards(pooled, torch.cat([*counts.values(), torch.empty(0)]), normal)
    result = [torch.empty(0) for _ in features.width]
    for j, (error, curve) in found.items():
        shape = _towards(error, counts[j], every)
        result[j] = torch.stack([shape, *curve])
    return tuple(result)


def _levels(n: int) -> Tensor:
    return (torch.arange(n) + 1) / (n + 1)


def _at_levels(ordered: Tensor, level: Tensor) -> Tensor:
    """Quantiles of n ordered errors, of which the i-th lies at level i / (n + 1)."""
    n = len(ordered)
    place = (level * (n + 1) - 1).clamp(0, n - 1)
    low = place.floor().long()
    return ordered[low] + (place - low) * (ordered[(low + 1).clamp_max(n - 1)] - ordered[low])


def _towards(errors: Tensor, weight: Tensor, prior: Tensor) -> Tensor:
    """Errors in order, each quantile drawn towards that of the prior, which counts as many cells as SHAPE_CELLS."""
    n = len(errors)
    level = _levels(max(n, LEVELS))
    if n == 0:
        return _at_levels(prior, level)
    order = errors.argsort()
    errors, weight = errors[order].double(), weight[order].double()
    # with equal weights the i-th of n lies at i / (n + 1)
    place = ((weight.cumsum(0) - weight / 2) / weight.sum() * n + 0.5) / (n + 1)
    own = torch.from_numpy(np.interp(level.numpy(), place.numpy(), errors.numpy())).float()
    cells = float(weight.sum().square() / weight.square().sum())
    return (cells * own + SHAPE_CELLS * _at_levels(prior, level)) / (cells + SHAPE_CELLS)


def _in_units(error: Tensor, log: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Errors in units of r, and the curve of log r over log σ, which ends at 0 where no cell was hidden."""
    if not len(log):
        return error, (torch.linspace(-1, 1, LEVELS), torch.zeros(LEVELS))
    grid = torch.linspace(float(log.min()) - 4 * SMOOTH, float(log.max()) + 4 * SMOOTH, max(len(log), LEVELS))
    near = weight * torch.exp(-0.5 * ((grid.unsqueeze(1) - log) / SMOOTH).square())
    ratio = ((near @ error.square() + FEW_CELLS) / (near.sum(1) + FEW_CELLS)).log() / 2
    return error / _on_curve(grid, ratio, log).exp(), (grid, ratio)


def _on_curve(grid: Tensor, values: Tensor, at: Tensor) -> Tensor:
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    place = ((at - grid[0]) / step).clamp(0, len(grid) - 1)
    low = place.floor().long().clamp_max(len(grid) - 2)
    return values[low] + (place - low) * (values[low + 1] - values[low])


def quantile(residuals: Tensor, level: Tensor, deviation: Tensor) -> Tensor:
    """Errors at levels in [0, 1] of cells whose expected deviation is given; all ``(B,)``."""
    errors, grid, ratio = residuals
    return deviation * _on_curve(grid, ratio, deviation.log()).exp() * _at_levels(errors, level)
