"""Evaluate: measures, honest baselines and the health of codes, of arrays and whatever has the right methods."""

from __future__ import annotations

from narrows.evaluate._columns import Columns, columns
from narrows.evaluate.baselines import Comparison, Result, compare, compare_arrays
from narrows.evaluate.codes import CodeHealth, CodeMap, active_units, code_health
from narrows.evaluate.copying import Copying, copying
from narrows.evaluate.disentangling import DCI, dci, mutual_information, mutual_information_gap
from narrows.evaluate.elbow import Bend, Elbow
from narrows.evaluate.fidelity import Fidelity, fidelity, frechet
from narrows.evaluate.gap import PriorGap, prior_gap
from narrows.evaluate.groups import Group, GroupReport, group_report
from narrows.evaluate.intervals import Estimate, bootstrap
from narrows.evaluate.learners import detection, utility
from narrows.evaluate.metrics import accuracy, explained_variance, psnr, r2, row_errors, squared_error
from narrows.evaluate.similarity import column_shapes, pair_trends
from narrows.evaluate.support import Support, support
from narrows.evaluate.synthesis import SynthesisReport, synthesis_report

__all__ = [
    "DCI",
    "Bend",
    "CodeHealth",
    "CodeMap",
    "Columns",
    "Comparison",
    "Copying",
    "Elbow",
    "Estimate",
    "Fidelity",
    "Group",
    "GroupReport",
    "PriorGap",
    "Result",
    "Support",
    "SynthesisReport",
    "accuracy",
    "active_units",
    "bootstrap",
    "code_health",
    "column_shapes",
    "columns",
    "compare",
    "compare_arrays",
    "copying",
    "dci",
    "detection",
    "explained_variance",
    "fidelity",
    "frechet",
    "group_report",
    "mutual_information",
    "mutual_information_gap",
    "pair_trends",
    "prior_gap",
    "psnr",
    "r2",
    "row_errors",
    "squared_error",
    "support",
    "synthesis_report",
    "utility",
]
