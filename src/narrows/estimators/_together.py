"""Several estimators trained on the same rows: those of one shape side by side, the others one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from narrows._types import Layout, Rows
from narrows.bottlenecks import QuantisedModule
from narrows.estimators._base import LOOKED_AT, WATCHED, initial_module
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.models import AutoencoderModule, Filling, StackedStep
from narrows.models.autoencoder import active_units_of
from narrows.penalties import CriticPenalty, Penalties
from narrows.training import Player, Step, Training
from narrows.training.loop import trainable
from narrows.training.members import MemberLoop
from narrows.training.seeds import hash_seed, seeded
from narrows.training.step import WeightedStep

OBSTACLES: list[tuple[Any, str]] = [
    (nn.modules.batchnorm._BatchNorm, "batch normalisation keeps running statistics, which cannot be stacked"),
    (QuantisedModule, "codebooks keep moving averages, which cannot be stacked"),
    (nn.RNNBase, "recurrent layers cannot be stacked"),
    (nn.modules.conv._ConvNd, "convolutions fill the processor by themselves"),
]
TRIED = 4  # rows on which it is tried out whether models can be stacked


@dataclass(frozen=True)
class Draft:
    """An estimator before training: its parts, its fresh module and its seed."""

    model: BaseAutoencoder
    choices: Choices
    module: AutoencoderModule
    seed: int

    @classmethod
    def of(cls, model: BaseAutoencoder, material: Material, seed: int) -> Draft:
        """What a fit of ``model`` alone would begin with."""
        full = model.choices().resolved(material.format, material.layout, material.train.take(slice(LOOKED_AT)))
        return cls(model, full, initial_module(full, material.layout, seed), seed)

    @property
    def kind(self) -> str:
        """Equal for drafts that differ by seed, code size or weights of penalties only."""
        assert self.choices.bottleneck is not None
        named = {n: p.set_params(weight=1.0) for n, p in self.choices.named_penalties().items()}
        parts = {
            **self.choices.parts(),
            "bottleneck": self.choices.bottleneck.set_params(size=None),
            "penalties": Penalties(**named),
        }
        return f"{type(self.model).__name__} {parts!r} {self.model._training()!r}"


@dataclass(frozen=True)
class Material:
    """What all are trained on."""

    format: Any
    train: Rows
    validation: Rows | None
    seed: int

    @property
    def layout(self) -> Layout:
        """What a row looks like."""
        return self.format.layout


def train_together(models: Sequence[BaseAutoencoder], seeds: Sequence[int], material: Material) -> list[str]:
    """Fit several estimators to the same rows, each as if it were fitted alone.

    Args:
        models: Unfitted estimators.
        seeds: One for each.
        material: The rows.

    Returns:
        In words, what was trained side by side and what was not, and why.

    Raises:
        TrainingFailed: If all that were trained together diverge, or one that was trained alone.
    """
    groups: list[Group] = []
    for draft in sorted(
        (Draft.of(m, material, s) for m, s in zip(models, seeds, strict=True)),
        key=lambda d: -d.module.code_size,
    ):
        if not any(group.add(draft) for group in groups):
            groups.append(Group(draft))
    plans = [(group, group.obstacle(material)) for group in groups]
    runs = sum(len(g.drafts) if why else 1 for g, why in plans)
    number = 0
    for group, why in plans:
        if why is None and len(group.drafts) > 1:
            group.train(material, _share(group.training, runs, number))
            number += 1
            continue
        for draft in group.drafts:
            _alone(draft, material, _share(group.training, runs, number))
            number += 1
    return [group.sentence(why) for group, why in plans]


def _share(training: Training, runs: int, number: int) -> Training:
    """The settings of one of several runs: its share of the time, its own folder for checkpoints."""
    if runs == 1:
        return training
    budget = None if training.time_budget is None else training.time_budget / runs
    folder = None if training.checkpoint is None else str(Path(training.checkpoint) / f"part-{number}")
    return training.set_params(time_budget=budget, checkpoint=folder)


def _alone(draft: Draft, material: Material, training: Training) -> None:
    history = draft.model._train(
        draft.choices, draft.module, material.layout, training, draft.seed, material.train, material.validation
    )
    draft.model._take(material.format, draft.choices, draft.module, history, material.train, draft.seed)


class Group:
    """Drafts of one shape, that of the first, which has the longest code.

    Args:
        first: The first.
    """

    def __init__(self, first: Draft) -> None:
        self.drafts: list[Draft] = []
        self.fillings: list[Filling] = []
        self.training = first.model._training()
        self._add(first, first)

    def add(self, draft: Draft) -> bool:
        """Take a draft in if it has the shape of the others or can be filled up to it."""
        if draft.kind != self.drafts[0].kind:
            return False
        try:
            self._add(draft, self.drafts[0])
        except ValueError:
            return False
        return True

    def _add(self, draft: Draft, host: Draft) -> None:
        assert draft.choices.bottleneck is not None
        self.fillings.append(Filling(draft.module, host.module, draft.choices.bottleneck))
        self.drafts.append(draft)

    @property
    def _sizes(self) -> list[int]:
        return [draft.module.code_size for draft in self.drafts]

    def stacked(self, layout: Layout) -> StackedStep:
        """The members as one step; filled up where their code sizes differ."""
        several = len(set(self._sizes)) > 1
        modules = [f.fill() if several else d.module for f, d in zip(self.fillings, self.drafts, strict=True)]
        weights = {tuple(p.weight for p in d.choices.named_penalties().values()) for d in self.drafts}
        kind = Step if len(weights) == 1 else WeightedStep
        return StackedStep([d.choices.step(m, layout, kind) for d, m in zip(self.drafts, modules, strict=True)])

    def obstacle(self, material: Material) -> str | None:
        """Why the members cannot train side by side, in words; None where they can."""
        if len(self.drafts) == 1:
            return None
        if any(isinstance(penalty, CriticPenalty) for penalty in self.drafts[0].choices.named_penalties().values()):
            return "critics are trained by players of their own"
        for module in self.drafts[0].module.modules():
            for kinds, words in OBSTACLES:
                if isinstance(module, kinds):
                    return words
        rows = material.train.take(slice(TRIED))
        step = self.stacked(material.layout)
        try:
            with seeded(0):
                step.try_out(rows)
        except RuntimeError as error:
            return f"torch cannot stack them ({str(error).splitlines()[0][:120]})"
        return None

    def train(self, material: Material, training: Training) -> None:
        """Train all side by side, and give each estimator its share."""
        step = self.stacked(material.layout)
        penalties = [draft.choices.penalties for draft in self.drafts]
        loop = MemberLoop(
            step,
            Player(step, trainable(step)),
            training,
            hash_seed(material.seed, 5),
            seeds=[hash_seed(draft.seed, 1) for draft in self.drafts],
            watch=self._watch(step, material, training),
            words=f"{self.drafts[0].kind} {self._sizes} {penalties!r} {material.layout!r}",
        )
        for draft, member in zip(self.drafts, loop.members, strict=True):
            draft.choices.describe(member.history, draft.module)
        loop.fit(material.train, material.validation)
        for m, (draft, filling, member) in enumerate(zip(self.drafts, self.fillings, loop.members, strict=True)):
            if member.failed:
                continue
            state = step.members.member(m)
            own = {name.removeprefix("model."): t for name, t in state.items() if name.startswith("model.")}
            filling.take(own)
            module = draft.module.to(loop.device).eval()
            draft.model._take(material.format, draft.choices, module, member.history, material.train, draft.seed)

    def _watch(self, step: StackedStep, material: Material, training: Training) -> Any:
        seen = (material.train if material.validation is None else material.validation).take(slice(WATCHED))
        rows = seen.to(training.resolve_device())
        relative = not self.drafts[0].module.stochastic

        def watch() -> dict[str, list[float]]:
            return {"active_units": [float(n) for n in active_units_of(step.codes(rows), self._sizes, relative)]}

        return watch

    def sentence(self, obstacle: str | None) -> str:
        """What was done, in words."""
        n = len(self.drafts)
        if n == 1:
            return "1 model was trained by itself: no other has its shape"
        if obstacle is None:
            return f"{n} models of one shape were trained side by side"
        return f"{n} models were trained one after the other: {obstacle}"
