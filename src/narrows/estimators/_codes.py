"""The base of all autoencoders: what a model with an encoder can do besides."""

from __future__ import annotations

import os
from abc import abstractmethod
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array

from narrows import tasks
from narrows._types import Rows
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._base import BaseModel
from narrows.estimators._choose import Choices, default_parts
from narrows.estimators._shared import draw_seed
from narrows.estimators._streams import streamed
from narrows.evaluate import PriorGap
from narrows.models import fit_prior
from narrows.models.autoencoder import AutoencoderModule
from narrows.training import Training
from narrows.training.seeds import hash_seed, seeded
from narrows.training.source import Source

GAP_ROWS = 2_000  # rows whose codes a prior is judged by
PRIOR_ROWS = 100_000  # rows whose codes a prior is fitted to


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseModel):
    """What every autoencoder estimator does; subclasses choose the parts."""

    LIMITS: ClassVar[str] = "Scores are log p(x|z) in scaled units: they rank rows, and are not probabilities of rows."

    module_: AutoencoderModule
    choices_: Choices
    _n_features_out: int

    @abstractmethod
    def choices(self) -> Choices:
        """The parts that the parameters mean; None where the data should decide (see ``choices_`` after fitting)."""

    def _default_parts(self) -> dict[str, Any]:
        return default_parts()

    def _finish(self, module: Any, train: Rows | Source, seed: int) -> None:
        if module.fitted_prior:
            _fit_prior(module, train, seed, self._training())

    def _describe(self) -> None:
        """Set what scikit-learn wants to know of a fitted model."""
        super()._describe()
        self._n_features_out = self.module_.code_size

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

    @streamed
    def impute(self, X: Any) -> Any:
        """Rows whose blanks are filled with what the model makes of them; what is there stays as it is.

        A model that was trained with blanks, or with a corruption that makes some (`corruptions.Masking`; of series
        `corruptions.Gaps`), has learnt to. For tables `Imputer` knows more ways.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            n rows, in the units and the container of the training data.
        """
        rows = self._rows(X)
        made, mask = tasks.reconstruct(self.module_, rows), rows.mask()
        filled = rows.values if mask is None else torch.where(mask, rows.values, made)
        return self.format_.from_values(filled, clip=False, like=X)

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

    def log_marginal(self, X: Any, samples: int = 5000, random_state: int = 0) -> np.ndarray:
        """Log p(x) of every row, estimated by importance sampling: the number that likelihoods are compared by.

        Args:
            X: n rows, as in ``fit``.
            samples: Draws from q(z|x) per row. The estimate is too low on average, by less the more there are.
            random_state: Whole number; equal ones give equal results.

        Returns:
            ``(n,)`` in nats, over observed values in scaled units.

        Raises:
            InvalidParameter: If the code is not random, so that there is nothing to draw from.
        """
        rows = self._rows(X)
        if not self.module_.stochastic:
            raise InvalidParameter(
                f"log_marginal: codes of {self.choices_.bottleneck!r} are not random, so p(x) cannot be estimated: use "
                "bottleneck=Gaussian(), or score_samples for log p(x|z)"
            )
        if not isinstance(samples, Integral) or samples < 1:
            raise InvalidParameter(f"log_marginal(samples={samples!r}): give a whole number of at least 1")
        return tasks.log_marginal(self.module_, rows, int(samples), draw_seed(random_state)).numpy()

    def prior_gap(self, X: Any, random_state: int = 0) -> PriorGap:
        """How far the prior is from the codes of rows: what samples lose by it.

        Args:
            X: n rows that were held out of training, 20 or more; of more than 2,000 the first 2,000 are taken.
            random_state: Whole number; equal ones give equal results.

        Returns:
            Bounds of KL(q(z) ‖ p(z)) in nats, and a sentence; see `narrows.evaluate.prior_gap`.
        """
        rows = self._rows(X).take(slice(GAP_ROWS))
        return tasks.gap(self.module_, rows, draw_seed(random_state))

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
        """Codes come in the input's dtype."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _dtype(X: Any) -> Any:
    dtype = getattr(X, "dtype", None)
    return dtype if dtype in (np.float64, np.float32) else np.float32


def _fit_prior(module: AutoencoderModule, rows: Rows | Source, seed: int, training: Training) -> None:
    some = rows.take(slice(PRIOR_ROWS))
    with seeded(hash_seed(seed, 11)):
        codes = tasks.posterior_draws(module.eval(), some)
    fit_prior(module.prior, codes, seed, training, some.condition)
