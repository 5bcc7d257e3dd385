"""What can be done with a model: encode, score, decode, reconstruct, denoise, sample, interpolate, export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from narrows.cli import _engine, _series, _stream, _write
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
    "Translator": "a translator: it shows rows of one set as rows of another, with narrows translate --model",
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
    memory: str | None = None
    engine: str = _engine.LOCAL


def encode(wanted: Wanted, output: Output) -> None:
    """Write the code of every row."""
    model = _load(wanted, "transform")
    data, names = _rows(model, wanted)
    size = model.module_.code_size
    if _streams(data):
        rows = _stream.write_parts(_engine.parts(wanted.model, model, data, codes_of, wanted.engine), wanted.out)
        line = _write.codes_line(rows, size, wanted.out)
    else:
        codes = model.transform(data)
        rows, line = len(codes), _write.write_codes(codes, wanted.out, names)
    output.result({"out": wanted.out, "rows": rows, "code_size": size}, line)


def score(wanted: Wanted, output: Output) -> None:
    """Write how well every row is reconstructed, as log p(x|z)."""
    model = _load(wanted, "score_samples")
    data, names = _rows(model, wanted)
    if _streams(data):
        rows = _stream.write_parts(_engine.parts(wanted.model, model, data, scores_of, wanted.engine), wanted.out)
    else:
        from narrows.data import write_table

        scores = _write.score_table(model.score_samples(data), names)
        write_table(scores, wanted.out)
        rows = scores.num_rows
    line = f"{rows:,} scores, in nats per row, higher is more normal → {wanted.out}"
    output.result({"out": wanted.out, "rows": rows}, line)


def decode(wanted: Wanted, output: Output) -> None:
    """Write the row of every code."""
    model = _load(wanted, "inverse_transform")
    codes = _write.read_codes(str(wanted.source))
    _written(model, model.inverse_transform(codes), wanted, output)


def reconstruct(wanted: Wanted, output: Output) -> None:
    """Write every row after it was narrowed to its code and widened again."""
    model = _load(wanted, "reconstruct")
    data, names = _rows(model, wanted)
    if _streams(data) and not is_images(model):
        _written_in_parts(_engine.parts(wanted.model, model, data, reconstructed, wanted.engine), wanted, output)
        return
    _written(model, model.reconstruct(data), wanted, output, names)


def denoise(wanted: Wanted, output: Output) -> None:
    """Write every row with its noise taken out."""
    model = _load(wanted, "denoise")
    if model.choices_.corruption is None:
        say("note: this model was not trained to denoise, only to reconstruct: fit one with --model denoising")
    data, names = _rows(model, wanted)
    if _streams(data) and not is_images(model):
        _written_in_parts(_engine.parts(wanted.model, model, data, denoised, wanted.engine), wanted, output)
        return
    _written(model, model.denoise(data), wanted, output, names)


def sample(wanted: Wanted, number: int, seed: int | None, output: Output) -> None:
    """Write rows that the model makes up."""
    model = _load(wanted)
    if number > _stream.PART and not is_images(model):
        made = map(_stream.as_arrow, _stream.in_parts(number, seed, lambda n, own: model.sample(n, random_state=own)))
        _written_in_parts(made, wanted, output)
        return
    _written(model, model.sample(number, random_state=seed), wanted, output)


def interpolate(wanted: Wanted, start: int, end: int, steps: int, output: Output) -> None:
    """Write rows on the way from one row to another."""
    from narrows.data.split import count, take

    model = _load(wanted, "interpolate")
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

    model = _load(wanted, "to_onnx")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists libraries that nobody asked for
    folder = model.to_onnx(wanted.out)
    found = sorted(p.name for p in folder.glob("*.onnx"))
    output.result({"out": str(folder), "files": found}, f"{', '.join(found)} → {folder}")


# --- pieces of rows ------------------------------------------------------------------------------------------


def codes_of(model: Any, piece: Any) -> Any:
    """The codes of a piece's rows, as an Arrow table."""
    return _write.code_table(model.transform(piece), _names(piece))


def scores_of(model: Any, piece: Any) -> Any:
    """Their scores."""
    return _write.score_table(model.score_samples(piece), _names(piece))


def reconstructed(model: Any, piece: Any) -> Any:
    """Their reconstructions."""
    return _stream.as_arrow(model.reconstruct(piece))


def denoised(model: Any, piece: Any) -> Any:
    """The rows without their noise."""
    return _stream.as_arrow(model.denoise(piece))


def _names(piece: Any) -> list[str] | None:
    """Names of a piece's rows, where they are files."""
    return [str(path) for path in piece] if isinstance(piece, list) else None


# --- in and out ----------------------------------------------------------------------------------------------


def _load(wanted: Wanted, method: str = "sample") -> Any:
    """The model, which must be able to do something."""
    from narrows._saved import describe

    _engine.check(wanted.engine)
    kind = describe(wanted.model).get("estimator")  # says what is wrong with the folder before torch is imported
    if kind in TASKS:
        raise InvalidParameter(f"{wanted.model!r} holds {TASKS[kind]}")
    from narrows.estimators import load

    model = load(wanted.model)
    if kind == "LanguageModel":
        raise InvalidParameter(f"{wanted.model!r} holds a language model: it writes text, with narrows write")
    if not hasattr(model, method):
        raise InvalidParameter(
            f"{wanted.model!r} holds a {kind}, which cannot do this: it makes rows, with narrows generate"
        )
    return model


def is_images(model: Any) -> bool:
    """Whether the model's rows are images."""
    return len(model.format_.layout.shape) == 3


def _rows(model: Any, wanted: Wanted) -> tuple[Any, list[str] | None]:
    """The source's rows as the model takes them, and their names where they are files."""
    from narrows.data import open_source

    memory, all_in_pieces = _stream.budget(wanted.memory), wanted.engine != _engine.LOCAL
    expected = "images" if is_images(model) else "series" if model.format_.layout.series else "table"
    source = open_source(wanted.source, sql=wanted.sql, skip_bad=wanted.skip_bad, memory=memory, stream=all_in_pieces)
    if expected == "series":
        return source.data, None
    if source.kind != expected:
        raise InvalidParameter(
            f"{wanted.source!r} holds {_a(source.kind)}, but this model was fitted on {_a(expected)}"
        )
    data, known, needed = source.data, columns_of(source.data), model.format_.feature_names
    if known is not None and needed is not None and set(needed) < set(known):
        extra = [name for name in known if name not in needed]
        say(f"note: columns that the model does not know were left out: {', '.join(extra[:8])}")
        data = data.select(needed)
    if is_images(model):
        from narrows.estimators._streams import too_many

        data = too_many(data, 1 if all_in_pieces else memory, model.format_.layout.size) or data
    if all_in_pieces:
        _engine.check_pieces(data, str(wanted.source), wanted.engine)
    if _streams(data):
        for note in data.notes:
            say(f"note: {note}")
    return data, source.names


def _streams(data: Any) -> bool:
    from narrows.data import Stream

    return isinstance(data, Stream)


def _written_in_parts(parts: Iterable[Any], wanted: Wanted, output: Output) -> None:
    rows = _stream.write_parts(parts, wanted.out)
    output.result({"out": wanted.out, "rows": rows, "kind": "table"}, f"{rows:,} rows → {wanted.out}")


def _a(kind: str) -> str:
    return "a table" if kind == "table" else kind


def _written(
    model: Any, rows: Any, wanted: Wanted, output: Output, names: list[str] | None = None, across: int | None = None
) -> None:
    from narrows.data.split import count

    images = is_images(model)
    if model.format_.layout.series:
        line = _series.write(rows, wanted.out)
        output.result({"out": wanted.out, "kind": "series"}, line)
        return
    line = _write.write_rows(rows, wanted.out, images=images, names=names, columns=across, force=wanted.force)
    output.result({"out": wanted.out, "rows": count(rows), "kind": "images" if images else "table"}, line)
