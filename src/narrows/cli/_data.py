"""``narrows data``: the samples, and writing them to files."""

from __future__ import annotations

from pathlib import Path

from narrows.cli import _series
from narrows.cli._output import Output


def catalogue(output: Output) -> None:
    """Say what samples there are."""
    from narrows.data import catalogue as entries

    found = [
        {
            "name": e.name,
            "kind": e.kind,
            "shape": e.shape,
            "embedded": e.embedded,
            "licence": e.licence,
            "source": e.source,
            "description": e.description,
        }
        for e in entries()
    ]
    heads = ["name", "kind", "size", "from", "licence", "what it is"]
    lines = [
        (e["name"], e["kind"], e["shape"], "built in" if e["embedded"] else "download", e["licence"], e["description"])
        for e in found
    ]
    output.table(heads, lines)
    output.say("narrows fit NAME learns from one; your own files and folders go in its place")
    output.result({"samples": found})


def export(name: str, out: str, force: bool, output: Output) -> None:
    """Write a sample's rows to files: a table by its ending; images as a folder, a grid or an array."""
    import numpy as np

    from narrows import files
    from narrows.cli._write import write_rows
    from narrows.data import load
    from narrows.data.split import count

    sample = load(name)
    images = sample.kind == "images"
    if images and Path(out).suffix.lower() == ".npz":
        arrays = {
            "images": sample.data,
            "labels": sample.labels,
            "test": sample.test,
            "test_labels": sample.test_labels,
        }
        with files.atomic(out) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{k: v for k, v in arrays.items() if v is not None})
        line = f"{len(sample.data):,} images, with what else there is → {out}"
    elif sample.kind == "series" and isinstance(sample.data, np.ndarray):
        line = _series.write(sample.data, out)
    else:
        line = write_rows(sample.data, out, images=images, force=force)
    output.result(
        {"out": out, "rows": count(sample.data), "licence": sample.licence, "source": sample.source},
        f"{line} ({sample.licence}; {sample.source})",
    )
