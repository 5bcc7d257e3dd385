"""What trained models say of a row: how improbable every cell is, given the row's own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from narrows._types import Rows
from narrows.models import AutoencoderModule
from narrows.tasks._features import seen_cells
from narrows.tasks._twins import Found
from narrows.tasks.basic import reconstruct
from narrows.tasks.inference import chunk_size, in_chunks


@dataclass(frozen=True)
class Surprise:
    r"""Evidence of trained models: $-\ln p(x_j | z)$ of every cell at the row's mean code.

    The terms are centred cell by cell, and scaled so that their sums over training rows have standard deviation 1.

    Attributes:
        models: One model; or several, of which the f-th never saw the training rows of fold f.
        centre: ``(size,)`` means of the terms.
        scale: What they are divided by.
    """

    models: tuple[AutoencoderModule, ...]
    centre: Tensor
    scale: float

    @classmethod
    def fit(cls, models: Sequence[AutoencoderModule], rows: Rows, found: Found) -> Self:
        """Centre and scale by training rows, each judged by the model that never saw it."""
        size = models[0].layout.size
        made = cls(tuple(models), torch.zeros(size), 1.0)
        terms, known = made.terms(rows, found).double(), _known(rows)
        made = replace(made, centre=(terms.sum(0) / known.sum(0).clamp_min(1)).float())
        sums = made.terms(rows, found).double().sum(1)
        return replace(made, scale=max(float(sums.std(correction=0)), 1e-6))

    def terms(self, rows: Rows, found: Found) -> Tensor:
        """What every cell adds to the score ``(B, size)``, 0 where blank."""
        total = sum(self._weight(k, found.fold) * self._one(model, rows) for k, model in enumerate(self.models))
        return torch.where(_known(rows), (total - self.centre) / self.scale, 0)

    def _weight(self, k: int, fold: Tensor) -> Tensor:
        alone = torch.full(fold.shape, 1 / len(self.models))
        return torch.where(fold < 0, alone, (fold == k).float()).unsqueeze(1)

    def _one(self, model: AutoencoderModule, rows: Rows) -> Tensor:
        def run(part: Rows) -> Tensor:
            terms = -model.decode(model.encode(part)).log_prob(part.values)
            mask = part.mask()
            return (terms if mask is None else torch.where(mask, terms, 0)).reshape(len(part), -1)

        return in_chunks(run, rows, chunk_size(model.layout), next(model.parameters()).device)

    def expected(self, rows: Rows, found: Found) -> Tensor:
        """Reconstructions ``(B, *shape)`` in the format's scaled units, of categories the likeliest."""
        result = torch.zeros_like(rows.values)
        for k, model in enumerate(self.models):
            at = (found.fold == k) | ((found.fold < 0) & (k == 0))
            if at.any():
                result[at] = reconstruct(model, rows.take(at))
        return result


def _known(rows: Rows) -> Tensor:
    return seen_cells(rows).reshape(len(rows), -1)
