"""Autoregressive models of series: every step given those before it."""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._normal import row_mean
from narrows._types import Distribution, Layout, Rows
from narrows.errors import InvalidParameter
from narrows.likelihoods import Likelihood
from narrows.likelihoods.base import log_likelihood
from narrows.networks import Network, State, StemModule
from narrows.training.step import own

AT_ONCE = 2**23  # parameters of the likelihood, over all steps of all rows, that are judged at once: 32 MB


class AutoregressiveModule(nn.Module):
    r"""A series step by step: $p(x) = \prod_t p(x_t \mid x_{<t})$.

    The network, which cannot look ahead, reads the stem's features one step late, a learned vector standing before the
    first; what it says at a step are the parameters of that step's distribution. Blanks are skipped by the likelihood
    and shown to the network as blanks.

    Args:
        layout: What a series looks like; ``layout.steps`` is no limit.
        network: Makes the causal module.
        likelihood: Judges one step.
        embedding: Numbers per embedded category, for all categories; None: the stem's rule.
        tied: Whether the logits are products with the embedding's own vectors, which saves as many weights again. For
            series of one category.

    Raises:
        InvalidParameter: If the likelihood cannot describe a step, or the network cannot go step by step, or weights
            cannot be tied.

    Reference:
        Using the Output Embedding to Improve Language Models, Press, Wolf, 2016, https://arxiv.org/abs/1608.05859
        (tied weights).

    Example:
        ```python
        layout = Layout(shape=(20, 1), categories=(50,))
        model = AutoregressiveModule(layout, networks.Recurrent(), likelihoods.Categorical(), embedding=64, tied=True)
        following, state = model.begin(torch.tensor([[[3.0], [14.0]]]))  # after 3, 14
        token = following.sample()  # (1, 1)
        following, state = model.advance(token.unsqueeze(1), state)
        ```
    """

    def __init__(
        self,
        layout: Layout,
        network: Network,
        likelihood: Likelihood,
        embedding: int | None = None,
        tied: bool = False,
    ) -> None:
        super().__init__()
        likelihood.check_layout(layout.step)
        self.layout = layout
        # a step that does not exist comes after all that do, so nobody needs to be told
        self.stem = StemModule(dataclasses.replace(layout, ragged=False), embedding)
        features, (size,) = self.stem.shape[-1], likelihood.theta_shape(layout.step)
        self.start = nn.Parameter(torch.randn(features) / math.sqrt(features))
        if tied and (layout.categories is None or len(layout.categories) != 1 or self.stem.embedding is None):
            raise InvalidParameter(
                f"tied=True needs series of one category, embedded, not columns {layout.categories}: give "
                "tied=False, or the width of the embedding"
            )
        self.tied = nn.Parameter(torch.zeros(size)) if tied else None
        self.network = network.causal(features, features if tied else size)
        self.likelihood = likelihood.build(layout.step)

    def forward(self, rows: Rows) -> Distribution:
        """Every step's distribution given the earlier ones, ``(B, T, C)``."""
        features = self.stem(rows)
        out, _ = self.network(torch.cat([self._start(features), features[:, :-1]], 1))
        return self._said(out)

    def begin(self, values: Tensor, observed: Tensor | None = None) -> tuple[Distribution, State]:
        """The distribution of what comes after some steps.

        Args:
            values: ``(B, T, C)`` the steps, of the same length; T may be 0.
            observed: ``(B, T, C)`` boolean, false where a value is blank; None when nothing is.

        Returns:
            The next step's distribution ``(B, C)``, and what the steps left.
        """
        features = self.stem(Rows(values, observed))
        out, state = self.network(torch.cat([self._start(features), features], 1))
        return self._said(out[:, -1]), state

    def advance(self, values: Tensor, state: State, observed: Tensor | None = None) -> tuple[Distribution, State]:
        """The distribution of what comes after some steps more.

        Args:
            values: ``(B, T, C)`` the steps, most often one.
            state: What the steps before left.
            observed: As in `begin`.

        Returns:
            The next step's distribution ``(B, C)``, and what all steps left.
        """
        out, state = self.network(self.stem(Rows(values, observed)), state)
        return self._said(out[:, -1]), state

    def log_prob(self, rows: Rows) -> Tensor:
        """Log-probability of every row, ``(B,)`` in nats, without more memory than a few rows need at a time."""
        size = self.tied.numel() if self.tied is not None else math.prod(rows.values.shape[2:])
        size = max(size, *(self.layout.categories or (0,)))
        step = max(1, AT_ONCE // (size * max(rows.values.shape[1], 1)))
        parts = (rows.take(slice(start, start + step)) for start in range(0, len(rows), step))
        return torch.cat([log_likelihood(self(part), part) for part in parts])

    def _start(self, features: Tensor) -> Tensor:
        return self.start.expand(len(features), 1, -1)

    def _said(self, out: Tensor) -> Distribution:
        if self.tied is not None:
            assert self.stem.embedding is not None
            out = F.linear(out, self.stem.embedding.weight, self.tied)
        said: Distribution = self.likelihood(out)
        return said


class AutoregressiveStep(nn.Module):
    """The step that the loop trains: the negative log-likelihood of series.

    Args:
        model: What is trained.
    """

    def __init__(self, model: AutoregressiveModule) -> None:
        super().__init__()
        self.model = model

    @property
    def pure(self) -> bool:
        """Whether every call is the same operations: so for what torch and this project wrote."""
        return own(self.modules())

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The mean of the rows.

        Args:
            batch: The tensors of some `Rows`, by field.
            epoch: Not looked at.

        Returns:
            ``"loss"`` in nats per row, and ``"per step"``, nats per step that exists and in which something was
            observed, which can be compared between series of unequal lengths.
        """
        rows = Rows(**batch)
        surprise = -(log_likelihood(self.model(rows), rows) if self.training else self.model.log_prob(rows))
        mask = rows.mask()
        steps = surprise.new_full((len(rows),), rows.values.shape[1]) if mask is None else mask.any(-1).sum(-1)
        loss = row_mean(surprise, rows.weight)
        return {"loss": loss, "per step": loss / row_mean(steps.to(loss.dtype), rows.weight).clamp_min(1e-9)}
