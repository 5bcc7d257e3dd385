"""Images that pythae's models make: the other side of `benchmarks.generators_images`.

    python -m benchmarks.generators_pythae --out FOLDER [--data fashion] [--rows ROWS] [--models vae,rae,wae]
        [--seeds 0] [--seconds 40] [--code 16] [--count 1000]

For an environment with pythae (peers-speed.txt) and narrows' samples; nothing else of narrows is used. The networks are
pythae's own (784-512-16, ReLU, sigmoid), learning rate 1e-3, batches of 64, trained by Adam for so many seconds of the
processor. Then rows are drawn with the sampler that goes with each: the standard normal for VAE and WAE, a mixture of
ten Gaussians fitted to the codes for the regularised autoencoder. ``FOLDER/pythae-vae-0.npz`` and so on hold images and
times: give the folder to `benchmarks.generators_images` as ``--made``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def model(name: str, shape: tuple[int, ...], code: int) -> Any:
    """One of pythae's models, with its own networks."""
    from pythae.models import RAE_L2, VAE, WAE_MMD, RAE_L2_Config, VAEConfig, WAE_MMD_Config

    kinds = {"vae": (VAE, VAEConfig), "rae": (RAE_L2, RAE_L2_Config), "wae": (WAE_MMD, WAE_MMD_Config)}
    kind, config = kinds[name]
    return kind(config(input_dim=shape, latent_dim=code))


def draw(name: str, fitted: Any, images: torch.Tensor, count: int) -> np.ndarray:
    """Images by the sampler that goes with the model."""
    from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig, NormalSampler

    if name == "rae":
        sampler = GaussianMixtureSampler(fitted, GaussianMixtureSamplerConfig(n_components=10))
        sampler.fit(train_data=images)
    else:
        sampler = NormalSampler(fitted)
    found = sampler.sample(num_samples=count, batch_size=500, return_gen=True)
    return (255 * found.cpu().numpy().squeeze(1)).clip(0, 255).round().astype(np.uint8)


def train(fitted: Any, images: torch.Tensor, seconds: float) -> int:
    """Train for so long; how many epochs that were."""
    optimiser, start, epochs = torch.optim.Adam(fitted.parameters(), 1e-3), time.process_time(), 0
    while True:
        for part in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            fitted({"data": images[part]}).loss.backward()
            optimiser.step()
            if time.process_time() - start > seconds:
                return epochs
        epochs += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="vae,rae,wae")
    parser.add_argument("--data", default="fashion")
    parser.add_argument("--rows", type=int, default=None, help="so many of the training images, the first ones")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--code", type=int, default=16)
    parser.add_argument("--count", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    from narrows import data

    pixels = np.asarray(data.load(asked.data).data[: asked.rows], dtype=np.float32) / 255
    images = torch.tensor(pixels).unsqueeze(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in map(int, asked.seeds.split(",")):
        for name in asked.models.split(","):
            torch.manual_seed(seed)
            np.random.seed(seed)
            fitted = model(name, tuple(images.shape[1:]), asked.code)
            epochs = train(fitted.train(), images, asked.seconds)
            start = time.process_time()
            made = draw(name, fitted.eval(), images, asked.count)
            times = {"fit": asked.seconds, "draw": time.process_time() - start, "epochs": epochs}
            np.savez_compressed(asked.out / f"pythae-{name}-{seed}.npz", images=made, **times)
            print(name, seed, epochs, flush=True)


if __name__ == "__main__":
    main()
