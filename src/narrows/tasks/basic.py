"""Encode, decode, reconstruct, score and interpolate: functions of a trained module and rows."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows import likelihoods
from narrows._types import Rows
from narrows.models import AutoencoderModule
from narrows.tasks.inference import chunk_size, in_chunks


def _device(module: AutoencoderModule) -> torch.device:
    return next(module.parameters()).device


def encode(module: AutoencoderModule, rows: Rows) -> Tensor:
    """The mean code of every row.

    Args:
        module: A trained model, in evaluation mode.
        rows: B rows.

    Returns:
        ``(B, L)``.
    """
    return in_chunks(module.encode, rows, chunk_size(module.layout), _device(module))


def posterior_draws(module: AutoencoderModule, rows: Rows) -> Tensor:
    """One draw from q(z|x) per row; from torch's global generator.

    A prior has to look like the codes that the decoder was trained on, and these are draws: their means lie closer
    together, and a prior fitted to means makes rows that vary too little.

    Args:
        module: A trained model, in evaluation mode.
        rows: B rows.

    Returns:
        ``(B, L)``; the codes themselves where the model draws none.
    """
    size, parts = chunk_size(module.layout), []
    with torch.no_grad():
        for start in range(0, len(rows), size):
            part = rows.take(slice(start, start + size)).to(_device(module))
            phi = module.encoder(module.stem(part))
            z = module.bottleneck(phi, samples=1).z[0] if module.stochastic else module.bottleneck.mean(phi)
            parts.append(z.cpu())
    return torch.cat(parts)


def decode(module: AutoencoderModule, codes: Tensor) -> Tensor:
    """The expected row of every code.

    Args:
        module: A trained model, in evaluation mode.
        codes: ``(B, L)``.

    Returns:
        ``(B, *shape)`` in scaled units.
    """
    return in_chunks(
        lambda part: module.decode(part.values).mean, Rows(codes), chunk_size(module.layout), _device(module)
    )


def reconstruct(module: AutoencoderModule, rows: Rows) -> Tensor:
    """What the model makes of every row after narrowing it: the mean of p(x|z) at the mean code.

    Returns:
        ``(B, *shape)`` in scaled units, blanks filled.
    """
    return in_chunks(
        lambda part: module.decode(module.encode(part)).mean, rows, chunk_size(module.layout), _device(module)
    )


def log_likelihood(module: AutoencoderModule, rows: Rows) -> Tensor:
    """Log p(x|z) of the observed values at the mean code, summed over them.

    Returns:
        ``(B,)`` in nats, for values in scaled units.
    """

    def run(part: Rows) -> Tensor:
        return likelihoods.log_likelihood(module.decode(module.encode(part)), part)

    return in_chunks(run, rows, chunk_size(module.layout), _device(module))


def interpolate(module: AutoencoderModule, a: Rows, b: Rows, steps: int) -> Tensor:
    """Rows on the straight lines between the codes of two sets of rows.

    Args:
        module: A trained model, in evaluation mode.
        a: B rows to begin with.
        b: B rows to end with.
        steps: Points on every line, both ends included.

    Returns:
        ``(B, steps, *shape)`` in scaled units.
    """
    start, end = encode(module, a), encode(module, b)
    weight = torch.linspace(0, 1, steps).reshape(1, steps, 1)
    line = start.unsqueeze(1) * (1 - weight) + end.unsqueeze(1) * weight
    values = decode(module, line.flatten(0, 1))
    return values.reshape(len(start), steps, *values.shape[1:])
