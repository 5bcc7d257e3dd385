"""How good made-up melodies are: phrases of Nottingham, learnt by a variational autoencoder of bars.

    python -m benchmarks.music_made --data DIR [--kinds bars] [--seeds 0,1] [--set beta=0.2] [--set epochs=15]

DIR holds Nottingham.mat (its steps taken for eighth notes: 8 are a bar). The melody is the highest voice; a row is two
bars, one every bar of a training piece; those of the validation and test parts do not overlap. Everything is judged on
the test part.

Kinds: *bars*, a decoder over a decoder, both dense; *bars-mixture*, the same with Gaussians fitted to its codes;
*hierarchical*, both recurrent; *dense*, one dense network.

*Given back*: the share of steps whose token comes back, of notes (a pitch at the step where it began), and of phrases
that come back whole; beside the most frequent token of every step and the most similar training phrase.
*Made up*: as many phrases as the test part has. Distances are total variation (0 to 1) between the shares of pitch
classes, note lengths, notes per bar, and intervals from note to note. *In key*: the share of a phrase's notes in the
major scale that fits it best. *Rhythm again*: how often a bar has the rhythm of the bar before. *Copies*: phrases that
are a training phrase, in any key. Beside: training phrases drawn again (as near as a sample can be) and a Markov chain
of what follows every pitch at every place of the bar. *Between*: of the way between two test phrases in eight steps,
the share of steps of the middle that differ from the start and from the end, the largest single step as a share of the
whole way, and how much of the middle is in key; beside a middle of every token drawn from either end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat

from narrows import Training, VariationalAutoencoder, networks, priors
from narrows.data import Music
from narrows.data.music import HOLD, PITCHES, REST

BARS, GRID, BAR = 2, 2, 8
MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])


# --- melodies as tokens ----------------------------------------------------------------------------------------


def notes(row: np.ndarray) -> list[tuple[int, int, int]]:
    """Start, length and pitch of the notes of a row of tokens."""
    starts = [*np.flatnonzero(row != HOLD).tolist(), len(row)]
    return [(a, b - a, int(row[a])) for a, b in itertools.pairwise(starts) if row[a] >= PITCHES]


def shares(values: list[int], size: int) -> np.ndarray:
    return np.bincount(np.clip(values, 0, size - 1), minlength=size) / max(len(values), 1)


def statistics(rows: np.ndarray, low: int) -> dict[str, np.ndarray]:
    """Shares of what a set of melodies is made of."""
    found = [notes(row) for row in rows]
    return {
        "pitch classes": shares([(p + low) % 12 for row in found for _, _, p in row], 12),
        "lengths": shares([n for row in found for _, n, _ in row], 17),
        "notes per bar": shares([sum(s // BAR == b for s, _, _ in row) for row in found for b in range(BARS)], 9),
        "intervals": shares([b[2] - a[2] + 12 for row in found for a, b in itertools.pairwise(row)], 25),
    }


def in_key(rows: np.ndarray) -> float:
    """The share of notes in the best major scale of their phrase, on average."""
    scales = np.stack([np.roll(MAJOR, k) for k in range(12)])
    counts = np.stack([np.bincount([p % 12 for _, _, p in notes(row)], minlength=12) for row in rows])
    some = counts.sum(1) > 0
    return float(((counts @ scales.T).max(1)[some] / counts.sum(1)[some]).mean())


def rhythm_again(rows: np.ndarray) -> float:
    """How often a bar has the rhythm of the one before."""
    begun = (rows >= PITCHES).reshape(len(rows), BARS, BAR)
    return float((begun[:, 1:] == begun[:, :-1]).all(2).mean())


def anyhow(row: np.ndarray) -> bytes:
    """A melody whatever its key: every pitch from the first on."""
    pitched = row >= PITCHES
    return np.where(pitched, row - row[pitched][0] + 100 if pitched.any() else row, row).astype(np.int64).tobytes()


def markov(train: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Melodies of a chain: the next token given the pitch that sounds and the place in the bar."""
    size = int(train.max()) + 1
    counts = np.full((BAR, size, size), 1e-9)
    first = np.bincount(train[:, 0], minlength=size) / len(train)
    sounding = train[:, 0].copy()
    for t in range(1, train.shape[1]):
        np.add.at(counts, (t % BAR, sounding, train[:, t]), 1)
        sounding = np.where(train[:, t] == HOLD, sounding, train[:, t])
    made = np.zeros((count, train.shape[1]), np.int64)
    for row in made:
        row[0] = now = rng.choice(size, p=first)
        for t in range(1, len(row)):
            p = counts[t % BAR, now]
            row[t] = rng.choice(size, p=p / p.sum())
            now = now if row[t] == HOLD else row[t]
    return made


# --- measurements ----------------------------------------------------------------------------------------------


def given_back(rows: np.ndarray, made: np.ndarray) -> dict[str, float]:
    begun = rows >= PITCHES
    return {
        "steps": float((rows == made).mean()),
        "notes": float((rows == made)[begun].mean()),
        "whole": float((rows == made).all(1).mean()),
    }


def nearest(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The training row with the most steps alike."""
    return np.stack([train[np.argmax((train == row).sum(1))] for row in rows])


def made_up(rows: np.ndarray, test: np.ndarray, known: set[bytes], low: int) -> dict[str, float]:
    mine, theirs = statistics(rows, low), statistics(test, low)
    found = {name: float(np.abs(mine[name] - theirs[name]).sum() / 2) for name in mine}
    found |= {"in key": in_key(rows), "rhythm again": rhythm_again(rows)}
    return found | {"copies": float(np.mean([anyhow(row) in known for row in rows]))}


def between(lines: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Of ways ``(n, steps, tokens)`` between melodies."""
    start, end, middle = lines[:, 0], lines[:, -1], lines[:, lines.shape[1] // 2]
    moves = (lines[:, 1:] != lines[:, :-1]).mean(2)
    whole = np.maximum((start != end).mean(1), 1e-9)
    crossed = np.where(rng.random(start.shape) < 0.5, start, end)
    return {
        "middle from the start": float(((middle != start).mean(1) / whole).mean()),
        "middle from the end": float(((middle != end).mean(1) / whole).mean()),
        "largest step": float((moves.max(1) / whole).mean()),
        "middle in key": in_key(middle),
        "tokens of either end in key": in_key(crossed),
        "ends in key": in_key(np.concatenate([start, end])),
    }


def model_of(kind: str, seed: int, changed: dict[str, Any]) -> VariationalAutoencoder:
    network = None
    if kind.startswith("bars"):
        network = networks.Hierarchical(segment=BAR, conductor=networks.Dense(), player=networks.Dense())
    if kind == "hierarchical":
        conductor = networks.Recurrent(cell="gru", hidden=int(changed.get("hidden", 128)))
        network = networks.Hierarchical(segment=BAR, conductor=conductor)
    training = Training(
        epochs=int(changed.get("epochs", 10)),
        batch_size=int(changed.get("batch", 64)),
        learning_rate=changed.get("rate", 3e-3),
        clip=1.0,
        verbose=False,
    )
    return VariationalAutoencoder(
        int(changed.get("code", 32)),
        network=network,
        prior=priors.Mixture() if kind.endswith("mixture") else None,
        beta=changed.get("beta", 1.0),
        free_bits=changed.get("free", 0.0),
        format=Music(bars=BARS, grid=GRID),
        training=training,
        random_state=seed,
    )


def tokens(format_: Any, pieces: list[np.ndarray], stride: int) -> np.ndarray:
    """All rows of pieces, one every so many bars; pieces with pitches that are not known are left out."""
    rows = []
    for piece in pieces:
        keys = np.flatnonzero(piece.any(0)) + 21
        if len(piece) >= BARS * BAR and keys.max() <= format_.high:
            rows.append(format_.to_rows([piece[: len(piece) // BAR * BAR]]).values[::stride, :, 0].numpy())
    return np.concatenate(rows).round().astype(np.int64)


def run(data: Path, kind: str, seed: int, changed: dict[str, Any]) -> dict[str, Any]:
    found = loadmat(data / "Nottingham.mat")
    train, test = (list(found[f"{part}data"][0]) for part in ("train", "test"))
    start = time.process_time()
    model = model_of(kind, seed, changed).fit(train)
    seconds = time.process_time() - start
    format_, rng = model.format_, np.random.default_rng(seed)
    learnt, held = tokens(format_, train, 1), tokens(format_, test, BARS)
    back = tokens_of(model, model.reconstruct(tunes_of(format_, held)))
    common = np.array([np.bincount(column).argmax() for column in learnt.T])
    known = {anyhow(row) for row in learnt}
    made = tokens_of(model, model.sample(len(held), random_state=seed))
    chosen = rng.permutation(len(held) // 2 * 2).reshape(2, -1)[:, :200]
    ways = model.interpolate(tunes_of(format_, held[chosen[0]]), tunes_of(format_, held[chosen[1]]), steps=9)
    lines = np.stack([tokens_of(model, line) for line in ways])
    again = learnt[rng.choice(len(learnt), len(held))]
    result: dict[str, Any] = {"model": kind, "seed": seed, "rows": [len(learnt), len(held)], "cpu_s": round(seconds, 1)}
    result |= {"epochs": len(model.history_.rows), **changed}
    result["given back"] = given_back(held, back)
    result["given back, commonest"] = given_back(held, np.broadcast_to(common, held.shape))
    result["given back, most similar"] = given_back(held[:300], nearest(learnt, held[:300]))
    result["made up"] = made_up(made, held, known, format_.low)
    result["made up, likeliest tokens"] = made_up(likeliest(model, len(held), seed), held, known, format_.low)
    result["made up, training again"] = made_up(again, held, known, format_.low)
    result["made up, Markov"] = made_up(markov(learnt, len(held), rng), held, known, format_.low)
    result["held out, of themselves"] = made_up(held, held, known, format_.low)
    result["between"] = between(lines, rng)
    return result


@torch.no_grad()
def likeliest(model: VariationalAutoencoder, count: int, seed: int) -> np.ndarray:
    """Melodies of which every token is the likeliest, rather than drawn from p(x|z)."""
    torch.manual_seed(seed)
    rows = model.module_.decode(model.module_.prior(None).sample(count)).mean[..., 0].long().numpy()
    rows[rows[:, 0] == HOLD, 0] = REST
    return rows


def tunes_of(format_: Any, rows: np.ndarray) -> list[Any]:
    return format_.from_values(torch.from_numpy(rows[..., np.newaxis].astype(np.float32)))


def tokens_of(model: VariationalAutoencoder, tunes: list[Any]) -> np.ndarray:
    """One row of tokens per tune, silent ones too."""
    rows = np.full((len(tunes), BARS * BAR), HOLD)
    rows[:, 0] = REST
    sounding = [i for i, tune in enumerate(tunes) if len(tune.notes)]
    rows[sounding] = model.format_.to_rows([tunes[i] for i in sounding]).values[..., 0].numpy().round()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", default="bars")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    changed = {name: float(value) for name, value in (item.split("=") for item in asked.set)}
    for kind in asked.kinds.split(","):
        for seed in map(int, asked.seeds.split(",")):
            found = run(asked.data, kind, seed, changed)
            rounded = {
                k: {n: round(x, 4) for n, x in v.items()} if isinstance(v, dict) else v for k, v in found.items()
            }
            print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main()
