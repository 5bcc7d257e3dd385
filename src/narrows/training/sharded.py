"""Processes that hold a model's weights and their optimiser's state in parts (fully sharded data parallel)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed._composable_state import _module_state_mapping
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from narrows.errors import InvalidParameter
from narrows.training.ranks import Together

LARGE = 2**16  # numbers of a layer from which on its weights are put together only while it computes
LAYERS = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase)


class Sharded(Together):
    """Like `Together`, but every process keeps its part of each weight, and of what the optimiser remembers of it.

    Weights are put together for a step and let go of after it, those of large layers one layer at a time; gradients are
    summed up where their part is kept. Rows, noise and results are those of `Together`, and so are checkpoints: whole
    tensors, with which any number of processes can go on. When training ends, every process has the whole model.

    Args:
        fabric: A launched `lightning_fabric.Fabric`.

    References:
        Zhao et al.: PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel, 2023,
        https://arxiv.org/abs/2304.11277
    """

    def __init__(self, fabric: Any) -> None:
        super().__init__(fabric)
        self.plain: list[_Plain] = []
        self.scalars: list[nn.Parameter] = []

    def wrap(self, step: nn.Module, parameters: Sequence[Tensor]) -> tuple[nn.Module, list[Tensor]]:
        """Keep this process's part of a step's weights only, which are new tensors."""
        if self.plain:
            raise InvalidParameter("strategy='fsdp' parts a model that is trained as a whole: give strategy='ddp'")
        names = {id(p): name for name, p in step.named_parameters()}
        wanted = [names[id(p)] for p in parameters]
        self.scalars = [p for p in step.parameters() if p.ndim == 0]  # cannot be parted
        before = [(module, type(module), _hooks(module), set(vars(module))) for module in step.modules()]
        mesh = init_device_mesh(parameters[0].device.type, (self.size,))
        for layer in _large(step):
            fully_shard(layer, mesh=mesh)
        fully_shard(step, mesh=mesh, ignored_params=set(self.scalars))
        self.plain = [_Plain(m, kind, hooks, set(vars(m)) - keys) for m, kind, hooks, keys in before]
        own = dict(step.named_parameters())
        return step, [own[name] for name in wanted]

    def unwrap(self, step: nn.Module) -> None:
        """Make a step whole again, in every process."""
        whole: dict[int, nn.Parameter] = {}
        for module in step.modules():
            for name, p in module._parameters.items():
                if isinstance(p, DTensor):
                    if id(p) not in whole:
                        whole[id(p)] = nn.Parameter(p.detach().full_tensor(), p.requires_grad)
                    module._parameters[name] = whole[id(p)]
        for one in self.plain:
            one.put_back()
        self.plain = []

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]
        for p in self.scalars:
            if p.grad is not None:
                p.grad = self.mean(p.grad)

    def clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        """Shorten a gradient to a norm, that of all its parts together."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        parts = [g.to_local().square().sum() * self.size for g in gradients if isinstance(g, DTensor)]
        parts += [g.square().sum() for g in gradients if not isinstance(g, DTensor)]
        factor = (norm / (self.mean(torch.stack(parts).sum()).sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            (gradient.to_local() if isinstance(gradient, DTensor) else gradient).mul_(factor)

    @contextmanager
    def whole(self, step: nn.Module) -> Iterator[None]:
        """Within it all weights are put together."""
        parted = [module for module in step.modules() if isinstance(module, FSDPModule)]
        for module in parted:
            module.unshard()
        try:
            yield
        finally:
            for module in parted:
                module.reshard()

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors put together; all processes call it, and the first one is told."""
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            one = tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
            if self.rank == 0:
                found[name] = one
        return found

    def deal(self, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This process's parts of whole tensors, parted like others."""
        return {name: _parted(tensor, like[name]) for name, tensor in tensors.items()}


def _parted(tensor: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _large(step: nn.Module) -> list[nn.Module]:
    """Layers that are worth putting together one at a time, and whose weights nothing else uses."""
    used = Counter(id(p) for _, p in step.named_parameters(remove_duplicate=False))
    return [
        module
        for module in step.modules()
        if isinstance(module, LAYERS)
        and sum(p.numel() for p in module.parameters()) >= LARGE
        and all(used[id(p)] == 1 for p in module.parameters())
    ]


def _hooks(module: nn.Module) -> dict[str, Any]:
    return {key: copy(value) for key, value in vars(module).items() if "hooks" in key}


class _Plain:
    """What a module was before its weights were parted, its weights aside; torch has no way back of its own."""

    def __init__(self, module: nn.Module, kind: type[nn.Module], hooks: dict[str, Any], added: set[str]) -> None:
        self.module, self.kind, self.hooks, self.added = module, kind, hooks, added

    def put_back(self) -> None:
        """Make it that again."""
        self.module.__class__ = self.kind
        for key in self.added:
            vars(self.module).pop(key, None)
        vars(self.module).update(self.hooks)
        _module_state_mapping.pop(self.module, None)  # so that it can be parted again, as a prior is after its model
