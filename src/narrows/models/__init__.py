"""Models: modules that combine parts."""

from narrows.models.autoencoder import AutoencoderModule
from narrows.models.denoiser import DenoiserModule, DenoiseStep
from narrows.models.stacked import StackedModule

__all__ = ["AutoencoderModule", "DenoiseStep", "DenoiserModule", "StackedModule"]
