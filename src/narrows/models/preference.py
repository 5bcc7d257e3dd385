"""Direct preference optimisation: a language model is moved towards the better of two replies."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows._types import Rows


def preference_loss(ratios: Tensor, beta: float) -> Tensor:
    r"""How far a model is from preferring the better replies, relative to where it began.

    $-\ln \sigma(\beta (r_w - r_l))$, with $r = \ln \pi(y \mid x) - \ln \pi_\mathrm{ref}(y \mid x)$ of the better reply
    $w$ and the worse one $l$.

    Args:
        ratios: ``(n, 2)`` r of the better and of the worse reply, in nats.
        beta: β: the larger, the closer the model stays to where it began.

    Returns:
        ``(n,)`` in nats.

    References:
        Rafailov, Sharma, Mitchell, Ermon, Manning, Finn: Direct Preference Optimization: Your Language Model is
        Secretly a Reward Model, 2023, https://arxiv.org/abs/2305.18290

    Example:
        ```python
        preference_loss(torch.tensor([[0.0, 0.0]]), beta=0.1)  # ln 2 where nothing has moved yet
        ```
    """
    return -F.logsigmoid(beta * (ratios[:, 0] - ratios[:, 1]))


def reply_log_probs(model: Any, rows: Rows) -> Tensor:
    """Log p of every reply given its prompt, ``(n, k)`` in nats.

    Args:
        model: An `AutoregressiveModule` of one category.
        rows: ``values`` ``(n, T, k)``: k texts each, prompt and reply; ``observed`` ``(n, T, k)``: where replies are.
    """
    assert rows.observed is not None
    n, steps, k = rows.values.shape
    tokens = rows.values.transpose(1, 2).reshape(n * k, steps, 1)
    found: Tensor = model(Rows(tokens)).log_prob(tokens).squeeze(-1)
    return found.reshape(n, k, steps).transpose(1, 2).masked_fill(~rows.observed, 0.0).sum(1)


class PreferenceStep(nn.Module):
    """The step that the loop trains: `preference_loss`. Dropout stays off, as it was in the reference.

    Args:
        model: What is trained, beginning as the reference.
        beta: How close it stays to it.
    """

    pure = True

    def __init__(self, model: nn.Module, beta: float) -> None:
        super().__init__()
        self.model, self.beta = model, beta

    def train(self, mode: bool = True) -> PreferenceStep:
        """Training mode for everything but dropout, which would look like a change of mind."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        return self

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss, and how often the better reply has gained more than the worse.

        Args:
            batch: As `reply_log_probs` takes it, better replies first; ``target`` ``(n, 2)``: the reference's.
            epoch: Not looked at.
        """
        rows: Any = Rows(**batch)
        ratios = reply_log_probs(self.model, rows) - rows.target
        gained = (ratios[:, 0] > ratios[:, 1]).to(ratios.dtype)
        return {
            "loss": row_mean(preference_loss(ratios, self.beta), rows.weight),
            "gained": row_mean(gained, rows.weight),
        }


def rows_of(texts: list[tuple[list[int], list[int], list[int]]]) -> Rows:
    """Prompts with two replies each, as tokens, in the form of `reply_log_probs`."""
    longest = max(len(p) + max(len(a), len(b)) for p, a, b in texts)
    values, observed = torch.zeros(len(texts), longest, 2), torch.zeros(len(texts), longest, 2, dtype=torch.bool)
    for i, (prompt, *replies) in enumerate(texts):
        for k, reply in enumerate(replies):
            values[i, : len(prompt) + len(reply), k] = torch.tensor([*prompt, *reply], dtype=torch.float)
            observed[i, len(prompt) : len(prompt) + len(reply), k] = True
    return Rows(values, observed)
