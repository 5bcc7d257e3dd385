"""The synthesizer: learns a table and makes up rows like its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from narrows import likelihoods, priors
from narrows._part import Part, decode, encode
from narrows.data import Table
from narrows.data.frames import open_table
from narrows.data.margins import Floats, Margins
from narrows.data.where import Both, Compare, Condition
from narrows.errors import InvalidData, InvalidParameter, SavedModelError
from narrows.estimators._base import NotFitted
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._conditions import categories_of, read, wanted
from narrows.estimators._shared import describe_features, draw_seed
from narrows.estimators.autoencoder import VariationalAutoencoder
from narrows.models import fit_prior
from narrows.tasks import posterior_draws
from narrows.tasks.generate import MarginSource, PlainSource, Source, generate, generate_where
from narrows.training import Training
from narrows.training.seeds import hash_seed, seeded

CODE = 16  # numbers per code of the default model, at most
BETA = 0.1
COMPONENTS = 50
ROWS = 512_000  # that training looks at, unless told otherwise: rows made up hardly get better after that
FEWEST = 4  # epochs
MOST = 20_000  # rows that a mixture is fitted to


@final
class Synthesizer(BaseEstimator):
    """Makes up rows of a table: types, ranges, whole numbers, categories and blanks like the original's.

    Every column is modelled as a state (blank, a value that many rows share, "varies") and a score (see
    `narrows.data.margins`); a variational autoencoder with a mixed likelihood learns how they depend on each other, and
    after training its prior is fitted to draws of the codes:
    z ~ p(z), x ~ p(x|z).

    Args:
        model: An unfitted `VariationalAutoencoder` to train instead of the default. Its likelihood and format, where
            left at None, and its prior, where it is None, are chosen to suit.
        training: Settings of the loop, for the default model. Epochs left at None are as many as make half a million
            rows, at least four and no more than other models have.
        steps: How often a drawn row is encoded and drawn again; more steps forget the prior's faults.
        random_state: Whole number for equal fits.

    Attributes:
        model_: The fitted model of states and scores.
        margins_: The columns' margins.

    Example:
        ```python
        table = pa.table({"age": list(range(20, 70)) * 4, "sex": ["Female", "Male"] * 100})
        synthesizer = Synthesizer(training=Training(epochs=2), random_state=0).fit(table)
        synthesizer.sample(10, where="age > 40 AND sex = 'Female'", random_state=0).num_rows  # 10
        ```

    References:
        Xu, Skoularidou, Cuesta-Infante, Veeramachaneni: Modeling Tabular Data using Conditional GAN, 2019 (TVAE),
        https://arxiv.org/abs/1907.00503
    """

    model_: BaseAutoencoder
    margins_: Margins | None
    n_features_in_: int

    def __init__(
        self,
        model: Any = None,
        *,
        training: Training | None = None,
        steps: int = 0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.training = training
        self.steps = steps
        self.random_state = random_state

    @classmethod
    def from_model(cls, model: BaseAutoencoder) -> Self:
        """A synthesizer over a fitted model of tables; blanks come back at each column's rate.

        Args:
            model: A fitted estimator of tables, such as a `VariationalAutoencoder`.

        Raises:
            InvalidParameter: If it is no fitted model of tables.
        """
        if not isinstance(model, BaseAutoencoder) or not model.__sklearn_is_fitted__():
            raise InvalidParameter(f"from_model({type(model).__name__}): give a fitted model, or use Synthesizer().fit")
        if len(model.format_.layout.shape) != 1:
            raise InvalidParameter("from_model: this model was fitted on images; a synthesizer makes tables")
        made = cls()
        made.model_, made.margins_, made._drawn, made._shifts = model, None, {}, {}
        describe_features(made, model.format_)
        return made

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn a table.

        Args:
            X: n rows: an array or a DataFrame (pandas, polars, pyarrow); blanks are NaN, None or null.
            y: Ignored.

        Returns:
            The synthesizer itself.

        Raises:
            InvalidData: If there is nothing to learn from.
            InvalidParameter: If a parameter cannot be used.
        """
        self._check_params()
        seed = draw_seed(self.random_state)
        margins = Margins.fit(X)
        view = margins.forward(X, seed)
        if open_table(X).rows < 2:
            raise InvalidData("n_samples=1: one sample is not enough to learn from; give at least 2 rows")
        if not view.num_columns:
            raise InvalidData("every column holds one value only: there is nothing to learn from")
        model = self._model(view, seed).fit(view)
        if isinstance(model.module_.prior, priors.MixtureModule):
            _fit_prior(model, view, seed)
        source = MarginSource(model.module_, margins, _places(view.column_names), {}, {}, int(self.steps))
        source = source.calibrated(_shares(view), seed)
        self.model_, self.margins_ = model, margins
        self._drawn: Mapping[int, Floats] = source.drawn
        self._shifts: Mapping[int, Floats] = source.shares
        describe_features(self, margins.format)
        return self

    def _check_params(self) -> None:
        if self.model is not None and not isinstance(self.model, VariationalAutoencoder):
            raise InvalidParameter(
                f"Synthesizer(model={self.model!r}): give an unfitted VariationalAutoencoder, or from_model(fitted)"
            )
        if self.training is not None and not isinstance(self.training, Training):
            raise InvalidParameter(f"Synthesizer(training={self.training!r}): give a narrows.Training(…)")
        if isinstance(self.training, Part):
            self.training.check()
        if not isinstance(self.steps, Integral) or not 0 <= self.steps <= 100:
            raise InvalidParameter(f"Synthesizer(steps={self.steps!r}): give a whole number from 0 to 100")

    def _model(self, view: Any, seed: int) -> VariationalAutoencoder:
        columns = tuple(
            likelihoods.Gaussian("column") if name.endswith("score") else likelihoods.Categorical()
            for name in view.column_names
        )
        given = {} if self.model is None else self.model.get_params(deep=False)
        found = {
            "code_size": min(CODE, max(2, view.num_columns)),
            "prior": priors.Mixture(COMPONENTS),
            "likelihood": likelihoods.Mixed(columns),
            "format": Table(scaling="none"),
            "training": self._epochs(view.num_rows),
            "random_state": seed,
        }
        if self.model is None:
            found["beta"] = BETA
        return VariationalAutoencoder(**{**found, **{k: v for k, v in given.items() if v is not None}})

    def _epochs(self, rows: int) -> Training:
        training = self.training or Training()
        if training.epochs is not None:
            return training
        learnt = max(rows - training.held_out(rows), 1)
        epochs = min(training.plan(learnt)[2], max(FEWEST, -(-ROWS // learnt)))
        return training.set_params(epochs=epochs)

    # --- sampling --------------------------------------------------------------------------------------------

    def sample(self, n: int = 1, where: str | None = None, balance: str | None = None, random_state: Any = None) -> Any:
        """New rows.

        Args:
            n: How many, at least 1.
            where: A condition that all of them meet, such as ``"education = 'Masters' AND age > 40"``: comparisons,
                IN, BETWEEN, IS NULL, AND, OR, NOT and parentheses.
            balance: A column whose categories all get equally many rows.
            random_state: Whole number for equal rows at every call.

        Returns:
            n rows in the container of the training data.

        Raises:
            InvalidParameter: If ``where`` cannot be read or names what does not exist.
            InvalidData: If no row that meets it is found.
        """
        self._check_fitted()
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        seed = draw_seed(random_state)
        condition = None if where is None else self._condition(where)
        source = self._source()
        if balance is not None:
            return source.close(self._balanced(source, int(n), seed, condition, where, balance))
        if condition is None:
            return source.close(generate(source, int(n), seed))
        found = wanted(source, int(n), condition, str(where))
        return source.close(generate_where(source, [found], seed)[0])

    def _balanced(
        self, source: Source, n: int, seed: int, condition: Condition | None, where: str | None, balance: str
    ) -> list[Any]:
        categories = self._categories()
        if balance not in categories:
            known = ", ".join(map(repr, categories)) or "none"
            raise InvalidParameter(f"balance={balance!r}: name a column of categories; there are: {known}")
        kinds = categories[balance]
        asked = []
        for i, kind in enumerate(kinds[:n]):
            test: Condition = Compare(balance, "=", kind)
            both = test if condition is None else Both((test, condition), any=False)
            words = f"{balance} = {kind!r}" + ("" if where is None else f" AND ({where})")
            asked.append(wanted(source, n // len(kinds) + (i < n % len(kinds)), both, words))
        parts = generate_where(source, asked, seed)
        order = pa.array(np.random.default_rng(seed).permutation(n))
        return [pa.concat_arrays(_same(column)).take(order) for column in zip(*parts, strict=True)]

    def _condition(self, where: Any) -> Condition:
        return read(where, self._source(), self._categories())

    def _categories(self) -> dict[str, list[str]]:
        return categories_of(self.model_.format_ if self.margins_ is None else self.margins_.format)

    def _source(self) -> Source:
        if self.margins_ is None:
            return PlainSource(self.model_.module_, self.model_.format_)
        places = _places([str(c.name) for c in self.model_.format_.columns])
        return MarginSource(self.model_.module_, self.margins_, places, self._drawn, self._shifts, int(self.steps))

    # --- files -----------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str], metrics: dict[str, Any] | None = None) -> Path:
        """Write the fitted synthesizer into a folder; ``narrows.load`` reads it.

        Args:
            folder: Where to; made if it is missing.
            metrics: Numbers to keep with it, such as a report's.
        """
        from narrows.estimators._files import save

        self._check_fitted()
        task = {
            "estimator": "Synthesizer",
            "params": self._saved_params(),
            "margins": None if self.margins_ is None else self.margins_.to_config(),
            "drawn": {str(j): knots.tolist() for j, knots in self._drawn.items()},
            "shifts": {str(j): shift.tolist() for j, shift in self._shifts.items()},
        }
        return save(self.model_, Path(folder), metrics, task=task)

    def _saved_params(self) -> Any:
        """The constructor's parameters as plain JSON; a random generator cannot be one and is left out."""
        params = self.get_params(deep=False)
        model = params.pop("model")
        given = None if model is None else model.get_params(deep=False)
        for one in (params, given or params):
            if not isinstance(one["random_state"], Integral):
                one["random_state"] = None
        return encode({**params, "model": given})

    @classmethod
    def _from_task(cls, model: BaseAutoencoder, task: Mapping[str, Any]) -> Self:
        """The synthesizer that ``save`` described, over its loaded model."""
        try:
            params = {name: decode(value) for name, value in task["params"].items()}
            if params["model"] is not None:
                params["model"] = VariationalAutoencoder(**params["model"])
            made = cls(**params)
            made._check_params()
            made.model_ = model
            made.margins_ = None if task["margins"] is None else Margins.from_config(task["margins"])
            made._drawn = {int(j): np.asarray(knots, dtype=float) for j, knots in task["drawn"].items()}
            made._shifts = {int(j): np.asarray(shift, dtype=float) for j, shift in task["shifts"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedModelError(f"the saved synthesizer is damaged: {error!r}") from error
        describe_features(made, model.format_ if made.margins_ is None else made.margins_.format)
        return made

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it has been fitted or loaded."""
        return hasattr(self, "model_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFitted("this Synthesizer is not fitted yet: call fit(X) first, or narrows.load(folder)")

    def __sklearn_tags__(self) -> Tags:
        """Blanks and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _fit_prior(model: BaseAutoencoder, view: Any, seed: int) -> None:
    """Fit the prior to all rows: it needs none to be held out."""
    rows = model.format_.to_rows(view)
    with seeded(hash_seed(seed, 11)):
        if len(rows) > MOST:
            rows = rows.take(torch.randperm(len(rows))[:MOST])
        codes = posterior_draws(model.module_, rows)
    fit_prior(model.module_.prior, codes, seed)


def _places(names: list[str]) -> tuple[tuple[int, bool], ...]:
    """Of every column of the model: the table's column that it belongs to, and whether it is a score."""
    return tuple((int(name.split()[0]), name.endswith("score")) for name in names)


def _shares(view: Any) -> dict[int, Floats]:
    """Of every column of states of the model: what share of the rows each state has."""
    found = {}
    for k, name in enumerate(view.column_names):
        if not name.endswith("score"):
            states = view.column(k).combine_chunks()
            counts = np.bincount(states.indices.to_numpy(), minlength=len(states.dictionary))
            found[k] = counts / counts.sum()
    return found


def _same(arrays: tuple[Any, ...]) -> list[Any]:
    """Arrays of one column as arrays of one type: dictionaries of one list."""
    return [a.cast(arrays[0].type) if a.type != arrays[0].type else a for a in arrays]
