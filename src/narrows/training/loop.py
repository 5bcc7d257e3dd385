"""The loop: the only one in the project."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from narrows._types import Rows
from narrows.errors import InvalidParameter, TrainingFailed, TrainingWarning
from narrows.training.checkpoint import Checkpoints, fingerprint
from narrows.training.gather import Gather, gathered
from narrows.training.history import History
from narrows.training.progress import Progress
from narrows.training.ranks import local, ranks_for
from narrows.training.replay import Gradients
from narrows.training.resume import resume, standing
from narrows.training.seeds import same_threads, seeded
from narrows.training.settings import Training
from narrows.training.snapshot import Snapshot
from narrows.training.source import Source, batches, indexed, shuffled
from narrows.training.validation import computing, in_precision, validate

CHECK_EVERY = 50  # steps between looks at whether everything is still finite
ROLLBACKS = 12  # halvings of the learning rate before giving up
LOOK_EVERY = 100  # steps between looks at validation rows where an epoch is shorter and there are so many steps
LOOKS = 100  # how many looks a short run has at least, if it has so many epochs
PLANNED_AT = 0.05  # share of the time budget after which the number of steps is planned at the latest


@dataclass
class Player:
    """One optimiser's share of a model: which step it minimises, over which parameters, how often.

    Attributes:
        step: ``forward(batch, epoch) -> {"loss": (), …}``.
        parameters: What it may change.
        every: It moves at every n-th step.
        betas: How long Adam remembers gradients and their squares, where that is to be other than usual: an opponent
            that moves makes old gradients wrong.
        rate: Of learning, in units of the settings'.
    """

    step: nn.Module
    parameters: Sequence[Tensor]
    every: int = 1
    betas: tuple[float, float] | None = None
    rate: float = 1.0


class Loop:
    """Trains a module by one or several players.

    Everything that changes arithmetic is a function of the settings, the data and the seed, or is kept in the
    checkpoint: the same seed gives the same run, killed and resumed or not. The caller's random generators are left as
    they were.

    Args:
        module: Everything that is trained; its state is what is kept, rolled back and restored.
        players: Who trains what.
        training: The settings.
        seed: Whole number that fixes data order and noise.
        watch: Called after every recorded epoch in evaluation mode; returns further columns of the history.
        after_step: Called after every step (moving averages and the like).
        words: The configuration as text, which tells one run's checkpoint from another's.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    """What a checkpoint keeps besides: attributes that are plain JSON."""

    def __init__(
        self,
        module: nn.Module,
        players: Sequence[Player],
        training: Training,
        seed: int,
        *,
        watch: Callable[[], dict[str, float]] | None = None,
        after_step: Callable[[], None] | None = None,
        words: str = "",
    ) -> None:
        self.module = module
        self.players = players
        self.training = training
        self.seed = seed
        self.watch = watch
        self.after_step = after_step
        # neither where a run is kept nor who shares its work, or how much of the data lies in memory, makes it another
        aside: dict[str, Any] = {"checkpoint": None, "checkpoint_every": 0, "verbose": None}
        aside |= {"memory": None, "devices": None, "nodes": None, "strategy": "ddp"}
        self.words = f"{words} {training.set_params(**aside)!r} {seed}"
        self.ranks = ranks_for(training)
        self.device = training.resolve_device()
        self.history = History()

    def fit(self, rows: Rows | Source, validation: Rows | None = None) -> History:
        """Train on ``rows``; keep the weights that were best on ``validation``.

        Args:
            rows: Training rows, B of them; or a source of them, when they are more than memory holds.
            validation: Rows that are only looked at. None: the last weights are kept.

        Returns:
            The history. After an interruption from the keyboard it says so, and the best weights so far are kept.

        Raises:
            TrainingFailed: If training diverges again and again, or a checkpoint cannot be used.
            WorkerDied: If another of several processes died.
        """
        training = self.training
        self.batch, self.steps, epochs = training.plan(len(rows))
        if self.batch % self.ranks.size:
            raise InvalidParameter(
                f"batches of {self.batch} rows cannot be dealt out evenly to {self.ranks.size} processes: give "
                f"batch_size={max(1, self.batch // self.ranks.size) * self.ranks.size}"
            )
        self.total = self.steps * epochs
        self.patience = training.patience or max(10, epochs // 4)
        # on little data an epoch is a few steps: looking after each would cost as much as training
        apart = min(LOOK_EVERY, max(10, self.total // LOOKS))
        self.interval = math.ceil(apart / self.steps) * self.steps
        checkpoints = None
        if training.checkpoint is not None:
            checkpoints = Checkpoints(training.checkpoint, fingerprint(self.words, rows))
        # one process alone keeps checkpoints, and no other run may keep its own in the same folder
        held = checkpoints if checkpoints and self.ranks.rank == 0 else nullcontext()
        with held, seeded(self.seed), same_threads(self._threads(rows)), self.ranks.connected():
            self.module.to(self.device)
            self.rows = rows.to(self.device) if isinstance(rows, Rows) else rows
            self.gather = Gather(self.rows) if isinstance(self.rows, Rows) else None
            self.validation = None if validation is None or len(validation) == 0 else validation.to(self.device)
            self._begin(self.ranks.agree(checkpoints.load) if checkpoints else None)
            with Progress(self.total, training.verbose) as self.progress:
                try:
                    self._train(checkpoints)
                except KeyboardInterrupt:
                    if not self.history.rows and not self._look_back():
                        raise
                    self.history.stopped = f"interrupted in epoch {self.step // self.steps + 1}"
                    warnings.warn(
                        TrainingWarning(f"training was {self.history.stopped}; the best model so far is kept"),
                        stacklevel=2,
                    )
            self._finish()
            if checkpoints and self.ranks.rank == 0:
                checkpoints.clear()
        return self.history

    # --- beginning and end -----------------------------------------------------------------------------------

    def _begin(self, saved: tuple[dict[str, Tensor], dict[str, Any]] | None) -> None:
        steps = list[nn.Module]()
        for player in self.players:
            step, player.parameters = self.ranks.wrap(player.step, player.parameters)
            steps.append(step)
        self.optimisers = [self.training.make_optimiser(p.parameters, p.betas) for p in self.players]
        self.precision = self.training.resolve_precision()
        self.step = 0
        self.epoch = torch.zeros((), device=self.device)
        self.scale = 1.0
        self.rollbacks = 0
        self.planned = self.training.time_budget is None
        self.best_value = math.inf
        self.best: dict[str, Tensor] | None = None
        self.elapsed = 0.0
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self.count = 0
        if saved is not None:
            resume(self, *saved)
        context = computing(self.device, self.precision, self.ranks, self.batch)
        self.gradients = [
            Gradients(step, player.parameters, context, self.ranks, self.total)
            for step, player in zip(steps, self.players, strict=True)
        ]
        self.good = Snapshot(self.module, self.optimisers)
        self.started = time.perf_counter() - self.elapsed

    def _finish(self) -> None:
        if self.best is not None:
            self.module.load_state_dict(self.best)
        elif self.history.rows:
            self.history.best_epoch = int(self.history.rows[-1]["epoch"])
        for gradients in self.gradients:
            gradients.clear()
        self.ranks.unwrap(self.module)
        self.module.eval()

    # --- steps -----------------------------------------------------------------------------------------------

    def _train(self, checkpoints: Checkpoints | None) -> None:
        saved_at = time.perf_counter()
        coming: Iterator[dict[str, Tensor]] = iter(())
        of_epoch = -1
        self.module.train()
        while self.step < self.total:
            epoch, place = divmod(self.step, self.steps)
            if epoch != of_epoch:
                coming, of_epoch = self._batches(epoch, place), epoch
            self._step(next(coming))
            if self.step % self.interval and self.step % CHECK_EVERY and self.step < self.total and not self._late():
                continue
            if not self._healthy():
                self._roll_back()
                continue
            self._plan()
            recorded = self.step % self.interval == 0 or self.step >= self.total
            if recorded and self.sums is not None and self._record():
                return
            self.good.take()
            waited = self.training.checkpoint_every
            if checkpoints and self.ranks.agree(lambda: time.perf_counter() - saved_at >= waited):  # noqa: B023
                self.elapsed = time.perf_counter() - self.started
                whole, state = standing(self)
                if self.ranks.rank == 0:
                    checkpoints.save(whole, state)
                saved_at = time.perf_counter()
        if not self.history.rows:
            raise TrainingFailed("training diverged before the first epoch ended; try a smaller learning rate")
        over = self.planned and self.training.time_budget is not None and self.total < self._whole()
        self.history.stopped = self.history.stopped or (
            f"the time budget of {self.training.time_budget:g} s was used" if over else "all epochs were trained"
        )

    def _batches(self, epoch: int, place: int) -> Iterator[dict[str, Tensor]]:
        if self.gather is not None:
            return indexed(self.gather, self._order(epoch), self.batch, place, self.ranks.own)
        assert not isinstance(self.rows, Rows)
        return batches(self.rows, self.seed, epoch, self.batch, place, self.device, self.ranks.rank, self.ranks.size)

    def _step(self, batch: dict[str, Tensor]) -> None:
        epoch = self.epoch.fill_(self.step / self.steps)
        rate = self.training.learning_rate * self.scale * self.training.factor(self.step, self.total)
        for number, (player, optimiser) in enumerate(zip(self.players, self.optimisers, strict=True)):
            if self.step % player.every:
                continue
            gradients = self.gradients[number]
            values = gradients(batch, epoch)
            with torch.inference_mode(gradients.replayed):
                if self.training.clip is not None:
                    self._clip(player.parameters, self.training.clip)
                self._move(player.parameters, optimiser, rate * player.rate)
                if number == 0:
                    self._add(gradients.names, values)
        if self.after_step is not None:
            self.after_step()
        self.step += 1

    def _clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        self.ranks.clip(parameters, norm)

    def _move(self, parameters: Sequence[Tensor], optimiser: Any, rate: float) -> None:
        optimiser.move(rate)

    def _add(self, names: list[str], values: Tensor) -> None:
        """Sum up the losses on the device: reading them at every step would make a GPU wait."""
        if self.sums is None:
            self.names, self.sums, self.count = names, values, 1
        else:
            self.sums, self.count = self.sums + values, self.count + 1

    def _threads(self, rows: Rows | Source) -> int | None:
        if not isinstance(rows, Rows):
            return None
        parameters = sum(p.numel() for player in self.players for p in player.parameters)
        return self.training.threads(parameters, rows.values[0].numel(), self.batch)

    def _order(self, epoch: int) -> Tensor:
        """Which rows come when: a pure function of seed and epoch, so that there is no loader state to save."""
        order = shuffled(len(self.rows), self.seed, epoch).to(self.device)
        if isinstance(self.rows, Rows) and self.rows.group is not None and getattr(self.module, "grouped", False):
            return gathered(order, self.rows.group)
        return order

    def _whole(self) -> int:
        return self.steps * self.training.plan(len(self.rows))[2]

    def _late(self) -> bool:
        """Whether the time budget asks for a look now: steps may be so slow that few of them use it up."""
        budget = self.training.time_budget
        if budget is None or self.ranks.size > 1:  # clocks differ, and processes must look at the same steps
            return False
        return time.perf_counter() - self.started > (budget if self.planned else PLANNED_AT * budget)

    def _plan(self) -> None:
        """Once the speed is known, plan how many steps fit into the time budget."""
        budget = self.training.time_budget
        if budget is None:
            return
        self.elapsed = self.ranks.agree(lambda: time.perf_counter() - self.started)
        if not self.planned and (self.step >= self.interval or self.elapsed > PLANNED_AT * budget):
            # a tenth is kept back for validation and for steps that turn out slower
            left = int((0.9 * budget - self.elapsed) / (self.elapsed / self.step))
            self.total = min(self.total, self.step + max(left, 0))
            self.planned = True
        elif self.elapsed > budget:
            self.total = self.step
        self.progress.update(self.step, total=self.total)

    # --- health ----------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        """Whether losses and weights are finite. The one place where the host waits for the device."""
        norms = list(torch._foreach_norm([local(p.detach()) for player in self.players for p in player.parameters]))
        if self.sums is not None:
            norms.append(self.sums.norm())
        return self.ranks.all(bool(torch.isfinite(torch.stack(norms)).all()))

    def _roll_back(self) -> None:
        epoch = self.step // self.steps + 1
        self.rollbacks += 1
        rate = self.training.learning_rate * self.scale
        self.scale /= 2
        self.sums = None
        self.good.put_back()
        if self.rollbacks > ROLLBACKS:
            raise TrainingFailed(
                f"training diverged {self.rollbacks} times, the last time in epoch {epoch}, with a learning rate of "
                f"{rate:.3g}; look for extreme values in the data, or set clip=1.0"
            )
        event = (
            f"the loss was not finite in epoch {epoch}; went back to the last good weights with half the learning rate"
        )
        self.history.events.append(event)
        warnings.warn(TrainingWarning(event), stacklevel=4)

    # --- epochs ----------------------------------------------------------------------------------------------

    def _record(self) -> bool:
        """Write one row of the history; whether training should stop."""
        assert self.sums is not None
        epoch = math.ceil(self.step / self.steps)
        means = self.ranks.mean(self.sums / self.count).tolist()
        self.sums = None
        self.elapsed = time.perf_counter() - self.started
        row = {"epoch": epoch, "step": self.step, "seconds": self.elapsed}
        row["learning_rate"] = self.optimisers[0].param_groups[0]["lr"]
        row.update(zip(self.names, means, strict=True))
        self.module.eval()
        with torch.no_grad(), self.ranks.whole(self.module):
            if self.validation is not None:
                row.update({f"validation_{name}": float(value) for name, value in self._validate().items()})
            if self.watch is not None:
                row.update(self.watch())
        self.module.train()
        self.history.rows.append(row)
        shown = row.get("validation_loss", row["loss"])
        self.progress.update(self.step, words=f"epoch {epoch}  loss {shown:.4g}")
        return self._judge(epoch, row.get("validation_loss"))

    def _look_back(self) -> bool:
        """Look at the last good weights, when an epoch was trained; whether there was one."""
        if self.step < self.steps or self.sums is None:
            return False
        self.good.put_back()
        self._record()
        return True

    def _judge(self, epoch: int, value: float | None) -> bool:
        if value is None:
            return False
        if value < self.best_value:
            self.best_value, self.history.best_epoch = value, epoch
            # a copy: the live weights go on changing
            self.best = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        if epoch - self.history.best_epoch >= self.patience:
            self.history.stopped = f"no better validation loss for {self.patience} epochs"
            return True
        return False

    def _validate(self) -> dict[str, Tensor]:
        assert self.validation is not None
        return validate(self.players[0].step, self.validation, in_precision(self.device, self.precision))


def trainable(*modules: Iterable[nn.Module] | nn.Module) -> list[Tensor]:
    """The parameters of some modules that want gradients, each once."""
    found: dict[int, Tensor] = {}
    for module in modules:
        for one in [module] if isinstance(module, nn.Module) else module:
            found |= {id(p): p for p in one.parameters() if p.requires_grad}
    return list(found.values())
