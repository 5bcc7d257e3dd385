"""``narrows evaluate``: fairness of the fit, and how well the prior fits the codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.cli import _write_text
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

SAMPLED = 10_000  # rows made up to compare groups' shares
STRANGEST = 0.05  # share of all rows that counts as strange where there is no detector to say


def evaluate(model: str, source: str, by: str | None, sql: str | None, seed: int, output: Output) -> None:
    """Error, anomaly rate and share of samples per group of a column; without one, the gap between prior and codes."""
    from narrows.data import open_source
    from narrows.estimators import LanguageModel, load

    found = load(model)
    if isinstance(found, LanguageModel):
        if by is not None or sql is not None:
            raise InvalidParameter("--by and --sql are of tables: leave them out where a language model reads a text")
        _write_text.evaluate(found, source, output)
        return
    data = open_source(source, sql=sql).data
    if by is None:
        _prior(found, data, seed, output)
    else:
        _groups(found, data, by, seed, output)


def _prior(found: Any, data: Any, seed: int, output: Output) -> None:
    from narrows.estimators import BaseAutoencoder

    if not isinstance(found, BaseAutoencoder):
        raise InvalidParameter(
            f"a {type(found).__name__} has no prior over codes to judge: give an autoencoder, or --by COLUMN"
        )
    gap = found.prior_gap(data, random_state=seed)
    bounds = [("at least", gap.least), *([] if gap.most is None else [("at most", gap.most)])]
    rows = [(name, f"{b.value:.2f}", f"{b.low:.2f}", f"{b.high:.2f}") for name, b in bounds]
    output.table(["prior misses the codes by", "nats per row", "95 % from", "to"], rows, right=(1, 2, 3))
    output.points([gap.sentence()])
    output.result(gap.to_dict())


def _groups(found: Any, data: Any, by: str, seed: int, output: Output) -> None:
    from narrows.estimators import AnomalyDetector
    from narrows.evaluate import columns, group_report

    cells = columns(data).cells
    if by not in cells:
        raise InvalidParameter(f"--by {by!r}: there is no such column; there are {', '.join(map(repr, cells))}")
    made = None
    if isinstance(found, AnomalyDetector):
        part = _known(data, found.format_)
        errors, strange, unit = found.anomaly_score(part), found.alarms(part), "score"
        rate = f"alarms at a false-alarm rate of {found.alarm_rate:g}"
    else:
        errors, made = _reconstruction(found, data, by, seed)
        strange, unit = errors >= np.quantile(errors, 1 - STRANGEST), "error, nats per row"
        rate = f"among the {STRANGEST:.0%} of all rows with the largest error"
    report = group_report(by, cells[by], errors, made, alarms=strange, seed=seed)
    rows = [
        (g.name, f"{g.rows:,}", f"{g.share.value:.1%}", _share(g.made), str(g.error), _share(g.alarms))
        for g in report.groups
    ]
    output.table([by, "rows", "of the data", "of samples", unit, "strange"], rows, right=(1, 2, 3, 4, 5))
    output.points([f"strange: {rate}; in brackets, 95 % bootstrap intervals", *report.sentences()])
    output.result(report.to_dict())


def _share(value: Any) -> str:
    return "" if value is None else f"{value.value:.1%} [{value.low:.1%}, {value.high:.1%}]"


def _known(data: Any, format_: Any) -> Any:
    """The columns that a model knows: the one that makes the groups need not be among them."""
    known = [str(c.name) for c in format_.columns]
    return data.select(known) if hasattr(data, "select") and set(known) <= set(data.column_names) else data


def _reconstruction(model: Any, data: Any, by: str, seed: int) -> tuple[Any, Any]:
    """−log p(x|z) of every row, and the column in made-up rows."""
    from narrows.estimators import BaseAutoencoder, Synthesizer
    from narrows.evaluate import columns

    if isinstance(model, BaseAutoencoder):
        model = Synthesizer.from_model(model)
    if not isinstance(model, Synthesizer):
        raise InvalidParameter(f"a {type(model).__name__} does not reconstruct rows: there is nothing to evaluate")
    margins, inner = model.margins_, model.model_
    format_ = inner.format_ if margins is None else margins.format
    part = _known(data, format_)
    errors = -inner.score_samples(part if margins is None else margins.forward(part, 0))
    if by not in [str(c.name) for c in format_.columns]:
        return errors, None
    return errors, columns(model.sample(SAMPLED, random_state=seed)).cells[by]
