"""Images of known factors: what was asked for is what is seen."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from narrows.data.factors import FACTORS, captions, factor_images, render
from narrows.errors import InvalidData, InvalidParameter


def _one(shape: int = 0, size: int = 3, rotation: int = 4, x: int = 7, y: int = 7) -> list[int]:
    return [shape, size, rotation, x, y]


@pytest.mark.parametrize(("shape", "area"), [(0, 2.0), (1, np.pi / 2), (2, 0.75 * np.sqrt(3))])
def test_area_is_the_shapes_own_at_every_rotation(shape: int, area: float):
    images = render([_one(shape, rotation=r) for r in range(9)])
    radius = FACTORS["size"][3] * 64
    found = images.astype(float).sum((1, 2)) / 255
    np.testing.assert_allclose(found, area * radius**2, rtol=0.01)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_the_shape_is_where_it_was_put(shape: int):
    factors = np.array([_one(shape, x=x, y=y) for x in (0, 9, 15) for y in (0, 4, 15)])
    images = render(factors, 48).astype(float)
    centres = (np.arange(48) + 0.5) / 48
    mass = images.sum((1, 2))
    across, down = (images * centres).sum((1, 2)) / mass, (images * centres[:, None]).sum((1, 2)) / mass
    np.testing.assert_allclose(across, np.array(FACTORS["x"])[factors[:, 3]], atol=2e-3)
    np.testing.assert_allclose(down, np.array(FACTORS["y"])[factors[:, 4]], atol=2e-3)


def test_an_ellipse_turns_clockwise():
    steep = render([_one(1, rotation=8)]).astype(float)[0]  # 40 degrees
    centres = (np.arange(64) + 0.5) / 64
    across = centres - FACTORS["x"][7]
    together = (steep * across * across[:, None]).sum()
    spread = (steep * across**2).sum() - (steep * across[:, None] ** 2).sum()
    # down grows towards the bottom, so that a right end that sinks is a positive correlation
    assert np.rad2deg(np.arctan2(2 * together, spread)) / 2 == pytest.approx(40, abs=0.5)


def test_images_are_smooth_whole_and_different():
    data = factor_images(400, side=32, random_state=3)
    assert data.images.shape == (400, 32, 32)
    assert data.names == ("shape", "size", "rotation", "x", "y")
    assert len(np.unique(data.images.reshape(400, -1), axis=0)) == 400
    assert ((data.images > 0) & (data.images < 255)).any((1, 2)).all()
    edges = np.concatenate([data.images[:, [0, -1]].ravel(), data.images[:, :, [0, -1]].ravel()])
    assert edges.max() == 0
    assert [set(column) for column in data.factors.T] == [set(range(len(FACTORS[name]))) for name in data.names]


def test_colour_is_a_factor():
    data = factor_images(60, colour=True)
    assert data.images.shape == (60, 64, 64, 3)
    assert data.names[-1] == "colour"
    brightest = data.images.max((1, 2))
    assert {tuple(brightest[data.factors[:, 5] == 0][0])} == {(255, 40, 40)}
    grey = render(data.factors[:, :5])
    np.testing.assert_array_equal(data.images[..., 0][data.factors[:, 5] == 0], grey[data.factors[:, 5] == 0])


def test_equal_seeds_give_equal_images_and_all_of_them_is_all():
    a, b = factor_images(50, side=16, random_state=5), factor_images(50, side=16, random_state=5)
    np.testing.assert_array_equal(a.images, b.images)
    assert (factor_images(50, side=16, random_state=6).factors != a.factors).any()
    digest = hashlib.sha256(factor_images(50, side=16).factors.astype("<i8").tobytes()).hexdigest()
    assert digest.startswith("7c313b62d3e5")  # the draw is part of the promise: published numbers rest on it


def test_captions_say_what_is_seen():
    rows = [[0, 0, 4, 0, 0, 0], [2, 3, 0, 2, 7, 2], [1, 5, 8, 8, 8, 3], [0, 2, 1, 15, 15, 1], [1, 1, 1, 6, 11, 0]]
    assert captions(rows) == [
        "a small red square at the top left",
        "a medium blue triangle at the left",
        "a large yellow ellipse in the centre",
        "a medium green square at the bottom right",
        "a small red ellipse at the bottom",
    ]
    assert captions([[2, 0, 0, 7, 2]]) == ["a small triangle at the top"]


def test_what_cannot_be_drawn():
    with pytest.raises(InvalidParameter, match="41,472 different images"):
        factor_images(50_000)
    with pytest.raises(InvalidParameter, match="side=16 or more"):
        factor_images(3, side=8)
    with pytest.raises(InvalidData, match="the size of an image is an index from 0 to 5, not 6"):
        render([_one(size=6)])
    with pytest.raises(InvalidData, match="5 or 6 whole numbers"):
        render([[1, 2, 3]])
