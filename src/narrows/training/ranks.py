"""Several processes that train one model together; or one, which this costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from narrows.errors import InvalidParameter, MissingExtra, WorkerDied

if TYPE_CHECKING:
    from narrows.training.settings import Training

# drawn for all rows of a step by every process, of which each keeps its own rows' share
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL")  # gloo has no type for it
_LIKE = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}


class Ranks:
    """One process that trains alone: what `Together` does with others is done here by doing nothing."""

    size = 1
    rank = 0

    def wrap(self, step: nn.Module, parameters: Sequence[Tensor]) -> tuple[nn.Module, list[Tensor]]:
        """The step as it is called in training, and its parameters as they are changed.

        Gradients come back averaged over the processes.
        """
        return step, list(parameters)

    def unwrap(self, step: nn.Module) -> None:
        """End what `wrap` began: the step is this process's own again."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        """Shorten the gradient of some parameters to a norm."""
        nn.utils.clip_grad_norm_(parameters, norm)

    def own(self, index: Tensor) -> Tensor:
        """This process's part of a step's rows."""
        return index

    def noise(self, rows: int) -> AbstractContextManager[Any]:
        """Within it, noise for ``rows`` rows is this process's part of the noise for all."""
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """Means of values over the processes."""
        return values

    def all(self, fine: bool) -> bool:
        """Whether it is so in every process."""
        return fine

    def agree(self, function: Callable[[], Any]) -> Any:
        """What the first process finds, told to all: for what clocks and files say."""
        return function()

    def whole(self, step: nn.Module) -> AbstractContextManager[Any]:
        """Within it a wrapped step's weights can be used, and its buffers are the same in all processes."""
        return nullcontext()

    def gather(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Tensors whose parts lie with several processes, whole; for the first one alone."""
        return tensors

    def deal(self, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The other way round: this process's part of whole tensors, parted like others of their names."""
        return tensors

    def connected(self) -> AbstractContextManager[Any]:
        """Within it, that another process has died is told in words."""
        return nullcontext()


class Together(Ranks):
    """Processes that each hold a copy of the model and take an equal part of every batch (data parallel).

    A step's rows, its noise and its gradients are those of one process with the same batch, up to rounding. Not so for
    what a layer draws by itself (dropout) or works out within a batch (batch normalisation, penalties per batch): there
    every process sees its own rows alone.

    Args:
        fabric: A launched `lightning_fabric.Fabric`.
    """

    def __init__(self, fabric: Any) -> None:
        self.fabric = fabric
        self.size, self.rank = int(fabric.world_size), int(fabric.global_rank)

    def wrap(self, step: nn.Module, parameters: Sequence[Tensor]) -> tuple[nn.Module, list[Tensor]]:
        """The step as it is called in training, and its parameters: gradients of these alone are shared.

        Those of an opponent, which is in the step too, come from a step of its own.
        """
        own = {id(p) for p in parameters}
        named = step.named_parameters(remove_duplicate=False)
        # read by torch's DistributedDataParallel, which else waits for gradients that this step does not make
        vars(step)["_ddp_params_and_buffers_to_ignore"] = [name for name, p in named if id(p) not in own]
        # the loop owns the device: rows and module are moved there once
        return self.fabric.setup_module(step, move_to_device=False), list(parameters)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss."""
        self.fabric.backward(loss)

    def own(self, index: Tensor) -> Tensor:
        """This process's part of a step's rows."""
        share = len(index) // self.size
        return index[self.rank * share : (self.rank + 1) * share]

    def noise(self, rows: int) -> AbstractContextManager[Any]:
        """Within it, noise for ``rows`` rows is this process's part of the noise for all."""
        return _SharedNoise(rows, self.rank, self.size)

    def mean(self, values: Tensor) -> Tensor:
        """Means of values over the processes."""
        return self.fabric.all_reduce(values.clone(), reduce_op="mean")

    def all(self, fine: bool) -> bool:
        """Whether it is so in every process."""
        return bool(self.fabric.all_reduce(torch.tensor(float(fine)), reduce_op="mean") == 1)

    def agree(self, function: Callable[[], Any]) -> Any:
        """What the first process finds, told to all: for what clocks and files say."""
        return self.fabric.broadcast(function() if self.rank == 0 else None)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Within it, that another process has died is told in words.

        Raises:
            WorkerDied: When the connection to another process broke.
        """
        from torch.distributed import DistError

        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, DistError) or any(word in str(error) for word in _LOST)):
                raise
            raise WorkerDied(
                f"one of the {self.size} processes that train together has died (killed, or out of memory), so the "
                "others cannot go on: start them again; with the same checkpoint (--resume) they go on from there"
            ) from error

    @contextmanager
    def whole(self, step: nn.Module) -> Iterator[None]:
        """Within it the buffers of a step are their means over the processes: what follows must be the same in all."""
        for buffer in step.buffers():
            if buffer.is_floating_point():
                buffer.copy_(self.mean(buffer))
        yield


class _SharedNoise(TorchFunctionMode):
    def __init__(self, rows: int, rank: int, size: int) -> None:
        super().__init__()
        self.rows, self.rank, self.size = rows, rank, size

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _LIKE:
            return func(*args, **(kwargs or {}))
        like: Tensor = args[0]
        # rows come first, or second after the samples drawn of each
        place = next((d for d in (0, 1) if d < like.ndim and like.shape[d] == self.rows), None)
        if place is None:
            return func(*args, **(kwargs or {}))
        shape = list(like.shape)
        shape[place] *= self.size
        whole = _LIKE[func](shape, dtype=like.dtype, device=like.device)
        return whole.narrow(place, self.rank * self.rows, self.rows).contiguous()


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    own: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return own


def started() -> tuple[int, int] | None:
    """Processes per node and nodes that ``torchrun`` started; None when it did not."""
    size, local = os.environ.get("WORLD_SIZE"), os.environ.get("LOCAL_WORLD_SIZE")
    if size is None or local is None or "RANK" not in os.environ:
        return None
    return int(local), int(size) // int(local)


def rank() -> int:
    """This process's number among those that train together; 0 when there is only one."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


_fabrics: dict[tuple[Any, ...], Any] = {}


def ranks_for(training: Training) -> Ranks:
    """The processes that train together by some settings: begun on first use, and kept.

    Raises:
        InvalidParameter: If other processes were started than are asked for.
        MissingExtra: Without lightning-fabric.
    """
    found = started()
    devices, nodes = training.devices, training.nodes
    if found is not None:
        for name, wanted, given in (("devices", devices, found[0]), ("nodes", nodes, found[1])):
            if wanted not in (None, given):
                raise InvalidParameter(f"{name}={wanted}, but torchrun started {given}: leave it at None, or the same")
        devices, nodes = found
    devices, nodes = devices or 1, nodes or 1
    if devices * nodes == 1:
        return Ranks()
    accelerator = training.resolve_device().type
    key = (devices, nodes, accelerator)
    if key not in _fabrics:
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise MissingExtra(
                "training with several devices needs lightning-fabric: pip install 'narrows[distributed]'"
            ) from error
        _fabrics[key] = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy="ddp")
        _fabrics[key].launch()
    if training.strategy == "ddp":
        return Together(_fabrics[key])
    try:  # Fabric's own strategy of that name refuses CPUs; what torch offers runs on them too
        from narrows.training.sharded import Sharded
    except ImportError as error:
        raise MissingExtra(f"strategy='fsdp' needs torch 2.6 or newer ({error}); or give strategy='ddp'") from error
    return Sharded(_fabrics[key])
