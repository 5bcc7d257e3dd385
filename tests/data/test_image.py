"""Images: every mode and type to rows and back, what is refused, and what is said about it."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image as Pillow

from narrows.data import Image, format_from_config, write_images
from narrows.data.writers import grid
from narrows.errors import (
    DataWarning,
    InvalidData,
    InvalidParameter,
    InvalidType,
    SavedModelError,
    UnreadableFile,
)

RNG = np.random.default_rng(0)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Pillow.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


# --- arrays there and back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 1), (5, 4, 3, 3), (5, 4, 3, 4), (1, 1, 1), (2, 7, 1, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool", "float32", "float64", "int64"])
def test_arrays_come_back(shape, dtype):
    array = RNG.random(shape) if dtype.startswith("float") else RNG.integers(0, 255, shape)
    if dtype == "uint16":
        array = array * 257 + 3
    array = (array > 100 if dtype == "bool" else array).astype(dtype)
    fitted = Image().fit(array)
    rows = fitted.to_rows(array)
    back = fitted.from_values(rows.values)
    channels = shape[3] if len(shape) == 4 else 1
    assert fitted.layout.shape == (channels, *shape[1:3])
    assert fitted.n_features == channels * shape[1] * shape[2]
    assert rows.values.dtype == torch.float32
    assert rows.observed is None
    assert float(rows.values.min()) >= 0
    assert float(rows.values.max()) <= 1
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    if dtype.startswith("float"):
        np.testing.assert_allclose(back, array, atol=1e-7)
    else:
        np.testing.assert_array_equal(back, array)


def test_channels_come_first_and_255_is_1():
    array = np.zeros((1, 2, 3, 3), np.uint8)
    array[0, 1, 2] = (255, 51, 0)
    values = Image().fit(array).to_rows(array).values
    assert values.shape == (1, 3, 2, 3)
    assert values[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])


def test_other_ranges_are_scaled_by_their_ends_and_said():
    array = np.array([[[-2.0, 0.0], [1.0, 6.0]]])
    fitted = Image().fit(array)
    assert fitted.to_rows(array).values.flatten().tolist() == [0.0, 0.25, 0.375, 1.0]
    assert any("-2 to 6" in r for r in fitted.reasons)
    np.testing.assert_allclose(fitted.from_values(torch.full((1, 1, 2, 2), 0.5)), np.full((1, 2, 2), 2.0))


def test_uint8_of_zeros_and_ones_is_black_and_white():
    array = np.array([[[0, 1], [1, 0]]], np.uint8)
    fitted = Image().fit(array)
    values = fitted.to_rows(array).values
    assert values.flatten().tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(fitted.from_values(values), array)


def test_range_is_respected_on_the_way_back():
    fitted = Image().fit(noise(2, 3, 3))
    back = fitted.from_values(torch.tensor([-0.5, 2.0, 0.5]).repeat(3).reshape(1, 1, 3, 3))
    assert back[0, 0].tolist() == [0, 255, 128]


def test_each_type_is_read_by_its_own_range():
    array = noise(3, 4, 4)
    fitted = Image().fit(array)
    as_numbers = fitted.to_rows(array / 255).values
    as_deep = fitted.to_rows(array.astype(np.uint16) * 257).values
    torch.testing.assert_close(as_numbers, fitted.to_rows(array).values)
    torch.testing.assert_close(as_deep, fitted.to_rows(array).values)


def test_noisy_numbers_are_taken_but_another_scale_is_refused():
    array = RNG.random((4, 3, 3))
    fitted = Image().fit(array)
    noisy = array + RNG.normal(0, 0.5, array.shape)
    torch.testing.assert_close(fitted.to_rows(noisy).values[:, 0], torch.from_numpy(noisy).float())
    with pytest.raises(InvalidData, match=r"between 0 and 1; bring them to the same scale"):
        fitted.to_rows(array * 255)


def test_nan_is_blank_all_the_way_and_back():
    array = RNG.random((3, 4, 4))
    array[1, 2, 3] = np.nan
    fitted = Image().fit(array)
    rows = fitted.to_rows(array)
    assert fitted.layout.blanks
    assert rows.observed is not None
    assert (~rows.observed).nonzero().tolist() == [[1, 0, 2, 3]]
    assert float(rows.values[1, 0, 2, 3]) == 0
    np.testing.assert_allclose(fitted.from_values(rows.values, rows.observed), array, atol=1e-7)
    assert any("blank" in r for r in fitted.reasons)


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_, np.int32, np.float32, np.float64]),
        st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
        | st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4])),
    )
)
def test_any_array_comes_back_or_is_refused(array):
    try:
        fitted = Image().fit(array)
    except InvalidData:
        assert array.dtype.kind == "f"
        finite = array[~np.isnan(array)]
        assert finite.size == 0 or np.isinf(finite).any() or not np.isfinite(np.ptp(finite.astype(np.float64)))
        return
    rows = fitted.to_rows(array)
    assert torch.isfinite(rows.values).all()
    assert 0 <= float(rows.values.min()) <= float(rows.values.max()) <= 1
    back = fitted.from_values(rows.values, rows.observed)
    span = max(1.0, fitted.scale.high - fitted.scale.low)
    np.testing.assert_allclose(back.astype(float), array.astype(float), atol=span * 1.2e-7, rtol=1e-6)
    if array.dtype.itemsize <= 2 and array.dtype.kind != "f":
        np.testing.assert_array_equal(back, array)
    again = format_from_config(json.loads(json.dumps(fitted.to_config())))
    assert again == fitted


# --- options on arrays ---------------------------------------------------------------------------------------


def test_size_and_mode_can_be_asked_of_arrays():
    array = np.full((2, 6, 8, 3), 100, np.uint8)
    fitted = Image(size=(3, 3), mode="grey").fit(array)
    values = fitted.to_rows(array).values
    assert values.shape == (2, 1, 3, 3)
    torch.testing.assert_close(values, torch.full_like(values, 100 / 255))
    assert fitted.from_values(values).shape == (2, 3, 3, 1)
    assert any("6 × 8" in r and "3 × 3" in r for r in fitted.reasons)
    assert any("rgb" in r and "grey" in r for r in fitted.reasons)


def test_crop_keeps_the_middle_and_pad_adds_black():
    array = np.zeros((1, 2, 6), np.uint8)
    array[:, :, 2:4] = 255
    cropped = Image(size=(2, 2)).fit(array).to_rows(array).values
    assert cropped.flatten().tolist() == [1, 1, 1, 1]
    white = np.full((1, 2, 4), 255, np.uint8)
    padded = Image(size=(4, 4), resize="pad").fit(white).to_rows(white).values
    assert padded[0, 0].mean(dim=1).tolist() == [0, 1, 1, 0]


def test_transparency_is_laid_on_white():
    array = np.zeros((1, 1, 2, 4), np.uint8)
    array[0, 0, 0] = (255, 0, 0, 255)
    values = Image(mode="rgb").fit(array).to_rows(array).values
    assert values[0, :, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]


# --- likelihood ----------------------------------------------------------------------------------------------


def test_black_and_white_means_bernoulli_and_shades_mean_gaussian():
    likelihoods = pytest.importorskip("narrows.likelihoods")
    on_off = RNG.random((20, 8, 8)) > 0.7
    shades = noise(20, 8, 8)
    mostly = np.where(RNG.random((50, 8, 8)) < 0.1, 0.5, on_off[:1])
    assert Image().fit(on_off).likelihood() == likelihoods.Bernoulli()
    assert Image().fit(mostly).likelihood() == likelihoods.Bernoulli()
    assert Image().fit(shades).likelihood() == likelihoods.Gaussian()
    assert any("100%" in r and "Bernoulli" in r for r in Image().fit(on_off).reasons)


@pytest.mark.parametrize(("black", "expected"), [(32, "Bernoulli"), (31, "Gaussian")])
def test_from_half_of_the_pixels_at_the_ends_on_the_mean_is_squashed(black: int, expected: str):
    images = np.full((20, 8, 8), 100, dtype=np.uint8)
    images.reshape(20, 64)[:, :black] = 0
    images[:, 0, 0] = 255
    assert type(Image().fit(images).likelihood()).__name__ == expected


def test_dark_pictures_are_not_black_and_white():
    dark = np.zeros((10, 8, 8), np.uint8)
    dark[:, 2, 2] = 90
    assert "Gaussian" in Image().fit(dark).reasons[-1]


@pytest.mark.parametrize(
    ("black", "shade", "expected"), [(58, 100, "Bernoulli"), (59, 100, "Gaussian"), (62, 0, "Bernoulli")]
)
def test_pictures_nearly_all_dark_are_shades_unless_there_are_none(black: int, shade: int, expected: str):
    images = np.full((20, 64), 255, dtype=np.uint8)
    images[:, :black] = 0
    images[:, 0] = shade
    assert type(Image().fit(images.reshape(20, 8, 8)).likelihood()).__name__ == expected


def test_the_likelihood_given_is_kept_and_saved():
    likelihoods = pytest.importorskip("narrows.likelihoods")
    fitted = Image().fit(noise(3, 4, 4), likelihoods.Laplace())
    assert fitted.likelihood() == likelihoods.Laplace()
    assert format_from_config(fitted.to_config()).likelihood() == likelihoods.Laplace()
    with pytest.raises(InvalidParameter, match="columns of a table"):
        Image().fit(noise(3, 4, 4), likelihoods.Categorical())


def test_counts_are_kept_as_whole_numbers():
    likelihoods = pytest.importorskip("narrows.likelihoods")
    array = RNG.poisson(3, (5, 4, 4))
    fitted = Image().fit(array, likelihoods.Poisson())
    values = fitted.to_rows(array).values
    np.testing.assert_array_equal(values[:, 0].numpy(), array)
    np.testing.assert_array_equal(fitted.from_values(values), array)
    with pytest.raises(InvalidData, match="whole numbers"):
        Image().fit(array - 0.5, likelihoods.Poisson())


# --- files ---------------------------------------------------------------------------------------------------


def test_grey_files_come_back_exactly(tmp_path):
    array = noise(7, 9, 5)
    write_images(array, tmp_path / "set")
    fitted = Image().fit(tmp_path / "set")
    assert fitted.layout.shape == (1, 9, 5)
    np.testing.assert_array_equal(fitted.from_values(fitted.to_rows(str(tmp_path / "set")).values), array)


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_files_come_back_exactly(tmp_path, channels):
    array = noise(3, 6, 5, channels)
    write_images(array, tmp_path / "set")
    fitted = Image().fit(tmp_path / "set")
    assert fitted.mode == {3: "rgb", 4: "rgba"}[channels]
    np.testing.assert_array_equal(fitted.from_values(fitted.to_rows(tmp_path / "set").values), array)


def test_16_bit_files_come_back_exactly(tmp_path):
    array = RNG.integers(0, 65536, (3, 4, 4), dtype=np.uint16)
    write_images(array, tmp_path / "set")
    fitted = Image().fit(tmp_path / "set")
    back = fitted.from_values(fitted.to_rows(tmp_path / "set").values)
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, array)
    assert any("16 bits" in r for r in fitted.reasons)


def values_of(path: Path, **options) -> torch.Tensor:
    fitted = Image(**options).fit([path])
    return fitted.to_rows([path]).values[0]


def test_palette_with_and_without_transparency(tmp_path):
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "clear.png", transparency=1)
    assert values_of(tmp_path / "plain.png")[:, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert values_of(tmp_path / "clear.png")[:, 0].T.tolist() == [[1, 0, 0, 1], [0, 0, 1, 0]]
    assert values_of(tmp_path / "clear.png", mode="rgb")[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_one_bit_grey_alpha_and_cmyk(tmp_path):
    Pillow.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bit.png")
    assert values_of(tmp_path / "bit.png").tolist() == [[[0, 1]]]
    save(tmp_path / "la.png", np.array([[[51, 255], [51, 0]]], np.uint8))
    assert values_of(tmp_path / "la.png")[:, 0].T.flatten().tolist() == pytest.approx(
        [0.2, 0.2, 0.2, 1, 0.2, 0.2, 0.2, 0]
    )
    Pillow.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "ink.tif")
    assert values_of(tmp_path / "ink.tif")[:, 0, 0].tolist() == [1, 0, 0]


def test_exif_rotation_is_undone(tmp_path):
    array = np.zeros((8, 16), np.uint8)
    array[:, 8:] = 255  # right half white; orientation 6 turns it clockwise: the lower half becomes white
    exif = Pillow.Exif()
    exif[0x0112] = 6
    save(tmp_path / "turned.png", array, exif=exif)
    save(tmp_path / "turned.jpg", array, exif=exif, quality=95)
    for name in ("turned.png", "turned.jpg"):
        values = values_of(tmp_path / name)
        assert values.shape == (1, 16, 8)
        assert float(values[0, :7].mean()) < 0.02
        assert float(values[0, 9:].mean()) > 0.98


def test_decimal_tiff_within_one_is_kept_and_beyond_is_refused(tmp_path):
    Pillow.fromarray(np.array([[0.25, 1.0]], np.float32)).save(tmp_path / "unit.tif")
    assert values_of(tmp_path / "unit.tif").flatten().tolist() == pytest.approx([0.25, 1.0], abs=1e-4)
    Pillow.fromarray(np.array([[-5.0, 1.0]], np.float32)).save(tmp_path / "odd.tif")
    with pytest.raises(UnreadableFile, match=r"odd\.tif has pixels from -5 to 1"):
        Image().fit([tmp_path / "odd.tif"])


def test_mixed_modes_become_the_richest_and_that_is_said(tmp_path):
    save(tmp_path / "a.png", np.full((4, 4), 51, np.uint8))
    save(tmp_path / "b.png", noise(4, 4, 3))
    save(tmp_path / "c.png", np.full((4, 4), 13107, np.uint16))
    fitted = Image().fit(tmp_path)
    values = fitted.to_rows(tmp_path).values
    assert fitted.mode == "rgb"
    assert any("2 grey, 1 rgb" in r for r in fitted.reasons)
    torch.testing.assert_close(values[0], torch.full((3, 4, 4), 0.2))
    torch.testing.assert_close(values[2], torch.full((3, 4, 4), 0.2))


def test_unequal_sizes_are_cropped_to_a_stated_size(tmp_path):
    for index, (h, w) in enumerate([(100, 200), (120, 240), (90, 300)]):
        save(tmp_path / f"{index}.png", np.full((h, w), 200, np.uint8))
    fitted = Image().fit(tmp_path)
    assert fitted.size == (27, 64)  # the median, 100 × 240, with 64 on the longer side
    assert any("27 × 64" in r and "3 sizes" in r and "size=(h, w)" in r for r in fitted.reasons)
    values = fitted.to_rows(tmp_path).values
    torch.testing.assert_close(values, torch.full((3, 1, 27, 64), 200 / 255))


def test_files_of_one_size_keep_it(tmp_path):
    save(tmp_path / "a.png", noise(100, 80))
    assert Image().fit(tmp_path).size == (100, 80)
    assert Image(size=(10, 12)).fit(tmp_path).to_rows(tmp_path).values.shape == (1, 1, 10, 12)


def test_folders_are_searched_sorted_and_hidden_files_left_alone(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, shade in (("z.PNG", 30), ("a.bmp", 10), ("b/c.webp", 20), (".hidden/x.png", 99), (".y.png", 99)):
        save(tmp_path / name, np.full((2, 2), shade, np.uint8), **({"lossless": True} if "webp" in name else {}))
    (tmp_path / "notes.txt").write_text("no image")
    fitted = Image(mode="grey").fit(tmp_path)
    assert fitted.from_values(fitted.to_rows(tmp_path).values)[:, 0, 0].tolist() == [10, 20, 30]


def test_pillow_images_and_arrays_in_lists():
    arrays = [noise(4, 4), noise(4, 4)]
    from_arrays = Image().fit(arrays)
    from_pictures = Image().fit([Pillow.fromarray(a) for a in arrays])
    np.testing.assert_array_equal(from_arrays.from_values(from_arrays.to_rows(arrays).values), np.stack(arrays))
    torch.testing.assert_close(
        from_pictures.to_rows([Pillow.fromarray(a) for a in arrays]).values,
        from_arrays.to_rows(np.stack(arrays)).values,
    )


# --- bad files -----------------------------------------------------------------------------------------------


def bomb(path: Path, side: int) -> Path:
    """A PNG whose header promises side × side pixels, in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    path = bomb(tmp_path / "bomb.png", 60_000)
    limit = Pillow.MAX_IMAGE_PIXELS
    with pytest.raises(UnreadableFile, match=r"bomb\.png would unpack to 60000 × 60000 pixels"):
        Image().fit([path])
    assert limit == Pillow.MAX_IMAGE_PIXELS
    save(tmp_path / "small.png", noise(10, 10))
    with pytest.raises(UnreadableFile, match="above the limit of 99"):
        Image(max_pixels=99).fit([tmp_path / "small.png"])
    fitted = Image().fit([tmp_path / "small.png"])
    with pytest.raises(UnreadableFile, match="would unpack"):
        fitted.to_rows([path])


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(4):
        save(folder / f"{index}.png", np.full((32, 32, 3), index, np.uint8) + noise(32, 32, 3) // 2)
    whole = io.BytesIO()
    Pillow.fromarray(noise(32, 32, 3)).save(whole, "PNG")
    (folder / "cut.png").write_bytes(whole.getvalue()[:900])
    return folder


def test_a_truncated_file_stops_with_its_name(damaged):
    with pytest.raises(UnreadableFile, match=r"cut\.png cannot be read .*skip_bad=True"):
        Image().fit(damaged)


def test_text_named_png_and_empty_files_stop_with_their_names(tmp_path):
    (tmp_path / "letter.png").write_text("dear reader")
    with pytest.raises(UnreadableFile, match=r"letter\.png cannot be read"):
        Image().fit([tmp_path / "letter.png"])
    (tmp_path / "void.jpg").touch()
    with pytest.raises(UnreadableFile, match=r"void\.jpg cannot be read"):
        Image().fit([tmp_path / "void.jpg"])


def test_bad_files_are_skipped_and_counted(damaged):
    (damaged / "letter.png").write_text("dear reader")
    fitted = Image(skip_bad=True).fit(damaged)
    with pytest.warns(
        DataWarning, match=r"2 of 6 image files cannot be read and were left out: .*cut\.png.*letter\.png"
    ):
        rows = fitted.to_rows(damaged)
    assert rows.values.shape == (4, 3, 32, 32)
    assert any("1 of 6" in r for r in fitted.reasons)


def test_nothing_but_bad_files_is_an_error(tmp_path):
    (tmp_path / "letter.png").write_text("dear reader")
    with pytest.raises(UnreadableFile, match="none of the 1 files"):
        Image(skip_bad=True).fit(tmp_path)


# --- bad arrays and options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "error", "says"),
    [
        (np.zeros((0, 4, 4)), InvalidData, "no pixels"),
        (np.zeros((4, 4)), InvalidData, r"X\[None\]"),
        (np.zeros((2, 3, 8, 9)), InvalidData, "moveaxis"),
        (np.zeros((2, 8, 9, 2)), InvalidData, "1, 3 or 4 channels"),
        (np.full((2, 3, 3), np.nan), InvalidData, "all pixel values are blank"),
        (np.array([[[0.0, np.inf]]]), InvalidData, "1 pixel values are infinite"),
        (np.zeros((2, 3, 3), complex), InvalidType, "complex128"),
        ([], InvalidData, "empty"),
        ([np.zeros((2, 2)), np.zeros((3, 2))], InvalidData, "different shapes"),
        ([3], InvalidData, "item 0 of the list is int"),
        (["nowhere.png"], UnreadableFile, "no image file 'nowhere.png'"),
        (7, InvalidType, "int is not a set of images"),
    ],
)
def test_bad_input_is_told_apart(raw, error, says):
    with pytest.raises(error, match=says):
        Image().fit(raw)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(InvalidData, match="holds no images"):
        Image().fit(tmp_path)


def test_another_shape_at_use_says_given_and_expected():
    fitted = Image().fit(noise(3, 8, 8))
    with pytest.raises(InvalidData, match=r"7 × 8 pixels, but Autoencoder was fitted on 8 × 8"):
        fitted.to_rows(noise(2, 7, 8), owner="Autoencoder")
    with pytest.raises(InvalidData, match=r"rgb \(3 channels.*fitted on grey"):
        fitted.to_rows(noise(2, 8, 8, 3))
    with pytest.raises(InvalidData, match=r"expected \(n, 1, 8, 8\)"):
        fitted.from_values(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("options", [{"size": (0, 4)}, {"mode": "purple"}, {"resize": "squash"}, {"max_pixels": 0}])
def test_bad_options(options):
    with pytest.raises(InvalidParameter):
        Image(**options).fit(noise(2, 3, 3))


def test_a_damaged_description_is_an_error():
    config = Image().fit(noise(2, 3, 3)).to_config()
    for broken in (
        {**config, "size": None},
        {**config, "mode": "x"},
        {k: v for k, v in config.items() if k != "scale"},
    ):
        with pytest.raises(SavedModelError, match="cannot be used"):
            format_from_config(broken)
    with pytest.raises(SavedModelError, match="'sound'"):
        format_from_config({"format": "sound"})


# --- writing -------------------------------------------------------------------------------------------------


def test_grid_places_every_image():
    images = np.arange(5, dtype=np.uint8)[:, None, None].repeat(200, 1).repeat(300, 2)
    sheet = grid(images, columns=2)
    # two by three cells, enlarged twofold to 400 × 600, gaps of 2 between them and around
    assert sheet.shape == (3 * 402 + 2, 2 * 602 + 2)
    assert [int(sheet[200 + 402 * (i // 2), 300 + 602 * (i % 2)]) for i in range(6)] == [0, 1, 2, 3, 4, 255]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_array_files_hold_the_array(tmp_path, suffix):
    array = RNG.random((3, 4, 4))
    (path,) = write_images(array, tmp_path / f"images{suffix}")
    loaded = np.load(path)
    np.testing.assert_array_equal(loaded["images"] if suffix == ".npz" else loaded, array)


def test_numbers_are_drawn_from_black_to_white(tmp_path):
    write_images(np.array([[[0.0, 8.0, 16.0]]]), tmp_path / "set")
    assert np.asarray(Pillow.open(tmp_path / "set" / "00000.png")).tolist() == [[0, 128, 255]]


def test_a_full_folder_is_not_overwritten_unless_asked(tmp_path):
    write_images(noise(3, 2, 2), tmp_path / "set")
    with pytest.raises(InvalidParameter, match="already holds files"):
        write_images(noise(1, 2, 2), tmp_path / "set")
    assert len(list((tmp_path / "set").iterdir())) == 3
    write_images(noise(1, 2, 2), tmp_path / "set", overwrite=True)
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["00000.png"]


@pytest.mark.parametrize("name", ["grid.png", "folder"])
def test_what_cannot_be_drawn_leaves_nothing(tmp_path, name):
    with pytest.raises(InvalidData):
        write_images(np.full((2, 3, 3), np.nan), tmp_path / name)
    with pytest.raises(InvalidData):
        write_images(np.zeros((2, 3)), tmp_path / name)
    with pytest.raises(InvalidParameter, match=r"\.jpg"):
        write_images(noise(2, 3, 3), tmp_path / "grid.jpg")
    assert list(tmp_path.iterdir()) == []
