"""The page of several models side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from narrows import files, plots
from narrows.plots._style import DPI, number
from narrows.report._contest import Contender, Contest
from narrows.report.page import embedded, render
from narrows.report.run import _finite, duration

PAGE, FIGURE, RESULT = "compare.html", "samples.png", "comparison.json"

Column = tuple[str, Callable[[Contender], float | None], Callable[[float], str], int]  # 1: more is better; 0: neither


def write_contest(contest: Contest, folder: str | os.PathLike[str], called: str | None = None) -> Path:
    """Write the page, its figure and the numbers as JSON into a folder.

    Args:
        contest: What came of it.
        folder: Where to; made if it is missing.
        called: What to call the folder in the page's commands; None: ``folder``.

    Returns:
        The page, ``compare.html``: it needs nothing else.

    Raises:
        OSError: If the folder cannot be written to.
    """
    target = Path(folder)
    files.write_json(target / RESULT, _finite(contest.to_dict()))
    page = render(
        "contest.html",
        contest=contest,
        sentences=contest.sentences(),
        tables=[_quality(contest), _cost(contest)],
        drawings=_drawings(contest, target),
        ending="png" if contest.kind == "images" else "csv",
        folder=called or str(target),
    )
    files.write_text(target / PAGE, page)
    return target / PAGE


def _drawings(contest: Contest, target: Path) -> list[tuple[str, str, str]]:
    figure = plots.side_by_side({c.name: c.rows for c in contest.ranked}, contest.held_out)
    path = target / "figures" / FIGURE
    with files.atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": "narrows", "Title": "samples"})
    caption = (
        "Images that were never there, below real ones that no model saw; the first of each, not chosen. The models "
        "stand from the least Fréchet distance to the largest; autoencoders show the mean of what a code may mean."
        if contest.kind == "images"
        else "How often every value occurs among real rows that no model saw (grey) and among made ones. What lies far "
        "outside is counted at the edge."
    )
    return [("Samples side by side", embedded(path), caption)]


# --- tables --------------------------------------------------------------------------------------------------


def _quality(contest: Contest) -> dict[str, Any]:
    things = "rows" if contest.kind == "table" else "images"

    def of(part: str, measure: str) -> Callable[[Contender], float | None]:
        return lambda c: None if getattr(c, part) is None else float(getattr(getattr(c, part), measure))

    exact = any(c.likelihood is not None for c in contest.contenders)
    found: list[Column] = [
        ("Fréchet distance", lambda c: c.frechet, number, -1),
        ("Precision", of("fidelity", "precision"), _percent, 1),
        ("Recall", of("fidelity", "recall"), _percent, 1),
        ("Density", of("fidelity", "density"), _two, 0),
        ("Coverage", of("fidelity", "coverage"), _percent, 1),
        ("Not told apart", lambda c: c.detection, _two, 1),
        ("Near-repeats", of("fidelity", "duplicates"), _percent, 0),
        ("Exact copies", of("copying", "exact"), _percent, 0),
        ("Close to a training one", of("copying", "close"), _percent, 0),
    ]
    if exact:
        found.append(("log p(x), nats", lambda c: c.likelihood, lambda v: f"{v:,.2f}".replace("-", "−"), 0))
    caption = (
        f"{contest.measured:,} made {things} of each beside as many held-out ones. {contest.space} Precision: share of "
        f"made {things} that lie where real ones lie; recall and coverage: share of real {things} that are reached. "
        f"Density: above 1 where made {things} crowd together. Not told apart: 1 where boosted trees cannot tell made "
        f"{things} from real ones, 0 where they always can. Near-repeats, and those close to a training one: about 5 % "
        f"of real {things} are."
    )
    if contest.kind == "images":
        caption += " Features overlook some of what the eye sees: look at the samples too."
    if exact:
        caption += " log p(x) is of held-out rows in scaled units, where the model knows it exactly."
    return {"heading": "Fidelity, diversity, copying", **_table(contest, found, [contest.real]), "caption": caption}


def _cost(contest: Contest) -> dict[str, Any]:
    found: list[Column] = [
        ("Training", lambda c: c.seconds, duration, 0),
        ("Epochs", lambda c: c.epochs, lambda v: f"{v:,.0f}", 0),
        ("Making 1,000", lambda c: c.sampling, duration, 0),
        ("Parameters", lambda c: c.parameters, lambda v: f"{v:,.0f}", 0),
    ]
    limit = "no limit of time" if contest.budget is None else f"{duration(contest.budget)} at most to train each"
    caption = f"{contest.trained_on:,} rows learnt from; {limit}. A model that was done before that stopped by itself."
    return {"heading": "Time", **_table(contest, found, []), "caption": caption}


def _table(contest: Contest, found: Sequence[Column], real: Sequence[Contender]) -> dict[str, Any]:
    failed = [c for c in contest.contenders if c.failed is not None]
    best = [_best([value(c) for c in contest.ranked], sign) for _, value, _, sign in found]
    rows = []
    for one in [*contest.ranked, *failed, *real]:
        values = [value(one) for _, value, _, _ in found]
        cells = [
            ("–" if v is None or not math.isfinite(v) else shape(v), one not in real and v is not None and v == top)
            for v, top, (_, _, shape, _) in zip(values, best, found, strict=True)
        ]
        rows.append({"name": one.name, "failed": one.failed is not None, "real": one in real, "cells": cells})
    return {"heads": ["Model", *(head for head, _, _, _ in found)], "rows": rows}


def _best(values: Sequence[float | None], sign: int) -> float | None:
    """The best of several values; None where there is nothing to be better at, or nobody to be better than."""
    there = [v for v in values if v is not None and math.isfinite(v)]
    if sign == 0 or len(there) < 2:
        return None
    return max(there) if sign > 0 else min(there)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if value == 0 or value >= 0.01 else f"{100 * value:.1f} %"


def _two(value: float) -> str:
    return f"{value:.2f}"
