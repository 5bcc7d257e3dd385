"""The settings of the loop: one part, shared by every model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import torch

from narrows._part import Interval, Part, Positive
from narrows.training.optimisers import SGD, FusedAdam

AtLeastOne = Interval(1)
SHARED_WORK = 2e7  # floating-point operations per step below which waiting for other threads costs more than they save
SHARED_NUMBERS = 32_768  # torch itself computes fewer elements than this on one thread


class Training(Part, room="training"):
    """How a model is trained.

    Args:
        epochs: Passes over the training rows, at most. None: as many as make about 8,000 steps, from 20 to 2,000.
        batch_size: Rows per step. None: 32 below 2,000 rows, 64 below 5,000, else 128.
        learning_rate: The highest rate that the schedule reaches.
        optimiser: ``"adam"``, ``"adamw"`` or ``"sgd"`` (with Nesterov momentum 0.9).
        weight_decay: L2 penalty of the weights as the optimiser applies it.
        schedule: ``"cosine"`` (a short linear warm-up, then down to nothing at the last step) or ``"constant"``.
        clip: Largest norm of the gradient; longer ones are shortened to it. None: no limit.
        validation: Share of the rows held out to watch over-fitting. 0: none; below 50 rows none are held out.
        patience: Epochs without a better validation loss before training stops. None: a quarter of all epochs,
            at least 10.
        time_budget: Seconds of training at most. The number of steps is planned from the speed of the first ones, and
            the plan is kept in checkpoints, so that a resumed run stays the same run. None: no limit.
        device: ``"auto"`` (a GPU when there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …
        devices: Processes per machine that train together (data parallel), each on a device of its own (one GPU, or a
            share of the CPU's cores): every one takes an equal part of every batch. None: as many as ``torchrun``
            started, else one. More than one without ``torchrun`` starts the script again for each.
        nodes: Machines that train together, each started by ``torchrun``. None: as ``torchrun`` says, else one.
        precision: ``"float32"``, ``"bfloat16"`` (mixed precision: weights stay in float32) or ``"auto"`` (bfloat16
            where the device has matrix units for it, so results differ between machines; a resumed run stays with what
            it began with).
        memory: What data may take in memory, such as ``"1GiB"``: files that would take more are read piece by piece.
            None: half of this machine's memory.
        checkpoint: Folder for checkpoints. A run that was killed goes on from there, bit by bit as if nothing had
            happened, when the same fit is called again with the same ``random_state`` (a number: None is another run
            every time). The folder is emptied when training ends.
        checkpoint_every: Seconds between checkpoints. 0: one after every epoch.
        verbose: Whether to show progress; None: when the error stream is a terminal.
    """

    epochs: Annotated[int, AtLeastOne] | None = None
    batch_size: Annotated[int, AtLeastOne] | None = None
    learning_rate: Annotated[float, Positive] = 2e-3
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Interval(0)] = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: Annotated[float, Positive] | None = None
    validation: Annotated[float, Interval(0, 1, open_high=True)] = 0.1
    patience: Annotated[int, AtLeastOne] | None = None
    time_budget: Annotated[float, Positive] | None = None
    device: str = "auto"
    devices: Annotated[int, AtLeastOne] | None = None
    nodes: Annotated[int, AtLeastOne] | None = None
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    memory: int | str | None = None
    checkpoint: str | None = None
    checkpoint_every: Annotated[float, Interval(0)] = 30.0
    verbose: bool | int | None = None

    WARMUP = 0.05

    def resolve_device(self) -> torch.device:
        """The device to train on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def resolve_precision(self) -> str:
        """``"float32"`` or ``"bfloat16"``."""
        if self.precision != "auto":
            return self.precision
        if self.resolve_device().type == "cuda":
            units = torch.cuda.get_device_capability(self.resolve_device()) >= (8, 0)
        else:
            units = self.resolve_device().type == "cpu" and torch.cpu._is_amx_tile_supported()
        return "bfloat16" if units else "float32"

    def plan(self, n: int) -> tuple[int, int, int]:
        """Batch size, steps per epoch and epochs for ``n`` training rows.

        An epoch is made of full batches only: the few rows left over differ from epoch to epoch.
        """
        batch = self.batch_size or (32 if n < 2_000 else 64 if n < 5_000 else 128)
        batch = min(batch, n)
        steps = n // batch
        epochs = self.epochs or min(2_000, max(20, math.ceil(8_000 / steps)))
        return batch, steps, epochs

    def held_out(self, n: int) -> int:
        """How many of ``n`` rows are held out for validation; at least two are left to train on."""
        return 0 if n < 50 else min(round(self.validation * n), n - 2)

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied with at ``step`` of ``steps``, in (0, 1]."""
        if self.schedule == "constant":
            return 1.0
        warm = max(1, min(500, int(self.WARMUP * steps)))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) + 1e-4

    def make_optimiser(
        self, parameters: Iterable[torch.Tensor], betas: tuple[float, float] | None = None
    ) -> FusedAdam | SGD:
        """The optimiser for some parameters; ``betas`` are Adam's, where they are to be other than usual."""
        if self.optimiser == "sgd":
            return SGD(parameters, self.learning_rate, self.weight_decay)
        made = FusedAdam(parameters, self.learning_rate, self.weight_decay, decoupled=self.optimiser == "adamw")
        if betas is not None:
            made.param_groups[0]["betas"] = betas
        return made

    def threads(self, parameters: int, elements: int, batch: int) -> int | None:
        """How many threads to compute with: one where the work of a step is too small to share out.

        Args:
            parameters: How many numbers are trained.
            elements: How many numbers a row has.
            batch: Rows per step.

        Returns:
            1, or None for as many as torch is set to.
        """
        return 1 if 6 * parameters * batch < SHARED_WORK and elements * batch < SHARED_NUMBERS else None
