"""Models: modules that combine parts."""

from narrows.models.autoencoder import AutoencoderModule
from narrows.models.autoregressive import AutoregressiveModule, AutoregressiveStep
from narrows.models.codes import fit_prior
from narrows.models.continuous import ContinuousModule
from narrows.models.denoiser import DenoiserModule, DenoiseStep
from narrows.models.filled import Filling
from narrows.models.generator import GeneratorModule
from narrows.models.stacked import StackedModule, StackedStep
from narrows.models.translator import TranslatorModule

__all__ = [
    "AutoencoderModule",
    "AutoregressiveModule",
    "AutoregressiveStep",
    "ContinuousModule",
    "DenoiseStep",
    "DenoiserModule",
    "Filling",
    "GeneratorModule",
    "StackedModule",
    "StackedStep",
    "TranslatorModule",
    "fit_prior",
]
