"""Several processes train one model as one process does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import narrows
from narrows import Training
from narrows.errors import InvalidParameter
from narrows.training import ranks

pytest.importorskip("lightning_fabric")

SCRIPT = """
import sys, time, numpy as np, torch
import narrows
from narrows import bottlenecks, corruptions, penalties

torch.set_num_threads(1)
out, checkpoint, slow = sys.argv[1], sys.argv[2] or None, float(sys.argv[3])
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 4))
X[:, 3] = X[:, 0] * X[:, 1]


class Slow(corruptions.Gaussian):
    def __call__(self, rows, layout):
        time.sleep(slow)
        return super().__call__(rows, layout)


model = narrows.Autoencoder(
    2,
    bottleneck=bottlenecks.Gaussian(),
    penalties=penalties.Penalties(kl=penalties.KL()),
    corruption=Slow(0.1),
    training=narrows.Training(epochs=8, batch_size=60, checkpoint=checkpoint, checkpoint_every=0, verbose=False),
    random_state=0,
).fit(X)
if narrows.training.ranks.rank() == 0:
    np.savez(out, codes=model.transform(X), loss=model.history_["loss"], validation=model.history_["validation_loss"])
"""


def command(script: Path, size: int, *words: object) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    return [*(start if size > 1 else [sys.executable]), str(script), *map(str, words)]


def environment() -> dict[str, str]:
    source = Path(narrows.__file__).parents[1]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}


def run(words: list[str]) -> None:
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    place = tmp_path_factory.mktemp("ranks")
    script = place / "script.py"
    script.write_text(SCRIPT)
    run(command(script, 1, place / "alone.npz", "", 0))
    return script, np.load(place / "alone.npz")


def same(found, expected) -> None:
    for name in ("codes", "loss", "validation"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_processes_together_do_what_one_does(alone, size, tmp_path):
    """The same rows in every step, the same noise, and averaged gradients: equal up to rounding."""
    script, expected = alone
    run(command(script, size, tmp_path / "found.npz", "", 0))
    same(np.load(tmp_path / "found.npz"), expected)


@pytest.mark.slow
def test_killed_and_resumed(alone, tmp_path):
    script, expected = alone
    words = command(script, 2, tmp_path / "found.npz", tmp_path / "checkpoint", 0.1)
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoint" / "checkpoint.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())
    assert 0 < kept["state"]["step"] < 72
    assert not (tmp_path / "found.npz").exists()
    words[-1] = "0"
    run(words)
    same(np.load(tmp_path / "found.npz"), expected)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path):
    """One folder, one story, whoever helped."""
    start = command(Path("-m"), 2)[:-1]
    words = [*start, "-m", "narrows", "fit", "banknote", "--epochs", "2", "--out", str(tmp_path / "run"), "--quiet"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(tmp_path / "run")
    assert narrows.load(tmp_path / "run").history_.rows[-1]["epoch"] == 2


class Fabric:
    """Stands for a launched fabric: two processes, of which this is the second."""

    world_size, global_rank = 2, 1


def test_noise_is_a_share_of_the_noise_for_all():
    together = ranks.Together(Fabric())
    torch.manual_seed(0)
    whole, uniform, samples = torch.randn(6, 3), torch.rand(6), torch.randn(5, 6, 2)
    torch.manual_seed(0)
    with together.noise(3):
        assert torch.equal(torch.randn_like(torch.empty(3, 3)), whole[3:])
        assert torch.equal(torch.rand_like(torch.empty(3)), uniform[3:])
        assert torch.equal(torch.randn_like(torch.empty(5, 3, 2)), samples[:, 3:])
    assert together.own(torch.arange(6)).tolist() == [3, 4, 5]


def test_alone_nothing_is_changed():
    one = ranks.Ranks()
    index, step = torch.arange(4), torch.nn.Linear(1, 1)
    assert one.own(index) is index
    assert one.wrap(step) is step
    assert one.all(True)
    assert one.agree(lambda: 3) == 3
    assert type(ranks.ranks_for(Training())) is ranks.Ranks


def test_other_processes_than_asked_for(monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert ranks.started() == (2, 2)
    with pytest.raises(InvalidParameter, match="devices=3, but torchrun started 2"):
        ranks.ranks_for(Training(devices=3))
    with pytest.raises(InvalidParameter, match="nodes=1, but torchrun started 2"):
        ranks.ranks_for(Training(nodes=1))


def test_batches_that_cannot_be_dealt_out(monkeypatch):
    from narrows._types import Rows
    from narrows.training import Loop, Player

    step = torch.nn.Linear(2, 1)
    loop = Loop(step, [Player(step, list(step.parameters()))], Training(batch_size=7), 0)
    loop.ranks = ranks.Together(Fabric())
    with pytest.raises(InvalidParameter, match="batch_size=6"):
        loop.fit(Rows(torch.zeros(70, 2)))
