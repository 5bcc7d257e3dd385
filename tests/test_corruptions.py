"""How much damage each corruption does, and of what kind."""

import pytest
import torch

from narrows._types import Layout, Rows
from narrows.corruptions import Binarise, Chain, Corruption, Gaussian, Masking, RowSwap, SaltAndPepper, Slips
from narrows.errors import InvalidParameter

N = 20_000
NUMBERS = Layout(shape=(3,), low=(-1.0, 10.0, 0.25), high=(1.0, 30.0, 0.75))
MIXED = Layout(shape=(3,), categories=(0, 4, 0), low=(-1.0, 0.0, 0.0), high=(1.0, 3.0, 5.0), blanks=(True,))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def numbers():
    return Rows(torch.tensor([0.5, 20.0, 0.5]).expand(N, 3).clone())


def mixed():
    values = torch.stack([torch.rand(N), torch.full((N,), 2.0), torch.rand(N) + 1], dim=1)
    observed = torch.rand(N, 3) < 0.5
    return Rows(values * observed, observed)


def test_gaussian_noise_has_the_scale_asked_for():
    noise = Gaussian(scale=0.4)(numbers(), NUMBERS).values - numbers().values
    torch.testing.assert_close(noise.mean(0), torch.zeros(3), atol=0.015, rtol=0)
    torch.testing.assert_close(noise.std(0), torch.full((3,), 0.4), atol=0.01, rtol=0)


def test_gaussian_leaves_categories_alone():
    rows = mixed()
    result = Gaussian(scale=1.0)(rows, MIXED)
    assert torch.equal(result.values[:, 1], rows.values[:, 1])
    assert torch.equal(result.observed, rows.observed)
    seen = rows.observed[:, 0]
    assert (result.values[seen, 0] != rows.values[seen, 0]).float().mean() > 0.99


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_masking_blanks_the_fraction_asked_for(fraction):
    result = Masking(fraction)(numbers(), NUMBERS)
    assert result.observed.dtype == torch.bool
    assert (~result.observed).float().mean().item() == pytest.approx(fraction, abs=0.01)
    assert torch.equal(result.values, numbers().values * result.observed)


def test_masking_adds_to_the_blanks_there_are():
    result = Masking(0.5)(mixed(), MIXED)
    assert result.observed.float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_salt_and_pepper_are_the_ends_of_the_range_in_equal_parts():
    result = SaltAndPepper(0.3)(numbers(), NUMBERS).values
    for column, (low, high) in enumerate(zip(NUMBERS.low, NUMBERS.high, strict=True)):
        assert (result[:, column] == low).float().mean().item() == pytest.approx(0.15, abs=0.01)
        assert (result[:, column] == high).float().mean().item() == pytest.approx(0.15, abs=0.01)
    kept = result == numbers().values
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)


def test_salt_and_pepper_in_images_uses_one_range():
    layout = Layout(shape=(1, 10, 10), low=(-1.0,), high=(2.0,))
    result = SaltAndPepper(1.0)(Rows(torch.zeros(20, 1, 10, 10)), layout).values
    assert set(result.unique().tolist()) == {-1.0, 2.0}


def test_salt_and_pepper_draws_categories_evenly():
    rows = Rows(torch.full((N, 3), 2.0))
    result = SaltAndPepper(1.0)(rows, MIXED).values[:, 1]
    share = result.long().bincount(minlength=4) / N
    torch.testing.assert_close(share, torch.full((4,), 0.25), atol=0.015, rtol=0)


def test_row_swap_replaces_the_fraction_asked_for_by_values_of_the_same_column():
    values = torch.arange(3.0 * N).reshape(N, 3)
    result = RowSwap(0.2)(Rows(values), NUMBERS).values
    changed = result != values
    # every donor is another row, so each cell hit is one that changed
    assert changed.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert (result % 3 == values % 3).all()
    assert (changed.all(1).float().mean() - 0.008).abs() < 0.003  # cells are hit one by one, not row by row


def test_row_swap_takes_every_other_row_equally_often():
    values = torch.arange(4.0)[:, None].expand(4, 5000).clone()
    result = RowSwap(1.0)(Rows(values), Layout(shape=(5000,))).values
    for row in range(4):
        share = result[row].long().bincount(minlength=4) / 5000
        expected = torch.full((4,), 1 / 3)
        expected[row] = 0
        torch.testing.assert_close(share, expected, atol=0.03, rtol=0)


def test_row_swap_brings_the_donors_blank_along():
    rows = mixed()
    result = RowSwap(0.4)(rows, MIXED)
    # a cell stays observed if it was, and was not hit (0.6) or got an observed donor (0.4 × 0.5)
    assert result.observed.float().mean().item() == pytest.approx(0.5 * 0.8, abs=0.01)
    assert (result.values[:, 2][result.observed[:, 2]] >= 1).all()


def test_row_swap_leaves_a_single_row():
    rows = Rows(torch.ones(1, 3))
    assert RowSwap(1.0)(rows, NUMBERS) is rows


def test_chain_acts_in_order():
    rows = numbers()
    masked_last = Chain((Gaussian(0.1), Masking(1.0)))(rows, NUMBERS)
    assert (masked_last.values == 0).all()
    assert not masked_last.observed.any()
    noise_last = Chain((Masking(1.0), Gaussian(0.1)))(rows, NUMBERS)
    assert (noise_last.values == 0).all()  # noise does not fill blanks


def test_chain_masks_when_one_of_its_parts_does():
    assert not Chain((Gaussian(), Chain((SaltAndPepper(),)))).masks
    assert Chain((Gaussian(), Chain((Masking(),)))).masks


@pytest.mark.parametrize(
    "part",
    [
        Masking(fraction=1.5),
        Masking(fraction=float("nan")),
        SaltAndPepper(fraction=-0.1),
        RowSwap(fraction="half"),
        Gaussian(scale=-1.0),
        Chain((Gaussian(), Masking(fraction=2.0))),
        Chain((Gaussian(), 3)),
    ],
    ids=repr,
)
def test_parameters_that_cannot_be_used(part):
    with pytest.raises(InvalidParameter):
        part.check()


def test_words_of_the_command_line():
    assert Corruption.parse("masking:fraction=0.5") == Masking(fraction=0.5)
    assert Corruption.parse("row-swap") == RowSwap()
    with pytest.raises(InvalidParameter, match=r"salt-and-pepper"):
        Corruption.parse("pepper")


def test_grey_is_drawn_as_black_or_white_and_judged_as_drawn():
    layout, grey = Layout(shape=(1, 2, 2)), torch.tensor([0.0, 0.25, 0.75, 1.0]).reshape(1, 1, 2, 2)
    rows = Rows(grey.expand(4000, 1, 2, 2))
    judged, seen = Binarise().pair(rows, layout)
    assert judged is seen
    assert set(seen.values.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(seen.values.mean(0, keepdim=True), grey, atol=0.03, rtol=0)
    black_white = Rows((rows.values > 0.5).float())
    assert torch.equal(Binarise()(black_white, layout).values, black_white.values)


def test_a_chain_is_judged_by_what_its_first_parts_draw():
    layout, rows = Layout(shape=(1, 2, 2)), Rows(torch.rand(50, 1, 2, 2))
    chain = Chain((Binarise(), Masking(0.5)))
    judged, seen = chain.pair(rows, layout)
    assert set(judged.values.unique().tolist()) == {0.0, 1.0}
    assert judged.observed is None
    assert torch.equal(seen.values, judged.values * seen.observed)
    judged, seen = Chain((Masking(0.5), Binarise())).pair(rows, layout)
    assert torch.equal(judged.values, rows.values)


def test_slips_leave_out_swap_and_replace_tokens():
    layout = Layout((300, 1), (9,), ragged=True)
    values = (torch.arange(300) % 9).reshape(1, 300, 1).repeat(40, 1, 1).float()
    lengths = torch.full((40,), 250)
    rows = Rows(torch.where(torch.arange(300)[None, :, None] < 250, values, 0), lengths=lengths)
    after = Slips(0.3)(rows, layout)
    gone = 250 - after.lengths.float()
    assert 22 < gone.mean() < 28  # a tenth
    assert (after.values[~after.mask()] == 0).all()
    assert after.values.min() >= 0
    assert after.values.max() <= 8
    assert torch.equal(Slips(0.0)(rows, layout).values, rows.values)
    swapped = (after.values[:, 1:250, 0] - after.values[:, :249, 0]) % 9 == 8  # one smaller than the one before
    assert 0.05 < swapped.float().mean() < 0.15
    assert torch.equal(rows.lengths, lengths)
