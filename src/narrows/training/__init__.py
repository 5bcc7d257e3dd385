"""Training: one loop for every model, its settings, its history and its checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.training.history import History
    from narrows.training.loop import Loop, Player
    from narrows.training.settings import Training
    from narrows.training.step import Step

_HOMES = {"History": "history", "Loop": "loop", "Player": "loop", "Step": "step", "Training": "settings"}

__all__ = ["History", "Loop", "Player", "Step", "Training"]


def __getattr__(name: str) -> Any:
    # on first use: a history can be read and diagnosed without importing torch
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
