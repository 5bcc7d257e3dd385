"""One column of a table: what it holds, and how its cells become scaled numbers and come back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa, pc
from narrows._part import check_fields
from narrows.data.cells import add_base, number_array, whole_array
from narrows.data.frames import Cells, Name, column_name, parse_type
from narrows.data.scaling import Affine, Floats, Scaler, scaler_from_config
from narrows.errors import InvalidData

Mask = NDArray[np.bool_]
Codes = NDArray[np.int64]

#: Values beyond this cannot be squared and summed safely.
LARGEST = 1e100


@dataclass(frozen=True)
class Column:
    """How one column was fitted.

    Attributes:
        name: The column's name; its position in an array.
        kind: "number", "integer", "boolean", "category", "datetime" or "blank" (blank in every row).
        type: Arrow's name of the type to give back, with unit, time zone, precision.
        native: The container's own name of that type, where it has one.
        base: What is subtracted before scaling, exactly, as a whole number (0 for numbers).
        step: Times come back as multiples of this many ticks, as they all were in training: of a day, say.
        low: Smallest value seen, less ``base``; exact.
        high: Largest value seen, less ``base``; exact.
        scaler: Scales what is left; None for categories.
        categories: The categories kept, as text.
        other: What the pooled category comes back as; None when nothing was pooled.
        pooled: The categories pooled into ``other``; None when they are too many to list, and then everything that
            is not kept counts as ``other``.
        likely: The most frequent of the pooled categories: what a cell of the pool most likely holds.
        levels: The categories that the type itself declares, in order (pandas category, polars Enum).
        blanks: Share of blank cells in training.
        places: Decimal places that all numbers had; None where some had more than 6. Made-up numbers have as many.
    """

    name: Name
    kind: str
    type: str
    native: str = ""
    base: int = 0
    step: int = 1
    low: float | int = 0
    high: float | int = 0
    scaler: Scaler | None = None
    categories: tuple[str, ...] = ()
    other: str | None = None
    pooled: tuple[str, ...] | None = ()
    likely: str | None = None
    levels: tuple[str, ...] = ()
    blanks: float = 0.0
    places: int | None = None

    @property
    def width(self) -> int:
        """How many categories the column has for the model; 0 when it is a number to it."""
        if self.scaler is not None or self.kind == "blank":
            return 0
        return 2 if self.kind == "boolean" else len(self.categories) + (self.other is not None)

    @property
    def constant(self) -> bool:
        """Whether only one value was seen."""
        if self.kind in ("blank", "boolean") and self.scaler is None:
            return False
        return self.width == 1 if self.scaler is None else self.low == self.high

    @property
    def scaled_range(self) -> tuple[float, float]:
        """Smallest and largest value in scaled units; indices for categories."""
        if self.scaler is None:
            return 0.0, float(max(self.width - 1, 0))
        low, high = self.scaler.forward(np.array([self.low, self.high], dtype=float))
        return float(low), float(high)

    # --- raw to scaled ---------------------------------------------------------------------------------------

    def encode(self, cells: Cells) -> tuple[NDArray[Any], Mask, int]:
        """Scaled values of raw cells.

        Args:
            cells: The raw column, ``(n,)``.

        Returns:
            Values ``(n,)``, 0 where blank; which are blank ``(n,)``; and how many were made blank because their
            category (or any value, in a column that was blank in training) was never seen.

        Raises:
            InvalidData: If the cells are of another kind than in training, or infinite.
        """
        empty = blank_cells(cells)
        if self.kind == "blank":
            return np.zeros(len(cells)), np.ones(len(cells), bool), int((~empty).sum())
        if empty.all():
            return np.zeros(len(cells)), empty, 0
        if self.kind == "category":
            return self._encode_category(cells, empty)
        if self.kind == "datetime":
            relative = relative_to(times(self._as_time(cells)), self.base)
        else:
            values = self._as_numbers(cells, empty)
            relative = relative_to(values, self.base)
        if self.scaler is not None:
            relative = self.scaler.forward(relative)
            if self.scaler.kind == "minmax":
                relative = np.clip(relative, 0.0, 1.0)
        return np.where(empty, 0.0, relative), empty, 0

    def _as_numbers(self, cells: Cells, empty: Mask) -> NDArray[Any]:
        values = numbers(cells)
        if values is None:
            raise InvalidData(
                f"{column_name(self.name)} held {_KINDS[self.kind]} when fitted, but now holds {_holds(cells)} such "
                f"as {_example(cells)!r} (could not convert to a number): correct or blank these cells"
            )
        check_finite(values, self.name)
        if self.kind == "boolean" and not np.isin(values[~empty], (0, 1)).all():
            wrong = values[~empty & ~np.isin(values, (0, 1))][0]
            raise InvalidData(f"{column_name(self.name)} held booleans when fitted, but now holds {wrong!r}")
        return values

    def _as_time(self, cells: Cells) -> Any:
        wanted = parse_type(self.type)
        if isinstance(cells, pa.Array) and pa.types.is_temporal(cells.type):
            try:
                return cells.cast(wanted, safe=False)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                pass
        raise InvalidData(
            f"{column_name(self.name)} held {_time_word(wanted)} when fitted, but now holds {_holds(cells)} such as "
            f"{_example(cells)!r}: convert it first, for instance with pandas.to_datetime"
        )

    def _encode_category(self, cells: Cells, empty: Mask) -> tuple[NDArray[Any], Mask, int]:
        indices, levels = as_categories(cells, self.type)
        lookup = {c: i for i, c in enumerate(self.categories)}
        pool = set(self.pooled) if self.pooled is not None else None
        # where every value was pooled (an identifier), a new one is as good as any
        unknown = len(self.categories) if self.other is not None and (pool is None or not self.categories) else -1
        if self.other is not None:
            lookup.setdefault(self.other, len(self.categories))
        codes = [lookup.get(v, unknown) for v in levels]
        if pool:
            codes = [len(self.categories) if c < 0 and v in pool else c for c, v in zip(codes, levels, strict=True)]
        values = np.append(np.asarray(codes, dtype=np.int64), 0)[np.where(empty, len(codes), indices)]
        unseen = values < 0
        return np.where(unseen, 0, values), empty | unseen, int(unseen.sum())

    # --- scaled to raw ---------------------------------------------------------------------------------------

    def decode(self, z: Floats, blank: Mask, clip: bool = True, drawn: bool = False) -> Any:
        """Raw cells of scaled values.

        Args:
            z: ``(n,)`` scaled values.
            blank: ``(n,)`` which are to come back blank.
            clip: Whether to stay in the range seen in training.
            drawn: Whether they are drawn, to look like those of training: numbers get as many decimal places.

        Returns:
            An Arrow array ``(n,)`` of the column's type.
        """
        kind = parse_type(self.type)
        blank = blank | np.isnan(z)
        if self.kind == "blank":
            return pa.nulls(len(z), kind)
        z = np.where(blank, 0.0, z)
        if self.scaler is None:
            codes = np.clip(np.rint(z), 0, self.width - 1).astype(np.int64)
            if self.kind == "boolean":
                return pa.array(codes.astype(bool), mask=blank).cast(kind)
            return self._categories(codes, blank, kind)
        x = self.scaler.inverse(z)
        if clip:
            x = np.clip(x, self.low, self.high)
        if self.kind == "boolean":
            return pa.array(x >= 0.5, mask=blank).cast(kind)
        if self.kind == "number":
            return number_array(x, blank, kind, self.places if drawn else None)
        whole = add_base(np.rint(x / self.step) * self.step, self.base)
        if clip:
            whole = np.clip(whole, self.base + int(self.low), self.base + int(self.high))
        return whole_array(whole, blank, kind)

    def _categories(self, codes: Codes, blank: Mask, kind: Any) -> Any:
        names = [*self.categories] + ([self.other] if self.other is not None else [])
        if pa.types.is_dictionary(kind):
            place = {v: i for i, v in enumerate(self.levels)}
            indices = np.array([place[str(n)] for n in names])[codes]
            dictionary = pa.array(self.levels, pa.large_string()).cast(kind.value_type)
            index = pa.array(indices, mask=blank).cast(kind.index_type)
            return pa.DictionaryArray.from_arrays(index, dictionary, ordered=kind.ordered)
        return pa.array(names, pa.large_string()).cast(kind).take(pa.array(codes, mask=blank))

    # --- for people and files --------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The column in plain words and numbers, for ``narrows info``."""
        result: dict[str, Any] = {"name": self.name, "kind": self.kind, "blanks": self.blanks}
        result["constant"] = self.constant
        result["scaling"] = self.scaler.kind if self.scaler is not None else None
        if self.scaler is not None:
            both = np.array([self.low, self.high], dtype=float)
            ends = self.decode(self.scaler.forward(both), np.zeros(2, bool)).to_pylist()
            result["low"], result["high"] = (v if isinstance(v, (int, float, bool)) else str(v) for v in ends)
        result["categories"] = [*self.categories] if self.kind == "category" else None
        result["pooled_as"] = self.other
        return result

    def to_config(self) -> dict[str, Any]:
        """The column as plain JSON."""
        config = {k: v for k, v in self.__dict__.items() if k != "scaler"}
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
        return {**config, "scaler": None if self.scaler is None else self.scaler.to_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Column:
        """The column that ``to_config`` described."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        scaler = values.pop("scaler", None)
        column = cls(**values, scaler=None if scaler is None else scaler_from_config(scaler))
        check_fields(column)
        parse_type(column.type)
        if column.kind not in _KINDS:
            raise ValueError(f"unknown kind of column {column.kind!r}")
        return column


_KINDS = {
    "number": "numbers",
    "integer": "whole numbers",
    "boolean": "booleans",
    "category": "categories",
    "datetime": "times",
    "blank": "nothing",
}


# --- reading cells ---------------------------------------------------------------------------------------------


def blank_cells(cells: Cells) -> Mask:
    """Which cells ``(n,)`` are blank: null, None, NaN, NaT."""
    if isinstance(cells, np.ndarray):
        return np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), bool)
    if pa.types.is_floating(cells.type):
        cells = cells.cast(pa.float64())
        return cells.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_dictionary(cells.type) and cells.dictionary.null_count:
        cells = cells.dictionary_decode()
    return cells.is_null().to_numpy(zero_copy_only=False)


def numbers(cells: Cells) -> NDArray[Any] | None:
    """The cells as a NumPy array of numbers (blanks NaN, or 0 in whole numbers); None when they are not numbers."""
    if isinstance(cells, np.ndarray):
        return cells.astype(np.float64) if cells.dtype.kind == "f" else cells
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells, kind = cells.dictionary_decode(), kind.value_type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.asarray(cells.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    if pa.types.is_integer(kind):
        return np.asarray(cells.fill_null(0).to_numpy(zero_copy_only=False))
    if pa.types.is_boolean(kind):
        return np.asarray(cells.fill_null(False).to_numpy(zero_copy_only=False))
    return None


def times(cells: Any) -> NDArray[np.int64]:
    """The cells of a temporal Arrow array as ticks of its unit; 0 where blank."""
    if pa.types.is_date32(cells.type) or pa.types.is_time32(cells.type):
        cells = cells.cast(pa.int32())
    return np.asarray(cells.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))


def as_categories(cells: Cells, type_name: str = "") -> tuple[Codes, list[str]]:
    """The cells as indices ``(n,)`` into a list of distinct categories, as text; blanks have any index.

    Args:
        cells: The raw column.
        type_name: The type that the cells are first cast to where they can be, so that 1.0 is 1.
    """
    if isinstance(cells, np.ndarray):
        cells = pa.array(cells, from_pandas=True)
    if not pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_encode()
    levels = cells.dictionary
    if type_name:
        wanted = parse_type(type_name)
        wanted = wanted.value_type if pa.types.is_dictionary(wanted) else wanted
        if pa.types.is_integer(wanted) and pa.types.is_floating(levels.type):
            with contextlib.suppress(pa.ArrowInvalid):
                levels = levels.cast(wanted)
    texts = levels.cast(pa.large_string()).to_pylist()
    indices = cells.indices.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return indices, ["" if t is None else t for t in texts]


def relative_to(values: NDArray[Any], base: int) -> Floats:
    """``values − base`` in float64, exact for whole numbers up to 2⁵³ apart."""
    if base == 0 or values.dtype.kind in "fb":
        return values.astype(np.float64) - base
    about = values.astype(np.float64) - base
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        return about
    exact = (values.astype(np.int64) - np.int64(base)).astype(np.float64)
    return np.where(np.abs(about) < 2.0**62, exact, about)


def check_finite(values: NDArray[Any], name: Name) -> None:
    """Raise unless all numbers are finite (NaN is a blank)."""
    if values.dtype.kind != "f":
        return
    wrong = np.abs(values) > LARGEST
    if wrong.any():
        row = int(wrong.argmax())
        word = "infinity" if np.isinf(values[row]) else "infinity or a value too large (above 1e100)"
        more = int(wrong.sum()) - 1
        others = f", and so do {more} more cells of it" if more > 1 else ", and so does one more cell of it" * more
        raise InvalidData(
            f"Input X contains {word}: {column_name(name)}, row {row} holds {values[row]}{others}. "
            "Blank these cells (NaN) or replace them."
        )


def _holds(cells: Cells) -> str:
    kind = cells.type if isinstance(cells, pa.Array) else None
    kind = kind.value_type if kind is not None and pa.types.is_dictionary(kind) else kind
    if kind is None or pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return "numbers"
    return _time_word(kind) if pa.types.is_temporal(kind) else "booleans" if pa.types.is_boolean(kind) else "text"


def _time_word(kind: Any) -> str:
    if pa.types.is_date(kind):
        return "dates"
    if pa.types.is_timestamp(kind):
        return "timestamps" if kind.tz is None else f"timestamps in {kind.tz}"
    return "durations" if pa.types.is_duration(kind) else "times of day"


def _example(cells: Cells) -> Any:
    """A cell to show: the first that is not a number, else the first that is there."""
    given = (pc.drop_null(cells) if isinstance(cells, pa.Array) else pa.array(cells, from_pandas=True)).to_pylist()
    return next((v for v in given if not _reads_as_number(v)), given[0])


def _reads_as_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def affine_parts(column: Column) -> tuple[float, float] | None:
    """Centre and scale of a column that is a number to the model and scaled by an unclipped line; else None."""
    scaler = column.scaler
    if column.kind != "number" or not isinstance(scaler, Affine) or scaler.kind == "minmax":
        return None
    return scaler.centre, scaler.scale
