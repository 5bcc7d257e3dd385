"""Copies of all that training changes, to go back to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from narrows.training.checkpoint import load_optimiser, optimiser_tensors
from narrows.training.ranks import local


class Snapshot:
    """The last good state of a module and its optimisers.

    Args:
        module: What is trained.
        optimisers: What trains it.

    Attributes:
        states: Copies by name: the module's state, then each optimiser's.
    """

    def __init__(self, module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        self.module, self.optimisers = module, optimisers
        self.moments: list[dict[str, Tensor]] = []
        self.states: list[dict[str, Tensor]] = []
        self.take()

    def take(self) -> None:
        """Bring the copies up to date, in the memory of the last ones where there is the same to copy."""
        entries = (value for o in self.optimisers for state in o.state.values() for value in state.values())
        # naming an optimiser's state costs more than copying it, and its tensors stay the same from step to step
        if not self.moments or sum(map(len, self.moments)) != sum(isinstance(v, Tensor) for v in entries):
            self.moments = [optimiser_tensors(optimiser) for optimiser in self.optimisers]
        live = [self.module.state_dict(), *self.moments]
        if [list(state) for state in live] != [list(copies) for copies in self.states]:
            self.states = [{name: tensor.detach().clone() for name, tensor in state.items()} for state in live]
            return
        for state, copies in zip(live, self.states, strict=True):
            if state:
                torch._foreach_copy_([*map(local, copies.values())], [local(t.detach()) for t in state.values()])

    def put_back(self) -> None:
        """Make module and optimisers what they were."""
        self.module.load_state_dict(self.states[0])
        for optimiser, state in zip(self.optimisers, self.states[1:], strict=True):
            load_optimiser(optimiser, state)
        self.moments = []  # the optimisers hold other tensors now
