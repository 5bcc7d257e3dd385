"""Plots: what a person looks at, as matplotlib figures.

Every function returns a `matplotlib.figure.Figure` and touches no global state: no backend is chosen, nothing is shown.
In a notebook the figure shows itself; elsewhere ``figure.savefig("name.png")``.
"""

from __future__ import annotations

from narrows.plots.codes import code_map
from narrows.plots.curves import loss_curve
from narrows.plots.elbow import elbow_curve
from narrows.plots.images import image_pairs, image_sheet
from narrows.plots.series import forecast_fan, forecast_figure, series_pairs, series_sheet
from narrows.plots.several import labelled_lines, side_by_side
from narrows.plots.tables import column_histograms, column_pairs
from narrows.plots.whole import reconstructions, samples

__all__ = [
    "code_map",
    "column_histograms",
    "column_pairs",
    "elbow_curve",
    "forecast_fan",
    "forecast_figure",
    "image_pairs",
    "image_sheet",
    "labelled_lines",
    "loss_curve",
    "reconstructions",
    "samples",
    "series_pairs",
    "series_sheet",
    "side_by_side",
]
