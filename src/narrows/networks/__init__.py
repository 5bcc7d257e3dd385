"""Networks: the only rooms tied to an input's shape.

`Dense`, `Residual`, `Conv` and `Grid` are recipes for an encoder, a decoder and a map from rows to rows; so are
`Recurrent` and `Transformer`, for series, which can also go on step by step, and `Hierarchical`, of two
of them; `Asymmetric` pairs two of them; `UNet` is a map only, for diffusion; `StemModule` turns rows into what they
eat.
"""

from __future__ import annotations

from narrows.networks.attention import Transformer
from narrows.networks.base import Asymmetric, CausalModule, Network, RaggedModule, State
from narrows.networks.conv import Conv, default_channels
from narrows.networks.dense import Dense, default_widths
from narrows.networks.grid import Grid
from narrows.networks.hierarchical import Hierarchical
from narrows.networks.recurrent import Recurrent
from narrows.networks.residual import Residual
from narrows.networks.stem import StemModule
from narrows.networks.unet import UNet

__all__ = [
    "Asymmetric",
    "CausalModule",
    "Conv",
    "Dense",
    "Grid",
    "Hierarchical",
    "Network",
    "RaggedModule",
    "Recurrent",
    "Residual",
    "State",
    "StemModule",
    "Transformer",
    "UNet",
    "default_channels",
    "default_widths",
]
