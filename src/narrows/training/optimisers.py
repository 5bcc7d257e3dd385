"""Optimisers whose steps cost what their arithmetic costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def _bare(method: Any) -> Any:
    return getattr(method, "__wrapped__", method)


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
        moving = list(parameters)
        # how often each parameter has moved: what the entries "step" of the state are views of
        self._counts = torch.zeros(len(moving), device=moving[0].device if moving else None)
        super().__init__(moving, rate, weight_decay=weight_decay, fused=True, decoupled_weight_decay=decoupled)

    # torch wraps these so that its compiler leaves them alone; the wrappers import the compiler, for seconds, to say so
    add_param_group = _bare(torch.optim.Optimizer.add_param_group)
    state_dict = _bare(torch.optim.Optimizer.state_dict)
    _load_state_dict = _bare(torch.optim.Optimizer.load_state_dict)

    @torch.no_grad()
    def move(self, rate: float) -> None:
        """One step with this learning rate along the gradients that the parameters hold."""
        (group,) = self.param_groups
        group["lr"] = rate
        moving = group["params"]
        gradients = [p.grad for p in moving if p.grad is not None]
        if len(gradients) < len(moving):
            moving, self._lists = [p for p in moving if p.grad is not None], None
        parameters, first, second, steps = self._lists or self._collect(moving)
        if len(parameters) == len(group["params"]):
            self._lists = parameters, first, second, steps
        if self._lists:
            self._counts.add_(1)  # one by one they would take half of Adam's time in a small network
        else:
            torch._foreach_add_(steps, 1)
        move = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        move(
            parameters, gradients, first, second, [], steps,
            lr=rate, beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
            eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip

    @torch.inference_mode(False)  # a replayed step moves in inference mode, and the next one may not
    @torch.no_grad()
    def _collect(self, parameters: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Parameters and their state side by side; a state that is not there begins at nothing, as torch's does."""
        places = {id(p): i for i, p in enumerate(self.param_groups[0]["params"])}
        for p in parameters:
            if not self.state[p]:
                self.state[p]["step"] = self._counts[places[id(p)]]
                self.state[p]["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        return parameters, *([self.state[p][name] for p in parameters] for name in ("exp_avg", "exp_avg_sq", "step"))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back a state."""
        self._lists = None  # they pointed to the old one
        self._load_state_dict(state_dict)
        for count, p in zip(self._counts.unbind(), self.param_groups[0]["params"], strict=True):
            if self.state[p]:
                self.state[p]["step"] = count.copy_(self.state[p]["step"])
            else:
                count.zero_()


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
