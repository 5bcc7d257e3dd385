"""Models: modules that combine parts."""

from narrows.models.autoencoder import AutoencoderModule
from narrows.models.codes import fit_prior
from narrows.models.denoiser import DenoiserModule, DenoiseStep
from narrows.models.filled import Filling
from narrows.models.stacked import StackedModule, StackedStep

__all__ = ["AutoencoderModule", "DenoiseStep", "DenoiserModule", "Filling", "StackedModule", "StackedStep", "fit_prior"]
