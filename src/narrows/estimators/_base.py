"""The base of all estimators: how a fit goes, and what a fitted model can do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, check_array

from narrows import tasks
from narrows._part import nested_params, replace_params
from narrows._types import Rows
from narrows.data import format_for
from narrows.data.row_stream import RowStream
from narrows.errors import InvalidData, InvalidParameter, NarrowsError
from narrows.estimators._choose import Choices, default_parts, resolve
from narrows.estimators._shared import check_params, describe_features, draw_seed
from narrows.estimators._streams import open_data, prepared, streamed
from narrows.models.autoencoder import AutoencoderModule, active_units
from narrows.training import History, Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.ranks import ranks_for
from narrows.training.seeds import hash_seed, seeded

WATCHED = 256  # rows whose codes are looked at after every epoch
PRIOR_ROWS = 20_000  # rows whose codes a prior is fitted to


class NotFitted(NarrowsError, NotFittedError):
    """The model has not been trained yet."""


class BaseModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """What every autoencoder estimator does; subclasses choose the parts.

    Attributes:
        format_: The fitted format: raw data to rows and back.
        module_: The trained `torch.nn.Module`.
        choices_: The parts that the model is made of.
        history_: One row per epoch, and a diagnosis in words.
        reasons_: Why format, likelihood, network and sizes are what they are.
        seed_: The seed that was used.
        n_features_in_: Columns of the table, or values per image.
        feature_names_in_: Names of the columns, where they have names.
    """

    format_: Any
    module_: AutoencoderModule
    choices_: Choices
    history_: History
    reasons_: list[str]
    seed_: int
    n_features_in_: int
    _n_features_out: int

    @abstractmethod
    def choices(self) -> Choices:
        """The parts that the parameters mean; None where the data should decide (see ``choices_`` after fitting)."""

    # --- parameters ------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep``, those of the parts too, as ``outer__inner``."""
        params = super().get_params(deep=False)
        return nested_params(params) if deep else params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name. ``bottleneck__size=2`` works on a part that was left at None too.

        Raises:
            InvalidParameter: If a name is unknown.
        """
        own = self.get_params(deep=False)
        for name in params:
            outer, nested, _ = name.partition("__")
            if nested and outer in own and own[outer] is None:
                # what this estimator would choose itself comes before what autoencoders choose in general
                own[outer] = (default_parts() | self.choices().parts()).get(outer)
        for name, value in replace_params(own, params, of=type(self).__name__).items():
            setattr(self, name, value)
        return self

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows.

        Args:
            X: n rows: an array ``(n, d)``, ``(n, h, w)`` or ``(n, h, w, c)``, a DataFrame (pandas, polars, pyarrow),
                or a list of image files; or the name of files, a folder or a pattern of them; or a `data.Stream`.
                Blanks are NaN, None or NaT. What would take more than ``training.memory`` is read piece by piece.
            y: Ignored; here for scikit-learn's pipelines.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used, or parts do not go together.
            InvalidData: If the rows cannot be used.
            TrainingFailed: If training diverges again and again.
        """
        check_params(self)
        training = self._training()
        X = open_data(X, training.memory)
        seed = self._seed()
        streams = prepared(X, self.choices(), training, seed)
        if streams is not None:
            return self._learn(*streams, seed)
        format_, rows = self._open(X)
        parts = _split(rows, training, seed)
        return self._learn(format_, *parts, seed)

    def _fit_rows(self, format_: Any, rows: Rows) -> Self:
        """Learn from rows that another's format made."""
        seed = self._seed()
        return self._learn(format_, *_split(rows, self._training(), seed), seed)

    def _open(self, X: Any) -> tuple[Any, Rows]:
        """The format that suits the data, and the rows, at least two."""
        choices = self.choices()
        options = choices.format or format_for(X)
        format_ = options.fit(X, likelihood=choices.likelihood)  # type: ignore[attr-defined]
        rows = format_.to_rows(X)
        if len(rows) < 2:
            raise InvalidData(f"n_samples={len(rows)}: one sample is not enough to learn from; give at least 2 rows")
        return format_, rows

    def _learn(self, format_: Any, train: Rows | RowStream, validation: Rows | None, seed: int) -> Self:
        full = resolve(self.choices(), format_.layout, format_.likelihood())
        module = initial_module(full, format_.layout, seed)
        history = self._train(full, module, format_.layout, self._training(), seed, train, validation)
        return self._take(format_, full, module, history, train, seed)

    def _take(
        self,
        format_: Any,
        full: Choices,
        module: AutoencoderModule,
        history: History,
        train: Rows | RowStream,
        seed: int,
    ) -> Self:
        if module.fitted_prior:
            _fit_prior(module, train, seed)
        # nothing is set before everything has worked: bad input leaves no half-fitted model
        self.format_, self.module_, self.choices_ = format_, module, full
        self.history_, self.seed_ = history, seed
        self.reasons_ = [*format_.reasons, *full.reasons]
        self._describe()
        return self

    def _seed(self) -> int:
        """One seed, the same in all processes that train together."""
        return int(ranks_for(self._training()).agree(lambda: draw_seed(self.random_state)))

    def _training(self) -> Training:
        given = getattr(self, "training", None)
        return given if isinstance(given, Training) else Training()

    def _train(
        self,
        choices: Choices,
        module: AutoencoderModule,
        layout: Any,
        training: Training,
        seed: int,
        train: Rows | RowStream,
        validation: Rows | None,
    ) -> History:
        step = choices.step(module, layout)
        watched = (train if validation is None else validation).take(slice(WATCHED))
        relative = not module.stochastic
        device = training.resolve_device()

        def watch() -> dict[str, float]:
            codes = module.encode(watched.to(device))
            return {"active_units": float(active_units(codes, relative=relative))}

        loop = Loop(
            step,
            [Player(step, trainable(module))],
            training,
            hash_seed(seed, 1),
            watch=watch,
            words=f"{type(self).__name__} {choices.parts()!r} {layout!r}",
        )
        choices.describe(loop.history, module)
        return loop.fit(train, validation)

    def _describe(self) -> None:
        """Set what scikit-learn wants to know of a fitted model."""
        self._n_features_out = self.module_.code_size
        describe_features(self, self.format_)

    def untrained(self) -> Self:
        """A copy of the fitted model with the weights it began with: the baseline that every model must beat."""
        self._check_fitted()
        copy = type(self)(**self.get_params(deep=False))
        copy.__dict__.update(self.__dict__)
        copy.module_ = initial_module(self.choices_, self.format_.layout, self.seed_).eval()
        return copy

    # --- using -----------------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the model has been trained or loaded."""
        return hasattr(self, "module_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFitted(f"this {name} is not fitted yet: call fit(X) first, or narrows.load(folder)")

    def _rows(self, X: Any) -> Rows:
        self._check_fitted()
        return self.format_.to_rows(X, owner=type(self).__name__)

    @streamed
    def transform(self, X: Any) -> np.ndarray:
        """The code of every row.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n, code_size)``, in the dtype of ``X`` when that is a float, else float32.
        """
        rows = self._rows(X)
        return tasks.encode(self.module_, rows).numpy().astype(_dtype(X), copy=False)

    def inverse_transform(self, Z: Any) -> Any:
        """The expected row of every code, in the units and the container of the training data.

        Args:
            Z: ``(n, code_size)``.

        Returns:
            n rows.

        Raises:
            InvalidData: If the codes are of another width, or not finite.
        """
        self._check_fitted()
        codes = check_array(Z, dtype=np.float32)
        if codes.shape[1] != self.module_.code_size:
            raise InvalidData(f"codes have {self.module_.code_size} numbers each, not {codes.shape[1]}")
        return self.format_.from_values(tasks.decode(self.module_, torch.from_numpy(codes)))

    @streamed
    def reconstruct(self, X: Any) -> Any:
        """What is left of every row after it was narrowed to its code; blanks come back filled.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            n rows, in the units and the container of the training data.
        """
        rows = self._rows(X)
        return self.format_.from_values(tasks.reconstruct(self.module_, rows), like=X)

    def denoise(self, X: Any) -> Any:
        """Rows with their noise taken out: the expected clean row given a noisy one.

        Any narrow code removes some noise; a model that was trained with a corruption (`DenoisingAutoencoder`) has
        learnt to.

        Args:
            X: n noisy rows, as in ``fit``.

        Returns:
            n rows.
        """
        return self.reconstruct(X)

    @streamed
    def score_samples(self, X: Any) -> np.ndarray:
        """Log p(x|z) of every row at its mean code, summed over its observed values.

        This says how well the model can reconstruct a row; it is not log p(x), which no autoencoder knows exactly.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` in nats, for values in scaled units; higher is more normal.
        """
        rows = self._rows(X)
        return tasks.log_likelihood(self.module_, rows).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples``, in nats per row: higher is better, for grid searches.

        Args:
            X: n rows, as in ``fit``.
            y: Ignored.
        """
        return float(self.score_samples(X).mean())

    def sample(self, n: int = 1, random_state: Any = None) -> Any:
        """New rows: codes drawn from the prior, decoded.

        Images are the mean of p(x|z), as people expect; rows of a table are drawn from it, so that columns vary as they
        do in the data.

        Args:
            n: How many, at least 1.
            random_state: Whole number for equal rows at every call; None: new rows every time.

        Returns:
            n rows, in the units and the container of the training data.
        """
        self._check_fitted()
        if not isinstance(n, Integral) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        seed = draw_seed(random_state)
        draw = len(self.format_.layout.shape) == 1
        return self.format_.from_values(tasks.sample(self.module_, int(n), seed, draw))

    def interpolate(self, a: Any, b: Any, steps: int = 8) -> list[Any]:
        """Rows on the way from one set of rows to another, on straight lines between their codes.

        Args:
            a: n rows to begin with.
            b: n rows to end with.
            steps: Points on every line, at least 2, both ends included.

        Returns:
            n sets of ``steps`` rows.
        """
        if not isinstance(steps, Integral) or steps < 2:
            raise InvalidParameter(f"interpolate(steps={steps!r}): steps must be a whole number of at least 2")
        start, end = self._rows(a), self._rows(b)
        if len(start) != len(end):
            raise InvalidData(
                f"interpolate needs as many rows to begin with as to end with, not {len(start)} and {len(end)}"
            )
        return [self.format_.from_values(line) for line in tasks.interpolate(self.module_, start, end, int(steps))]

    # --- files -----------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str], metrics: dict[str, Any] | None = None) -> Path:
        """Write the fitted model into a folder: weights, model card, and last ``model.json``.

        Args:
            folder: Where to; made if it is missing.
            metrics: Numbers to keep with the model, for its card.

        Returns:
            The folder.
        """
        from narrows.estimators._files import save

        self._check_fitted()
        return save(self, Path(folder), metrics)

    def to_onnx(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``encoder.onnx`` and ``decoder.onnx``, which take any number of rows in scaled units.

        Args:
            folder: Where to; made if it is missing.

        Returns:
            The folder.

        Raises:
            MissingExtra: Without ``pip install narrows[onnx]``.
        """
        from narrows.estimators._onnx import export

        self._check_fitted()
        return export(self, Path(folder))

    def __sklearn_tags__(self) -> Tags:
        """Blanks are welcome; codes come in the input's dtype."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _dtype(X: Any) -> Any:
    dtype = getattr(X, "dtype", None)
    return dtype if dtype in (np.float64, np.float32) else np.float32


def _split(rows: Rows, training: Training, seed: int) -> tuple[Rows, Rows | None]:
    """Training rows and validation rows. Training rows stay in the memory of ``rows``, which are used up."""
    count = training.held_out(len(rows))
    if count == 0:
        return rows, None
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(hash_seed(seed, 2)))
    left, held = len(rows) - count, order[:count]
    validation = rows.take(held)
    training_rows = torch.ones(len(rows), dtype=torch.bool).index_fill_(0, held, False)
    holes, last = held[held < left], left + training_rows[left:].nonzero().squeeze(1)
    for tensor in rows.tensors().values():
        tensor[holes] = tensor[last]
    return rows.take(slice(left)), validation


def initial_module(choices: Choices, layout: Any, seed: int) -> AutoencoderModule:
    """The module before training; the caller's generators are left as they were."""
    with seeded(hash_seed(seed, 3)):
        return choices.build(layout)


def _fit_prior(module: AutoencoderModule, rows: Rows | RowStream, seed: int) -> None:
    codes = tasks.encode(module, rows.take(slice(PRIOR_ROWS)))
    module.prior.fit_codes(codes.double().numpy(), seed)  # type: ignore[operator]
