"""Checkpoints: what a run needs to go on bit by bit, as safetensors and JSON."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from narrows import files
from narrows._types import Rows
from narrows.errors import TrainingFailed
from narrows.training.source import Source

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out
    fcntl = None  # type: ignore[assignment]

NAME = "checkpoint.json"
LOCK = "lock"


def fingerprint(words: str, rows: Rows | Source) -> str:
    """A short name for a run: equal for equal configurations and equal data.

    Args:
        words: The configuration as text.
        rows: The training rows.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(words.encode())
    if not isinstance(rows, Rows):
        digest.update(rows.fingerprint().encode())
        return digest.hexdigest()[:16]
    for name, tensor in sorted(rows.tensors().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().numpy()
        digest.update(plain.reshape(-1).view(np.uint8).data)  # not tobytes(), which would copy all of the data
    return digest.hexdigest()[:16]


class Checkpoints:
    """A folder that holds the newest checkpoint of one run.

    The tensors are written first, under a name that carries their hash; ``checkpoint.json``, which names them, comes
    last and by rename: a kill at any moment leaves the older checkpoint whole. Used as a context, the folder belongs to
    one process; the system lets go of it when that is killed.

    Args:
        folder: Where to keep it.
        run: The run's fingerprint. A checkpoint of another run is refused.
    """

    def __init__(self, folder: str | Path, run: str) -> None:
        self.folder = Path(folder)
        self.run = run
        self.lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            TrainingFailed: If another process trains into it, or it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = (self.folder / LOCK).open("wb")
        except OSError as error:
            raise TrainingFailed(f"checkpoints cannot be kept in {self.folder} ({error}); give another one") from error
        try:
            if fcntl is not None:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.lock.close()
            raise TrainingFailed(
                f"another process is training into {self.folder}; wait until it has ended, or give another folder"
            ) from error
        # what a killed process was writing
        for pattern in (".new-*.safetensors", "new.safetensors", f".{Path(NAME).stem}-*.json"):
            for left in self.folder.glob(pattern):
                left.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder, and remove it when nothing is in it."""
        assert self.lock is not None
        (self.folder / LOCK).unlink(missing_ok=True)
        self.lock.close()
        with contextlib.suppress(OSError):  # not empty
            self.folder.rmdir()

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint and remove the one before.

        Raises:
            TrainingFailed: If it cannot be written; the one before stays.
        """
        try:
            self._save(tensors, state)
        except (OSError, SafetensorError) as error:
            raise TrainingFailed(
                f"no checkpoint can be written to {self.folder} ({error}). The last one is whole: make room and call "
                "the same fit again to go on from there"
            ) from error

    def _save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        with files.atomic(self.folder / "new.safetensors") as temporary:
            save_file(plain, temporary)
            digest = files.sha256(temporary)
        name = f"checkpoint-{digest[:16]}.safetensors"
        (self.folder / "new.safetensors").rename(self.folder / name)
        files.write_json(self.folder / NAME, {"run": self.run, "tensors": name, "sha256": digest, "state": dict(state)})
        for old in self.folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The checkpoint's tensors and state; None when there is none.

        Raises:
            TrainingFailed: If the checkpoint belongs to another run or is damaged.
        """
        path = self.folder / NAME
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            run, file, digest = content["run"], self.folder / content["tensors"], content["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingFailed(f"{path} is damaged ({error}); delete {self.folder} to start anew") from error
        if run != self.run:
            raise TrainingFailed(
                f"{self.folder} holds a checkpoint of another run (other data, settings or random_state). "
                f"Give another folder, or delete it to start anew."
            )
        try:
            if files.sha256(file) != digest:
                raise TrainingFailed(f"{file} has changed since it was written; delete {self.folder} to start anew")
            return load_file(file), content["state"]
        except (OSError, SafetensorError) as error:
            raise TrainingFailed(f"{file} is damaged ({error}); delete {self.folder} to start anew") from error

    def clear(self) -> None:
        """Remove the checkpoint."""
        (self.folder / NAME).unlink(missing_ok=True)
        for old in self.folder.glob("checkpoint-*.safetensors"):
            old.unlink(missing_ok=True)


def flatten(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` with ``prefix/`` before every name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def pick(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix/``, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as tensors named ``<parameter>.<entry>``. The learning rate is the schedule's business."""
    state = optimiser.state_dict()["state"]
    return {f"{i}.{name}": v for i, entries in state.items() for name, v in entries.items() if isinstance(v, Tensor)}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took. Nothing is kept by reference."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, entry = name.split(".", 1)
        state.setdefault(int(index), {})[entry] = tensor.clone()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
