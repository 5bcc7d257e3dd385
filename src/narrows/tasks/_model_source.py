"""Rows drawn from any model: codes of the classes asked for, and the rows that the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows._arrow import pa
from narrows._types import Rows
from narrows.data.frames import close_table
from narrows.tasks._sources import Source
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training.seeds import seeded

LABEL = "label"  # what a condition calls the class of a row


@dataclass(frozen=True)
class ModelSource(Source):
    """Rows as a model makes them, tables or images.

    Beside the columns of a table there is one for the class, where the model knows classes; images are one column that
    no condition sees. A row's code has its class at the end.

    Attributes:
        module: A trained model, in evaluation mode.
        format: Its format.
        classes: What classes are called; none where the model knows none.
        shares: How often each is drawn.
    """

    module: Any
    format: Any
    classes: Sequence[Any] = ()
    shares: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Numbers per row of drawn values."""
        return int(self.module.layout.size) + self.labelled

    @property
    def labelled(self) -> bool:
        """Whether there is a class to every row."""
        return len(self.shares) > 0

    def rows(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """New rows, without conditions.

        Args:
            n: How many.
            seed: Equal seeds give equal rows. The caller's generators are left as they were.

        Returns:
            ``(n, *shape)`` in scaled units, NaN where blank, and the class of every row ``(n,)``.
        """
        with seeded(seed):
            values = self.draw(n)[1]
        plain = values[:, :-1] if self.labelled else values
        return plain.reshape(n, *self.module.layout.shape), values[:, -1].long() if self.labelled else None

    def made(self, n: int, seed: int) -> Any:
        """New rows, without conditions, in the container that was fitted."""
        if len(self.module.layout.shape) != 1:
            return self.format.from_values(self.rows(n, seed)[0])
        with seeded(seed):
            values = self.draw(n)[1]
        return self.close(self.table(values, seed))

    def restricted(self, allowed: Any) -> ModelSource:
        """This source with some of the classes only, ``(k,)`` booleans."""
        return replace(self, shares=tuple(s * float(a) for s, a in zip(self.shares, allowed, strict=True)))

    def codes(self, n: int) -> Tensor:
        """``(n, L)`` codes, or ``(n, L + 1)`` with classes, from torch's global generator."""
        with torch.no_grad():
            if not self.labelled:
                return self.module.prior(None).sample(n).cpu()
            weights = torch.tensor(self.shares, dtype=torch.float64)
            condition = torch.multinomial(weights, n, replacement=True)
            z = self.module.prior(condition.to(self._device)).sample(n).cpu()
        return torch.cat([z, condition.unsqueeze(1).to(z.dtype)], dim=1)

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes a step away, of the same classes."""
        with torch.no_grad():
            if not self.labelled:
                return self.module.prior(None).near(z.to(self._device), size).cpu()
            condition = z[:, -1].long().to(self._device)
            moved = self.module.prior(condition).near(z[:, :-1].to(self._device), size).cpu()
        return torch.cat([moved, z[:, -1:]], dim=1)

    def cells(self, z: Tensor) -> Tensor:
        """``(n, width)`` values in scaled units, NaN where blank, and the class."""
        condition = z[:, -1].long() if self.labelled else None
        codes = Rows(z[:, :-1] if self.labelled else z, condition=condition)

        def run(part: Rows) -> Tensor:
            return self.module.generate(part.values, part.condition).flatten(1)

        size = getattr(self.module, "chunk", None) or chunk_size(self.module.layout)
        values = in_chunks(run, codes, size, self._device)
        return torch.cat([values, z[:, -1:].to(values.dtype)], dim=1) if self.labelled else values

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def table(self, values: Tensor, seed: int) -> list[Any]:
        """Arrow columns of drawn values; an image is one column of lists."""
        arrays = []
        plain = values[:, :-1] if self.labelled else values
        if len(self.module.layout.shape) == 1:
            cells = plain.double().numpy()
            blank = np.isnan(cells)
            arrays = [c.decode(cells[:, j], blank[:, j], drawn=True) for j, c in enumerate(self.format.columns)]
        else:
            flat = pa.array(plain.float().numpy().reshape(-1))
            arrays = [pa.FixedSizeListArray.from_arrays(flat, self.module.layout.size)]
        if self.labelled:
            arrays.append(self.labels.take(pa.array(values[:, -1].long().numpy())))
        return arrays

    @property
    def labels(self) -> Any:
        """The classes as an Arrow array."""
        return pa.array(np.asarray(self.classes).tolist())

    def arrow(self, arrays: list[Any]) -> Any:
        """The Arrow table that conditions look at."""
        names = [str(c.name) for c in self.format.columns] if len(self.module.layout.shape) == 1 else []
        own = arrays[: len(names)]
        if self.labelled and LABEL not in names:
            own, names = [*own, arrays[-1]], [*names, LABEL]
        return pa.table(own, names=names)

    def close(self, arrays: list[Any]) -> Any:
        """The rows, in the container that was fitted, without their classes."""
        if len(self.module.layout.shape) == 1:
            names = [c.name for c in self.format.columns] if self.format.named else None
            own = arrays[: len(self.format.columns)]
            return close_table(self.format.container, own, names, [c.native for c in self.format.columns])
        flat = arrays[0].flatten().to_numpy(zero_copy_only=False)
        return self.format.from_values(torch.from_numpy(flat.reshape(-1, *self.module.layout.shape).copy()))
