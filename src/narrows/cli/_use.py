"""What can be done with a model: encode, decode, reconstruct, denoise, sample, interpolate, export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from narrows.cli import _write
from narrows.cli._fit import columns_of
from narrows.cli._group import say
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

# estimators without a code of their own to encode, decode or sample
TASKS = {
    "AnomalyDetector": "a detector: it finds strange rows, with narrows detect --model",
    "Ensemble": "an ensemble of models: narrows.load it in Python, and save one of its members_",
    "Synthesizer": "a synthesizer: it makes up rows, with narrows generate",
    "Imputer": "an imputer: it fills blanks, with narrows impute --model",
}


@dataclass(frozen=True)
class Wanted:
    """A model, the rows to give it, and where the result goes."""

    model: str
    out: str
    source: str | None = None
    sql: str | None = None
    skip_bad: bool = False
    force: bool = False


def encode(wanted: Wanted, output: Output) -> None:
    """Write the code of every row."""
    model = _load(wanted)
    data, names = _rows(model, wanted)
    codes = model.transform(data)
    line = _write.write_codes(codes, wanted.out, names)
    output.result({"out": wanted.out, "rows": len(codes), "code_size": codes.shape[1]}, line)


def decode(wanted: Wanted, output: Output) -> None:
    """Write the row of every code."""
    model = _load(wanted)
    codes = _write.read_codes(str(wanted.source))
    _written(model, model.inverse_transform(codes), wanted, output)


def reconstruct(wanted: Wanted, output: Output) -> None:
    """Write every row after it was narrowed to its code and widened again."""
    model = _load(wanted)
    data, names = _rows(model, wanted)
    _written(model, model.reconstruct(data), wanted, output, names)


def denoise(wanted: Wanted, output: Output) -> None:
    """Write every row with its noise taken out."""
    model = _load(wanted)
    if model.choices_.corruption is None:
        say("note: this model was not trained to denoise, only to reconstruct: fit one with --model denoising")
    data, names = _rows(model, wanted)
    _written(model, model.denoise(data), wanted, output, names)


def sample(wanted: Wanted, number: int, seed: int | None, output: Output) -> None:
    """Write rows that the model makes up."""
    model = _load(wanted)
    _written(model, model.sample(number, random_state=seed), wanted, output)


def interpolate(wanted: Wanted, start: int, end: int, steps: int, output: Output) -> None:
    """Write rows on the way from one row to another."""
    from narrows.data.split import count, take

    model = _load(wanted)
    data, _ = _rows(model, wanted)
    rows = count(data)
    for option, place in (("--from", start), ("--to", end)):
        if not -rows <= place < rows:
            raise InvalidParameter(f"{option} {place}: rows are numbered from 0 to {rows - 1}")
    line = model.interpolate(take(data, [start % rows]), take(data, [end % rows]), steps)[0]
    _written(model, line, wanted, output, across=steps)


def export(wanted: Wanted, output: Output) -> None:
    """Write encoder and decoder as ONNX."""
    import logging

    model = _load(wanted)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists libraries that nobody asked for
    folder = model.to_onnx(wanted.out)
    found = sorted(p.name for p in folder.glob("*.onnx"))
    output.result({"out": str(folder), "files": found}, f"{', '.join(found)} → {folder}")


# --- in and out ----------------------------------------------------------------------------------------------


def _load(wanted: Wanted) -> Any:
    from narrows._saved import describe

    content = describe(wanted.model)  # says what is wrong with the folder before torch is imported
    kind = (content.get("task") or content).get("estimator")
    if kind in TASKS:
        raise InvalidParameter(f"{wanted.model!r} holds {TASKS[kind]}")
    from narrows.estimators import load

    return load(wanted.model)


def is_images(model: Any) -> bool:
    """Whether the model's rows are images."""
    return len(model.format_.layout.shape) == 3


def _rows(model: Any, wanted: Wanted) -> tuple[Any, list[str] | None]:
    """The source's rows as the model takes them, and their names where they are files."""
    from narrows.data import open_source

    source = open_source(wanted.source, sql=wanted.sql, skip_bad=wanted.skip_bad)
    expected = "images" if is_images(model) else "table"
    if source.kind != expected:
        raise InvalidParameter(
            f"{wanted.source!r} holds {_a(source.kind)}, but this model was fitted on {_a(expected)}"
        )
    data, known, needed = source.data, columns_of(source.data), model.format_.feature_names
    if known is not None and needed is not None and set(needed) < set(known):
        extra = [name for name in known if name not in needed]
        say(f"note: columns that the model does not know were left out: {', '.join(extra[:8])}")
        data = data.select(needed)
    return data, source.names


def _a(kind: str) -> str:
    return "a table" if kind == "table" else kind


def _written(
    model: Any, rows: Any, wanted: Wanted, output: Output, names: list[str] | None = None, across: int | None = None
) -> None:
    from narrows.data.split import count

    images = is_images(model)
    line = _write.write_rows(rows, wanted.out, images=images, names=names, columns=across, force=wanted.force)
    output.result({"out": wanted.out, "rows": count(rows), "kind": "images" if images else "table"}, line)
