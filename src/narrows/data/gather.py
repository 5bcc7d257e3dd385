"""Images that were given in whatever form: gathered into a list of files or one array, and their common size found."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from narrows.data.pictures import CHANNELS, Header, Picture, check_pictures, find_pictures
from narrows.errors import InvalidData, InvalidType

KEEP = 256
"""Files that are all of one size keep it up to this many pixels on the longer side."""
LONGEST = 64
"""Otherwise images are brought to the median size, at most this many pixels on the longer side."""


def arrange(raw: Any) -> tuple[list[Picture], NDArray[Any] | None]:
    """The pictures, or else the array ``(n, h, w[, c])``, that ``raw`` means."""
    if isinstance(raw, (str, os.PathLike)):
        return _from_path(Path(raw)), None
    if isinstance(raw, (list, tuple)):
        if raw and all(isinstance(item, (np.ndarray, Tensor)) for item in raw):
            arrays = [item.detach().cpu().numpy() if isinstance(item, Tensor) else item for item in raw]
            if len({a.shape for a in arrays}) > 1:
                shapes = ", ".join(sorted({str(a.shape) for a in arrays})[:4])
                raise InvalidData(
                    f"the arrays of the list have different shapes ({shapes}, …); give them one shape, or Pillow images"
                )
            return [], _checked_shape(np.stack(arrays))
        return check_pictures(raw), None
    if isinstance(raw, (np.ndarray, Tensor)) or hasattr(raw, "__array__"):
        array = raw.detach().cpu().numpy() if isinstance(raw, Tensor) else np.asarray(raw)
        if array.dtype == object:
            return check_pictures(array.ravel().tolist()), None
        return [], _checked_shape(array)
    raise InvalidType(
        f"{type(raw).__name__} is not a set of images; give an array (n, height, width[, channels]), a folder, or a "
        "list of files or Pillow images"
    )


def _from_path(path: Path) -> list[Picture]:
    if path.is_dir():
        found = find_pictures(path)
        if not found:
            raise InvalidData(f"the folder {str(path)!r} holds no images (.png, .jpg, .tif, .webp, …); check the name")
        return list(found)
    return check_pictures([path])


def _checked_shape(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim not in (3, 4):
        hint = "; for one image write X[None]" if array.ndim == 2 else ""
        raise InvalidData(
            f"images are arrays (n, height, width) or (n, height, width, channels), not {array.shape}{hint}"
        )
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
        hint = "; move the channels last with numpy.moveaxis(X, 1, -1)" if array.shape[1] in (1, 3, 4) else ""
        raise InvalidData(
            f"an image has 1, 3 or 4 channels, but the array of shape {array.shape} has {array.shape[3]} in its last "
            f"place{hint}"
        )
    if array.size == 0:
        raise InvalidData(f"the array of shape {array.shape} holds no pixels; give at least one image")
    if array.dtype.kind not in "buif":
        raise InvalidType(f"pixels of type {array.dtype} cannot be used; convert them to uint8 or to numbers in [0, 1]")
    return array


def choose_size(
    wanted: tuple[int, int] | None, resize: str, headers: list[Header], reasons: list[str]
) -> tuple[int, int]:
    """Height and width for image files, by what was asked for and their headers; said in ``reasons``."""
    sizes = {h.size for h in headers}
    if wanted is not None:
        if sizes != {wanted}:
            reasons.append(f"images were brought to {by(wanted)} pixels by {resize}, as asked")
        return wanted
    if len(sizes) == 1 and max(next(iter(sizes))) <= KEEP:
        return next(iter(sizes))
    height, width = (float(median(h.size[axis] for h in headers)) for axis in (0, 1))
    shrink = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    heights, widths = [h for h, _ in sizes], [w for _, w in sizes]
    found = (
        f"all images are {by(next(iter(sizes)))} pixels"
        if len(sizes) == 1
        else f"the images have {len(sizes)} sizes, from {by((min(heights), min(widths)))} to "
        f"{by((max(heights), max(widths)))} pixels"
    )
    rule = "the median size" + (f", at most {LONGEST} on the longer side" if shrink < 1 else "")
    reasons.append(
        f"{found}; they were brought to {by(size)} ({rule}) by {resize}; choose another with formats.Image(size=(h, w))"
    )
    return size


def choose_mode(wanted: str | None, headers: list[Header], reasons: list[str]) -> str:
    """The richest mode among the files, or the one asked for; said in ``reasons``."""
    counts = {mode: sum(h.mode == mode for h in headers) for mode in CHANNELS}
    present = [mode for mode, count in counts.items() if count]
    mixture = ", ".join(f"{counts[m]} {m}" for m in present)
    if wanted is not None:
        if present != [wanted]:
            reasons.append(f"the images ({mixture}) were converted to {wanted}, as asked")
        return wanted
    if len(present) > 1:
        reasons.append(f"the images are mixed ({mixture}); all were converted to the richest, {present[-1]}")
    return present[-1]


def by(size: tuple[int, ...]) -> str:
    """A size in words: height × width."""
    return f"{size[0]} × {size[1]}"
