"""A fitted estimator in a folder: weights first, the card, and last ``model.json``, by rename."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
