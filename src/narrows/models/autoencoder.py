"""The autoencoder: stem, encoder, bottleneck, decoder, likelihood and prior put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from narrows._normal import FullNormal, Normal
from narrows._types import Code, Distribution, Layout, Pass, Rows
from narrows.bottlenecks import Bottleneck, BottleneckModule, GroupedModule, QuantisingModule
from narrows.likelihoods import Likelihood
from narrows.networks import Network, RaggedModule, StemModule
from narrows.priors import Prior


class AutoencoderModule(nn.Module):
    """x → stem → encoder → bottleneck → z → decoder → likelihood → p(x|z).

    Args:
        layout: What a row looks like.
        network: Makes encoder and decoder.
        bottleneck: Decides what the code may be; its size must be set.
        likelihood: Judges the reconstruction.
        prior: What codes look like before a row is seen.

    Raises:
        InvalidParameter: If the likelihood cannot describe rows of this layout.
    """

    def __init__(
        self, layout: Layout, network: Network, bottleneck: Bottleneck, likelihood: Likelihood, prior: Prior
    ) -> None:
        super().__init__()
        likelihood.check_layout(layout.step)
        assert bottleneck.size is not None
        self.layout = layout
        self.code_size = bottleneck.size
        self.stochastic = bottleneck.stochastic
        self.fitted_prior = prior.fitted_afterwards or (prior.learns and not bottleneck.stochastic)
        self.stem = StemModule(layout)
        self.bottleneck_width = bottleneck.width()
        self.encoder = _encoder(network, self.stem.shape, self.bottleneck_width, layout.ragged)
        self.bottleneck: BottleneckModule = bottleneck.build()
        self.decoder = network.decoder(bottleneck.size, theta_shape(likelihood, layout))
        self.likelihood = likelihood.build(layout.step)
        self.prior = prior.build(bottleneck.size, self.stem.shape, layout.classes)
        self.prior.encode = self._posterior
        if self.fitted_prior:
            self.prior.requires_grad_(False)  # until it is fitted
            self.prior.afterwards = True

    def encode(self, rows: Rows) -> Tensor:
        """The mean code of every row, ``(B, L)``, without noise."""
        return self._mean(self.stem(rows))

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z) for codes ``(…, L)``: elementwise, ``(…, *shape)``."""
        return self.likelihood(self.decoder(z))

    def decode_rows(self, z: Tensor, rows: Rows) -> Distribution:
        """p(x|z) for the codes ``(…, B, L)`` of some rows."""
        return self.decode(z)

    def forward(
        self,
        rows: Rows,
        seen: Rows | None = None,
        *,
        samples: int | None = None,
        epoch: Tensor | None = None,
    ) -> Pass:
        """One pass: encode what is seen, decode the code.

        Args:
            rows: The clean rows, which the reconstruction is judged by.
            seen: What the encoder sees; None: the clean rows.
            samples: Codes drawn per row by a stochastic bottleneck; None: one in training, the mean in evaluation.
            epoch: ``()`` epochs trained so far, for warm-ups.

        Returns:
            All that the pass made.
        """
        inputs = self.stem(rows if seen is None else seen)
        code = self._code(self.encoder(inputs), rows, samples)
        return Pass(
            rows=rows,
            code=code,
            # a prior that is fitted to the codes afterwards plays no part in training
            prior=None if self.fitted_prior else self.prior(rows.condition),
            x=self.decode_rows(code.z, rows),
            inputs=inputs,
            encode=self._mean,
            epoch=rows.values.new_zeros(()) if epoch is None else epoch,
        )

    def _posterior(self, inputs: Tensor) -> Normal | FullNormal:
        with evaluation(self.encoder), evaluation(self.bottleneck):
            return self.bottleneck(self.encoder(inputs)).posterior

    @property
    def conditional(self) -> bool:
        """Whether rows of one class can be asked for: so where the prior knows of classes."""
        return self.prior.conditional

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of codes ``(B, L)``, in scaled units: as draws from p(x|z), but images and curves as its means."""
        # a draw from the prior need not be a code that the bottleneck can give
        x = self.decode(self.snap(z))
        # of tokens the likeliest at every step are the frequent ones too often: melodies would get too few notes
        return x.sample() if len(self.layout.shape) == 1 or self.layout.tokens else x.mean

    def snap(self, z: Tensor) -> Tensor:
        """The codes nearest to numbers ``(…, L)`` that the bottleneck can give."""
        return self.bottleneck.snap(z) if isinstance(self.bottleneck, QuantisingModule) else z

    def _code(self, phi: Tensor, rows: Rows, samples: int | None) -> Code:
        if isinstance(self.bottleneck, GroupedModule):
            return self.bottleneck.grouped(phi, rows.group, samples)
        code: Code = self.bottleneck(phi, samples=samples)
        return code

    def _mean(self, inputs: Tensor) -> Tensor:
        with evaluation(self.encoder):
            return self.bottleneck.mean(self.encoder(inputs))


def theta_shape(likelihood: Likelihood, layout: Layout) -> tuple[int, ...]:
    """Shape of the parameters that describe a row: those of a step, for every step of a series."""
    return (*layout.steps, *likelihood.theta_shape(layout.step))


def _encoder(network: Network, shape: tuple[int, ...], width: int, ragged: bool) -> nn.Module:
    if ragged and network.takes_lengths:
        return RaggedModule(network.encoder((*shape[:-1], shape[-1] - 1), width))
    return network.encoder(shape, width)


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for the length of a block."""
    training = module.training
    if training:
        module.eval()
    try:
        yield
    finally:
        if training:
            module.train()


def active_units(codes: Tensor, threshold: float = 0.01, relative: bool = False) -> int:
    """How many units of the code say something: those whose mean varies between rows.

    Args:
        codes: ``(B, L)`` posterior means.
        threshold: Variance above which a unit counts.
        relative: Whether the threshold is a share of the largest variance: plain codes have no scale of their own.

    References:
        Burda, Grosse, Salakhutdinov: Importance Weighted Autoencoders, 2016, https://arxiv.org/abs/1509.00519
    """
    if len(codes) < 2:
        return codes.shape[1]
    return int(_active(codes, threshold, relative))


def active_units_of(codes: Tensor, sizes: Sequence[int], relative: bool = False) -> list[int]:
    """`active_units` of many models at once.

    Args:
        codes: ``(M, B, L)`` posterior means, those beyond a model's own size being nothing to it.
        sizes: The models' code sizes, at most L.
        relative: As in `active_units`.
    """
    if codes.shape[1] < 2:
        return list(sizes)
    own = torch.arange(codes.shape[2], device=codes.device) < torch.tensor(sizes, device=codes.device).unsqueeze(1)
    return _active(codes * own.unsqueeze(1), 0.01, relative).tolist()


def _active(codes: Tensor, threshold: float, relative: bool) -> Tensor:
    """``(…, B, L) -> (…)``."""
    variance = torch.var(codes.float(), dim=-2)
    limit = threshold * variance.amax(-1, keepdim=True).clamp(min=1e-12) if relative else threshold
    return (variance > limit).sum(-1)
