"""Results to files, in the form that the ending names."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows import files
from narrows.errors import InvalidData, InvalidParameter

ON_A_GRID = 100  # images on one grid, at most: more would be stamps
CODE = re.compile(r"code(\d+)")


def write_codes(codes: Any, out: str, names: Sequence[str] | None = None) -> str:
    """Write codes as a table with the columns code0, code1, … (and ``file``, where rows have names), or an array.

    Args:
        codes: ``(n, L)``.
        out: .npz, .npy, or what a table can be written as.
        names: One name per row.

    Returns:
        What was written, in words.
    """
    suffix = Path(out).suffix.lower()
    if suffix in (".npz", ".npy"):
        with files.atomic(out) as temporary, temporary.open("wb") as file:
            if suffix == ".npy":
                np.save(file, codes, allow_pickle=False)
            else:
                np.savez_compressed(file, codes=codes)
    else:
        from narrows.data import write_table

        write_table(code_table(codes, names), out)
    return codes_line(len(codes), codes.shape[1], out)


def codes_line(rows: int, size: int, out: str) -> str:
    """What was written, in words."""
    return f"{rows:,} codes of {size} number{'s' * (size != 1)} → {out}"


def code_table(codes: Any, names: Sequence[str] | None) -> Any:
    """Codes ``(n, L)`` as an Arrow table with the columns code0, code1, … and perhaps ``file``."""
    return _named({f"code{j}": np.ascontiguousarray(codes[:, j]) for j in range(codes.shape[1])}, names)


def score_table(scores: Any, names: Sequence[str] | None) -> Any:
    """Scores ``(n,)`` as an Arrow table with the column ``score``, and perhaps ``file``."""
    return _named({"score": scores}, names)


def _named(columns: dict[str, Any], names: Sequence[str] | None) -> Any:
    import pyarrow as pa

    return pa.table(columns if names is None else {"file": list(names)} | columns)


def read_codes(path: str) -> Any:
    """Codes from a file that ``write_codes`` wrote, or any table or array of numbers.

    Returns:
        ``(n, L)`` float32.

    Raises:
        InvalidData: If it does not hold numbers.
    """
    from narrows.data import open_source

    data = open_source(path).data
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise InvalidData(f"{path!r} holds an array of shape {data.shape}; codes are (rows, numbers per code)")
        return data.astype(np.float32)
    if not hasattr(data, "column_names"):
        raise InvalidData(f"{path!r} holds images; give codes, as narrows encode writes them")
    named = sorted((n for n in data.column_names if CODE.fullmatch(n)), key=lambda n: int(n[4:]))
    table = data.select(named) if named else data
    try:
        return np.stack([np.asarray(c.to_numpy(), dtype=np.float32) for c in table.columns], axis=1)
    except (ValueError, TypeError):
        raise InvalidData(f"{path!r} holds more than numbers; give codes, as narrows encode writes them") from None


def write_rows(
    rows: Any,
    out: str,
    *,
    images: bool,
    names: Sequence[str] | None = None,
    columns: int | None = None,
    force: bool = False,
) -> str:
    """Write rows: tables as tables; images as a folder of PNGs, one grid, or an array.

    Args:
        rows: Images ``(n, h, w[, c])`` or a table.
        out: Where to; its ending says in what form.
        images: Whether the rows are images.
        names: Names of image files, kept in a folder.
        columns: Images side by side on a grid.
        force: Whether a folder that holds files is replaced.

    Returns:
        What was written, in words.
    """
    from narrows.data import write_images, write_table

    if not images:
        if Path(out).suffix.lower() in ("", ".png"):
            raise InvalidParameter(
                f"--out {out!r}: these rows are a table; end the name in .csv, .parquet, .json or .npz"
            )
        write_table(rows, out)
        return f"{_count(rows):,} rows → {out}"
    total = len(rows)
    suffix = Path(out).suffix.lower()
    if suffix == ".png" and total > ON_A_GRID:
        write_images(rows[:ON_A_GRID], out, columns=columns)
        return f"the first {ON_A_GRID} of {total:,} images, on one grid → {out} (give a folder or .npz for all)"
    if suffix == "" and names is not None:
        _write_named(rows, Path(out), names, force)
    elif suffix in ("", ".png", ".npz", ".npy"):
        write_images(rows, out, columns=columns, overwrite=force)
    else:
        raise InvalidParameter(
            f"--out {out!r}: these rows are images; end the name in .png, .npz, or nothing (a folder)"
        )
    return f"{total:,} images → {out}"


def _count(rows: Any) -> int:
    from narrows.data.split import count

    return count(rows)


def _write_named(images: Any, target: Path, names: Sequence[str], force: bool) -> None:
    """A folder of PNGs that keep the names of the files they came from."""
    from narrows.data import write_images

    stems = [Path(name).stem for name in names]
    if len(set(stems)) < len(stems):  # files of one name from several folders
        stems = [f"{i:05}-{stem}" for i, stem in enumerate(stems)]
    if target.exists() and (not target.is_dir() or any(target.iterdir())) and not force:
        raise InvalidParameter(f"--out {str(target)!r} already holds files; name another folder, or add --force")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name[:40]}-", dir=target.parent) as temporary:
        draft = Path(temporary) / "images"
        for path, stem in zip(write_images(images, draft), stems, strict=True):
            path.rename(path.with_name(f"{stem}.png"))
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
