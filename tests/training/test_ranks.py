"""Several processes train one model as one process does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

import narrows
from narrows import Training
from narrows.errors import InvalidParameter
from narrows.training import ranks

pytest.importorskip("lightning_fabric")

SCRIPT = """
import copy, sys, time, numpy as np, torch
import narrows
from narrows import bottlenecks, corruptions, networks, penalties
from narrows.training import loop, ranks

torch.set_num_threads(1)
out, checkpoint, slow, strategy = sys.argv[1], sys.argv[2] or None, float(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 4))
X[:, 3] = X[:, 0] * X[:, 1]


class Slow(corruptions.Gaussian):
    def __call__(self, rows, layout):
        time.sleep(slow)
        return super().__call__(rows, layout)


held, finish = [], loop.Loop._finish


def look(self):
    entries = [t for state in self.optimisers[0].state.values() for t in state.values()]
    held.append(sum(ranks.local(t).numel() for t in entries))
    finish(self)


loop.Loop._finish = look
model = narrows.Autoencoder(
    2,
    bottleneck=bottlenecks.Gaussian(),
    penalties=penalties.Penalties(kl=penalties.KL()),
    corruption=Slow(0.1),
    network=networks.Dense((260, 260)),
    training=narrows.Training(
        epochs=4, batch_size=60, clip=1.0, strategy=strategy, checkpoint=checkpoint, checkpoint_every=0, verbose=False
    ),
    random_state=0,
).fit(X)
copy.deepcopy(model.module_)  # torch refuses what is still in parts
if ranks.rank() == 0:
    columns = {name: model.history_[name] for name in ("loss", "validation_loss", "active_units")}
    np.savez(out, codes=model.transform(X), held=held, **columns)
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
    run(command(script, 1, place / "alone.npz", "", 0, "ddp"))
    return script, np.load(place / "alone.npz")


def same(found, expected) -> None:
    for name in ("codes", "loss", "validation_loss", "active_units"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=3e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("size", [2, 4])
def test_processes_together_do_what_one_does(alone, size, strategy, tmp_path):
    """The same rows in every step, the same noise, and averaged gradients: equal up to rounding."""
    script, expected = alone
    run(command(script, size, tmp_path / "found.npz", "", 0, strategy))
    found = np.load(tmp_path / "found.npz")
    same(found, expected)
    # what the optimiser remembers is parted with the weights
    assert found["held"] < expected["held"] * (1.02 / size if strategy == "fsdp" else 1.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "strategy", "size_after", "strategy_after"), [(2, "ddp", 2, "ddp"), (2, "fsdp", 4, "fsdp")]
)
def test_killed_and_resumed(alone, size, strategy, size_after, strategy_after, tmp_path):
    """Checkpoints hold whole tensors: other processes, or more of them, can go on from there."""
    script, expected = alone
    words = command(script, size, tmp_path / "found.npz", tmp_path / "checkpoint", 0.1, strategy)
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoint" / "checkpoint.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())
    assert 0 < kept["state"]["step"] < 36
    assert not (tmp_path / "found.npz").exists()
    run(command(script, size_after, tmp_path / "found.npz", tmp_path / "checkpoint", 0, strategy_after))
    same(np.load(tmp_path / "found.npz"), expected)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.slow
def test_the_others_end_when_one_is_killed(alone, tmp_path):
    """Nobody waits for ever: the first process says what happened, and its checkpoint is whole."""
    script, expected = alone
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    words = [sys.executable, str(script), str(tmp_path / "found.npz"), str(tmp_path / "checkpoint"), "0.1", "ddp"]
    first, second = (
        subprocess.Popen(
            words,
            env=environment() | together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoint" / "checkpoint.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    second.kill()
    second.communicate()
    _, told = first.communicate(timeout=120)
    assert first.returncode == 1
    assert "WorkerDied: one of the 2 processes that train together has died" in told
    assert {path.suffix for path in (tmp_path / "checkpoint").iterdir()} == {".json", ".safetensors"}
    run(command(script, 1, tmp_path / "found.npz", tmp_path / "checkpoint", 0, "ddp"))
    same(np.load(tmp_path / "found.npz"), expected)


OTHERS = """
import sys, numpy as np, torch
import narrows
from narrows.training import ranks

torch.set_num_threads(1)
X = np.random.default_rng(0).normal(size=(120, 5))  # a quarter of what is learnt from is 27 rows, an odd number
settings = {"epochs": 2, "batch_size": 32, "verbose": False}
prior = narrows.priors.Diffusion(narrows.networks.Residual(16), rows=500)
models = {
    "gan": narrows.GAN(training=narrows.Training(**settings), random_state=0),
    "latent": narrows.LatentDiffusion(
        2, prior=prior, training=narrows.Training(**settings, strategy="fsdp"), random_state=0
    ),
}
made = {name: model.fit(X).sample(20, random_state=0) for name, model in models.items()}
np.savez(f"{sys.argv[1]}-{ranks.rank()}.npz", **made)
"""


@pytest.mark.slow
def test_generators_of_several_steps(tmp_path):
    """A game's two steps hold the same weights, and a prior is trained after its model, in parts anew."""
    (tmp_path / "script.py").write_text(OTHERS)
    found = []
    for size in (1, 2):
        run(command(tmp_path / "script.py", size, tmp_path / str(size)))
        found += [np.load(tmp_path / f"{size}-{rank}.npz") for rank in range(size)]
    alone, *together = found
    for one in together:
        np.testing.assert_allclose(one["gan"], alone["gan"], atol=1e-3)
        np.testing.assert_array_equal(one["latent"], together[0]["latent"])


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path):
    """One folder, one story, whoever helped."""
    start = command(Path("-m"), 2)[:-1]
    words = [*start, "-m", "narrows", "fit", "banknote", "--epochs", "2", "--out", str(tmp_path / "run"), "--quiet"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(tmp_path / "run")
    assert narrows.load(tmp_path / "run").history_.rows[-1]["epoch"] == 2


SHARDS = """
import json, sys, numpy as np, torch
from narrows import Autoencoder, Training, networks
from narrows._types import Rows
from narrows.data import Table, TableStream, open_stream
from narrows.data.row_stream import RowStream
from narrows.training import ranks

torch.set_num_threads(1)
files, out, strategy, joined = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
read, load, epoch = [], TableStream.load, RowStream.epoch


def noted(self, piece):
    read.append(piece)
    return load(self, piece)


def all_shares(self, seed, number, batch, first=0, *, rank=0, world=1):
    parts = [epoch(self, seed, number, batch, first, rank=r, world=joined) for r in range(joined)]
    parts = [torch.cat([rows.values for rows in part]) for part in parts]
    parts = [part.reshape(-1, batch // joined, part.shape[1]) for part in parts]
    yield Rows(torch.cat(parts, 1).flatten(0, 1))


TableStream.load = noted
if joined:
    RowStream.epoch = all_shares
stream = open_stream(files, memory=256 * 1024)
settings = Training(epochs=3, batch_size=48, strategy=strategy, verbose=False)
model = Autoencoder(2, network=networks.Dense((16,)), format=Table(scaling="standard"), training=settings)
model.set_params(random_state=0).fit(stream)
number = ranks.rank()
weights = {name: tensor.numpy() for name, tensor in model.module_.state_dict().items()}
np.savez(f"{out}-{number}.npz", loss=model.history_["loss"], **weights)
with open(f"{out}-{number}.json", "w") as file:
    json.dump({"read": read, "pieces": len(stream.sizes)}, file)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve files of one row group each."""
    place = tmp_path_factory.mktemp("shards")
    with duckdb.connect() as con:
        con.execute("SET threads=1; SELECT setseed(0.3)")
        for number in range(12):
            con.execute(
                "COPY (SELECT z + 0.1 * random() AS a, -2 * z AS b, random() AS c, z * z AS d FROM "
                f"(SELECT random() AS z FROM range(100))) TO '{place}/part-{number:02}.parquet'"
            )
    (place / "script.py").write_text(SHARDS)
    return place


@pytest.mark.slow
@pytest.mark.parametrize(("size", "strategy"), [(2, "ddp"), (4, "fsdp")])
def test_every_process_reads_its_own_files(files, size, strategy, tmp_path):
    """The result is that of one process that is given what all of them read, batch by batch."""
    words = [f"{files}/*.parquet", tmp_path / "many", strategy]
    run(command(files / "script.py", size, *words, 0))
    run(command(files / "script.py", 1, words[0], tmp_path / "one", strategy, size))
    found = [np.load(tmp_path / f"many-{rank}.npz") for rank in range(size)]
    expected = np.load(tmp_path / "one-0.npz")
    for name in expected.files:
        np.testing.assert_allclose(found[0][name], expected[name], rtol=1e-4, atol=1e-5)
        assert all(np.array_equal(other[name], found[0][name]) for other in found)
    told = [json.loads((tmp_path / f"many-{rank}.json").read_text()) for rank in range(size)]
    pieces = told[0]["pieces"]
    assert pieces == 12
    # the first one looks at all of them once, to fit the format
    assert sorted(told[0]["read"][:pieces]) == list(range(pieces))
    own = [told[0]["read"][pieces:], *(one["read"] for one in told[1:])]
    assert all(len(read) <= 3 * (pieces / size + 1) for read in own)


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
    assert one.wrap(step, [step.weight]) == (step, [step.weight])
    assert one.all(True)
    assert one.agree(lambda: 3) == 3
    assert type(ranks.ranks_for(Training())) is ranks.Ranks


def test_a_step_is_parted_once():
    """A game of several networks has several steps, which share weights."""
    pytest.importorskip("torch.distributed.fsdp", reason="torch without fully_shard")
    from narrows.training.sharded import Sharded

    sharded, step = Sharded(Fabric()), torch.nn.Linear(1, 1)
    sharded.plain = [object()]
    with pytest.raises(InvalidParameter, match="strategy='ddp'"):
        sharded.wrap(step, [step.weight])


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
