"""Saved models as plain JSON: read and checked without building anything, so that looking at one costs no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows._version import __version__
from narrows.errors import SavedModelError

FORMAT_VERSION = 1
MODEL = "model.json"


def checksum(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what ``model.json`` says, but for the checksum itself."""
    plain = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def describe(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``model.json`` says, checked but without building the model.

    Raises:
        SavedModelError: If the folder holds no model, or one that is damaged or newer.
    """
    path = Path(folder) / MODEL
    if not path.is_file():
        if not Path(folder).is_dir():
            what = "is a file" if Path(folder).is_file() else "is not there"
            raise SavedModelError(f"{folder} holds no model: it {what}; a model is a folder, as narrows fit writes it")
        raise SavedModelError(f"{folder} holds no model: {MODEL} is missing (was saving cut short?)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise SavedModelError(f"{path} is damaged: {error}. Save the model again.") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SavedModelError(
            f"{path} was written by a newer narrows ({content.get('narrows')}, format {version}); "
            f"this is {__version__} (format {FORMAT_VERSION}): pip install --upgrade narrows"
        )
    if content.get("checksum") != checksum(content):
        raise SavedModelError(f"{path} was changed after it was written: its checksum does not fit")
    return dict(content)
