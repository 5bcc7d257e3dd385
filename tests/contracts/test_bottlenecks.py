"""What every bottleneck promises. A new one joins by being listed."""

from __future__ import annotations

import pickle

import pytest
import torch

from narrows import bottlenecks
from narrows._part import REGISTRY, Part
from narrows.bottlenecks import Bottleneck, FiniteScalar, Gaussian, Grouped, Plain, Quantised, QuantisingModule

BOTTLENECKS = [
    Plain(3),
    Plain(3, "sigmoid"),
    Plain(3, "tanh"),
    Plain(3, "relu"),
    Gaussian(3),
    Gaussian(1, "full"),
    Gaussian(3, "full"),
    Grouped(3, shared=1),
    Quantised(3, entries=5),
    Quantised(4, entries=6, subcodes=1, commitment=0.0),
    FiniteScalar(3, 4),
    FiniteScalar(2, (2, 5)),
]

pytestmark = pytest.mark.parametrize("bottleneck", BOTTLENECKS, ids=repr)


def phi_for(bottleneck: Bottleneck, rows: int = 5, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, bottleneck.width(), generator=torch.Generator().manual_seed(seed))


def test_is_a_part(bottleneck):
    bottleneck.check()
    assert Part.from_config(bottleneck.to_config()) == bottleneck
    assert eval(repr(bottleneck), {"bottlenecks": bottlenecks}) == bottleneck
    assert pickle.loads(pickle.dumps(bottleneck)) == bottleneck
    assert REGISTRY[bottleneck.key()] is type(bottleneck)


def test_shapes(bottleneck):
    size, phi = bottleneck.size, phi_for(bottleneck)
    for training in (True, False):
        module = bottleneck.build().train(training)
        code = module(phi)
        assert code.z.shape == (5, size)
        assert module(phi, samples=4).z.shape == (4, 5, size)
        assert module.mean(phi).shape == (5, size)
        assert (code.posterior is not None) == bottleneck.stochastic
        if code.posterior is not None:
            assert code.posterior.kl().shape == (5,)
            assert code.posterior.kl_elements().shape == (5, size)
            assert code.posterior.log_prob(module(phi, samples=4).z).shape == (4, 5)


def test_evaluation_gives_the_mean_and_no_row_depends_on_another(bottleneck):
    module, phi = bottleneck.build().eval(), phi_for(bottleneck)
    torch.testing.assert_close(module(phi).z, module.mean(phi))
    torch.testing.assert_close(module(phi[2:3]).z, module(phi).z[2:3])


def test_a_cost_is_per_row_and_never_negative(bottleneck):
    cost = bottleneck.build()(phi_for(bottleneck)).cost
    assert cost is None or (cost.shape == (5,) and (cost >= 0).all())


def test_snapping_changes_nothing_that_is_a_code(bottleneck):
    module = bottleneck.build().eval()
    z = module.mean(phi_for(bottleneck))
    if isinstance(module, QuantisingModule):
        assert torch.equal(module.snap(z), z)
        indices = module.indices(z)
        assert indices.dtype == torch.int64
        assert ((indices >= 0) & (indices < module.entries_per_subcode)).all()
        assert torch.equal(module.lookup(indices), z)
        assert torch.equal(module.snap(z + 1e-3), z)


def test_codes_keep_within_bounds(bottleneck):
    low, high = bottleneck.bounds
    mean = bottleneck.build().mean(phi_for(bottleneck, rows=200))
    assert mean.min() >= low
    assert mean.max() <= high


def test_gradients_are_finite_even_far_out(bottleneck):
    phi = (100 * phi_for(bottleneck)).requires_grad_()
    code = bottleneck.build()(phi, samples=2)
    loss = code.z.square().mean() if code.posterior is None else code.z.square().mean() + code.posterior.kl().mean()
    loss.backward()
    assert torch.isfinite(phi.grad).all()


def test_works_stacked(bottleneck):
    module = bottleneck.build()
    if isinstance(bottleneck, Quantised):
        module.eval()  # moving averages of several models cannot be kept in one
    phi = torch.stack([phi_for(bottleneck)] * 3)
    z = torch.func.vmap(lambda v: module(v, samples=2).z, randomness="different")(phi)
    assert z.shape == (3, 2, 5, bottleneck.size)
    assert torch.equal(z[0], z[1]) != bottleneck.stochastic


def test_works_compiled(bottleneck):
    torch.compiler.reset()
    module = bottleneck.build().eval()
    phi = phi_for(bottleneck)

    def run(v):
        code = module(v)
        return code.z, None if code.posterior is None else code.posterior.kl()

    z, kl = torch.compile(run, backend="aot_eager", fullgraph=True)(phi)
    torch.testing.assert_close(z, run(phi)[0])
    if kl is not None:
        torch.testing.assert_close(kl, run(phi)[1])
