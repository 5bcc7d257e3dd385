"""Picture files: found, looked at, decoded, and nothing trusted.

The header of every file is read before a pixel is decoded, so that a file which would unpack to more pixels than the
limit is refused while it is still small.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from narrows.errors import InvalidData, UnreadableFile

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
_GREY = ("1", "L")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_ORIENTATION = 0x0112
_LIMIT_LOCK = threading.Lock()
_inside = 0
_limit_before: int | None = None

T = TypeVar("T")
Picture = Any  # a path, or a Pillow image


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are decoded.

    Attributes:
        size: Height and width in pixels, as it is to be seen (after EXIF rotation).
        mode: The least of "grey", "rgb", "rgba" that holds it.
        deep: Whether it has more than 8 bits per channel.
        frames: Whether it holds more than one frame (only the first is used).
    """

    size: tuple[int, int]
    mode: str
    deep: bool
    frames: bool


@dataclass(frozen=True)
class Target:
    """What pictures are to become.

    Attributes:
        mode: "grey", "rgb" or "rgba". Transparency is laid on white where the mode has none.
        size: Height and width in pixels.
        resize: "crop", "pad" or "stretch".
        max_pixels: Pictures with more pixels than this are refused.
    """

    mode: str
    size: tuple[int, int]
    resize: str
    max_pixels: int


def find_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """All picture files under ``folder``, sub-folders included, sorted; hidden files are left out."""
    root = Path(folder)
    found = (p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts))


def name_of(picture: Picture, index: int) -> str:
    """What to call a picture in a message: its path, or its place in the list."""
    if isinstance(picture, Pillow.Image):
        path = getattr(picture, "filename", "")
        return str(path) if path else f"image {index}"
    return str(picture)


def read_header(picture: Picture, index: int, max_pixels: int) -> Header:
    """Look at one picture without decoding it.

    Raises:
        UnreadableFile: If it is no picture, is damaged at the start, or has more than ``max_pixels`` pixels.
    """
    with _readable(picture, index, max_pixels) as image:
        width, height = image.size
        turned = _orientation(image) in (5, 6, 7, 8)
        size = (width, height) if turned else (height, width)
        return Header(size, _mode_of(image), image.mode in _DEEP, bool(getattr(image, "is_animated", False)))


def decode(picture: Picture, index: int, target: Target) -> NDArray[np.float32]:
    """Decode one picture.

    Args:
        picture: A path or a Pillow image.
        index: Its place in the list, for messages.
        target: What it is to become.

    Returns:
        ``(channels, height, width)`` float32 in [0, 1].

    Raises:
        UnreadableFile: If it cannot be decoded to the end.
    """
    with _readable(picture, index, target.max_pixels) as image:
        if not isinstance(picture, Pillow.Image):
            # lets a JPEG decode at half, a quarter or an eighth of its size where that is enough
            image.draft(None, (2 * max(target.size), 2 * max(target.size)))
        # exif_transpose changes nothing when there is no rotation, and loads the pixels in either case
        upright = ImageOps.exif_transpose(image)
        upright.load()
        deep = upright.mode in _DEEP
        converted = _unit_grey(upright, picture, index) if deep else _convert(upright, target.mode)
        fitted = resize_picture(converted, target.size, target.resize)
        pixels = np.asarray(fitted, dtype=np.float32)
    if deep:
        planes = np.clip(pixels, 0, 1)[None]
        if target.mode == "grey":
            return planes
        colours = np.repeat(planes, 3, axis=0)
        return colours if target.mode == "rgb" else np.concatenate([colours, np.ones_like(planes)])
    pixels = pixels / np.float32(255)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize_picture(image: Pillow.Image, size: tuple[int, int], resize: str) -> Pillow.Image:
    """``image`` brought to ``size`` (height, width) by cropping to the middle, padding with 0, or stretching."""
    height, width = size
    if image.size == (width, height):
        return image
    if resize == "stretch":
        return image.resize((width, height), Pillow.Resampling.BICUBIC)
    choose = max if resize == "crop" else min
    scale = choose(width / image.width, height / image.height)
    w, h = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    scaled = image.resize((w, h), Pillow.Resampling.BICUBIC)
    if resize == "crop":
        left, top = (w - width) // 2, (h - height) // 2
        return scaled.crop((left, top, left + width, top + height))
    canvas = Pillow.new(image.mode, (width, height))
    canvas.paste(scaled, ((width - w) // 2, (height - h) // 2))
    return canvas


def each(pictures: Sequence[Picture], work: Callable[[Picture, int], T], skip: bool) -> list[T | UnreadableFile]:
    """``work(picture, index)`` of all pictures, in order, in threads; with ``skip`` a bad one gives its error.

    Pillow lets go of the interpreter while it decodes, so threads help.

    Raises:
        UnreadableFile: At the first bad picture, unless ``skip``.
    """

    def attempt(item: tuple[int, Picture]) -> T | UnreadableFile:
        try:
            return work(item[1], item[0])
        except UnreadableFile as error:
            if skip:
                return error
            raise

    workers = max(1, min(8, os.cpu_count() or 1))
    results: list[T | UnreadableFile] = []
    with _no_pillow_limit(), ThreadPoolExecutor(workers) as pool:
        # in blocks, so that an error early in a long list stops the work soon
        for start in range(0, len(pictures), 64 * workers):
            results.extend(pool.map(attempt, enumerate(pictures[start : start + 64 * workers], start)))
    return results


def readable(pictures: list[Path], max_pixels: int) -> tuple[list[Path], list[str]]:
    """The picture files that can be read to their end, and what is wrong with each of the others.

    Every file is decoded, so that the rows of all later steps are these files, one for one.
    """
    target = Target("grey", (8, 8), "stretch", max_pixels)

    def work(picture: Any, index: int) -> None:
        decode(picture, index, target)

    results = each(pictures, work, skip=True)
    kept = [p for p, r in zip(pictures, results) if r is None]
    return kept, [str(r) for r in results if r is not None]


def check_pictures(pictures: Iterable[Any]) -> list[Picture]:
    """The list of paths and Pillow images that was given; anything else in it is an error."""
    result: list[Picture] = []
    for index, item in enumerate(pictures):
        if isinstance(item, Pillow.Image):
            result.append(item)
        elif isinstance(item, (str, os.PathLike)):
            path = Path(item)
            if not path.is_file():
                raise UnreadableFile(f"there is no image file {str(path)!r}; check the name and the folder")
            result.append(path)
        else:
            raise InvalidData(
                f"item {index} of the list is {type(item).__name__}; a list of images holds file paths, Pillow images "
                "or arrays, one kind throughout"
            )
    if not result:
        raise InvalidData("the list of images is empty; give at least one image")
    return result


@contextlib.contextmanager
def _readable(picture: Picture, index: int, max_pixels: int) -> Iterator[Pillow.Image]:
    try:
        with contextlib.nullcontext(picture) if isinstance(picture, Pillow.Image) else Pillow.open(picture) as image:
            _check_size(image, picture, index, max_pixels)
            yield image
    except (UnreadableFile, MemoryError):  # the picture is not to blame for want of memory, nor to be skipped
        raise
    except Exception as error:
        # damaged files make Pillow's readers raise whatever they stumble on: OSError, SyntaxError, struct.error, …
        raise UnreadableFile(
            f"{name_of(picture, index)} cannot be read as an image ({error or type(error).__name__}); "
            "mend or remove it, or skip such files with skip_bad=True (--skip-bad)"
        ) from error


def _check_size(image: Pillow.Image, picture: Picture, index: int, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise UnreadableFile(f"{name_of(picture, index)} has no pixels ({height} × {width})")
    if width * height > max_pixels:
        raise UnreadableFile(
            f"{name_of(picture, index)} would unpack to {height} × {width} pixels, above the limit of {max_pixels:,}; "
            f"if you trust it, raise the limit with formats.Image(max_pixels={width * height})"
        )


@contextlib.contextmanager
def _no_pillow_limit() -> Iterator[None]:
    # Pillow's own limit is a global that warns at one value and refuses at twice that; here every header is checked
    # against the format's limit instead. Counted, because several threads may be in here at once.
    global _inside, _limit_before
    with _LIMIT_LOCK:
        if _inside == 0:
            _limit_before, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
        _inside += 1
    try:
        yield
    finally:
        with _LIMIT_LOCK:
            _inside -= 1
            if _inside == 0:
                Pillow.MAX_IMAGE_PIXELS = _limit_before


def _orientation(image: Pillow.Image) -> int:
    # asking a PNG for EXIF that it has not shown yet would decode all of it
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1) or 1)


def _mode_of(image: Pillow.Image) -> str:
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return "rgba"
    return "grey" if image.mode in _GREY or image.mode in _DEEP else "rgb"


def _convert(image: Pillow.Image, mode: str) -> Pillow.Image:
    target = {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}[mode]
    if mode != "rgba" and _mode_of(image) == "rgba":
        coloured = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", coloured.size, "white"), coloured)
    if image.mode in ("LAB", "HSV", "YCbCr", "CMYK"):
        image = image.convert("RGB")
    return image if image.mode == target else image.convert(target)


def _unit_grey(image: Pillow.Image, picture: Picture, index: int) -> Pillow.Image:
    pixels = np.asarray(image).astype(np.float32)
    top = 65535.0
    if image.mode == "F" and pixels.size and pixels.max() <= 1:
        top = 1.0
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > top:
        raise UnreadableFile(
            f"{name_of(picture, index)} has pixels from {pixels.min():g} to {pixels.max():g}; image files may hold 0 "
            "to 65535 (16 bits) or 0 to 1 (decimal numbers): load it as an array and give that instead"
        )
    return Pillow.fromarray(pixels / np.float32(top))
