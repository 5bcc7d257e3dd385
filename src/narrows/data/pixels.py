"""Arrays of pixels: checks, scale, channels and size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from narrows._types import Rows
from narrows.errors import InvalidData

NATURAL = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}
_MODES = {1: "grey", 3: "rgb", 4: "rgba"}
_CHUNK = 1 << 18  # pixels converted at once: few enough to stay in the processor's cache
_FAR = 20.0


@dataclass(frozen=True)
class Scale:
    """Raw pixel values to values in [0, 1] and back: (raw − low) / (high − low).

    Attributes:
        low: Raw value that becomes 0.
        high: Raw value that becomes 1.
        dtype: Type of the raw pixels.
        natural: Whether the range is the type's own (0 to 255 for uint8), so that every type is read by its own
            range, rather than one measured on the data.
        counts: Whether values are kept as the raw whole numbers, for a likelihood of counts.
    """

    low: float
    high: float
    dtype: str
    natural: bool
    counts: bool = False

    @property
    def unit(self) -> float:
        """The value that the largest raw value becomes."""
        return self.high if self.counts else 1.0

    def to_values(self, array: NDArray[Any]) -> tuple[Tensor, Tensor | None]:
        """``(n, h, w[, c])`` pixels as ``(n, c, h, w)`` float32 values and, if there are blanks, the observed mask.

        Raises:
            InvalidData: If pixels are infinite, or on quite another scale than the fitted ones.
        """
        if array.ndim == 3:
            array = array[..., None]
        n, h, w, c = array.shape
        values = np.empty((n, c, h, w), dtype=np.float32)
        low, high = self._range_of(array.dtype)
        step = max(1, _CHUNK // (h * w * c))
        floating = array.dtype.kind == "f"
        wide = np.dtype(np.float64 if array.dtype.itemsize > 2 else np.float32)
        blank = False
        for start in range(0, n, step):
            part = array[start : start + step].transpose(0, 3, 1, 2)
            scaled = (part.astype(wide) - low) / (high - low)
            with np.errstate(over="ignore"):  # what is far out of range is refused below
                values[start : start + step] = scaled
            if floating and not np.isfinite(scaled).all():
                if np.isinf(part).any():
                    raise InvalidData(
                        f"{int(np.isinf(array).sum())} pixel values are infinite; replace them, or make them NaN"
                    )
                blank = True
        self._check_range(values, array.dtype)
        tensor = torch.from_numpy(values)
        if not blank:
            return tensor, None
        observed = ~torch.isnan(tensor)
        return tensor.nan_to_num_(nan=0.0), observed

    def to_raw(self, values: NDArray[np.float32], clip: bool = True) -> NDArray[Any]:
        """Values, of any shape, as raw pixels; brought into range first if ``clip`` or if they are whole numbers."""
        raw = np.empty(values.shape, dtype=self.dtype)
        whole = raw.dtype.kind in "biu"
        step = max(1, _CHUNK // max(1, values[:1].size))
        span, offset = (1.0, 0.0) if self.counts else (self.high - self.low, self.low)
        for start in range(0, len(values), step):
            part = values[start : start + step].astype(np.float64)
            if clip or whole:
                part = np.clip(part, 0, self.unit)
            part = part * span + offset
            if whole:
                part = np.round(part)
            raw[start : start + step] = part
        return raw

    def describe(self) -> str:
        """The scale in words."""
        return f"{self.dtype} from {self.low:g} to {self.high:g}"

    def _range_of(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        if self.counts:
            return 0.0, 1.0
        if self.natural and dtype.name != self.dtype:
            # a model fitted on uint8 may be shown the same images as decimal numbers in [0, 1], and the reverse
            if dtype.name in NATURAL:
                return 0.0, NATURAL[dtype.name]
            if dtype.kind == "f":
                return 0.0, 1.0
        return self.low, self.high

    def _check_range(self, values: NDArray[np.float32], dtype: np.dtype[Any]) -> None:
        if self.counts or (dtype.name in NATURAL and self.natural):
            return
        far = max(abs(float(np.nanmin(values, initial=0.0))), abs(float(np.nanmax(values, initial=0.0))))
        if far > _FAR:
            low, high = self._range_of(dtype)
            raise InvalidData(
                f"pixels of type {dtype} reach {far * (high - low) + low:g}, but the images that were fitted lie "
                f"between {low:g} and {high:g}; bring them to the same scale (uint8, or divided by 255)"
            )


def check_array(array: NDArray[Any]) -> int:
    """How many pixel values are blank (NaN).

    Raises:
        InvalidData: If pixels are infinite or all are blank.
    """
    if array.dtype.kind != "f":
        return 0
    missing = infinite = 0
    for part in array:
        missing += int(np.isnan(part).sum())
        infinite += int(np.isinf(part).sum())
    if infinite:
        raise InvalidData(f"{infinite} pixel values are infinite; replace them, or make them NaN (blank)")
    if missing == array.size:
        raise InvalidData("all pixel values are blank (NaN); there is nothing to learn from")
    return missing


def choose_scale(array: NDArray[Any], counts: bool, reasons: list[str]) -> Scale:
    """The scale that suits an array's type and range; what is not the type's own range is said in ``reasons``."""
    name = array.dtype.name
    low, high = (float(np.nanmin(array)), float(np.nanmax(array))) if name != "bool" else (0.0, 1.0)
    if counts:
        if low < 0 or (array.dtype.kind == "f" and bool((np.nan_to_num(array) % 1 != 0).any())):
            raise InvalidData(
                f"a likelihood of counts needs whole numbers from 0, but pixels go from {low:g} to {high:g}"
            )
        return Scale(0.0, max(high, 1.0), name, natural=False, counts=True)
    if name in NATURAL and not (name != "bool" and high <= 1):
        return Scale(0.0, NATURAL[name], name, natural=True)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return Scale(0.0, 1.0, name, natural=True)
    if name in NATURAL and high == 0:
        return Scale(0.0, NATURAL[name], name, natural=True)
    if low == 0 and high == 1:
        reasons.append(f"the {name} pixels are 0 and 1 only; 1 is taken as white")
        return Scale(0.0, 1.0, name, natural=False)
    if high == low:
        reasons.append(f"all pixels are {low:g}; this becomes 0")
        return Scale(low, low + max(1.0, abs(low)), name, natural=False)
    if not np.isfinite(high - low):
        raise InvalidData(
            f"pixels from {low:g} to {high:g} are too far apart for decimal numbers; bring them to a smaller scale"
        )
    reasons.append(f"pixels of type {name} from {low:g} to {high:g} were scaled to 0 to 1 by these two")
    return Scale(low, high, name, natural=False)


def mode_of_array(array: NDArray[Any]) -> str:
    """The mode (grey, rgb or rgba), by the number of channels of ``(n, h, w[, c])``."""
    return "grey" if array.ndim == 3 else _MODES[array.shape[3]]


def convert_channels(values: Tensor, mode: str, top: float = 1.0) -> Tensor:
    """``(n, c, h, w)`` values in another mode; transparency is laid on white where ``mode`` has none."""
    channels = values.shape[1]
    wanted = {"grey": 1, "rgb": 3, "rgba": 4}[mode]
    if channels == wanted:
        return values
    if channels == 4:
        alpha = values[:, 3:] / top
        values = values[:, :3] * alpha + top * (1 - alpha)
    if wanted == 1:
        weight = values.new_tensor([0.299, 0.587, 0.114])  # ITU-R BT.601 luma, as Pillow does
        return (values * weight[:, None, None]).sum(dim=1, keepdim=True)
    colours = values.expand(-1, 3, -1, -1)
    if wanted == 3:
        return colours.contiguous()
    return torch.cat([colours, torch.full_like(colours[:, :1], top)], dim=1)


def resize_values(values: Tensor, size: tuple[int, int], resize: str) -> Tensor:
    """``(n, c, h, w)`` values brought to ``size`` by "crop", "pad" or "stretch", like the files are."""
    height, width = size
    h, w = values.shape[2:]
    if resize != "stretch":
        choose = max if resize == "crop" else min
        scale = choose(width / w, height / h)
        h, w = max(1, round(h * scale)), max(1, round(w * scale))
    else:
        h, w = height, width
    blocks = [
        F.interpolate(block, size=(h, w), mode="bilinear", antialias=True, align_corners=False)
        for block in torch.split(values, 1024)
    ]
    scaled = torch.cat(blocks)
    top, left = (h - height) // 2, (w - width) // 2
    if resize == "pad":
        return F.pad(scaled, (-left, width - w + left, -top, height - h + top))
    return scaled[:, :, top : top + height, left : left + width].contiguous()


def grey_level_share(rows: Rows, top: float) -> float:
    """Share of values within 5 % of black or white, in [0, 1]; 0 where one end is rare or hardly anything else is there.

    Pictures that are dark almost everywhere are not black and white: fewer than 1 % of their values may be at the other
    end, or more than 90 % at this one, with shades between. What stands out of the dark is learnt sooner as shades.
    """
    values = rows.values / top
    if rows.observed is not None:
        values = values[rows.observed]
    if values.numel() == 0:
        return 0.0
    black = float((values <= 0.05).float().mean())
    white = float((values >= 0.95).float().mean())
    plain = black + white > 0.999  # nothing but black and white, however much of either
    return black + white if min(black, white) >= 0.01 and (plain or max(black, white) <= 0.9) else 0.0
