"""A network that improves on the straight-line filling: trained on rows with cells hidden at many rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._types import Rows
from narrows.networks import Network
from narrows.tasks._features import Features, seen_cells
from narrows.training import Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded

COPIES = 16_384  # rows to train on: every row several times, each time with other cells hidden
SEEN = 0.1  # how much a cell counts that the network is shown
FAR = 8.0  # standard deviations beyond which the network sees no difference
BATCH, STEPS = 64, 1_500


class RefinerModule(nn.Module):
    """(what is seen, which that is, the straight-line filling) → a better filling.

    Numbers are the straight line's plus the network's; probabilities of categories the straight line's times the
    network's, brought to a sum of 1.

    Args:
        features: Where columns lie among the features.
        network: Makes the map.
    """

    belongs: Tensor

    def __init__(self, features: Features, network: Network) -> None:
        super().__init__()
        d, columns = len(features.column), len(features.width)
        self.features, self.d = features, d
        belongs = F.one_hot(features.column, columns).float()
        self.register_buffer("belongs", belongs, persistent=False)  # (D, columns)
        self.network = network.map((2 * d + columns,), (d,))
        last = [m for m in self.network.modules() if isinstance(m, nn.Linear)][-1]
        with torch.no_grad():
            last.weight.mul_(0.1)  # to begin with the straight line
        self.rho = nn.Parameter(torch.zeros(len(features.numbers)))

    def raw(self, inputs: Tensor) -> Tensor:
        """Numbers and logits ``(B, D)`` of inputs ``(B, 2 D + columns)``."""
        base = inputs[:, -self.d :]
        start = torch.where(self.features.hot.to(inputs.device), base.clamp(0.005, 1).log(), base)
        return start + self.network(inputs.clamp(-FAR, FAR))

    def forward(self, inputs: Tensor) -> Tensor:
        """The filling ``(B, D)``: numbers and probabilities."""
        raw, features = self.raw(inputs), self.features
        if not features.categories:
            return raw
        total = self._log_total(raw)[:, features.column.to(raw.device)]
        return torch.where(features.hot.to(raw.device), (raw - total).exp(), raw)

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        """−log p ``(B, columns)`` of target values: normal numbers with a scale per column, and categories."""
        raw, features = self.raw(inputs), self.features
        terms = torch.zeros_like(target)
        if features.numbers:
            at = features.first[features.numbers].to(raw.device)
            away = raw[:, at] - target[:, features.numbers]
            terms[:, features.numbers] = 0.5 * away.square() * (-2 * self.rho).exp() + self.rho
        if features.categories:
            of = features.categories
            chosen = raw.gather(1, (features.first.to(raw.device) + target.long())[:, of])
            terms[:, of] = self._log_total(raw)[:, of] - chosen
        return terms

    def _log_total(self, raw: Tensor) -> Tensor:
        """``(B, columns)`` log Σ exp over the features of every column: all columns at once, as they are many."""
        column = self.features.column.to(raw.device)
        top = raw.new_full((len(raw), len(self.features.width)), -torch.inf)
        top = top.scatter_reduce(1, column.expand_as(raw), raw.detach(), "amax")
        return (raw - top[:, column]).exp().matmul(self.belongs).log() + top


class RefineStep(nn.Module):
    """The step that the loop trains: inputs are `Rows.values`, true values ``target``, weights ``condition``."""

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, model: RefinerModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss in nats per row."""
        terms = self.model.loss(batch["values"], batch["target"])
        return {"loss": (terms * batch["condition"]).sum(1).mean()}


def plan(training: Training | None, rows: int) -> Training:
    """The settings asked for, or those that suit ``rows`` masked rows."""
    if training is not None:
        return training
    epochs = max(3, math.ceil(STEPS / max(1, rows // BATCH)))
    return Training(
        epochs=epochs, batch_size=BATCH, learning_rate=2e-3, optimiser="adamw", weight_decay=1e-2, device="cpu"
    )


def masked_copies(rows: Rows, inputs: Callable[[Rows], Tensor], most: int, seed: int) -> Rows:
    """Rows again and again, with other cells hidden every time, as the refiner trains on them.

    Args:
        rows: Rows with blanks.
        inputs: Makes the refiner's inputs of rows.
        most: How many rows to make at most, where there are not more already.
        seed: Fixes what is hidden.

    Returns:
        ``values`` inputs, ``target`` true values, ``condition`` how much each cell counts.
    """
    copies = max(1, min(COPIES, most) // len(rows))
    values, seen = rows.values.repeat(copies, 1), seen_cells(rows).repeat(copies, 1)
    low, high = 0.05, min(0.9, max(0.3, 2 * (1 - float(seen.float().mean()))))
    generator = torch.Generator().manual_seed(hash_seed(seed, 11))
    # every row at a rate of its own: later the network meets rows with few blanks and rows with many
    rate = low + (high - low) * torch.rand(len(values), 1, generator=generator)
    shown = seen & (torch.rand(values.shape, generator=generator) >= rate)
    weight = torch.where(shown, SEEN, 1.0) * seen
    return Rows(inputs(Rows(torch.where(shown, values, 0), shown)), target=values, condition=weight)


def train_refiner(
    features: Features,
    network: Network,
    rows: Rows,
    validation: Rows | None,
    training: Training | None,
    seed: int,
) -> RefinerModule:
    """A trained refiner.

    Args:
        features: Where columns lie among the features.
        network: Makes the map.
        rows: What `masked_copies` made.
        validation: Rows whose hidden cells choose the best epoch.
        training: Settings of the loop; None: those that suit.
        seed: Fixes weights, order and noise.
    """
    with seeded(hash_seed(seed, 13)):
        model = RefinerModule(features, network)
    step = RefineStep(model)
    settings = plan(training, len(rows))
    Loop(step, [Player(step, trainable(step))], settings, hash_seed(seed, 14), words="impute").fit(rows, validation)
    return model.eval().cpu()
