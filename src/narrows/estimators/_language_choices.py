"""The parts of a language model, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.data.text import Text
from narrows.errors import InvalidParameter
from narrows.estimators._choices import ModelChoices, Plan
from narrows.likelihoods import Categorical
from narrows.models.autoregressive import AutoregressiveModule
from narrows.networks import Network, Recurrent, Transformer
from narrows.training import History, Player, Training
from narrows.training.loop import trainable

STEPS = 2_500  # of training, about, unless said otherwise
MOST = 300  # passes over a short text: by then it is known by heart
BATCH, SMALL_BATCH, ENOUGH = 16, 8, 1_000  # windows per step, and from how many windows on they are more
DROPOUT = 0.1  # of the network that is chosen: texts are short, and are read again and again
LOGITS = 1 << 24  # numbers that judged windows may have at once, where nothing is learnt from them


@dataclass(frozen=True)
class LanguageChoices(ModelChoices):
    """The parts of a language model.

    Attributes:
        network: Reads the tokens so far.
        embedding: Numbers per token; None: as many as the network has per step.
        tied: Whether the numbers of a token that is read are the weights of one that is written.
        format: How text becomes tokens.
    """

    network: Network | None = None
    embedding: int | None = None
    tied: bool = True
    format: Part | None = None
    likelihood: None = None
    reasons: list[str] = field(default_factory=list)

    PARTS: ClassVar[tuple[str, ...]] = ("network",)
    NEEDED: ClassVar[tuple[str, ...]] = ("network",)

    def __post_init__(self) -> None:
        """Only text has a language."""
        if self.format is not None and not isinstance(self.format, Text):
            raise InvalidParameter(f"format={self.format!r} is no format of text: give narrows.data.Text(…)")

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        if self.network is not None:
            return self
        chosen = Transformer(dropout=DROPOUT)
        said = f"{chosen!r}: four blocks of width 128, which a processor trains on a few million tokens in minutes"
        return replace(self, network=chosen, reasons=[said])

    def build(self, layout: Layout) -> AutoregressiveModule:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        return AutoregressiveModule(
            layout, self.network, Categorical(), self.embedding or _width(self.network), self.tied
        )

    def plan(self, module: AutoregressiveModule, layout: Layout) -> Plan:
        """One player: maximum likelihood."""
        step = LanguageStep(module)
        return Plan(step, [Player(step, trainable(step))])

    def describe(self, history: History, module: Any) -> None:
        """Tell a history what it is of, so that it can be read."""
        super().describe(history, module)
        history.unit = "nats per token"
        history.noisy = any(isinstance(m, nn.Dropout) and m.p > 0 for m in module.modules())

    def code_size_of(self, module: Any) -> int:
        """No code: what is known of a text grows with it."""
        return 0

    def reach(self, context: int) -> int | None:
        """How many tokens the network can look back on; None: no limit."""
        return None if isinstance(self.network, Recurrent) else context

    def restored(self, parts: Mapping[str, Any], content: Mapping[str, Any]) -> Self:
        """These choices with the parts of a saved model."""
        return super().restored({"network": parts["network"]} if "network" in parts else {}, content)


def _width(network: Network) -> int | None:
    """Numbers per step inside a network."""
    return next((int(v) for n in ("hidden", "width") if isinstance(v := getattr(network, n, None), int)), None)


def planned(training: Training, windows: int) -> Training:
    """Settings of the loop for a text, where they were left open.

    Args:
        training: What was asked for.
        windows: How many windows an epoch has.
    """
    batch = training.batch_size or (BATCH if windows >= ENOUGH else SMALL_BATCH)
    epochs = training.epochs or max(1, min(MOST, round(STEPS / max(1, windows // batch))))
    return training.set_params(batch_size=batch, epochs=epochs, clip=training.clip or 1.0)


class LanguageStep(nn.Module):
    """Maximum likelihood: −log p of a token given those before it, the mean over all tokens.

    Args:
        model: The module.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, model: AutoregressiveModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss in nats per token."""
        rows = Rows(**batch)
        if self.training:
            return {"loss": -log_probs(self.model, rows).mean()}
        # without gradients, windows by the thousand would come at once
        size = rows_at_once(self.model.layout, rows.values.shape[1])
        found = [log_probs(self.model, rows.take(slice(i, i + size))) for i in range(0, len(rows), size)]
        return {"loss": -torch.cat(found).mean()}


def log_probs(module: Any, rows: Rows) -> Tensor:
    """Log p of every token given those before it in its row, ``(B, T)``."""
    found: Tensor = module(rows).log_prob(rows.values)
    return found.squeeze(-1)


def rows_at_once(layout: Layout, steps: int) -> int:
    """How many rows of so many steps are judged together."""
    vocabulary = (layout.categories or (1,))[0]
    return max(1, LOGITS // (steps * max(512, vocabulary)))
