"""The language of conditions: what it means, what it refuses, and that nothing of it is ever executed."""

from __future__ import annotations

import contextlib
import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.where import check, parse
from narrows.errors import InvalidParameter

TABLE = pa.table(
    {
        "age": pa.array([25, 41, 60, None]),
        "sex": pa.array(["Female", "Male", "Female", None]).dictionary_encode(),
        "net worth": [1.5, -2.0, float("nan"), 0.0],
        "member": [True, False, True, None],
        "joined": pa.array([datetime.date(2020, 1, 1), datetime.date(2021, 6, 1), datetime.date(2022, 1, 1), None]),
        "it's": ["a", "O'Brien", 'say "hi"', "b"],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("age = 41", [1]),
        ("age == 41", [1]),
        ("age != 41", [0, 2]),
        ("age <> 41", [0, 2]),
        ("age < 41", [0]),
        ("age <= 41.0", [0, 1]),
        ("age > 40.5", [1, 2]),
        ("age>=41", [1, 2]),
        ("age BETWEEN 25 AND 41 AND sex='Male'", [1]),
        ("age NOT BETWEEN 26 AND 50", [0, 2]),
        ("sex IN ('Male', 'Other')", [1]),
        ("sex NOT IN ('Male')", [0, 2]),
        ("sex IS NULL", [3]),
        ("age is not null", [0, 1, 2]),
        ('"net worth" > -1e3', [0, 1, 3]),
        ('"net worth" IS NULL', [2]),
        ("`net worth` < 0", [1]),
        ("member = TRUE", [0, 2]),
        ("NOT member = true", [1]),
        ("joined >= '2021-06-01'", [1, 2]),
        ("\"it's\" = 'O''Brien'", [1]),
        ("age > 50 OR age < 30 AND sex = 'Male'", [2]),
        ("(age > 50 OR age < 30) AND sex = 'Female'", [0, 2]),
        ("not (age > 50 or sex = 'Male')", [0]),
        ("NOT age IS NULL AND NOT NOT sex = 'Male'", [1]),
    ],
)
def test_rows_that_meet_a_condition(text, rows):
    assert np.flatnonzero(parse(text).mask(TABLE)).tolist() == rows


def test_a_blank_meets_neither_a_condition_nor_its_opposite():
    for text in ("age > 30", "NOT age > 30", "sex = 'Male'", "NOT (sex = 'Male' AND age > 0)", "age NOT IN (1, 2)"):
        assert not parse(text).mask(TABLE)[3], text


@pytest.mark.parametrize(
    "text",
    [
        "", "age", "age >", "age > 40 AND", "age = 40; DROP TABLE data", "1 = 1", "age = 40 -- x", "age = (SELECT 1)",
        "age = 40 UNION SELECT 1", "sex = Male", "sex = 'Male", "age IN ()", "age IN (1", "age NOT 3", "read_csv('x')",
        "age IS 3", "(age = 1", "age = 1)", "age BETWEEN 1 OR 2", "age = 1 /* x */", "age + 1 = 2", "__import__('os')",
    ],
)  # fmt: skip
def test_what_is_not_in_the_language_is_refused(text):
    with pytest.raises(InvalidParameter, match="where"):
        parse(text).mask(TABLE)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidParameter):
        parse(text)


@given(st.text(max_size=20))
def test_quoted_text_is_taken_as_it_is(text):
    table = pa.table({"x": [text, text + "."]})
    quoted = text.replace("'", "''")
    assert parse(f"x = '{quoted}'").mask(table).tolist() == [True, False]


def test_deep_nesting_is_refused_rather_than_exhausting_the_stack():
    with pytest.raises(InvalidParameter, match="inside each other"):
        parse("(" * 5000 + "age = 1" + ")" * 5000)


class TestChecks:
    kinds = dict(zip(TABLE.column_names, TABLE.schema.types, strict=True))

    def test_an_unknown_column_names_the_nearest(self):
        with pytest.raises(InvalidParameter, match="no column 'aeg'; the nearest are: 'age'"):
            check(parse("aeg > 3"), self.kinds, {})

    def test_an_unknown_category_names_those_that_exist(self):
        with pytest.raises(InvalidParameter, match=r"never holds 'female'; its values are: 'Female', 'Male'"):
            check(parse("sex IN ('female')"), self.kinds, {"sex": ["Male", "Female"]})

    @pytest.mark.parametrize("text", ["age = 'old'", "joined > 2020", "joined > 'soon'", "member = 'maybe'", "sex > 3"])
    def test_a_value_that_the_column_cannot_hold(self, text):
        with pytest.raises(InvalidParameter, match="holds"):
            check(parse(text), self.kinds, {})
