"""Write the models that every later version must load: python scripts/make_golden.py, once per released version.

Each folder holds a model, the rows it was shown and the codes it gave.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet

import narrows
from narrows import Training, data, networks

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def main() -> None:
    """Train two small models and keep them."""
    folder = GOLDEN / narrows.__version__
    census = data.load("census").data.slice(0, 200)
    model = narrows.VariationalAutoencoder(
        3, network=networks.Dense(widths=(16,)), training=Training(epochs=2), random_state=0
    ).fit(census)
    model.save(folder / "census", metrics={"rows": 200})
    rows = census.slice(0, 20)
    pyarrow.parquet.write_table(rows, folder / "census" / "rows.parquet")
    np.save(folder / "census" / "codes.npy", model.transform(rows))

    digits = data.load("digits").data[:200]
    images = narrows.DenoisingAutoencoder(
        4, network=networks.Conv(channels=(4,)), training=Training(epochs=2), random_state=0
    ).fit(digits)
    images.save(folder / "digits")
    np.save(folder / "digits" / "rows.npy", digits[:20])
    np.save(folder / "digits" / "codes.npy", images.transform(digits[:20]))


if __name__ == "__main__":
    main()
