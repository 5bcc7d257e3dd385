"""What every corruption promises. A new one joins by being listed in PARTS."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import vmap

from narrows import corruptions
from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.corruptions import Binarise, Chain, Corruption, Gaps, Gaussian, Masking, RowSwap, SaltAndPepper, Warp

PARTS = [
    Gaussian(scale=0.5),
    Masking(fraction=0.3),
    Gaps(longest=0.5),
    SaltAndPepper(fraction=0.3),
    RowSwap(fraction=0.3),
    Binarise(),
    Chain((Gaussian(0.1), RowSwap(0.2), SaltAndPepper(0.2), Masking(0.2))),
    Chain(),
    Warp(scale=0.1),
]
parts = pytest.mark.parametrize("part", PARTS, ids=repr)

TABLE = Layout(
    shape=(4,), categories=(0, 3, 0, 2), low=(-2.0, 0.0, 0.0, 0.0), high=(2.0, 2.0, 9.0, 1.0), blanks=(True,)
)
IMAGE = Layout(shape=(2, 5, 7))


def table(n=50, blanks=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(n, 4, generator=generator)
    low, high, k = torch.tensor(TABLE.low), torch.tensor(TABLE.high), torch.tensor(TABLE.categories)
    values = torch.where(k > 0, (u * k).floor(), low + u * (high - low))
    if blanks is None:
        return Rows(values)
    observed = torch.rand(n, 4, generator=generator) >= blanks
    return Rows(values * observed, observed)


def image(n=6):
    return Rows(torch.rand(n, *IMAGE.shape, generator=torch.Generator().manual_seed(0)))


def copied(rows):
    return rows.map(torch.clone)


def equal(a, b):
    a, b = a.tensors(), b.tensors()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_every_corruption_is_listed():
    room = {c for c in vars(corruptions).values() if isinstance(c, type) and issubclass(c, Corruption)}
    # slips of the pen change how long texts are, which no other corruption may: they are tested with the texts
    assert room - {Corruption, corruptions.Slips} == {type(part) for part in PARTS}


@parts
@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 20), blanks=st.sampled_from([None, 0.0, 0.3, 1.0]), seed=st.integers(0, 2**31))
def test_blanks_stay_blank_and_categories_valid(part, n, blanks, seed):
    torch.manual_seed(seed)
    rows = table(n, blanks, seed)
    result = part(rows, TABLE)
    assert result.values.shape == rows.values.shape
    assert result.values.isfinite().all()
    if rows.observed is not None:
        assert not (result.observed & ~rows.observed).any()
    if result.observed is not None:
        assert (result.values[~result.observed] == 0).all()
    elif not part.masks:
        assert rows.observed is None
    for column, k in enumerate(TABLE.categories):
        if k:
            assert set(result.values[:, column].tolist()) <= set(range(k))


@parts
def test_the_rows_given_do_not_change(part):
    for rows, layout in [(table(), TABLE), (image(), IMAGE)]:
        before = copied(rows)
        part(rows, layout)
        assert equal(rows, before)


@parts
def test_same_seed_same_damage(part):
    for rows, layout in [(table(), TABLE), (image(), IMAGE)]:
        torch.manual_seed(3)
        first = part(rows, layout)
        torch.manual_seed(3)
        assert equal(first, part(rows, layout))
        if part != Chain() and not (isinstance(part, Warp) and layout is TABLE):
            assert not equal(first, part(rows, layout))


@parts
def test_other_fields_are_kept(part):
    n = 6
    rows = image(n).replace(
        weight=torch.arange(n), target=torch.ones(n, 2), group=torch.zeros(n), condition=torch.full((n, 3), 2.0)
    )
    result = part(rows, IMAGE)
    for name in ("weight", "target", "group", "condition"):
        assert torch.equal(getattr(result, name), getattr(rows, name))


@parts
def test_steps_beyond_the_end_stay_zero(part):
    layout = Layout(shape=(8, 2), low=(5.0,), high=(6.0,))
    lengths = torch.tensor([8, 3, 1, 0])
    exists = (torch.arange(8) < lengths[:, None])[..., None].expand(4, 8, 2)
    rows = Rows(5.5 * exists, lengths=lengths)
    result = part(rows, layout)
    assert (result.values[~exists] == 0).all()
    assert torch.equal(result.lengths, lengths)
    if not part.masks:
        assert result.observed is None
        assert (result.values[exists] != 0).all()


@parts
def test_masks_says_whether_cells_may_be_blanked(part):
    rows = table(500, blanks=None)
    blanked = part(rows, TABLE).observed
    assert (blanked is not None and not blanked.all()) == part.masks


@parts
def test_works_under_vmap(part):
    rows = image()
    stacked = torch.stack([rows.values] * 3)
    torch.manual_seed(0)
    result = vmap(lambda v: part(Rows(v), IMAGE).values, randomness="different")(stacked)
    assert result.shape == stacked.shape
    if part != Chain():
        assert not torch.equal(result[0], result[1])

    tables = torch.stack([table().values] * 3)
    masks = torch.stack([table().observed] * 3)
    result = vmap(lambda v, m: part(Rows(v, m), TABLE).values, randomness="different")(tables, masks)
    assert (result[~masks] == 0).all()


@parts
def test_precision_is_kept(part):
    assert part(image().map(torch.Tensor.double), IMAGE).values.dtype == torch.float64


@parts
def test_plain_json_and_repr_round_trip(part):
    assert Part.from_config(part.to_config()) == part
    assert eval(repr(part), {"corruptions": corruptions}) == part


@parts
def test_no_damage_at_strength_zero(part):
    if isinstance(part, (Binarise, Chain)):  # black and white are drawn as they are, which a test of its own shows
        part = Chain()
    else:
        (name,) = part.get_params()
        part = part.set_params(**{name: 0.0})
    for rows, layout in [(table(), TABLE), (image(), IMAGE)]:
        result = part(rows, layout)
        assert torch.equal(result.values, rows.values)
        assert result.observed is None or bool(result.observed.all()) or torch.equal(result.observed, rows.observed)


@parts
def test_the_encoder_sees_the_damage_and_the_judge_the_whole_row_or_the_same(part):
    torch.manual_seed(0)
    judged, seen = part.pair(image(), IMAGE)
    torch.manual_seed(0)
    assert equal(seen, part(image(), IMAGE))
    assert equal(judged, seen if part.judged else image())
