"""Quality of the autoencoders on real data, on held-out rows, beside PCA and classical filters.

    python -m benchmarks.autoencoders --data DIR [--only mnist,faces,characters,denoise,sparse] [--seeds 0,1,2]

``DIR`` holds ``mnist/*.gz``, ``olivetti_64x64.npz`` and ``characters_80x80.npz``. Prints one Markdown table per task;
what was measured is kept in RESULTS.md.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA

import narrows
from narrows import Training, corruptions, networks

THREADS = 1


def idx(path: Path) -> np.ndarray:
    """Images of an idx file, (n, h, w) uint8."""
    data = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """60,000 training and 10,000 test images."""
    names = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
    train, test = (idx(folder / "mnist" / name) for name in names)
    return train, test


def split(images: np.ndarray, seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """A random split of rows."""
    order = np.random.default_rng(seed).permutation(len(images))
    held = round(share * len(images))
    return images[order[held:]], images[order[:held]]


def pca_error(train: np.ndarray, test: np.ndarray, size: int) -> float:
    """Squared error per pixel of PCA with ``size`` components, pixels in [0, 1]."""
    a, b = (x.reshape(len(x), -1) / 255.0 for x in (train, test))
    pca = PCA(size, svd_solver="covariance_eigh" if len(a) > a.shape[1] else "full").fit(a)
    return float(((pca.inverse_transform(pca.transform(b)) - b) ** 2).mean())


def error(model: narrows.Autoencoder, test: np.ndarray) -> float:
    """Squared error per pixel of a model, pixels in [0, 1]."""
    return float(((model.reconstruct(test).astype(float) - test) ** 2).mean() / 255.0**2)


def fit(model: narrows.Autoencoder, train: np.ndarray) -> tuple[narrows.Autoencoder, float]:
    """The fitted model and the seconds it took."""
    start = time.perf_counter()
    model.fit(train)
    return model, time.perf_counter() - start


def against_pca(
    title: str, sets: list[tuple[np.ndarray, np.ndarray]], sizes: list[int], models: dict[str, dict], seeds: list[int]
) -> None:
    """One table: squared error per pixel of every model at every code size, per seed, beside PCA's."""
    print(
        f"\n### {title}\n\n| codes | model | squared error per pixel, by seed | × PCA's (mean) | untrained | seconds |"
    )
    print("|---|---|---|---|---|---|")
    for size in sizes:
        linear = [pca_error(train, test, size) for train, test in sets]
        print(f"| {size} | PCA | {', '.join(f'{e:.5f}' for e in linear)} | 1 | | |", flush=True)
        for name, params in models.items():
            errors, seconds = [], []
            for seed, (train, test) in zip(seeds, sets, strict=True):
                model, spent = fit(narrows.Autoencoder(size, random_state=seed, **params), train)
                errors.append(error(model, test))
                seconds.append(spent)
            ratio = np.mean(np.array(errors) / np.array(linear))
            untrained = error(model.untrained(), test)
            shown = ", ".join(f"{e:.5f}" for e in errors)
            print(
                f"| {size} | {name} | {shown} | {ratio:.3f} | {untrained:.3f} | {np.median(seconds):.0f} |", flush=True
            )


def run_mnist(folder: Path, seeds: list[int]) -> None:
    """All of MNIST, codes of 16 and 64 numbers."""
    data = mnist(folder)
    dense = {"network": networks.Dense(widths=(1000, 500, 250)), "training": Training(epochs=10)}
    against_pca("MNIST, 60,000 / 10,000 images, 10 epochs", [data] * len(seeds), [16, 64], {"dense": dense}, seeds)


def run_faces(folder: Path, seeds: list[int]) -> None:
    """Olivetti faces, 320 / 80 at random. So few rows need some noise in training, for both networks alike."""
    faces = np.load(folder / "olivetti_64x64.npz")["faces"]
    noisy = {"corruption": corruptions.Gaussian(0.1), "training": Training(epochs=400)}
    models = {"dense": {"network": networks.Dense(), **noisy}, "convolutional": {"network": networks.Conv(), **noisy}}
    sets = [split(faces, seed) for seed in seeds]
    against_pca("Olivetti faces, 320 / 80 images, noise 0.1, 400 epochs", sets, [32], models, seeds)


def run_characters(folder: Path, seeds: list[int]) -> None:
    """80 × 80 characters: 4,000 of them, a fifth held out at random."""
    archive = np.load(folder / "characters_80x80.npz")
    images = next(archive[name] for name in archive.files if archive[name].ndim == 3)
    sets = [split(images[np.random.default_rng(seed).permutation(len(images))[:4000]], seed) for seed in seeds]
    models = {
        "dense": {"network": networks.Dense(), "training": Training(epochs=25)},
        "convolutional": {"network": networks.Conv(), "training": Training(epochs=12)},
    }
    against_pca("80 × 80 characters, 3,200 / 800 images, 25 and 12 epochs", sets, [64], models, seeds)


def psnr(clean: np.ndarray, found: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for pixels in [0, 1], mean over images of their own ratios."""
    return float((-10 * np.log10(((clean - found) ** 2).mean(axis=(1, 2)))).mean())


def run_denoise(folder: Path, seeds: list[int]) -> None:
    """MNIST with Gaussian noise of 0.5, beside a median and a non-local-means filter."""
    from scipy.ndimage import median_filter
    from skimage.restoration import denoise_nl_means

    train, test = mnist(folder)
    print("\n### Denoising MNIST, noise 0.5, 10,000 / 1,000 images, PSNR in dB\n")
    print("| seed | noisy | noisy, clipped | median 3 × 3 | median 5 × 5 | non-local means (best of 5) | narrows |")
    print("|---|---|---|---|---|---|---|")
    for seed in seeds:
        rng = np.random.default_rng(seed)
        clean = test[rng.permutation(len(test))[:1000]] / 255.0
        noisy = clean + 0.5 * rng.normal(size=clean.shape)
        clipped = noisy.clip(0, 1)
        medians = [psnr(clean, median_filter(clipped, size=(1, k, k))) for k in (3, 5)]
        strengths = (0.3, 0.4, 0.5, 0.6, 0.8)
        settings = {"patch_size": 5, "patch_distance": 7, "sigma": 0.5, "fast_mode": True}
        nlm = max(
            psnr(clean, np.stack([denoise_nl_means(x, h=h * 0.5 / 0.4, **settings) for x in noisy]).clip(0, 1))
            for h in strengths
        )
        some = train[rng.permutation(len(train))[:10_000]] / np.float32(255)
        model = narrows.DenoisingAutoencoder(
            64,
            corruption=corruptions.Gaussian(0.5),
            network=networks.Dense(),
            training=Training(epochs=40),
            random_state=seed,
        ).fit(some)
        ours = psnr(clean, model.denoise(noisy.astype(np.float32)))
        row = (psnr(clean, noisy), psnr(clean, clipped), *medians, nlm, ours)
        print(f"| {seed} | " + " | ".join(f"{v:.2f}" for v in row) + " |", flush=True)


def run_sparse(folder: Path, seeds: list[int]) -> None:
    """Mean activation of a sparse autoencoder's code on held-out MNIST images."""
    train, test = mnist(folder)
    print("\n### Sparse codes of MNIST, 10,000 / 10,000 images, 64 units: mean activation on held-out images\n")
    print("| target | by seed | largest deviation | squared error per pixel | PCA, 64 |\n|---|---|---|---|---|")
    for target in (0.05, 0.1, 0.2):
        means, errors = [], []
        for seed in seeds:
            some = train[np.random.default_rng(seed).permutation(len(train))[:10_000]]
            training = Training(epochs=20)
            model = narrows.SparseAutoencoder(
                64, target=target, network=networks.Dense(), training=training, random_state=seed
            ).fit(some)
            means.append(float(model.transform(test).mean()))
            errors.append(error(model, test))
        worst = max(abs(m / target - 1) for m in means)
        shown = ", ".join(f"{m:.4f}" for m in means)
        linear = pca_error(some, test, 64)
        print(f"| {target} | {shown} | {worst:.0%} | {np.mean(errors):.5f} | {linear:.5f} |", flush=True)


TASKS = {
    "mnist": run_mnist,
    "faces": run_faces,
    "characters": run_characters,
    "denoise": run_denoise,
    "sparse": run_sparse,
}


def main() -> None:
    """Run the tasks that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=THREADS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    seeds = [int(s) for s in args.seeds.split(",")]
    print(f"narrows {narrows.__version__}, torch {torch.__version__}, {args.threads} thread(s), seeds {seeds}")
    for name in args.only.split(","):
        TASKS[name](args.data, seeds)


if __name__ == "__main__":
    main()
