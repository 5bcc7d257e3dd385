"""Adam without its bookkeeping is Adam, bit by bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from narrows.training.optimisers import FusedAdam


@pytest.mark.parametrize("missing", [(), (0, 1, 2), (5, 6)])
@pytest.mark.parametrize("decoupled", [False, True])
def test_weights_and_state_are_torchs_own(decoupled, missing):
    """With changing rates, gradients that are missing at times, and a state that is put back half way."""
    torch.manual_seed(0)
    ours = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (4,), (2, 2))]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    made = FusedAdam(ours, 1e-2, 0.1, decoupled)
    reference = (torch.optim.AdamW if decoupled else torch.optim.Adam)(theirs, 1e-2, weight_decay=0.1, fused=True)
    for t in range(40):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            gradient = None if i == 2 and t % 7 in missing else torch.randn_like(p)
            p.grad, q.grad = gradient, None if gradient is None else gradient.clone()
        if t == 20:
            state = made.state_dict()
            made = FusedAdam(ours, 1e-2, 0.1, decoupled)
            made.load_state_dict(state)
        rate = 1e-2 / (1 + t)
        reference.param_groups[0]["lr"] = rate
        with torch.inference_mode(t in (1, 20, 21, 30)):  # as a replayed step is, and the next one is not
            made.move(rate)
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)
        assert all(torch.equal(made.state[p][name], reference.state[q][name]) for name in reference.state[q])


def test_training_does_not_import_torchs_compiler():
    """It takes a second or more, as long as a small table takes to learn, and 80 MB; steps are recorded here too."""
    code = (
        "import sys, numpy as np, narrows\n"
        "model = narrows.Autoencoder(2, training=narrows.Training(epochs=40), random_state=0)\n"
        "model.fit(np.random.default_rng(0).normal(size=(80, 3)))\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
