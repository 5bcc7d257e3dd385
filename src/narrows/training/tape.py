"""Tapes: what a function did to tensors, to be done again without the Python that decided it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from narrows.training.seeds import seeded

Function = Callable[..., Sequence[Tensor]]

_CLOSE = 1e-4  # largest difference of gradients, in units of the largest gradient


class Unrecordable(RuntimeError):
    """The function looks at values, or changes what it was given: what it did once is not what it would do again."""


def record(function: Function, inputs: Sequence[Tensor], seed: int = 0) -> Function:
    """The operations that ``function`` does to tensors of these shapes, as a function.

    A network of a few units spends most of its time in Python and in the machinery of `vmap`; done again from a tape,
    only the operations are left. Gradients flow as they do through ``function``, and noise is drawn afresh, in the same
    order. What the tape makes of the inputs, and its gradients, are compared with the original's before it is trusted.

    Args:
        function: Takes the inputs, returns tensors; what it does may depend on their shapes but not on their values.
        inputs: Tensors like those that it will be called with.
        seed: For the noise of the comparison; the caller's generators are left as they were.

    Returns:
        A function of tensors of the same shapes.

    Raises:
        Unrecordable: If it cannot be recorded, or the tape does not do the same.
    """
    # with gradients, since some derivatives are themselves differentiable only then
    with seeded(seed), torch.enable_grad():
        recorder = _Recorder(inputs)
        try:
            with recorder:
                outputs = function(*inputs)
        except NotImplementedError as error:
            raise Unrecordable(str(error)) from error
        replay: Any = recorder.finish(outputs).forward
    try:
        _check(function, replay, inputs, seed)
    except (RuntimeError, NotImplementedError) as error:
        raise Unrecordable(str(error)) from error
    return replay


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes every operation into a graph while it is done."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants: dict[str, Any] = {}
        self.nodes: dict[int, fx.Node] = {}
        self.kept: list[Tensor] = []  # a tensor's id is its own only while it lives
        self.own: set[int] = set()  # tensors made here, which may be written to
        for i, tensor in enumerate(inputs):
            self._name(tensor, self.graph.placeholder(f"input_{i}"))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation and write it down."""
        kwargs = kwargs or {}
        if _looks(func, args):
            raise Unrecordable(f"{func} depends on values")
        if func._schema.is_mutable and id(args[0]) not in self.own:
            raise Unrecordable(f"{func} changes a tensor that was there before")
        out = func(*args, **kwargs)
        if _is_nothing(func, args, out):
            self._name(out, self._node(args[0]))
            return out
        node = self.graph.call_function(func, *tree_map(self._node, (args, kwargs)))
        if isinstance(out, Tensor):
            self._name(out, node, own=func._schema.is_mutable or not _is_view(func))
        else:
            for i, part in enumerate(out):
                if isinstance(part, Tensor):
                    self._name(part, self.graph.call_function(_item, (node, i)))
        return out

    def _name(self, tensor: Tensor, node: fx.Node, own: bool = False) -> None:
        self.nodes[id(tensor)] = node
        self.kept.append(tensor)
        if own:
            self.own.add(id(tensor))

    def _node(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self.nodes:  # made outside of what is recorded
            name = f"constant_{len(self.constants)}"
            self.constants[name] = value
            self._name(value, self.graph.get_attr(name))
        return self.nodes[id(value)]

    def finish(self, outputs: Sequence[Tensor]) -> fx.GraphModule:
        """The graph as a module that returns these tensors."""
        self.graph.output(tuple(self._node(tensor) for tensor in outputs))
        root = torch.nn.Module()
        for name, value in self.constants.items():
            root.register_buffer(name, value, persistent=False)
        return fx.GraphModule(root, self.graph)


def _item(values: Sequence[Any], i: int) -> Any:
    return values[i]


def _looks(func: Any, args: Any) -> bool:
    """Whether what comes out, or its shape, depends on values so that Python could decide by it."""
    if func is torch.ops.aten.index.Tensor:
        return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def _is_view(func: Any) -> bool:
    return any(a.alias_info is not None for a in func._schema.arguments)


_RESHAPES = {torch.ops.aten.view.default, torch.ops.aten.expand.default, torch.ops.aten._unsafe_view.default}


def _is_nothing(func: Any, args: Any, out: Any) -> bool:
    """Whether an operation left its first argument as it was: reshaped to its own shape, multiplied by 1."""
    if func in _RESHAPES:
        return out.shape == args[0].shape and out.stride() == args[0].stride()
    one = func is torch.ops.aten.mul.Scalar and args[1] == 1
    return bool(one and out.dtype == args[0].dtype)


def _check(function: Function, replay: Function, inputs: Sequence[Tensor], seed: int) -> None:
    """Compare values and gradients.

    Raises:
        Unrecordable: If they differ.
    """
    results = []
    for one in (function, replay):
        with seeded(seed), torch.enable_grad():
            fresh = [t.detach().requires_grad_(t.requires_grad) for t in inputs]
            outputs = list(one(*fresh))
            wanted = [t for t in fresh if t.requires_grad]
            total = torch.stack([o.sum() for o in outputs if o.requires_grad]).sum()
            gradients = torch.autograd.grad(total, wanted, allow_unused=True)
        results.append((outputs, [torch.zeros(()) if g is None else g for g in gradients]))
    (expected, slopes), (found, own) = results
    if not all(torch.equal(a, b) for a, b in zip(expected, found, strict=True)):
        raise Unrecordable("the tape does not give what was recorded")
    for a, b in zip(slopes, own, strict=True):
        if a.shape != b.shape or not bool((a - b).abs().max() <= _CLOSE * a.abs().max().clamp_min(1e-12)):
            raise Unrecordable("the tape does not give the gradients of what was recorded")
