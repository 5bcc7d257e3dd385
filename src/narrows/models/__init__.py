"""Models: modules that combine parts."""

from narrows.models.autoencoder import AutoencoderModule

__all__ = ["AutoencoderModule"]
