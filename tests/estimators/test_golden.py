"""Models written by every released version still load and say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import narrows

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[1] / "golden").glob("*/*/model.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name} {f.name}")
def test_golden(folder):
    model = narrows.load(folder)
    parquet = folder / "rows.parquet"
    rows = pq.read_table(parquet) if parquet.exists() else np.load(folder / "rows.npy")
    np.testing.assert_allclose(model.transform(rows), np.load(folder / "codes.npy"), rtol=1e-3, atol=1e-4)
    assert len(model.reconstruct(rows)) == 20
    assert len(model.sample(3, random_state=0)) == 3


def test_there_are_some():
    assert FOLDERS
