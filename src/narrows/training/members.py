"""Many models in the one loop: each is judged, stopped, rolled back and kept by itself."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from narrows.errors import InvalidParameter, TrainingFailed, TrainingWarning
from narrows.training.checkpoint import load_optimiser, optimiser_tensors
from narrows.training.history import History
from narrows.training.loop import ROLLBACKS, Loop, Player
from narrows.training.settings import Training
from narrows.training.source import shuffled


@dataclass(eq=False)
class Member:
    """One model's share of a run.

    Attributes:
        seed: Fixes the order in which it sees the rows.
        history: Its epochs.
        scale: What its steps are multiplied with; halved whenever it diverges, 0 when it is given up.
        rollbacks: How often it diverged.
        best: Its lowest validation loss.
        since: How many of the steps since the last record do not count, since they were rolled back.
        ended: Why it is no longer judged; empty while it is.
    """

    seed: int
    history: History = field(default_factory=History)
    scale: float = 1.0
    rollbacks: int = 0
    best: float = math.inf
    since: int = 0
    ended: str = ""

    @property
    def failed(self) -> bool:
        """Whether it diverged again and again and was given up."""
        return self.scale == 0


class MemberLoop(Loop):
    """The loop over a step that holds M models, whose tensors all have the members first (`StackedStep`).

    Every member sees the rows in its own order, the one that it would see if it were trained alone. Early stopping, the
    best weights and rollbacks are its own: a member that has stopped goes on moving with the others, which costs
    nothing, but what it becomes is not looked at; one that diverges goes back to its own last good weights and takes
    half steps, and is given up after as many rollbacks as would end a lone run, while the others go on.

    Args:
        step: The M models as one step, ``forward(batch, epoch) -> {"loss": (), "losses": (M,), term: (M,), …}``.
        player: Who trains it.
        training: The settings.
        seed: Fixes the noise.
        seeds: Of every member, what fixes the order of its rows.
        watch: Further columns of the histories: one number per member each.
        words: The configuration as text.
    """

    kept: ClassVar[tuple[str, ...]] = ("states",)

    def __init__(
        self,
        step: torch.nn.Module,
        player: Player,
        training: Training,
        seed: int,
        *,
        seeds: Sequence[int],
        watch: Callable[[], dict[str, Sequence[float]]] | None = None,
        words: str = "",
    ) -> None:
        super().__init__(step, [player], training, seed, words=f"{words} {list(seeds)}")
        if self.ranks.size > 1:
            raise InvalidParameter("models side by side train in one process: leave devices and torchrun out")
        self.members = [Member(s) for s in seeds]
        self.watch_members = watch

    # --- what a checkpoint keeps -----------------------------------------------------------------------------

    @property
    def states(self) -> list[dict[str, Any]]:
        """Of every member all but its weights, as plain JSON."""
        found = [{**asdict(m), "history": m.history.to_config()} for m in self.members]
        return [{**state, "best": None if math.isinf(state["best"]) else state["best"]} for state in found]

    @states.setter
    def states(self, found: list[dict[str, Any]]) -> None:
        for member, state in zip(self.members, found, strict=True):
            member.__dict__.update(state)
            member.history = History.from_config(state["history"])
            member.best = math.inf if state["best"] is None else state["best"]

    # --- steps -----------------------------------------------------------------------------------------------

    def _order(self, epoch: int) -> Tensor:
        orders = [shuffled(len(self.rows), member.seed, epoch) for member in self.members]
        return torch.stack(orders, dim=1).to(self.device)

    def _batches(self, epoch: int, place: int) -> Iterator[dict[str, Tensor]]:
        assert self.gather is not None
        members, batch = len(self.members), self.batch
        order = self._order(epoch)[: self.steps * batch].view(self.steps, batch, members)
        # a step's rows, member by member
        for index in order.transpose(1, 2).reshape(self.steps, -1)[place:]:
            yield {name: t.view(members, batch, *t.shape[1:]) for name, t in self.gather(index).items()}

    def _clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        lengths = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0).sqrt()
        factor = (norm / (lengths + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(_broad(factor, gradient))

    def _move(self, parameters: Sequence[Tensor], optimiser: Any, rate: float) -> None:
        if all(member.scale == 1 for member in self.members):
            return optimiser.move(rate)
        before = [p.detach().clone() for p in parameters]
        optimiser.move(rate)
        scale = torch.tensor([member.scale for member in self.members], device=self.device)
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                by = _broad(scale, p)
                p.copy_(torch.where(by > 0, old + by * (p - old), old))
        return None

    def _add(self, names: list[str], values: Tensor) -> None:
        if self.sums is None:
            for member in self.members:
                member.since = 0
        # the members' losses stand in the place of their sum
        self.names, own = ["loss", *names[2:]], values[1:]
        self.sums, self.count = (own, 1) if self.sums is None else (self.sums + own, self.count + 1)

    # --- health ----------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        parameters = self.players[0].parameters
        finite = [torch.isfinite(p).reshape(len(p), -1).all(1) for p in parameters]
        finite += [] if self.sums is None else [torch.isfinite(self.sums).all(0)]
        fine = torch.stack(finite).all(0).tolist()
        bad = [m for m, member in enumerate(self.members) if not fine[m] and not member.failed]
        for m in bad:
            self._again(self.members[m])
        if bad:
            self._put_back(torch.tensor(bad, device=self.device))
        if all(member.failed for member in self.members):
            raise TrainingFailed(
                f"all {len(self.members)} models diverged {ROLLBACKS + 1} times each; look for extreme values in the "
                "data, give a smaller learning rate, or set clip=1.0"
            )
        return True

    def _again(self, member: Member) -> None:
        epoch = math.ceil(self.step / self.steps)
        member.rollbacks += 1
        member.since = self.count
        member.scale = 0.0 if member.rollbacks > ROLLBACKS else member.scale / 2
        event = (
            f"the loss was not finite in epoch {epoch}; "
            f"{'given up' if member.failed else 'went back to the last good weights with half the learning rate'}"
        )
        if member.failed:
            member.ended = f"diverged {member.rollbacks} times"
        member.history.events.append(event)
        warnings.warn(TrainingWarning(f"model {self.members.index(member)}: {event}"), stacklevel=5)

    def _put_back(self, bad: Tensor) -> None:
        """Some members as they were when all was well."""
        good, last = self.good.states
        if self.sums is not None:
            self.sums[:, bad] = 0
        for name, tensor in self.module.state_dict().items():
            tensor[bad] = good[name][bad]
        optimiser = self.optimisers[0]
        moments = optimiser_tensors(optimiser)
        for name, tensor in moments.items():
            if tensor.ndim:
                old = last.get(name)
                tensor[bad] = 0 if old is None else old[bad]
        load_optimiser(optimiser, moments)
        self.good.moments = []  # the optimiser holds other tensors now

    # --- epochs ----------------------------------------------------------------------------------------------

    def _record(self) -> bool:
        assert self.sums is not None
        epoch = math.ceil(self.step / self.steps)
        counted = torch.tensor([self.count - member.since for member in self.members], device=self.device)
        columns = dict(zip(self.names, (self.sums / counted).tolist(), strict=True))
        self.sums = None
        self.module.eval()
        with torch.no_grad():
            if self.validation is not None:
                measured = {n: v.tolist() for n, v in self._validate().items() if n != "loss"}
                columns |= {f"validation_{'loss' if n == 'losses' else n}": v for n, v in measured.items()}
            if self.watch_members is not None:
                columns |= {name: list(values) for name, values in self.watch_members().items()}
        self.module.train()
        self._write(epoch, columns)
        return self._judge_all(epoch, columns.get("validation_loss"))

    def _write(self, epoch: int, columns: dict[str, list[float]]) -> None:
        self.elapsed = time.perf_counter() - self.started
        rate = self.optimisers[0].param_groups[0]["lr"]
        common = {"epoch": epoch, "step": self.step, "seconds": self.elapsed}
        for m, member in enumerate(self.members):
            if not member.ended:
                own = {name: values[m] for name, values in columns.items()}
                member.history.rows.append({**common, "learning_rate": rate * member.scale, **own})
        left = [m for m, member in enumerate(self.members) if not member.failed]
        means = {name: _mean([values[m] for m in left]) for name, values in columns.items()}
        row = {**common, "learning_rate": rate, **means}
        self.history.rows.append(row)
        shown = row.get("validation_loss", row["loss"])
        self.progress.update(self.step, words=f"epoch {epoch}  loss {shown:.4g} (mean of {len(left)})")

    def _judge_all(self, epoch: int, values: list[float] | None) -> bool:
        if values is None:
            return False
        live = {name: tensor.detach() for name, tensor in self.module.state_dict().items()}
        if self.best is None:
            self.best = {name: tensor.clone() for name, tensor in live.items()}
        better = [m for m, x in enumerate(self.members) if not x.ended and values[m] < x.best]
        for m in better:
            self.members[m].best, self.members[m].history.best_epoch = values[m], epoch
        if better:
            index = torch.tensor(better, device=self.device)
            for name, tensor in live.items():
                self.best[name][index] = tensor[index]
        for member in self.members:
            if not member.ended and epoch - member.history.best_epoch >= self.patience:
                member.ended = f"no better validation loss for {self.patience} epochs"
        if all(member.ended for member in self.members):
            self.history.stopped = f"no better validation loss of any model for {self.patience} epochs"
            return True
        return False

    def _finish(self) -> None:
        kept = [m for m, member in enumerate(self.members) if math.isfinite(member.best)]
        if self.best is not None and kept:
            index = torch.tensor(kept, device=self.device)
            for name, tensor in self.module.state_dict().items():
                tensor[index] = self.best[name][index]
        for member in self.members:
            history = member.history
            history.stopped = member.ended or self.history.stopped
            if not math.isfinite(member.best) and history.rows:
                history.best_epoch = int(history.rows[-1]["epoch"])
        self.module.eval()


def _mean(values: Sequence[float]) -> float:
    """The mean of those that are finite."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _broad(values: Tensor, like: Tensor) -> Tensor:
    """``(M,)`` with as many axes as ``like`` ``(M, …)``."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
