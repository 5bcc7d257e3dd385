"""Filling blanks: a straight line, networks that improve on it, and similar rows, weighed by hidden cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from narrows._types import Layout, Rows
from narrows.likelihoods.discrete import CategoricalDistribution
from narrows.likelihoods.mixed import MixedDistribution
from narrows.models import AutoencoderModule
from narrows.networks import Dense, Network
from narrows.tasks._features import Features
from narrows.tasks._gaussian import Gaussian, fit_gaussian
from narrows.tasks._refine import RefinerModule, masked_copies, train_refiner
from narrows.tasks.inference import in_chunks
from narrows.training import Training
from narrows.training.seeds import hash_seed

HELD = 0.1  # share of the observed cells that is hidden to weigh and to calibrate
SHRINK = (0.0, 0.01, 0.05)
CHUNK = 256
NEIGHBOURS, REFERENCES = 16, 5_000
PRIOR_CELLS = 8.0  # how many cells the belief counts that a column's weights are those of all columns
ENOUGH = 30  # cells without which a column's errors are taken from all columns
PASSES = 10  # through a given model, until what it fills in no longer changes
CPU = torch.device("cpu")


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


@dataclass(frozen=True)
class Candidates:
    """Ways to fill: each maps rows to features; learnt from rows alone.

    Attributes:
        features: Where columns lie among the features.
        marginal: ``(D,)`` means and frequencies.
        gaussian: The straight line, over the features ``frequent``.
        frequent: Features that take part in it.
        refiners: Networks that improve on it; none for few rows.
        known: ``(n, D)`` features of rows to look for similar ones, and which are observed.
        model: A given model, which is used instead of all these.
    """

    features: Features
    marginal: Tensor
    gaussian: Gaussian
    frequent: Tensor
    refiners: tuple[RefinerModule, ...] = ()
    known: tuple[Tensor, Tensor, Tensor] | None = None
    model: AutoencoderModule | None = None

    @property
    def names(self) -> list[str]:
        """What the candidates are called."""
        if self.model is not None:
            return ["model"]
        return [
            "straight line",
            *(["network"] if self.refiners else []),
            *(["similar rows", "matching rows"] if self.known else []),
        ]

    def line(self, x: Tensor, observed: Tensor, spread: bool = False) -> tuple[Tensor, Tensor]:
        """Filled features ``(B, D)`` and standard deviations ``(B, D)`` by the straight line."""
        at = self.frequent
        filled = torch.where(observed, x, self.marginal)
        deviation = (self.marginal * (1 - self.marginal)).clamp_min(1e-4).sqrt().repeat(len(x), 1)
        some, deviations = self.gaussian.expect(x[:, at], observed[:, at], spread)
        filled[:, at], deviation[:, at] = some, deviations
        return filled, deviation

    def inputs(self, rows: Rows) -> Tensor:
        """What refiners get: features, which columns are observed, and the straight line's filling."""

        def run(part: Rows) -> Tensor:
            x, observed = self.features.expand(part)
            return torch.cat([x, observed[:, self.features.first].to(x.dtype), self.line(x, observed)[0]], dim=1)

        return in_chunks(run, rows, CHUNK, CPU)

    def fill(self, rows: Rows, spread: bool = False) -> Tensor:
        """``(B, K + 1, D)``: what each of the K candidates fills in, and last the expected deviation."""

        def run(part: Rows) -> Tensor:
            x, observed = self.features.expand(part)
            if self.model is not None:
                filled = _iterate(self.model, part, self.features, self.marginal)
                return torch.stack([filled, torch.ones_like(filled)], dim=1)
            line, deviation = self.line(x, observed, spread)
            found = [line]
            if self.refiners:
                seen = observed[:, self.features.first].to(x.dtype)
                given = torch.cat([x, seen, line], dim=1)
                found.append(torch.stack([refiner(given) for refiner in self.refiners]).mean(0))
            if self.known is not None:
                found += [_similar(line, self.known), _matching(x, observed, line, self.known)]
            return torch.stack([*(self.features.probabilities(f) for f in found), deviation], dim=1)

        return in_chunks(run, rows, CHUNK, CPU)


def _similar(line: Tensor, known: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Means ``(B, D)`` of what the nearest known rows hold, rows compared after filling."""
    return _mean_of_nearest(torch.cdist(line, known[2]), line, known)


def _matching(x: Tensor, observed: Tensor, line: Tensor, known: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The same, rows compared by what is observed in both alone."""
    values, seen, _ = known
    m, n = observed.to(x.dtype), seen.to(x.dtype)
    squares = (x.square() @ n.T + m @ values.square().T - 2 * x @ values.T).clamp_min(0)
    common = m @ n.T
    distance = torch.where(common > 0, squares / common.clamp_min(1), torch.inf).sqrt()
    return _mean_of_nearest(distance.clamp_max(1e6), line, known)


def _mean_of_nearest(distance: Tensor, line: Tensor, known: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    values, seen, _ = known
    near, index = distance.topk(min(NEIGHBOURS, len(values)), dim=1, largest=False)
    # rows that are almost the same count for almost everything
    weight = (1 / (near.square() + 1e-4)).unsqueeze(2) * seen[index]
    total = weight.sum(1)
    return torch.where(total > 1e-9, (weight * values[index]).sum(1) / total.clamp_min(1e-9), line)


def _iterate(model: AutoencoderModule, rows: Rows, features: Features, marginal: Tensor) -> Tensor:
    """Fill by a given model: blanks are reconstructed from what was observed and filled in before."""
    mask = rows.mask()
    seen = torch.ones_like(rows.values, dtype=torch.bool) if mask is None else mask
    values = torch.where(seen, rows.values, features.collapse(marginal.expand(len(rows), -1)))
    blanks = any(model.layout.blanks)
    for step in range(PASSES):
        # a model that knows blanks is told of them at first; what it filled in counts as observed afterwards
        shown = Rows(values, seen) if blanks and step == 0 else Rows(values)
        x = model.decode(model.encode(shown))
        values = torch.where(seen, rows.values, x.mean)
    result = features.expand(Rows(values))[0]
    for group, members in _categorical(x):
        for place, j in enumerate(members):
            result[:, features.of(j)] = group.probabilities(place)
    return result


def _categorical(x: object) -> list[tuple[CategoricalDistribution, Sequence[int]]]:
    if isinstance(x, CategoricalDistribution):
        return [(x, range(len(x.segments.categories)))]
    pairs = zip(x.groups, x.members, strict=True) if isinstance(x, MixedDistribution) else ()
    return [(group, members) for group, members in pairs if isinstance(group, CategoricalDistribution)]


@dataclass(frozen=True)
class Filler:
    """Fills blanks of rows in scaled units.

    Attributes:
        candidates: The ways to fill.
        weights: ``(columns, K)`` how much each counts.
        residuals: Per column, sorted errors of hidden cells in units of the expected deviation; empty for categories.
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
        return _keep(rows, features.collapse(self.combine(self.candidates.fill(rows))))

    def combine(self, found: Tensor) -> Tensor:
        """Features ``(B, D)`` of what the candidates fill in ``(B, K + 1, D)``."""
        features, marginal = self.candidates.features, self.candidates.marginal
        weight = self.weights[features.column].T
        # column by column the same order of additions, whatever the number of rows
        away = sum(weight[k] * (found[:, k] - marginal) for k in range(weight.shape[0]))
        return features.probabilities(marginal + away)

    def draw(self, rows: Rows, n: int, seed: int) -> list[Tensor]:
        """``n`` times values ``(B, columns)`` that the blanks may have had, together.

        Numbers that go together vary together, as the straight line says; how far they vary is what the errors of
        hidden cells were.
        """
        candidates = self.candidates
        features = candidates.features
        found = candidates.fill(rows, spread=True)
        centre, deviation = self.combine(found), found[:, -1]
        return [self._one(rows, centre, deviation, hash_seed(seed, i), features) for i in range(n)]

    def _one(self, rows: Rows, centre: Tensor, deviation: Tensor, seed: int, features: Features) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        standard = torch.randn(centre.shape, generator=generator)
        chance = torch.rand(len(centre), len(features.width), generator=generator)
        rank = self._together(rows, standard, deviation)
        values = features.collapse(centre)
        for j in features.numbers:
            at = features.start[j]
            error = _quantile(self.residuals[j], torch.special.ndtr(rank[:, at]))
            values[:, j] = centre[:, at] + deviation[:, at] * error
        for j in features.categories:
            below = centre[:, features.of(j)].cumsum(1)
            index = (chance[:, [j]] * below[:, -1:] > below).sum(1)
            values[:, j] = index.clamp_max(features.width[j] - 1).to(values.dtype)
        return _keep(rows, values)

    def _together(self, rows: Rows, standard: Tensor, deviation: Tensor) -> Tensor:
        candidates = self.candidates
        if candidates.model is not None:
            return standard
        at = candidates.frequent

        def run(part: Rows) -> Tensor:
            _, observed = candidates.features.expand(part)
            assert part.condition is not None
            return candidates.gaussian.noise(observed[:, at], part.condition[:, at])

        noise = in_chunks(run, rows.replace(condition=standard), CHUNK, CPU)
        rank = standard.clone()
        rank[:, at] = noise / deviation[:, at]
        return rank


def _keep(rows: Rows, values: Tensor) -> Tensor:
    mask = rows.mask()
    return rows.values if mask is None else torch.where(mask, rows.values, values)


def _quantile(residuals: Tensor, level: Tensor) -> Tensor:
    """The residuals' quantiles at levels in [0, 1]: the i-th of n lies at i / (n + 1)."""
    n = len(residuals)
    place = (level * (n + 1) - 1).clamp(0, n - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(n - 1)
    return residuals[low] + (place - low) * (residuals[high] - residuals[low])


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
    say how much each counts, column by column, and how far off the filling is.

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
    observed = torch.ones_like(rows.values, dtype=torch.bool) if rows.observed is None else rows.observed
    held = hide(observed, HELD, hash_seed(seed, 1))
    shown = rows.replace(observed=observed & ~held, values=torch.where(held, 0, rows.values))
    features = Features(layout)
    candidates, shrink = _line(features, rows, shown, held, seed)
    if members:
        copies = masked_copies(shown, layout, candidates.inputs, seed)
        validation = _validation(candidates, rows, shown, held)
        part = network or default_network()
        refiners = tuple(
            train_refiner(features, part, copies, validation, training, hash_seed(seed, 2, i)) for i in range(members)
        )
        candidates = Candidates(features, candidates.marginal, candidates.gaussian, candidates.frequent, refiners)
    candidates = _with_known(candidates, shown, seed)
    weights, residuals = weigh(candidates, rows, shown, held)
    # the networks stay; the rest is learnt again from all that is observed
    x, seen = features.expand(rows)
    at, start = candidates.frequent, candidates.gaussian
    gaussian = fit_gaussian(x[:, at], seen[:, at], seed, None if start.diagonal else start).shortened(shrink)
    final = Candidates(features, _marginal(features, x, seen), gaussian, candidates.frequent, candidates.refiners)
    final = _with_known(final, rows, seed)
    return Filler(final, weights, residuals, int(held.sum()), _notes(final, weights, held))


def from_module(module: AutoencoderModule, rows: Rows, seed: int = 0) -> Filler:
    """Fill by a trained model, calibrated on cells of ``rows`` that are hidden from it.

    Args:
        module: A trained model, in evaluation mode.
        rows: Rows to calibrate by.
        seed: Fixes which cells are hidden.
    """
    features = Features(module.layout)
    observed = torch.ones_like(rows.values, dtype=torch.bool) if rows.observed is None else rows.observed
    held = hide(observed, HELD, hash_seed(seed, 1))
    shown = rows.replace(observed=observed & ~held, values=torch.where(held, 0, rows.values))
    x, seen = features.expand(rows)
    marginal = _marginal(features, x, seen)
    nothing = Gaussian(marginal, torch.eye(len(marginal)), diagonal=True)
    candidates = Candidates(features, marginal, nothing, torch.arange(len(marginal)), model=module)
    _, residuals = weigh(candidates, rows, shown, held)
    weights = torch.ones(len(features.width), 1)
    return Filler(candidates, weights, residuals, int(held.sum()), ["filled by the given model, pass after pass"])


def default_network() -> Network:
    """What refines when nothing else is asked for."""
    return Dense(widths=(128, 128), dropout=0.1)


def _line(features: Features, rows: Rows, shown: Rows, held: Tensor, seed: int) -> tuple[Candidates, float]:
    """The straight line whose correlations are shortened as hidden cells like best."""
    x, seen = features.expand(shown)
    marginal, frequent = _marginal(features, x, seen), features.frequent(x)
    truth, _ = features.expand(rows)
    judged = held[:, features.column]
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:1000]
    best: tuple[float, Candidates, float] | None = None
    fitted = fit_gaussian(x[:, frequent], seen[:, frequent], seed)
    for shrink in SHRINK:
        gaussian = fitted.shortened(shrink)
        candidates = Candidates(features, marginal, gaussian, frequent)
        error = candidates.fill(shown.take(some))[:, 0] - truth[some]
        value = float(torch.where(judged[some], error.square(), 0).sum())
        if best is None or value < best[0]:
            best = value, candidates, shrink
        if gaussian.diagonal:
            break
    assert best is not None
    return best[1], best[2]


def _marginal(features: Features, x: Tensor, seen: Tensor) -> Tensor:
    return torch.where(seen, x, 0).double().sum(0).div(seen.sum(0).clamp_min(1)).float()


def _with_known(candidates: Candidates, rows: Rows, seed: int) -> Candidates:
    index = torch.randperm(len(rows), generator=torch.Generator().manual_seed(hash_seed(seed, 3)))[:REFERENCES]
    kept = rows.take(index)
    x, seen = candidates.features.expand(kept)
    filled = in_chunks(lambda part: candidates.line(*candidates.features.expand(part))[0], kept, CHUNK, CPU)
    known = (x, seen, filled)
    old = candidates
    return Candidates(old.features, old.marginal, old.gaussian, old.frequent, old.refiners, known)


def _validation(candidates: Candidates, rows: Rows, shown: Rows, held: Tensor) -> Rows | None:
    some = torch.nonzero(held.any(1)).flatten()[:5_000]
    if len(some) < 2:
        return None
    part = shown.take(some)
    return Rows(candidates.inputs(part), target=rows.values[some], condition=held[some].float())


def weigh(candidates: Candidates, rows: Rows, shown: Rows, held: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """How much each candidate counts and how far off their mixture is, by hidden cells.

    Per column the weights w ≥ 0 minimise ‖y − A w‖² + τ ‖w − w₀‖² over its hidden cells, y and A being true and filled
    values less the column's mean, w₀ the weights of all columns together and τ as heavy as 8 cells.

    Args:
        candidates: The ways to fill.
        rows: The true rows.
        shown: The rows with cells hidden.
        held: ``(n, columns)`` which are hidden.

    Returns:
        ``(columns, K)`` weights, and sorted errors per column in units of the expected deviation.
    """
    features = candidates.features
    found, (truth, _) = candidates.fill(shown, spread=True), features.expand(rows)
    k = found.shape[1] - 1
    pairs = []
    for j in range(len(features.width)):
        at, part = held[:, j], features.of(j)
        a = (found[at][:, :-1, part] - candidates.marginal[part]).transpose(1, 2).reshape(-1, k)
        pairs.append((a.double().numpy(), (truth[at][:, part] - candidates.marginal[part]).flatten().double().numpy()))
    start = np.full(k, 1 / k)
    shared = {
        kind: _nnls(np.concatenate([pairs[j][0] for j in of]), np.concatenate([pairs[j][1] for j in of]), start)
        for kind, of in (("numbers", features.numbers), ("categories", features.categories))
        if of
    }
    rows_of = [
        _nnls(*pairs[j], shared["numbers" if j in features.numbers else "categories"]) for j in range(len(pairs))
    ]
    weights = torch.tensor(np.array(rows_of), dtype=torch.float32)
    filler = Filler(candidates, weights if candidates.model is None else torch.ones(len(pairs), 1), (), 0)
    centre = filler.combine(found)
    scaled = (truth - centre) / found[:, -1].clamp_min(1e-6)
    errors = [scaled[held[:, j], features.start[j]].sort().values for j in range(len(pairs))]
    return weights, _residuals(features, errors)


def _residuals(features: Features, errors: list[Tensor]) -> tuple[Tensor, ...]:
    every = torch.cat([errors[j] for j in features.numbers]).sort().values if features.numbers else torch.empty(0)
    if len(every) < ENOUGH:
        level = (torch.arange(199) + 1) / 200
        every = torch.cat([every, torch.special.ndtri(level)]).sort().values
    return tuple(
        torch.empty(0) if j in features.categories else (e if len(e) >= ENOUGH else every) for j, e in enumerate(errors)
    )


def _nnls(a: np.ndarray, y: np.ndarray, towards: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls

    if len(a) == 0 or not (np.isfinite(a).all() and np.isfinite(y).all()):
        return towards
    pull = math.sqrt(PRIOR_CELLS * max(float((a**2).mean()), 1e-8))
    matrix = np.concatenate([a, pull * np.eye(a.shape[1])])
    return np.asarray(nnls(matrix, np.concatenate([y, pull * towards]))[0])


def _notes(candidates: Candidates, weights: Tensor, held: Tensor) -> list[str]:
    shares = ", ".join(f"{n} {float(w):.2f}" for n, w in zip(candidates.names, weights.mean(0), strict=True))
    return [f"{int(held.sum())} observed cells were hidden to weigh the ways to fill; mean weights: {shares}"]
