"""Normalizing flows: an invertible network between rows and noise, and so the exact density of a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.models.generator import GeneratorModule

_LOG_2PI = math.log(2 * math.pi)
EDGE = 1e-6  # places in [0, 1] stay this far from its ends


class Dequantisation(Part, room="flows"):
    """What a flow, which knows only continuous numbers, sees of a table's columns or of pixels.

    Args:
        steps: Per column (one for all pixels), the distance between neighbouring values in scaled units: noise as wide
            is added. 0 for numbers that are continuous.
        shares: Per column, how often each category occurs (with blanks as the last one, where there are any), or how
            often a number is there and is blank; none for numbers without blanks.
        dependent: Columns of numbers that follow from others: (column, intercept, one slope per column). They are made
            from these and take no part in the density, which would be infinite.
    """

    steps: tuple[float, ...] = ()
    shares: tuple[tuple[float, ...], ...] = ()
    dependent: tuple[tuple[float, ...], ...] = ()


class ColumnsModule(nn.Module):
    """A table's rows to continuous numbers, with noise where values are discrete, and back.

    A category becomes a place in [0, 1], at random within a part as long as its share, and then a normal score Φ⁻¹. A
    number that may be blank has such a score for whether it is, and where it is blank, standard normal noise instead.

    Args:
        layout: What a row looks like.
        part: How columns are dequantised.

    Attributes:
        size: Numbers per row.
        noisy: Whether any noise is added, so that one row has many such forms.
    """

    numbers: Tensor
    discrete: Tensor
    steps: Tensor
    edges: Tensor
    last: Tensor
    flagged: Tensor

    def __init__(self, layout: Layout, part: Dequantisation) -> None:
        super().__init__()
        self.layout = layout
        kinds = layout.categories or (0,) * layout.shape[0]
        self.dependent = {int(one[0]): one[1:] for one in part.dependent}
        numbers = [j for j, k in enumerate(kinds) if k == 0 and j not in self.dependent]
        discrete = [j for j, shares in enumerate(part.shares) if len(shares) > 1]
        self._buffer("numbers", numbers, torch.long)
        self._buffer("discrete", discrete, torch.long)
        self._buffer("steps", [part.steps[j] for j in numbers], torch.float)
        widest = max((len(part.shares[j]) for j in discrete), default=1)
        self._buffer("edges", [_edges(part.shares[j], widest) for j in discrete], torch.float)
        # the last part of a category that may be blank is the blank; that of a number always is
        self._buffer("last", [len(part.shares[j]) - 1 for j in discrete], torch.long)
        self.may_blank = [len(part.shares[j]) > max(kinds[j], 1) for j in discrete]
        self.flags = [kinds[j] == 0 for j in discrete]
        self._buffer("flagged", self.flags, torch.bool)
        self.size = len(numbers) + len(discrete)
        self.noisy = bool(discrete) or bool((self.steps > 0).any())

    def _buffer(self, name: str, values: Sequence[Any], dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def forward(self, rows: Rows, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Continuous numbers ``(B, size)``, and what their log-density lacks to be that of the row ``(B,)``.

        Args:
            rows: The rows.
            noise: ``(B, size)`` uniform in (0, 1).
        """
        noise = noise.clamp(EDGE, 1 - EDGE)
        observed = rows.mask()
        n = len(self.numbers)
        values = rows.values[:, self.numbers] + self.steps * (noise[:, :n] - 0.5)
        extra = values.new_zeros(len(values))
        if observed is not None and n:
            filled, there = torch.special.ndtri(noise[:, :n]), observed[:, self.numbers]
            extra = extra + torch.where(there, 0, _normal(filled, -1)).sum(1)
            values = torch.where(there, values, filled)
        if not len(self.discrete):
            return values, extra
        place = self._places(rows, observed)
        low = self.edges[:, :-1].T.gather(0, place)
        wide = self.edges.diff(dim=1).T.gather(0, place)
        score = torch.special.ndtri((low + wide * noise[:, n:]).clamp(EDGE, 1 - EDGE))
        extra = extra + (wide.clamp_min(1e-12).log() + _normal(score, -1)).sum(1)
        return torch.cat([values, score], dim=1), extra

    def _places(self, rows: Rows, observed: Tensor | None) -> Tensor:
        """``(B, discrete)`` which part every discrete column is in."""
        values = rows.values[:, self.discrete].long()
        place = torch.where(self.flagged, 0, values)
        if observed is not None:
            place = torch.where(observed[:, self.discrete], place, self.last)
        return torch.minimum(place, self.last)

    def inverse(self, y: Tensor) -> Tensor:
        """The values ``(B, *layout.shape)`` of continuous numbers, NaN where blank."""
        n = len(self.numbers)
        values = y.new_zeros(len(y), *self.layout.shape)
        values[:, self.numbers] = y[:, :n]
        for j, (intercept, *slopes) in self.dependent.items():
            values[:, j] = intercept + values @ y.new_tensor(slopes)
        if len(self.discrete):
            uniform = torch.special.ndtr(y[:, n:])
            place = (uniform.unsqueeze(-1) >= self.edges[:, 1:-1]).sum(-1)
            place = torch.minimum(place, self.last)
            for k, j in enumerate(self.discrete.tolist()):
                found = place[:, k]
                number = values[:, j] if self.flags[k] else found.to(values.dtype)
                blank = (found == self.last[k]) if self.may_blank[k] else torch.zeros_like(found, dtype=torch.bool)
                values[:, j] = torch.where(blank, torch.nan, number)
        return values


class PixelsModule(nn.Module):
    """Images to continuous numbers: noise as wide as a step between shades, then normal scores of places in [0, 1].

    Args:
        layout: What an image looks like.
        part: How pixels are dequantised.
    """

    def __init__(self, layout: Layout, part: Dequantisation) -> None:
        super().__init__()
        self.layout, self.size, self.noisy = layout, layout.size, True
        # pixels are from 0 to `high`, and noise goes half a step beyond
        self.step = max(part.steps[0], 1e-3)
        self.span = layout.high[0] + self.step

    def forward(self, rows: Rows, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Continuous numbers ``(B, size)``, and what is to be added to their log-density ``(B,)``."""
        place = (rows.values.flatten(1) + self.step * noise) / self.span
        score = torch.special.ndtri(place.clamp(EDGE, 1 - EDGE))
        return score, (_normal(score, -1) - math.log(self.span)).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """The values ``(B, *layout.shape)``."""
        values = torch.special.ndtr(y) * self.span - self.step / 2
        return values.clamp(0, self.layout.high[0]).reshape(-1, *self.layout.shape)


class FlowModule(GeneratorModule):
    """Noise z ~ N(0, I) ↔ an invertible map by splines ↔ continuous numbers ↔ a row.

    Args:
        layout: What a row looks like.
        dequantisation: What the map sees of a row.
        kind: "coupling": half of the numbers are moved by the other half, so both ways are quick; "autoregressive":
            each is moved by those before it, which fits better, and sampling takes as many passes as there are numbers.
        transforms: How many such moves.
        bins: Of each spline; 0 for straight lines.
        hidden: Widths of the networks that choose the splines.
    """

    def __init__(
        self,
        layout: Layout,
        dequantisation: Dequantisation,
        kind: Literal["coupling", "autoregressive"],
        transforms: int,
        bins: int,
        hidden: Sequence[int],
    ) -> None:
        image = len(layout.shape) > 1
        rows = PixelsModule(layout, dequantisation) if image else ColumnsModule(layout, dequantisation)
        super().__init__(layout, rows.size, conditional=layout.classes > 0)
        self.rows = rows
        from zuko import flows

        settings: dict[str, Any] = {"transforms": transforms, "hidden_features": tuple(hidden)}
        if kind == "coupling":
            settings["passes"] = 2
        made = flows.NSF(rows.size, layout.classes, bins=bins, **settings) if bins else None
        # the map alone: torch's distributions raise where weights are not finite, and training is to roll back
        self.map = (made or flows.MAF(rows.size, layout.classes, **settings)).transform

    def _move(self, condition: Tensor | None, like: Tensor) -> Any:
        if not self.conditional:
            return self.map(None)
        if condition is None:
            condition = torch.full((len(like),), -1, device=like.device)
        return self.map(
            (condition.unsqueeze(1) == torch.arange(self.layout.classes, device=like.device)).to(like.dtype)
        )

    def log_prob(self, rows: Rows, noise: Tensor) -> Tensor:
        """Log-density of rows ``(B,)`` in nats per scaled unit, with one draw of the noise ``(B, code_size)``."""
        y, extra = self.rows(rows, noise)
        z, volume = self._move(rows.condition, y).call_and_ladj(y)
        return _normal(z).sum(1) + volume + extra

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of noise, in scaled units, NaN where blank."""
        return self.rows.inverse(self._move(condition, z).inv(z))


class FlowStep(nn.Module):
    """Maximum likelihood.

    Args:
        model: The flow.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, model: FlowModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """−log p(x), mean over rows, in nats."""
        rows = Rows(**batch)
        noise = torch.rand_like(self.model.template.expand(len(rows), -1))
        return {"loss": -self.model.log_prob(rows, noise).mean()}


def _normal(z: Tensor, sign: int = 1) -> Tensor:
    """± log N(z; 0, 1)."""
    return sign * -0.5 * (z.square() + _LOG_2PI)


def _edges(shares: Sequence[float], widest: int) -> list[float]:
    """Where the parts of [0, 1] begin, and the end; as long as for the most parts."""
    total, found = sum(shares), [0.0]
    for share in shares:
        found.append(found[-1] + share / total)
    found[-1] = 1.0
    return found + [1.0 + i + 1 for i in range(widest - len(shares))]
