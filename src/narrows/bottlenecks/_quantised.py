"""Codes of whole numbers: every row's code is one of finitely many."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from torch import Tensor

from narrows._part import Fraction, Interval, NotNegative
from narrows._types import Code
from narrows.bottlenecks._basic import Bottleneck, BottleneckModule, _single
from narrows.errors import InvalidParameter

Levels = Annotated[int, Interval(2)]
_TINY = 1e-12


class QuantisingModule(BottleneckModule):
    """What every built bottleneck of finitely many codes is: G sub-codes per row, each an index into some entries.

    Attributes:
        entries_per_subcode: ``(G,)`` how many entries each sub-code chooses from.
    """

    entries_per_subcode: Tensor

    @abstractmethod
    def indices(self, z: Tensor) -> Tensor:
        """The entries nearest to codes: ``(…, L) -> (…, G)``, whole numbers."""

    @abstractmethod
    def lookup(self, indices: Tensor) -> Tensor:
        """The codes of entries: ``(…, G) -> (…, L)``."""

    def snap(self, z: Tensor) -> Tensor:
        """The codes nearest to numbers ``(…, L)``."""
        return self.lookup(self.indices(z))

    def watch(self, z: Tensor) -> dict[str, float]:
        """``perplexity``: how many entries a sub-code uses evenly, the mean of all sub-codes."""
        return {"perplexity": float(perplexity(self.indices(z)).mean())}


def perplexity(indices: Tensor) -> Tensor:
    """How many entries each sub-code uses, as if it used them evenly: exp H, ``(B, G) -> (G,)``."""
    found = []
    for column in indices.T:
        share = column.unique(return_counts=True)[1].double() / len(indices)
        found.append((-(share * share.log()).sum()).exp())
    return torch.stack(found)


class Quantised(Bottleneck):
    r"""Each sub-code is the nearest entry of a learned codebook, as in the vector-quantised autoencoder.

    $z_g = e_k$ with $k = \arg\min_j \lVert \phi_g - e_j \rVert$: φ is cut into G sub-codes of L / G numbers, each
    with a codebook of its own. Gradients pass straight through to φ.

    Entries follow the mean of the φ that chose them, a moving average over the steps of training: with n rows of a
    batch choosing an entry, $N \leftarrow \gamma N + (1 - \gamma) n$ and
    $e \leftarrow e + (1 - \gamma) (\sum \phi - n e) / N$. An entry that hardly any row chooses is moved onto the φ of a
    random row of the batch; so the first batch gives all of them their places. A row is charged for the distance to its
    entries, ``commitment`` · ‖φ − z‖².

    With several processes in training, the codebook follows the first one's rows.

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
        entries: K, how many entries each codebook has. A row's code is then one of K to the power of G.
        subcodes: G, how many entries a row's code is made of; it must divide L. None: one for every two numbers, or for
            every number where L is odd.
        commitment: What the distance costs, in nats per squared code unit.
        decay: γ; entries follow the rows of about the last 1 / (1 − γ) steps.
        revival: Entries chosen by fewer rows than this share of an even part are moved; 0: none are.

    References:
        van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, 2017,
        https://arxiv.org/abs/1711.00937; Razavi, van den Oord, Vinyals: Generating Diverse High-Fidelity Images with
        VQ-VAE-2, 2019, https://arxiv.org/abs/1906.00446

    Example:
        ```python
        module = Quantised(size=4, entries=16).build()
        code = module(torch.randn(10, 4))
        module.indices(code.z)   # (10, 2), from 0 to 15
        ```
    """

    entries: Levels = 256
    subcodes: Annotated[int, Interval(1)] | None = None
    commitment: Annotated[float, NotNegative] = 0.25
    decay: Annotated[float, Interval(0, 1, open_high=True)] = 0.99
    revival: Annotated[float, Fraction] = 0.05

    def width(self) -> int:
        """As many numbers as the code has."""
        return self._size()

    def build(self) -> QuantisedModule:
        """The module that makes codes.

        Raises:
            InvalidParameter: If the code cannot be cut into that many sub-codes.
        """
        size = self._size()
        subcodes = self.subcodes or (size if size % 2 else size // 2)
        if size % subcodes:
            fitting = ", ".join(str(g) for g in range(1, size + 1) if size % g == 0)
            raise InvalidParameter(
                f"a code of {size} numbers cannot be cut into {subcodes} equal sub-codes: subcodes may be {fitting}"
            )
        return QuantisedModule(self, int(subcodes), size // int(subcodes))


class QuantisedModule(QuantisingModule):
    """A bottleneck with codebooks, built. What it learns are buffers, moved by ``forward`` in training.

    Args:
        part: Its settings.
        subcodes: G.
        size: Numbers of a sub-code, D.

    Attributes:
        codebook: ``(G, K, D)`` the entries.
        used: ``(G, K)`` moving average of how many rows of a batch chose each.
    """

    codebook: Tensor
    used: Tensor

    def __init__(self, part: Quantised, subcodes: int, size: int) -> None:
        super().__init__()
        self.commitment, self.decay, self.revival = float(part.commitment), float(part.decay), float(part.revival)
        self.register_buffer("codebook", torch.randn(subcodes, int(part.entries), size))
        self.register_buffer("used", torch.zeros(subcodes, int(part.entries)))
        self.register_buffer("entries_per_subcode", torch.full((subcodes,), int(part.entries)), persistent=False)

    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code, and what its distance to the encoder's output costs; in training the codebook learns."""
        phi = _single(phi)
        if self.training:
            with torch.no_grad():
                self._learn(self._cut(phi))
        z = self.snap(phi)
        cost = self.commitment * (phi - z).square().sum(-1)
        z = _straight_through(z, phi)
        return Code(z if samples is None else z.expand(samples, *z.shape), cost=cost)

    def mean(self, phi: Tensor) -> Tensor:
        """The code."""
        phi = _single(phi)
        return _straight_through(self.snap(phi), phi)

    def indices(self, z: Tensor) -> Tensor:
        """The entries nearest to codes: ``(…, L) -> (…, G)``."""
        return self._nearest(self._cut(z))

    def lookup(self, indices: Tensor) -> Tensor:
        """The codes of entries: ``(…, G) -> (…, L)``."""
        return self.codebook[torch.arange(len(self.codebook), device=indices.device), indices].flatten(-2)

    def _cut(self, z: Tensor) -> Tensor:
        """``(…, G, D)`` the sub-codes of ``(…, L)``."""
        groups, _, size = self.codebook.shape
        return z.reshape(*z.shape[:-1], groups, size)

    def _nearest(self, parts: Tensor) -> Tensor:
        """The nearest entry of every sub-code: ``(…, G, D) -> (…, G)``."""
        # the length of a sub-code itself is the same for all entries
        closeness = torch.einsum("...gd,gkd->...gk", parts, self.codebook) - 0.5 * self.codebook.square().sum(-1)
        return closeness.argmax(-1)

    def _learn(self, parts: Tensor) -> None:
        """Revive entries, then move each towards the mean of the sub-codes ``(B, G, D)`` that chose it.

        The same operations whatever the numbers, so that a step can be recorded.
        """
        rows, entries = len(parts), self.codebook.shape[1]
        dead = self.used < self.revival * rows / entries
        # one axis more than needed: processes that train together would take the first for rows
        place = (torch.rand_like(self.used[None, None])[0, 0] * rows).long().clamp_max(rows - 1)
        fresh = parts.transpose(0, 1).gather(1, place.unsqueeze(-1).expand_as(self.codebook))
        self.codebook.copy_(torch.where(dead.unsqueeze(-1), fresh, self.codebook))
        self.used.copy_(torch.where(dead, rows / entries, self.used))
        chosen = self._nearest(parts).unsqueeze(-1) == torch.arange(entries, device=parts.device)
        chose = chosen.to(parts.dtype).transpose(0, 1)
        count = chose.sum(1)
        self.used.mul_(self.decay).add_((1 - self.decay) * count)
        pull = chose.mT @ parts.transpose(0, 1) - count.unsqueeze(-1) * self.codebook
        self.codebook.add_((1 - self.decay) * pull / self.used.clamp_min(_TINY).unsqueeze(-1))


class FiniteScalar(Bottleneck):
    r"""Each number of the code is rounded to one of a few levels, and no codebook is learned.

    $z_j = 2 \, \mathrm{round}\bigl((\tanh \phi_j + 1) (l_j - 1) / 2\bigr) / (l_j - 1) - 1$, evenly from −1 to 1.
    Gradients pass straight through the rounding. A row's code is one of $\prod_j l_j$.

    Every level is used from the start, so that there is nothing to revive and nothing to commit to. The paper
    shifts even numbers of levels by half a step so that 0 is one of them; here they lie symmetrically.

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
        levels: l, how many levels each number has; or one count for each of the L numbers.

    References:
        Mentzer, Minnen, Agustsson, Tschannen: Finite Scalar Quantization: VQ-VAE Made Simple, 2023,
        https://arxiv.org/abs/2309.15505

    Example:
        ```python
        FiniteScalar(size=2, levels=3).build()(torch.tensor([[0.2, -5.0]])).z   # [[0., -1.]]
        ```
    """

    levels: Levels | tuple[Levels, ...] = 8

    @property
    def bounds(self) -> tuple[float, float]:
        """Codes lie from −1 to 1."""
        return (-1.0, 1.0)

    def width(self) -> int:
        """As many numbers as the code has."""
        return self._size()

    def build(self) -> FiniteScalarModule:
        """The module that makes codes; it has no parameters.

        Raises:
            InvalidParameter: If there are levels for another number of numbers.
        """
        size = self._size()
        levels = tuple(self.levels) if isinstance(self.levels, (tuple, list)) else (self.levels,) * size
        if len(levels) != size:
            raise InvalidParameter(
                f"levels={self.levels!r} are for {len(levels)} numbers, but a code has {size}: give one count for all, "
                f"or {size} of them"
            )
        return FiniteScalarModule(levels)


class FiniteScalarModule(QuantisingModule):
    """A bottleneck of rounded numbers, built.

    Args:
        levels: How many levels each number of the code has.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("entries_per_subcode", torch.tensor(levels), persistent=False)

    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code; all draws are alike."""
        z = self.mean(phi)
        return Code(z if samples is None else z.expand(samples, *z.shape))

    def mean(self, phi: Tensor) -> Tensor:
        """The code."""
        bounded = _single(phi).tanh()
        return _straight_through(self.snap(bounded), bounded)

    def indices(self, z: Tensor) -> Tensor:
        """The levels nearest to codes: ``(…, L) -> (…, L)``."""
        return (0.5 * (z.clamp(-1, 1) + 1) * (self.entries_per_subcode - 1)).round().long()

    def lookup(self, indices: Tensor) -> Tensor:
        """The codes of levels: ``(…, L) -> (…, L)``."""
        return 2 * indices / (self.entries_per_subcode - 1) - 1


def _straight_through(value: Tensor, gradient: Tensor) -> Tensor:
    """The first, to the bit, with the gradient of the second."""
    return value.detach() + (gradient - gradient.detach())
