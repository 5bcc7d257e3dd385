"""Sample data by name: some embedded and always there, some downloaded once, checked and kept."""

from __future__ import annotations

import contextlib
import csv
import difflib
import gzip
import io
import lzma
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.data.entries import ENTRIES, Entry
from narrows.errors import InvalidData, InvalidParameter, UnreadableFile

_ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@dataclass(frozen=True)
class Sample:
    """A sample data set.

    Attributes:
        name: What it is called.
        kind: "images", "table" or "series".
        data: ``(n, h, w)`` array of images, a pyarrow table, or an array ``(n, T)`` of series.
        test: Held-out rows of the same kind; None when the set has no such part.
        labels: ``(n,)`` the class of every row, for colouring figures and judging codes; None when there is none. Never
            used in training. For tables it is one of the columns.
        test_labels: The same of ``test``.
        licence: Licence, in a few words.
        source: Where it comes from, with its citation.
        description: What it is, in one line.
    """

    name: str
    kind: str
    data: Any
    test: Any
    labels: NDArray[Any] | None
    test_labels: NDArray[Any] | None
    licence: str
    source: str
    description: str


def catalogue() -> list[Entry]:
    """All sample data sets, embedded ones first."""
    return list(ENTRIES)


def nearest(name: str) -> list[str]:
    """Names of sample data sets that look like ``name``, best first."""
    return difflib.get_close_matches(name.lower(), [e.name for e in ENTRIES], n=3, cutoff=0.5)


def load(name: str, *, url: str | None = None, cache: str | os.PathLike[str] | None = None) -> Sample:
    """A sample data set by name.

    Embedded ones need no network. The others are downloaded once, checked against the SHA-256 of their content, and
    kept in the user's cache folder.

    Args:
        name: A name from `catalogue`.
        url: Folder of a mirror that holds ``<name>/<file>``; None: the environment variable ``NARROWS_DATA_URL`` if it
            is set, else the set's own site.
        cache: Folder to keep downloads in; None: ``NARROWS_DATA_DIR`` if set, else the user's cache folder.

    Returns:
        The data with its licence and source.

    Raises:
        InvalidParameter: If no set has that name.
        UnreadableFile: If a download fails or its content is not what it should be. Nothing is kept then.

    Example:
        ```python
        fashion = load("fashion")
        fashion.data.shape   # (6000, 28, 28)
        ```
    """
    entry = next((e for e in ENTRIES if e.name == name.lower()), None)
    if entry is None:
        near = nearest(name)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InvalidParameter(
            f"no sample data is called {name!r}; {hint}there are {', '.join(e.name for e in ENTRIES)}"
        )
    parts = _LOADERS[entry.name]() if entry.embedded else _download(entry, url, cache)
    data, labels, test, test_labels = parts
    return Sample(
        entry.name, entry.kind, data, test, labels, test_labels, entry.licence, entry.source, entry.description
    )


# --- embedded ------------------------------------------------------------------------------------------------

Parts = tuple[Any, NDArray[Any] | None, Any, NDArray[Any] | None]


def _embedded(name: str) -> bytes:
    return resources.files("narrows.data").joinpath("embedded", name).read_bytes()


def _digits() -> Parts:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.float32), found.target, None, None


def _fashion() -> Parts:
    images = parse_idx(lzma.decompress(_embedded("fashion-images.idx.xz")), "fashion")
    labels = parse_idx(lzma.decompress(_embedded("fashion-labels.idx.xz")), "fashion")
    return images[:6000], labels[:6000], images[6000:], labels[6000:]


def _table(file: str, label: str) -> Callable[[], Parts]:
    def read() -> Parts:
        # not pyarrow's own reader: its threads abort the interpreter now and then when it ends soon afterwards
        header, *rows = csv.reader(io.StringIO(_embedded(file).decode("utf-8")))
        table = _typed(dict(zip(header, zip(*rows))), blank="")
        return table, _column(table, label), None, None

    return read


def _column(table: Any, name: str) -> NDArray[Any]:
    return np.asarray(table[name].to_pylist())


def _passengers() -> Parts:
    header, *rows = csv.reader(io.StringIO(_embedded("passengers.csv").decode("utf-8")))
    return _typed(dict(zip(header, zip(*rows))), blank=""), None, None, None


def _heartbeats() -> Parts:
    beats, faults = heartbeats(520, 20, seed=1)
    return beats[:400], faults[:400], beats[400:], faults[400:]


def heartbeats(n: int, faults: int, seed: int = 0, steps: int = 140) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""Heartbeats made by formula: five bells, as an electrocardiogram has them, and noise.

    $x(t) = \sum_k a_k \exp(-(t - m_k)^2 / 2 s_k^2)$ over the waves P, Q, R, S and T, whose heights, places and widths
    vary from beat to beat. A faulty beat lacks its P wave and has a broad, late R wave and an inverted T wave.

    Args:
        n: How many beats.
        faults: How many of them, the last ones, have a fault.
        seed: Equal seeds make equal beats.
        steps: Steps of a beat.

    Returns:
        Beats ``(n, steps)`` in millivolts, and ``(n,)`` which have a fault.
    """
    random, t = np.random.default_rng(seed), np.linspace(0, 1, steps)
    height = np.array([0.15, -0.12, 1.0, -0.25, 0.3])
    place, width = np.array([0.18, 0.34, 0.38, 0.42, 0.68]), np.array([0.025, 0.01, 0.012, 0.012, 0.05])
    bad = np.arange(n) >= n - faults
    beats = []
    for fault in bad:
        a, m, s = (
            height * random.normal(1, 0.12, 5),
            place + random.normal(0, 0.006, 5),
            width * random.normal(1, 0.1, 5),
        )
        if fault:
            a, m, s = a * [0, 1, 0.8, 1, -0.8], m + np.array([0, 0, 0.04, 0.05, 0]), s * [1, 1, 2.2, 2, 1]
        waves = (a * np.exp(-((t[:, None] - m) ** 2) / (2 * s**2))).sum(axis=1)
        beats.append(waves + 0.02 * random.normal(size=steps) + 0.03 * np.sin(2 * np.pi * (t + random.uniform())))
    return np.array(beats, dtype=np.float32), bad


_LOADERS: dict[str, Callable[[], Parts]] = {
    "passengers": _passengers,
    "heartbeats": _heartbeats,
    "digits": _digits,
    "fashion": _fashion,
    "banknote": _table("banknote.csv", "authentic"),
    "census": _table("census.csv", "income"),
}


# --- downloaded ----------------------------------------------------------------------------------------------


def _download(entry: Entry, url: str | None, cache: str | os.PathLike[str] | None) -> Parts:
    mirror = url or os.environ.get("NARROWS_DATA_URL")
    base = f"{mirror.rstrip('/')}/{entry.name}/" if mirror else str(entry.url)
    files = {role: fetch(base + file, sha, _folder(cache) / entry.name) for role, file, sha in entry.files}
    if entry.kind == "table":
        train, test = (parse_adult(files[role].read_text("utf-8")) for role in ("table", "test"))
        return train, _column(train, "income"), test, _column(test, "income")
    data, labels, test, test_labels = (parse_idx(files[r].read_bytes(), str(files[r])) for r, _, _ in entry.files)
    return data, labels, test, test_labels


def _folder(cache: str | os.PathLike[str] | None) -> Path:
    chosen = cache or os.environ.get("NARROWS_DATA_DIR")
    if chosen:
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("narrows"))


def fetch(url: str, sha256: str, folder: Path) -> Path:
    """The unpacked file behind ``url``, from ``folder`` if it is there already.

    The checksum is that of the unpacked content, since mirrors pack the same content anew.

    Raises:
        UnreadableFile: If it cannot be downloaded, or its content is another. Nothing is left behind then.
    """
    import pooch
    import requests

    name = url.rsplit("/", 1)[1]
    target = folder / name.removesuffix(".gz")
    log = pooch.get_logger()
    level = log.level
    log.setLevel("WARNING")  # a library does not talk; faces do
    try:
        path = pooch.retrieve(url, f"sha256:{sha256}", fname=target.name, path=folder, downloader=_unpack)
    except (requests.RequestException, OSError, EOFError) as error:
        raise UnreadableFile(
            f"{url} cannot be downloaded ({error}); check the network, or name a mirror in NARROWS_DATA_URL, or put "
            f"the unpacked file at {target}; embedded data such as 'fashion' needs no network"
        ) from error
    except ValueError as error:  # pooch's way to say that the checksum differs; it has removed the file
        raise UnreadableFile(
            f"{url} is not the file it should be (the SHA-256 of its content is not {sha256}); nothing was kept: try "
            "again, or name another mirror in NARROWS_DATA_URL"
        ) from error
    finally:
        log.setLevel(level)
    return Path(path)


def _unpack(url: str, output_file: str, pooch_: Any) -> None:
    import pooch

    packed = io.BytesIO()
    pooch.HTTPDownloader(timeout=60)(url, packed, pooch_)
    content = packed.getvalue()
    try:
        unpacked = gzip.decompress(content) if url.endswith(".gz") else content
    except (OSError, EOFError, ValueError) as error:
        raise OSError(f"what came is not a gzip file: {error}") from error
    Path(output_file).write_bytes(unpacked)


def parse_idx(content: bytes, name: str) -> NDArray[Any]:
    """The array in an idx file (the format of MNIST).

    Args:
        content: The unpacked file.
        name: What to call it in messages.

    Returns:
        The array, with the shape and type that the file states.

    Raises:
        UnreadableFile: If it is no idx file or is cut short.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise UnreadableFile(f"{name} is not an idx file; download it again")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4:start].ljust(4 * dimensions, b"\0"), dtype=">u4"))
    dtype = np.dtype(_IDX_TYPES[content[2]])
    expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(content) != expected:
        raise UnreadableFile(
            f"{name} has {len(content):,} bytes, but its header promises {expected:,}; download it again"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """An array of bytes as an idx file; what `parse_idx` reads."""
    return bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, dtype=">u4").tobytes() + array.tobytes()


def parse_adult(text: str) -> Any:
    """The table in a file of UCI's Adult data: columns named, ``?`` blank, the test file's comment and dots gone."""
    rows = [row for row in csv.reader(io.StringIO(text), skipinitialspace=True) if len(row) == len(_ADULT_COLUMNS)]
    if not rows:
        raise InvalidData("the text holds no rows of the Adult data; download the file again")
    columns: dict[str, Sequence[str]] = dict(zip(_ADULT_COLUMNS, zip(*rows)))
    columns["income"] = [value.rstrip(".") for value in columns["income"]]
    return _typed(columns, blank="?")


def _typed(columns: Mapping[str, Sequence[str]], blank: str) -> Any:
    """A pyarrow table: whole numbers where all values are, else decimal numbers, else text."""
    import pyarrow as pa

    def convert(values: Sequence[str]) -> list[Any]:
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return [None if v == blank else kind(v) for v in values]
        return [None if v == blank else v for v in values]

    return pa.table({name: convert(values) for name, values in columns.items()})
