"""What a model says of codes and rows once its codes are summed over: log p(x), and how well its prior fits."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

from narrows import likelihoods
from narrows._types import Rows
from narrows.evaluate import PriorGap, prior_gap
from narrows.models import AutoencoderModule
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training.seeds import hash_seed, seeded

PAIRS = 256  # codes that are judged by all posteriors at a time


def log_marginal(module: AutoencoderModule, rows: Rows, samples: int, seed: int) -> Tensor:
    """Log p(x) of the observed values, estimated by importance sampling from q(z|x).

    log 1/S Σ_s p(x|z_s) p(z_s) / q(z_s|x) with z_s ~ q(z|x): on average too low, by less the more samples there are.
    A row's draws follow from the seed and the row's own values, so its result does not depend on other rows.

    Args:
        module: A trained model with a stochastic bottleneck, in evaluation mode.
        rows: B rows.
        samples: S.
        seed: The caller's generators are left as they were.

    Returns:
        ``(B,)`` in nats, for values in scaled units.
    """
    device, size = next(module.parameters()).device, chunk_size(module.layout)
    phi = in_chunks(lambda part: module.encoder(module.stem(part)), rows, size, device)
    found = torch.empty(len(rows), dtype=torch.float64)
    for i in range(len(rows)):
        row, weights = rows.take(slice(i, i + 1)).to(device), []
        own = zlib.crc32(row.values.cpu().numpy().tobytes())
        with seeded(hash_seed(seed, own)), torch.inference_mode():
            prior = module.prior(row.condition)
            for start in range(0, samples, size):
                code = module.bottleneck(phi[i : i + 1].to(device), samples=min(size, samples - start))
                log_x = likelihoods.log_likelihood(module.decode(code.z), row)
                weights.append(log_x + prior.log_prob(code.z) - code.posterior.log_prob(code.z))
        found[i] = torch.logsumexp(torch.cat(weights).double(), 0) - math.log(samples)
    return found


def gap(module: AutoencoderModule, rows: Rows, seed: int) -> PriorGap:
    """How far the prior is from the codes of rows, taken together.

    Args:
        module: A trained model, in evaluation mode.
        rows: B rows, held out of training.
        seed: For the draws; the caller's generators are left as they were.

    Returns:
        Bounds of KL(q(z) ‖ p(z)); see `narrows.evaluate.prior_gap`.
    """
    device = next(module.parameters()).device
    phi = in_chunks(lambda part: module.encoder(module.stem(part)), rows, chunk_size(module.layout), device).to(device)
    with seeded(hash_seed(seed, 31)), torch.inference_mode():
        code = module.bottleneck(phi, samples=1)
        z, pairs = code.z[0], None
        log_prior = torch.cat([module.prior().log_prob(part) for part in z.split(PAIRS)])
        if code.posterior is not None:
            pairs = torch.cat([code.posterior.log_prob_pairs(part) for part in z.split(PAIRS)]).double().cpu().numpy()
    return prior_gap(z.double().cpu().numpy(), log_prior.double().cpu().numpy(), pairs, seed=seed)
