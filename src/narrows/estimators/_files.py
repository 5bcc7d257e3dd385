"""Whole models on disk: safetensors for the weights, JSON for everything else, nothing that can execute."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from narrows import files
from narrows._part import Part, decode, encode
from narrows._saved import FORMAT_VERSION, MODEL, describe
from narrows._version import __version__
from narrows.data import format_from_config
from narrows.data import image as _image  # noqa: F401  (registers the formats that a file may name)
from narrows.data import table as _table  # noqa: F401
from narrows.errors import NarrowsError, SavedModelError
from narrows.estimators import _detector_files, _ensemble_files, _imputer_files
from narrows.estimators._base import BaseModel, initial_module, layout_of
from narrows.estimators._captions import Words
from narrows.estimators._store import write
from narrows.training import History

TASKS = {
    "AnomalyDetector": _detector_files.rebuild,
    "Ensemble": _ensemble_files.rebuild,
    "Imputer": _imputer_files.rebuild,
}


def save(
    model: BaseModel, folder: Path, metrics: Mapping[str, Any] | None = None, task: Mapping[str, Any] | None = None
) -> Path:
    """Write a fitted model. ``model.json`` comes last and by rename: until then an older model stays as it was.

    Args:
        model: A fitted estimator.
        folder: Where to.
        metrics: Numbers to keep with it.
        task: What a task estimator over this model needs beside it, as plain JSON; ``"estimator"`` names its class.

    Returns:
        The folder.
    """
    content = describe_model(model, metrics)
    if task is not None:
        content["task"] = dict(task)
    return write(folder, model.module_.state_dict(), content, _card)


def describe_model(model: BaseModel, metrics: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ``model.json`` says of a fitted model."""
    params = model.get_params(deep=False)
    if not isinstance(params["random_state"], (Integral, type(None))):
        params["random_state"] = model.seed_
    return {
        "format_version": FORMAT_VERSION,
        "narrows": __version__,
        "estimator": type(model).__name__,
        "params": {name: encode(value) for name, value in params.items()},
        "parts": {name: part.to_config() for name, part in model.choices_.parts().items()},
        "code_size": model.choices_.code_size_of(model.module_),
        "seed": model.seed_,
        "reasons": list(model.reasons_),
        "format": model.format_.to_config(),
        "metrics": encode(dict(metrics or {})),
        "history": model.history_.to_config(),
        **({} if model._labels is None else {"labels": model._labels.to_config()}),
    }


def load(folder: str | os.PathLike[str], device: str = "cpu") -> Any:
    """Read a model that ``save`` wrote.

    Only registered parts are built, every shape and hash is checked, and nothing in the folder is executed.

    Args:
        folder: The model's folder.
        device: Where to put the weights.

    Returns:
        The fitted estimator.

    Raises:
        SavedModelError: If the folder is truncated, tampered with, of a newer version, or names an unknown part.

    Example:
        ```python
        model = narrows.load("runs/fashion")
        ```
    """
    content = describe(folder)
    state = _weights(Path(folder), content)
    try:
        if content["estimator"] in TASKS:
            return TASKS[content["estimator"]](content, state)
        model = rebuild_model(content, state, device)
        return model if content.get("task") is None else _task(model, content["task"])
    except SavedModelError:
        raise
    except (NarrowsError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise SavedModelError(f"{Path(folder) / MODEL} does not describe a model that can be built: {error}") from error


def _task(model: BaseModel, task: Mapping[str, Any]) -> Any:
    """The task estimator that was saved over a model."""
    from narrows.estimators.synthesizer import Synthesizer

    kinds = {"Synthesizer": Synthesizer}
    kind = kinds.get(str(task["estimator"]))
    if kind is None:
        raise SavedModelError(f"unknown estimator {task['estimator']!r}; known: {', '.join(sorted(kinds))}")
    return kind._from_task(model, task)


def _weights(folder: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    name = content.get("weights")
    if not isinstance(name, str) or Path(name).name != name:
        raise SavedModelError(f"{folder / MODEL} names weights {name!r}, which is not a file of this folder")
    path = folder / name
    if not path.is_file():
        raise SavedModelError(f"{path} is missing: the model was not copied whole")
    if files.sha256(path) != content.get("weights_sha256"):
        raise SavedModelError(f"{path} is damaged: its content is not what was saved")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise SavedModelError(f"{path} is damaged: {error}") from error


def rebuild_model(content: Mapping[str, Any], state: dict[str, Tensor], device: str = "cpu") -> BaseModel:
    """The model that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If it does not describe one, or the weights do not fit.
    """
    kinds = estimators()
    kind = kinds.get(content["estimator"])
    if kind is None:
        raise SavedModelError(f"unknown estimator {content['estimator']!r}; known: {', '.join(sorted(kinds))}")
    model = kind(**{name: decode(value) for name, value in content["params"].items()})
    parts = {name: Part.from_config(config) for name, config in content["parts"].items()}
    choices = model.choices().restored(parts, content)
    labels = Words.restored(content["labels"]) if "labels" in content else None
    format_ = format_from_config(content["format"])
    module = initial_module(choices, layout_of(format_, labels), content["seed"])
    expected = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in state.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise SavedModelError(f"the weights do not fit the model: {', '.join(wrong[:5])}")
    module.load_state_dict(state)
    model.module_ = module.eval().to(torch.device(device))
    model.format_, model.choices_ = format_, choices
    model.history_ = History.from_config(content["history"])
    model.seed_, model.reasons_ = content["seed"], list(content["reasons"])
    model._set_labels(labels)
    model._describe()
    return model


def estimators() -> dict[str, type[BaseModel]]:
    """The estimators that are models of rows, by name."""
    bases, found = [BaseModel], {}
    for base in bases:
        bases += base.__subclasses__()
        found.update({kind.__name__: kind for kind in base.__subclasses__() if not inspect.isabstract(kind)})
    return found


def _card(content: Mapping[str, Any]) -> str:
    """The model card: what a person sees who opens the folder."""
    history = History.from_config(content["history"])
    lines = [
        f"# {content['estimator']}",
        "",
        f"Made by narrows {content['narrows']}. Load it with `narrows.load(folder)` or look at it with "
        "`narrows info FOLDER`.",
        "",
        "## Parts",
        "",
        *(f"- {name}: `{Part.from_config(config)!r}`" for name, config in content["parts"].items()),
        f"- code size: {content['code_size']}",
        "",
        "## Why",
        "",
        *(f"- {reason}" for reason in content["reasons"]),
        "",
        "## Training",
        "",
        f"- {len(history)} recorded epochs, {history.stopped}; the weights of epoch {history.best_epoch} are kept",
        *(f"- {sentence}" for sentence in history.diagnose()),
    ]
    if content["metrics"]:
        lines += ["", "## Measured", "", *(f"- {name}: {value}" for name, value in content["metrics"].items())]
    lines += [
        "",
        "## Limits",
        "",
        "The model knows the rows it was trained on and repeats their gaps and their bias. "
        + estimators()[content["estimator"]].LIMITS,
    ]
    return "\n".join(lines) + "\n"
