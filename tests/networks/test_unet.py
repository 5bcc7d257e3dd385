"""Networks that are told something beside the row."""

from __future__ import annotations

import pytest
import torch

from narrows import networks
from narrows.errors import InvalidParameter
from narrows.networks.unet import PatchedModule, default_patch


@pytest.mark.parametrize(
    ("shape", "patch"), [((1, 9, 7), 1), ((3, 16, 16), 1), ((2, 1, 5), 1), ((2, 17, 15), 2)], ids=str
)
def test_unet_keeps_the_size_and_hears_what_it_is_told(shape: tuple[int, ...], patch: int):
    torch.manual_seed(0)
    net = networks.UNet(channels=(4, 8, 8), blocks=2, patch=patch).conditioned(shape, 3).eval()
    x, told = torch.randn(5, *shape), torch.randn(5, 3)
    out = net(x, told)
    assert out.shape == x.shape
    torch.testing.assert_close(net(x[:1], told[:1]), out[:1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(net(x, told + 1), out)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_squares_of_pixels_are_places_and_what_they_lack_at_the_edge_is_the_last_pixel():
    class Kept(torch.nn.Module):
        def forward(self, x: torch.Tensor, told: torch.Tensor | None) -> torch.Tensor:
            self.seen = x
            return x

    module = PatchedModule(Kept(), 2)
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(module(x), x)
    seen = module.inner.seen
    assert seen.shape == (1, 4, 2, 2)
    assert seen[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    assert seen[0, :, 1, 1].tolist() == [10, 11, 10, 11]


def test_patches_suit_the_size():
    assert [default_patch((1, n, 2 * n)) for n in (8, 23, 24, 47, 48, 96)] == [1, 1, 2, 2, 4, 8]


def test_unet_maps_without_being_told_and_refuses_what_it_cannot_do():
    assert networks.UNet(channels=(4,)).map((1, 6, 6), (2, 6, 6))(torch.randn(3, 1, 6, 6)).shape == (3, 2, 6, 6)
    with pytest.raises(InvalidParameter, match="Residual"):
        networks.UNet().conditioned((5,), 3)
    with pytest.raises(InvalidParameter, match="one size"):
        networks.UNet().map((1, 6, 6), (1, 5, 6))
    for make in (lambda n: n.encoder((1, 6, 6), 2), lambda n: n.decoder(2, (1, 6, 6))):
        with pytest.raises(InvalidParameter, match="Conv"):
            make(networks.UNet())


@pytest.mark.parametrize("part", [networks.Dense((8,)), networks.Residual(8)], ids=["beside", "in every layer"])
def test_dense_networks_hear_what_they_are_told(part: networks.Network):
    torch.manual_seed(0)
    net = part.conditioned((2, 3), 4)
    x, told = torch.randn(5, 2, 3), torch.randn(5, 4)
    assert net(x, told).shape == (5, 2, 3)
    assert not torch.allclose(net(x, told), net(x, -told))
    assert net(x[:0], told[:0]).shape == (0, 2, 3)
