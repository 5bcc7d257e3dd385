"""What travels between the parts: rows, layouts, codes and passes, all frozen."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What one row looks like to parts and networks.

    Attributes:
        shape: Shape of one row of values: ``(columns,)`` for a table, ``(steps, columns)`` for a series or a text,
            ``(channels, height, width)`` for an image.
        categories: For a table or a series, one number per column: 0 where the column is a number, else how many
            categories it has. None when all elements are numbers.
        low: Smallest value seen in training, in scaled units: one per column, or a single one for all elements.
        high: Largest value seen in training, likewise.
        blanks: Whether values can be missing: one per column, or a single one for all elements. A network is told
            which values are blank only where some were blank in training: what it never saw, it cannot use.
        classes: How many classes ``Rows.condition`` tells apart; 0 where rows have no labels.
        ragged: For series: whether some are shorter than ``steps``, so that ``Rows.lengths`` is there.
    """

    shape: tuple[int, ...]
    categories: tuple[int, ...] | None = None
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)
    blanks: tuple[bool, ...] = (False,)
    classes: int = 0
    ragged: bool = False

    def __post_init__(self) -> None:
        """Tables and series must say of every column whether it is a category."""
        if self.categories is not None and (len(self.shape) > 2 or self.shape[-1] != len(self.categories)):
            raise ValueError(f"{len(self.categories)} categories for rows of shape {self.shape}")

    @property
    def size(self) -> int:
        """How many elements a row has."""
        return int(torch.Size(self.shape).numel())

    @property
    def series(self) -> bool:
        """Whether rows are series: steps in order, each like a row of a table."""
        return len(self.shape) == 2

    @property
    def tokens(self) -> bool:
        """Whether rows are series of categories alone, such as melodies."""
        return self.series and self.categories is not None and all(self.categories)

    @property
    def steps(self) -> tuple[int, ...]:
        """``(steps,)`` of a series, ``()`` of other rows: with the shape of a `step`, the shape of a row."""
        return self.shape[:1] if self.series else ()

    @property
    def step(self) -> Layout:
        """One step of a series, which is what a likelihood describes; of other rows, the row itself."""
        return dataclasses.replace(self, shape=self.shape[1:], ragged=False) if self.series else self

    def maskable(self) -> Layout:
        """This layout for rows in which any value may be missing."""
        return dataclasses.replace(self, blanks=(True,) * len(self.blanks))

    def is_category(self) -> Tensor | None:
        """Boolean ``(columns,)``, true where a column is a category; None when there is none."""
        if self.categories is None or not any(self.categories):
            return None
        return torch.tensor([k > 0 for k in self.categories])


@dataclass(frozen=True)
class Rows:
    """A set of rows as tensors, B of them.

    Attributes:
        values: ``(B, *shape)`` float, in the format's scaled units. Categories are indices; blanks hold 0, never NaN.
        observed: ``(B, *shape)`` boolean, false where a value is blank; None when nothing is blank.
        lengths: ``(B,)`` whole numbers, how many steps of a series exist; None when all do.
        condition: ``(B, …)`` what the model may look at besides the row. Where rows have labels: ``(B,)`` whole
            numbers, the class of every row, −1 where it has none.
        target: ``(B, …)`` what a supervised model should predict.
        group: ``(B,)`` whole numbers, rows that belong together.
        place: ``(B, 2)`` whole numbers: which series a window was cut from, and its first step there; None when rows
            share nothing. Only what holds rows out looks at it.
        weight: ``(B,)`` how much each row counts.
    """

    values: Tensor
    observed: Tensor | None = None
    lengths: Tensor | None = None
    condition: Tensor | None = None
    target: Tensor | None = None
    group: Tensor | None = None
    place: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self.values.shape[0])

    def mask(self) -> Tensor | None:
        """``(B, *shape)`` boolean, true where a value exists and is observed; None when that is everywhere."""
        exists = self.exists()
        if exists is None:
            return self.observed
        exists = exists.reshape(exists.shape + (1,) * (self.values.ndim - 2)).expand(self.values.shape)
        return exists if self.observed is None else exists & self.observed

    def exists(self) -> Tensor | None:
        """``(B, steps)`` boolean, true where a step of a series exists; None when all do."""
        if self.lengths is None:
            return None
        return torch.arange(self.values.shape[1], device=self.values.device) < self.lengths.unsqueeze(-1)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there, by name."""
        return {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The rows with ``function`` applied to every field that is there."""
        return type(self)(**{name: function(tensor) for name, tensor in self.tensors().items()})

    def take(self, index: Tensor | slice) -> Self:
        """Some of the rows, by index or slice."""
        return self.map(lambda tensor: tensor[index])

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The rows moved to a device. Like ``Tensor.to`` for every field."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class Distribution(ABC):
    """Independent distributions over elements: nothing is summed (``event_shape = ()``)."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Expected value of every element. For categories, the most likely index."""

    @property
    @abstractmethod
    def mode(self) -> Tensor:
        """Most likely value of every element."""

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density (or log-probability) of every element, in nats, of the shape of ``value``."""

    @abstractmethod
    def sample(self) -> Tensor:
        """One draw of every element, from torch's global generator. Gradients flow where the family allows it."""


@dataclass(frozen=True)
class Code:
    """What a bottleneck made of an encoder's output.

    Attributes:
        z: ``(B, L)`` the code, or ``(S, B, L)`` when S samples were asked for.
        posterior: q(z|x) when the bottleneck is stochastic, else None. It has ``mean`` ``(B, L)``, ``sample()``,
            ``log_prob(z)`` summed over the code (…, B), and ``kl()`` from the standard normal, ``(B,)`` or
            ``(B, L)`` (see `narrows.bottlenecks`).
        cost: ``(B,)`` what this bottleneck charges per row (a commitment loss, say), in nats; None when nothing.
        units: ``(L,)`` 1 where a unit is in use, 0 where it only fills the code up to the size of a longer one, so that
            models of several code sizes have one shape; None when all are in use. What fills up is 0 in ``z``, and a
            standard normal in ``posterior``.
    """

    z: Tensor
    posterior: Any = None
    cost: Tensor | None = None
    units: Tensor | None = None

    @property
    def size(self) -> Tensor | int:
        """How many units are in use."""
        return self.z.shape[-1] if self.units is None else self.units.sum()

    def in_use(self, values: Tensor) -> Tensor:
        """Values of units ``(…, L)``, those of units that are not in use 0."""
        return values if self.units is None else values * self.units


@dataclass(frozen=True)
class Pass:
    """All that one forward pass made.

    Attributes:
        rows: The clean rows, which the reconstruction is judged by.
        code: The code.
        prior: Distribution over z that the model believes in before seeing a row; ``log_prob(z)`` is summed over the
            code. None when there is none in training.
        x: p(x|z), elementwise; its tensors are ``(B, *shape)``, or ``(S, B, *shape)``.
        inputs: ``(B, …)`` the stem's output, which ``encode`` takes.
        encode: Deterministic map from stem output to the code's mean ``(B, …) -> (B, L)``, with dropout and
            normalisation in evaluation mode, for `torch.func`.
        epoch: ``()`` how many epochs have been trained, as a fraction, for warm-ups.
    """

    rows: Rows
    code: Code
    prior: Any
    x: Distribution
    inputs: Tensor
    encode: Callable[[Tensor], Tensor]
    epoch: Tensor
