"""Characters of one font shown in another, learnt without pairs: `python -m benchmarks.translator --data DIR`.

Two fonts of `characters_80x80.npz`, halved to 40 × 40. Of the characters that both have, some are held out, and the
others are dealt out, half to each font: no character is seen in both. The pairs among those held out only measure: how
far a translated character is from its true picture in the other font, beside how far the source's picture is; how often
a classifier of fonts takes it for the target font; and how often the nearest true picture of that font is that of the
same character. With `--faces`, two people of the Olivetti faces, for which there are no pairs: a picture to look at.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

import narrows
from narrows import Training, corruptions, networks, penalties

Images = NDArray[Any]


def fonts(path: Path, a: int, b: int) -> tuple[Images, Images]:
    """The characters that two fonts share, ``(n, 40, 40)`` each, in the same order."""
    data = np.load(path)
    small = data["X"].reshape(-1, 40, 2, 40, 2).mean((2, 4)).astype(np.uint8)
    found = []
    for font in (a, b):
        own = data["font"] == font
        found.append(dict(zip(data["char"][own].tolist(), small[own], strict=True)))
    both = sorted(found[0].keys() & found[1].keys())
    return np.stack([found[0][c] for c in both]), np.stack([found[1][c] for c in both])


def model(seed: int, epochs: int, code_size: int) -> Any:
    """The translator."""
    return narrows.Translator(
        code_size,
        network=networks.Conv(channels=(16, 32)),
        corruption=corruptions.Chain((corruptions.Warp(0.02), corruptions.Gaussian(0.1))),
        penalties=penalties.Penalties(kl=penalties.KL(weight=0.3, warmup=5.0)),
        training=Training(epochs=epochs, batch_size=32, learning_rate=2e-3, validation=0.0),
        random_state=seed,
    )


def measure(name: str, made: Images, true: Images, source: Images, judge: Any, label: int) -> str:
    """One line of the table."""
    flat, truth, start = (x.reshape(len(x), -1) / 255 for x in (made, true, source))
    errors, before = ((flat - truth) ** 2).mean(1), ((start - truth) ** 2).mean(1)
    nearest = ((flat[:, None] - truth[None]) ** 2).mean(-1).argmin(1)
    shares = [
        (errors < before).mean(),
        (judge.predict(255 * flat) == label).mean(),
        (nearest == np.arange(len(flat))).mean(),
    ]
    figures = f"{errors.mean():.4f} | {errors.mean() / before.mean():.2f}"
    return f"| {name} | {figures} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def characters(given: argparse.Namespace) -> None:
    """Train on the two fonts and print the table."""
    pair = fonts(given.data / "characters_80x80.npz", *given.fonts)
    order = np.random.default_rng(given.seed).permutation(len(pair[0]))
    test, own = order[: given.held], (order[given.held :: 2], order[given.held + 1 :: 2])
    train = [images[chosen] for images, chosen in zip(pair, own, strict=True)]
    began = time.perf_counter()
    fitted = model(given.seed, given.epochs, given.code_size).fit(train)
    seconds = time.perf_counter() - began
    flat = np.concatenate(train).reshape(sum(map(len, train)), -1)
    judge = LogisticRegression(C=1e-4, max_iter=2000).fit(flat, np.repeat([0, 1], list(map(len, train))))
    print(
        "| | error to the true picture | of the source's | nearer than it | of the target font | nearest is the same |"
    )
    print("|---" * 6 + "|")
    rows = []
    for label in (0, 1):
        source, true = pair[label][test], pair[1 - label][test]
        made = np.asarray(fitted.translate(source, to="ba"[label]))
        mean = np.broadcast_to(train[1 - label].mean(0), true.shape)
        for name, images in (
            (f"{'ab'[label]} → {'ba'[label]}", made),
            ("the source", source),
            ("the set's mean", mean),
        ):
            print(measure(name, images, true, source, judge, 1 - label))
        rows += [source[:16], made[:16], true[:16]]
    print(f"{len(train[0])} and {len(train[1])} characters to learn from, {len(test)} held out; {seconds:.0f} s")
    save(given.out / "characters.png", rows)
    fitted.save(given.out / "characters")


def faces(given: argparse.Namespace) -> None:
    """Train on two people's faces and draw what comes of it."""
    data = np.load(given.data / "olivetti_64x64.npz")
    people = [data["faces"][data["person"] == person] for person in given.people]
    fitted = narrows.Translator(
        given.code_size,
        network=networks.Conv(channels=(16, 32, 64)),
        corruption=corruptions.Chain((corruptions.Warp(0.03), corruptions.Gaussian(0.05))),
        penalties=penalties.Penalties(kl=penalties.KL(weight=0.3, warmup=100.0)),
        training=Training(epochs=given.face_epochs, batch_size=20, learning_rate=1e-3, validation=0.0),
        random_state=given.seed,
    ).fit(people)
    rows = []
    for x, other in zip(people, "ba", strict=True):
        rows += [
            x,
            np.asarray(fitted.translate(x, to="ab"["ba".index(other)])),
            np.asarray(fitted.translate(x, to=other)),
        ]
    save(given.out / "faces.png", rows)


def save(path: Path, rows: list[Images]) -> None:
    """Draw rows of images under each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]).astype(np.uint8)).save(path)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and the model")
    parser.add_argument("--fonts", type=int, nargs=2, default=(6, 12))
    parser.add_argument("--people", type=int, nargs=2, default=(0, 1))
    parser.add_argument("--held", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--face-epochs", type=int, default=500)
    parser.add_argument("--code-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faces", action="store_true")
    given = parser.parse_args()
    (faces if given.faces else characters)(given)


if __name__ == "__main__":
    main()
