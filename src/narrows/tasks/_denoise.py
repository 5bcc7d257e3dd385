"""What denoisers say of a row: how far from every cell lies what the others lead to expect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from narrows._types import Rows
from narrows.models import DenoiserModule, DenoiseStep, StackedModule
from narrows.networks import Network, Residual
from narrows.tasks._space import Space
from narrows.tasks.inference import in_chunks
from narrows.training import Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded

SIGMAS = (0.1, 0.25, 0.5)
REACH = 20.0  # standard deviations beyond which networks see no difference
FLOOR = 0.05**2  # a column that is always reconstructed better than this is taken to be off by this much
SOFT = 0.1  # keeps the logarithm of a perfect reconstruction from saying too much
BATCH, STEPS, ROWS = 160, 500, 3_000
CHUNK = 512
LOOKED_AT = 2_000  # training rows that say how much members differ
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Denoising:
    r"""Evidence of denoisers: M networks in F folds; member m never saw the training rows of fold m modulo F.

    For $\sigma$ = 0.1, 0.25, 0.5 and both the row as it is and the row with noise (one fixed draw e per member, as
    $\pm \sigma e$), $R_j$ is the squared error of column j, averaged over a fold's members, $\bar R_j$ its mean over
    training rows, and $t_j = \ln(R_j / (\bar R_j + c) + 0.1)$, averaged over the folds that may judge the row. The
    terms of a view are centred column by column and fold by fold (some members are better than others), and divided by
    the standard deviation of their sum over training rows; the evidence is the mean of the six views, scaled once more
    to standard deviation 1.

    Training rows are judged by the m = M / F members of one fold, new rows by all M, which is less noisy: if members of
    a fold differ by the variance v about a row, the variance of the evidence is not 1 but $1 - v (1/m - 1/M)$. New
    rows' evidence is divided by its root, so that as many of them lie beyond a score as of the training rows.

    Attributes:
        space: Rows to features.
        members: The networks as one.
        folds: F.
        noise: ``(M, 1, D)`` e.
        level: ``(6, columns)`` mean squared errors of training rows.
        centre: ``(F, 6, columns)`` means of the terms of every fold's own rows.
        scale: ``(6,)`` what the terms of a view are divided by.
        calm: What the evidence of new rows is divided by, at most 1.
    """

    space: Space
    members: StackedModule
    folds: int
    noise: Tensor
    level: Tensor
    centre: Tensor
    scale: Tensor
    calm: float = 1.0

    @classmethod
    def fit(
        cls,
        space: Space,
        rows: Rows,
        *,
        members: int,
        folds: int,
        network: Network | None,
        training: Training | None,
        seed: int,
    ) -> Self:
        """Train on rows of features whose ``group`` is their fold.

        Args:
            space: What the rows lie in.
            rows: n rows of features.
            members: M, a multiple of ``folds``.
            folds: F.
            network: Makes the networks; None: two layers of 128 with shortcuts.
            training: Settings of the loop; None: those that suit.
            seed: Fixes weights, order and noise.
        """
        stacked = train_denoisers(space, rows, members, folds, network, training, seed)
        generator = torch.Generator().manual_seed(hash_seed(seed, 23))
        noise = torch.randn(members, 1, len(space.centre), generator=generator)
        columns = len(space.features.width)
        nothing = torch.zeros(2 * len(SIGMAS), columns)
        raw = cls(space, stacked, folds, noise, nothing, nothing.expand(folds, -1, -1), torch.ones(len(nothing)))
        return raw._calibrated(rows)

    def _calibrated(self, rows: Rows) -> Self:
        assert rows.group is not None
        made = replace(self, level=self._mean(self._views(rows, torch.clone), rows))
        logs = made._views(rows, made._logarithm)
        # a fold without a cell of some column takes the mean of all
        whole, of = made._mean(logs, rows), [rows.group == k for k in range(self.folds)]
        made = replace(made, centre=torch.stack([made._mean(logs[at], rows.take(at), whole) for at in of]))
        views = torch.where(self._known(rows).unsqueeze(1), logs - made.centre[rows.group], 0).sum(2)
        scale = _spread(views)
        made = replace(made, scale=scale * _spread((views / scale).mean(1, keepdim=True)) * len(scale))
        return replace(made, calm=made._calm(rows.take(slice(None, None, math.ceil(len(rows) / LOOKED_AT)))))

    def _calm(self, rows: Rows) -> float:
        many, few = self.members.size, self.members.size // self.folds
        if few < 2 or len(rows) < 2 * self.folds:
            return 1.0

        def run(part: Rows) -> Tensor:
            x, known, _ = self._prepared(part)
            terms = self._logarithm(self._errors(x, known)) / self.scale.unsqueeze(1)
            return torch.where(self._known(part), terms.sum(2), 0).sum(2).T

        sums = in_chunks(run, rows, CHUNK, CPU).double().reshape(len(rows), few, self.folds)
        apart = 0.0
        for k in range(self.folds):
            own = sums[rows.group == k][:, :, k]
            apart += float((own - own.mean(0)).var(1).sum()) / len(rows)
        return math.sqrt(max(0.25, 1 - apart * (1 / few - 1 / many)))

    def terms(self, rows: Rows) -> Tensor:
        """What every cell adds ``(B, columns)``; the sums over training rows have mean 0, deviation 1.

        Blanks add nothing, and nor do columns that were constant: there is nothing to expect of them.

        Args:
            rows: Rows of features; ``group`` is the fold of training rows, and −1 (or None) says that a row is new.
        """
        centred = self._views(rows, lambda errors: self._logarithm(errors) - self.centre.unsqueeze(1))
        found = (centred / self.scale.unsqueeze(1)).sum(1)
        new = torch.ones(len(rows), dtype=torch.bool) if rows.group is None else rows.group < 0
        return torch.where(self._known(rows), found, 0) / torch.where(new, self.calm, 1.0).unsqueeze(1)

    def _known(self, rows: Rows) -> Tensor:
        varies = self.space.varies().expand(len(rows), -1)
        return varies if rows.observed is None else varies & rows.observed[:, self.space.features.first]

    def _mean(self, terms: Tensor, rows: Rows, instead: Tensor | None = None) -> Tensor:
        known = self._known(rows).unsqueeze(1)
        count = known.sum(0)
        mean = torch.where(known, terms, 0).double().sum(0).div(count.clamp_min(1)).float()
        return mean if instead is None else torch.where(count > 0, mean, instead)

    def _logarithm(self, errors: Tensor) -> Tensor:
        return torch.log(errors / (self.level + FLOOR) + SOFT)

    def _views(self, rows: Rows, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of the squared errors of every fold's members ``(F, B, columns)``, averaged over the folds.

        Averaging before the function would judge new rows by more members than training rows, and its curvature would
        set the two apart.

        Returns:
            ``(B, 6, columns)``.
        """

        def run(part: Rows) -> Tensor:
            x, known, judges = self._prepared(part)
            found = self._by_fold(self._errors(x, known))
            return (function(found) * judges[:, :, None, None]).sum(0)

        return in_chunks(run, rows, CHUNK, CPU)

    def _errors(self, x: Tensor, known: Tensor) -> Tensor:
        """Squared errors ``(M, B, 6, columns)`` of every member in every view."""
        found = [self._error(x, x, known, sigma) for sigma in SIGMAS]
        for sigma in SIGMAS:
            pair = [self._error(x, x + sign * sigma * self.noise, known, sigma) for sign in (1, -1)]
            found.append((pair[0] + pair[1]) / 2)
        return torch.stack(found, dim=2)

    def _prepared(self, part: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Features within reach, which are known, and how much every fold's members count ``(F, B)``."""
        x = part.values.clamp(-REACH, REACH)
        known = torch.ones_like(x, dtype=torch.bool) if part.observed is None else part.observed
        group = torch.full((len(part),), -1) if part.group is None else part.group
        judges = ((group < 0) | (group == torch.arange(self.folds).unsqueeze(1))).to(x.dtype)
        return x, known, judges / judges.sum(0)

    def _estimate(self, z: Tensor, known: Tensor, sigma: float) -> Tensor:
        """What every member makes of rows ``(M, B, D)``."""
        members = self.members.size
        level = torch.full((members, known.shape[-2], 1), math.log(sigma))
        return self.members(z.expand(members, -1, -1), known.expand(members, -1, -1), level)

    def _by_fold(self, found: Tensor) -> Tensor:
        """Means ``(F, B, …)`` over the members of every fold: of M members, m belongs to fold m modulo F."""
        return found.reshape(-1, self.folds, *found.shape[1:]).mean(0)

    def _error(self, x: Tensor, z: Tensor, known: Tensor, sigma: float) -> Tensor:
        return self.space.by_column((self._estimate(z, known, sigma) - x).square() * known)

    def _guess(self, x: Tensor, known: Tensor, judges: Tensor) -> Tensor:
        return (self._by_fold(self._estimate(x, known, SIGMAS[0])) * judges.unsqueeze(2)).sum(0)

    def filled(self, rows: Rows) -> Tensor:
        """The features ``(B, D)`` with blanks replaced by what the members expect of them."""
        if rows.observed is None:
            return rows.values

        def run(part: Rows) -> Tensor:
            x, known, judges = self._prepared(part)
            return torch.where(known, part.values, self._guess(x, known, judges))

        return in_chunks(run, rows, CHUNK, CPU)

    def expected(self, rows: Rows) -> Tensor:
        """Features ``(B, D)`` that the members expect of every column, shown all the others and not itself."""
        column = self.space.features.column

        def run(part: Rows) -> Tensor:
            x, known, judges = self._prepared(part)
            result = torch.empty_like(x)
            for j in range(len(self.space.features.width)):
                at = column == j
                result[:, at] = self._guess(x, known & ~at, judges)[:, at]
            return result

        return in_chunks(run, rows, CHUNK, CPU)


def _spread(sums: Tensor) -> Tensor:
    """Standard deviations ``(V,)`` of sums ``(n, V)``, never 0."""
    return sums.double().std(0, correction=0).clamp_min(1e-6).float()


def default_network() -> Network:
    """What denoises when nothing else is asked for."""
    return Residual(width=128, depth=2)


def plan(training: Training | None, rows: int) -> Training:
    """The settings asked for, or those that suit ``rows`` rows: 500 steps, and more for many rows, at most 2,000."""
    if training is not None:
        return training
    steps = STEPS * min(4.0, max(1.0, (rows / ROWS) ** 0.5))
    epochs = math.ceil(steps / max(1, rows // min(BATCH, rows)))
    return Training(
        epochs=epochs, batch_size=BATCH, learning_rate=2e-3, optimiser="adamw", weight_decay=1e-4, validation=0.0
    )


def train_denoisers(
    space: Space,
    rows: Rows,
    members: int,
    folds: int,
    network: Network | None,
    training: Training | None,
    seed: int,
) -> StackedModule:
    """Denoisers of rows of features, trained side by side.

    Args:
        space: What the rows lie in.
        rows: n rows of features; their ``group`` is their fold.
        members: How many.
        folds: Member m never sees the rows whose ``group`` is m modulo ``folds``.
        network: Makes the maps.
        training: Settings of the loop.
        seed: Fixes weights, order and noise.
    """
    part = network or default_network()
    with seeded(hash_seed(seed, 21)):
        stacked = StackedModule([DenoiserModule(len(space.centre), part) for _ in range(members)])
    step = DenoiseStep(stacked, members, space.features.column, folds)
    clipped = rows.replace(values=rows.values.clamp(-REACH, REACH))
    settings = plan(training, len(rows))
    Loop(step, [Player(step, trainable(step))], settings, hash_seed(seed, 22), words="detect").fit(clipped)
    return stacked.eval().cpu()
