"""What the nearest training rows say of a row: how far off they are, for the part of the space that it lies in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from narrows.tasks._space import Space
from narrows.training.seeds import hash_seed

REFERENCES = 20_000
CLOSE, AROUND = 2, 10  # nearest rows whose distance counts, and those that say how far is usual here
GAP = 5
CHUNK = 4_096


@dataclass(frozen=True)
class Neighbours:
    r"""Evidence of distances in the space of features.

    With $d_1 \le d_2 \le \dots$ the distances to reference rows (a reference row is none of its own), $g$ the median
    over reference rows of the mean of $d_1, \dots, d_5$ plus $0.1 \sqrt{D}$, $a = \ln((d_1 + d_2) / 2 + g / 100)$,
    $\bar a$ the mean of $a$ over the 10 nearest reference rows and $r \ge 0$ the correlation of the two over reference
    rows, the evidence is $a - r \bar a$, standardised over reference rows: where the density says little of
    a row's own distance, distances count as they are, where it says much, those beyond what is usual there do.

    Where reference rows may be strange themselves (``robust``), $a = \ln(d_5 + g / 100)$ and r = 0: a few strange rows
    close together must not vouch for each other.

    Every column adds its share of the squared distance to the rows that count.

    Attributes:
        space: Rows to features.
        references: ``(R, D)`` features of reference rows, blanks filled.
        usual: ``(R,)`` a of every reference row.
        gap: g.
        robust: Whether reference rows may be strange themselves.
        correlation: r.
        centre: Mean of the evidence over reference rows.
        scale: Its standard deviation.
    """

    space: Space
    references: Tensor
    usual: Tensor
    gap: float
    robust: bool
    correlation: float = 0.0
    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(
        cls, space: Space, x: Tensor, known: Tensor | None = None, *, robust: bool, seed: int
    ) -> tuple[Self, Tensor]:
        """Take (at most 20,000) reference rows of features ``(n, D)``.

        Args:
            space: What they lie in.
            x: ``(n, D)`` features, blanks filled.
            known: ``(n, D)`` false where a blank was filled; None when nothing was.
            robust: Whether some of them may be strange themselves.
            seed: Fixes which are taken.

        Returns:
            The evidence, and the place of every row among the references ``(n,)``, −1 for those that are none.
        """
        n = len(x)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(hash_seed(seed, 31)))
        chosen = order[:REFERENCES].sort().values
        place = torch.full((n,), -1).index_put((chosen,), torch.arange(len(chosen)))
        made = cls(space, x[chosen], torch.zeros(len(chosen)), 0.0, robust)
        seen = None if known is None else known[chosen]
        distance, index = made.nearest(made.references, torch.arange(len(chosen)), seen)
        made = replace(made, gap=float(distance[:, :GAP].mean(1).median()) + 0.1 * x.shape[1] ** 0.5)
        made = replace(made, usual=made._logarithm(distance).float())
        if not robust:
            around = made.usual[index].double().mean(1)
            made = replace(made, correlation=max(0.0, _correlation(made.usual.double(), around)))
        evidence = made._evidence(distance, index)
        scale = max(float(evidence.std(correction=0)), 1e-6)
        return replace(made, centre=float(evidence.mean()), scale=scale), place

    @cached_property
    def _search(self) -> Any:
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors().fit(self.references.numpy())

    def nearest(self, x: Tensor, own: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distances and places of the nearest reference rows, ``(B, k)`` each, nearest first.

        Rows are looked up with their blanks filled, but how far they are is measured in the observed columns alone, and
        brought to the size of all: what was filled in lies nowhere in particular.

        Args:
            x: ``(B, D)`` features, blanks filled.
            own: ``(B,)`` the place of each row among the references, which is left out; −1 for other rows.
            known: ``(B, D)`` false where a blank was filled; None when nothing was.
        """
        k = min(AROUND, len(self.references) - 1)
        found = self._search.kneighbors(x.numpy(), k + 1, return_distance=False)
        index = torch.from_numpy(np.asarray(found, dtype=np.int64))
        # measured again one by one: the search's matrix products round differently with other rows beside them
        parts = [self._squares(x, index, known, i).sum(2) for i in range(0, len(x), CHUNK)]
        distance = (torch.cat(parts) * self._scale(x, known)).sqrt()
        distance = torch.where(index == own.unsqueeze(1), torch.inf, distance)
        distance, order = distance.sort(dim=1, stable=True)
        return distance[:, :k], index.gather(1, order)[:, :k]

    def _squares(self, x: Tensor, index: Tensor, known: Tensor | None, start: int) -> Tensor:
        """Squared differences ``(b, k, D)`` of some rows from reference rows, 0 where a blank was filled."""
        at = slice(start, start + CHUNK)
        away = (self.references[index[at]] - x[at].unsqueeze(1)).double().square()
        return away if known is None else away * known[at].unsqueeze(1)

    def _scale(self, x: Tensor, known: Tensor | None) -> Tensor:
        """Columns over observed columns ``(B, 1)``."""
        if known is None:
            return torch.ones(len(x), 1, dtype=torch.float64)
        seen = known[:, self.space.features.first]
        return seen.shape[1] / seen.double().sum(1, keepdim=True).clamp_min(1)

    def _evidence(self, distance: Tensor, index: Tensor) -> Tensor:
        return self._logarithm(distance) - self.correlation * self.usual[index].double().mean(1)

    def _logarithm(self, distance: Tensor) -> Tensor:
        near = distance[:, : self._counting]
        far = near[:, -1] if self.robust else near.mean(1)
        return (far + 0.01 * self.gap).log()

    @property
    def _counting(self) -> int:
        return GAP if self.robust else CLOSE

    def terms(self, x: Tensor, own: Tensor, known: Tensor | None = None) -> Tensor:
        """What every column adds ``(B, columns)``, 0 where blank.

        Args:
            x: ``(B, D)`` features, blanks filled.
            own: ``(B,)`` the place of each row among the references; −1 for new rows.
            known: ``(B, D)`` false where a blank was filled; None when nothing was.
        """
        distance, index = self.nearest(x, own, known)
        value = (self._evidence(distance, index) - self.centre) / self.scale
        near = index[:, : self._counting]
        parts = [self._squares(x, near, known, i).sum(1) for i in range(0, len(x), CHUNK)]
        squares = self.space.by_column(torch.cat(parts))
        seen = torch.ones_like(squares) if known is None else known[:, self.space.features.first].double()
        total = squares.sum(1, keepdim=True)
        even = seen / seen.sum(1, keepdim=True).clamp_min(1)
        share = torch.where(total > 0, squares / total.clamp_min(1e-30), even)
        return (share * value.unsqueeze(1)).float()


def _correlation(a: Tensor, b: Tensor) -> float:
    if len(a) < 3 or float(a.std()) < 1e-9 or float(b.std()) < 1e-9:
        return 0.0
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])
