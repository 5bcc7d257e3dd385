"""Autoencoders whose codes are whole numbers."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch

from narrows import bottlenecks, tasks
from narrows._part import Part
from narrows.bottlenecks import FiniteScalar, Quantised, QuantisingModule
from narrows.errors import InvalidData
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._streams import streamed
from narrows.estimators.autoencoder import Size
from narrows.likelihoods import Likelihood
from narrows.networks import Network
from narrows.priors import Prior
from narrows.training import Training


@final
class QuantisedAutoencoder(BaseAutoencoder):
    """An autoencoder whose code is made of entries of codebooks: each row's code is a few whole numbers.

    Minimises −log p(x|z) plus what the bottleneck charges for the distance between the encoder's output and the nearest
    entries. New rows are drawn from a prior that is fitted to the codes afterwards, and moved to the nearest code.

    Args:
        code_size: Numbers per code.
        bottleneck: `bottlenecks.Quantised` (learned entries; the default) or `bottlenecks.FiniteScalar` (fixed levels).
        prior: What codes look like; None: a mixture fitted to the codes.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, 2017,
        https://arxiv.org/abs/1711.00937

    Example:
        ```python
        model = QuantisedAutoencoder(16, bottleneck=bottlenecks.Quantised(entries=64)).fit(X)
        model.indices(X)   # (n, 8), from 0 to 63
        ```
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        bottleneck: Quantised | FiniteScalar | None = None,
        prior: Prior | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.bottleneck = bottleneck
        self.prior = prior
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        return Choices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=self.bottleneck or bottlenecks.Quantised(),
            likelihood=self.likelihood,
            prior=self.prior,
            format=self.format,
        )

    @streamed
    def indices(self, X: Any) -> np.ndarray:
        """The code of every row as whole numbers: which entry each sub-code is.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n, G)`` whole numbers from 0, G sub-codes per row.
        """
        rows = self._rows(X)
        codes = tasks.encode(self.module_, rows)
        return self._quantiser.indices(codes.to(self._device)).cpu().numpy()

    def from_indices(self, indices: Any) -> Any:
        """The expected row of every code that is given as whole numbers.

        Args:
            indices: ``(n, G)`` whole numbers, as ``indices`` gives them.

        Returns:
            n rows, in the units and the container of the training data.

        Raises:
            InvalidData: If they are of another shape, or not entries.
        """
        self._check_fitted()
        found, sizes = np.asarray(indices), self._quantiser.entries_per_subcode.cpu().numpy()
        if found.ndim != 2 or found.shape[1] != len(sizes) or found.dtype.kind not in "iu":
            raise InvalidData(f"codes are {len(sizes)} whole numbers each, not {found.dtype} of shape {found.shape}")
        if len(found) and not ((found >= 0) & (found < sizes)).all():
            raise InvalidData(f"whole numbers of a code lie from 0 to {', '.join(map(str, sorted(set(sizes - 1))))}")
        codes = self._quantiser.lookup(torch.from_numpy(found.astype(np.int64)).to(self._device))
        return self.inverse_transform(codes.cpu().numpy())

    @property
    def _quantiser(self) -> QuantisingModule:
        module = self.module_.bottleneck
        assert isinstance(module, QuantisingModule)
        return module

    @property
    def _device(self) -> torch.device:
        return next(self.module_.parameters()).device
