"""The ensemble: several models of one kind, trained side by side."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Tags
from torch import Tensor

from narrows import tasks
from narrows._part import Interval
from narrows.errors import InvalidParameter, TrainingFailed, TrainingWarning
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._shared import check_params, describe_features, draw_seed
from narrows.estimators._split import split_rows
from narrows.estimators._task import TaskEstimator
from narrows.estimators._together import Material, train_together
from narrows.estimators.autoencoder import Autoencoder

Floats = NDArray[np.float64]
SHARED = ("format", "likelihood", "random_state")  # what all members have in common, or get one by one


@final
class Ensemble(TaskEstimator):
    """Several models of one kind, which differ by seed or parameters, trained side by side.

    Small networks leave most of a processor idle: models of one shape are stacked and train as one, each as it would
    alone. Where they disagree about a row, none of them knows it well.

    Args:
        model: An unfitted narrows autoencoder; None: `Autoencoder()`.
        n: How many models, with the seeds ``random_state``, ``random_state + 1``, …; with a grid, so many at every
            point of it.
        grid: Values of some parameters, by name: one model (or ``n``) is trained for each combination, such as
            ``{"code_size": [2, 4, 8]}`` or ``{"beta": [0.5, 1, 2]}``. Models that differ by seeds, code sizes and
            weights of penalties have one shape; others are trained one shape after the other.
        random_state: Whole number: the first seed, and which rows are held out; None: another run every time.

    Attributes:
        members_: The fitted models, each usable by itself.
        losses_: ``(n,)`` of every member, its validation loss (training loss where no rows were held out).
        best_: The member with the lowest of these.
        reasons_: Why format and likelihood are what they are, and how the models were trained.
        format_: The fitted format, which all members share.
        n_features_in_: Columns of the table, or values per image.
        feature_names_in_: Names of the columns, where they have names.

    References:
        Lakshminarayanan, Pritzel, Blundell: Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles, 2017, https://arxiv.org/abs/1612.01474

    Example:
        ```python
        import numpy as np
        from narrows import Autoencoder, Ensemble, Training

        X = np.random.default_rng(0).normal(size=(200, 2)) @ np.ones((2, 5))
        ensemble = Ensemble(Autoencoder(2, training=Training(epochs=5)), n=3, random_state=0).fit(X)
        ensemble.spread(X[:4]).shape  # (4,)
        ```
    """

    members_: list[BaseAutoencoder]
    losses_: Floats

    def __init__(
        self,
        model: Any = None,
        n: Annotated[int, Interval(1)] = 16,
        *,
        grid: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.model = model
        self.n = n
        self.grid = grid
        self.random_state = random_state

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train all members on the same rows, held-out rows apart.

        Args:
            X: n rows, as the model takes them.
            y: Ignored.

        Returns:
            The ensemble itself.

        Raises:
            InvalidParameter: If a parameter cannot be used, of the ensemble or of a member.
            InvalidData: If the rows cannot be used.
            TrainingFailed: If all members diverge again and again.
        """
        check_params(self)
        seed = self.random_state if isinstance(self.random_state, (int, np.integer)) else draw_seed(self.random_state)
        models, seeds = self._unfitted(int(seed))
        format_, rows = models[0]._open(X)
        train, validation = split_rows(rows, models[0]._training(), int(seed))
        notes = train_together(models, seeds, Material(format_, train, validation, int(seed)))
        fitted = [model for model in models if model.__sklearn_is_fitted__()]
        if len(fitted) < len(models):
            lost = f"{len(models) - len(fitted)} of {len(models)} models diverged again and again and were left out"
            warnings.warn(TrainingWarning(lost), stacklevel=2)
            notes.append(lost)
        if not fitted:
            raise TrainingFailed("all models diverged; give a smaller learning rate, or set clip=1.0")
        return self._take(fitted, [*format_.reasons, *notes], int(seed))

    def _unfitted(self, seed: int) -> tuple[list[BaseAutoencoder], list[int]]:
        """The members before training, and a seed for each."""
        model = Autoencoder() if self.model is None else self.model
        if not isinstance(model, BaseAutoencoder):
            raise InvalidParameter(f"Ensemble(model={model!r}): give an unfitted narrows autoencoder, or None")
        if model.__sklearn_is_fitted__():
            raise InvalidParameter(
                f"Ensemble(model={type(model).__name__}): this model is fitted, and members are trained anew: give "
                "sklearn.base.clone(model)"
            )
        made, seeds = [], []
        for point in self._points():
            for k in range(int(self.n)):
                member = clone(model).set_params(**point, random_state=seed + k)
                check_params(member)
                made.append(member)
                seeds.append(seed + k)
        return made, seeds

    def _points(self) -> list[dict[str, Any]]:
        if self.grid is None:
            return [{}]
        if not isinstance(self.grid, Mapping) or not self.grid:
            raise InvalidParameter(f"grid={self.grid!r}: give values by parameter, such as {{'code_size': [2, 4, 8]}}")
        for name, values in self.grid.items():
            if not isinstance(values, (list, tuple)) or not values:
                raise InvalidParameter(f"grid: {name!r} has {values!r}: give a list of at least one value")
            if any(values[i] == values[j] for j in range(len(values)) for i in range(j)):
                raise InvalidParameter(f"grid: {name!r} has a value twice: {values!r}; for several seeds there is n")
            if str(name).partition("__")[0] in SHARED:
                raise InvalidParameter(f"grid: {name!r} cannot vary, since members share rows and seeds")
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def _take(self, members: list[BaseAutoencoder], reasons: list[str], seed: int) -> Self:
        self.members_, self.reasons_, self.seed_ = members, reasons, seed
        self.losses_ = np.array([_loss(member) for member in members])
        self.format_ = members[0].format_
        describe_features(self, self.format_)
        return self

    # --- using -----------------------------------------------------------------------------------------------

    def _models(self) -> list[BaseAutoencoder]:
        return self.members_

    @property
    def best_(self) -> BaseAutoencoder:
        """The member with the lowest loss on the rows held out of training."""
        self._check_fitted()
        return self.members_[int(np.nanargmin(self.losses_))]

    def score_samples(self, X: Any) -> Floats:
        """Mean over members of log p(x|z) of every row.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` in nats; higher is more normal.
        """
        rows = self._rows(X)
        found = [tasks.log_likelihood(member.module_, rows).double() for member in self.members_]
        return torch.stack(found).mean(0).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples``, in nats per row.

        Args:
            X: n rows, as in ``fit``.
            y: Ignored.
        """
        return float(self.score_samples(X).mean())

    def reconstruct(self, X: Any) -> Any:
        """What the members make of every row on average; of categories, what most of them say.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            n rows, in the units and the container of the training data.
        """
        found = self._reconstructions(self._rows(X))
        mean, category = found.double().mean(0).float(), self.format_.layout.is_category()
        if category is not None:
            mean = torch.where(category, found.mode(0).values, mean)
        return self.format_.from_values(mean, like=X)

    def spread(self, X: Any) -> Floats:
        r"""How much the members disagree about every row.

        $\sqrt{\frac{1}{D} \sum_j v_j}$, where $v_j$ is the variance over members of the reconstruction of value j in
        scaled units, and for a category the chance that two members, drawn with replacement, name different ones.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)``; 0 where all say the same.
        """
        found = self._reconstructions(self._rows(X)).double()
        apart, category = found.var(0, correction=0), self.format_.layout.is_category()
        if category is not None:
            differ = (found.unsqueeze(0) != found.unsqueeze(1)).double().mean((0, 1))
            apart = torch.where(category, differ, apart)
        return apart.flatten(1).mean(1).sqrt().numpy()

    def _reconstructions(self, rows: Any) -> Tensor:
        """``(M, n, *shape)`` in scaled units."""
        return torch.stack([tasks.reconstruct(member.module_, rows) for member in self.members_])

    def __sklearn_tags__(self) -> Tags:
        """It takes what its model takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags = (Autoencoder() if self.model is None else self.model).__sklearn_tags__().input_tags
        return tags


def _loss(member: BaseAutoencoder) -> float:
    """The loss of the weights that were kept."""
    history = member.history_
    column = "validation_loss" if "validation_loss" in history.columns else "loss"
    kept = [row[column] for row in history if row["epoch"] == history.best_epoch]
    return float(kept[0]) if kept else float("nan")
