"""The synthesizer: learns a table and makes up rows like its own."""

from __future__ import annotations

from numbers import Integral
from typing import Annotated, Any, Self, final

import numpy as np
import torch
from torch import Tensor

from narrows import likelihoods, priors
from narrows._arrow import pa
from narrows._part import Interval
from narrows.data import Table
from narrows.data.frames import open_table
from narrows.data.margins import Floats, Margins, to_uniform
from narrows.data.where import Both, Compare, Condition
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._conditions import categories_of, read, wanted
from narrows.estimators._shared import describe_features, draw_seed
from narrows.estimators._task import TaskEstimator, fitted_model
from narrows.estimators.autoencoder import VariationalAutoencoder
from narrows.models import fit_prior
from narrows.tasks import posterior_draws
from narrows.tasks._redraw import train_redraw
from narrows.tasks._sources import on_line, places_of
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
class Synthesizer(TaskEstimator):
    """Makes up rows of a table: types, ranges, whole numbers, categories and blanks like the original's.

    Every column is modelled as a state (blank, a value that many rows share, "varies") and a score (see
    `narrows.data.margins`); a variational autoencoder with a mixed likelihood learns how they depend on each other, and
    after training its prior is fitted to draws of the codes: z ~ p(z), x ~ p(x|z). What codes and prior leave out is
    made good by a Gibbs sampler: a second network learns what each column is, given all others, and the cells of a
    drawn row are drawn again from it, one column after another: x_j ~ p(x_j | x_−j).

    Args:
        model: An unfitted `VariationalAutoencoder` to train instead of the default. Its likelihood and format, where
            left at None, and its prior, where it is None, are chosen to suit.
        training: Settings of the loop, for the default model and for the network of the sweeps. Epochs left at None are
            as many as make half a million rows, at least four and no more than other models have; of the sweeps as many
            as make three times that, from 4 to 60, over all rows: nothing is held out.
        sweeps: How often every cell of a drawn row is drawn again, given the others; 0 for the autoencoder alone,
            which halves the time of fitting.
        steps: How often a drawn row is encoded and drawn again; more steps forget the prior's faults.
        random_state: Whole number for equal fits.

    Attributes:
        model_: The fitted model of states and scores.
        margins_: The columns' margins.
        format_: The table's columns.
        reasons_: What the model says of its choices.

    Example:
        ```python
        table = pa.table({"age": list(range(20, 70)) * 4, "sex": ["Female", "Male"] * 100})
        synthesizer = Synthesizer(training=Training(epochs=2), random_state=0).fit(table)
        synthesizer.sample(10, where="age > 40 AND sex = 'Female'", random_state=0).num_rows  # 10
        ```

    References:
        Xu, Skoularidou, Cuesta-Infante, Veeramachaneni: Modeling Tabular Data using Conditional GAN, 2019 (TVAE),
        https://arxiv.org/abs/1907.00503
        Heckerman, Chickering, Meek, Rounthwaite, Kadie: Dependency Networks for Inference, Collaborative Filtering, and
        Data Visualization, 2000, https://www.jmlr.org/papers/v1/heckerman00a.html (the sweeps)
    """

    model_: BaseAutoencoder
    margins_: Margins | None

    def __init__(
        self,
        model: Any = None,
        *,
        training: Training | None = None,
        sweeps: Annotated[int, Interval(0, 100)] = 2,
        steps: Annotated[int, Interval(0, 100)] = 0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.training = training
        self.sweeps = sweeps
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
        if len(fitted_model(model).format_.layout.shape) != 1:
            raise InvalidParameter("from_model: this model was fitted on images; a synthesizer makes tables")
        return cls()._take(model, PlainSource(model.module_, model.format_), model.seed_)

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
        source = MarginSource(model.module_, margins, places_of(view.column_names), {}, {}, int(self.steps))
        source = source.calibrated(_shares(view), seed)
        if self.sweeps:
            source = self._redrawing(source, model.format_.to_rows(view).values, seed)
        self._take(model, source, seed)
        if self.sweeps and not source.redraws:
            self.reasons_.append("too many columns or categories to draw every cell again: no sweeps")
        return self

    def _redrawing(self, source: MarginSource, values: Tensor, seed: int) -> MarginSource:
        """The source with cells drawn again, where the table's columns are few enough for that."""
        line = source.line(len(values))
        if line is None:
            return source
        real = on_line(line, source.places, values, lambda _, score: to_uniform(score))
        redraw = train_redraw(line, real, self._halved(), hash_seed(seed, 25))
        return source.redrawing(redraw, real, int(self.sweeps), seed)

    def _take(self, model: BaseAutoencoder, source: Source, seed: int) -> Self:
        # nothing is set before everything has worked: bad input leaves no half-fitted synthesizer
        self.model_, self._source, self.seed_ = model, source, seed
        self.margins_ = source.margins if isinstance(source, MarginSource) else None
        self.format_, self.reasons_ = model.format_, list(model.reasons_)
        if self.margins_ is not None:  # the user's columns, not the states and scores that the model sees
            self.format_ = self.margins_.format
            self.reasons_ = [*self.format_.reasons, *model.choices_.reasons]
        describe_features(self, self.format_)
        return self

    def _models(self) -> list[BaseAutoencoder]:
        return [self.model_]

    def _check_params(self) -> None:
        super()._check_params()
        if self.model is not None and not isinstance(self.model, VariationalAutoencoder):
            raise InvalidParameter(
                f"Synthesizer(model={self.model!r}): give an unfitted VariationalAutoencoder, or from_model(fitted)"
            )

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

    def _halved(self) -> Training:
        """The settings; of a time budget each of two networks gets a half."""
        training = self.training or Training()
        if training.time_budget is None or not self.sweeps:
            return training
        return training.set_params(time_budget=training.time_budget / 2)

    def _epochs(self, rows: int) -> Training:
        training = self._halved()
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
        source = self._source
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
        return read(where, self._source, self._categories())

    def _categories(self) -> dict[str, list[str]]:
        return categories_of(self.format_)


def _fit_prior(model: BaseAutoencoder, view: Any, seed: int) -> None:
    """Fit the prior to all rows: it needs none to be held out."""
    rows = model.format_.to_rows(view)
    with seeded(hash_seed(seed, 11)):
        if len(rows) > MOST:
            rows = rows.take(torch.randperm(len(rows))[:MOST])
        codes = posterior_draws(model.module_, rows)
    fit_prior(model.module_.prior, codes, seed)


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
