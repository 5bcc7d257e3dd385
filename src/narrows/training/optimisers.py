"""Optimisers whose steps cost what their arithmetic costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class FusedAdam(torch.optim.Adam):
    """Adam as one fused operation, called without the checks and hooks that cost more than a small network's step.

    The arithmetic is that of ``torch.optim.Adam(fused=True)``, bit by bit, and so is the state.

    Args:
        parameters: What to change.
        rate: Learning rate.
        weight_decay: L2 penalty.
        decoupled: Whether weights decay by themselves (AdamW) rather than through the gradient.

    Reference:
        Adam: A Method for Stochastic Optimization. D. P. Kingma, J. Ba, 2014. https://arxiv.org/abs/1412.6980
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, weight_decay: float, decoupled: bool) -> None:
        self._lists: tuple[list[Tensor], ...] | None = None
        super().__init__(
            list(parameters), rate, weight_decay=weight_decay, fused=True, decoupled_weight_decay=decoupled
        )

    @torch.no_grad()
    def move(self, rate: float) -> None:
        """One step with this learning rate along the gradients that the parameters hold."""
        (group,) = self.param_groups
        group["lr"] = rate
        if self._lists is None:
            self.step()
            self._lists = self._collect(group["params"])
            return
        parameters, first, second, steps = self._lists
        gradients = [p.grad for p in parameters if p.grad is not None]
        if len(gradients) < len(parameters):
            self._lists = None
            self.step()
            return
        torch._foreach_add_(steps, 1)
        move = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        move(
            parameters, gradients, first, second, [], steps,
            lr=rate, beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
            eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip

    def _collect(self, parameters: list[Tensor]) -> tuple[list[Tensor], ...] | None:
        """Parameters and their state side by side; None unless every parameter has a state."""
        states = [self.state.get(p) for p in parameters]
        if not all(states):
            return None
        return parameters, *([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step"))  # type: ignore[index]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back a state."""
        self._lists = None  # they pointed to the old one
        super().load_state_dict(state_dict)


class SGD(torch.optim.SGD):
    """Stochastic gradient descent with Nesterov momentum 0.9.

    Args:
        parameters: What to change.
        rate: Learning rate.
        weight_decay: L2 penalty.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, weight_decay: float) -> None:
        super().__init__(list(parameters), rate, momentum=0.9, nesterov=True, weight_decay=weight_decay)

    def move(self, rate: float) -> None:
        """One step with this learning rate along the gradients that the parameters hold."""
        for group in self.param_groups:
            group["lr"] = rate
        self.step()
