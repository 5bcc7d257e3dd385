"""One step as a module: what is compiled, stacked and distributed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows._part import Part
from narrows._types import Layout, Pass, Rows
from narrows.bottlenecks import GroupedModule
from narrows.corruptions import Corruption
from narrows.objectives import Objective, PenaltyLike
from narrows.penalties import CriticPenalty, Judged, Penalty, critics


class Step(nn.Module):
    """A model and its objective: a batch of tensors in, a dictionary of scalar tensors out.

    In training mode the model sees corrupted rows and is judged by the clean ones, unless the corruption says otherwise
    (`Corruption.pair`). In evaluation mode nothing is corrupted, and a stochastic bottleneck draws one code per row, so
    that the value is an estimate of the same bound; what critics say is among the terms but not in the loss, since
    critics of different epochs cannot be compared.

    Args:
        model: Module whose ``forward(rows, seen, samples, epoch)`` returns a `Pass`.
        objective: What to minimise.
        penalties: Further terms, by name.
        corruption: What to do to the rows in training; None: nothing.
        layout: What a row looks like.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        penalties: Mapping[str, Penalty],
        corruption: Corruption | None,
        layout: Layout,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.penalties = dict(penalties)
        self.corruption = corruption
        self.layout = layout
        self.critics = nn.ModuleDict(dict(critics(penalties, getattr(model, "code_size", 0))))

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss and its terms.

        Args:
            batch: The tensors of some `Rows`, by field.
            epoch: ``()`` how many epochs have been trained, as a fraction, for warm-ups.

        Returns:
            ``"loss"`` and every term by name, each ``()``, in nats per row.
        """
        p = self.look(batch, epoch)
        terms = self.objective(p, self._weighed())
        means = {name: row_mean(term, p.rows.weight) if term.ndim else term for name, term in terms.items()}
        counted = [mean for name, mean in means.items() if self.training or name not in self.critics]
        return {"loss": functools.reduce(torch.add, counted), **means}

    def look(self, batch: dict[str, Tensor], epoch: Tensor) -> Pass:
        """One pass of the model over a batch."""
        rows: Any = Rows(**batch)
        seen = rows
        if self.training and self.corruption is not None:
            rows, seen = self.corruption.pair(rows, self.layout)
        samples = self.objective.samples
        if samples is None and not self.training and self.model.stochastic:
            samples = 1
        made: Pass = self.model(rows, seen, samples=samples, epoch=epoch)
        return made

    def adversaries(self) -> list[CriticStep]:
        """What trains the critics of the penalties that own one."""
        return [CriticStep(self, name) for name in self.critics]

    @property
    def grouped(self) -> bool:
        """Whether rows of one group should come together."""
        return isinstance(getattr(self.model, "bottleneck", None), GroupedModule)

    @property
    def pure(self) -> bool:
        """Whether every call is the same operations: so for what torch, zuko and this project wrote, else unknown."""
        parts = [*self.modules(), *_parts((self.objective, self.corruption, *self.penalties.values()))]
        return own(parts)

    def _weighed(self) -> Mapping[str, PenaltyLike]:
        own = self.critics
        return {
            name: Judged(penalty, own[name]) if isinstance(penalty, CriticPenalty) else penalty
            for name, penalty in self.penalties.items()
        }


class CriticStep(nn.Module):
    """The step of a critic: it learns to tell the model's codes from others, and leaves the model as it is.

    Args:
        step: The model's step, which holds the critic.
        name: The name of the critic's penalty.
    """

    def __init__(self, step: Step, name: str) -> None:
        super().__init__()
        self.step, self.name = step, name

    @property
    def critic(self) -> nn.Module:
        """What this step trains."""
        return self.step.critics[self.name]

    @property
    def pure(self) -> bool:
        """Whether every call is the same operations."""
        return self.step.pure

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The critic's logistic loss on a batch: ``"loss"`` ``()`` in nats."""
        penalty = self.step.penalties[self.name]
        assert isinstance(penalty, CriticPenalty)
        with torch.no_grad():
            p = self.step.look(batch, epoch)
        return {"loss": penalty.loss(p, self.critic)}


class WeightedStep(Step):
    """A step that holds the weights of its penalties as a tensor, so that steps that differ by them have one form.

    Args:
        model: As in `Step`.
        objective: As in `Step`.
        penalties: As in `Step`.
        corruption: As in `Step`.
        layout: As in `Step`.
    """

    weights: Tensor

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        penalties: Mapping[str, Penalty],
        corruption: Corruption | None,
        layout: Layout,
    ) -> None:
        plain = {name: penalty.set_params(weight=1.0) for name, penalty in penalties.items()}
        super().__init__(model, objective, plain, corruption, layout)
        self.register_buffer("weights", torch.tensor([float(p.weight) for p in penalties.values()]))

    def _weighed(self) -> Mapping[str, PenaltyLike]:
        pairs = zip(self.penalties.items(), self.weights, strict=True)
        return {name: _Weighed(penalty, weight) for (name, penalty), weight in pairs}


@dataclass(frozen=True)
class _Weighed:
    """A penalty of weight 1 times a tensor."""

    penalty: Penalty
    weight: Tensor

    @property
    def in_bound(self) -> bool:
        """Whether the importance-weighted bound already holds it."""
        return self.penalty.in_bound

    def __call__(self, p: Pass) -> Tensor:
        """Its value, weighted."""
        return self.weight * self.penalty(p)


def own(parts: Iterable[Any]) -> bool:
    """Whether all parts are what torch, zuko and this project wrote: their every call is the same operations."""
    return all(type(part).__module__.split(".")[0] in ("narrows", "torch", "zuko") for part in parts)


def _parts(value: Any) -> Iterator[Part]:
    """All parts in a value, and in these."""
    if isinstance(value, Part):
        yield value
        value = tuple(value.get_params(deep=False).values())
    for one in value if isinstance(value, (tuple, list)) else ():
        yield from _parts(one)
