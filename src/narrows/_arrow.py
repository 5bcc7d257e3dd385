"""Arrow, imported when it is first used: 32 MiB that whoever brings arrays or pictures need not hold."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["pa", "pc"]


class _Later:
    """A module in waiting: looks like it, and is imported at the first look at one of its names."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = _Later("pyarrow"), _Later("pyarrow.compute")
