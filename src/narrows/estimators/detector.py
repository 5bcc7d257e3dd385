"""The detector: finds strange rows, says how sure it is, and which cells made them strange."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Self, final

import numpy as np
import torch
from sklearn.base import OutlierMixin, clone
from sklearn.utils import Tags

from narrows._part import Interval, Part
from narrows._types import Rows
from narrows.data import Series, Table
from narrows.data.series_format import SeriesFormat
from narrows.errors import DataWarning, InvalidData, InvalidParameter
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._explanation import Assessment, Explanation, Floats, found_limit
from narrows.estimators._points import (
    Points,
    Watch,
    as_table,
    calibrate,
    flat_layout,
    flat_rows,
    halves,
    points_of,
    window_model,
)
from narrows.estimators._shared import check_params, describe_features, draw_seed
from narrows.estimators._streams import open_data, some_of
from narrows.estimators._task import TaskEstimator, fitted_model
from narrows.networks import Network
from narrows.tasks._twins import Found, Twins
from narrows.tasks.anomaly import FOLDS, MOST, Detector, check_enough, from_modules, learn_detector
from narrows.training import Training

Rate = Annotated[float, Interval(0, 1, open_low=True, open_high=True)]


@final
class AnomalyDetector(OutlierMixin, TaskEstimator):
    """Finds the strange rows of a table, with blanks and categories as they come.

    Denoisers, trained on rows with noise and with cells hidden, say how far every cell lies from what the others lead
    to expect; the nearest training rows say how far the row lies from any that was seen, for the part of the table
    that it lies in. The two are standardised and added up, cell by cell, so that contributions of cells
    make up the score.

    Training rows are judged by denoisers that never saw them, and are none of their own neighbours. Their scores
    calibrate: the p-value of a row is its rank among them, so that alarms come at a rate that is chosen, not guessed. A
    row that equals a training row is taken to be that row.

    A blank adds nothing, and distances are measured in the cells that are there; where training rows had no blanks,
    cells that it would have foretold may look a little stranger without it. A category that no training row had, or
    another value in a column that was constant, adds ln(n + 1).

    Args:
        model: An unfitted narrows estimator: rows are then judged by their reconstruction, in nats, of models that
            were trained on the other folds. None: denoisers and neighbours.
        alarm_rate: Share of normal rows that `predict` may call strange.
        trim: Share of the training rows that is set aside first, as suspicious. 0 when all are known to be normal.
        members: How many denoisers.
        network: Makes the denoisers (`narrows.networks`); None: two layers of 128 with shortcuts.
        format: How raw tables become rows (`narrows.data.Table`), or series (`narrows.data.Series`): then a row is a
            series, or a window of a long one judged by a denoising autoencoder, and `points` and `watch` follow long
            ones step by step. None: a table, standardised.
        training: Settings of the loop for the denoisers; None: 500 to 2,000 steps, by the number of rows.
        random_state: Whole number for equal runs; None: another run every time.

    Attributes:
        format_: The fitted format: raw tables to rows and back.
        detector_: What scores rows in scaled units.
        models_: The trained models, where one was given.
        offset_: `score_samples` of the least strange row that is an alarm.
        reasons_: In words, what was done and assumed.
        n_features_in_: Columns of the table.
        feature_names_in_: Their names, where they have names.

    References:
        Livernoche et al.: On Diffusion Modeling for Anomaly Detection, 2024, https://arxiv.org/abs/2305.18593;
        Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005;
        Barber, Candès, Ramdas, Tibshirani: Predictive Inference with the Jackknife+, 2021,
        https://arxiv.org/abs/1905.02928

    Example:
        ```python
        import numpy as np
        from narrows import AnomalyDetector, Training

        X = np.random.default_rng(0).normal(size=(200, 3))
        X[:, 2] = X[:, 0] + X[:, 1]
        detector = AnomalyDetector(trim=0.0, training=Training(epochs=50), random_state=0).fit(X)
        detector.p_values([[1.0, 1.0, -2.0]])  # small: each cell is usual, the three together are not
        ```
    """

    FORMATS: ClassVar[tuple[type[Part], ...]] = (Table, Series)

    detector_: Detector
    models_: list[BaseAutoencoder]
    offset_: float

    def __init__(
        self,
        model: Any = None,
        *,
        alarm_rate: Rate = 0.01,
        trim: Annotated[float, Interval(0, 0.5)] = 0.2,
        members: Annotated[int, Interval(2)] = 8,
        network: Network | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.alarm_rate = alarm_rate
        self.trim = trim
        self.members = members
        self.network = network
        self.format = format
        self.training = training
        self.random_state = random_state

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what rows are usual.

        Args:
            X: n rows: array ``(n, d)`` or DataFrame (pandas, polars, pyarrow), or the name of files; images where
                ``model`` is given. Blanks are NaN, None or NaT. Some rows may be strange themselves, unless ``trim=0``.
                Of files that do not fit into memory 50,000 rows are learnt from, as of any larger table.
            y: Ignored.

        Returns:
            The detector itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If the table cannot be used: a single row, only blanks, infinite numbers.
        """
        self._check_params()
        seed = draw_seed(self.random_state)
        X = open_data(X, None if self.training is None else self.training.memory)
        if self.model is not None:
            return self._fit_models(X, self.model, seed)
        format_, rows = self._open(X, MOST, seed)
        if isinstance(format_, SeriesFormat) and format_.stride:
            return self._fit_models(X, window_model(self.format, format_, len(rows), self.training), seed)
        check_enough(len(rows))
        detector = learn_detector(
            flat_rows(rows),
            flat_layout(format_.layout),
            members=self.members,
            trim=self.trim,
            network=self.network,
            training=self.training,
            seed=seed,
        )
        return self._take(format_, detector, [], seed)

    def _fit_models(self, X: Any, given: BaseAutoencoder, seed: int) -> Self:
        model = clone(given)
        if model.random_state is None:
            model.set_params(random_state=seed)
        check_params(model)
        format_, rows = model._open(some_of(X, MOST, seed))
        parts = halves(format_, X)
        if parts is not None:
            one = model._fit_rows(format_, format_.to_rows(parts[0]))
            core = from_modules([one.module_], format_.to_rows(parts[1]), format_.layout, Twins.none())
            return self._take(format_, calibrate(core, format_, parts[1]), [one], seed)
        check_enough(len(rows))
        twins = Twins.fit(rows, torch.ones(len(rows), dtype=torch.bool), FOLDS)
        fold = twins.find(rows).fold
        if twins.folds < 2:
            raise InvalidData("all rows are equal: there is nothing to tell a strange row by")
        models = [clone(model)._fit_rows(format_, rows.take(fold != k)) for k in range(twins.folds)]
        detector = from_modules([m.module_ for m in models], rows, format_.layout, twins)
        return self._take(format_, detector, models, seed)

    @classmethod
    def from_model(cls, model: BaseAutoencoder, X: Any, alarm_rate: float = 0.01) -> Self:
        """A detector by a fitted model: rows are strange that it cannot reconstruct.

        Args:
            model: A fitted narrows estimator, of tables or images.
            X: Normal rows to calibrate on; not those of training, which the model reconstructs better than others.
            alarm_rate: Share of normal rows that `predict` may call strange.

        Returns:
            A fitted detector.

        Raises:
            InvalidParameter: If the model is not fitted.
        """
        made = cls(alarm_rate=alarm_rate)
        made._check_params()
        rows = fitted_model(model)._rows(some_of(X, MOST, 0))
        if len(rows) < 2:
            raise InvalidData(f"n_samples={len(rows)}: give at least 2 rows to calibrate on")
        detector = from_modules([model.module_], rows, model.format_.layout, Twins.none())
        return made._take(model.format_, detector, [model], 0)

    def _take(self, format_: Any, detector: Detector, models: list[BaseAutoencoder], seed: int) -> Self:
        # nothing is set before everything has worked: bad input leaves no half-fitted detector
        n, rate = len(detector.scores), float(self.alarm_rate)
        kind = "windows" if getattr(format_, "stride", 0) else "rows"
        if n < 1 / rate - 1:
            warnings.warn(
                DataWarning(
                    f"{n} {kind} cannot promise a false-alarm rate of {rate:g}: the lowest that they can is "
                    f"{1 / (n + 1):.2g}, and alarms come at that; {int(np.ceil(1 / rate)) - 1:,} {kind} would do"
                ),
                stacklevel=3,
            )
        self.format_, self.detector_, self.models_, self.seed_ = format_, detector, models, seed
        self.offset_ = -float(np.nextafter(detector.threshold(rate), -np.inf))
        # no likelihood judges rows here
        told = [reason for reason in format_.reasons if models or "likelihood" not in reason]
        self.reasons_ = [*told, *detector.notes]
        describe_features(self, format_)
        return self

    # --- using -----------------------------------------------------------------------------------------------

    def _models(self) -> list[BaseAutoencoder]:
        return self.models_

    def _judged(self, X: Any) -> tuple[Rows, torch.Tensor, Found]:
        """The rows, what every cell adds to the score, and what is known of the rows."""
        self._check_fitted()
        rows, novel = self.format_.read(X, owner="AnomalyDetector") if self._of_tables() else (self._rows(X), None)
        return rows, *self.detector_.judge(as_table(self.detector_, rows), novel)

    def _of_tables(self) -> bool:
        return len(self.format_.layout.shape) == 1

    def anomaly_score(self, X: Any) -> Floats:
        """How strange every row is; higher is stranger.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` sums of contributions, about 0 for a usual row, in standard deviations of the evidence.
        """
        return self._judged(X)[1].sum(1).numpy()

    def score_samples(self, X: Any) -> Floats:
        """How normal every row is: −`anomaly_score`, as scikit-learn has it.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)``; lower is stranger.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Floats:
        """`score_samples` less `offset_`: negative for alarms.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Any:
        """−1 for strange rows, 1 for the others; of normal rows a share of ``alarm_rate`` is called strange.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` whole numbers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> Floats:
        """How often a row like the training rows scores as high: conformal p-values, never below 1 / (n + 1).

        Args:
            X: rows, as in ``fit``.

        Returns:
            ``(n,)`` in (0, 1].
        """
        return self.assess(X).p_values

    def assess(self, X: Any, rate: float | None = None, false_discovery_rate: float | None = None) -> Assessment:
        """Scores, p-values and alarms in one go.

        Args:
            X: n rows, as in ``fit``.
            rate: Share of normal rows that may be called strange. None: ``alarm_rate``.
            false_discovery_rate: Instead of that, share of the alarms that may be false (Benjamini–Hochberg): what is
                called strange then depends on all rows together.

        Returns:
            ``scores``, ``p_values`` and ``alarms``, each ``(n,)``.

        Raises:
            InvalidParameter: If both rates are given, or one is not between 0 and 1.
        """
        if rate is not None and false_discovery_rate is not None:
            raise InvalidParameter("give rate or false_discovery_rate, not both")
        for name, value in (("rate", rate), ("false_discovery_rate", false_discovery_rate)):
            if value is not None and not 0 < value < 1:
                raise InvalidParameter(f"{name}={value!r}: give a number between 0 and 1, such as 0.01")
        scores, p, known = self._judge(X)
        limit = self._limit(rate) if false_discovery_rate is None else found_limit(p, known, false_discovery_rate)
        return Assessment(scores.numpy(), p.numpy(), (p <= limit).numpy())

    def _judge(self, X: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scores, p-values and whether it is a training row, each ``(n,)``."""
        _, terms, found = self._judged(X)
        scores = terms.sum(1)
        return scores, self.detector_.p_values(scores, found.known), found.known

    def _limit(self, rate: float | None) -> float:
        """The largest p-value of an alarm."""
        lowest = 1 / (len(self.detector_.scores) + 1)
        return max(self.alarm_rate if rate is None else rate, lowest) + 1e-12

    def alarms(self, X: Any, rate: float | None = None, false_discovery_rate: float | None = None) -> Any:
        """Which rows are strange: the ``alarms`` of `assess`.

        Args:
            X: n rows, as in ``fit``.
            rate: Share of normal rows that may be called strange. None: ``alarm_rate``.
            false_discovery_rate: Instead of that, share of the alarms that may be false.

        Returns:
            ``(n,)`` booleans.
        """
        return self.assess(X, rate, false_discovery_rate).alarms

    def explain(self, X: Any) -> Explanation:
        """Which cells made rows strange, by how much, and what was expected in them.

        Args:
            X: n rows, as in ``fit``; best only those that are alarms.

        Returns:
            Scores, contributions that add up to them, and expected values.
        """
        rows, terms, found = self._judged(X)
        scores = terms.sum(1)
        expected = self.detector_.evidence.expected(as_table(self.detector_, rows), found).reshape(rows.values.shape)
        return Explanation(
            scores=scores.numpy(),
            p_values=self.detector_.p_values(scores, found.known).numpy(),
            contributions=terms.reshape(len(rows), *self.format_.layout.shape).numpy(),
            expected=self.format_.from_values(expected),
            columns=tuple(str(c.name) for c in self.format_.columns)
            if self._of_tables()
            else getattr(self.format_, "channels", ()),
            given=X,
        )

    def points(self, X: Any, rate: float | None = None) -> list[Points]:
        """What is said of long series, step by step, as it would have been said when each step came.

        Args:
            X: Long series, as in ``fit`` with ``format=Series(window=…)``.
            rate: Share of normal windows, and of normal steps, that may be called strange. None: ``alarm_rate``.

        Returns:
            For each series the score, p-value and alarm of the window that ends with each step, those of the step
            itself, and the channel to blame.

        Raises:
            InvalidParameter: If this detector is not of windows of series.
        """
        self._check_fitted()
        return points_of(self, X, rate)

    def watch(self, rate: float | None = None) -> Watch:
        """A detector at work on one series: ``watch().update(point)`` says of each step what `points` says of it.

        Args:
            rate: As in `points`.
        """
        self._check_fitted()
        return Watch(self, rate)

    def __sklearn_tags__(self) -> Tags:
        """Images are welcome where a model judges them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = self.model is not None
        return tags
