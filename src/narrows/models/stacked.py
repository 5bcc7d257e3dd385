"""Equal modules side by side as one: their weights stacked, their products batched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from narrows._types import Rows
from narrows.training import Step


class StackedModule(nn.Module):
    """M modules of one shape as one: every weight has the members first, ``(M, …)``.

    Small networks leave most of a processor idle; side by side they take little longer than one.

    Args:
        members: The modules, equal but for their weights; without buffers that change in training.

    Example:
        ```python
        stacked = StackedModule([torch.nn.Linear(3, 2) for _ in range(8)])
        stacked(torch.rand(8, 10, 3)).shape  # (8, 10, 2)
        ```
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(members))
        self.size = len(members)
        # kept in a tuple: the skeleton's own weights are neither trained nor saved
        self._skeleton = (copy.deepcopy(members[0]).to("meta"),)
        self._names = {name.replace(".", "/"): name for name in (*parameters, *buffers)}
        self._places: dict[str, int | None] = dict.fromkeys(self._names.values(), 0)
        for name, tensor in parameters.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(tensor.detach()))
        for name, tensor in buffers.items():
            self._buffer(name, tensor)

    def _buffer(self, name: str, tensor: Tensor) -> None:
        # indices follow from the layout: equal for all, and cheaper to look up when they are one tensor
        shared = not tensor.is_floating_point() and bool((tensor == tensor[:1]).all())
        self._places[name] = None if shared else 0
        self.register_buffer(name.replace(".", "/"), tensor[0] if shared else tensor, persistent=not shared)

    def forward(self, *inputs: Any) -> Any:
        """Every member's result: inputs ``(M, …)`` (or dictionaries of such) to results ``(M, …)``."""
        return self.call(*inputs)

    def call(self, *inputs: Any, by: nn.Module | None = None) -> Any:
        """The same, or what another module makes of the members' weights.

        Args:
            inputs: As in ``forward``.
            by: Another module that has weights of the members' names, to do it by.
        """
        skeleton = (by or self._skeleton[0]).train(self.training)
        own = {name for name, _ in (*skeleton.named_parameters(), *skeleton.named_buffers())}
        state = {name: getattr(self, key) for key, name in self._names.items() if name in own}
        return self._map(skeleton, state, inputs)

    def _map(self, skeleton: nn.Module, state: dict[str, Tensor], inputs: Any) -> Any:
        def run(weights: dict[str, Tensor], own: Any) -> Any:
            return functional_call(skeleton, weights, own)

        places = ({name: self._places[name] for name in state}, 0)
        return vmap(run, in_dims=places, randomness="different")(state, inputs)

    def member(self, m: int) -> dict[str, Tensor]:
        """The weights and buffers of member m, by the names they have in a module."""
        tensors = {name: getattr(self, key).detach() for key, name in self._names.items()}
        return {name: t if self._places[name] is None else t[m] for name, t in tensors.items()}


class StackedStep(nn.Module):
    """M steps of one shape as one step: what the loop trains when it trains many models side by side.

    Args:
        steps: The members' steps, equal but for their weights.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__()
        self.members = StackedModule(steps)
        self.size = len(steps)
        self._row = len(steps[0].layout.shape)
        self._codes = (_Codes(steps[0].model).to("meta"),)
        self.pure = all(step.pure for step in steps)

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The sum of the members' losses, and each member's.

        Args:
            batch: The tensors of some `Rows`, by field: ``(B, …)`` for all members or ``(M, B, …)``, one set for each.
            epoch: ``()`` how many epochs have been trained, as a fraction.

        Returns:
            ``"loss"`` ``()``, then ``"losses"`` and every term by name, each ``(M,)``.
        """
        found = self.members(self._spread(batch), epoch.expand(self.size))
        losses = found.pop("loss")
        return {"loss": losses.sum(), "losses": losses, **found}

    def try_out(self, rows: Rows) -> None:
        """Go through a step of training, without moving.

        Raises:
            RuntimeError: If torch cannot stack what the members do.
        """
        found = self.members.call(self._spread(rows.tensors()), torch.zeros(self.size))
        torch.autograd.grad(found["loss"].sum(), list(self.members.parameters()), allow_unused=True)

    def codes(self, rows: Rows) -> Tensor:
        """Every member's mean codes of the same rows, ``(M, B, L)``."""
        return self.members.call(self._spread(rows.tensors()), by=self._codes[0])

    def _spread(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if batch["values"].ndim == self._row + 2:
            return batch
        return {name: tensor.expand(self.size, *tensor.shape) for name, tensor in batch.items()}


class _Codes(nn.Module):
    """The mean codes of rows, by a model whose weights are named as they are in a step."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``(B, L)``."""
        encode: Any = self.model.encode
        return encode(Rows(**batch))
