"""Rows as continuous vectors: there and back."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows._types import Layout, Rows
from narrows.models import ContinuousModule


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=6))
    blanks = tuple(draw(st.booleans()) for _ in kinds)
    n = draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    columns = [
        torch.randn(n, generator=generator) if k == 0 else torch.randint(k, (n,), generator=generator) for k in kinds
    ]
    observed = (torch.rand(n, len(kinds), generator=generator) < 0.6) | ~torch.tensor(blanks)
    values = torch.where(observed, torch.stack([c.float() for c in columns], 1), 0)
    layout = Layout((len(kinds),), categories=tuple(kinds) if any(kinds) else None, blanks=blanks)
    return layout, Rows(values, None if observed.all() else observed)


def same(found: torch.Tensor, rows: Rows) -> None:
    wanted = rows.values if rows.observed is None else torch.where(rows.observed, rows.values, torch.nan)
    torch.testing.assert_close(found, wanted, equal_nan=True, rtol=1e-5, atol=1e-5)


@given(tables())
def test_tables_come_back_with_their_blanks(made):
    layout, rows = made
    module = ContinuousModule(layout)
    features = module(rows)
    assert features.shape == (len(rows), *module.shape)
    assert features.isfinite().all()
    same(module.inverse(features), rows)


@given(tables(), st.integers(0, 99))
def test_what_a_network_makes_has_the_form_of_rows(made, seed):
    layout, rows = made
    module = ContinuousModule(layout)
    free = 2 * torch.randn(len(rows), *module.shape, generator=torch.Generator().manual_seed(seed))
    shaped = module.shaped(free)
    values = module.inverse(shaped)
    blank = values.isnan()
    again = module(Rows(values.nan_to_num(0), None if not blank.any() else ~blank))
    # the features of these values are these features: one-hot, flags of 0 and 1, nothing where blank
    torch.testing.assert_close(again, shaped, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 3), st.integers(1, 5), st.booleans(), st.floats(0.5, 300))
def test_images_come_back(channels, side, blanks, high):
    layout = Layout((channels, side, side + 1), high=(high,), blanks=(blanks,))
    generator = torch.Generator().manual_seed(side)
    values = high * torch.rand(4, *layout.shape, generator=generator)
    observed = torch.rand(values.shape, generator=generator) < 0.7 if blanks else None
    rows = Rows(values if observed is None else torch.where(observed, values, 0), observed)
    module = ContinuousModule(layout)
    features = module(rows)
    assert features.shape == (4, channels * (1 + blanks), side, side + 1)
    assert features.abs().max() <= 1
    wanted = rows.values if observed is None else torch.where(observed, rows.values, torch.nan)
    torch.testing.assert_close(module.inverse(features), wanted, equal_nan=True, rtol=1e-4, atol=1e-5 * high)


def test_by_hand_and_gradients_pass():
    module = ContinuousModule(Layout((2,), categories=(0, 3), blanks=(True, False)))
    assert module(Rows(torch.tensor([[0.5, 2.0]]))).tolist() == [[0.5, 0, 0, 1, 0]]
    blank = Rows(torch.tensor([[0.0, 1.0]]), torch.tensor([[False, True]]))
    assert module(blank).tolist() == [[0, 0, 1, 0, 1]]
    free = torch.tensor([[0.5, 0.1, 3.0, -1.0, -2.0]], requires_grad=True)
    shaped = module.shaped(free)
    assert shaped.tolist() == [[0.5, 0, 1, 0, 0]]
    (shaped * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()
    assert (free.grad != 0).all()
