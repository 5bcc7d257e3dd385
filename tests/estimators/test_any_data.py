"""Random tables and random images, and every kind of bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import narrows
from narrows import Training
from narrows.errors import DataWarning, InvalidData, NarrowsError, NarrowsWarning

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
numbers = st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, np.nan, 1e-300])


def quick(kind=narrows.Autoencoder, **params):
    return kind(1, training=Training(epochs=1, batch_size=16), random_state=0, **params)


@st.composite
def frames(draw):
    n = draw(st.integers(2, 25))
    columns = {}
    for i in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["number", "integer", "boolean", "text", "date", "constant"]))
        cells = {
            "number": st.lists(numbers, min_size=n, max_size=n),
            "integer": st.lists(st.integers(-(2**40), 2**40), min_size=n, max_size=n),
            "boolean": st.lists(st.booleans() | st.none(), min_size=n, max_size=n),
            "text": st.lists(st.sampled_from(["a", "b", "", "ü", None]), min_size=n, max_size=n),
            "date": st.lists(
                st.datetimes(pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01")), min_size=n, max_size=n
            ),
            "constant": st.just([7.5] * n),
        }[kind]
        columns[f"{kind} {i}"] = draw(cells)
    return pd.DataFrame(columns)


@given(frames())
@QUICK
def test_any_table_is_learnt_or_refused_in_words(frame):
    """Whatever the table: codes and scores are finite, the reconstruction has its shape and types and no new blanks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NarrowsWarning)
        if frame.isna().to_numpy().all():
            with pytest.raises(InvalidData, match="blank"):
                quick().fit(frame)
            return
        model = quick().fit(frame)
        assert np.isfinite(model.transform(frame)).all()
        assert np.isfinite(model.score_samples(frame)).all()
        back = model.reconstruct(frame)
    assert list(back.columns) == list(frame.columns)
    assert back.shape == frame.shape
    for name in frame.columns:
        if frame[name].notna().any():
            assert back[name].notna().all(), name


images = hnp.arrays(
    st.sampled_from([np.uint8, np.float32, np.bool_]),
    st.tuples(st.integers(2, 6), st.integers(1, 9), st.integers(1, 9))
    | st.tuples(st.integers(2, 6), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
    elements={"min_value": 0, "max_value": 1},
)


@given(images)
@QUICK
def test_any_images_are_learnt(pixels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NarrowsWarning)
        model = quick().fit(pixels)
        back = model.reconstruct(pixels)
    assert back.shape == pixels.shape
    assert back.dtype == pixels.dtype
    assert np.isfinite(model.transform(pixels)).all()


def small(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.integers(0, 9, n), "c": rng.choice(["x", "y"], n)})


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_frames_of_every_kind_come_back_as_they_came(convert):
    frame = convert(small())
    model = quick().fit(frame)
    assert type(model.reconstruct(frame)) is type(frame)
    assert type(model.sample(3)) is type(frame)


def test_the_index_of_a_frame_is_kept():
    frame = small().set_index(np.arange(100, 140))
    assert list(quick().fit(frame).reconstruct(frame).index) == list(frame.index)


def test_columns_are_matched_by_name():
    model = quick().fit(small())
    assert np.array_equal(model.transform(small()), model.transform(small()[["c", "a", "b"]]))


def test_blanks_are_filled_and_integers_stay_integers():
    frame = small()
    frame.loc[::3, "a"] = np.nan
    frame.loc[::4, "c"] = None
    back = quick().fit(frame).reconstruct(frame)
    assert not back.isna().any().any()
    assert back["b"].dtype == frame["b"].dtype
    assert back["b"].between(0, 8).all()
    assert set(back["c"]) <= {"x", "y"}


def test_blanks_carry_no_gradient_and_no_value():
    """What stands in a blank cell cannot matter: a model trained on other numbers there is the same model."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[:20, 1] = np.nan
    model = quick().fit(X)
    rows = model.format_.to_rows(X)
    assert (rows.values[:20, 1] == 0).all()
    assert not rows.observed[:20, 1].any()
    assert np.isfinite(model.history_["loss"]).all()


def test_a_first_blank_in_use_does_not_throw_the_others_off():
    """Nothing was blank in training; blanking a column in use costs what that column knew, and no more."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    frame = pd.DataFrame({"a": a, "a again": a, "b": b, "b again": b, "kind": rng.choice(["x", "y"], 400)})
    model = narrows.Autoencoder(3, training=Training(epochs=60), random_state=0).fit(frame)

    def error(shown):
        return ((model.reconstruct(shown)[["b", "b again"]] - frame[["b", "b again"]]) ** 2).mean().max()

    assert error(frame) < 0.02
    assert error(frame.assign(a=np.nan)) < 0.3
    assert error(frame.assign(kind=None)) < 0.3


def test_identifiers_are_pooled_without_a_warning():
    frame = small(200).assign(key=[f"id{i}" for i in range(200)])
    model = quick().fit(frame)
    assert np.isfinite(model.transform(frame.assign(key="never seen"))).all()
    assert np.isfinite(model.transform(model.reconstruct(frame))).all()


def test_unseen_categories_warn_with_the_count():
    model = quick().fit(small())
    new = small().assign(c=["z"] * 3 + ["x"] * 37)
    with pytest.warns(DataWarning, match=r"3"):
        codes = model.transform(new)
    assert np.isfinite(codes).all()


BAD = {
    "no rows": (small().iloc[:0], "0 sample"),
    "no columns": (pd.DataFrame(index=range(5)), "0 feature"),
    "one row": (small(1), "one sample"),
    "all blank": (pd.DataFrame({"a": [np.nan] * 9, "b": [None] * 9}), "blank"),
    "infinite": (pd.DataFrame({"a": [1.0, np.inf, 2.0]}), "infinity"),
    "one dimension": (np.zeros(5), "1D array"),
    "complex": (np.zeros((5, 2), complex), "Complex"),
    "five dimensions": (np.zeros((2, 2, 2, 2, 2)), "shape"),
    "no images": (np.zeros((0, 8, 8)), "no |0 "),
    "seven channels": (np.zeros((5, 8, 8, 7)), "channel"),
    "a number": (3, "array|DataFrame"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_to_fit(name):
    data, words = BAD[name]
    model = quick()
    with pytest.raises(NarrowsError, match=words) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model.fit(data)
    assert isinstance(caught.value, (ValueError, TypeError))
    assert "\n\n" not in str(caught.value)
    assert not hasattr(model, "module_")


def test_bad_input_to_transform():
    model = quick().fit(small())
    with pytest.raises(InvalidData) as caught:
        model.transform(small().rename(columns={"b": "newcomer"}))
    assert "newcomer" in str(caught.value)
    assert "missing:\n- b" in str(caught.value)
    with pytest.raises(InvalidData, match="a"):
        model.transform(small().assign(a="text"))
    with pytest.raises(InvalidData, match="features"):
        quick().fit(np.random.default_rng(0).normal(size=(30, 4))).transform(np.zeros((3, 5)))


def test_constant_data_is_reconstructed():
    X = np.full((60, 3), 7.0)
    model = quick().fit(X)
    assert np.array_equal(model.reconstruct(X), X)
    assert np.isfinite(model.score_samples(X)).all()
