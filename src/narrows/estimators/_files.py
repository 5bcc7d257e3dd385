"""Whole models on disk: safetensors for the weights, JSON for everything else, nothing that can execute."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from narrows import files
from narrows._part import Part, encode
from narrows._saved import FORMAT_VERSION, MODEL, describe
from narrows._version import __version__
from narrows.data import format_from_config
from narrows.data import image as _image  # noqa: F401  (registers the formats that a file may name)
from narrows.data import music as _music  # noqa: F401
from narrows.data import series as _series  # noqa: F401
from narrows.data import table as _table  # noqa: F401
from narrows.data import text as _text  # noqa: F401
from narrows.errors import NarrowsError, SavedModelError
from narrows.estimators import (
    _corrector_files,
    _detector_files,
    _ensemble_files,
    _imputer_files,
    _synthesizer_files,
    sequence,
)
from narrows.estimators._base import BaseModel, initial_module, layout_of
from narrows.estimators._captions import Words
from narrows.estimators._recipes import decode_params, encode_params, model_kind
from narrows.estimators._store import inside, taken, write
from narrows.estimators._task import TaskEstimator
from narrows.estimators.detector import AnomalyDetector
from narrows.estimators.ensemble import Ensemble
from narrows.estimators.imputer import Imputer
from narrows.estimators.synthesizer import Synthesizer
from narrows.training import History


class Kind(Protocol):
    """How one kind of task estimator lies in a folder: a module with these functions."""

    def content(self, estimator: Any) -> dict[str, Any]:
        """What ``model.json`` says of a fitted estimator, beside what it says of all."""

    def tensors(self, estimator: Any) -> dict[str, Tensor]:
        """Its tensors by name, those of its models apart."""

    def rebuild(self, made: Any, content: Mapping[str, Any], state: dict[str, Tensor], models: list[BaseModel]) -> Any:
        """``made``, an unfitted estimator, with what was learnt put back."""

    def card(self, content: Mapping[str, Any]) -> str:
        """The model card."""


TASKS: dict[str, tuple[type[TaskEstimator], Kind]] = {
    "AnomalyDetector": (AnomalyDetector, _detector_files),
    "Ensemble": (Ensemble, _ensemble_files),
    "Imputer": (Imputer, _imputer_files),
    "Synthesizer": (Synthesizer, _synthesizer_files),
}

#: What rebuilds estimators that are neither models of rows nor do a job with them.
OF_TEXT: dict[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], Any]] = {
    "Corrector": _corrector_files.restored,
    "SequenceToSequence": sequence.restored,
}


def save(estimator: BaseModel | TaskEstimator, folder: Path, metrics: Mapping[str, Any] | None = None) -> Path:
    """Write a fitted estimator. ``model.json`` comes last and by rename: until then an older one stays as it was.

    Args:
        estimator: A fitted model, or a fitted estimator that does a job with models.
        folder: Where to.
        metrics: Numbers to keep with it.

    Returns:
        The folder.
    """
    if isinstance(estimator, BaseModel):
        return write(folder, estimator.module_.state_dict(), describe_model(estimator, metrics), _card)
    kind, models = TASKS[type(estimator).__name__][1], estimator._models()
    content = {
        **_head(estimator, metrics),
        "models": [describe_model(model) for model in models],
        **kind.content(estimator),
    }
    tensors = kind.tensors(estimator)
    for i, model in enumerate(models):
        tensors |= inside(f"model{i}", model.module_.state_dict())
    return write(folder, tensors, content, kind.card)


def _head(estimator: BaseModel | TaskEstimator, metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "narrows": __version__,
        "estimator": type(estimator).__name__,
        "params": encode_params(estimator, estimator.seed_),
        "seed": estimator.seed_,
        "reasons": list(estimator.reasons_),
        "format": estimator.format_.to_config(),
        "metrics": encode(dict(metrics or {})),
    }


def describe_model(model: BaseModel, metrics: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ``model.json`` says of a fitted model."""
    return {
        **_head(model, metrics),
        "parts": {name: part.to_config() for name, part in model.choices_.parts().items()},
        "code_size": model.choices_.code_size_of(model.module_),
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
        if content["estimator"] in OF_TEXT:
            return OF_TEXT[content["estimator"]](content, state)
        if content["estimator"] not in TASKS:
            return rebuild_model(content, state, device)
        estimator, kind = TASKS[content["estimator"]]
        models = [rebuild_model(m, taken(f"model{i}", state), device) for i, m in enumerate(content["models"])]
        return kind.rebuild(estimator(**decode_params(content["params"])), content, state, models)
    except SavedModelError:
        raise
    except (NarrowsError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise SavedModelError(f"{Path(folder) / MODEL} does not describe a model that can be built: {error}") from error


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
    model = model_kind(content["estimator"])(**decode_params(content["params"]))
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
        + model_kind(content["estimator"]).LIMITS,
    ]
    return "\n".join(lines) + "\n"
