"""A fitted estimator in a folder: weights first, the card, and last ``model.json``, by rename."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from narrows import files
from narrows._saved import MODEL, checksum
from narrows.errors import SavedModelError


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    content: Mapping[str, Any],
    card: Callable[[Mapping[str, Any]], str],
) -> Path:
    """Write weights, card and description. Until the last rename an older model stays as it was.

    Args:
        folder: Where to; made if it is missing.
        tensors: The weights by name.
        content: What ``model.json`` says; name, hash and shapes of the weights and its own checksum are added.
        card: Makes the model card of the content.

    Returns:
        The folder.

    Raises:
        SavedModelError: If a file is in the way.
    """
    if folder.exists() and not folder.is_dir():
        raise SavedModelError(f"{folder} is a file; a model is saved into a folder")
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    draft = folder / ".weights.safetensors"
    with files.atomic(draft) as temporary:
        save_file(state, temporary)
        digest = files.sha256(temporary)
    weights = f"weights-{digest[:16]}.safetensors"
    draft.replace(folder / weights)
    shapes = {name: [list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in state.items()}
    full = {**content, "weights": weights, "weights_sha256": digest, "tensors": shapes}
    full["checksum"] = checksum(full)
    files.write_text(folder / "README.md", card(full))
    files.write_json(folder / MODEL, full)
    for old in folder.glob("weights-*.safetensors"):
        if old.name != weights:
            old.unlink(missing_ok=True)
    return folder


def inside(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of something within an estimator: their names begin with ``name`` and a dot."""
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def taken(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `inside` named, by the names that it had."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def tensor(tensors: Mapping[str, Tensor], name: str, *shape: int | None, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor by name, of the shape and the type that it must have.

    Args:
        tensors: All of them.
        name: Its name.
        shape: Its shape; None where any size will do.
        dtype: Its type.

    Raises:
        SavedModelError: If it is missing or of another shape or type.
    """
    found = tensors.get(name)
    if found is None:
        raise SavedModelError(f"the tensor {name!r} is missing")
    fits = found.ndim == len(shape) and all(b is None or a == b for a, b in zip(found.shape, shape, strict=True))
    if not fits or found.dtype != dtype:
        wanted = "×".join("n" if size is None else str(size) for size in shape)
        raise SavedModelError(f"the tensor {name!r} is {list(found.shape)} of {found.dtype}, not {wanted} of {dtype}")
    return found
