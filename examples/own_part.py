"""A part of your own: noise that dims whole rows, as thin cloud does to photographs.

python examples/own_part.py
"""

from typing import Annotated

import torch

import narrows
from narrows import data
from narrows._part import Interval
from narrows._types import Layout, Rows
from narrows.corruptions import Corruption


class Dim(Corruption):
    """Take a random share of the brightness away from every row: x̃ = (1 − u) x, u ~ U(0, most)."""

    most: Annotated[float, Interval(0, 1)] = 0.5

    def __call__(self, rows: Rows, layout: Layout) -> Rows:
        """The rows, dimmed."""
        share = self.most * torch.rand_like(rows.values[:, :1, :1, :1])
        return rows.replace(values=(1 - share) * rows.values)


digits = data.load("digits").data
model = narrows.DenoisingAutoencoder(
    12, corruption=Dim.parse("dim:most=0.7"), training=narrows.Training(epochs=15), random_state=0
)
model.fit(digits[:1400])
print(model)

clean = digits[1400:]
dimmed = 0.5 * clean
restored = model.denoise(dimmed)
print(f"mean brightness: clean {clean.mean():.2f}, dimmed {dimmed.mean():.2f}, restored {restored.mean():.2f}")
