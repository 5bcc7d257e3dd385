r"""Diffusion: noise of many sizes, a network that takes it out, and samplers that walk from noise to rows.

Rows $x$ of variance 1 are given noise, $x_\sigma = x + \sigma \varepsilon$. A denoiser $D(x_\sigma; \sigma)$ that makes
the smallest squared error says which way rows of more noise have to go to become rows of less: the gradient of their
log-density is $(D(x_\sigma; \sigma) - x_\sigma) / \sigma^2$. Samplers follow it from pure noise down to a row.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models, Karras, Aittala, Aila, Laine, 2022,
    https://arxiv.org/abs/2206.00364
"""

from __future__ import annotations

from narrows.diffusion._denoiser import ClassCondition, DiffusionModule, DiffusionStep
from narrows.diffusion._samplers import (
    DDIM,
    DDPM,
    Denoise,
    Heun,
    Noise,
    Sampler,
    inpaint,
    log_density,
    to_noise,
    turn,
)

__all__ = [
    "DDIM",
    "DDPM",
    "ClassCondition",
    "Denoise",
    "DiffusionModule",
    "DiffusionStep",
    "Heun",
    "Noise",
    "Sampler",
    "inpaint",
    "log_density",
    "to_noise",
    "turn",
]
