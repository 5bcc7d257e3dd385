"""What every model that makes rows promises."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from narrows._normal import UnitNormal
from narrows._types import Layout
from narrows.priors import CodeDistribution


class GeneratorModule(nn.Module):
    """Rows from codes: a code is drawn from a known distribution, and the module maps it to a row.

    The same code gives the same row, so that rows can be searched for and moved by their codes.

    Args:
        layout: What a row looks like.
        code_size: L, numbers per code.
        conditional: Whether it looks at ``condition``.
    """

    template: Tensor

    def __init__(self, layout: Layout, code_size: int, conditional: bool = False) -> None:
        super().__init__()
        self.layout, self.code_size, self.conditional = layout, code_size, conditional
        self.register_buffer("template", torch.zeros(code_size), persistent=False)

    def prior(self, condition: Tensor | None = None) -> CodeDistribution:
        """What codes are drawn from: the standard normal, unless said otherwise."""
        return UnitNormal(self.template)

    @abstractmethod
    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of codes.

        Args:
            z: ``(B, L)`` codes.
            condition: ``(B,)`` the class of every row; None where the model has no classes, −1 for none of them.

        Returns:
            ``(B, *layout.shape)`` values in scaled units, NaN where a cell is blank.
        """
