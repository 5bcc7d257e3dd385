"""Characters of one font shown in another, learnt without pairs: `python -m benchmarks.translator --data DIR`.

Two fonts of `characters_80x80.npz`, halved to 40 × 40. Of the characters that both have, some are held out, and the others
are dealt out, half to each font: no character is seen in both. The pairs among those held out only measure: how far a
translated character is from its true picture in the other font, beside how far the source's picture is; and how often a
classifier of fonts takes it for the target font, and the nearest true picture of that font is that of the same character.
With `--faces`, also two people of the Olivetti faces, for which there are no pairs: a picture to look at.
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
from narrows import Training, corruptions, networks

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
        network=networks.Conv(channels=(32, 64), dense=(256,)),
        corruption=corruptions.Chain((corruptions.Warp(0.03), corruptions.Gaussian(0.1))),
        training=Training(epochs=epochs, batch_size=64, learning_rate=2e-3, validation=0.0),
        random_state=seed,
    )


def measure(name: str, made: Images, true: Images, source: Images, judge: Any, label: int) -> str:
    """One line of the table."""
    error = float(((made.astype(float) - true) ** 2).mean() / 255**2)
    before = float(((source.astype(float) - true) ** 2).mean() / 255**2)
    taken = float((judge.predict(made.reshape(len(made), -1)) == label).mean())
    flat, truth = made.reshape(len(made), -1).astype(float), true.reshape(len(true), -1).astype(float)
    near = ((flat[:, None] - truth[None]) ** 2).mean(-1)
    own = float((near.argmin(1) == np.arange(len(near))).mean())
    nearer = float(
        (((made.astype(float) - true) ** 2).mean((1, 2)) < ((source.astype(float) - true) ** 2).mean((1, 2))).mean()
    )
    return f"| {name} | {error:.4f} | {before:.4f} | {error / before:.2f} | {nearer:.1%} | {taken:.1%} | {own:.1%} |"


def characters(given: argparse.Namespace) -> None:
    """Train on the two fonts and print the table."""
    a, b = fonts(given.data / "characters_80x80.npz", *given.fonts)
    order = np.random.default_rng(given.seed).permutation(len(a))
    test, left, right = order[: given.held], order[given.held :: 2], order[given.held + 1 :: 2]
    began = time.perf_counter()
    fitted = model(given.seed, given.epochs, given.code_size).fit({"a": a[left], "b": b[right]})
    seconds = time.perf_counter() - began
    judge = LogisticRegression(C=1e-4, max_iter=200)
    judge.fit(
        np.concatenate([a[left], b[right]]).reshape(len(left) + len(right), -1), [0] * len(left) + [1] * len(right)
    )
    both = [(x[test], y[test]) for x, y in ((a, b), (b, a))]
    lines = [
        "| | error to the true picture | of the source | ratio | nearer than the source | taken for the target font "
        "| nearest is the same character |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = []
    for label, (x, y) in enumerate(both):
        target = "ba"[label]
        made = np.asarray(fitted.translate(x, to=target))
        lines.append(measure(f"{'ab'[label]} → {target}", made, y, x, judge, 1 - label))
        lines.append(measure("the source as it is", x, y, x, judge, 1 - label))
        lines.append(
            measure(
                "the mean of the target's set",
                np.broadcast_to((b, a)[label][(right, left)[label]].mean(0), y.shape),
                y,
                x,
                judge,
                1 - label,
            )
        )
        rows += [x[:16], made[:16], y[:16]]
    print("\n".join(lines))
    print(f"{len(left)} and {len(right)} characters to learn from, {len(test)} held out; {seconds:.0f} s")
    save(given.out / "characters.png", rows)
    fitted.save(given.out / "characters")


def faces(given: argparse.Namespace) -> None:
    """Train on two people's faces and draw what comes of it."""
    data = np.load(given.data / "olivetti_64x64.npz")
    people = [data["faces"][data["person"] == person] for person in given.people]
    fitted = narrows.Translator(
        given.code_size,
        network=networks.Conv(channels=(32, 64, 128), dense=(256,)),
        corruption=corruptions.Chain((corruptions.Warp(0.03), corruptions.Gaussian(0.05))),
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
    parser.add_argument("--fonts", type=int, nargs=2, default=(7, 12))
    parser.add_argument("--people", type=int, nargs=2, default=(0, 1))
    parser.add_argument("--held", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--face-epochs", type=int, default=600)
    parser.add_argument("--code-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faces", action="store_true")
    given = parser.parse_args()
    (faces if given.faces else characters)(given)


if __name__ == "__main__":
    main()
