"""Layouts and rows: what travels between the parts."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from narrows._types import Layout, Rows


def test_a_layout_counts_its_elements() -> None:
    assert Layout(shape=(3, 8, 5)).size == 120
    assert Layout(shape=(4,)).size == 4


def test_a_table_must_say_of_every_column_whether_it_is_a_category() -> None:
    with pytest.raises(ValueError, match="2 categories for rows of shape"):
        Layout(shape=(3,), categories=(0, 2))


def test_categories_are_told_from_numbers() -> None:
    found = Layout(shape=(3,), categories=(0, 2, 5)).is_category()
    assert found is not None
    assert found.tolist() == [False, True, True]
    assert Layout(shape=(2,), categories=(0, 0)).is_category() is None
    assert Layout(shape=(2,)).is_category() is None


def test_layouts_and_rows_are_frozen() -> None:
    for thing, name in ((Layout(shape=(1,)), "shape"), (Rows(torch.zeros(1, 1)), "values")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def test_the_mask_joins_what_exists_with_what_is_observed() -> None:
    values = torch.zeros(2, 3, 2)
    observed = torch.ones(2, 3, 2, dtype=torch.bool)
    observed[0, 0, 1] = False
    rows = Rows(values, observed=observed, lengths=torch.tensor([1, 3]))
    mask = rows.mask()
    assert mask is not None
    # row 0 has one step, whose second value is blank; row 1 has all three
    assert mask.tolist() == [
        [[True, False], [False, False], [False, False]],
        [[True, True], [True, True], [True, True]],
    ]
    assert Rows(values).mask() is None
    assert Rows(values, observed=observed).mask() is observed
    only_lengths = Rows(values, lengths=torch.tensor([0, 2])).mask()
    assert only_lengths is not None
    assert only_lengths.sum(dim=(1, 2)).tolist() == [0, 4]


def test_taking_rows_takes_every_field() -> None:
    rows = Rows(
        values=torch.arange(8.0).reshape(4, 2),
        observed=torch.eye(4, 2).bool(),
        lengths=torch.tensor([1, 2, 3, 4]),
        condition=torch.arange(4.0),
        target=torch.arange(4),
        group=torch.tensor([0, 0, 1, 1]),
        weight=torch.tensor([1.0, 2.0, 3.0, 4.0]),
        place=torch.arange(8).reshape(4, 2),
    )
    assert set(rows.tensors()) == {f.name for f in dataclasses.fields(Rows)}
    some = rows.take(torch.tensor([3, 1]))
    assert len(some) == 2
    for name, tensor in some.tensors().items():
        assert torch.equal(tensor, getattr(rows, name)[[3, 1]])
    assert len(rows.take(slice(1, None))) == 3


def test_replacing_a_field_leaves_the_original() -> None:
    rows = Rows(torch.zeros(2, 2))
    changed = rows.replace(weight=torch.ones(2))
    assert rows.weight is None
    assert changed.values is rows.values
    assert list(rows.tensors()) == ["values"]


def test_moving_rows_moves_every_field() -> None:
    rows = Rows(torch.zeros(2, 2), weight=torch.ones(2)).to(torch.float64)
    assert rows.values.dtype == rows.weight.dtype == torch.float64  # type: ignore[union-attr]
    assert Rows(torch.zeros(2, 2), observed=torch.ones(2, 2, dtype=torch.bool)).to("cpu").observed is not None
