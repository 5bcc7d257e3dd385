"""The base of all estimators: how a fit goes, and what a fitted model can do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from narrows._part import nested_params, replace_params
from narrows._types import Layout, Rows
from narrows.data import format_for
from narrows.errors import InvalidData, InvalidParameter, NarrowsError
from narrows.estimators._choices import ModelChoices
from narrows.estimators._conditions import sample_where
from narrows.estimators._labels import Labels
from narrows.estimators._shared import check_params, describe_features, draw_seed
from narrows.estimators._split import split_rows
from narrows.estimators._streams import open_data, prepared
from narrows.tasks._model_source import LABEL, ModelSource
from narrows.training import History, Loop, Training
from narrows.training.ranks import ranks_for
from narrows.training.seeds import hash_seed, seeded
from narrows.training.source import Source

WATCHED = 256  # rows that are looked at after every epoch
ENOUGH = 200  # held-out rows that can be watched by themselves
LOOKED_AT = 10_000  # rows that are looked at to choose a model's parts


class NotFitted(NarrowsError, NotFittedError):
    """The model has not been trained yet."""


class BaseModel(BaseEstimator, ABC):
    """What every estimator of rows does; subclasses choose the parts.

    Attributes:
        format_: The fitted format: raw data to rows and back.
        module_: The trained `torch.nn.Module`.
        choices_: The parts that the model is made of.
        history_: One row per epoch, and a diagnosis in words.
        reasons_: Why format, likelihood, network and sizes are what they are.
        seed_: The seed that was used.
        classes_: ``(k,)`` the classes of the rows, where ``fit`` was given labels.
        n_features_in_: Columns of the table, or values per image.
        feature_names_in_: Names of the columns, where they have names.
    """

    #: What its scores are, and what it cannot do, for the model card.
    LIMITS: ClassVar[str] = ""

    format_: Any
    module_: Any
    choices_: Any
    history_: History
    reasons_: list[str]
    seed_: int
    classes_: np.ndarray
    n_features_in_: int
    _labels: Labels | None = None

    @abstractmethod
    def choices(self) -> ModelChoices:
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
                # what this estimator would choose itself comes before what is chosen in general
                own[outer] = (self._default_parts() | self.choices().parts()).get(outer)
        for name, value in replace_params(own, params, of=type(self).__name__).items():
            setattr(self, name, value)
        return self

    def _default_parts(self) -> dict[str, Any]:
        """The part that a parameter left at None stands for when one of its own parameters is set by name."""
        return {"training": Training()}

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, labels: Any = None) -> Self:
        """Learn from rows.

        Args:
            X: n rows: an array ``(n, d)``, ``(n, h, w)`` or ``(n, h, w, c)``, a DataFrame (pandas, polars, pyarrow),
                or a list of image files; or the name of files, a folder or a pattern of them; or a `data.Stream`.
                Blanks are NaN, None or NaT. What would take more than ``training.memory`` is read piece by piece.
            y: Ignored; here for scikit-learn's pipelines.
            labels: ``(n,)`` the class of every row: numbers, booleans or text; None or NaN where it has none. A model
                that looks at classes (``module_.conditional``) can be asked for rows of one: ``sample(5, where="label =
                3")``.

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
            if labels is not None:
                raise InvalidParameter("labels go with rows in memory; these are read piece by piece: leave labels out")
            return self._learn(*streams, seed)
        format_, rows = self._open(X)
        known = None
        if labels is not None:
            read = getattr(labels, "read", None)  # captions read themselves
            known, index = Labels.of(labels, len(rows)) if read is None else read(len(rows))
            if LABEL in (format_.feature_names or ()):
                raise InvalidData(
                    f"the table has a column {LABEL!r} of its own, which conditions could not tell from the labels: "
                    "rename it, or leave it out"
                )
            rows = rows.replace(condition=index)
        parts = split_rows(rows, training, seed)
        return self._learn(format_, *parts, seed, known)

    def _fit_rows(self, format_: Any, rows: Rows, labels: Labels | None = None) -> Self:
        """Learn from rows that a format made; they are used up."""
        seed = self._seed()
        return self._learn(format_, *split_rows(rows, self._training(), seed), seed, labels)

    def _open(self, X: Any) -> tuple[Any, Rows]:
        """The format that suits the data, and the rows, at least two."""
        choices = self.choices()
        options: Any = choices.format or format_for(X)
        format_ = options.fit(X, likelihood=choices.likelihood)
        rows = format_.to_rows(X)
        if len(rows) < 2:
            raise InvalidData(f"n_samples={len(rows)}: one sample is not enough to learn from; give at least 2 rows")
        return format_, rows

    def _learn(
        self, format_: Any, train: Rows | Source, validation: Rows | None, seed: int, labels: Labels | None = None
    ) -> Self:
        layout = layout_of(format_, labels)
        full = self.choices().resolved(format_, layout, train.take(slice(LOOKED_AT)))
        module = initial_module(full, layout, seed)
        history = self._train(full, module, layout, self._training(), seed, train, validation)
        return self._take(format_, full, module, history, train, seed, labels)

    def _take(
        self,
        format_: Any,
        full: Any,
        module: Any,
        history: History,
        train: Rows | Source,
        seed: int,
        labels: Labels | None = None,
    ) -> Self:
        self._finish(module, train, seed)
        # nothing is set before everything has worked: bad input leaves no half-fitted model
        self.format_, self.module_, self.choices_ = format_, module, full
        self.history_, self.seed_ = history, seed
        self.reasons_ = [*format_.reasons, *full.reasons]
        self._set_labels(labels)
        self._describe()
        return self

    def _planned(self, training: Training, rows: int) -> Training:
        """The settings of the loop for so many training rows, with what was left open chosen."""
        return training

    def _begin(self, module: Any, train: Rows | Source) -> None:
        """What a module is to know of the rows before it is trained."""

    def _finish(self, module: Any, train: Rows | Source, seed: int) -> None:
        """What is left to do with a trained module."""

    def _set_labels(self, labels: Labels | None) -> None:
        self._labels = labels
        if labels is not None:
            self.classes_ = labels.classes
        elif hasattr(self, "classes_"):
            del self.classes_

    def _seed(self) -> int:
        """One seed, the same in all processes that train together."""
        return int(ranks_for(self._training()).agree(lambda: draw_seed(self.random_state)))

    def _training(self) -> Training:
        given = getattr(self, "training", None)
        return given if isinstance(given, Training) else Training()

    def _train(
        self,
        choices: Any,
        module: Any,
        layout: Layout,
        training: Training,
        seed: int,
        train: Rows | Source,
        validation: Rows | None,
    ) -> History:
        training = self._planned(training, len(train))
        self._begin(module, train)
        plan = choices.plan(module, layout)
        # a few rows judge a loss well enough, but not whether kinds of rows are missing
        held = validation is not None and (plan.judged or len(validation) >= ENOUGH)
        watched = (validation if held and validation is not None else train).take(slice(WATCHED))
        device = training.resolve_device()
        loop = Loop(
            plan.root,
            plan.players,
            training,
            hash_seed(seed, 1),
            watch=None if plan.watch is None else lambda: plan.watch(watched.to(device)),
            after_step=plan.after_step,
            words=f"{type(self).__name__} {choices.parts()!r} {layout!r}",
        )
        choices.describe(loop.history, module)
        return loop.fit(train, validation if plan.judged else None)

    def _describe(self) -> None:
        """Set what scikit-learn wants to know of a fitted model."""
        describe_features(self, self.format_)

    def untrained(self) -> Self:
        """A copy of the fitted model with the weights it began with: the baseline that every model must beat."""
        self._check_fitted()
        copy = type(self)(**self.get_params(deep=False))
        copy.__dict__.update(self.__dict__)
        copy.module_ = initial_module(self.choices_, layout_of(self.format_, self._labels), self.seed_).eval()
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

    def sample(self, n: int = 1, where: str | None = None, random_state: Any = None) -> Any:
        """New rows.

        Args:
            n: How many, at least 1.
            where: A condition that all of them meet, on a table's columns and on ``label``, the class of a row, where
                the model knows classes: ``"age > 40 AND label = 'yes'"``; see `narrows.data.where`.
            random_state: Whole number for equal rows at every call; None: new rows every time.

        Returns:
            n rows, in the units and the container of the training data. Autoencoders: codes drawn from the prior, and
            of images and curves the mean of p(x|z), as people expect; rows of a table, and melodies, are drawn from
            it, so that columns and notes vary as they do in the data.

        Raises:
            InvalidParameter: If ``where`` cannot be read, or names what does not exist.
            InvalidData: If no row that meets it is found.
        """
        self._check_fitted()
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        seed = draw_seed(random_state)
        if where is not None:
            return sample_where(self._source(), int(n), where, seed)
        return self._source().made(int(n), seed)

    def _source(self) -> ModelSource:
        """What rows are drawn from."""
        if self._labels is None or not self.module_.conditional:
            return ModelSource(self.module_, self.format_)
        return ModelSource(self.module_, self.format_, self._labels.classes.tolist(), self._labels.shares)

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

    def __sklearn_tags__(self) -> Tags:
        """Blanks and images are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags


def layout_of(format_: Any, labels: Labels | None) -> Layout:
    """What a row looks like to a model: the format's layout, and how many classes there are."""
    return format_.layout if labels is None else replace(format_.layout, classes=len(labels.classes))


def initial_module(choices: ModelChoices, layout: Layout, seed: int) -> Any:
    """The module before training; the caller's generators are left as they were."""
    with seeded(hash_seed(seed, 3)):
        return choices.build(layout)
