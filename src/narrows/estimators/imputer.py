"""The imputer: fills the blanks of a table, once or several times, and says how well it can."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Annotated, Any, Self, final

import torch
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils import Tags

from narrows._part import Interval, Part
from narrows.data.columns import blank_cells
from narrows.data.frames import open_table
from narrows.errors import DataWarning, InvalidParameter
from narrows.estimators._cells import fill_cells
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._self_test import SelfTest, run_self_test
from narrows.estimators._shared import describe_features, draw_seed
from narrows.estimators._streams import open_data, some_of
from narrows.estimators._task import TaskEstimator, fitted_model
from narrows.networks import Network
from narrows.tasks.impute import MOST_ROWS, Filler, from_module, learn_filler
from narrows.training import Training


@final
class Imputer(OneToOneFeatureMixin, TransformerMixin, TaskEstimator):
    """Fills the blanks of a table of numbers and categories; a drop-in for scikit-learn's ``IterativeImputer``.

    A normal distribution gives the straight-line filling, networks trained on rows with cells hidden at many rates
    improve on it, and similar rows are looked up; cells that were hidden from all three say how much each counts,
    column by column, and how far off the filling is. Observed cells never change, bit for bit.

    What is assumed: that, given the observed cells, whether a cell is blank does not depend on what it would hold
    (missing at random). Where it does (high incomes kept back), no method can see that from the data alone.

    Args:
        model: An unfitted narrows estimator to train and to fill with, pass after pass, instead of all that.
        members: How many networks are averaged; 0 for none, which is quick.
        network: Makes these networks (`narrows.networks`); None: two layers of 128 with dropout.
        format: How raw tables become rows (`narrows.data.Table`); None: standardised, so that the filling has the
            smallest squared error in the table's own units.
        training: Settings of the loop.
        random_state: Whole number for equal runs; None: another run every time.

    Attributes:
        format_: The fitted format: raw tables to rows and back.
        filler_: What fills rows in scaled units.
        model_: The trained model, where one was given; else None.
        reasons_: In words, how the filling is done.
        n_features_in_: Columns of the table.
        feature_names_in_: Their names, where they have names.

    References:
        Mattei, Frellsen: MIWAE, 2019, https://arxiv.org/abs/1812.02633; Rubin: Multiple Imputation for Nonresponse in
        Surveys, 1987, https://doi.org/10.1002/9780470316696

    Example:
        ```python
        import numpy as np
        from narrows import Imputer

        X = np.random.default_rng(0).normal(size=(100, 3))
        X[:, 2] = X[:, 0] + X[:, 1]
        X[0, 2] = np.nan
        filled = Imputer(random_state=0).fit_transform(X)  # filled[0, 2] is close to X[0, 0] + X[0, 1]
        ```
    """

    filler_: Filler

    def __init__(
        self,
        model: Any = None,
        *,
        members: Annotated[int, Interval(0)] = 2,
        network: Network | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.members = members
        self.network = network
        self.format = format
        self.training = training
        self.random_state = random_state

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn to fill blanks from a table that has some (or none) itself.

        Args:
            X: n rows: array ``(n, d)`` or DataFrame (pandas, polars, pyarrow), or the name of files; of those that do
                not fit into memory a part is learnt from, as of any larger table. Blanks are NaN, None or NaT.
            y: Ignored; here for scikit-learn's pipelines.

        Returns:
            The imputer itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If the table cannot be used: a single row, only blanks, infinite numbers.
        """
        self._check_params()
        seed = draw_seed(self.random_state)
        X = open_data(X, None if self.training is None else self.training.memory)
        if self.model is not None:
            model = clone(self.model)
            if model.random_state is None:
                model.set_params(random_state=seed)
            model.fit(X)
            return self._take(model, model.format_, _filler_of(model, X, seed), seed)
        format_, rows = self._open(X, MOST_ROWS, seed)
        filler = learn_filler(
            rows, format_.layout, members=self.members, network=self.network, training=self.training, seed=seed
        )
        return self._take(None, format_, filler, seed)

    @classmethod
    def from_model(cls, model: BaseAutoencoder, X: Any, random_state: Any = None) -> Self:
        """An imputer that fills with a fitted model, pass after pass: its reconstruction of what was filled before.

        Args:
            model: A fitted narrows estimator of tables.
            X: Rows, best not those of training: some of their cells are hidden to measure how far off it is.
            random_state: Whole number for equal draws.

        Returns:
            A fitted imputer.

        Raises:
            InvalidParameter: If the model is not fitted, or not on tables.
        """
        seed = draw_seed(random_state)
        filler = _filler_of(fitted_model(model), X, seed)
        return cls(random_state=random_state)._take(model, model.format_, filler, seed)

    def _take(self, model: Any, format_: Any, filler: Filler, seed: int) -> Self:
        # nothing is set before everything has worked: bad input leaves no half-fitted imputer
        self.model_, self.format_, self.filler_, self.seed_ = model, format_, filler, seed
        self.reasons_ = [*format_.reasons, *filler.notes]
        describe_features(self, format_)
        return self

    # --- using -----------------------------------------------------------------------------------------------

    def _models(self) -> list[BaseAutoencoder]:
        return [] if self.model_ is None else [self.model_]

    def transform(self, X: Any) -> Any:
        """The table with its blanks filled: numbers with their expected value, categories with the likeliest.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            The same kind of table; observed cells are as they were. Columns that were blank throughout in training
            stay blank.
        """
        rows = self._rows(X)
        return self._written(X, self.filler_.expect(rows))

    def draws(self, X: Any, n: int = 5, random_state: Any = None) -> list[Any]:
        """The table filled several times, as it may have been: what is sure is the same in all, what is not varies.

        Analyse each one and pool the results (Rubin's rules): the spread between them is the price of not knowing.

        Args:
            X: n rows, as in ``fit``.
            n: How many tables.
            random_state: Whole number for equal draws; None: others every time.

        Returns:
            ``n`` tables of the same kind as ``X``. Drawn numbers have as many decimal places as the column's own.

        Raises:
            InvalidParameter: If ``n`` is below 1.
        """
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"draws(n={n!r}): n must be a whole number of at least 1")
        rows = self._rows(X)
        seed = draw_seed(random_state)
        return [self._written(X, values, drawn=True) for values in self.filler_.draw(rows, int(n), seed)]

    def self_test(self, X: Any, random_state: Any = 0, share: float = 0.1) -> SelfTest:
        """Hide some observed cells, learn from the rest, and compare what is filled in with what was there.

        Beside it stand mean and mode, the nearest rows, and iterative imputation. Cells are hidden by chance alone
        (missing completely at random): where blanks of the table depend on their values, errors may be larger.

        Args:
            X: n rows. The imputer need not be fitted, and does not change.
            random_state: Whole number that chooses the cells.
            share: Of the observed cells, how many are hidden, from 0.01 to 0.5.

        Returns:
            The errors; ``sentence()`` says them in words.
        """
        if not 0.01 <= share <= 0.5:
            raise InvalidParameter(f"share={share!r}: hide between 0.01 and 0.5 of the observed cells")
        if self.__sklearn_is_fitted__() and self.model_ is not None and self.model is None:
            raise InvalidParameter("an imputer from a fitted model cannot be trained again: use Imputer(model=…)")
        seed = draw_seed(random_state)
        return run_self_test(clone(self).set_params(random_state=seed), X, float(share), seed)

    def _written(self, X: Any, values: torch.Tensor, drawn: bool = False) -> Any:
        columns = list(self.format_.columns)
        opened = open_table(X)
        if opened.names is not None and self.format_.named:
            place = {str(c.name): j for j, c in enumerate(columns)}
            order = [place[str(name)] for name in opened.names]
            columns, values = [columns[j] for j in order], values[:, order]
        still = [
            c.name
            for c, cells in zip(columns, opened.cells, strict=True)
            if c.kind == "blank" and blank_cells(cells).any()
        ]
        if still:
            warnings.warn(
                DataWarning(f"columns {still!r} were blank throughout in training: they stay blank"), stacklevel=3
            )
        return fill_cells(X, columns, values.numpy(), drawn)

    def __sklearn_tags__(self) -> Tags:
        """Blanks are what it is for."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _filler_of(model: BaseAutoencoder, X: Any, seed: int) -> Filler:
    if len(model.format_.layout.shape) != 1:
        raise InvalidParameter(f"{type(model).__name__} was fitted on images, and blanks are filled in tables")
    return from_module(model.module_, model.format_.to_rows(some_of(X, MOST_ROWS, seed)), seed)
