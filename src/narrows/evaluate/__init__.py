"""Evaluate: measures, honest baselines and the health of codes, of arrays and whatever has the right methods."""

from __future__ import annotations

from narrows.evaluate.baselines import Comparison, Result, compare, compare_arrays
from narrows.evaluate.codes import CodeHealth, CodeMap, active_units, code_health
from narrows.evaluate.intervals import Estimate, bootstrap
from narrows.evaluate.metrics import accuracy, explained_variance, psnr, r2, row_errors, squared_error

__all__ = [
    "CodeHealth",
    "CodeMap",
    "Comparison",
    "Estimate",
    "Result",
    "accuracy",
    "active_units",
    "bootstrap",
    "code_health",
    "compare",
    "compare_arrays",
    "explained_variance",
    "psnr",
    "r2",
    "row_errors",
    "squared_error",
]
