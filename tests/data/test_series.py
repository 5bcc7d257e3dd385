"""Series in and out: what is read, how it is cut and scaled, what comes back, and what is refused."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from narrows import likelihoods
from narrows.data import Series, SeriesFormat, format_from_config
from narrows.data.clock import Clock
from narrows.data.seasons import autocorrelation, find_season
from narrows.data.series_set import open_series
from narrows.data.trend import Trend
from narrows.errors import DataWarning, InvalidData, InvalidParameter, InvalidType, SavedModelError


def waves(n=12, steps=30, seed=0):
    random = np.random.default_rng(seed)
    t = np.arange(steps)
    return np.stack([a * np.sin(t / 4 + p) + b for a, p, b in random.uniform(0.5, 3, (n, 3))])


def long_frame(days=10, who=("a", "b")):
    dates = pd.date_range("2026-01-01", periods=days, freq="D")
    parts = [pd.DataFrame({"who": w, "day": dates, "x": np.arange(days) + 100.0 * i}) for i, w in enumerate(who)]
    return pd.concat(parts, ignore_index=True)


# --- there and back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["grid", "flat", "list", "lines", "ragged", "ragged lines"])
@pytest.mark.parametrize("scaling", ["global", "instance"])
def test_what_goes_in_comes_back(shape, scaling):
    X = np.stack([waves(), 50 + 7 * waves(seed=1)], axis=2)
    cut = 30 - np.arange(12)
    data = {
        "grid": X,
        "flat": X[..., 0],
        "list": list(X),
        "lines": list(X[..., 0]),
        "ragged": [x[:k] for x, k in zip(X, cut, strict=True)],
        "ragged lines": [x[:k, 0] for x, k in zip(X, cut, strict=True)],
    }[shape]
    fitted = Series(scaling=scaling).fit(data)
    rows = fitted.to_rows(data)
    back = fitted.from_values(rows.values, like=data)
    assert type(back) is type(data)
    assert len(back) == 12
    for given, found in zip(data, back, strict=True):
        assert found.shape == given.shape
        np.testing.assert_allclose(found, given, atol=1e-4)
    assert (rows.lengths is not None) == shape.startswith("ragged")
    if rows.lengths is not None:
        assert rows.lengths.tolist() == cut.tolist()
        assert not rows.values[1, 29:].any()


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_long_table_comes_back_with_names_and_dates(kind):
    frame = long_frame()
    data = {"pandas": frame, "polars": pl.from_pandas(frame), "pyarrow": pa.Table.from_pandas(frame)}[kind]
    fitted = Series().fit(data)
    assert fitted.layout.shape == (10, 1)
    back = fitted.from_values(fitted.to_rows(data).values, like=data)
    assert type(back) is type(data)
    plain = {"pandas": lambda b: b, "polars": lambda b: b.to_pandas(), "pyarrow": lambda b: b.to_pandas()}[kind](back)
    assert list(plain.columns) == ["who", "day", "x"]
    assert plain["who"].tolist() == frame["who"].tolist()
    assert pd.to_datetime(plain["day"]).tolist() == frame["day"].tolist()
    np.testing.assert_allclose(plain["x"], frame["x"], atol=1e-4)


def test_types_of_arrays_stay():
    for dtype in (np.float32, np.int64, np.uint8):
        X = np.rint(waves() * 10 + 60).astype(dtype)
        fitted = Series().fit(X)
        back = fitted.from_values(fitted.to_rows(X).values, like=X)
        assert back.dtype == dtype
        assert np.abs(back.astype(float) - X).max() < 1e-3


def test_categories_are_channels_too():
    frame = long_frame().assign(state=["on", "off", "on", None, "off"] * 4)
    fitted = Series(values=("x", "state")).fit(frame)
    assert fitted.layout.categories == (0, 2)
    rows = fitted.to_rows(frame)
    assert rows.observed is not None
    assert not rows.observed[0, 3, 1]
    back = fitted.from_values(rows.values, rows.observed, like=frame)
    assert back["state"].fillna("").tolist() == frame["state"].fillna("").tolist()
    assert "Mixed" in type(fitted.likelihood()).__name__


def test_global_scaling_is_one_line_for_all_and_instance_scaling_one_for_each():
    X = np.array([[0.0, 2.0, 4.0], [10.0, 10.0, 16.0]])
    whole = Series().fit(X).to_rows(X).values.squeeze(2)
    np.testing.assert_allclose(whole, (X - X.mean()) / X.std(), atol=1e-6)
    each = Series(scaling="instance").fit(X).to_rows(X).values.squeeze(2)
    np.testing.assert_allclose(each, (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True), atol=1e-5)


def test_a_flat_series_stays_flat_under_instance_scaling():
    X = waves()
    X[3] = 1.5 + 1e-9 * np.arange(30)
    assert Series(scaling="instance").fit(X).to_rows(X).values[3].abs().max() < 1e-3


def test_gaps_are_not_observed_and_do_not_move_the_scale():
    X = waves()
    Y = X.copy()
    Y[:, 4] = np.nan
    for scaling in ("global", "instance"):
        rows = Series(scaling=scaling).fit(Y).to_rows(Y)
        assert not rows.observed[:, 4].any()
        assert rows.observed.sum() == 12 * 29
        assert torch.isfinite(rows.values).all()
        assert not rows.values[:, 4].any()
    seen = rows.values[0, rows.observed[0, :, 0], 0]
    assert abs(float(seen.mean())) < 1e-5
    assert abs(float(seen.std(correction=0)) - 1) < 1e-4


def test_a_row_does_not_depend_on_the_others():
    X = [w[: 30 - i] for i, w in enumerate(waves())]
    fitted = Series(scaling="instance").fit(X)
    together, alone = fitted.to_rows(X), [fitted.to_rows([x]) for x in X]
    assert all(torch.equal(together.values[i], one.values[0]) for i, one in enumerate(alone))


# --- windows -----------------------------------------------------------------------------------------------------


def test_windows_lie_where_they_should_and_the_last_ends_with_the_series():
    x = np.arange(11.0)
    fitted = Series(window=4, stride=3).fit(x)
    assert fitted.places([11]).tolist() == [[0, 0, 4], [0, 3, 4], [0, 6, 4], [0, 7, 4]]
    windows = fitted.from_values(fitted.to_rows(x).values)
    np.testing.assert_allclose(windows, [x[i : i + 4] for i in (0, 3, 6, 7)], atol=1e-5)


def test_windows_are_put_together_again_and_averaged_where_they_overlap():
    x = np.arange(6.0)
    fitted = Series(window=4, stride=2).fit(x)
    values = fitted.to_rows(x).values
    np.testing.assert_allclose(fitted.from_values(values, like=x), x, atol=1e-5)
    moved = fitted.to_rows(np.array([0.0, 1, 2, 3, 4, 5])).values.clone()
    moved[1] = fitted.to_rows(np.array([4.0, 5, 4, 5])).values[0]  # in place of 2, 3, 4, 5
    np.testing.assert_allclose(fitted.from_values(moved, like=x), [0, 1, 3, 4, 4, 5], atol=1e-5)


def test_one_series_is_cut_into_two_of_its_seasons():
    x = np.sin(2 * np.pi * np.arange(240) / 12)
    fitted = Series().fit(x)
    assert fitted.steps == 24
    assert any("two seasons of 12 steps" in r for r in fitted.reasons)
    assert fitted.from_values(fitted.to_rows(x).values, like=x).shape == (240,)


# --- time stamps -------------------------------------------------------------------------------------------------


def test_rows_out_of_order_are_sorted_and_it_is_said():
    frame = long_frame().sample(frac=1, random_state=0)
    opened = open_series(frame)
    by_name = {t.name: t.values[:, 0].tolist() for t in opened.tracks}
    assert by_name == {"a": list(range(10)), "b": list(range(100, 110))}
    assert any("sorted" in n for n in opened.notes)
    assert any("'who'" in n for n in opened.notes)


def test_double_time_stamps_are_averaged_with_a_warning():
    frame = pd.DataFrame({"time": [1, 2, 2, 3, 4], "x": [1.0, 2.0, 4.0, 5.0, 6.0]})
    with pytest.warns(DataWarning, match="1 time stamps occur more than once"):
        opened = open_series(frame)
    assert opened.tracks[0].values[:, 0].tolist() == [1, 3, 5, 6]


def test_missing_days_are_gaps():
    frame = long_frame(who=("a",)).drop(index=[3, 4])
    opened = open_series(frame, id="who")
    assert np.isnan(opened.tracks[0].values[:, 0]).tolist() == [False] * 3 + [True] * 2 + [False] * 5
    assert any("2 steps" in n and "gaps" in n for n in opened.notes)


def test_irregular_stamps_go_to_the_nearest_step_and_it_is_said():
    times = np.array([0.0, 1.05, 1.9, 3.0, 3.2, 5.1])
    opened = open_series(pd.DataFrame({"t": times, "x": [0.0, 1, 2, 3, 5, 6]}), every=1.0)
    np.testing.assert_allclose(opened.tracks[0].values[:, 0], [0, 1, 2, 4, np.nan, 6])
    assert any("irregular" in n for n in opened.notes)


def test_months_are_steps_however_long_they_are():
    dates = pd.date_range("2024-01-01", periods=30, freq="MS")
    opened = open_series(pd.DataFrame({"month": dates.strftime("%Y-%m"), "x": np.arange(30.0)}))
    assert opened.clock.kind == "month"
    assert len(opened.tracks[0]) == 30
    assert opened.clock.stamps(opened.tracks[0].start, [0, 1, 30]).to_pylist() == ["2024-01", "2024-02", "2026-07"]
    ends = open_series(pd.DataFrame({"date": pd.date_range("2024-01-31", periods=14, freq="ME"), "x": np.arange(14.0)}))
    stamps = ends.clock.stamps(ends.tracks[0].start, [1, 13, 14]).to_pylist()
    assert [s.date().isoformat() for s in stamps] == ["2024-02-29", "2025-02-28", "2025-03-31"]


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (pd.DataFrame({"t": [*range(10), *range(20, 220, 20)], "x": np.arange(20.0)}), "several frequencies"),
        (
            pd.DataFrame({"id": ["a"] * 5 + ["b"] * 5, "t": [*range(5), *range(0, 100, 20)], "x": np.arange(10.0)}),
            "several frequencies",
        ),
        (pd.DataFrame({"date": ["2026-01-01", None, "2026-01-03"], "x": [1.0, 2, 3]}), "blank"),
        (pd.DataFrame({"time": [1, 2, 3], "x": ["a", "b", "c"]}), "none of the columns"),
        (pd.DataFrame({"t": [0, 1, 2, 1_000_000], "x": [1.0, 2, 3, 4]}), "every="),
    ],
    ids=["mixed steps", "mixed series", "blank stamps", "no numbers", "far apart"],
)
def test_time_stamps_that_cannot_be_put_on_a_grid_are_refused_in_words(frame, word):
    with pytest.raises(InvalidData, match=word):
        open_series(frame)


def test_series_at_another_pace_than_the_fitted_ones_are_refused():
    fitted = Series().fit(long_frame(20))
    hourly = long_frame(20).assign(day=list(pd.date_range("2026-01-01", periods=20, freq="h")) * 2)
    with pytest.raises(InvalidData, match="steps of 1 hour, but the model was fitted on steps of 1 day"):
        fitted.to_rows(hourly)


def test_a_clock_survives_its_file():
    clock = Clock("month", 3.0, "text", 0, 7)
    assert Clock.from_config(json.loads(json.dumps(clock.to_config()))) == clock
    assert clock.describe() == "a quarter"


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "word"),
    [
        (np.zeros((4, 1)), InvalidData, "one step"),
        (np.full((3, 5), np.nan), InvalidData, "blank"),
        (np.array([[1.0, np.inf], [0.0, 1.0]]), InvalidData, "infinite"),
        (np.zeros((0, 4)), InvalidData, "empty"),
        ([], InvalidData, "empty"),
        ([np.zeros(3), np.zeros((3, 2))], InvalidData, "shapes"),
        ([np.zeros(3), np.zeros(0)], InvalidData, "no steps"),
        (np.zeros((2, 2, 2, 2)), InvalidData, "holds no series"),
        (np.array([["a", "b"], ["c", "d"]]), InvalidType, "give numbers"),
        (42, InvalidType, "holds no series"),
    ],
    ids=[
        "length one",
        "all gaps",
        "infinite",
        "no series",
        "no list",
        "mixed shapes",
        "no steps",
        "axes",
        "text",
        "int",
    ],
)
def test_what_holds_no_series_is_refused_in_words(data, error, word):
    with pytest.raises(error, match=word):
        Series().fit(data)


def test_series_that_do_not_fit_the_model_are_refused_in_words():
    fitted = Series().fit(waves())
    with pytest.raises(InvalidData, match=r"31 steps.*up to 30.*window=30"):
        fitted.to_rows(waves(steps=31))
    with pytest.raises(InvalidData, match="fill it up with NaN"):
        fitted.to_rows(waves(steps=29))
    with pytest.raises(InvalidData, match="2 channels"):
        fitted.to_rows(np.zeros((3, 30, 2)))
    with pytest.raises(InvalidParameter, match="'when'"):
        Series(time="when").fit(long_frame())
    with pytest.raises(InvalidParameter, match="15min"):
        Series(every="often").fit(long_frame())
    with pytest.raises(InvalidData, match="shape"):
        fitted.from_values(torch.zeros(2, 29, 1))


# --- files -------------------------------------------------------------------------------------------------------


def test_a_fitted_format_survives_its_file():
    for options, data in (
        (Series(scaling="instance"), [w[: 30 - i] for i, w in enumerate(waves())]),
        (Series(values=("x",)), long_frame()),
    ):
        fitted = options.fit(data, likelihood=likelihoods.Laplace())
        again = format_from_config(json.loads(json.dumps(fitted.to_config())))
        assert isinstance(again, SeriesFormat)
        assert again.layout == fitted.layout
        assert torch.equal(again.to_rows(data).values, fitted.to_rows(data).values)
        assert repr(again.likelihood()) == repr(fitted.likelihood())
    for damage in ({"steps": 0}, {"template": {}}, {"reach": [1]}):
        with pytest.raises(SavedModelError, match="damaged"):
            SeriesFormat.from_config({**fitted.to_config(), **damage})


# --- seasons and trends --------------------------------------------------------------------------------------------


def test_autocorrelation_by_hand():
    found = autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 2)
    np.testing.assert_allclose(found, [1, -1, 1])
    gaps = autocorrelation(np.array([1.0, -1.0, np.nan, -1.0, 1.0, -1.0, 1.0, np.nan]), 2)
    np.testing.assert_allclose(gaps[:2], [1, -1])


@pytest.mark.parametrize("season", [4, 7, 12, 24])
def test_the_season_is_found_under_trend_and_noise(season):
    random, t = np.random.default_rng(season), np.arange(20 * season)
    x = (
        np.sin(2 * np.pi * t / season)
        + 0.3 * np.cos(4 * np.pi * t / season)
        + 0.02 * t
        + 0.3 * random.normal(size=len(t))
    )
    assert find_season([x[:, None]])[0] == season


def test_no_season_is_seen_where_there_is_none():
    random = np.random.default_rng(0)
    assert find_season([random.normal(size=(300, 1))])[0] == 1
    assert find_season([random.normal(size=(300, 1)).cumsum(0)])[0] == 1
    assert find_season([np.ones((300, 1))])[0] == 1


@pytest.mark.parametrize("lags", [(), (1,), (4,), (4, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("log", [False, True])
def test_what_a_trend_takes_away_it_puts_back(lags, log):
    random = np.random.default_rng(0)
    x = np.exp(random.normal(size=(20, 2)).cumsum(0) / 5)
    trend = Trend(lags, log)
    y = trend.forward(x)
    assert len(y) == 20 - sum(lags)
    np.testing.assert_allclose(trend.integrate(y[5:], x[: 5 + sum(lags)]), x[5 + sum(lags) :], rtol=1e-9)
    both = trend.integrate(np.stack([y[5:], y[5:] + 0.1]), x[: 5 + sum(lags)])
    np.testing.assert_allclose(both[0], x[5 + sum(lags) :], rtol=1e-9)
    assert Trend.from_config(json.loads(json.dumps(trend.to_config()))) == trend


@pytest.mark.parametrize("begin", [0, 3, 7])
def test_a_piece_of_an_array_is_taken_to_begin_where_the_usual_season_fits_it(begin):
    random, t = np.random.default_rng(0), np.arange(80)
    profile = 5 * np.array([0.0, 1, 3, -2, -1, 0, 2, -3])
    whole = profile[t % 8] + 0.3 * random.normal(size=80)
    trend = Trend(profile=tuple((float(v),) for v in profile))
    fitted = Series(window=16).fit(whole, trend=trend)
    assert any("fits them best" in r for r in fitted.reasons)
    rows = fitted.to_rows(whole, known=True)
    piece = fitted.to_rows(whole[begin : begin + 16])
    first = fitted.table.to_rows((whole - profile[t % 8])[begin : begin + 16, None]).values
    torch.testing.assert_close(piece.values[0], first, rtol=0, atol=1e-6)
    torch.testing.assert_close(rows.values, fitted.to_rows(whole).values)


def test_time_stamps_say_where_in_its_season_a_series_begins():
    t = np.arange(80)
    frame = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=80), "x": np.sin(t * np.pi / 4)})
    trend = Trend(profile=tuple((float(v),) for v in np.sin(np.arange(8) * np.pi / 4)))
    fitted = Series(window=16).fit(frame, trend=trend)
    # the values would fit another step better; the clock knows
    other = frame.iloc[3:19].assign(x=frame["x"].iloc[:16].to_numpy())
    assert fitted.phases(fitted.open(other).tracks) == [3]
    assert not any("fits them best" in r for r in fitted.reasons)


def test_a_column_without_a_value_is_told_of_as_such():
    frame = long_frame().assign(empty=pd.Series([None] * 20, dtype=object), note=["a"] * 20)
    found = open_series(frame, id="who")
    assert found.channels == ("x",)
    assert any("without a single value were left out: empty" in n for n in found.notes)
    assert any("no numbers were left out: note" in n for n in found.notes)
    with pytest.raises(InvalidData, match=r"holds numbers \(x: all blank\)"):
        open_series(pa.table({"day": frame["day"].to_numpy()[:10], "x": pa.array([None] * 10, pa.string())}))
    blank = pa.table({"day": frame["day"].to_numpy()[:10], "x": pa.array([None] * 10, pa.string())})
    again = Series(window=4).fit(frame[:10].drop(columns=["who", "empty", "note"])).open(blank)
    assert np.isnan(again.tracks[0].values).all()


def test_few_long_series_are_cut_into_windows_and_many_are_rows():
    t = np.arange(400)
    long = [np.sin(t * np.pi / 10), np.cos(t * np.pi / 10)]
    fitted = Series().fit(long)
    assert (fitted.steps, fitted.stride) == (40, 10)
    assert any("few series, 2, and long" in r for r in fitted.reasons)
    assert len(fitted.to_rows(long)) == 2 * 37
    assert Series().fit([x[:128] for x in long]).stride == 0
    assert Series().fit(long * 5).stride == 0


def test_the_last_steps_are_cut_off_what_is_long_enough_with_their_times():
    frame = pd.concat([long_frame(30, "a"), long_frame(8, "b")])
    opened = open_series(frame)
    first, last = opened.cut(3)
    assert [len(t) for t in first.tracks] == [27, 8]
    assert [len(t) for t in last.tracks] == [3]
    assert str(opened.clock.stamps(last.tracks[0].start, [0])[0].as_py())[:10] == "2026-01-28"
