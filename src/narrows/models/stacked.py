"""Equal modules side by side as one: their weights stacked, their products batched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.func import stack_module_state, vmap
from torch.overrides import TorchFunctionMode

from narrows._types import Rows
from narrows.training import Step

_Places = dict[str, tuple[dict[str, Any], str]]


def _holders(skeleton: nn.Module) -> _Places:
    """Where the weights and buffers of a skeleton are kept, by their names; found once."""
    found: _Places = {}
    for path, module in skeleton.named_modules():
        for held in (module._parameters, module._buffers):
            found |= {f"{path}.{key}".lstrip("."): (held, key) for key, t in held.items() if t is not None}
    vars(skeleton)["_places"] = found
    return found


def _put(places: _Places, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        held, key = places[name]
        held[key] = tensor


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
        skeleton = self._skeleton[0] if by is None else by
        if skeleton.training != self.training:
            skeleton.train(self.training)
        places: _Places = vars(skeleton).get("_places") or _holders(skeleton)
        state = {name: getattr(self, key) for key, name in self._names.items() if name in places}
        dims = ({name: self._places[name] for name in state}, 0)

        def run(weights: dict[str, Tensor], own: Any) -> Any:
            # what functional_call does, which takes longer than a small network's arithmetic
            meta = {name: places[name][0][places[name][1]] for name in weights}
            try:
                _put(places, weights)
                return skeleton(*own)
            finally:
                _put(places, meta)

        with _Batched() if torch.is_grad_enabled() else nullcontext():
            return vmap(run, in_dims=dims, randomness="different")(state, inputs)

    def member(self, m: int) -> dict[str, Tensor]:
        """The weights and buffers of member m, by the names they have in a module."""
        tensors = {name: getattr(self, key).detach() for key, name in self._names.items()}
        return {name: t if self._places[name] is None else t[m] for name, t in tensors.items()}


class _Batched(TorchFunctionMode):
    """Within it linear layers are `_Linear`: vmap's own rule takes three operations more, and as many gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # derivatives and maps within a member (Jacobians) know nothing of it
        alone = func is F.linear and len(retrieve_all_functorch_interpreters()) == 1
        if alone and len(args) == 3 and not kwargs and args[2] is not None:
            return _Linear.apply(*args)  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


class _Linear(torch.autograd.Function):
    """``x W^T + b``, of one member or of all."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("only within vmap")

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, int]:
        size = info.batch_size
        x, weight, bias = (
            t.expand(size, *t.shape) if place is None else t.movedim(place, 0)
            for t, place in zip((x, weight, bias), in_dims, strict=True)
        )
        rows = x.reshape(size, -1, x.shape[-1])
        found: Tensor = _Linears.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        return found.view(*x.shape[:-1], weight.shape[1]), 0


class _Linears(torch.autograd.Function):
    """``(M, B, I) -> (M, B, O)``, with the gradient of a weight in the weight's own layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if wanted[0] else None,
            torch.bmm(gradient.transpose(1, 2), x) if wanted[1] else None,
            gradient.sum(1) if wanted[2] else None,
        )


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
