"""What every bottleneck is, and codes that are plain numbers or Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from narrows._normal import FullNormal, Normal
from narrows._part import Interval, Part
from narrows._types import Code
from narrows.errors import InvalidParameter

Activation = Literal["linear", "sigmoid", "tanh", "relu"]

_LOG_SCALE_LIMIT = 7.0
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
_BOUNDS = {
    "linear": (-float("inf"), float("inf")),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
}


class BottleneckModule(nn.Module):
    """What every built bottleneck is: ``forward`` makes codes, ``mean`` only their deterministic part."""

    @abstractmethod
    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code of an encoder's output.

        Args:
            phi: ``(B, W)`` what the encoder gave, W = ``width()`` of the bottleneck.
            samples: How many codes to draw per row; None for one. In evaluation mode z is the mean unless draws
                are asked for.

        Returns:
            A code with ``z`` ``(B, L)``, or ``(S, B, L)`` with ``samples``.
        """

    @abstractmethod
    def mean(self, phi: Tensor) -> Tensor:
        """The mean of the code, ``(B, W) -> (B, L)``; never random."""


class Bottleneck(Part, ABC, room="bottlenecks", abstract=True):
    """Base of all bottlenecks.

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
    """

    size: Annotated[int, Interval(1)] | None = None

    stochastic: ClassVar[bool] = False

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval that every code unit lies in."""
        return _BOUNDS["linear"]

    @abstractmethod
    def width(self) -> int:
        """How many numbers per row the encoder must give, W."""

    @abstractmethod
    def build(self) -> BottleneckModule:
        """The module that makes codes."""

    def inside(self, size: int) -> Tensor | None:
        """Where this code's φ lies in the φ of a code of ``size`` numbers: ``(W,)`` places, or None if it does not.

        Filled up with zeros elsewhere, that φ must give the same code filled up with units that say nothing
        (`Code.units`).
        """
        return None

    def _size(self) -> int:
        if self.size is None:
            raise InvalidParameter(
                f"{self!r} has size=None, so it cannot be built: say how many numbers a code has, "
                f"as in {self.key()}(size=8)"
            )
        return int(self.size)


class Plain(Bottleneck):
    """The encoder's output itself, through an activation.

    z = a(φ).

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
        activation: ``"linear"`` for codes anywhere, ``"sigmoid"`` in (0, 1), ``"tanh"`` in (−1, 1), ``"relu"`` from 0.

    Example:
        ```python
        code = Plain(size=2, activation="sigmoid").build()(torch.zeros(1, 2))
        code.z  # tensor([[0.5, 0.5]])
        ```
    """

    activation: Activation = "linear"

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval that every code unit lies in."""
        return _BOUNDS[self.activation]

    def width(self) -> int:
        """As many numbers as the code has."""
        return self._size()

    def inside(self, size: int) -> Tensor:
        """The first ones."""
        return torch.arange(self._size())

    def build(self) -> BottleneckModule:
        """The module that makes codes; it has no parameters."""
        self._size()
        return PlainModule(self.activation)


class PlainModule(BottleneckModule):
    """A plain bottleneck, built."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code; all draws are alike."""
        z = self.mean(phi)
        return Code(z if samples is None else z.expand(samples, *z.shape))

    def mean(self, phi: Tensor) -> Tensor:
        """The code."""
        return phi if self.activation == "linear" else _ACTIVATIONS[self.activation](phi)


class Gaussian(Bottleneck):
    """A Gaussian over codes for each row, as in the variational autoencoder.

    q(z|x) = N(μ(x), Σ(x)), and z = μ + T ε with T Tᵀ = Σ and ε ~ N(0, I).

    Log-scales are bounded smoothly to ±7, so that no row's variance blows up.

    Args:
        size: How many numbers the code of a row has, L. None leaves it to the estimator.
        covariance: ``"diagonal"`` (the encoder gives 2 L numbers) or ``"full"`` (2 L + L (L − 1) / 2).

    Reference:
        Auto-Encoding Variational Bayes. D. P. Kingma, M. Welling, 2013. https://arxiv.org/abs/1312.6114

    Example:
        ```python
        code = Gaussian(size=2).build()(torch.zeros(1, 4))
        code.posterior.kl()  # tensor([0.])
        ```
    """

    covariance: Literal["diagonal", "full"] = "diagonal"

    stochastic: ClassVar[bool] = True

    def width(self) -> int:
        """2 L numbers for a diagonal covariance, L (L + 3) / 2 for a full one."""
        size = self._size()
        return 2 * size if self.covariance == "diagonal" else size * (size + 3) // 2

    def inside(self, size: int) -> Tensor:
        """The first means, the first log-scales and, row by row, the first of what lies below the diagonal."""
        own = torch.arange(self._size())
        lower = torch.arange(self.width() - 2 * len(own))
        return torch.cat([own, size + own, 2 * size + lower])

    def build(self) -> BottleneckModule:
        """The module that makes codes; it has no parameters."""
        return GaussianModule(self._size(), self.covariance)


class GaussianModule(BottleneckModule):
    """A Gaussian bottleneck, built."""

    def __init__(self, size: int, covariance: Literal["diagonal", "full"]) -> None:
        super().__init__()
        self.size, self.covariance = size, covariance

    def posterior(self, phi: Tensor) -> Normal | FullNormal:
        """q(z|x) of every row, from ``(B, W)``; in single precision at least, since variances need it."""
        phi = _single(phi)
        mean, raw = phi[..., : self.size], phi[..., self.size : 2 * self.size]
        log_scale = _LOG_SCALE_LIMIT * torch.tanh(raw / _LOG_SCALE_LIMIT)
        if self.covariance == "diagonal":
            return Normal(mean, log_scale)
        return FullNormal.from_log_diagonal(mean, log_scale, phi[..., 2 * self.size :])

    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code with its posterior; z is the mean in evaluation mode unless draws are asked for."""
        posterior = self.posterior(phi)
        if samples is not None:
            return Code(posterior.samples(samples), posterior)
        return Code(posterior.sample() if self.training else posterior.mean, posterior)

    def mean(self, phi: Tensor) -> Tensor:
        """The mean of q(z|x)."""
        return _single(phi[..., : self.size])


def _single(phi: Tensor) -> Tensor:
    return phi.float() if phi.dtype in (torch.float16, torch.bfloat16) else phi


class FilledModule(BottleneckModule):
    """A bottleneck of which only some units are in use, so that shorter codes have the shape of longer ones.

    Numbers of φ that are not in use are taken as 0, and units that are not in use are 0: no gradient reaches them.

    Args:
        bottleneck: The bottleneck, built for the longer code.
        phi: ``(W,)`` 1 where a number of φ is in use, else 0.
        units: ``(L,)`` the same of units.
    """

    phi: Tensor
    units: Tensor

    def __init__(self, bottleneck: BottleneckModule, phi: Tensor, units: Tensor) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.register_buffer("phi", phi)
        self.register_buffer("units", units)

    def forward(self, phi: Tensor, samples: int | None = None) -> Code:
        """The code, filled up with zeros."""
        code: Code = self.bottleneck(phi * self.phi, samples=samples)
        return replace(code, z=code.z * self.units, units=self.units)

    def mean(self, phi: Tensor) -> Tensor:
        """The mean of the code, filled up with zeros."""
        return self.bottleneck.mean(phi * self.phi) * self.units
