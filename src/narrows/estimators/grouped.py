"""An autoencoder of rows that belong together in groups."""

from __future__ import annotations

from typing import Annotated, Any, Self, final

import numpy as np
import torch

from narrows import bottlenecks, penalties, tasks
from narrows._normal import Normal
from narrows._part import Interval, Part
from narrows._types import Rows
from narrows.bottlenecks import GroupedModule
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._labels import plain
from narrows.estimators._shared import check_params
from narrows.estimators.autoencoder import NotNegative, Size
from narrows.likelihoods import Likelihood
from narrows.networks import Network
from narrows.penalties import Penalties
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import Training


@final
class GroupedAutoencoder(BaseAutoencoder):
    """A variational autoencoder that shares a part of the code among the rows of a group: the multi-level autoencoder.

    Rows of a group show one thing in several ways: a person in several pictures, a machine in several runs. The shared
    part of the code comes to hold what they have in common, the rest what differs; nobody says what that is.

    Args:
        code_size: Numbers per code.
        shared: How many of them, the first ones, belong to the group; None: half, rounded up.
        beta: Weight of the KL divergence.
        warmup: Epochs over which β grows from 0.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Bouchacourt, Tomioka, Nowozin: Multi-Level Variational Autoencoder, 2018, https://arxiv.org/abs/1705.08841

    Example:
        ```python
        model = GroupedAutoencoder(4, shared=2, training=Training(epochs=2)).fit(X, groups=labels)
        model.transform(X[:3], groups=[0, 0, 1]).shape   # (3, 4)
        model.combine(X[:5], X[5:10]).shape   # (5, 4): what the first ones' groups share, and the rest of the others
        ```
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        shared: Annotated[int, Interval(1)] | None = None,
        beta: NotNegative = 1.0,
        warmup: NotNegative = 0.0,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.shared = shared
        self.beta = beta
        self.warmup = warmup
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
            bottleneck=bottlenecks.Grouped(shared=self.shared),
            likelihood=self.likelihood,
            penalties=Penalties(kl=penalties.KL(weight=self.beta, warmup=self.warmup)),
            format=self.format,
        )

    def fit(self, X: Any, y: Any = None, *, labels: Any = None, groups: Any = None) -> Self:
        """Learn from rows in groups.

        Args:
            X: n rows, in memory.
            y: Ignored; here for scikit-learn's pipelines.
            labels: As in `Autoencoder.fit`; not together with groups.
            groups: ``(n,)`` the group of every row, anything that can be told apart, None where it has none;
                None: each row by itself.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If the rows cannot be used, or there is not a group for each.
            TrainingFailed: If training diverges again and again.
        """
        if groups is None:
            return super().fit(X, y, labels=labels)
        if labels is not None:
            raise InvalidParameter("give labels or groups, not both: a class is a group")
        check_params(self)
        format_, rows = self._open(X)
        return self._fit_rows(format_, rows.replace(group=_numbered(groups, len(rows))))

    def transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """The code of every row.

        Args:
            X: n rows, as in ``fit``.
            groups: ``(n,)`` the group of every row: what its rows say of the shared part is put together. None: each
                row by itself.

        Returns:
            ``(n, code_size)``, the shared part first.
        """
        if groups is None:
            return np.asarray(super().transform(X))
        rows = self._rows(X)
        both = self._posterior(rows)
        bottleneck = self.module_.bottleneck
        assert isinstance(bottleneck, GroupedModule)
        mean, log_scale = both.double().chunk(2, dim=1)
        kind = _numbered(groups, len(rows))
        precision = (-2 * log_scale).exp()
        sums = torch.zeros(int(kind.max()) + 1, 2 * mean.shape[1], dtype=torch.float64)
        whole, pull = sums.index_add_(0, kind, torch.cat([precision, precision * mean], 1))[kind].chunk(2, dim=1)
        units = torch.arange(mean.shape[1]) < bottleneck.shared
        return torch.where(units, pull / whole, mean).float().numpy()

    def combine(self, shared: Any, own: Any) -> Any:
        """Rows with the shared part of the code from some rows and the rest from others.

        Args:
            shared: n rows, whose shared part is taken.
            own: n rows, of which the rest is taken.

        Returns:
            n rows, in the units and the container of the training data.

        Raises:
            InvalidData: If there are not as many of both.
        """
        a, b = (tasks.encode(self.module_, self._rows(x)) for x in (shared, own))
        if len(a) != len(b):
            raise InvalidData(f"combine needs as many rows of both kinds, not {len(a)} and {len(b)}")
        bottleneck = self.module_.bottleneck
        assert isinstance(bottleneck, GroupedModule)
        codes = torch.cat([a[:, : bottleneck.shared], b[:, bottleneck.shared :]], dim=1)
        return self.format_.from_values(tasks.decode(self.module_, codes))

    def _posterior(self, rows: Rows) -> torch.Tensor:
        """``(n, 2 L)`` means and log-scales of every row by itself."""

        def run(part: Rows) -> torch.Tensor:
            bottleneck = self.module_.bottleneck
            assert isinstance(bottleneck, GroupedModule)
            found = bottleneck.posterior(self.module_.encoder(self.module_.stem(part)))
            assert isinstance(found, Normal)
            return torch.cat([found.mean, found.log_scale], dim=1)

        return in_chunks(run, rows, chunk_size(self.module_.layout), next(self.module_.parameters()).device)


def _numbered(groups: Any, n: int) -> torch.Tensor:
    """The group of every row as a whole number from 0, ``(n,)``."""
    cells = plain(groups, "groups")
    if len(cells) != n:
        raise InvalidData(f"groups has {len(cells)} entries for {n} rows: give one group per row")
    numbers: dict[Any, int] = {}
    names = [object() if cell is None else cell for cell in cells]  # a row of no group is one by itself
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])
