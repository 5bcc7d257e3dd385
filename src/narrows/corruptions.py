"""Corruptions: damage done to rows in training, so that a model learns to undo it.

None of them touches a blank except to keep it 0, or makes a category index invalid. Randomness comes from torch's
global generator through `torch.randn_like` and `torch.rand_like`, so that corruptions work under `torch.func.vmap`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows._part import Interval, NotNegative, Part
from narrows._types import Layout, Rows

__all__ = [
    "Binarise",
    "Chain",
    "Corruption",
    "Gaps",
    "Gaussian",
    "Masking",
    "RowSwap",
    "SaltAndPepper",
    "Slips",
    "Warp",
]

_KNOTS = 5  # places along each side of an image where `Warp` draws a shift


class Corruption(Part, ABC, room="corruptions", abstract=True):
    """A way to damage rows: ``corruption(rows, layout) -> rows``; the rows given are not changed."""

    judged: ClassVar[bool] = False
    """Whether the reconstruction is judged by the changed rows, rather than by those given."""

    @property
    def masks(self) -> bool:
        """Whether it may blank cells of data without blanks; the model is then told which cells are blank."""
        return False

    @abstractmethod
    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows, damaged.

        Args:
            rows: B rows.
            layout: What one row looks like: which columns are categories, and the range of the numbers.

        Returns:
            B rows of the same shape. Fields other than ``values`` and ``observed`` are kept.
        """

    def pair(self, rows: Rows, layout: Layout) -> tuple[Rows, Rows]:
        """What the reconstruction is judged by, and what the encoder sees."""
        seen = self(rows, layout)
        return (seen if self.judged else rows), seen


class Gaussian(Corruption):
    """Normal noise on numbers; categories and blanks stay as they are.

    x̃ = x + σ ε,  ε ~ N(0, 1)

    Args:
        scale: Standard deviation σ of the noise, in scaled units.

    Reference:
        Stacked Denoising Autoencoders. Pascal Vincent, Hugo Larochelle, Isabelle Lajoie, Yoshua Bengio,
        Pierre-Antoine Manzagol, 2010. https://www.jmlr.org/papers/v11/vincent10a.html

    ```python
    corruptions.Gaussian(scale=0.5)(rows, layout)
    ```
    """

    scale: Annotated[float, NotNegative] = 0.3

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with noise added to every observed number."""
        noisy = rows.values + self.scale * torch.randn_like(rows.values)
        category = _categories(layout, rows.values)
        if category is not None:
            noisy = torch.where(category, rows.values, noisy)
        return rows.replace(values=_blank(noisy, rows.mask()))


class Masking(Corruption):
    """Blank a fraction of the cells: the model is told that they are missing, not that they are 0.

    m̃ = m · 1[u ≥ fraction],  u ~ U(0, 1)

    Args:
        fraction: Chance of each observed cell to be blanked, 0 to 1.

    Reference:
        Extracting and Composing Robust Features with Denoising Autoencoders. Pascal Vincent, Hugo Larochelle,
        Yoshua Bengio, Pierre-Antoine Manzagol, 2008. https://doi.org/10.1145/1390156.1390294

    ```python
    corruptions.Masking(fraction=0.2)(rows, layout).observed  # false for one cell in five
    ```
    """

    fraction: Annotated[float, Interval(0, 1)] = 0.2

    @property
    def masks(self) -> bool:
        """Always."""
        return True

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with cells blanked; ``observed`` is made if there was none."""
        keep = torch.rand_like(rows.values) >= self.fraction
        observed = keep if rows.observed is None else rows.observed & keep
        masked = rows.replace(observed=observed)
        return masked.replace(values=_blank(rows.values, masked.mask()))


class Gaps(Corruption):
    """Blank a stretch of every row: steps of a series in all channels at once, as when a sensor falls silent.

    Of tables it is neighbouring columns, of images lines. Each row gets one gap: of a length drawn evenly from 0 to
    ``longest``, somewhere in the row.

    Args:
        longest: The longest gap, as a share of the row's steps.

    ```python
    corruptions.Gaps(longest=0.25)(rows, layout).observed  # false in one stretch of every series
    ```
    """

    longest: Annotated[float, Interval(0, 1)] = 0.3

    @property
    def masks(self) -> bool:
        """Always."""
        return True

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with a stretch blanked; ``observed`` is made if there was none."""
        values, axis = rows.values, 2 if len(layout.shape) == 3 else 1
        steps = values.shape[axis]
        one = values.flatten(1)[:, :1].reshape(-1, *[1] * (values.ndim - 1))
        length = (torch.rand_like(one) * (round(self.longest * steps) + 1)).floor()
        start = (torch.rand_like(one) * (steps - length + 1)).floor()
        place = torch.arange(steps, device=values.device).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        keep = ((place < start) | (place >= start + length)).expand(values.shape)
        masked = rows.replace(observed=keep if rows.observed is None else rows.observed & keep)
        return masked.replace(values=_blank(values, masked.mask()))


class SaltAndPepper(Corruption):
    """Set a fraction of the numbers to the lowest or highest value of training, of the categories to a random one.

    Args:
        fraction: Chance of each observed cell to be hit, 0 to 1: half of the numbers hit become ``layout.low``, half
            ``layout.high``. A category that is hit may draw the one it had.

    ```python
    corruptions.SaltAndPepper(fraction=0.1)(rows, layout)
    ```
    """

    fraction: Annotated[float, Interval(0, 1)] = 0.1

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with some observed cells replaced."""
        values = rows.values
        u = torch.rand_like(values)
        extreme = torch.where(u < self.fraction / 2, _bound(layout.low, values), _bound(layout.high, values))
        category = _categories(layout, values)
        if category is not None:
            k = values.new_tensor(layout.categories)
            # a uniform draw times K may round up to K
            index = torch.minimum((torch.rand_like(values) * k).floor(), (k - 1).clamp_min(0))
            extreme = torch.where(category, index, extreme)
        damaged = torch.where(u < self.fraction, extreme, values)
        return rows.replace(values=_blank(damaged, rows.mask()))


class RowSwap(Corruption):
    """Replace a fraction of the cells by what another row of the batch holds there.

    The noise has every column's own distribution, whatever its kind or units. A cell may take over another row's
    blank, so blanks become slightly more common; a batch of one row stays as it is.

    Args:
        fraction: Chance of each observed cell to be replaced, 0 to 1. Each cell draws its own donor among the other
            rows.

    Reference:
        VIME: Extending the Success of Self- and Semi-supervised Learning to Tabular Domain. Jinsung Yoon, Yao Zhang,
        James Jordon, Mihaela van der Schaar, 2020.
        https://proceedings.neurips.cc/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html

    ```python
    corruptions.RowSwap(fraction=0.1)(rows, layout)
    ```
    """

    fraction: Annotated[float, Interval(0, 1)] = 0.1

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with some observed cells, and whether they are blank, taken from other rows."""
        values, mask = rows.values, rows.mask()
        n = values.shape[0]
        if n < 2:
            return rows
        own = torch.arange(n, device=values.device).reshape(-1, *[1] * (values.ndim - 1))
        away = (torch.rand_like(values) * (n - 1)).long().clamp_max(n - 2) + 1
        donor = (own + away) % n
        hit = torch.rand_like(values) < self.fraction
        observed = rows.observed
        if mask is not None:
            given = mask.gather(0, donor)
            hit = hit & mask
            if observed is None:  # a series: steps that do not exist have nothing to give
                hit = hit & given
            else:
                observed = torch.where(hit, given, observed)
        swapped = rows.replace(values=torch.where(hit, values.gather(0, donor), values), observed=observed)
        return swapped.replace(values=_blank(swapped.values, swapped.mask()))


class Slips(Corruption):
    """What goes wrong when a text is typed: tokens are left out, swapped with the next, or others are typed.

    For series of categories; what is left moves together, so that ``lengths`` shrink.

    Args:
        fraction: Chance of each token to go wrong, 0 to 1, in one of the three ways that are equally likely.

    ```python
    corruptions.Slips(fraction=0.1)(rows, layout).lengths  # a thirtieth of each series is gone
    ```
    """

    fraction: Annotated[float, Interval(0, 1)] = 0.1

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows with slips; rows that are no series stay as they are."""
        if rows.values.ndim != 3:
            return rows
        exists, values = rows.exists(), rows.values
        u = torch.rand_like(values[..., 0])
        place = torch.arange(values.shape[1], device=values.device).to(values.dtype)
        lost = u < self.fraction / 3
        swapped = ~lost & (u < 2 * self.fraction / 3)
        slipped = SaltAndPepper(1.0)(rows.replace(observed=None), layout).values
        values = torch.where((~lost & ~swapped & (u < self.fraction)).unsqueeze(-1), slipped, values)
        gone = lost if exists is None else lost | ~exists
        order = (place + 1.5 * swapped).masked_fill(gone, torch.inf).argsort(dim=1, stable=True)
        moved = values.gather(1, order.unsqueeze(-1).expand_as(values))
        seen = None
        if rows.observed is not None:
            seen = rows.observed.gather(1, order.unsqueeze(-1).expand_as(rows.observed))
        after = rows.replace(values=moved, observed=seen, lengths=(~gone).sum(1))
        return after.replace(values=_blank(moved, after.mask()))


class Binarise(Corruption):
    """Draw every number as 0 or 1, anew at every step; the reconstruction is judged by what was drawn.

    x̃ ~ Bernoulli(x), for numbers in [0, 1]: grey values taken as the probability of white ("stochastic binarisation").
    Outside training rows stay as they are; draw them once where a likelihood is to be compared.

    Reference:
        On the Quantitative Analysis of Deep Belief Networks. R. Salakhutdinov, I. Murray, 2008.
        https://doi.org/10.1145/1390156.1390266

    ```python
    corruptions.Binarise()(rows, layout)
    ```
    """

    judged: ClassVar[bool] = True

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows drawn; categories and blanks stay as they are."""
        drawn = (torch.rand_like(rows.values) < rows.values).to(rows.values.dtype)
        category = _categories(layout, rows.values)
        if category is not None:
            drawn = torch.where(category, rows.values, drawn)
        return rows.replace(values=_blank(drawn, rows.mask()))


class Warp(Corruption):
    """Bend images: a smooth random field of shifts, as in the shared-encoder face swap; tables stay as they are.

    x̃(p) = x(p + d(p)),  d from normal draws of standard deviation ``scale`` at 5 × 5 places, smoothed between them

    A model that is to give back the straight image learns what it shows, rather than where its every pixel lies.

    Args:
        scale: Standard deviation of a shift, in sides of the image.

    ```python
    corruptions.Warp(scale=0.05)(rows, layout)
    ```
    """

    scale: Annotated[float, NotNegative] = 0.03

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows, bent where they are images; the edge is repeated beyond the edge."""
        if rows.values.ndim != 4 or self.scale == 0:
            return rows
        batch, _, height, width = rows.values.shape
        coarse = torch.randn_like(rows.values[:, :1, :1, :1].expand(batch, 2, _KNOTS, _KNOTS))
        field = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
        unit = torch.eye(2, 3, dtype=field.dtype, device=field.device).expand(batch, 2, 3)
        place = F.affine_grid(unit, [batch, 1, height, width], align_corners=False)
        moved = place + 2 * self.scale * field.movedim(1, -1)
        bent = F.grid_sample(rows.values, moved, padding_mode="border", align_corners=False)
        return rows.replace(values=_blank(bent, rows.mask()))


class Chain(Corruption):
    """Several corruptions, one after the other.

    Args:
        parts: The corruptions, in the order in which they act. None of them leaves the rows as they are.

    ```python
    corruptions.Chain((corruptions.Gaussian(0.1), corruptions.Masking(0.2)))
    ```
    """

    parts: tuple[Corruption, ...] = ()

    @property
    def masks(self) -> bool:
        """Whether one of them does."""
        return any(part.masks for part in self.parts)

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows, damaged by each in turn."""
        for part in self.parts:
            rows = part(rows, layout)
        return rows

    def pair(self, rows: Rows, layout: Layout) -> tuple[Rows, Rows]:
        """The same; judged are the rows as the first parts leave them, for as long as these are judged."""
        seen = rows
        for part in self.parts:
            rows, seen = part.pair(rows, layout) if seen is rows else (rows, part(seen, layout))
        return rows, seen


def _categories(layout: Layout, values: Tensor) -> Tensor | None:
    category = layout.is_category()
    return None if category is None else category.to(values.device)


def _bound(bound: tuple[float, ...], values: Tensor) -> Tensor:
    """One bound for all elements, or one per column."""
    return values.new_tensor(bound[0] if len(bound) == 1 else bound)


def _blank(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values.masked_fill(~mask, 0.0)
