from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from narrows.errors import InvalidParameter
from narrows.networks import Asymmetric, Conv, Dense, default_channels
from narrows.networks.activations import LayerNorm2dModule
from narrows.networks.conv import SameConvModule, TransposedModule, UpsampleModule


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_textbook_encoder_count():
    """160 + 4,640 + 18,496 for the convolutions, 6,400 × 400 + 400 for the dense layer."""
    assert count(Conv(channels=(16, 32, 64), down="pool").encoder((1, 80, 80), 400)) == 2_583_696


def test_textbook_decoder_count():
    """400 × 400 + 400, then 3 × 3 convolutions 1 → 128 → 64 (1,280 + 73,792), then 1 × 1 to one channel (65)."""
    network = Conv(channels=(64, 128), seed_channels=1, out_kernel=1, activation="relu")
    decoder = network.decoder(400, (1, 80, 80))
    assert count(decoder) == 235_537
    assert decoder.seed(torch.rand(1, 400)).shape == (1, 1, 20, 20)


def test_textbook_autoencoder_is_one_part():
    network = Asymmetric(
        Conv(channels=(16, 32, 64), down="pool"), Conv(channels=(64, 128), seed_channels=1, out_kernel=1)
    )
    total = count(network.encoder((1, 80, 80), 400)) + count(network.decoder(400, (1, 80, 80)))
    assert total == 2_583_696 + 235_537


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1, 1), (16,)),
        ((3, 8, 8), (16,)),
        ((1, 20, 20), (16,)),
        ((1, 28, 28), (16, 32)),
        ((3, 64, 64), (16, 32, 64)),
        ((1, 80, 80), (16, 32, 64)),
        ((1, 10, 81), (16, 32, 64, 128)),
        ((3, 1000, 1000), (16, 32, 64, 128, 128)),
    ],
)
def test_default_channels(shape, expected):
    assert default_channels(shape) == expected


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 33), st.integers(1, 33)),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from(["pool", "stride"]),
    st.sampled_from(["upsample", "transposed"]),
)
@settings(max_examples=60, deadline=None)
def test_any_size_comes_back(shape, kernel, levels, down, up):
    network = Conv(channels=(2,) * levels, kernel=kernel, down=down, up=up, out_kernel=kernel)
    z = network.encoder(shape, 5)(torch.rand(2, *shape))
    assert z.shape == (2, 5)
    assert network.decoder(5, shape)(z).shape == (2, *shape)
    assert network.map(shape, shape)(torch.rand(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(6, 6), (5, 6), (1, 1)])
def test_convolutions_halve_rounded_up(kernel, size):
    x = torch.rand(1, 1, *size)
    assert SameConvModule(1, 1, kernel, 1, "linear")(x).shape[2:] == size
    assert SameConvModule(1, 1, kernel, 2, "linear")(x).shape[2:] == ((size[0] + 1) // 2, (size[1] + 1) // 2)


def test_upsampling_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert UpsampleModule((4, 3))(x).tolist() == [[[[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4]]]]


def test_transposed_convolution_by_hand():
    """Kernel 2 and stride 2 without overlap: each pixel becomes the kernel, times the pixel."""
    layer = TransposedModule(1, 1, 2, (4, 3), "linear")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    y = layer(torch.tensor([[[[1.0, 10.0], [0.0, 2.0]]]]))
    assert y.tolist() == [[[[1, 2, 10], [3, 4, 30], [0, 0, 2], [0, 0, 6]]]]


def test_pooling_keeps_odd_edges():
    """The last row and column of an odd image still reach the code."""
    encoder = Conv(channels=(2,), kernel=1, down="pool", activation="linear").encoder((1, 5, 5), 3)
    x = torch.zeros(1, 1, 5, 5, requires_grad=True)
    encoder(x + 0.0).sum().backward()
    assert x.grad[0, 0, 4, 4] != 0


def test_convolutions_move_with_the_image():
    """A map without pooling in the way: shifting by 4 pixels (two levels) shifts the output, away from the edges."""
    torch.manual_seed(0)
    module = Conv(channels=(4, 4)).map((1, 64, 64), (1, 64, 64)).eval()
    x = torch.zeros(1, 1, 64, 64)
    x[..., 28:36, 28:36] = torch.rand(8, 8)
    y, shifted = module(x), module(x.roll((4, 8), (2, 3)))
    torch.testing.assert_close(shifted[..., 24:44, 28:48], y[..., 20:40, 20:40], rtol=1e-4, atol=1e-5)


def test_layer_normalisation_is_group_normalisation_with_one_group():
    layer = LayerNorm2dModule(3)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(3)), layer.bias.copy_(torch.rand(3))
    x = torch.randn(4, 3, 5, 6)
    torch.testing.assert_close(layer(x), torch.nn.functional.group_norm(x, 1, layer.weight, layer.bias))


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_compute_channels_last_without_changing_a_number(channels):
    layer = SameConvModule(channels, 8, 3, 1, "linear")
    x = torch.rand(2, channels, 6, 6)
    y = layer(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.is_contiguous()
    torch.testing.assert_close(y, torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1))


def test_tables_are_refused_with_what_to_type():
    for make in (lambda: Conv().encoder((5,), 2), lambda: Conv().decoder(2, (5,)), lambda: Conv().map((5,), (5,))):
        with pytest.raises(InvalidParameter, match=r"shape \(5,\): use network=networks\.Dense\(\)"):
            make()
    with pytest.raises(InvalidParameter, match="same height and width"):
        Conv().map((1, 4, 4), (1, 5, 4))


def test_channels_last_inputs_give_the_same():
    torch.manual_seed(0)
    encoder = Conv(channels=(4, 8)).encoder((3, 12, 12), 4)
    x = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(encoder(x.contiguous(memory_format=torch.channels_last)), encoder(x))


def test_convolution_beats_dense_on_shifted_squares():
    """What convolution is for: few parameters that work anywhere in the image."""
    torch.manual_seed(0)
    x = torch.zeros(128, 1, 12, 12)
    for i in range(128):
        r, c = torch.randint(9, (2,)).tolist()
        x[i, 0, r : r + 3, c : c + 3] = 1
    errors = []
    for network in (Conv(channels=(8, 16)), Dense(widths=(64,))):
        torch.manual_seed(0)
        encoder, decoder = network.encoder((1, 12, 12), 8), network.decoder(8, (1, 12, 12))
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 0.005)
        for _ in range(150):
            loss = ((decoder(encoder(x[:64])) - x[:64]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            errors.append(((decoder(encoder(x[64:])) - x[64:]) ** 2).mean().item())
    assert errors[0] < errors[1] < x.var()
