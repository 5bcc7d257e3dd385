"""``narrows info``: what a model is, without building it; or what this installation can do."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from narrows._saved import describe
from narrows._version import __version__
from narrows.cli._output import Output
from narrows.cli._use import TASKS
from narrows.errors import SavedModelError

LIBRARIES = ("torch", "scikit-learn", "numpy", "duckdb", "pyarrow", "pillow", "matplotlib", "onnx", "onnxruntime")
SHOWN = 40  # columns in the table for people; --json has all


def model(folder: str, output: Output) -> None:
    """Say what a saved model is.

    Raises:
        SavedModelError: If the folder holds none, or a damaged one.
    """
    content = describe(folder)
    if content["estimator"] == "Corrector":
        _corrector(folder, content, output)
        return
    if content["estimator"] in TASKS:
        _task(folder, content, output)
        return
    try:
        found = _summary(folder, content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SavedModelError(f"{folder} does not describe a model: {error!r}") from error
    does = "narrowed to" if "bottleneck" in found["parts"] else "each made from"
    does = f", {does} {found['code_size']} numbers" if found["code_size"] else ""
    output.say(f"{content['estimator']} in {folder}: {found['rows']}{does}", "bold")
    if found["classes"]:
        shown = ", ".join(map(str, found["classes"][:8])) + (", …" if len(found["classes"]) > 8 else "")
        output.points([f"{len(found['classes'])} classes: {shown}"])
    if "comparison" in found["metrics"]:
        output.points([found["metrics"]["comparison"]])
    output.head("Parts")
    output.points(f"{name}: {text}" for name, text in found["parts"].items())
    output.head("Why")
    output.points(found["reasons"])
    output.head("Data")
    _show_columns(found["columns"], output)
    output.head("Training")
    training = found["training"]
    output.points(
        [
            f"{training['epochs']} epochs, {training['stopped']}; weights of epoch {training['best_epoch']} kept",
            *training["diagnosis"],
        ]
    )
    output.result(found)


def _task(folder: str, content: Mapping[str, Any], output: Output) -> None:
    """Say what a saved task estimator is: it has neither code nor history of its own."""
    try:
        members = content["models"]
        columns = _columns(content["format"])
        found = {
            "folder": str(folder),
            "estimator": content["estimator"],
            "narrows": content["narrows"],
            "seed": content["seed"],
            "members": [f"{m['estimator']}, {m['code_size']} numbers per code" for m in members],
            "rows": _rows(content["format"], columns),
            "reasons": list(content["reasons"]),
            "columns": columns,
            "metrics": dict(content["metrics"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SavedModelError(f"{folder} does not describe an estimator: {error!r}") from error
    output.say(f"{found['estimator']} in {folder}: {found['rows']}", "bold")
    if members:
        output.head("Models")
        output.points(found["members"])
    output.head("Why")
    output.points(found["reasons"])
    if "report" in found["metrics"]:
        output.head("How good its rows were")
        output.points(found["metrics"]["report"])
    output.head("Data")
    _show_columns(columns, output)
    output.result(found)


def _corrector(folder: str, content: Mapping[str, Any], output: Output) -> None:
    """Say what a saved corrector is."""
    try:
        found = {
            "folder": str(folder),
            "estimator": content["estimator"],
            "narrows": content["narrows"],
            "words": len(content["words"]),
            "error_rate": content["error_rate"],
            "reasons": list(content["reasons"]),
            "metrics": dict(content["metrics"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SavedModelError(f"{folder} does not describe a corrector: {error!r}") from error
    output.say(f"Corrector in {folder}: one word in {1 / found['error_rate']:.0f} is expected to be wrong", "bold")
    output.head("Why")
    output.points(found["reasons"])
    output.result(found)


def installation(output: Output) -> None:
    """Say versions and devices."""
    versions = {"narrows": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    devices = _devices()
    output.table(["library", "version"], versions.items())
    output.head("Devices")
    output.points(devices)
    output.result({"versions": versions, "devices": devices})


def _devices() -> list[str]:
    import torch

    found = [f"cpu: {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    return found


def _summary(folder: str, content: Mapping[str, Any]) -> dict[str, Any]:
    from narrows.training.history import History

    history = History.from_config(content["history"])
    columns = _columns(content["format"])
    return {
        "folder": str(folder),
        "estimator": content["estimator"],
        "narrows": content["narrows"],
        "code_size": content["code_size"],
        "seed": content["seed"],
        "rows": _rows(content["format"], columns),
        "parts": {name: words(part) for name, part in content["parts"].items()},
        "reasons": list(content["reasons"]),
        "columns": columns,
        "classes": list(content["labels"]["classes"]) if "labels" in content else [],
        "metrics": dict(content["metrics"]),
        "training": {
            "epochs": int(history.rows[-1]["epoch"]) if history.rows else 0,
            "best_epoch": history.best_epoch,
            "stopped": history.stopped,
            "diagnosis": history.diagnose(),
        },
    }


def words(value: Any) -> str:
    """A part's plain JSON as the call that would make it."""
    if isinstance(value, Mapping) and "part" in value:
        params = ", ".join(f"{n}={words(v)}" for n, v in value.get("params", {}).items() if v is not None)
        return f"{value['part']}({params})"
    if isinstance(value, Mapping) and set(value) == {"float"}:
        return str(value["float"])
    if isinstance(value, (list, tuple)):
        parts = [words(v) for v in value]
        # a mixed likelihood of 100 columns says little more than one of six
        shown = parts if len(parts) <= 8 else [*parts[:6], f"… {len(parts) - 6} more"]
        return f"({', '.join(shown)}{',' * (len(parts) == 1)})"
    return repr(value)


def _columns(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    if config["format"] == "text":
        from narrows.data.text import TextFormat

        return TextFormat.from_config(config).describe()
    if config["format"] == "image":
        height, width = config["size"]
        scale = config["scale"]
        return [
            {
                "name": "image",
                "kind": config["mode"],
                "height": height,
                "width": width,
                "type": scale["dtype"],
                "low": scale["low"],
                "high": scale["high"],
            }
        ]
    if config["format"] == "series":
        from narrows.data.series_format import SeriesFormat

        return SeriesFormat.from_config(config).describe()
    from narrows.data.columns import Column

    return [Column.from_config(column).describe() for column in config["columns"]]


def _rows(config: Mapping[str, Any], columns: list[dict[str, Any]]) -> str:
    if config["format"] == "image":
        return f"{config['mode']} images of {config['size'][0]} × {config['size'][1]} pixels"
    if config["format"] == "text":
        return f"text as {columns[0]['tokens']:,} different {_tokens(columns[0]['kind'])}"
    if config["format"] == "series":
        return f"series of up to {config['steps']:,} steps, {len(columns)} channel{'s' * (len(columns) != 1)}"
    return f"tables of {len(columns)} column{'s' * (len(columns) != 1)}"


def _show_columns(columns: list[dict[str, Any]], output: Output) -> None:
    if columns and "height" in columns[0]:
        image = columns[0]
        output.points(
            [
                f"{image['kind']} images of {image['height']} × {image['width']} pixels, "
                f"{image['type']} from {image['low']:g} to {image['high']:g}"
            ]
        )
        return
    if columns and "context" in columns[0]:
        text = columns[0]
        shown = " ".join(map(repr, text["examples"]))
        output.points([f"windows of {text['context']} {_tokens(text['kind'])}, such as {shown}"])
        return
    lines = [
        (c["name"], c["kind"], _range(c), c["scaling"] or "", f"{100 * c['blanks']:.1f} %" if c["blanks"] else "")
        for c in columns[:SHOWN]
    ]
    output.table(["column", "kind", "values", "scaling", "blank"], lines, right=(4,))
    if len(columns) > SHOWN:
        output.say(f"  … and {len(columns) - SHOWN} more columns (--json shows all)")


def _range(column: Mapping[str, Any]) -> str:
    if column.get("categories"):
        names = [str(c) for c in column["categories"]]
        shown = ", ".join(names[:4])
        text = f"{len(names)}: {shown}" + (", …" if len(names) > 4 else "")
        return text if len(text) <= 60 else text[:59] + "…"
    if "low" not in column:
        if column["kind"] == "category":
            return "too many different values: all come back as one"
        return "constant" if column.get("constant") else ""
    ends = column["low"], column["high"]
    low, high = (f"{v:,.6g}" if isinstance(v, float) else str(v) for v in ends)
    if low == high and ends[0] != ends[1]:  # large numbers close together
        low, high = (f"{v:,.15g}" for v in ends)
    return low if low == high else f"{low} … {high}"


def _tokens(kind: str) -> str:
    """Tokens of a kind in words."""
    return {"byte-pair": "byte-pair tokens"}.get(kind, kind)
