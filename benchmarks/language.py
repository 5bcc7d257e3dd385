"""Language models on tiny Shakespeare and the Penn Treebank, beside a plain re-implementation of a known recipe.

    python -m benchmarks.language recipe --data DIR     # nanoGPT's configuration, beside plain torch
    python -m benchmarks.language pace --data DIR       # steps of both in turns
    python -m benchmarks.language budget --data DIR --kinds transformer --steps 9000     # ten minutes on two cores:
        # 1,200 CPU seconds; with --share 0.95, settings are chosen by the end of the training text
    python -m benchmarks.language words --data DIR      # Penn Treebank, two layers of 200
    python -m benchmarks.language cache                 # writing 512 tokens with and without a cache

DIR holds tinyshakespeare.txt (github.com/karpathy/char-rnn) and ptb/ (ptb.train.txt.gz, ptb.valid.txt). Times are those
of the process (CPU seconds), so that they mean the same on a machine that others use too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from narrows._types import Layout
from narrows.data import Text
from narrows.data.token_stream import TokenStream
from narrows.estimators import LanguageModel
from narrows.estimators._language_choices import LanguageStep
from narrows.language import Greedy
from narrows.likelihoods import Categorical
from narrows.models import AutoregressiveModule
from narrows.networks import Recurrent, Transformer
from narrows.training import Training
from narrows.training.replay import Gradients
from narrows.training.source import batches

TRAIN = 1_003_854  # characters of tiny Shakespeare; the rest is for validation
STEPS, BATCH, CONTEXT = 2_000, 12, 64  # nanoGPT's configuration for processors


def shakespeare(data: Path) -> tuple[str, str]:
    text = (data / "tinyshakespeare.txt").read_text()
    return text[:TRAIN], text[TRAIN:]


def windows_loss(logits, tokens: np.ndarray, size: int = CONTEXT, batches: int = 40) -> float:
    """Nats per character as nanoGPT measures it: random windows, and in each all tokens but the first.

    Args:
        logits: ``(B, size) -> (B, size, V)``: what follows every token.
        tokens: ``(T,)``.
        size: Tokens that go in.
        batches: Of 32 windows.
    """
    random = np.random.default_rng(1)
    losses = []
    for _ in range(batches):
        starts = random.integers(len(tokens) - size, size=32)
        rows = torch.from_numpy(tokens[starts[:, None] + np.arange(size + 1)].astype(np.int64))
        with torch.inference_mode():
            losses.append(F.cross_entropy(logits(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).item())
    return float(np.mean(losses))


def of_model(model: LanguageModel):
    """What a fitted model says after every token of a window; it learnt to begin anywhere, from its start vector."""

    def logits(rows: torch.Tensor) -> torch.Tensor:
        from narrows._types import Rows

        # one token more, so that the last is predicted too; what it is does not matter
        more = torch.cat([rows, rows[:, :1]], 1).unsqueeze(-1).float()
        return model.module_(Rows(more)).logits[:, 1:]

    return logits


# --- plain torch -----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """As in nanoGPT: pre-norm, four times as wide within, no biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.one, self.two, self.heads = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False), heads
        self.look, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, T, width) -> (B, T, width)``."""
        b, t, c = x.shape
        q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in self.look(self.one(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.two(x))))


class Plain(nn.Module):
    """The recipe by hand: learned positions, tied weights, GPT-2's initialisation."""

    def __init__(self, vocabulary: int, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.last = nn.LayerNorm(width, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                std = 0.02 / math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 0.02
                nn.init.normal_(p, std=std)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """``(B, T) -> (B, T, V)``."""
        x = self.token(rows) + self.place(torch.arange(rows.shape[1]))
        return F.linear(self.last(self.blocks(x)), self.token.weight)


def plain_steps(tokens: np.ndarray, vocabulary: int, seed: int) -> Iterator[Plain]:
    """The loop of nanoGPT: AdamW, 1e-3 to 1e-4 by a cosine after 100 steps, β₂ 0.99, decay 0.1, clip 1."""
    torch.manual_seed(seed)
    model = Plain(vocabulary)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    data = torch.from_numpy(tokens.astype(np.int64))
    for step in range(STEPS):
        warm, share = (step + 1) / 101, (step - 100) / (STEPS - 100)
        rate = 1e-3 * warm if step < 100 else 1e-4 + 0.5 * (1 + math.cos(math.pi * share)) * 9e-4
        for group in optimiser.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(data) - CONTEXT, (BATCH,))
        x = torch.stack([data[i : i + CONTEXT] for i in starts])
        y = torch.stack([data[i + 1 : i + 1 + CONTEXT] for i in starts])
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        yield model


def train_plain(tokens: np.ndarray, vocabulary: int, seed: int) -> Plain:
    *_, model = plain_steps(tokens, vocabulary, seed)
    return model.eval()


def our_steps(tokens: np.ndarray, vocabulary: int, seed: int) -> Iterator[None]:
    """What `training.Loop` does in a step of `LanguageModel`, one by one."""
    torch.manual_seed(seed)
    layout = Layout((CONTEXT, 1), (vocabulary,), high=(vocabulary - 1.0,))
    model = AutoregressiveModule(layout, Transformer(), Categorical(), 128, tied=True)
    step, parameters = LanguageStep(model), list(model.parameters())
    optimiser, stream = Training().make_optimiser(parameters), TokenStream(tokens, CONTEXT, STEPS * BATCH)
    gradients, epoch = Gradients(step, parameters, nullcontext), torch.zeros(())
    for batch in batches(stream, seed, 0, BATCH, 0, torch.device("cpu")):
        gradients(batch, epoch)
        with torch.inference_mode(gradients.replayed):
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.move(1e-3)
        yield


# --- the measurements ------------------------------------------------------------------------------------------


def clocked(function):
    """What a function gives, with its CPU seconds and its seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = function()
    return made, time.process_time() - cpu, time.perf_counter() - wall


def recipe_model(kind: str, seed: int, batch: int, rate: float, steps: int = STEPS) -> LanguageModel:
    """A model of nanoGPT's size, or an LSTM of as many weights, for the tokens of so many of its steps."""
    network = Transformer(layers=4, heads=4, width=128) if kind == "transformer" else Recurrent(hidden=296, layers=1)
    count = steps * BATCH // 2
    training = Training(epochs=2, batch_size=batch, learning_rate=rate, clip=1.0, validation=0.0, verbose=False)
    return LanguageModel(network, context=CONTEXT, windows=count, training=training, random_state=seed)


def recipe(args: argparse.Namespace) -> None:
    train, valid = shakespeare(args.data)
    format_ = Text().fit(train)
    tokens, held = format_.read(train), format_.read(valid)
    for seed, name in [(seed, name) for seed in range(args.seeds) for name in args.kinds]:
        if name == "plain torch":
            model, cpu, wall = clocked(partial(train_plain, tokens, format_.size, seed))
            logits, weights = model, model
        else:
            unfitted = recipe_model(name, seed, args.batch, args.rate, args.steps)
            model, cpu, wall = clocked(partial(unfitted.fit, train))
            logits, weights = of_model(model), model.module_
        row = {"seed": seed, "model": name, "weights": sum(p.numel() for p in weights.parameters())}
        row |= {"loss": round(windows_loss(logits, held), 4), "cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}
        if name != "plain torch":
            row |= {"steps": args.steps, "whole text": round(-model.score(valid), 4), "rate": args.rate}
        print(json.dumps(row), flush=True)


def pace(args: argparse.Namespace) -> None:
    """Steps of ours and of plain torch in turns, so that both meet the same machine."""
    train, _ = shakespeare(args.data)
    format_ = Text().fit(train)
    tokens = format_.read(train)
    both = [plain_steps(tokens, format_.size, 0), our_steps(tokens, format_.size, 0)]
    for steps in both:
        list(islice(steps, 60))  # by then ours is recorded
    times = np.array([[clocked(lambda: list(islice(s, 12)))[1] / 12 for s in both] for _ in range(args.turns)])  # noqa: B023
    plain, ours = np.median(times, 0) * 1e3
    ratio = np.median(times[:, 1] / times[:, 0])
    print(f"{args.turns} turns of 12 steps: plain {plain:.1f} ms, ours {ours:.1f} ms of CPU time; ratio {ratio:.3f}")


def budget(args: argparse.Namespace) -> None:
    train, valid = shakespeare(args.data)
    networks = {
        "transformer": Transformer(layers=4, heads=4, width=args.width, dropout=args.dropout),
        "lstm": Recurrent(hidden=args.width, layers=args.layers, dropout=args.dropout),
    }
    training = Training(
        epochs=10, batch_size=args.batch, learning_rate=args.rate, clip=1.0, validation=args.held, verbose=False
    )
    network, count = networks[args.kinds[0]], args.steps * args.batch // 10
    model = LanguageModel(network, context=args.context, windows=count, training=training, random_state=0)
    learnt = train[: int(args.share * len(train))]
    model, cpu, wall = clocked(lambda: model.fit(learnt))
    for row in model.history_.rows:
        print({k: round(v, 4) for k, v in row.items()})
    judged = valid if args.share == 1 else train[len(learnt) :]
    row = {"network": repr(network), "weights": sum(p.numel() for p in model.module_.parameters())}
    row |= {name: getattr(args, name) for name in ("context", "batch", "steps", "rate")}
    row |= {
        "whole text": round(-model.score(judged), 4),
        f"windows of {args.context}": round(windows_loss(of_model(model), model.format_.read(judged), args.context), 4),
    }
    print(json.dumps(row | {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}))
    print(model.generate("ROMEO:", 300, random_state=0))


def words(args: argparse.Namespace) -> None:
    folder = args.data / "ptb"
    with gzip.open(folder / "ptb.train.txt.gz", "rt") as file:
        train = file.read()
    valid = (folder / "ptb.valid.txt").read_text().replace("\n", " <eos> ")
    if args.share < 1:
        train = " ".join(train.split()[: int(args.share * len(train.split()))])
    network = Recurrent(hidden=200, layers=2, dropout=args.dropout)
    training = Training(epochs=args.epochs, batch_size=20, learning_rate=args.rate, clip=1.0, validation=0.02)
    format_ = Text("words", punctuation=False, least=1, context=35)
    model = LanguageModel(network, format=format_, training=training, random_state=0)
    model, cpu, wall = clocked(lambda: model.fit(train))
    for row in model.history_.rows:
        print({k: round(v, 4) for k, v in row.items()})
    found = {"words": model.format_.size, "weights": sum(p.numel() for p in model.module_.parameters())}
    found |= {"valid perplexity": round(model.perplexity(valid), 2), "tokens": len(model.format_.read(valid))}
    print(json.dumps(found | {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}))


def write(model: LanguageModel, cached: bool) -> list[int]:
    return list(Greedy().stream(model.next_token(cached), torch.zeros(0, dtype=torch.long), 512))


def cache(args: argparse.Namespace) -> None:
    text = "the cat sat on the mat and looked at the dog. " * 200
    for network in (Transformer(layers=4, heads=4, width=128), Recurrent(hidden=256, layers=2)):
        model = LanguageModel(
            network, context=1024, windows=8, training=Training(epochs=1, verbose=False), random_state=0
        )
        model.format = Text(context=1024)
        model.fit(text)
        times = []
        for cached in (True, False):
            tokens, cpu, _ = clocked(partial(write, model, cached))
            times.append((cpu, tokens))
        (kept, one), (again, other) = times
        print(f"{network!r}: {kept:.2f} s with, {again:.2f} s without: {again / kept:.1f} ×; same: {one == other}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["recipe", "pace", "budget", "words", "cache"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["plain torch", "transformer", "lstm"])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1, help="of an LSTM")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--held", type=float, default=0.0, help="share of the training text that is only watched")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--share", type=float, default=1.0)
    args = parser.parse_args()
    {"recipe": recipe, "pace": pace, "budget": budget, "words": words, "cache": cache}[args.what](args)


if __name__ == "__main__":
    main()
