"""Estimators: numpy, DataFrames and images in and out; scikit-learn's contract."""

from narrows.estimators._base import BaseModel, NotFitted
from narrows.estimators._files import load
from narrows.estimators.autoencoder import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)

__all__ = [
    "Autoencoder",
    "BaseModel",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "NotFitted",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "load",
]
