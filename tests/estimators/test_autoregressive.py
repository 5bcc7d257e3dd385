"""Forecasts of series: what is learnt, drawn, compared and said; and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import narrows
from narrows import AutoregressiveModel, Training, likelihoods, networks
from narrows.data import Series
from narrows.data.series_set import open_series
from narrows.data.trend import Trend
from narrows.errors import DataWarning, InvalidData, InvalidParameter
from narrows.estimators._forecast import calendar
from narrows.estimators._forecast_fit import horizon, later, widen, widening
from narrows.evaluate.forecasts import (
    compare_forecasts,
    exponential_smoothing,
    filled,
    naive,
    scale_of,
    seasonal_naive,
)

SMALL = networks.Recurrent(cell="gru", hidden=8)
QUICK = Training(epochs=6, batch_size=32, learning_rate=5e-3)
LONGER = Training(epochs=40, batch_size=32, learning_rate=1e-2)


def seasonal(steps=160, seed=0, noise=0.2):
    random, t = np.random.default_rng(seed), np.arange(steps)
    return 10 + 0.05 * t + 3 * np.sin(2 * np.pi * t / 8) + noise * random.normal(size=steps)


@pytest.fixture(scope="module")
def fitted():
    return AutoregressiveModel(SMALL, training=QUICK, random_state=0).fit(seasonal())


# --- forecasts -------------------------------------------------------------------------------------------------


def test_a_trend_with_a_season_is_foretold_better_than_by_the_last_value(fitted):
    assert fitted.season_ == 8
    errors = fitted.comparison_.errors
    assert next(iter(errors)) == "model"
    assert {"naive", "seasonal naive"} < set(errors)
    assert errors["model"] < 0.5 * errors["naive"]
    future = 10 + 0.05 * np.arange(160, 176) + 3 * np.sin(2 * np.pi * np.arange(160, 176) / 8)
    found = fitted.forecast(16)
    assert np.abs(found.mean - future).mean() < 1.0
    assert any("season of 8 steps" in r for r in fitted.reasons_)
    assert fitted.comparison_.sentence() in fitted.reasons_


def test_a_history_without_a_value_is_told_of(fitted):
    with pytest.warns(DataWarning, match="1 of 1 series hold no value at all, such as 0"):
        found = fitted.forecast(3, np.full(40, np.nan))
    assert np.isfinite(found.mean).all()


def test_intervals_hold_the_median_and_widen_where_levels_wander():
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    model = AutoregressiveModel(SMALL, season=1, compare=False, training=QUICK, random_state=0).fit(walk)
    assert model.format_.trend.lags == (1,)
    found = model.forecast(20, draws=400)
    width = found.high - found.low
    assert (found.low <= found.median).all()
    assert (found.median <= found.high).all()
    # a random walk spreads as the root of the time
    assert 2.5 < width[15] / width[0] < 7


def test_equal_seeds_equal_draws_and_a_series_alone_is_foretold_as_among_others():
    X = np.stack([seasonal(seed=s) for s in range(4)])
    model = AutoregressiveModel(SMALL, compare=False, training=QUICK, random_state=0).fit(X)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one, again, other = (model.forecast(5, random_state=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(one.draws, again.draws)
    assert not np.array_equal(one.draws, other.draws)
    assert one.mean.shape == (4, 5)
    assert one.draws.shape == (200, 4, 5, 1)
    alone = model.forecast(5, X[2:3], random_state=1)
    np.testing.assert_array_equal(alone.draws[:, 0], one.draws[:, 2])


def test_a_saved_model_forecasts_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = narrows.load(tmp_path / "model")
    assert np.array_equal(loaded.forecast(6).draws, fitted.forecast(6).draws)
    assert loaded.season_ == 8
    assert loaded.reasons_ == fitted.reasons_
    np.testing.assert_array_equal(loaded.score_samples(seasonal()), fitted.score_samples(seasonal()))


def test_the_frame_goes_on_with_the_dates():
    dates = pd.date_range("2026-01-01", periods=90, freq="D")
    frame = pd.concat([pd.DataFrame({"shop": s, "day": dates, "sold": seasonal(90, i)}) for i, s in enumerate("ab")])
    model = AutoregressiveModel(SMALL, compare=False, training=QUICK, random_state=0).fit(frame)
    found = model.forecast(3).frame()
    assert list(found.columns)[:5] == ["shop", "day", "mean", "low", "high"]
    assert found["shop"].tolist() == ["a"] * 3 + ["b"] * 3
    assert pd.to_datetime(found["day"]).dt.strftime("%m-%d").tolist() == ["04-01", "04-02", "04-03"] * 2
    assert {"naive", "seasonal_naive"} <= set(found.columns)


def test_counts_stay_counts_and_categories_categories():
    random = np.random.default_rng(0)
    counts = random.poisson(3, 200).astype(float)
    poisson = AutoregressiveModel(
        SMALL, likelihood=likelihoods.Poisson(), compare=False, training=LONGER, random_state=0
    )
    draws = poisson.fit(counts).forecast(8).draws
    assert (draws >= 0).all()
    assert np.array_equal(draws, np.rint(draws))
    assert abs(draws.mean() - 3) < 1
    states = pd.DataFrame({"t": np.arange(120), "state": np.tile(["on", "off"], 60)})
    model = AutoregressiveModel(
        SMALL, format=Series(values=("state",)), compare=False, training=LONGER, random_state=0
    ).fit(states)
    future = model.forecast(4, draws=50).draws[:, 0, :, 0]
    assert (future[:, 0] == "on").mean() > 0.8
    assert (future[:, 1] == "off").mean() > 0.8
    found = model.forecast(4, draws=50)
    assert found.mean.tolist() == found.median.tolist() == ["on", "off", "on", "off"]
    assert (found.shares > 0.5).all()
    frame = found.frame()
    assert frame["mean"].tolist() == ["on", "off", "on", "off"]
    np.testing.assert_array_equal(frame["share"], found.shares)
    assert frame["low"].isna().all()


def test_gaps_and_many_lengths_are_learnt_from():
    X = [seasonal(120 - 10 * i, i) for i in range(3)]
    X[0][20:25] = np.nan
    X[1][-1] = np.nan
    model = AutoregressiveModel(SMALL, compare=False, training=QUICK, random_state=0).fit(X)
    assert np.isfinite(model.forecast(4).draws).all()
    assert np.isfinite(model.score_samples(X)).all()
    assert [len(s) for s in model.sample(2, random_state=0)] == [model.format_.steps] * 2


def test_training_teaches_and_scores_tell_the_strange_from_the_usual():
    model = AutoregressiveModel(SMALL, trend="none", compare=False, training=LONGER, random_state=0)
    usual = model.fit(seasonal()).score(seasonal(seed=5))
    assert usual > model.untrained().score(seasonal(seed=5)) + 0.1
    assert usual > model.score(seasonal(seed=5, noise=2.0))
    assert np.ptp(model.score_samples(seasonal(seed=5))) > 0


def test_a_scale_that_training_made_too_small_is_widened_by_held_out_errors(fitted):
    module, rows = fitted.module_, fitted.format_.to_rows(seasonal(seed=9))
    widen(module, 0.1)
    try:
        by = widening(module, rows)
        assert 5 < by <= 10
        widen(module, by)
        assert widening(module, rows) == pytest.approx(1.0, abs=0.05)
    finally:
        widen(module, 10 / by)


# --- simple forecasts --------------------------------------------------------------------------------------------


def test_simple_forecasts_by_hand():
    y = np.array([1.0, 2, 3, 4, np.nan, 6])
    assert filled(y, 2).tolist() == [1, 2, 3, 4, 3, 6]
    assert filled(np.array([np.nan, 2, np.nan])).tolist() == [2, 2, 2]
    assert naive(y, 3).tolist() == [6, 6, 6]
    assert seasonal_naive(y, 5, 3).tolist() == [4, 4, 6, 4, 4] or seasonal_naive(y, 5, 3)[2] == 6
    assert seasonal_naive(y[:2], 2, 3).tolist() == [2, 2]
    assert scale_of(np.array([1.0, 3, 2, 6]), 2) == 2.0
    assert scale_of(np.ones(5), 1) == 1.0


def test_exponential_smoothing_goes_on_with_trend_and_season():
    pytest.importorskip("statsmodels")
    t = np.arange(96)
    y = 20 + 0.5 * t + 5 * np.sin(2 * np.pi * t / 12)
    ahead = np.arange(96, 108)
    found = exponential_smoothing(y, 12, 12)
    np.testing.assert_allclose(found, 20 + 0.5 * ahead + 5 * np.sin(2 * np.pi * ahead / 12), atol=1.5)
    assert exponential_smoothing(np.ones(50), 3, 1).tolist() == [1, 1, 1]


def test_a_comparison_says_who_is_better():
    series = [np.arange(40.0)[:, None]]

    def forecast(i, start):
        return np.arange(start, start + 4.0).reshape(1, 4, 1).repeat(5, axis=0)

    found = compare_forecasts(forecast, series, 4, [[30, 36]])
    assert found.errors["model"] == 0
    assert found.errors["naive"] == pytest.approx(2.5)
    assert found.coverage == 1
    assert found.origins == 2
    worse = compare_forecasts(lambda i, s: forecast(i, s) + 50, series, 4, [[30]])
    assert not worse.better
    assert "does not beat" in worse.sentence()


def test_how_far_forecasts_are_compared():
    assert horizon(open_series(np.zeros(144)), 12) == 12
    assert horizon(open_series(np.zeros(30)), 12) == 0
    assert horizon(open_series(np.zeros(60)), 1) == 6


def test_the_calendar_decides_between_seasons_that_are_nearly_one():
    days = open_series(pd.DataFrame({"d": pd.date_range("2020-01-01", periods=30), "x": np.arange(30.0)})).clock
    assert [calendar(s, days) for s in (1, 7, 367, 30)] == [1, 7, 365, 30]
    assert calendar(367, None) == 367


TWICE = Training(epochs=2, batch_size=32)


def test_what_cannot_be_compared_is_no_error():
    blank = seasonal(150)
    blank[-40:] = np.nan
    assert AutoregressiveModel(SMALL, season=8, training=TWICE, random_state=0).fit(blank).comparison_ is None
    with pytest.raises(InvalidData, match="blank"):
        compare_forecasts(lambda i, start: np.zeros((9, 2, 1)), [np.array([[1.0], [2], [np.nan], [np.nan]])], 2, [[2]])


def test_a_long_series_is_compared_wherever_it_stands():
    short = [seasonal(12, s) for s in range(21)]
    found = AutoregressiveModel(SMALL, season=8, training=TWICE, random_state=0).fit([*short, seasonal(150)])
    assert found.comparison_.origins == 8


def test_values_without_a_logarithm_leave_forecasts_finite():
    t = np.arange(160)
    level = np.exp(0.02 * t) * (2 + np.sin(2 * np.pi * t / 8)) * 10
    model = AutoregressiveModel(SMALL, season=8, compare=False, training=TWICE, random_state=0).fit(level)
    model.format_ = replace(model.format_, trend=Trend((8,), True, start=((10.0,),) * 8))
    for bad in (0.0, -1.0):
        assert np.isfinite(model.forecast(8, np.where(t == 157, bad, level)).draws).all()


def test_short_series_are_held_out_by_series():
    random = np.random.default_rng(0)
    opened = open_series([random.normal(size=25) for _ in range(200)] + [random.normal(size=80)])
    format_ = Series(window=32, stride=1).fit(opened)
    train, held = later(format_.to_rows(opened), format_, opened, Training())
    assert len(train) + len(held) == 200 + 49
    assert len(train) > 3 * len(held) > 0


def test_each_of_two_fits_keeps_checkpoints_of_its_own(tmp_path, monkeypatch):
    folders, learn = [], AutoregressiveModel._learn

    def interrupted(self, *args):
        folders.append(self.training.checkpoint)
        learn(self, *args)
        if stop:
            self.history_.stopped = "interrupted in epoch 1"

    monkeypatch.setattr(AutoregressiveModel, "_learn", interrupted)
    training, stop = TWICE.set_params(checkpoint=str(tmp_path)), False
    model = AutoregressiveModel(SMALL, training=training, random_state=0).fit(seasonal())
    assert model.comparison_ is not None
    assert folders == [str(tmp_path / "held-out"), str(tmp_path / "whole")]
    folders.clear()
    stop = True
    model.fit(seasonal())
    assert len(folders) == 1
    assert model.comparison_ is None
    assert any("interrupted" in reason for reason in model.reasons_)


def test_without_time_stamps_a_tail_is_given_its_season():
    random, t = np.random.default_rng(0), np.arange(168)
    X = 10 * np.sin(2 * np.pi * t / 12) + 0.1 * random.normal(size=168)
    model = AutoregressiveModel(SMALL, season=12, compare=False, training=TWICE, random_state=0).fit(X[:144])
    assert model.format_.trend.profile
    for start in (0, 5, 100):
        assert np.abs(model.forecast(24, X[start:144]).mean - X[144:]).mean() < 0.5


def test_numbers_beside_categories_keep_their_means():
    t = np.arange(60)
    states = pd.DataFrame({"t": t, "state": np.tile(["on", "off"], 30), "x": np.sin(t)})
    model = AutoregressiveModel(SMALL, format=Series(values=("state", "x")), training=TWICE, random_state=0).fit(states)
    assert model.comparison_ is None
    found = model.forecast(3, draws=20)
    np.testing.assert_allclose(found.mean[:, 1].astype(float), found.draws[:, 0, :, 1].astype(float).mean(axis=0))
    frame = found.frame()
    assert frame["low"].isna().tolist() == [True, False] * 3
    assert set(frame["mean"][::2]) <= {"on", "off"}


def test_ends_that_are_not_held_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr("narrows.estimators.autoregressive.KEPT", 2)
    X = np.stack([seasonal(40, s) for s in range(4)])
    model = AutoregressiveModel(SMALL, season=8, compare=False, training=TWICE, random_state=0).fit(X)
    model.save(tmp_path / "model")
    for one in (model, narrows.load(tmp_path / "model")):
        with pytest.warns(DataWarning, match="first 2 series only"):
            assert one.forecast(3).mean.shape == (2, 3)
    assert model.forecast(3, X).mean.shape == (4, 3)


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda m: m.forecast(0), InvalidParameter, "steps=0"),
        (lambda m: m.forecast(2.5), InvalidParameter, "whole number"),
        (lambda m: m.forecast(3, draws=0), InvalidParameter, "draws=0"),
        (lambda m: m.forecast(3, level=1.0), InvalidParameter, "between 0 and 1"),
        (lambda m: m.forecast(3, np.zeros(4)), InvalidData, "differences reach over"),
        (lambda m: m.forecast(3, np.zeros((1, 50, 2))), InvalidData, "2 channels"),
        (lambda m: m.sample(0), InvalidParameter, "at least 1"),
        (lambda m: m.sample(1, where="x > 1"), InvalidParameter, "conditions are of tables"),
        (lambda m: AutoregressiveModel().forecast(3), narrows.estimators.NotFitted, "not fitted"),
        (lambda m: AutoregressiveModel(season=0).fit(seasonal()), InvalidParameter, "season"),
        (lambda m: AutoregressiveModel(trend="up").fit(seasonal()), InvalidParameter, "trend"),
        (lambda m: AutoregressiveModel(format=narrows.data.Table()).fit(seasonal()), InvalidParameter, "Series"),
        (lambda m: AutoregressiveModel(format=Series(scaling="instance")).fit(seasonal()), InvalidParameter, "global"),
        (lambda m: AutoregressiveModel().fit(np.arange(7.0)), InvalidData, "give 8 or more"),
        (lambda m: AutoregressiveModel().fit(np.full(50, np.nan)), InvalidData, "blank"),
        (lambda m: AutoregressiveModel(networks.Dense()).fit(seasonal()), InvalidParameter, "Dense"),
    ],
    ids=[
        "no steps", "half a step", "no draws", "level", "short history", "channels", "no sample", "where", "not fitted",
        "season", "trend", "format", "scaling", "short", "gaps", "network",
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(fitted, call, error, word):
    with pytest.raises(error, match=word):
        call(fitted)
