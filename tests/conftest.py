"""What all tests share: seeds, one thread per worker, tiny data."""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import hypothesis
import numpy as np
import pytest
import torch

# a deadline measures how busy the machine is, not whether the code is right
hypothesis.settings.register_profile("narrows", deadline=None, max_examples=50)
hypothesis.settings.register_profile("narrows-ci", deadline=None, max_examples=50, derandomize=True, database=None)
hypothesis.settings.load_profile("narrows-ci" if os.environ.get("CI") else "narrows")


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test begins with the same generators, whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_table() -> np.ndarray:
    """200 × 6 numbers that lie near a plane, so that two codes are enough."""
    generator = np.random.default_rng(1)
    codes = generator.normal(size=(200, 2))
    return codes @ generator.normal(size=(2, 6)) + 0.05 * generator.normal(size=(200, 6))


@pytest.fixture(scope="session")
def tiny_images() -> np.ndarray:
    """120 × 8 × 8 pictures in 0 to 255: a bright bar, lying or standing, at one of eight places."""
    generator = np.random.default_rng(2)
    images = generator.integers(0, 40, size=(120, 8, 8))
    for i, place in enumerate(generator.integers(0, 8, size=120)):
        images[i, place] += 200 * (i % 2)
        images[i, :, place] += 200 * (1 - i % 2)
    return images.astype(np.uint8)
