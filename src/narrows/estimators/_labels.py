"""Labels of rows, for models that make rows of one kind: classes by number, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from narrows.errors import InvalidData, SavedModelError

MOST = 10_000  # classes; more are an identifier, not a label


@dataclass(frozen=True)
class Labels:
    """The classes of the rows that a model learnt from.

    Attributes:
        classes: ``(k,)`` sorted: numbers, booleans or text.
        shares: ``(k,)`` the share of the labelled rows that each class has.
    """

    classes: np.ndarray
    shares: tuple[float, ...]

    @classmethod
    def of(cls, labels: Any, n: int) -> tuple[Self, Tensor]:
        """The classes of n labels, and each row's: ``(n,)`` whole numbers, −1 where it has none (None, NaN).

        Raises:
            InvalidData: If they are not n, or there are none, or too many different ones.
        """
        cells = plain(labels)
        if len(cells) != n:
            raise InvalidData(f"labels has {len(cells)} entries for {n} rows: give one per row, None where it has none")
        there = [cell for cell in cells if cell is not None]
        if not there:
            raise InvalidData("labels: every row's label is blank; leave labels out")
        classes = _sorted(set(there))
        if len(classes) > min(MOST, max(2, n // 2)):
            raise InvalidData(
                f"labels holds {len(classes)} different values in {n} rows: that is an identifier or a number, not a "
                "class; give labels that rows share"
            )
        place = {value: i for i, value in enumerate(classes)}
        index = torch.tensor([-1 if cell is None else place[cell] for cell in cells])
        counts = torch.bincount(index[index >= 0], minlength=len(classes)).double()
        return cls(np.array(classes), tuple((counts / counts.sum()).tolist())), index

    def to_config(self) -> dict[str, Any]:
        """The labels as plain JSON."""
        return {"classes": self.classes.tolist(), "shares": list(self.shares)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The labels that ``to_config`` described.

        Raises:
            SavedModelError: If the description is damaged.
        """
        try:
            classes, shares = np.array(config["classes"]), tuple(map(float, config["shares"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SavedModelError(f"the saved labels are damaged: {error!r}") from error
        if classes.ndim != 1 or classes.dtype == object or len(classes) != len(shares) or not len(shares):
            raise SavedModelError(f"the saved labels are damaged: {config!r}")
        return cls(classes, shares)


def plain(labels: Any, name: str = "labels") -> list[Any]:
    """Labels as a list of Python values, None where there is none.

    Raises:
        InvalidData: If they are no list of values; errors call them ``name``.
    """
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow, pandas and polars, numpy and torch
        if hasattr(labels, method):
            labels = getattr(labels, method)()
            break
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Sequence):
        raise InvalidData(f"{name}={labels!r}: give one per row, in a list or an array")
    odd = next((cell for cell in labels if not isinstance(cell, Hashable)), None)
    if odd is not None:
        raise InvalidData(f"{name} holds {odd!r}: give one value per row, a number, a boolean or text")
    return [None if _blank(cell) else cell.item() if isinstance(cell, np.generic) else cell for cell in labels]


def _blank(cell: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA, which says of nothing whether it is equal."""
    same = cell == cell
    return cell is None or not isinstance(same, (bool, np.bool_)) or not same


def _sorted(values: set[Any]) -> list[Any]:
    """Values in order, if they are of one kind; else, and if they are no plain values, an error."""
    for kinds in ((bool,), (int, float), (str,)):
        if all(isinstance(v, kinds) and (bool in kinds or not isinstance(v, bool)) for v in values):
            return sorted(values)
    odd = ", ".join(map(repr, list(values)[:3]))
    raise InvalidData(f"labels are of several kinds or of none that can be written down ({odd}): turn them into text")
