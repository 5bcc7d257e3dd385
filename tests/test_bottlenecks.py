from __future__ import annotations

import math

import pytest
import torch

from narrows._normal import FullNormal, Normal
from narrows.bottlenecks import Bottleneck, Gaussian, Plain
from narrows.errors import InvalidParameter


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", [-5, -2, -1, 0, 1, 2, 5]),
        ("sigmoid", [0.01, 0.12, 0.27, 0.5, 0.73, 0.88, 0.99]),
        ("tanh", [math.tanh(v) for v in (-5, -2, -1, 0, 1, 2, 5)]),
        ("relu", [0, 0, 0, 0, 1, 2, 5]),
    ],
)
def test_plain_codes_are_the_activation_of_what_the_encoder_gave(activation, expected):
    phi = torch.tensor([[-5.0, -2, -1, 0, 1, 2, 5]])
    z = Plain(7, activation).build()(phi).z
    torch.testing.assert_close(z, torch.tensor([expected], dtype=torch.float32), atol=0.005, rtol=0)


def test_widths():
    assert Plain(5).width() == 5
    assert Gaussian(5).width() == 10
    assert Gaussian(5, covariance="full").width() == 5 + 5 + 10


def test_a_gaussian_code_is_random_in_training_and_its_mean_in_evaluation():
    module, phi = Gaussian(3).build(), torch.randn(4, 6)
    assert not torch.equal(module(phi).z, module(phi).z)
    module.eval()
    torch.testing.assert_close(module(phi).z, phi[:, :3])
    drawn = module(phi, samples=2).z
    assert drawn.shape == (2, 4, 3)
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(("covariance", "kind"), [("diagonal", Normal), ("full", FullNormal)])
def test_zeros_from_the_encoder_mean_the_standard_normal(covariance, kind):
    bottleneck = Gaussian(3, covariance)
    posterior = bottleneck.build()(torch.zeros(2, bottleneck.width())).posterior
    assert isinstance(posterior, kind)
    assert posterior.kl().tolist() == [0, 0]
    torch.testing.assert_close(posterior.covariance, torch.eye(3).expand(2, 3, 3))


def test_log_scales_are_bounded_and_keep_a_gradient_far_out():
    phi = torch.tensor([[0.0, 1e6], [0.0, -1e6], [0.0, 0.1]], requires_grad=True)
    posterior = Gaussian(1).build()(phi).posterior
    torch.testing.assert_close(posterior.log_scale[:, 0], torch.tensor([7.0, -7.0, 0.1]), atol=1e-3, rtol=1e-3)
    assert torch.isfinite(posterior.kl()).all()
    moderate = torch.tensor([[0.0, 20.0]], requires_grad=True)
    Gaussian(1).build()(moderate).posterior.log_scale.sum().backward()
    assert moderate.grad[0, 1] > 0


def test_full_covariance_learns_correlations():
    bottleneck = Gaussian(2, covariance="full")
    phi = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.5]])
    posterior = bottleneck.build()(phi).posterior
    torch.testing.assert_close(posterior.covariance[0], torch.tensor([[1.0, 1.5], [1.5, 1.0 + 1.5**2]]))


def test_an_unset_size_says_what_to_type():
    for bottleneck in (Plain(), Gaussian()):
        with pytest.raises(InvalidParameter, match=r"size=None.*size=8"):
            bottleneck.build()
        with pytest.raises(InvalidParameter, match="size=None"):
            bottleneck.width()
        assert bottleneck.set_params(size=4).build()(torch.zeros(1, bottleneck.set_params(size=4).width())).z.shape == (
            1,
            4,
        )


@pytest.mark.parametrize("bad", [Plain(0), Plain(2.5), Plain(2, "softmax"), Gaussian(2, "spherical")])
def test_bad_parameters_are_refused_by_name(bad):
    with pytest.raises(InvalidParameter, match=r"bottlenecks\.(Plain|Gaussian): (size|activation|covariance)="):
        bad.check()


def test_named_on_the_command_line():
    assert Bottleneck.parse("plain:activation=tanh,size=3") == Plain(3, "tanh")
