"""Bottlenecks: what the code may be.

A bottleneck says how many numbers per row it wants from the encoder (``width``) and turns them into a
[`Code`][narrows._types.Code].
"""

from __future__ import annotations

from narrows.bottlenecks._basic import (
    Bottleneck,
    BottleneckModule,
    FilledModule,
    Gaussian,
    GaussianModule,
    Plain,
    PlainModule,
)
from narrows.bottlenecks._grouped import Grouped, GroupedModule, GroupedNormal
from narrows.bottlenecks._quantised import (
    FiniteScalar,
    FiniteScalarModule,
    Quantised,
    QuantisedModule,
    QuantisingModule,
)

__all__ = [
    "Bottleneck",
    "BottleneckModule",
    "FilledModule",
    "FiniteScalar",
    "FiniteScalarModule",
    "Gaussian",
    "GaussianModule",
    "Grouped",
    "GroupedModule",
    "GroupedNormal",
    "Plain",
    "PlainModule",
    "Quantised",
    "QuantisedModule",
    "QuantisingModule",
]
