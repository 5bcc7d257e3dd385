"""A training step as a plain list of tensor operations: recorded once, then run again without modules and autograd.

A small network spends most of a step in Python and in autograd's bookkeeping, not in arithmetic. Here the operations of
one step, forward and backward, are written down as they reach the processor; later steps run the list. The same kernels
meet the same numbers in the same order, so results are equal bit by bit and nobody can tell a replayed run from an
ordinary one, which is also checked on the step after the recording before the list is used at all.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from narrows.training.ranks import Ranks

PAYS = 60  # steps of a run from which a recording pays: it costs as much as it saves in thirty of a small network
AFTER = 4  # steps after which it is made: by then whatever is made on first use is there

# what these give depends on shapes alone
FILLED = {
    "ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full", "ones", "zeros", "full", "arange",
    "scalar_tensor",
}  # fmt: skip
# Python's own bindings of these parse their arguments in half the time
DIRECT = {
    "add", "addmm", "baddbmm", "bmm", "cat", "div", "exp", "mean", "mm", "mul", "neg", "pow", "sigmoid", "stack", "sub",
    "sum", "t", "tanh", "transpose", "unsqueeze", "where",
}  # fmt: skip
METHODS = {"view", "expand"}


class Gradients:
    """Loss terms and gradients of one player's step: by autograd at first, by a recording of it later.

    Args:
        step: ``forward(batch, epoch) -> {"loss": (), …}``. Only a step with a true attribute ``pure`` is recorded: one
            that promises to be the same operations at every call, whatever the numbers.
        parameters: What gradients are wanted for.
        context: Makes the context to compute in.
        ranks: The processes that train together; None: this one alone. Only a process alone replays.
        steps: How many steps the run has; None: many. Short ones are not worth a recording.

    Attributes:
        names: Names of the terms, the loss first.
        replayed: Whether the last call was a replay. Its gradients may only be changed in inference mode.
    """

    def __init__(
        self,
        step: nn.Module,
        parameters: Sequence[Tensor],
        context: Callable[[], AbstractContextManager[Any]],
        ranks: Ranks | None = None,
        steps: int | None = None,
    ) -> None:
        self.step, self.parameters, self.context = step, list(parameters), context
        self.ranks = ranks or Ranks()
        self.names: list[str] = []
        self.replayed = False
        self.calls = 0
        self.tape: Tape | None = None
        long = steps is None or steps >= PAYS
        self.wanted = long and self.ranks.size == 1 and bool(getattr(step, "pure", False))

    def __call__(self, batch: dict[str, Tensor], epoch: Tensor) -> Tensor:
        """Set every parameter's ``grad``.

        Args:
            batch: The tensors of some `Rows`, by field.
            epoch: ``()`` how many epochs have been trained.

        Returns:
            ``(terms,)`` the terms in the order of ``names``, in nats per row; ``(terms, M)`` of a step of M models.
        """
        self.calls += self.wanted
        self.replayed = False
        if not self.wanted or self.calls <= AFTER:
            return self._ordinary(batch, epoch)
        if self.tape is None:
            return self._record(batch, epoch)
        if not self.tape.fits(batch):
            return self._ordinary(batch, epoch)
        if not self.tape.checked:
            return self._check(batch, epoch)
        self.replayed = True
        values, gradients = self.tape(batch, epoch)
        self._set(gradients)
        return values

    def clear(self) -> None:
        """Leave no gradients behind: those of a replay cannot be added to outside inference mode."""
        self._set([None] * len(self.parameters))

    def _ordinary(self, batch: dict[str, Tensor], epoch: Tensor) -> Tensor:
        self.clear()
        result = self._forward(batch, epoch)
        self.ranks.backward(result["loss"])
        return _values(result)

    def _forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        with self.context():
            result: dict[str, Tensor] = self.step(batch, epoch)
        self.names = list(result)
        return result

    def _set(self, gradients: Sequence[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def _record(self, batch: dict[str, Tensor], epoch: Tensor) -> Tensor:
        """An ordinary step, written down."""
        with Recorder() as recorder:
            result = self._forward(batch, epoch)
            found = torch.autograd.grad(result["loss"], self.parameters, allow_unused=True)
            gradients = [_laid_out(g, p) for g, p in zip(found, self.parameters, strict=True)]
            values = _values(result)
        self._set(gradients)
        self.wanted = not recorder.refused
        if self.wanted:
            self.tape = recorder.tape(batch, epoch, values, gradients)
        return values

    def _check(self, batch: dict[str, Tensor], epoch: Tensor) -> Tensor:
        """An ordinary step beside a replay of it, which must leave everything the same bit by bit."""
        assert self.tape is not None
        buffers, device = list(self.step.buffers()), epoch.device
        before = _everything(buffers, device)
        values = self._ordinary(batch, epoch)
        gradients = [p.grad for p in self.parameters]
        replaced = any(a is not b for a, b in zip(buffers, self.step.buffers(), strict=True))
        after = _everything(buffers, device)
        _restore(buffers, device, before)
        try:
            found, replayed = self.tape(batch, epoch)
            same = _equal([values, *gradients], [found, *replayed]) and _equal(after, _everything(buffers, device))
        except (RuntimeError, TypeError, NotImplementedError):
            same = False
        _restore(buffers, device, after)
        self.wanted = self.tape.checked = same and not replaced
        return values


def _values(result: dict[str, Tensor]) -> Tensor:
    values = [value.detach().float() for value in result.values()]
    # many models in one step have a loss together, and each its own terms
    widest = max(values, key=torch.Tensor.dim)
    return torch.stack([value if value.ndim == widest.ndim else value.expand_as(widest) for value in values])


def _strides(tensor: Tensor) -> list[int]:
    """Steps in memory along the axes where there are any."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def _laid_out(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """The gradient in the memory layout of its parameter, as ``backward`` gives it: fused optimisers rely on that."""
    if gradient is None or _strides(gradient) == _strides(parameter):
        return gradient
    return torch.empty_strided(parameter.shape, parameter.stride(), dtype=gradient.dtype, device=gradient.device).copy_(
        gradient
    )


def _everything(buffers: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copies of all that a step may change besides gradients."""
    random = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    return [*random, *(b.detach().clone() for b in buffers)]


def _restore(buffers: Sequence[Tensor], device: torch.device, state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
    with torch.no_grad():
        for buffer, value in zip(buffers, state[len(state) - len(buffers) :], strict=True):
            buffer.copy_(value)


def _equal(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(x is y if x is None or y is None else _same(x, y) for x, y in pairs)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and _strides(a) == _strides(b) and torch.equal(a, b)


@dataclass
class Call:
    """One operation: what was called with what, and what came out."""

    function: OpOverload[Any, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """The operation without its overload."""
        return self.function._schema.name.removeprefix("aten::")

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that went in."""
        return list(_tensors((self.args, self.kwargs)))

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that came out."""
        return list(_tensors(self.result))

    @property
    def lasting(self) -> bool:
        """Whether it does more than give a result: write into memory, or draw random numbers."""
        return self.function._schema.is_mutable or torch.Tag.nondeterministic_seeded in self.function.tags

    @property
    def fixed(self) -> bool:
        """Whether it would be the same operation for all numbers of these shapes."""
        if self.name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            return all(t.dtype not in (torch.bool, torch.uint8) for t in _tensors(self.args[1]))
        return not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(self.function.tags)

    def written(self) -> Iterator[Tensor]:
        """The tensors that it writes into."""
        named = zip(self.function._schema.arguments, self.args, strict=False)
        for argument, value in [*named, *((a, self.kwargs.get(a.name)) for a in self.function._schema.arguments)]:
            if argument.alias_info is not None and argument.alias_info.is_write:
                yield from _tensors(value)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor))


def _place(tensor: Tensor) -> Any:
    """Where a tensor lies in memory, and how: tensors of one place are one tensor."""
    if not tensor.numel():
        return id(tensor)
    shape = tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset(), tensor.dtype
    return tensor.untyped_storage().data_ptr(), *shape


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that happens while it is entered.

    Attributes:
        calls: The operations. They hold on to every tensor, so that no memory is used twice.
        refused: Why this cannot be replayed; empty when it can.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.refused = ""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would have its compiler leave this alone, and import the compiler, 80 MB of it, to say so
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and write it down."""
        call = Call(func, args, kwargs or {}, func(*args, **(kwargs or {})))
        self.calls.append(call)
        if not call.fixed:
            self.refused = f"{func} depends on the numbers it meets"
        return call.result

    def tape(self, batch: dict[str, Tensor], epoch: Tensor, values: Tensor, gradients: Sequence[Tensor | None]) -> Tape:
        """What was written down, as a function of the batch and the epoch."""
        sheet = Sheet({_place(t) for call in self.calls for t in _storages(call)}, [*batch.values(), epoch])
        for call in self.calls:
            sheet.add(call)
        return Tape(*sheet.finish((values, tuple(gradients))), {name: t.shape for name, t in batch.items()})


def _storages(call: Call) -> Iterator[Tensor]:
    return (t for t in call.written() if t.numel())


class Sheet:
    """Sorts recorded operations into what must be done at every step and what is the same at all of them.

    Tensors that the operations did not make are weights and buffers: they stay where they are, and so do views of them.
    What follows from shapes alone is kept as it came out.

    Args:
        written: Places that some operation writes into.
        inputs: What is new at every step.
    """

    def __init__(self, written: set[Any], inputs: Sequence[Tensor]) -> None:
        self.written = {place[0] for place in written if isinstance(place, tuple)}
        self.inputs = [_place(tensor) for tensor in inputs]
        self.made = set(self.inputs)
        self.constants: dict[Any, Tensor] = {}
        self.frozen: set[Any] = set()
        self.calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Take in the next operation."""
        places = [_place(t) for t in call.inputs]
        for place, tensor in zip(places, call.inputs, strict=True):
            if place not in self.made and place not in self.constants:
                self.constants[place] = tensor.detach()
                if call.name == "lift_fresh":  # a literal
                    self.frozen.add(place)
        new = [t for t in call.outputs if _place(t) not in self.made and _place(t) not in self.constants]
        if call.lasting:
            self._keep(call, new)
        elif new:
            steady = call.name in FILLED or (bool(places) and all(p in self.frozen for p in places))
            untouched = all(t.untyped_storage().data_ptr() not in self.written for t in new)
            if steady and untouched:
                self.frozen.update(_place(t) for t in new)
            view = call.function.is_view and all(p in self.constants for p in places)
            if (steady and untouched) or view:
                self.constants.update((_place(t), t.detach()) for t in new)
            else:
                self._keep(call, new)

    def _keep(self, call: Call, new: Sequence[Tensor]) -> None:
        self.made.update(_place(t) for t in new)
        self.calls.append(call)

    def finish(self, result: Any) -> tuple[Callable[..., Any], list[Tensor]]:
        """The function of inputs and constants that gives ``result``, and the constants."""
        calls, needed = [], {_place(t) for t in _tensors(result)}
        for call in reversed(self.calls):
            if call.lasting or any(_place(t) in needed for t in call.outputs):
                needed.update(_place(t) for t in call.inputs)
                calls.append(call)
        constants = {place: tensor for place, tensor in self.constants.items() if place in needed}
        graph = fx.Graph()
        nodes = {place: graph.placeholder(f"input_{i}") for i, place in enumerate([*self.inputs, *constants])}

        def node(tensor: Tensor) -> fx.Node:
            return nodes[_place(tensor)]

        for call in reversed(calls):
            args, kwargs = tree_map_only(Tensor, node, (call.args, call.kwargs))
            made = graph.call_function(_quick(call), args, kwargs)
            if isinstance(call.result, Tensor):
                nodes.setdefault(_place(call.result), made)
                continue
            for i, tensor in enumerate(call.result or ()):
                if isinstance(tensor, Tensor) and _place(tensor) in needed:
                    nodes.setdefault(_place(tensor), graph.call_function(operator.getitem, (made, i)))
        own: set[Any] = set()

        def result_node(tensor: Tensor) -> fx.Node:
            place = _place(tensor)
            if place in own or place not in self.made or place in self.inputs:  # clipping would write into it
                return graph.call_function(torch.clone, (nodes[place],))
            own.add(place)
            return nodes[place]

        graph.output(tree_map_only(Tensor, result_node, result))
        return fx.GraphModule(nn.Module(), graph).forward, list(constants.values())


def _quick(call: Call) -> Callable[..., Any]:
    """The quickest way to call the same kernel."""
    if call.name in DIRECT:
        return getattr(torch, call.name)
    return getattr(Tensor, call.name) if call.name in METHODS else call.function


class Tape:
    """A recorded step, to be run again on batches of the same shapes.

    Attributes:
        checked: Whether it was seen to do what an ordinary step does.
    """

    def __init__(self, run: Callable[..., Any], constants: list[Tensor], shapes: dict[str, torch.Size]) -> None:
        self.run, self.constants, self.shapes = run, constants, shapes
        self.checked = False

    def fits(self, batch: dict[str, Tensor]) -> bool:
        """Whether the batch has the fields and shapes of the recorded one."""
        return {name: tensor.shape for name, tensor in batch.items()} == self.shapes

    def __call__(self, batch: dict[str, Tensor], epoch: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """The terms, and a gradient for each parameter that has one."""
        with torch.inference_mode():
            return self.run(*batch.values(), epoch, *self.constants)
