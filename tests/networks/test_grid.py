"""Codes that are small images: shapes, and that every number sees its own neighbourhood alone."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

import narrows
from narrows import bottlenecks
from narrows._part import Part
from narrows.errors import InvalidParameter
from narrows.networks import Grid, Network


@pytest.mark.parametrize(
    ("network", "shape", "channels"),
    [(Grid(channels=(4, 6)), (1, 9, 13), 2), (Grid(channels=(4,), up="transposed", down="pool"), (3, 8, 8), 5)],
    ids=["strides", "pooled"],
)
def test_shapes(network: Grid, shape: tuple[int, ...], channels: int):
    height, width = network._sizes(shape)[-1]
    size = channels * height * width
    encoder, decoder = network.encoder(shape, size).eval(), network.decoder(size, shape).eval()
    x = torch.rand(2, 3, *shape)
    z = encoder(x)
    assert z.shape == (2, 3, size)
    assert decoder(z).shape == x.shape
    torch.testing.assert_close(encoder(x[0, 1]), z[0, 1])
    assert Part.from_config(network.to_config()) == network
    assert Network.parse("grid:channels=(4,6)") == Grid(channels=(4, 6))


def test_a_number_of_the_code_sees_its_neighbourhood_alone():
    encoder = Grid(channels=(3, 4)).encoder((1, 32, 32), 2 * 8 * 8)
    x = torch.rand(1, 1, 32, 32)
    other = x.clone()
    other[..., :8, :8] += 1
    moved = (encoder(x) != encoder(other)).reshape(2, 8, 8).any(0)
    assert moved[:2, :2].all()
    assert not moved[4:].any()
    assert not moved[:, 4:].any()


def test_works_stacked():
    members = [Grid(channels=(4,)).encoder((1, 8, 8), 16) for _ in range(3)]
    parameters, buffers = stack_module_state(members)
    x = torch.rand(3, 2, 1, 8, 8)

    def run(p: dict[str, torch.Tensor], b: dict[str, torch.Tensor], v: torch.Tensor) -> torch.Tensor:
        return functional_call(members[0], (p, b), v)

    torch.testing.assert_close(vmap(run)(parameters, buffers, x)[1], members[1](x[1]))


def test_a_size_that_does_not_fill_the_grid_says_which_does():
    with pytest.raises(InvalidParameter, match=r"20 numbers do not fill 4 × 4 places.*code_size of 16"):
        Grid(channels=(4, 4)).encoder((1, 16, 16), 20)
    with pytest.raises(InvalidParameter, match="images"):
        Grid().encoder((5,), 20)


def test_a_grid_of_whole_numbers_can_be_trained(tiny_images):
    model = narrows.QuantisedAutoencoder(
        32,
        network=Grid(channels=(4,)),
        bottleneck=bottlenecks.FiniteScalar(levels=5),
        training=narrows.Training(epochs=20, learning_rate=1e-2),
        random_state=0,
    ).fit(tiny_images)
    assert model.indices(tiny_images).shape == (120, 32)
    assert model.score(tiny_images) > model.untrained().score(tiny_images)
