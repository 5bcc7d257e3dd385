"""The page: everything about a run in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows import files
from narrows._version import __version__

if TYPE_CHECKING:
    from narrows.report.run import Run


def write_page(run: Run, model: Any, notes: Sequence[str], facts: Mapping[str, str]) -> None:
    """Write ``report.html`` into the run's folder.

    Args:
        run: What the run left behind.
        model: The fitted model.
        notes: What should be said about the data.
        facts: Lines of the table of facts, by name.
    """
    ending, folder = "png" if len(model.format_.layout.shape) == 3 else "csv", run.called
    codes = hasattr(model, "transform")
    commands = {
        f"narrows encode {folder} SOURCE --out codes.csv": codes,
        f"narrows reconstruct {folder} SOURCE --out rows.{ending}": codes,
        f"narrows forecast {folder} --steps 12 --out next.csv": hasattr(model, "forecast"),
        f"narrows sample {folder} -n 100 --out samples.{ending}": True,
    }
    page = render(
        "page.html",
        **about(run, model),
        verdict=_verdict(run),
        facts=facts,
        notes=list(notes),
        table=_table(run),
        samples=[],
        commands=[line for line, fits in commands.items() if fits],
        code=["codes = model.transform(X)" if codes else "rows = model.sample(100)"],
    )
    files.write_text(run.folder / "report.html", page)


def about(run: Any, model: Any) -> dict[str, Any]:
    """What ``page.html`` shows of every run."""
    return {
        "run": run,
        "reasons": list(model.reasons_),
        "shown": {name: repr(part) for name, part in model.choices_.parts().items()},
        "drawings": [{"drawing": d, "source": embedded(d.path)} for d in run.drawings],
        "folder": run.called,
    }


def render(name: str, **content: Any) -> str:
    """A page of a template and what it shows: everything is in the page, its style too."""
    import jinja2
    from markupsafe import Markup

    room = resources.files("narrows.report")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: room.joinpath(name).read_text("utf-8")),
    )
    style = Markup(room.joinpath("style.css").read_text("utf-8"))
    return environment.get_template(name).render(style=style, version=__version__, **content)


def embedded(path: Path) -> str:
    """A PNG as the address of an image in a page."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _verdict(run: Run) -> str:
    """A word for the colour beside the honest line; the line itself says it all."""
    if run.comparison is None or run.comparison.better is None:
        return "level"
    return "better" if run.comparison.better else "worse"


def _table(run: Run) -> dict[str, Any] | None:
    if run.comparison is None:
        return None
    rows = run.comparison.rows
    errors = any(r.squared_error is not None for r in rows)
    shares = any(r.accuracy is not None for r in rows)
    heads = ["Answer"]
    heads += [f"Squared error per {run.comparison.per}", "Relative to PCA"] if errors else []
    heads += ["Categories right"] if shares else []
    lines = []
    for row in rows:
        cells = []
        if errors:
            cells += [_number(row.squared_error), "–" if row.relative is None else f"{row.relative:.2f} ×"]
        if shares:
            cells += ["–" if row.accuracy is None else f"{100 * row.accuracy:.1f} %"]
        lines.append((_name(row.name, run.comparison.code_size), cells))
    ratio = run.comparison.ratio
    caption = (
        f"Measured on {run.comparison.held_out:,} {'held-out' if run.held_out else 'training'} rows, in scaled units."
    )
    if ratio is not None:
        caption += (
            f" 95 % of resampled rows put the model’s error between {ratio.low:.2f} and {ratio.high:.2f} × PCA’s."
        )
    return {"heads": heads, "rows": lines, "caption": caption}


def _name(name: str, size: int) -> str:
    numbers = f"{size} number{'s' * (size != 1)}"
    return {
        "model": "This model",
        "PCA": f"PCA with {numbers}",
        "untrained network": "The same network, untrained",
        "mean": "Always the mean",
    }.get(name, name)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if 0.001 <= value < 10 or value == 0 else f"{value:.3g}"
