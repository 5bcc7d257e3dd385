"""Tasks: what a trained model is put to, as functions of a module and rows."""

from narrows.tasks.basic import decode, encode, interpolate, log_likelihood, posterior_draws, reconstruct
from narrows.tasks.inference import in_chunks
from narrows.tasks.marginal import gap, log_marginal

__all__ = [
    "decode",
    "encode",
    "gap",
    "in_chunks",
    "interpolate",
    "log_likelihood",
    "log_marginal",
    "posterior_draws",
    "reconstruct",
]
