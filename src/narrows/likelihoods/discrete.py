"""Likelihoods of what comes in steps: Bernoulli, Poisson, categorical."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows._types import Distribution, Layout
from narrows.errors import InvalidParameter
from narrows.likelihoods.base import ElementwiseModule, Likelihood, LikelihoodModule

LOG_RATE_LIMIT = 15.0
"""Log-rate from which a Poisson rate grows in a straight line instead of exponentially (about 3.3 million)."""


@dataclass(frozen=True)
class BernoulliDistribution(Distribution):
    """Independent Bernoulli distributions.

    Attributes:
        logits: ``(…, *shape)`` log-odds of a one.
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """The probability of a one, σ(logit): what grey images are drawn with."""
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        """0 or 1, whichever is likelier (0 when equal)."""
        return (self.logits > 0).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """η x − log(1 + exp η): minus the cross-entropy. Exact for 0 and 1, defined for all values between."""
        return value * self.logits - F.softplus(self.logits)

    def sample(self) -> Tensor:
        """Zeros and ones; no gradient."""
        probability = self.mean
        return (torch.rand_like(probability) < probability).to(probability.dtype)

    def entropy(self) -> Tensor:
        """log(1 + exp η) − η σ(η)."""
        return F.softplus(self.logits) - self.logits * self.mean


@dataclass(frozen=True)
class PoissonDistribution(Distribution):
    """Independent Poisson distributions.

    Attributes:
        log_rate: ``(…, *shape)`` log of the expected count, up to `LOG_RATE_LIMIT`; above it the rate goes on in a
            straight line (value and slope agree at the join), so that nothing overflows and gradients never vanish.
    """

    log_rate: Tensor

    @property
    def mean(self) -> Tensor:
        """The expected count."""
        return self._rate()[0]

    @property
    def mode(self) -> Tensor:
        """The rate rounded down."""
        return self.mean.floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of λ^x exp(−λ) / x!, which is x log λ − λ − log x!."""
        rate, log_rate = self._rate()
        return value * log_rate - rate - torch.lgamma(value + 1)

    def sample(self) -> Tensor:
        """Whole numbers; no gradient."""
        return torch.poisson(self.mean.detach())

    def _rate(self) -> tuple[Tensor, Tensor]:
        below = self.log_rate.clamp_max(LOG_RATE_LIMIT)
        above = self.log_rate - below
        return below.exp() * (1 + above), below + torch.log1p(above)


class Bernoulli(Likelihood):
    """Zeros and ones, or grey values in [0, 1] under cross-entropy.

    log p(x|η) = η x − log(1 + exp η)

    θ is the log-odds η. For values strictly between 0 and 1 this is still a proper loss, smallest where σ(η) = x, but
    no density: it does not integrate to one over [0, 1]. `ContinuousBernoulli` does.

    Raises:
        InvalidParameter: From `build`, if a column is a category or values lie outside [0, 1].

    ```python
    module = likelihoods.Bernoulli().build(Layout(shape=(2,)))
    module(torch.tensor([[0.0, 2.0]])).mean  # 0.50, 0.88
    ```
    """

    domain: ClassVar[str] = "binary"
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def build(self, layout: Layout) -> nn.Module:
        """A module without parameters; θ is the log-odds of every element."""
        self.check_layout(layout)
        return ElementwiseModule(BernoulliDistribution)


class Poisson(Likelihood):
    """Counts: whole numbers from 0 without an upper end.

    log p(x|λ) = x log λ − λ − log x!

    θ is log λ up to 15 (3.3 million); above that λ grows in a straight line, so that training cannot overflow.

    Raises:
        InvalidParameter: From `build`, if a column is a category or values are negative.

    ```python
    module = likelihoods.Poisson().build(Layout(shape=(2,), high=(40.0,)))
    module(torch.zeros(5, 2)).mean  # 1 everywhere
    ```
    """

    domain: ClassVar[str] = "counts"
    support: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def build(self, layout: Layout) -> nn.Module:
        """A module without parameters; θ is the log-rate of every element."""
        self.check_layout(layout)
        return ElementwiseModule(PoissonDistribution)


class _Segments(nn.Module):
    """Where the logits of every column lie in θ.

    Columns of equal cardinality lie side by side (a ``run``), so that a reduction per column is one operation per
    distinct cardinality, on a view, without padding: a column of two values beside one of a thousand costs two.
    The sums of training steps are made over columns filled up to few widths (`log_sum_exp`).
    Sums in another order (`index_add`) or by matrix product are faster by a third but not repeatable on every
    device, or lose digits under autocast.
    """

    offset: Tensor  # (C,) first logit of every column
    place: Tensor  # (C,) place of every column in θ's order
    slots: Tensor  # where the logits of columns filled up to equal cardinality are; P where there is none
    back: Tensor  # (C,) place of every column among these

    def __init__(self, categories: Sequence[int]) -> None:
        super().__init__()
        self.categories = tuple(categories)
        order = sorted(range(len(self.categories)), key=lambda c: self.categories[c])
        sizes = torch.tensor([self.categories[c] for c in order])
        place = torch.tensor(order).argsort()
        offset = (sizes.cumsum(0) - sizes)[place]
        self.runs = [(k, self.categories.count(k)) for k in sorted(set(self.categories))]
        self.starts: list[int] = offset.tolist()
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("place", place, persistent=False)
        groups = _alike(self.categories)
        self.filled = [(max(self.categories[c] for c in group), len(group)) for group in groups]
        slots = [
            self.starts[c] + i if i < self.categories[c] else sum(self.categories)
            for group, (width, _) in zip(groups, self.filled, strict=True)
            for c in group
            for i in range(width)
        ]
        self.register_buffer("slots", torch.tensor(slots), persistent=False)
        self.register_buffer("back", torch.tensor([c for group in groups for c in group]).argsort(), persistent=False)

    def per_column(self, flat: Tensor, reduction: Callable[[Tensor], Tensor]) -> Tensor:
        """``(…, P)`` → ``(…, C)``: ``reduction`` of ``(…, columns, K)`` over K, for every distinct K."""
        pieces = flat.split_with_sizes([k * n for k, n in self.runs], dim=-1)
        views = (torch.unflatten(piece, -1, (n, k)) for piece, (k, n) in zip(pieces, self.runs, strict=True))
        return torch.cat([reduction(view) for view in views], dim=-1).index_select(-1, self.place)

    def log_sum_exp(self, logits: Tensor) -> Tensor:
        """``(…, P)`` → ``(…, C)``: log Σ exp of every column.

        Columns of about as many categories are filled up to the most of them by logits of −∞, which add nothing: a
        training step spends its time on how many operations there are, not on their size.
        """
        if len(self.filled) == len(self.runs):
            return self.per_column(logits, lambda view: view.logsumexp(dim=-1))
        even = nn.functional.pad(logits, (0, 1), value=-torch.inf).index_select(-1, self.slots)
        pieces = even.split_with_sizes([k * n for k, n in self.filled], dim=-1)
        sums = [torch.unflatten(p, -1, (n, k)).logsumexp(dim=-1) for p, (k, n) in zip(pieces, self.filled, strict=True)]
        return sums[0] if len(sums) == 1 else torch.cat(sums, dim=-1).index_select(-1, self.back)

    def argmax(self, scores: Tensor) -> Tensor:
        """``(…, P)`` → ``(…, C)`` indices, in floating point as `Rows` hold them."""
        return self.per_column(scores, lambda view: view.argmax(dim=-1)).to(scores.dtype)


def _alike(categories: Sequence[int]) -> list[list[int]]:
    """Columns to be filled up to one width each, in their order: at most twice as wide together as they are."""
    groups: list[list[int]] = []
    held = 0
    for column in sorted(range(len(categories)), key=lambda c: categories[c]):
        held += categories[column]
        if groups and categories[column] * (len(groups[-1]) + 1) <= 2 * held:
            groups[-1].append(column)
        else:
            groups.append([column])
            held = categories[column]
    return [sorted(group) for group in groups]


@dataclass(frozen=True)
class CategoricalDistribution(Distribution):
    """Independent categorical distributions, one per column.

    Attributes:
        logits: ``(…, P)`` unnormalised log-probabilities, P = Σ categories; columns of equal cardinality lie side by
            side, fewest categories first (`probabilities` finds a column's).
        segments: Where each column's logits are.
    """

    logits: Tensor
    segments: _Segments

    @property
    def mean(self) -> Tensor:
        """The most likely index ``(…, C)``: categories have no mean."""
        return self.mode

    @property
    def mode(self) -> Tensor:
        """The most likely index ``(…, C)``."""
        return self.segments.argmax(self.logits)

    def probabilities(self, column: int) -> Tensor:
        """``(…, K)`` probabilities of the K categories of ``column``."""
        start, k = self.segments.starts[column], self.segments.categories[column]
        return self.logits.narrow(-1, start, k).softmax(dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logit of the index minus log Σ exp of its column's logits; ``value`` holds indices ``(…, C)``."""
        index = value.long() + self.segments.offset
        logits = self.logits
        leading = torch.broadcast_shapes(logits.shape[:-1], index.shape[:-1])  # type: ignore[no-untyped-call]
        chosen = logits.expand(*leading, -1).gather(-1, index.expand(*leading, -1))
        return chosen - self.segments.log_sum_exp(logits)

    def sample(self) -> Tensor:
        """Indices ``(…, C)`` drawn by the Gumbel-max rule; no gradient."""
        # a draw of exactly 0 would make its category a sure winner, however unlikely
        uniform = torch.rand_like(self.logits).clamp_min(1e-12)
        gumbel = -torch.log(-torch.log1p(-uniform))
        return self.segments.argmax(self.logits.detach() + gumbel)

    def entropy(self) -> Tensor:
        """−Σ p log p per column, ``(…, C)``."""
        return self.segments.per_column(self.logits, _entropy)


def _entropy(logits: Tensor) -> Tensor:
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


class CategoricalModule(LikelihoodModule):
    """θ ``(…, P)`` → one categorical distribution per column."""

    def __init__(self, categories: Sequence[int]) -> None:
        super().__init__()
        self.segments = _Segments(categories)

    def distribution(self, theta: Tensor) -> Distribution:
        """Categorical distributions with logits θ."""
        return CategoricalDistribution(theta, self.segments)


class Categorical(Likelihood):
    """One of K categories per column: softmax and cross-entropy.

    log p(x = j|θ) = θ_j − log Σ_k exp θ_k

    For tables whose columns are all categories; `Mixed` joins them with numbers. Values are indices, and `mean` is
    the most likely index. θ is flat, ``(Σ K,)``.

    Raises:
        InvalidParameter: From `build`, if a column is a number.

    ```python
    module = likelihoods.Categorical().build(Layout(shape=(2,), categories=(3, 5)))
    module(torch.zeros(4, 8)).probabilities(1)  # (4, 5), 0.2 everywhere
    ```
    """

    domain: ClassVar[str] = "indices"

    def theta_shape(self, layout: Layout) -> tuple[int, ...]:
        """``(P,)``, one logit per category of every column."""
        return (sum(layout.categories or ()),)

    def check_layout(self, layout: Layout) -> None:
        """Check that all columns are categories.

        Raises:
            InvalidParameter: If one is a number.
        """
        numbers = [c for c, k in enumerate(layout.categories) if not k] if layout.categories else [0]
        if numbers:
            raise InvalidParameter(
                f"{self!r} describes categories, but column {numbers[0]} of rows of shape {layout.shape} is a number: "
                "use likelihoods.Gaussian() for numbers, likelihoods.Mixed(…) for a table of both kinds"
            )

    def build(self, layout: Layout) -> nn.Module:
        """A module without parameters; θ is the logit of every category."""
        self.check_layout(layout)
        return CategoricalModule(layout.categories or ())
