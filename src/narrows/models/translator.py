"""One encoder, several decoders: each set of rows has a decoder of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows._types import Distribution, Layout, Rows
from narrows.bottlenecks import Bottleneck
from narrows.likelihoods import Likelihood
from narrows.models.autoencoder import AutoencoderModule, theta_shape
from narrows.networks import Network
from narrows.priors import Prior


class TranslatorModule(AutoencoderModule):
    """An autoencoder whose decoder depends on the set that a row is of, ``rows.condition``; its encoder does not.

    What the decoders have in common they must find in the code, so that the code of a row of one set can be decoded as
    a row of another.

    Args:
        layout: What a row looks like; ``classes`` says how many sets there are.
        network: Makes the encoder and all decoders.
        bottleneck: Decides what the code may be; its size must be set.
        likelihood: Judges the reconstruction.
        prior: What codes look like before a row is seen.
    """

    def __init__(
        self, layout: Layout, network: Network, bottleneck: Bottleneck, likelihood: Likelihood, prior: Prior
    ) -> None:
        super().__init__(layout, network, bottleneck, likelihood, prior)
        others = [network.decoder(self.code_size, theta_shape(likelihood, layout)) for _ in range(1, layout.classes)]
        self.others = nn.ModuleList(others)

    @property
    def conditional(self) -> bool:
        """Rows of one set can be asked for."""
        return True

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Distribution:
        """p(x|z) for codes ``(…, B, L)``, each by the decoder of its set; None: all by the first."""
        if condition is None:
            return super().decode(z)
        order = condition.argsort(stable=True)
        decoders = [self.decoder, *self.others]
        sizes = torch.bincount(condition, minlength=len(decoders)).tolist()
        parts = torch.split(z.index_select(-2, order), sizes, dim=-2)
        made = [decoder(part) for decoder, part in zip(decoders, parts, strict=True) if part.shape[-2]]
        place = z.ndim - 2
        x: Distribution = self.likelihood(torch.cat(made, dim=place).index_select(place, order.argsort()))
        return x

    def decode_rows(self, z: Tensor, rows: Rows) -> Distribution:
        """p(x|z), each row by the decoder of its own set."""
        return self.decode(z, rows.condition)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The rows of codes ``(B, L)`` in the sets asked for: images as means of p(x|z), others as draws."""
        x = self.decode(self.snap(z), condition)
        return x.sample() if len(self.layout.shape) == 1 else x.mean
