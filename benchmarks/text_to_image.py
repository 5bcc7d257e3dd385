"""Text to image in small: does a picture show what its prompt asks for?

    python -m benchmarks.text_to_image --out DIR [--rows 6000] [--side 64] [--epochs 15] [--seeds 0] [--each 3]
        [--prompts 324] [--guidance 1,2]

Rendered shapes (`narrows.data.factor_images`, in colour) and their captions, such as "a small red square at the top
left", are all that a latent diffusion model learns from. Then every one of the 324 prompts (or so many of them) is
asked for, and classifiers that were trained on other rendered pictures (for shape and size on the part around what is
bright, for colour and place on means of 2 × 2 pixels) say what the pictures show. "real" are pictures rendered for such
captions, which the classifiers have not seen: no model can do better than that. "no prompt" are pictures drawn without
one, as if each had been asked for: what chance gives. ``DIR/prompts-SEED.png`` shows pictures of a few prompts,
``DIR/SEED.json`` holds what was measured.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import narrows
from narrows import Training, plots, priors
from narrows.data import Image, factor_images
from narrows.data.factors import captions
from narrows.tasks.judge import Judge, train_judge

ASPECTS = ("size", "colour", "shape", "place")
JUDGED_ON = 6_000  # pictures that classifiers learn from
SHOWN = (
    "a small red square at the top left",
    "a large blue triangle in the centre",
    "a medium green ellipse at the bottom right",
    "a large yellow square at the left",
    "a small blue ellipse at the top",
    "a medium red triangle at the bottom",
)


def aspects(caption: str) -> tuple[str, ...]:
    """Size, colour, shape and place of a caption."""
    _, size, colour, shape, *place = caption.split()
    return size, colour, shape, " ".join(place)


def halved(images: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels."""
    n, height, width, channels = images.shape
    found = images.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))
    return found.round().astype(np.uint8)


def close(images: np.ndarray) -> np.ndarray:
    """The half of each side that is around the centre of what is bright."""
    _, height, width, _ = images.shape
    weight = images.max(3).astype(float) ** 2 + 1e-6
    lines, columns = np.mgrid[:height, :width]
    found = []
    for image, own in zip(images, weight, strict=True):
        corner = [int(np.round((own * axis).sum() / own.sum())) - height // 4 for axis in (lines, columns)]
        top, left = np.clip(corner, 0, (height - height // 2, width - width // 2))
        found.append(image[top : top + height // 2, left : left + width // 2])
    return np.stack(found)


VIEWS = {"size": close, "colour": halved, "shape": close, "place": halved}


class Judges:
    """A classifier for each aspect of a picture."""

    def __init__(self, images: np.ndarray, told: list[str]) -> None:
        words = dict(zip(ASPECTS, zip(*map(aspects, told), strict=True), strict=True))
        self.judges: dict[str, tuple[Any, Judge]] = {}
        for aspect, view in VIEWS.items():
            seen = view(images)
            format_ = Image().fit(seen)
            self.judges[aspect] = format_, train_judge(format_.to_rows(seen), format_.layout, words[aspect])

    def right(self, images: np.ndarray, told: list[str]) -> dict[str, float]:
        """Share of pictures that show what their captions say, by aspect, and in all."""
        said = [judge.tell(format_.to_rows(VIEWS[a](images))) for a, (format_, judge) in self.judges.items()]
        hits = np.array([aspects(caption) for caption in told]) == np.array(said).T
        return {**dict(zip(ASPECTS, hits.mean(0).tolist(), strict=True)), "all": float(hits.all(1).mean())}


def every_prompt() -> list[str]:
    """All captions that there are, each once."""
    factors = np.stack(np.unravel_index(np.arange(3 * 6 * 16 * 16 * 4), (3, 6, 16, 16, 4)), 1)
    whole = np.concatenate([factors[:, :2], np.zeros((len(factors), 1), int), factors[:, 2:]], axis=1)
    return sorted(set(captions(whole)))


def learn(images: np.ndarray, told: list[str], epochs: int, seed: int) -> narrows.LatentDiffusion:
    """The model."""
    prior = priors.Diffusion(rows=250 * len(images))
    training = Training(epochs=epochs, batch_size=64, verbose=False)
    return narrows.LatentDiffusion(16, prior=prior, training=training, random_state=seed).fit(images, captions=told)


def run(seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    real = factor_images(asked.rows + JUDGED_ON + 1000, side=asked.side, colour=True, random_state=seed)
    told = real.captions
    others, test = slice(asked.rows, asked.rows + JUDGED_ON), slice(asked.rows + JUDGED_ON, None)
    judges = Judges(real.images[others], told[others])
    start = time.process_time()
    model = learn(real.images[: asked.rows], told[: asked.rows], asked.epochs, seed)
    fitted = time.process_time() - start
    prompts = np.random.default_rng(0).permutation(every_prompt())[: asked.prompts].tolist()
    wanted = [prompt for prompt in prompts for _ in range(asked.each)]
    found = {"real": judges.right(real.images[test], told[test])}
    found["no prompt"] = judges.right(model.sample(len(wanted), random_state=seed), wanted)
    part = model.module_.prior.part
    for guidance in map(float, asked.guidance.split(",")):
        model.module_.prior.part = part.set_params(guidance=guidance)
        start = time.process_time()
        made = np.concatenate([model.sample(asked.each, prompt=p, random_state=i) for i, p in enumerate(prompts)])
        found[f"guidance {guidance:g}"] = judges.right(made, wanted) | {"seconds": time.process_time() - start}
    asked.out.mkdir(parents=True, exist_ok=True)
    shown = {prompt: model.sample(8, prompt=prompt, random_state=seed) for prompt in SHOWN}
    plots.labelled_lines(shown, heading="Pictures made of words: the first of each prompt").savefig(
        asked.out / f"prompts-{seed}.png"
    )
    return {"seed": seed, "rows": asked.rows, "fit_seconds": fitted, "right": found}


def table(found: dict[str, Any]) -> str:
    """Shares in percent, in Markdown."""
    lines = ["| pictures | " + " | ".join([*ASPECTS, "all four"]) + " |", "|---" * (len(ASPECTS) + 2) + "|"]
    for name, shares in found["right"].items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * shares[a]:.1f} %" for a in [*ASPECTS, "all"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=324)
    parser.add_argument("--guidance", default="1,2")
    parser.add_argument("--seeds", default="0")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, asked.seeds.split(",")):
        found = run(seed, asked)
        (asked.out / f"{seed}.json").write_text(json.dumps(found))
        print(f"seed {seed}, {found['fit_seconds']:.0f} CPU s\n\n{table(found)}\n", flush=True)


if __name__ == "__main__":
    main()
