"""Images to files: a folder of PNGs, one grid, or an array file, each there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from narrows.errors import InvalidData, InvalidParameter
from narrows.files import atomic

_GRID_WIDTH = 1600  # pixels that a grid of small images is enlarged to fill, at most
_GAP = 2


def write_images(
    array: NDArray[Any],
    path: str | os.PathLike[str],
    *,
    columns: int | None = None,
    low: float | None = None,
    high: float | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write images to ``path``, in the form that its ending names.

    ``.png``: all of them on one grid, small ones enlarged by a whole factor. ``.npz`` (under the name ``images``) and
    ``.npy``: the array as it is. No ending: a folder of PNGs, ``00000.png`` onwards.

    Args:
        array: ``(n, h, w)`` or ``(n, h, w, c)`` with c 1, 3 or 4; uint8, uint16, bool, or numbers.
        path: Where to write.
        columns: How many images stand side by side on a grid; None: as many as make it about square.
        low: Number that is shown black; None: the type's least, 0 for decimal numbers, or the smallest one if negative.
        high: Number that is shown white; None: the type's largest, 1 for decimal numbers, or the largest one if above.
        overwrite: Whether a folder that already holds files is replaced. Single files always are.

    Returns:
        The files that were written.

    Raises:
        InvalidData: If the array is no set of images, or holds NaN or infinity where pictures are to be drawn.
        InvalidParameter: If the ending is not known, or the folder already holds files.

    Example:
        ```python
        write_images(model.sample(25), "samples.png", columns=5)
        ```
    """
    images = np.asarray(array)
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix == ".npy":
        with atomic(target) as temporary:
            np.save(temporary, images, allow_pickle=False)
        return [target]
    if suffix == ".npz":
        with atomic(target) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, images=images)
        return [target]
    _check(images)
    if suffix == ".png":
        with atomic(target) as temporary:
            Pillow.fromarray(grid(_as_bytes(images, low, high), columns)).save(temporary, format="PNG")
        return [target]
    if suffix and not target.is_dir():
        raise InvalidParameter(
            f"images cannot be written as {suffix!r}; end the name in .png (one grid), .npz or .npy, or in nothing (a "
            "folder of PNGs)"
        )
    return _write_folder(images, target, low, high, overwrite)


def grid(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Images side by side on white, with a gap between them; small ones enlarged by a whole factor.

    Args:
        images: ``(n, h, w)`` or ``(n, h, w, c)`` bytes.
        columns: How many side by side; None: as many as make the grid about square.

    Returns:
        ``(H, W)`` or ``(H, W, c)`` bytes.
    """
    n, h, w = images.shape[:3]
    columns = min(n, columns or max(1, round((n * h / w) ** 0.5)))
    lines = -(-n // columns)
    factor = max(1, min(8, _GRID_WIDTH // (columns * (w + _GAP)), _GRID_WIDTH // (lines * (h + _GAP))))
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    h, w = h * factor, w * factor
    sheet = np.full((lines * (h + _GAP) + _GAP, columns * (w + _GAP) + _GAP, *images.shape[3:]), 255, dtype=np.uint8)
    for index, image in enumerate(large):
        top, left = (_GAP + place * (side + _GAP) for place, side in zip(divmod(index, columns), (h, w)))
        sheet[top : top + h, left : left + w] = image
    return sheet[..., 0] if sheet.ndim == 3 and sheet.shape[2] == 1 else sheet


def _write_folder(
    images: NDArray[Any], target: Path, low: float | None, high: float | None, overwrite: bool
) -> list[Path]:
    if target.exists() and (not target.is_dir() or any(target.iterdir())) and not overwrite:
        raise InvalidParameter(f"{str(target)!r} already holds files; name another folder, or say overwrite=True")
    deep = images.dtype == np.uint16 and images.ndim == 3
    pictures = images if deep else _as_bytes(images, low, high)
    if pictures.ndim == 4 and pictures.shape[3] == 1:
        pictures = pictures[..., 0]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}-", dir=target.parent))
    digits = max(5, len(str(len(pictures) - 1)))
    names = [f"{index:0{digits}}.png" for index in range(len(pictures))]
    try:
        for name, picture in zip(names, pictures):
            Pillow.fromarray(np.ascontiguousarray(picture)).save(temporary / name, format="PNG")
        temporary.chmod(0o777 & ~_umask())
        if target.exists():
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [target / name for name in names]


def _as_bytes(images: NDArray[Any], low: float | None, high: float | None) -> NDArray[np.uint8]:
    if images.dtype == np.uint8 and low is None and high is None:
        return images
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise InvalidData("images with NaN or infinite pixels cannot be drawn; fill them first, or write them as .npz")
    tops = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}
    top = tops.get(images.dtype.name)
    low = low if low is not None else 0.0 if top else min(0.0, float(images.min()))
    high = high if high is not None else top or max(1.0, float(images.max()))
    if not high > low:
        raise InvalidParameter(f"low={low:g} and high={high:g} leave no shades between them; give high above low")
    scaled = (images.astype(np.float64) - low) / (high - low)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _check(images: NDArray[Any]) -> None:
    known = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
    if not known or images.size == 0 or images.dtype.kind not in "buif":
        raise InvalidData(
            f"an array of shape {images.shape} and type {images.dtype} cannot be drawn; give (n, height, width) or "
            "(n, height, width, channels) numbers with 1, 3 or 4 channels"
        )


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
