"""What every penalty promises. A new one joins by being listed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn

from narrows import penalties
from narrows._part import REGISTRY, Part
from narrows._types import Pass, Rows
from narrows.bottlenecks import Gaussian, Plain
from narrows.errors import InvalidParameter
from narrows.penalties import (
    DIP,
    KL,
    L1,
    L2,
    MMD,
    Adversarial,
    Contraction,
    CriticPenalty,
    CriticTotalCorrelation,
    Judged,
    Penalties,
    Sparsity,
    TotalCorrelation,
)
from narrows.priors import StandardNormal

PENALTIES = [
    KL(),
    KL(weight=4, warmup=10, free_bits=0.05),
    Sparsity(),
    L1(),
    L2(),
    Contraction(),
    Contraction(samples=2),
    MMD(),
    MMD(kernel="rbf"),
    MMD(kernel="rbf", bandwidth=(0.5, 1.0)),
    TotalCorrelation(),
    DIP(),
    DIP(kind="I"),
    Adversarial(),
    Adversarial(widths=(8,), warmup=10),
    CriticTotalCorrelation(widths=(8, 8)),
]
RANDOM = (MMD, TotalCorrelation, CriticPenalty)  # these draw noise
BOTTLENECKS = [Plain(3, "sigmoid"), Gaussian(3), Gaussian(3, "full"), Plain(6, "sigmoid")]

pytestmark = pytest.mark.parametrize("penalty", PENALTIES, ids=repr)


class Model(nn.Module):
    """The smallest model that makes a pass."""

    def __init__(self, bottleneck: Any) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, bottleneck.width()))
        self.size = bottleneck.size
        self.bottleneck, self.prior = bottleneck.build(), StandardNormal().build(bottleneck.size)

    def forward(self, x: torch.Tensor, samples: int | None = None, weight: torch.Tensor | None = None) -> Pass:
        code = self.bottleneck(self.encoder(x), samples=samples)
        epoch = torch.tensor(5.0)
        encode = lambda v: self.bottleneck.mean(self.encoder(v))  # noqa: E731
        return Pass(Rows(x, weight=weight), code, self.prior(), None, x, encode, epoch)  # type: ignore[arg-type]


def ready(penalty: Any, size: int) -> Any:
    """The penalty as a step calls it: with a critic where it owns one."""
    if not isinstance(penalty, CriticPenalty):
        return penalty
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Judged(penalty, penalty.critic(size))


def models(penalty: Any) -> list[Model]:
    torch.manual_seed(0)
    fitting = []
    for bottleneck in BOTTLENECKS:
        try:
            Penalties(it=penalty).check_model(bottleneck)
        except InvalidParameter:
            continue
        fitting.append(Model(bottleneck))
    return fitting


def test_is_a_part(penalty):
    penalty.check()
    assert Part.from_config(penalty.to_config()) == penalty
    assert eval(repr(penalty), {"penalties": penalties}) == penalty
    assert pickle.loads(pickle.dumps(penalty)) == penalty
    assert REGISTRY[penalty.key()] is type(penalty)


def test_some_bottleneck_suits(penalty):
    assert models(penalty)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("samples", [None, 3])
def test_per_row_or_per_batch_and_finite(penalty, training, samples):
    for model in models(penalty):
        for rows in (6, 1):
            value = ready(penalty, model.size)(model.train(training)(torch.randn(rows, 4), samples))
            assert value.shape in {(rows,), ()}
            assert torch.isfinite(value).all()


def test_the_weight_multiplies(penalty):
    for model in models(penalty):
        p = model(torch.randn(6, 4))
        torch.manual_seed(1)
        once = ready(penalty.set_params(weight=1.0), model.size)(p)
        torch.manual_seed(1)
        torch.testing.assert_close(ready(penalty.set_params(weight=2.5), model.size)(p), 2.5 * once)
        assert not ready(penalty.set_params(weight=0.0), model.size)(p).any()


def test_trains_the_encoder(penalty):
    for model in models(penalty):
        ready(penalty, model.size)(model(torch.randn(6, 4), 2)).sum().backward()
        grads = [q.grad for q in model.encoder.parameters() if q.grad is not None]
        assert grads
        assert all(torch.isfinite(g).all() for g in grads)
        assert any(g.abs().sum() > 0 for g in grads)


def test_works_without_gradients(penalty):
    for model in models(penalty):
        with torch.no_grad():
            assert torch.isfinite(ready(penalty, model.size)(model.eval()(torch.randn(6, 4)))).all()


def test_rows_without_weight_do_not_count(penalty):
    # padding rows: a batch term must be what it is without them
    for model in models(penalty):
        x = torch.randn(5, 4)
        padded = torch.cat([x, 50 + torch.zeros(3, 4)])
        weight = torch.tensor([1.0] * 5 + [0.0] * 3)
        value = ready(penalty, model.size)(model.eval()(padded, weight=weight))
        if value.ndim or isinstance(penalty, RANDOM):  # tested by themselves
            continue
        torch.testing.assert_close(value, penalty(model(x)))


def test_works_stacked(penalty):
    for model in models(penalty):
        call = ready(penalty, model.size)
        state = {n: torch.stack([t.detach()] * 2) for n, t in model.state_dict(keep_vars=True).items()}

        def one(
            params: dict[str, torch.Tensor], x: torch.Tensor, model: Model = model, call: Any = call
        ) -> torch.Tensor:
            with torch.nn.utils.stateless._reparametrize_module(model, params):
                return call(model(x))

        values = torch.func.vmap(one, in_dims=(0, None), randomness="different")(state, torch.randn(6, 4))
        assert values.shape[0] == 2
        assert torch.isfinite(values).all()


@pytest.mark.slow
def test_works_compiled(penalty):
    torch.compiler.reset()
    model = models(penalty)[-1].eval()
    call = ready(penalty, model.size)
    compiled = torch.compile(lambda x: call(model(x)), backend="aot_eager", fullgraph=True)
    x = torch.randn(6, 4)
    value = compiled(x)
    assert torch.isfinite(value).all()
    if not isinstance(penalty, RANDOM) and penalty.get_params().get("samples") is None:
        torch.testing.assert_close(value, penalty(model(x)))
