"""Make the embedded sample data of narrows from the original files.

    python scripts/embed_samples.py --data DIR

DIR holds ``fashion_mnist/*.gz`` (idx files), ``tables/banknote_authentication.csv`` and ``tables/adult-train.csv``.
The result is the same to the byte for the same files and the same liblzma.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import lzma
from pathlib import Path

import numpy as np

from narrows.data.samples import idx_bytes, parse_adult, parse_idx
from narrows.files import atomic

SEED = 20260101
OUT = Path(__file__).parent.parent / "src/narrows/data/embedded"
BANKNOTE = "variance,skewness,curtosis,entropy,authentic"


def stratified(labels: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Indices of ``each`` random rows of every class, in random order."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(labels == label), each, replace=False) for label in np.unique(labels)]
    return rng.permutation(np.concatenate(chosen))


def write(name: str, content: bytes) -> None:
    """Write one embedded file."""
    with atomic(OUT / name) as temporary:
        temporary.write_bytes(content)


def fashion(data: Path) -> None:
    """600 + 100 images of each of the ten classes."""

    def read(name: str) -> np.ndarray:
        return parse_idx(gzip.decompress((data / f"fashion_mnist/{name}.gz").read_bytes()), name)

    images, labels = [], []
    for part, each, seed in (("train", 600, SEED), ("t10k", 100, SEED + 1)):
        all_labels = read(f"{part}-labels-idx1-ubyte")
        index = stratified(all_labels, each, seed)
        images.append(read(f"{part}-images-idx3-ubyte")[index])
        labels.append(all_labels[index])
    for name, parts in (("images", images), ("labels", labels)):
        packed = lzma.compress(idx_bytes(np.concatenate(parts)), preset=9 | lzma.PRESET_EXTREME)
        write(f"fashion-{name}.idx.xz", packed)


def banknote(data: Path) -> None:
    """All rows, with a header."""
    rows = (data / "tables/banknote_authentication.csv").read_text().split()
    write("banknote.csv", "\n".join([BANKNOTE, *rows, ""]).encode())


def census(data: Path) -> None:
    """5,000 random rows of the training part, in the original order; blank cells where there was ``?``."""
    table = parse_adult((data / "tables/adult-train.csv").read_text())
    index = np.sort(np.random.default_rng(SEED).choice(table.num_rows, 5000, replace=False))
    with atomic(OUT / "census.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(row.values() for row in table.take(index).to_pylist())


def main() -> None:
    """Make all files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the original files")
    data = parser.parse_args().data
    fashion(data)
    banknote(data)
    census(data)


if __name__ == "__main__":
    main()
