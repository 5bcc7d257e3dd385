"""Priors that are fitted to codes afterwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows._types import Rows
from narrows.priors import PriorModule
from narrows.training import Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.ranks import ranks_for
from narrows.training.seeds import hash_seed

JUDGED = 4_000  # rows that validation looks at, at least


def fit_prior(
    prior: PriorModule, codes: Tensor, seed: int, training: Training | None = None, condition: Tensor | None = None
) -> None:
    """Fit a prior to codes: at once, or by the loop where it asks for that.

    Args:
        prior: A prior that is fitted afterwards, built; in evaluation mode after this.
        codes: ``(n, L)``.
        seed: Fixes what is random; the caller's generators are left as they were.
        training: Settings of the loop; batches and learning rate are the prior's own, and epochs where it has some.
        condition: ``(n,)`` the class of every row, −1 for none, for priors that know classes.

    Raises:
        InvalidData: If the codes cannot be used.
        InvalidParameter: If the prior is not fitted afterwards.
    """
    condition = condition if prior.conditional else None
    todo = prior.fit_codes(codes.double().numpy(), seed, None if condition is None else condition.cpu().numpy())
    if todo is None:
        return
    n = len(codes)
    settings = training or Training()
    shares = ranks_for(settings).size  # a batch is dealt out evenly to the processes
    settings = settings.set_params(
        batch_size=max(min(todo.batch_size, n // 4) // shares, 1) * shares,
        epochs=settings.plan(n)[2] if todo.rows is None else math.ceil(todo.rows / n),
        learning_rate=todo.learning_rate,
        clip=1.0,
        patience=None,
        checkpoint=None,
    )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(hash_seed(seed, 22)))
    held = settings.held_out(n)
    rows = Rows(codes.float(), condition=condition)
    # each several times: one draw of noise says little of a few rows
    again = order[:held].repeat(-(-JUDGED // held)) if held else order[:0]
    learnt, validation = rows.take(order[held:]), rows.take(again)
    player = Player(todo.step, trainable(todo.step))
    loop = Loop(todo.step, [player], settings, hash_seed(seed, 23), after_step=todo.after_step)
    loop.fit(learnt, validation)
    prior.requires_grad_(False).eval()
