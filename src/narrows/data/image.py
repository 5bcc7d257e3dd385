"""The image format: arrays, lists and folders of images to rows of tensors in [0, 1], and back."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows._part import Interval, Part, check_fields
from narrows._types import Layout, Rows
from narrows.data.gather import arrange, by, choose_mode, choose_size
from narrows.data.pictures import CHANNELS, Header, Picture, Target, decode, each, name_of, read_header
from narrows.data.pixels import (
    Scale,
    check_array,
    choose_scale,
    convert_channels,
    grey_level_share,
    mode_of_array,
    resize_values,
)
from narrows.errors import DataWarning, InvalidData, InvalidParameter, SavedModelError, UnreadableFile

if TYPE_CHECKING:
    from narrows.likelihoods import Likelihood

LOOKED_AT = 256
"""How many images, evenly spread, are decoded to choose the likelihood."""
BILEVEL_SHARE = 0.5
"""From this share of black and white pixels on, the Bernoulli likelihood is chosen: its mean comes up to the ends and
never beyond them, where a linear one must learn every such pixel to the dot."""


class Image(Part, room="formats"):
    """Options of the image format.

    Args:
        size: Height and width in pixels that every image is brought to. None: arrays stay as they are; files keep
            their size if all have the same one, up to 256 pixels; otherwise the median size, at most 64 pixels on
            the longer side.
        mode: "grey", "rgb" or "rgba". None: the richest among the images.
        skip_bad: Leave out files that cannot be read, with a warning that counts them, instead of stopping.
        resize: How an image of another shape is brought to ``size``: "crop" fills it and cuts the rest off evenly,
            "pad" shows all of the image on black, "stretch" changes the proportions.
        max_pixels: Files whose header says that they unpack to more pixels than this are refused unread.

    Example:
        ```python
        fitted = Image(size=(32, 32)).fit("photos/")
        rows = fitted.to_rows("photos/")            # values (n, 3, 32, 32) in [0, 1]
        images = fitted.from_values(rows.values)    # uint8 (n, 32, 32, 3)
        ```
    """

    size: Annotated[tuple[int, int] | None, Interval(1)] = None
    mode: Literal["grey", "rgb", "rgba"] | None = None
    skip_bad: bool = False
    resize: Literal["crop", "pad", "stretch"] = "crop"
    max_pixels: Annotated[int, Interval(1)] = 89_478_485

    def fit(self, raw: Any, likelihood: Likelihood | None = None) -> ImageFormat:
        """Learn size, channels and scale.

        Args:
            raw: ``(n, h, w)`` or ``(n, h, w, c)`` array with c 1, 3 or 4; or a list of image files, Pillow images or
                arrays; or a folder, searched with its sub-folders.
            likelihood: The one that will judge the pixels; None: chosen by the pixels.

        Returns:
            The fitted format.

        Raises:
            InvalidData: If the images are empty, infinite, of a wrong shape, or all blank.
            UnreadableFile: If a file is no image, is damaged, or is larger than ``max_pixels``.
            InvalidParameter: If the likelihood cannot describe pixels.
        """
        self.check()
        domain = getattr(likelihood, "domain", "unit")
        if domain in ("indices", "mixed"):
            raise InvalidParameter(
                f"{likelihood!r} describes the columns of a table; for images use likelihoods.Gaussian(), "
                "likelihoods.Bernoulli() or leave the choice to the format"
            )
        pictures, array = arrange(raw)
        if array is not None:
            return _fit_array(self, array, likelihood)
        return _fit_pictures(self, pictures, likelihood)


@dataclass(frozen=True)
class ImageFormat:
    """A fitted image format: what images are in this model, and the way there and back.

    Attributes:
        options: The options it was fitted with.
        mode: "grey", "rgb" or "rgba".
        size: Height and width in pixels.
        scale: Raw pixel values that become 0 and 1, and the raw type.
        flat: Whether grey images come back as ``(n, h, w)`` rather than ``(n, h, w, 1)``.
        files: Whether it was fitted on image files.
        blanks: Whether pixels were missing in training.
        black_white: Share of black and white pixels that was measured, in [0, 1].
        given: The likelihood that was given; None when it was chosen.
        reasons: What was chosen and why, and what was changed, in plain words.
    """

    options: Image
    mode: str
    size: tuple[int, int]
    scale: Scale
    flat: bool
    files: bool
    blanks: bool
    black_white: float
    given: Likelihood | None = None
    reasons: list[str] = dataclasses.field(default_factory=list)

    feature_names: ClassVar[None] = None

    @property
    def layout(self) -> Layout:
        """Shape of one row: ``(channels, height, width)``, and the range of its values."""
        high = float(self.scale.high) if self.scale.counts else 1.0
        return Layout(shape=(CHANNELS[self.mode], *self.size), low=(0.0,), high=(high,), blanks=(self.blanks,))

    @property
    def n_features(self) -> int:
        """How many numbers one image is."""
        return self.layout.size

    def likelihood(self) -> Likelihood:
        """The likelihood given at fitting, or the one that suits: Bernoulli for black and white, else Gaussian."""
        if self.given is not None:
            return self.given
        from narrows import likelihoods

        return likelihoods.Bernoulli() if self._bilevel else likelihoods.Gaussian()

    @property
    def _bilevel(self) -> bool:
        return self.black_white >= BILEVEL_SHARE

    def to_rows(self, raw: Any, owner: str = "this model") -> Rows:
        """Images as rows.

        Args:
            raw: What `Image.fit` takes. Arrays must have the size and channels that were fitted; files are brought
                to them.
            owner: Who asks, for messages.

        Returns:
            Rows with values ``(n, channels, height, width)`` float32, in [0, 1] for values within the range fitted.
            NaN becomes 0 with ``observed`` false.

        Raises:
            InvalidData: If the images are empty, infinite, or of another shape or scale than the fitted ones.
            UnreadableFile: If a file is no image, is damaged, or is larger than the limit.
        """
        pictures, array = arrange(raw)
        return self._read_pictures(pictures) if array is None else self._read_array(array, owner)

    def from_values(
        self, values: Tensor, observed: Tensor | None = None, *, clip: bool = True, like: Any = None
    ) -> NDArray[Any]:
        """Rows' values as images of the kind that was fitted.

        Args:
            values: ``(…, channels, height, width)`` in scaled units.
            observed: Like ``values``, false where a pixel is to come back blank: NaN, where the type has it.
            clip: Whether to bring values into the range of training first; whole numbers always are.
            like: Not used; tables take it.

        Returns:
            ``(…, h, w)`` or ``(…, h, w, c)``, of the type of the fitted array; uint8 (uint16 for deep files) if files
            were fitted.

        Raises:
            InvalidData: If the values have another shape than this format's images.
        """
        if tuple(values.shape[-3:]) != self.layout.shape:
            raise InvalidData(
                f"values of shape {tuple(values.shape)} are no images of this format; expected "
                f"(n, {', '.join(map(str, self.layout.shape))})"
            )
        raw = self.scale.to_raw(_last(values.detach()).to("cpu", torch.float32).numpy(), clip=clip)
        if observed is not None and raw.dtype.kind == "f":
            raw[~_last(observed).cpu().numpy()] = np.nan
        return raw[..., 0] if self.flat else raw

    def describe(self) -> list[dict[str, Any]]:
        """One entry, for the image: kind, size, raw type and range, share of black and white values."""
        height, width = self.size
        return [
            {
                "name": "image",
                "kind": self.mode,
                "height": height,
                "width": width,
                "channels": CHANNELS[self.mode],
                "type": self.scale.dtype,
                "low": self.scale.low,
                "high": self.scale.high,
                "blanks": self.blanks,
                "black_white": self.black_white,
            }
        ]

    def summary(self) -> str:
        """The format in one line of plain words."""
        blanks = ", some pixels blank" if self.blanks else ""
        return f"{self.mode} images of {by(self.size)} pixels, {self.scale.describe()}{blanks}"

    def to_config(self) -> dict[str, Any]:
        """The fitted format as plain JSON."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return own | {
            "format": "image",
            "options": self.options.to_config(),
            "size": list(self.size),
            "scale": dataclasses.asdict(self.scale),
            "given": None if self.given is None else self.given.to_config(),
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The format that `to_config` described.

        Raises:
            SavedModelError: If something is missing from ``config`` or does not fit.
        """
        try:
            if config["given"] is not None:
                import narrows.likelihoods  # noqa: F401  (registers them, so that they can be looked up)
            fields = {f.name: config[f.name] for f in dataclasses.fields(cls)}
            options = Part.from_config(config["options"])
            given = None if config["given"] is None else Part.from_config(config["given"])
            height, width = (int(n) for n in config["size"])
            scale = Scale(**config["scale"])
            check_fields(scale)
            if not isinstance(options, Image) or config["mode"] not in CHANNELS or min(height, width) < 1:
                raise ValueError("the options, mode or size are not those of an image format")
            reasons = [str(reason) for reason in config["reasons"]]
        except (KeyError, TypeError, ValueError) as error:
            raise SavedModelError(f"the saved image format cannot be used ({error!r}); save the model again") from error
        return cls(
            **fields | {"options": options, "size": (height, width), "scale": scale, "given": given, "reasons": reasons}
        )

    # --- reading ---------------------------------------------------------------------------------------------

    def _target(self) -> Target:
        return Target(self.mode, self.size, self.options.resize, self.options.max_pixels)

    def _read_array(self, array: NDArray[Any], owner: str = "this model") -> Rows:
        if self.options.size is None and array.shape[1:3] != self.size:
            raise InvalidData(
                f"the images are {by(array.shape[1:3])} pixels, but {owner} was fitted on {by(self.size)}; resize "
                f"them, or fit with format=formats.Image(size={self.size})"
            )
        given = mode_of_array(array)
        if self.options.mode is None and given != self.mode:
            raise InvalidData(
                f"the images are {given} ({CHANNELS[given]} channels, array of shape {array.shape}), but {owner} was "
                f"fitted on {self.mode} ({CHANNELS[self.mode]} channels); convert them, or fit with "
                f"format=formats.Image(mode={self.mode!r})"
            )
        values, observed = self.scale.to_values(array)
        values = convert_channels(values, self.mode, top=self.scale.unit)
        if tuple(values.shape[2:]) != self.size:
            if observed is not None:
                raise InvalidData("images with blank (NaN) pixels cannot be resized; fill them or leave size=None")
            values = resize_values(values, self.size, self.options.resize)
        if observed is not None and observed.shape != values.shape:
            observed = observed.all(dim=1, keepdim=True).expand(values.shape).contiguous()
            values = values.where(observed, 0.0)
        return Rows(values=values, observed=observed)

    def _read_pictures(self, pictures: list[Picture]) -> Rows:
        target = self._target()
        shape = (CHANNELS[self.mode], *self.size)
        values = np.zeros((len(pictures), *shape), dtype=np.float32)

        def work(picture: Picture, index: int) -> None:
            values[index] = decode(picture, index, target)

        results = each(pictures, work, skip=self.options.skip_bad)
        bad = [i for i, r in enumerate(results) if isinstance(r, UnreadableFile)]
        if bad:
            _warn_skipped(pictures, bad)
            values = np.delete(values, bad, axis=0)
        tensor = torch.from_numpy(values)
        return Rows(values=tensor.mul_(self.scale.high).round_() if self.scale.counts else tensor)


# --- fitting -------------------------------------------------------------------------------------------------


def _fit_array(options: Image, array: NDArray[Any], likelihood: Likelihood | None) -> ImageFormat:
    missing = check_array(array)
    reasons: list[str] = []
    scale = choose_scale(array, counts=getattr(likelihood, "domain", "unit") == "counts", reasons=reasons)
    given = mode_of_array(array)
    mode, size = options.mode or given, options.size or (array.shape[1], array.shape[2])
    if mode != given:
        reasons.append(f"the images are {given} and were converted to {mode}, as asked")
    if size != array.shape[1:3]:
        reasons.append(
            f"the images are {by(array.shape[1:3])} pixels and were brought to {by(size)} by {options.resize}, as asked"
        )
    if missing:
        reasons.append(f"{missing / array.size:.1%} of the pixel values are blank (NaN) and are left out of the loss")
    flat = array.ndim == 3 and mode == "grey"
    step = -(-len(array) // LOOKED_AT)
    draft = ImageFormat(options, mode, size, scale, flat, False, missing > 0, 0.0, likelihood, reasons)
    return _choose_likelihood(draft, draft._read_array(array[::step]))


def _fit_pictures(options: Image, pictures: list[Picture], likelihood: Likelihood | None) -> ImageFormat:
    results = each(pictures, lambda p, i: read_header(p, i, options.max_pixels), skip=options.skip_bad)
    good = [(p, r) for p, r in zip(pictures, results) if isinstance(r, Header)]
    if not good:
        raise UnreadableFile(f"none of the {len(pictures)} files can be read as an image; the first: {results[0]}")
    reasons: list[str] = []
    if len(good) < len(pictures):
        reasons.append(f"{len(pictures) - len(good)} of {len(pictures)} files cannot be read and were left out")
    headers = [h for _, h in good]
    size = choose_size(options.size, options.resize, headers, reasons)
    mode = choose_mode(options.mode, headers, reasons)
    deep = any(h.deep for h in headers)
    if deep:
        reasons.append(
            f"{sum(h.deep for h in headers)} of {len(headers)} images have 16 bits per channel; all come back as 16-bit"
        )
    if animated := sum(h.frames for h in headers):
        reasons.append(f"{animated} files hold several frames; the first of each is used")
    top = 65535 if deep else 255
    counts = getattr(likelihood, "domain", "unit") == "counts"
    scale = Scale(0.0, float(top), "uint16" if deep else "uint8", natural=True, counts=counts)
    draft = ImageFormat(options, mode, size, scale, mode == "grey", True, False, 0.0, likelihood, reasons)
    step = -(-len(good) // LOOKED_AT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # to_rows says it of all files
        return _choose_likelihood(draft, draft._read_pictures([p for p, _ in good][::step]))


def _choose_likelihood(draft: ImageFormat, rows: Rows) -> ImageFormat:
    share = grey_level_share(rows, draft.layout.high[0])
    chosen = dataclasses.replace(draft, black_white=share)
    draft.reasons.insert(0, draft.summary())
    if draft.given is not None:
        draft.reasons.append(f"likelihood {draft.given!r}, as asked")
        return chosen
    name = "Bernoulli" if chosen._bilevel else "Gaussian"
    draft.reasons.append(
        f"likelihood {name}: {share:.0%} of the pixel values are black or white (within 5 % of the ends); from "
        f"{BILEVEL_SHARE:.0%} on they are taken as on or off, in parts (Bernoulli), below as shades (Gaussian)"
    )
    return chosen


def _warn_skipped(pictures: list[Picture], bad: list[int]) -> None:
    if len(bad) == len(pictures):
        raise UnreadableFile(
            f"none of the {len(pictures)} files can be read as an image; the first is {name_of(pictures[0], 0)}"
        )
    names = ", ".join(name_of(pictures[i], i) for i in bad[:3]) + (", …" if len(bad) > 3 else "")
    warnings.warn(
        f"{len(bad)} of {len(pictures)} image files cannot be read and were left out: {names}",
        DataWarning,
        stacklevel=4,
    )


def _last(values: Tensor) -> Tensor:
    """Channels moved to the end, as raw images have them."""
    return values.movedim(-3, -1)
