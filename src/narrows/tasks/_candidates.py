"""Ways to fill blanks: a straight line, networks that improve on it, similar rows, or a given model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows._types import Rows
from narrows.likelihoods.discrete import CategoricalDistribution
from narrows.likelihoods.mixed import MixedDistribution
from narrows.models import AutoencoderModule
from narrows.tasks._factors import Factors
from narrows.tasks._features import Features, seen_cells
from narrows.tasks._gaussian import Gaussian, Given
from narrows.tasks._refine import RefinerModule
from narrows.tasks.inference import in_chunks

NEIGHBOURS = 16
PASSES = 10  # through a given model, until what it fills in no longer changes
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Candidates:
    """Ways to fill: each maps rows to features; learnt from rows alone.

    Attributes:
        features: Where columns lie among the features.
        marginal: ``(D,)`` means and frequencies.
        gaussian: The straight line, over the features ``frequent``.
        frequent: Features that take part in it.
        refiners: Networks that improve on it; none for few rows.
        known: ``(n, D)`` features of rows to look for similar ones, which are observed, and rows filled.
        model: A given model, which is used instead of all these.
    """

    features: Features
    marginal: Tensor
    gaussian: Gaussian | Factors
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

    @property
    def chunk(self) -> int:
        """Rows that are worked on at a time: fewer where they have very many features."""
        return max(16, min(256, 262_144 // len(self.marginal)))

    def line(self, x: Tensor, observed: Tensor) -> Tensor:
        """Features ``(B, D)`` filled by the straight line."""
        at = self.frequent
        filled = torch.where(observed, x, self.marginal)
        filled[:, at] = self.gaussian.expect(x[:, at], observed[:, at])
        return filled

    def lines(self, rows: Rows) -> Tensor:
        """The same for any number of rows."""
        return in_chunks(lambda part: self.line(*self.features.expand(part)), rows, self.chunk, CPU)

    def inputs(self, rows: Rows) -> Tensor:
        """What refiners get: features, which columns are observed, and the straight line's filling."""

        def run(part: Rows) -> Tensor:
            x, observed = self.features.expand(part)
            return self._given(x, observed, self.line(x, observed))

        return in_chunks(run, rows, self.chunk, CPU)

    def _given(self, x: Tensor, observed: Tensor, line: Tensor) -> Tensor:
        return torch.cat([x, observed[:, self.features.first].to(x.dtype), line], dim=1)

    def fill(self, rows: Rows) -> Tensor:
        """``(B, K, D)``: what each of the K candidates fills in, for one chunk of rows."""
        return self._fill(rows, None)

    def spread(self, rows: Rows) -> tuple[Tensor, Given]:
        """The same, and how far the straight line says that values may differ from it, together."""
        x, observed = self.features.expand(rows)
        if self.model is not None:
            return self._fill(rows, None), Given(x, torch.ones_like(x), lambda standard: standard)
        at = self.frequent
        own = (self.marginal * (1 - self.marginal)).clamp_min(1e-4).sqrt()
        filled, deviation = torch.where(observed, x, self.marginal), own.repeat(len(x), 1)
        some = self.gaussian.given(x[:, at], observed[:, at])
        filled[:, at], deviation[:, at] = some.filled, some.deviation

        def noise(standard: Tensor) -> Tensor:
            result = own * standard
            result[:, at] = some.noise(standard[:, at])
            return result

        return self._fill(rows, filled), Given(filled, deviation, noise)

    def _fill(self, rows: Rows, line: Tensor | None) -> Tensor:
        if self.model is not None:
            return _iterate(self.model, rows, self.features, self.marginal).unsqueeze(1)
        x, observed = self.features.expand(rows)
        line = self.line(x, observed) if line is None else line
        found = [line]
        if self.refiners:
            given = self._given(x, observed, line)
            found.append(torch.stack([refiner(given) for refiner in self.refiners]).mean(0))
        if self.known is not None:
            found += [_similar(line, self.known), _matching(x, observed, line, self.known)]
        return torch.stack([self.features.probabilities(f) for f in found], dim=1)


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
    seen = seen_cells(rows)
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
    return features.probabilities(result)


def _categorical(x: object) -> list[tuple[CategoricalDistribution, Sequence[int]]]:
    if isinstance(x, CategoricalDistribution):
        return [(x, range(len(x.segments.categories)))]
    pairs = zip(x.groups, x.members, strict=True) if isinstance(x, MixedDistribution) else ()
    return [(group, members) for group, members in pairs if isinstance(group, CategoricalDistribution)]
