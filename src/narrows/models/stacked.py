"""Equal modules side by side as one: their weights stacked, their products batched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


class StackedModule(nn.Module):
    """M modules of one shape as one: every weight has the members first, ``(M, …)``.

    Small networks leave most of a processor idle; side by side they take little longer than one.

    Args:
        members: The modules, equal but for their weights; without buffers that change in training.

    Example:
        ```python
        stacked = StackedModule([torch.nn.Linear(3, 2) for _ in range(8)])
        stacked(torch.rand(8, 10, 3)).shape  # (8, 10, 2)
        ```
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(members))
        self.size = len(members)
        # kept in a tuple: the skeleton's own weights are neither trained nor saved
        self._skeleton = (copy.deepcopy(members[0]).to("meta"),)
        self._names = {name.replace(".", "/"): name for name in (*parameters, *buffers)}
        for name, tensor in parameters.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(tensor.detach()))
        for name, tensor in buffers.items():
            self.register_buffer(name.replace(".", "/"), tensor)

    def forward(self, *inputs: Tensor) -> Any:
        """Every member's result: inputs ``(M, …)`` to results ``(M, …)``."""
        skeleton = self._skeleton[0].train(self.training)
        state = {name: getattr(self, key) for key, name in self._names.items()}

        def call(weights: dict[str, Tensor], *own: Tensor) -> Any:
            return functional_call(skeleton, weights, own)

        return vmap(call, randomness="different")(state, *inputs)
