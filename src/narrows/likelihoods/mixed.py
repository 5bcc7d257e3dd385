"""A likelihood per column, at the cost of one per family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from narrows._types import Distribution, Layout
from narrows.errors import InvalidParameter
from narrows.likelihoods.base import Likelihood, LikelihoodModule
from narrows.likelihoods.discrete import CategoricalDistribution


@dataclass(frozen=True)
class MixedDistribution(Distribution):
    """Independent distributions of several families, column by column.

    Attributes:
        groups: One distribution per family, over its columns.
        columns: ``(n,)`` column indices of each group.
        inverse: ``(C,)`` where each column is in the groups joined together; None when they are in order.
        members: The same column indices as plain numbers.
    """

    groups: tuple[Distribution, ...]
    columns: tuple[Tensor, ...]
    inverse: Tensor | None
    members: tuple[tuple[int, ...], ...]

    @property
    def mean(self) -> Tensor:
        """``(…, C)``: means of numbers, most likely indices of categories."""
        return self._join([group.mean for group in self.groups])

    @property
    def mode(self) -> Tensor:
        """``(…, C)`` most likely values."""
        return self._join([group.mode for group in self.groups])

    def probabilities(self, column: int) -> Tensor:
        """``(…, K)`` probabilities of the K categories of ``column``.

        Raises:
            InvalidParameter: If that column is not a category.
        """
        for group, members in zip(self.groups, self.members, strict=True):
            if column in members and isinstance(group, CategoricalDistribution):
                return group.probabilities(members.index(column))
        categories = [
            m for g, m in zip(self.groups, self.members, strict=True) if isinstance(g, CategoricalDistribution)
        ]
        raise InvalidParameter(
            f"column {column!r} is not a category and has no probabilities; these are: {sorted(sum(categories, ()))}"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density or log-probability of every column, ``(…, C)``."""
        pairs = zip(self.groups, self.columns, strict=True)
        return self._join([group.log_prob(value.index_select(-1, columns)) for group, columns in pairs])

    def sample(self) -> Tensor:
        """``(…, C)``; gradients flow to numbers only."""
        return self._join([group.sample() for group in self.groups])

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        joined = torch.cat(list(parts), dim=-1) if len(parts) > 1 else parts[0]
        return joined if self.inverse is None else joined.index_select(-1, self.inverse)


class MixedModule(LikelihoodModule):
    """Splits θ among the families and joins their distributions."""

    inverse: Tensor | None

    def __init__(self, parts: Sequence[Likelihood], members: Sequence[tuple[int, ...]], layout: Layout) -> None:
        super().__init__()
        layouts = [_columns_of(layout, columns) for columns in members]
        self.members = tuple(members)
        self.groups = nn.ModuleList(part.build(sub) for part, sub in zip(parts, layouts, strict=True))
        self.sizes = [part.theta_shape(sub)[0] for part, sub in zip(parts, layouts, strict=True)]
        for i, columns in enumerate(members):
            self.register_buffer(f"columns_{i}", torch.tensor(columns), persistent=False)
        order = torch.tensor([c for columns in members for c in columns])
        in_order = bool((order.diff() > 0).all())
        self.register_buffer("inverse", None if in_order else order.argsort(), persistent=False)

    def distribution(self, theta: Tensor) -> Distribution:
        """One distribution per family at its share of θ."""
        shares = theta.split_with_sizes(self.sizes, dim=-1)
        groups = tuple(group(share) for group, share in zip(self.groups, shares, strict=True))
        columns = tuple(getattr(self, f"columns_{i}") for i in range(len(groups)))
        return MixedDistribution(groups, columns, self.inverse, self.members)


class Mixed(Likelihood):
    """A likelihood for every column of a table.

    log p(x|θ) = Σ_c log p_c(x_c|θ_c)

    Columns with equal likelihoods are evaluated together, so a wide table costs one operation per family. They share
    what they learn together: with ``Gaussian("shared")`` for several columns these have one scale between them, with
    ``Gaussian("column")`` one each. θ is flat, ``(P,)``: family by family in the order in which they first appear.

    Args:
        columns: One likelihood per column, in the table's order.

    Raises:
        InvalidParameter: From `build`, naming the column, if a likelihood does not suit it or the count differs.

    ```python
    part = likelihoods.Mixed((likelihoods.Gaussian(), likelihoods.Categorical()))
    layout = Layout(shape=(2,), categories=(0, 3))
    module = part.build(layout)
    module(torch.zeros(4, *part.theta_shape(layout))).mean.shape  # (4, 2)
    ```
    """

    domain: ClassVar[str] = "mixed"

    columns: tuple[Likelihood, ...] = ()

    def check(self) -> None:
        """Check every column's likelihood.

        Raises:
            InvalidParameter: Naming the column.
        """
        for column, part in enumerate(self.columns if isinstance(self.columns, (tuple, list)) else ()):
            if isinstance(part, Likelihood):  # what is none is named by the base
                _naming(column, part.check)
        super().check()

    def theta_shape(self, layout: Layout) -> tuple[int, ...]:
        """``(P,)``, the columns' parameters together."""
        return (sum(p.theta_shape(_columns_of(layout, columns))[0] for p, columns in self._groups()),)

    def check_layout(self, layout: Layout) -> None:
        """Check that the table has as many columns and that each likelihood suits its column.

        Raises:
            InvalidParameter: Naming the column.
        """
        if not self.columns:
            raise InvalidParameter("likelihoods.Mixed() names no column: give one likelihood per column of the table")
        if layout.shape != (len(self.columns),):
            raise InvalidParameter(
                f"likelihoods.Mixed names {len(self.columns)} columns, but rows have the shape {layout.shape}: give "
                "one likelihood per column of a table"
            )
        for column, part in enumerate(self.columns):
            if isinstance(part, Mixed):
                raise InvalidParameter(f"column {column}: likelihoods.Mixed cannot hold another: name its columns here")
            _naming(column, lambda p=part, c=column: p.check_layout(_columns_of(layout, (c,))))  # type: ignore[misc]

    def build(self, layout: Layout) -> nn.Module:
        """A `MixedModule` that holds one module per family."""
        self.check()
        self.check_layout(layout)
        groups = self._groups()
        return MixedModule([p for p, _ in groups], [columns for _, columns in groups], layout)

    def _groups(self) -> list[tuple[Likelihood, tuple[int, ...]]]:
        groups: dict[Likelihood, list[int]] = {}
        for column, part in enumerate(self.columns):
            groups.setdefault(part, []).append(column)
        return [(part, tuple(columns)) for part, columns in groups.items()]


def _columns_of(layout: Layout, columns: Sequence[int]) -> Layout:
    """The layout of some columns of a table."""

    def pick(values: tuple[float, ...]) -> tuple[float, ...]:
        return values if len(values) == 1 else tuple(values[c] for c in columns)

    categories = None if layout.categories is None else tuple(layout.categories[c] for c in columns)
    return Layout((len(columns),), categories, pick(layout.low), pick(layout.high))


def _naming(column: int, check: Callable[[], None]) -> None:
    """Run ``check`` and let its error say which column of the table it means."""
    try:
        check()
    except InvalidParameter as error:
        raise InvalidParameter(f"column {column}: {error}") from None
