"""Figures: what is on them, read back from the figure."""

from __future__ import annotations

import datetime
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows import plots
from narrows.errors import InvalidData
from narrows.plots._columns import columns_of
from narrows.plots._style import evenly, number, short, some
from narrows.plots.images import _bytes, _mosaic, _range
from narrows.plots.tables import _fit, _right, _tick
from narrows.training.history import History


def history(n: int = 12, **more: list[float]) -> History:
    loss = [100.0 / (e + 1) for e in range(n)]
    rows = [{"epoch": e + 1, "step": 10 * (e + 1), "loss": loss[e], "reconstruction": loss[e]} for e in range(n)]
    for name, values in more.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return History(rows=rows, best_epoch=n - 2 if n > 2 else n, stopped="all epochs were trained")


def texts(figure) -> str:
    """Everything that is written on a figure."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    return "\n".join(t.get_text() for t in figure.findobj(Text))


def overlapping(axes) -> list[tuple[str, str]]:
    """Tick labels of one axis that lie on each other."""
    axes.get_figure(root=True).draw_without_rendering()
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        boxes = [(t.get_text(), t.get_window_extent()) for t in axis.get_ticklabels() if t.get_text()]
        for i, (a, first) in enumerate(boxes):
            found += [(a, b) for b, second in boxes[i + 1 :] if first.overlaps(second)]
    return found


# --- importing -----------------------------------------------------------------------------------------------


def test_plots_are_imported_without_matplotlib_and_torch():
    code = "import sys, narrows.plots; print([m for m in ('matplotlib', 'torch', 'sklearn') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_no_global_state_of_pyplot():
    code = (
        "import sys, numpy as np; from narrows import plots; f = plots.code_map(np.eye(5));"
        "f.savefig(sys.argv[1]); print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code, "/dev/null"], capture_output=True, text=True)
    assert "True" not in out.stdout


# --- loss ----------------------------------------------------------------------------------------------------


def test_loss_curve_draws_the_columns_and_marks_the_kept_epoch():
    h = history(12, validation_loss=[110.0 / (e + 1) for e in range(12)])
    figure = plots.loss_curve(h)
    (axes,) = figure.axes
    by_name = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_allclose(by_name["training"].get_ydata(), h["loss"])
    np.testing.assert_allclose(by_name["validation"].get_ydata(), h["validation_loss"])
    assert by_name["kept: epoch 10"].get_xdata()[0] == 10


@pytest.mark.parametrize(("unit", "said"), [("nats per row", "loss (nats per row)"), ("", "loss")])
def test_losses_are_told_in_their_unit(unit, said):
    h = history(5)
    h.unit = unit
    again = History.from_config(h.to_config())
    assert plots.loss_curve(again).axes[0].get_ylabel() == said


def test_further_terms_have_their_own_panel():
    figure = plots.loss_curve(history(12, kl=[float(e) for e in range(12)], active_units=[3.0] * 12))
    assert len(figure.axes) == 2
    assert [line.get_label() for line in figure.axes[1].get_lines()][:1] == ["kl"]
    assert "active_units" not in texts(figure)


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1000.0 / 10**e for e in range(5)], "log"), ([5.0, 4, 3, 2, 1], "linear"), ([10.0, 1, -1, -2, -3], "linear")],
)
def test_the_scale_is_logarithmic_only_where_that_makes_sense(losses, scale):
    h = history(5, loss=losses)
    assert plots.loss_curve(h).axes[0].get_yscale() == scale


def test_a_huge_beginning_is_cut_off_and_said():
    h = history(40, loss=[900.0, 500.0] + [-10 - 0.1 * e for e in range(38)])
    figure = plots.loss_curve(h)
    assert "began at 900" in texts(figure)
    low, high = figure.axes[0].get_ylim()
    assert high < 0
    assert low < -13.7


def test_loss_of_one_epoch_and_of_none_and_of_nothing_finite():
    assert plots.loss_curve(history(1)).axes[0].get_lines()[0].get_marker() == "o"
    with pytest.raises(InvalidData, match="no epoch was trained"):
        plots.loss_curve(History())
    assert "not a finite number" in texts(plots.loss_curve(history(3, loss=[np.nan] * 3)))


# --- images --------------------------------------------------------------------------------------------------


def test_pairs_show_originals_above_reconstructions():
    originals = np.linspace(0, 1, 30 * 64).reshape(30, 8, 8)
    figure = plots.image_pairs(originals, 1 - originals, n=20)
    assert len(figure.axes) == 2
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    first = np.round(originals[0] * 255).astype(int)
    np.testing.assert_array_equal(sheet[:8, :8, 0], first)
    below = sheet[9:17, :8, 0].astype(int)
    np.testing.assert_allclose(below, 255 - first, atol=1)
    assert "20 of 30 images" in texts(figure)


def test_both_of_a_pair_share_one_scale():
    """A reconstruction of half the brightness must look darker, not be stretched to full range."""
    originals = np.ones((1, 4, 4)) * np.linspace(0, 10, 4)
    figure = plots.image_pairs(originals, originals / 2)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    assert sheet[0, 3, 0] == 255
    assert abs(int(sheet[5, 3, 0]) - 128) <= 1


def test_eight_bit_images_are_shown_as_they_are():
    dark = np.full((2, 3, 3), 10, np.uint8)
    assert _bytes(dark, *_range(dark))[0, 0, 0].tolist() == [10, 10, 10]


def test_blank_pixels_are_neither_black_nor_white():
    image = np.array([[[0.0, np.nan], [1.0, 0.5]]])
    shown = _bytes(image, *_range(image))
    assert len({tuple(v) for v in shown.reshape(-1, 3).tolist()}) == 4
    assert shown[0, 0, 1].tolist() == [205, 225, 245]


def test_transparent_pixels_are_white():
    image = np.zeros((1, 2, 2, 4), np.uint8)
    assert (_bytes(image, 0, 255) == 255).all()


def test_mosaic_keeps_every_image_whole():
    images = np.arange(5, dtype=np.uint8).repeat(48).reshape(5, 4, 4, 3)
    sheet = _mosaic([images[:3], images[3:]], 3)
    assert sheet.shape == (2 * 5 - 1, 3 * 5 - 1, 3)
    assert (sheet[5:9, 5:9] == 4).all()
    assert (sheet[5:, 10:] == 255).all()


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), np.zeros((0, 4, 4)), np.array([["a"]]), np.zeros((2, 3, 3, 7))])
def test_what_is_no_image_is_refused(bad):
    with pytest.raises(InvalidData, match="no set of images"):
        plots.image_sheet(bad)


def test_pairs_of_two_shapes_are_refused():
    with pytest.raises(InvalidData, match="no pairs"):
        plots.image_pairs(np.zeros((2, 4, 4)), np.zeros((2, 5, 4)))


# --- tables --------------------------------------------------------------------------------------------------


def table(n: int = 200, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pa.table(
        {
            "height in centimetres, measured twice": 170 + 10 * x,
            "price ($)": np.exp(10 + x),
            "colour": [["red", "green", None][i % 3] for i in range(n)],
            "yes": x > 0,
            "constant": np.ones(n),
            "blank": pa.array([None] * n, pa.float64()),
            "day": [datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(n)],
        }
    )


def test_columns_become_plain_numbers_and_words():
    days = [datetime.date(1970, 1, 2), None]
    got = columns_of(pa.table({"a": [1, None], "b": [True, None], "c": ["x", None], "d": days}))
    np.testing.assert_array_equal(got["a"], [1, np.nan])
    assert got["b"].tolist() == ["True", None]
    assert got["c"].tolist() == ["x", None]
    np.testing.assert_array_equal(got["d"], [86400, np.nan])


def test_pairs_of_columns_by_pandas_polars_and_arrays():
    import polars as pl

    arrow = table(60)
    for same in (arrow, arrow.to_pandas(), pl.from_arrow(arrow), np.random.default_rng(0).normal(size=(60, 3))):
        words = texts(plots.column_pairs(same, same))
        assert "R² 1.00" in words
    assert "100.0 %" in texts(plots.column_pairs(arrow, arrow))


def test_r2_and_share_right_by_hand():
    assert _fit(np.array([0.0, 2.0, np.nan]), np.array([1.0, 1.0, 5.0])) == 0
    assert _fit(np.array([0.0, 2.0]), np.array([0.0, 2.0])) == 1
    assert _fit(np.array([3.0, 3.0]), np.array([3.0, 3.0])) is None
    before, after = np.array(["a", "a", "b", None], object), np.array(["a", "b", "b", "a"], object)
    assert _right(before, after) == pytest.approx((2 / 3, 2 / 3))


def test_of_many_columns_best_and_worst_are_shown():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40))
    noisy = x + rng.normal(size=x.shape) * np.linspace(0, 3, 40)
    figure = plots.column_pairs(x, noisy)
    words = texts(figure)
    assert "12 of 40 number columns, from best to worst" in words
    assert "column 0\n" in words + "\n"
    fits = {j: _fit(x[:, j], noisy[:, j]) for j in range(40)}
    assert f"column {min(fits, key=fits.get)}" in words


def test_no_labels_overlap_and_long_names_are_shortened():
    t = table()
    figure = plots.column_pairs(t, t)
    assert "measured twice" not in texts(figure)
    assert "…" in texts(figure)
    for axes in figure.axes:
        assert overlapping(axes) == []
    for axes in plots.column_histograms(t, t).axes:
        assert overlapping(axes) == []


def test_long_names_stay_on_the_figure():
    x = np.random.default_rng(0).normal(size=(50, 12))
    wide = pa.table({f"reading of the sensor with a very long name {j}": x[:, j] for j in range(12)})
    for figure in (plots.column_pairs(wide, wide), plots.column_histograms(wide, wide)):
        figure.draw_without_rendering()
        for axes in figure.findobj(lambda a: hasattr(a, "_left_title")):
            assert axes._left_title.get_window_extent().x1 <= figure.bbox.x1


def test_histograms_count_what_is_there():
    real = pa.table({"k": ["a"] * 30 + ["b"] * 10, "v": [1, 2, 2, 3] * 10})
    made = pa.table({"k": ["a"] * 10 + ["b"] * 10, "v": [1.0, 2, 3, 9] * 5})
    figure = plots.column_histograms(made, real)
    bars = [p.get_width() for p in figure.axes[0].patches]
    assert bars == pytest.approx([0.75, 0.25, 0.5, 0.5])
    assert "sampled" in texts(figure)


def test_tables_that_do_not_go_together_are_refused():
    with pytest.raises(InvalidData, match="same columns: b"):
        plots.column_pairs(pa.table({"a": [1.0]}), pa.table({"a": [1.0], "b": [1.0]}))
    with pytest.raises(InvalidData, match="rows"):
        plots.column_pairs(pa.table({"a": [1.0, 2]}), pa.table({"a": [1.0]}))
    with pytest.raises(InvalidData, match="nothing can be compared"):
        plots.column_pairs(pa.table({"a": [1.0, 1.0]}), pa.table({"a": [1.0, 1.0]}))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=32), st.integers(-5, 5)),
        min_size=2,
        max_size=30,
    )
)
def test_any_column_can_be_drawn_or_is_refused_in_words(values):
    t = pa.table({"a": pa.array([None if v is None else float(v) for v in values]), "b": [str(v) for v in values]})
    plots.samples(t, t).draw_without_rendering()
    plots.reconstructions(t, t).draw_without_rendering()


# --- code map ------------------------------------------------------------------------------------------------


def test_two_numbers_are_drawn_as_they_are():
    codes = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 1.0]])
    figure = plots.code_map(codes)
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert sorted(map(tuple, points.tolist())) == sorted(map(tuple, codes.tolist()))
    assert "two numbers as they are" in texts(figure)


def test_more_numbers_are_mapped_by_pca_and_the_share_is_said():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, 5)) * [3, 2, 0.1, 0.1, 0.1]
    words = texts(plots.code_map(codes))
    share = codes.var(axis=0)[:2].sum() / codes.var(axis=0).sum()
    assert "first two principal components of 5 code numbers" in words
    assert f"{100 * share:.0f} %" in words


def test_classes_numbers_and_density_colour_differently():
    codes = np.random.default_rng(0).normal(size=(60, 3))
    classes = np.array(["cat", "dog", None] * 20, dtype=object)
    words = texts(plots.code_map(codes, classes, name="animal"))
    assert all(w in words for w in ("animal", "cat", "dog", "blank"))
    assert "age" in texts(plots.code_map(codes, np.linspace(20, 80, 60), name="age"))
    assert "rows nearby" in texts(plots.code_map(codes))
    many = texts(plots.code_map(np.tile(codes, (4, 1)), np.array([f"k{i % 30}" for i in range(240)])))
    assert "20 others" in many


def test_as_many_colours_as_codes():
    with pytest.raises(InvalidData, match="as many colours"):
        plots.code_map(np.zeros((3, 2)), [1, 2])


@pytest.mark.parametrize("codes", [np.zeros((4, 3)), np.ones((1, 2)), np.arange(5.0)[:, None]])
def test_odd_codes_are_drawn(codes):
    plots.code_map(codes).draw_without_rendering()


# --- small ---------------------------------------------------------------------------------------------------


def test_small_helpers():
    assert short("a" * 40, 10) == "aaaaaa…aaa"
    assert short("price $") == "price \\$"
    assert number(0.01234) == "0.0123"
    assert number(12345) == "12,345"
    assert number(float("nan")) == "–"
    assert [_tick(v) for v in (0, 1.5, 20000, 3e6, -2)] == ["0", "1.5", "20k", "3M", "−2"]
    assert evenly(3, 10).tolist() == [0, 4, 9]
    assert evenly(5, 2).tolist() == [0, 1]
    assert some(5, 3).tolist() == [0, 1, 2]
    assert len(some(5, 100)) == 5


# --- what a new user's odd columns look like -------------------------------------------------------------------


def test_times_are_labelled_as_times_and_large_numbers_apart():
    n = 60
    start = datetime.datetime(2020, 1, 1)
    table = pa.table(
        {
            "day": [(start + datetime.timedelta(days=9 * i)).date() for i in range(n)],
            "when": [start + datetime.timedelta(minutes=7 * i) for i in range(n)],
            "clock": [(start + datetime.timedelta(minutes=20 * i)).time() for i in range(n)],
            "big": [10**12 + i for i in range(n)],
        }
    )
    for figure in (plots.reconstructions(table, table), plots.samples(table, table)):
        said = texts(figure)
        assert "2020-" in said
        assert ":00" in said
        assert "+1e12" in said
        assert "G" not in said
        assert not any(overlapping(axes) for axes in figure.findobj(type(figure.axes[0])) if axes.get_visible())


def test_constants_and_identifiers_are_not_drawn():
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b"], 40).tolist()
    real = pa.table({"kind": kinds, "same": ["x"] * 40, "id": [f"u{i}" for i in range(40)]})
    made = pa.table({"kind": kinds[::-1], "same": ["x"] * 40, "id": ["other"] * 40})
    for figure in (plots.reconstructions(real, made), plots.samples(made, real)):
        said = texts(figure).split("\n")
        assert "kind" in said
        assert not {"same", "id"} & set(said)


def test_samples_outside_the_real_rows_do_not_pile_up_at_the_edge():
    real = np.linspace(0, 1, 200)[:, None]
    made = np.linspace(-0.4, 1.4, 900)[:, None]
    (axes, *_) = plots.samples(made, real).axes
    low, high = axes.get_xlim()
    assert low < -0.35
    assert high > 1.35


def test_series_are_drawn_as_curves():
    random = np.random.default_rng(0)
    series = [random.normal(size=(20 + i, 2)) for i in range(12)]
    series[0][3:5] = np.nan
    pairs = plots.series_pairs(series, series, channels=["load", "temperature"])
    shown = [axes.get_title(loc="left") for axes in pairs.axes if axes.get_visible()]
    assert shown[0] == "series 0, load"
    assert len(shown) == 8
    sheet = plots.series_sheet(series[:6], series)
    assert [a.get_title(loc="left") for a in sheet.axes if a.get_visible()] == ["real"] * 4 + ["made up"] * 4
    low, high = np.zeros(5), np.ones(5)
    fan = plots.forecast_fan(np.arange(30.0), low + 0.5, low, high, {"naive": low})
    assert [line.get_label() for line in fan.axes[0].lines] == ["so far", "forecast", "naive"]
    with pytest.raises(InvalidData, match="same shapes"):
        plots.series_pairs(series, series[1:])
    with pytest.raises(InvalidData, match="no series"):
        plots.series_sheet([])
    with pytest.raises(InvalidData, match="one series"):
        plots.forecast_fan(np.zeros((3, 2)), low, low, high)
