"""The synthesizer: learns a table and makes up rows like its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from narrows import likelihoods, priors
from narrows._part import Part
from narrows.data import Table
from narrows.data.frames import open_table
from narrows.data.margins import Floats, Margins
from narrows.data.where import Condition, check, parse
from narrows.errors import InvalidData, InvalidParameter, SavedModelError
from narrows.estimators._base import BaseModel, NotFitted
from narrows.estimators._shared import describe_features, draw_seed
from narrows.estimators.autoencoder import VariationalAutoencoder
from narrows.tasks.generate import Source, fit_prior, generate, generate_where
from narrows.training import Training

CODE = 16  # numbers per code of the default model, at most
BETA = 0.1
COMPONENTS = 50


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
        training: Settings of the loop, for the default model.
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

    model_: BaseModel
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
    def from_model(cls, model: BaseModel) -> Self:
        """A synthesizer over a fitted model of tables; blanks come back at each column's rate.

        Args:
            model: A fitted estimator of tables, such as a `VariationalAutoencoder`.

        Raises:
            InvalidParameter: If it is no fitted model of tables.
        """
        if not isinstance(model, BaseModel) or not model.__sklearn_is_fitted__():
            raise InvalidParameter(f"from_model({type(model).__name__}): give a fitted model, or use Synthesizer().fit")
        if len(model.format_.layout.shape) != 1:
            raise InvalidParameter("from_model: this model was fitted on images; a synthesizer makes tables")
        made = cls()
        made.model_, made.margins_, made._drawn = model, None, {}
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
        if model.module_.fitted_prior:
            fit_prior(model.module_, model.format_.to_rows(view), seed)
        source = Source(model.module_, margins, _places(view.column_names), {}, int(self.steps)).calibrated(seed)
        self.model_, self.margins_ = model, margins
        self._drawn: Mapping[int, Floats] = source.drawn
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
            "training": self.training,
            "random_state": seed,
        }
        if self.model is None:
            found["beta"] = BETA
        return VariationalAutoencoder(**{**found, **{k: v for k, v in given.items() if v is not None}})

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
        if balance is None:
            return source.close(self._rows(source, int(n), seed, condition, where or ""))
        parts = self._balanced(source, int(n), seed, condition, where, balance)
        order = pa.array(np.random.default_rng(seed).permutation(int(n)))
        joined = [pa.concat_arrays(_same(column)).take(order) for column in zip(*parts, strict=True)]
        return source.close(joined)

    def _rows(self, source: Any, n: int, seed: int, condition: Condition | None, words: str) -> list[Any]:
        if condition is None:
            return generate(source, n, seed)
        return generate_where(source, n, seed, lambda arrays: condition.mask(source.arrow(arrays)), words)

    def _balanced(
        self, source: Any, n: int, seed: int, condition: Condition | None, where: str | None, balance: str
    ) -> list[list[Any]]:
        from narrows.data.where import Both, Compare

        categories = self._categories()
        if balance not in categories:
            known = ", ".join(map(repr, categories)) or "none"
            raise InvalidParameter(f"balance={balance!r}: name a column of categories; there are: {known}")
        kinds = categories[balance]
        counts = [n // len(kinds) + (i < n % len(kinds)) for i in range(len(kinds))]
        parts = []
        for i, (kind, count) in enumerate(zip(kinds, counts, strict=True)):
            if count:
                test: Condition = Compare(balance, "=", kind)
                both = test if condition is None else Both((test, condition), any=False)
                words = f"{balance} = {kind!r}" + ("" if where is None else f" AND ({where})")
                parts.append(self._rows(source, count, seed + i, both, words))
        return parts

    def _condition(self, where: str) -> Condition:
        if not isinstance(where, str):
            raise InvalidParameter(f"where={where!r}: give text such as \"age > 40 AND sex = 'Female'\"")
        condition = parse(where)
        table = self._source().empty()
        kinds = dict(zip(table.column_names, table.schema.types, strict=True))
        # booleans are written in several ways, and say so themselves
        check(condition, kinds, {n: v for n, v in self._categories().items() if not pa.types.is_boolean(kinds[n])})
        return condition

    def _categories(self) -> dict[str, list[str]]:
        format_ = self.model_.format_ if self.margins_ is None else self.margins_.format
        found = {str(c.name): [*c.categories, *([c.other] if c.other else [])] for c in format_.columns if c.categories}
        return {**found, **{str(c.name): ["True", "False"] for c in format_.columns if c.kind == "boolean"}}

    def _source(self) -> Any:
        if self.margins_ is None:
            from narrows.tasks.generate import PlainSource

            return PlainSource(self.model_.module_, self.model_.format_)
        places = _places([str(c.name) for c in self.model_.format_.columns])
        return Source(self.model_.module_, self.margins_, places, self._drawn, int(self.steps))

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
            "steps": int(self.steps),
            "margins": None if self.margins_ is None else self.margins_.to_config(),
            "drawn": {str(j): knots.tolist() for j, knots in self._drawn.items()},
        }
        return save(self.model_, Path(folder), metrics, task=task)

    @classmethod
    def _from_task(cls, model: BaseModel, task: Mapping[str, Any]) -> Self:
        """The synthesizer that ``save`` described, over its loaded model."""
        try:
            made = cls(steps=int(task["steps"]))
            made.model_ = model
            made.margins_ = None if task["margins"] is None else Margins.from_config(task["margins"])
            made._drawn = {int(j): np.asarray(knots, dtype=float) for j, knots in task["drawn"].items()}
        except (KeyError, TypeError, ValueError) as error:
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


def _places(names: list[str]) -> tuple[tuple[int, bool], ...]:
    """Of every column of the model: the table's column that it belongs to, and whether it is a score."""
    return tuple((int(name.split()[0]), name.endswith("score")) for name in names)


def _same(arrays: tuple[Any, ...]) -> list[Any]:
    """Arrays of one column as arrays of one type: dictionaries of one list."""
    return [a.cast(arrays[0].type) if a.type != arrays[0].type else a for a in arrays]
