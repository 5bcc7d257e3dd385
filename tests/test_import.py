"""The package's front door: quick to open, and nothing behind it until it is asked for."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

import narrows

HEAVY = (
    "torch",
    "sklearn",
    "scipy",
    "pandas",
    "polars",
    "matplotlib",
    "duckdb",
    "pyarrow",
    "PIL",
    "narwhals",
    "pooch",
    "onnx",
)


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_brings_in_nothing_heavy() -> None:
    code = "import json, sys, narrows; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    assert not set(HEAVY) & set(json.loads(in_new_process(code)))


def test_import_costs_little_beyond_numpy() -> None:
    code = "import time, numpy; start = time.perf_counter(); import narrows; print(time.perf_counter() - start)"
    seconds = [float(in_new_process(code)) for _ in range(5)]
    # the best of five: what is above it is the machine's business, not ours
    assert min(seconds) < 0.05, f"median {statistics.median(seconds):.3f} s"


def test_pictures_are_learnt_without_what_only_tables_need() -> None:
    code = (
        "import sys\n"
        "class NoPandas:  # scikit-learn imports it where it is installed, and it Arrow\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'pandas':\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoPandas)\n"
        "import numpy as np\n"
        "from narrows.estimators import Autoencoder\n"
        "from narrows.training import Training\n"
        "images = np.random.default_rng(0).integers(0, 256, (64, 8, 8), np.uint8)\n"
        "Autoencoder(2, training=Training(epochs=1)).fit(images)\n"
        "print([m for m in ('pyarrow', 'duckdb', 'narwhals.pandas_like', 'matplotlib', 'zuko') if m in sys.modules])"
    )
    assert in_new_process(code).strip() == "[]"


def test_every_promised_name_is_there() -> None:
    for name in narrows.__all__:
        assert getattr(narrows, name) is not None
        assert name in dir(narrows)


@pytest.mark.parametrize("room", narrows._ROOMS)
def test_every_room_is_found_from_the_front_door(room: str) -> None:
    assert getattr(narrows, room).__name__ == f"narrows.{room}"


def test_no_name_of_the_front_door_is_a_submodule() -> None:
    assert not set(narrows.__all__) & set(narrows._ROOMS)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Autoencodr'"):
        _ = narrows.Autoencodr  # type: ignore[attr-defined]


def test_errors_are_cheap_and_where_scikit_learn_expects_them() -> None:
    code = "import sys, narrows.errors; print('torch' in sys.modules)"
    assert in_new_process(code).strip() == "False"
    from narrows import errors

    assert issubclass(errors.InvalidData, ValueError)
    assert issubclass(errors.InvalidType, TypeError)
    for name, error in vars(errors).items():
        if isinstance(error, type) and not name.endswith("Warning"):
            assert issubclass(error, errors.NarrowsError)
