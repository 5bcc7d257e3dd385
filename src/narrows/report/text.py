"""The run folder of a language model: the model, its loss, its perplexity beside counts, and what it writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrows import files, plots
from narrows.evaluate.ngrams import TextComparison, compare_text, unit
from narrows.language import Sample
from narrows.report.page import about, render
from narrows.report.run import Drawing, add_drawing, attempt, training_facts

TEMPERATURES = (0.5, 0.8, 1.0, 1.3)
LENGTH = {"characters": 400, "words": 100}  # tokens of a sample
COUNTED, JUDGED = 20_000_000, 200_000  # tokens that n-grams are counted in, and that are judged, at most


@dataclass(frozen=True)
class Written:
    """What the model wrote.

    Attributes:
        temperature: How freely.
        text: The prompt and what followed.
    """

    temperature: float
    text: str


@dataclass
class TextRun:
    """What a run left behind.

    Attributes:
        folder: Where everything is.
        name: What the text is called.
        called: What to call the folder in commands.
        held_out: Whether the text that was judged was held out of training.
        prompt: What samples begin with.
        tokens: How many tokens were learnt from.
        comparison: The model beside n-grams; None if that could not be made.
        samples: What it wrote, at several temperatures.
        diagnosis: What a teacher would say of the loss curve.
        drawings: The figures.
        problems: What could not be made, and why.
    """

    folder: Path
    name: str
    called: str
    held_out: bool
    prompt: str = ""
    tokens: int = 0
    comparison: TextComparison | None = None
    samples: list[Written] = field(default_factory=list)
    diagnosis: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The honest line."""
        return (
            "There is no comparison with counts: it could not be made."
            if self.comparison is None
            else (self.comparison.sentence())
        )


def write_text_run(
    model: Any,
    folder: str | os.PathLike[str],
    train: Any,
    test: Any = None,
    *,
    name: str = "text",
    facts: Mapping[str, str] | None = None,
    called: str | None = None,
) -> TextRun:
    """Write all that a fitted language model leaves behind into a folder.

    The model comes first; then ``history.csv``, ``comparison.json``, ``samples.txt``, ``figures/loss.png`` and
    ``report.html``. What cannot be made is left out and said.

    Args:
        model: A fitted `LanguageModel`.
        folder: Where to; made if it is missing.
        train: The text it was trained on.
        test: Text held out of training; None: the training text is judged, and said so.
        name: What the text is called.
        facts: Further lines for the table of facts.
        called: What to call the folder in the page's commands; None: ``folder``.

    Returns:
        What was written.
    """
    target = Path(folder)
    model.save(target)
    run = TextRun(target, name, called or str(target), held_out=test is not None)
    run.diagnosis = model.history_.diagnose()
    if len(model.history_):
        model.history_.to_csv(target / "history.csv")
    attempt(run, "the comparison with counts", lambda: _compare(run, model, train, test))
    attempt(run, "the samples", lambda: _write(run, model, train if test is None else test))
    caption = "How well training went, epoch by epoch; the dashed line is the epoch whose weights were kept."
    if len(model.history_):
        add_drawing(run, "loss", "Loss", caption, lambda: plots.loss_curve(model.history_))
    model.save(target, metrics=_metrics(run))
    _page(run, model, facts or {})
    return run


def _metrics(run: TextRun) -> dict[str, Any]:
    if run.comparison is None:
        return {}
    found = {f"{row.name}_perplexity": row.perplexity for row in run.comparison.rows}
    return {"comparison": run.sentence, **found}


def _compare(run: TextRun, model: Any, train: Any, test: Any) -> None:
    format_ = model.format_
    seen = format_.read(train)
    run.tokens = len(seen)
    judged = format_.read(train if test is None else test)
    nats = -model.score(train if test is None else test)
    kind = format_.tokeniser.kind
    run.comparison = compare_text(nats, seen[-COUNTED:], judged, format_.size, kind=kind, held_out=run.held_out)
    files.write_json(run.folder / "comparison.json", run.comparison.to_dict())


def _write(run: TextRun, model: Any, text: Any) -> None:
    first = next(next(text.texts()), "").strip().split("\n")[0]
    run.prompt = " ".join(first.split()[:3])[:30]
    length = LENGTH.get(model.format_.tokeniser.kind, 150)
    for temperature in TEMPERATURES:
        written = model.generate(run.prompt, length, Sample(temperature=temperature), random_state=0)
        run.samples.append(Written(temperature, run.prompt + written))
    told = (f"--- temperature {s.temperature:g}\n{s.text}\n" for s in run.samples)
    files.write_text(run.folder / "samples.txt", "\n".join(told))


def _page(run: TextRun, model: Any, facts: Mapping[str, str]) -> None:
    kind = model.format_.tokeniser.kind
    own = {"Text": f"{run.tokens:,} tokens learnt from", "Tokens": model.format_.summary(), "Model": "LanguageModel"}
    folder = run.called
    page = render(
        "page.html",
        **about(run, model),
        notes=[],
        facts={**own, **training_facts(model), **facts},
        verdict="level" if run.comparison is None else "better" if run.comparison.better else "worse",
        table=None if run.comparison is None else _table(run.comparison, kind),
        samples=run.samples,
        commands=[
            f"narrows write {folder} --prompt {run.prompt!r} --temperature 0.5",
            f"narrows write {folder} --compare 0.25,0.5,1,1.5",
            f"narrows evaluate {folder} other.txt",
        ],
        code=[f"print(model.generate({run.prompt!r}, length=300))", 'model.perplexity("other.txt")'],
    )
    files.write_text(run.folder / "report.html", page)


def _table(comparison: TextComparison, kind: str) -> dict[str, Any]:
    per, own = unit(kind), {"model": "This model"}
    rows = [(own.get(r.name, f"Counts: {r.name}"), [f"{r.perplexity:.2f}", f"{r.nats:.3f}"]) for r in comparison.rows]
    what = "held-out" if comparison.held_out else "training"
    caption = f"Measured on {comparison.tokens:,} {what} tokens; counts are smoothed after Witten and Bell."
    return {"heads": ["Answer", f"Perplexity per {per}", f"Nats per {per}"], "rows": rows, "caption": caption}
