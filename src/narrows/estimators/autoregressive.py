"""Autoregressive models: every step of a series given the ones before it, and forecasts by drawing the next ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, Self, final

import numpy as np
import torch

from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.data.series import Series, SeriesFormat, check_any
from narrows.data.series_set import SeriesSet, open_series
from narrows.data.trend import Trend, choose_trend
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._base import BaseModel
from narrows.estimators._choices import ModelChoices, Plan
from narrows.estimators._forecast import Forecast, ends_of, forecast_of, roll
from narrows.estimators._forecast_fit import (
    ForecastStep,
    few_values,
    head,
    horizon,
    later,
    origins_of,
    planned,
    season_of,
    start_of,
    widen,
    widening,
)
from narrows.estimators._shared import check_params, draw_seed
from narrows.estimators._streams import open_data
from narrows.evaluate.forecasts import ForecastComparison, compare_forecasts
from narrows.likelihoods import Likelihood
from narrows.models.autoregressive import AutoregressiveModule
from narrows.networks import Network, Recurrent
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded

RATE = 5e-3  # of learning, where training was left open: series are few, and so are steps
SHORT, LONG = 32, 128  # steps of context
ORIGINS = 8  # forecasts per series that are compared
COMPARED = 20  # series whose forecasts are compared
KEPT = 1_000  # series whose last steps are kept to forecast from
DRAWS = 200


@dataclass(frozen=True)
class AutoregressiveChoices(ModelChoices):
    """The parts of an autoregressive model.

    Attributes:
        network: Looks back.
        likelihood: Describes the next step.
        format: How raw data becomes rows.
    """

    network: Network | None = None
    likelihood: Likelihood | None = None
    format: Part | None = None
    reasons: list[str] = field(default_factory=list)

    PARTS: ClassVar[tuple[str, ...]] = ("network", "likelihood")
    NEEDED: ClassVar[tuple[str, ...]] = ("network", "likelihood")

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        if not layout.series:
            raise InvalidParameter(f"AutoregressiveModel(format={self.format!r}) is not for series: use Series(…)")
        reasons = []
        network = self.network
        if network is None:
            hidden = 32 if len(rows) < 2_000 else 64
            network = Recurrent(cell="gru", hidden=hidden)
            reasons.append(f"recurrent network of {hidden} units: {len(rows):,} windows to learn from")
        return replace(self, network=network, likelihood=format_.likelihood(), reasons=reasons)

    def build(self, layout: Layout) -> AutoregressiveModule:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        assert self.likelihood is not None
        return AutoregressiveModule(layout, self.network, self.likelihood)

    def plan(self, module: AutoregressiveModule, layout: Layout) -> Plan:
        """One player; the best weights are those of the lowest loss on later steps that were held out."""
        step = ForecastStep(module)
        return Plan(step, [Player(step, trainable(module))])

    def code_size_of(self, module: Any) -> int:
        """There is no code."""
        return 0


@final
class AutoregressiveModel(BaseModel):
    r"""Learns how series go on: $p(x) = \prod_t p(x_t \mid x_{<t})$, each step a likelihood that a network foretells.

    `forecast` draws steps one after the other, so that intervals widen as they should, and says beside it what the last
    value, the last season and exponential smoothing say. When it is fitted, the last part of every series is held out
    and foretold from rolling origins: ``comparison_`` says whether the model beats those; then it is fitted again to
    all of the series, for as many epochs.

    Trends and seasons are taken away first where that leaves less to explain (`narrows.data.trend.choose_trend`):
    logarithms where the spread grows with the level, a season by its usual course or by differences, a wandering level
    by differences to the step before. Counts and categories are learnt as they are.

    Args:
        network: Looks back (`narrows.networks.Recurrent`, or another that has a causal module); None: a small GRU.
        likelihood: Describes one step: `likelihoods.Gaussian`, ``Laplace``, ``Poisson`` for counts, ``Categorical`` for
            a channel of categories; None: chosen by the values.
        season: Steps of a season, 1 for none; None: found by the autocorrelation, and said.
        trend: ``"auto"``, ``"none"`` to learn values as they are.
        context: Steps that are looked back at; None: three seasons, from 32 to 128.
        compare: Whether forecasts of the last part are compared, which takes a second fit.
        format: How raw data becomes series (`narrows.data.Series`).
        training: Settings of the loop; where epochs are left open, as many as make 400 steps.
        random_state: Whole number for equal runs; None: another run every time.

    Attributes:
        season_: Steps of a season.
        comparison_: Forecasts beside simple ones; None where there was too little to hold out, and in loaded models,
            whose ``reasons_`` hold its sentence.

    References:
        Salinas, Flunkert, Gasthaus, Januschowski: DeepAR: Probabilistic forecasting with autoregressive recurrent
        networks, 2020, https://arxiv.org/abs/1704.04110

    Example:
        ```python
        import numpy as np
        from narrows import AutoregressiveModel, Training

        x = 10 + np.sin(np.arange(120) * 2 * np.pi / 12)
        model = AutoregressiveModel(training=Training(epochs=1), random_state=0).fit(x)
        model.forecast(24).mean.shape   # (24,)
        ```
    """

    LIMITS: ClassVar[str] = (
        "Forecasts go on as training did: what never happened there is not foreseen, and intervals do not know of it. "
        "It holds the last steps of its training series."
    )

    format_: SeriesFormat
    module_: AutoregressiveModule
    choices_: AutoregressiveChoices
    comparison_: ForecastComparison | None
    _widening: float = 1.0

    def __init__(
        self,
        network: Network | None = None,
        *,
        likelihood: Likelihood | None = None,
        season: Annotated[int, Interval(1)] | None = None,
        trend: Literal["auto", "none"] = "auto",
        context: Annotated[int, Interval(2)] | None = None,
        compare: bool = True,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.likelihood = likelihood
        self.season = season
        self.trend = trend
        self.context = context
        self.compare = compare
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> AutoregressiveChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return AutoregressiveChoices(self.network, self.likelihood, self.format)

    def _default_parts(self) -> dict[str, Any]:
        from narrows.likelihoods import Gaussian

        network = Recurrent(cell="gru", hidden=32)
        return {"training": Training(), "format": Series(), "network": network, "likelihood": Gaussian()}

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, labels: Any = None) -> Self:
        """Learn how series go on.

        Args:
            X: One long series ``(T,)``; or many, ``(n, T)``, ``(n, T, C)``, a list of arrays; or a long table with a
                row per step and columns of time stamps, values and perhaps names of series. NaN are gaps.
            y: Ignored.
            labels: Not used: series have no classes here.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If the series are too short, or cannot be read.
        """
        check_params(self)
        if labels is not None:
            raise InvalidParameter("labels: an autoregressive model of series knows no classes: leave labels out")
        options = self.format or Series()
        if not isinstance(options, Series):
            raise InvalidParameter(f"format={options!r} is not for series: use narrows.data.Series(…)")
        if options.scaling == "instance":
            raise InvalidParameter(
                'Series(scaling="instance") brings every window to a level of its own, which what is to come would be '
                'part of: forecasts need scaling="global"'
            )
        training, seed = self._training(), self._seed()
        X = open_data(X, training.memory)
        opened = open_series(X, id=options.id, time=options.time, values=options.values, every=options.every)
        check_any(opened)
        season, notes = season_of(self.season, opened)
        numbers = opened.tracks[0].values.dtype != object
        steps = horizon(opened, season) if self.compare and numbers else 0
        compared = origins_of(opened.tracks if steps else [], steps, ORIGINS, COMPARED)
        steps = steps if compared[0] else 0
        fitted = self._fit_to(opened, opened if not steps else head(opened, steps), season, options, seed, steps > 0)
        comparison, said = None, "too few steps to hold some out: forecasts were not compared"
        if not numbers:
            said = "forecasts of categories are not compared"
        if fitted.history_.stopped.startswith("interrupted"):
            said = "training was interrupted before the last steps were learnt: forecasts were not compared"
        elif steps:
            comparison = fitted._compare(*compared, steps, season, seed)
            said = comparison.sentence()
            fitted = self._fit_to(opened, opened, season, options, seed, True, fitted)
        self.__dict__.update(fitted.__dict__)
        self.season_, self.comparison_ = season, comparison
        if self._widening > 1.05:
            notes.append(
                f"steps that were not learnt from are {self._widening:.1f} times as far off: intervals are as wide"
            )
        self.reasons_ = [*self.reasons_, *notes, *([said] if self.compare else [])]
        return self

    def _fit_to(
        self,
        opened: SeriesSet,
        part: SeriesSet,
        season: int,
        options: Series,
        seed: int,
        twice: bool,
        earlier: Self | None = None,
    ) -> Self:
        """A copy that was fitted to ``part``: for as many epochs as an earlier one, and as sure of itself."""
        trend = self._trend(part, season)
        context = self.context or int(np.clip(3 * season, SHORT, LONG))
        longest = max(len(t) for t in part.tracks) - (0 if trend is None else trend.lost)
        if longest < 8:
            raise InvalidData(
                f"the longest series leaves {max(0, longest)} steps to learn from: give 8 or more, beyond one season"
            )
        window = min(context, max(4, longest // 2))
        stride = max(1, sum(len(t) for t in part.tracks) // 20_000)
        format_: Any = options.set_params(window=window, stride=options.stride or stride)
        fitted_format = format_.fit(part, likelihood=self.likelihood, trend=trend)
        lost = 0 if trend is None else trend.lost
        kept = max(window + lost, 3 * season)
        ends = tuple(
            replace(t, values=t.values[-kept:], start=start_of(t, kept, opened)) for t in opened.tracks[: KEPT + 1]
        )
        fitted_format = replace(fitted_format, ends=ends, season=season)
        rows = fitted_format.to_rows(part, known=True)
        if len(rows) < 2:
            raise InvalidData("the series make a single window, which is not enough to learn from: give longer series")
        train, held = (rows, None) if earlier is not None else later(rows, fitted_format, part, self._training())
        made = type(self)(**self.get_params(deep=False))
        made.training = planned(self.training or Training(learning_rate=RATE), len(train), twice, earlier)
        made._learn(fitted_format, train, held, seed)
        made.training = self.training
        made._widening = widening(made.module_, held) if earlier is None else earlier._widening
        widen(made.module_, made._widening)
        return made

    def _trend(self, opened: SeriesSet, season: int) -> Trend | None:
        real = self.likelihood is None or self.likelihood.domain == "real"
        tracks = [t.values for t in opened.tracks]
        if self.trend == "none" or not real or tracks[0].dtype == object or few_values(tracks):
            return None
        step = 1.0 if opened.clock is None else opened.clock.step
        origin = min(t.start for t in opened.tracks)
        long = [t for t in tracks if len(t) > 2 * season] or tracks
        starts = [t.start for t in opened.tracks if len(t) > 2 * season] or [t.start for t in opened.tracks]
        found = choose_trend(long, season, [round((start - origin) / step) for start in starts])
        return found if found != Trend(start=found.start) else None

    def _compare(
        self, series: list[Any], origins: list[list[int]], steps: int, season: int, seed: int
    ) -> ForecastComparison:
        def forecast(i: int, start: int) -> Any:
            phase = self.format_.template.phase(series[i])
            return roll(self.module_, self.format_, [series[i].values[:start]], steps, DRAWS, seed, season, [phase])[
                :, 0
            ]

        return compare_forecasts(forecast, [t.values for t in series], steps, origins, season)

    # --- using -----------------------------------------------------------------------------------------------

    def forecast(
        self, steps: int | None = None, X: Any = None, *, draws: int = DRAWS, level: float = 0.9, random_state: Any = 0
    ) -> Forecast:
        """How series go on.

        Args:
            steps: How many steps; None: a season, or 12.
            X: Series to go on from, as in ``fit``; None: the training series, the first 1,000 of more. Without time
                stamps, the step of a usual season that a series begins with is the one which fits it best.
            draws: Ways to go on that are drawn for each series.
            level: Share of the draws inside the intervals.
            random_state: Whole number for equal draws; None: others every time.

        Returns:
            Mean, quantiles, draws, simple forecasts beside them, and a table of it all (`Forecast.frame`).

        Raises:
            InvalidParameter: If a number is out of its range.
            InvalidData: If the series do not fit the model.
        """
        self._check_fitted()
        steps = steps if steps is not None else (self.season_ if self.season_ > 1 else 12)
        for name, value in (("steps", steps), ("draws", draws)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise InvalidParameter(f"forecast({name}={value!r}): give a whole number of at least 1")
        if not 0 < level < 1:
            raise InvalidParameter(f"forecast(level={level!r}): give a share between 0 and 1, such as 0.9")
        opened = ends_of(self.format_, KEPT) if X is None else self.format_.open(X)
        seed = draw_seed(random_state)
        return forecast_of(self.module_, self.format_, opened, int(steps), int(draws), level, seed, self.season_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log p(x) of every row: of a series, or of each window of a long one.

        Args:
            X: Series, as in ``fit``. Without time stamps, the step of a usual season that each begins with is the one
                which fits it best.

        Returns:
            ``(n,)`` in nats, summed over steps and channels, in scaled units and after trends were taken away.
        """
        rows = self._rows(X)
        return in_chunks(self.module_.log_prob, rows, chunk_size(self.module_.layout), self._device()).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples`` per step, in nats: higher is better, for grid searches.

        Args:
            X: Series, as in ``fit``.
            y: Ignored.
        """
        rows = self._rows(X)
        steps = rows.lengths.sum() if rows.lengths is not None else len(rows) * rows.values.shape[1]
        return float(self.score_samples(X).sum() / float(steps))

    def sample(self, n: int = 1, where: str | None = None, random_state: Any = None) -> Any:
        """New series of as many steps as a window has, drawn from their first step on.

        Args:
            n: How many, at least 1.
            where: Not used: conditions are of tables.
            random_state: Whole number for equal series at every call; None: new ones every time.

        Returns:
            n series, in the container of the training data.
        """
        self._check_fitted()
        if where is not None:
            raise InvalidParameter(f"sample(where={where!r}): conditions are of tables; series have none")
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        channels, steps = len(self.format_.channels), self.format_.steps
        with torch.inference_mode(), seeded(hash_seed(draw_seed(random_state), 0)):
            empty = torch.zeros(int(n), 0, channels, device=self._device())
            found, (x, state) = [], self.module_.begin(empty)
            for _ in range(steps):
                found.append(x.sample())
                x, state = self.module_.advance(found[-1].unsqueeze(1), state)
        return self.format_.from_values(torch.stack(found, dim=1))

    def _device(self) -> torch.device:
        return next(self.module_.parameters()).device

    def _describe(self) -> None:
        super()._describe()
        if not hasattr(self, "season_"):
            self.season_, self.comparison_ = self.format_.season, None
