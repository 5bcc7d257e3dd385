"""How fast sequences are read, written and learnt: CPU seconds on one core, medians of interleaved runs.

    python -m benchmarks.sequences [--only cache,cells,loop] [--repeats 5]

``cache``: 512 tokens from the default transformer (4 layers, width 128, 65 tokens), going on from what it kept against
reading everything again for every token. ``cells``: forward and backward of one layer of each cell, 64 series of 100
steps, 128 units. ``loop``: 80 training steps on characters, our loop and modules against modules and a loop written
by hand in plain PyTorch (fused Adam). One JSON object per line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows import likelihoods, networks
from narrows._types import Layout, Rows
from narrows.models import AutoregressiveModule, AutoregressiveStep
from narrows.networks.cells import layer
from narrows.training import Loop, Player, Training

TOKENS, STEPS, BATCH, LENGTH = 65, 80, 16, 64


def compare(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each, one after the other in turn, after a first run of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def language_model(network: networks.Network) -> AutoregressiveModule:
    layout = Layout(shape=(LENGTH, 1), categories=(TOKENS,))
    return AutoregressiveModule(layout, network, likelihoods.Categorical(), embedding=128)


@torch.no_grad()
def cache(repeats: int) -> dict[str, Any]:
    model = language_model(networks.Transformer()).eval()

    def cached() -> Tensor:
        tokens = torch.zeros(1, 0, 1)
        said, state = model.begin(tokens)
        for _ in range(512):
            tokens = torch.cat([tokens, said.mode.unsqueeze(1)], 1)
            said, state = model.advance(tokens[:, -1:], state)
        return tokens

    def again() -> Tensor:
        tokens = torch.zeros(1, 0, 1)
        for _ in range(512):
            tokens = torch.cat([tokens, model.begin(tokens)[0].mode.unsqueeze(1)], 1)
        return tokens

    found = compare({"cached": cached, "again": again}, max(1, repeats // 2))
    return {**found, "ratio": found["again"] / found["cached"], "same tokens": torch.equal(cached(), again())}


def cells(repeats: int) -> dict[str, Any]:
    x = torch.randn(64, 100, 16)

    def runner(cell: Any) -> Callable[[], object]:
        module = layer(cell, 16, 128, 1.0)
        return lambda: module(x, module.begin(x))[0].sum().backward()

    found = compare({c: runner(c) for c in ("rnn", "lstm", "gru", "peephole", "coupled")}, 3 * repeats)
    return {**found, "peephole / lstm": found["peephole"] / found["lstm"]}


class PlainLSTM(nn.Module):
    """A character model as one writes it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS + 1, 128)
        self.rnn = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """What comes of it."""
        return self.head(self.rnn(self.embedding(tokens))[0])


class PlainBlock(nn.Module):
    """A block of nanoGPT."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.LayerNorm(128), nn.LayerNorm(128)
        self.look, self.merge = nn.Linear(128, 384, bias=False), nn.Linear(128, 128)
        self.dense = nn.Sequential(nn.Linear(128, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, x: Tensor) -> Tensor:
        """What comes of it."""
        n, t, _ = x.shape
        q, k, v = (part.view(n, t, 4, 32).transpose(1, 2) for part in self.look(self.a(x)).split(128, 2))
        heard = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, 128)
        x = x + self.merge(heard)
        return x + self.dense(self.b(x))


class PlainTransformer(nn.Module):
    """nanoGPT of four layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.places = nn.Embedding(TOKENS + 1, 128), nn.Parameter(torch.zeros(LENGTH, 128))
        self.blocks = nn.Sequential(*[PlainBlock() for _ in range(4)])
        self.leave, self.head = nn.LayerNorm(128), nn.Linear(128, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """What comes of it."""
        return self.head(self.leave(self.blocks(self.embedding(tokens) + self.places)))


def loop(repeats: int) -> dict[str, Any]:
    tokens = torch.randint(0, TOKENS, (STEPS * BATCH, LENGTH))
    rows = Rows(tokens.unsqueeze(-1).float())

    def ours(network: networks.Network) -> None:
        step = AutoregressiveStep(language_model(network))
        training = Training(epochs=1, batch_size=BATCH, verbose=False)
        Loop(step, [Player(step, list(step.parameters()))], training, seed=0).fit(rows)

    def by_hand(model: nn.Module) -> None:
        optimiser = torch.optim.Adam(model.parameters(), 2e-3, fused=True)
        before = F.pad(tokens[:, :-1], (1, 0), value=TOKENS)
        for place in torch.randperm(len(tokens)).split(BATCH):
            loss = F.cross_entropy(model(before[place]).flatten(0, 1), tokens[place].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    found = compare(
        {
            "lstm": lambda: ours(networks.Recurrent()),
            "lstm by hand": lambda: by_hand(PlainLSTM()),
            "transformer": lambda: ours(networks.Transformer(positions="learned", context=LENGTH)),
            "transformer by hand": lambda: by_hand(PlainTransformer()),
        },
        max(3, repeats // 2),
    )
    return {**found, **{f"{n} ratio": found[n] / found[f"{n} by hand"] for n in ("lstm", "transformer")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="cache,cells,loop")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name in asked.only.split(","):
        found = {"cache": cache, "cells": cells, "loop": loop}[name](asked.repeats)
        shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
        print(json.dumps({"measured": name, **shown}), flush=True)


if __name__ == "__main__":
    main()
