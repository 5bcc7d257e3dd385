"""The contractive penalty."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from narrows._part import Interval
from narrows._types import Pass
from narrows.penalties._base import Penalty

AT_ONCE = 1 << 23
"""Input values times directions that go through the encoder together."""


class Contraction(Penalty):
    """Make codes change little when inputs do.

    ‖∂z/∂x‖²_F for every row, x being what the encoder is given and z the code (its mean where it is random), with
    dropout and normalisation in evaluation mode.

    Exact by default, at a cost of min(code size, input size) passes through the encoder, as many at once as fit. With
    ``samples``, Hutchinson's estimate E‖vᵀ ∂z/∂x‖² over random signs v, which is unbiased and costs that many passes.

    Args:
        weight: How much the penalty counts.
        warmup: Epochs over which the weight grows from 0.
        samples: None for the exact value; else how many random directions estimate it, for codes of hundreds of
            numbers.

    Returns:
        ``(B,)`` in squared code units per squared input unit.

    Reference:
        Contractive Auto-Encoders: Explicit Invariance During Feature Extraction. S. Rifai et al., 2011.
        https://icml.cc/2011/papers/455_icmlpaper.pdf

    Example:
        ```python
        Contraction(weight=0.1)
        ```
    """

    samples: Annotated[int, Interval(1)] | None = None

    def value(self, p: Pass) -> Tensor:
        """The squared norm of every row's Jacobian."""
        # Rows do not meet in `encode`, so one pass of the whole batch per direction gives every row's derivative.
        # torch.func rather than autograd.grad: it works under no_grad, where validation runs.
        size, numbers = p.code.z.shape[-1], math.prod(p.inputs.shape[1:])
        # forward mode cannot be traced through batch normalisation (torch 2.13), so compiled code takes the other way
        if self.samples is None and numbers < size and not torch.compiler.is_compiling():
            return self._forward(p, numbers)
        pulled: Any = torch.func.vjp(p.encode, p.inputs)
        z, pull = pulled
        if self.samples is None:
            unit = torch.eye(size, dtype=z.dtype, device=z.device)
            directions = unit.unsqueeze(1).expand(size, *z.shape)
        else:
            directions = torch.where(torch.rand_like(z.expand(self.samples, *z.shape)) < 0.5, -1.0, 1.0).to(z.dtype)
        (slopes,) = torch.func.vmap(pull, chunk_size=_at_once(p.inputs))(directions)
        squares = slopes.flatten(2).square().sum((0, 2))
        return squares if self.samples is None else squares / self.samples

    @staticmethod
    def _forward(p: Pass, numbers: int) -> Tensor:
        x = p.inputs
        unit = torch.eye(numbers, dtype=x.dtype, device=x.device)
        directions = unit.reshape(numbers, 1, *x.shape[1:]).expand(numbers, *x.shape)

        def push(direction: Tensor) -> Tensor:
            return torch.func.jvp(p.encode, (x,), (direction,))[1]

        return torch.func.vmap(push, chunk_size=_at_once(x))(directions).square().sum((0, 2))


def _at_once(inputs: Tensor) -> int:
    """How many directions to follow at once: validation on images would need gigabytes for all of them."""
    return max(1, AT_ONCE // inputs.numel())
