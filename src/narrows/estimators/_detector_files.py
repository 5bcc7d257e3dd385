"""Detectors on disk: weights as safetensors, everything else as JSON, nothing that can execute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from narrows._part import Part
from narrows.data import format_from_config
from narrows.errors import SavedModelError
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._points import flat_layout
from narrows.estimators._store import inside, taken, tensor
from narrows.models import DenoiserModule, StackedModule
from narrows.networks import Network
from narrows.tasks._denoise import SIGMAS, Denoising, default_network
from narrows.tasks._features import Features
from narrows.tasks._neighbours import Neighbours
from narrows.tasks._space import Space
from narrows.tasks._surprise import Surprise
from narrows.tasks._twins import Twins
from narrows.tasks.anomaly import Detector, Evidence, TableEvidence

Tensors = dict[str, Tensor]


def content(detector: Any) -> dict[str, Any]:
    """What ``model.json`` says of a detector beside its models."""
    return {
        "notes": list(detector.detector_.notes),
        "surprise": detector.detector_.surprise,
        "evidence": _evidence(detector),
    }


def _evidence(detector: Any) -> dict[str, Any]:
    found = detector.detector_.evidence
    if isinstance(found, Surprise):
        return {"scale": found.scale}
    near = found.neighbours
    return {
        "network": (detector.network or default_network()).to_config(),
        "members": found.denoising.members.size,
        "folds": found.denoising.folds,
        "calm": found.denoising.calm,
        **{name: getattr(near, name) for name in ("gap", "robust", "correlation", "centre", "scale")},
    }


def tensors(detector: Any) -> Tensors:
    """The detector's tensors, those of its models apart."""
    core = detector.detector_
    twins = core.twins
    result = {"scores": core.scores, "singles": core.singles}
    if len(core.points):
        result["points"] = core.points
    result |= inside("twins", {"marks": twins.marks, "fold": twins.fold, "place": twins.place})
    if isinstance(core.evidence, Surprise):
        return result | {"centre": core.evidence.centre}
    denoising, near = core.evidence.denoising, core.evidence.neighbours
    result |= inside("space", {name: getattr(denoising.space, name) for name in ("centre", "scale", "moves")})
    result |= inside("near", {"references": near.references, "usual": near.usual})
    for name in ("noise", "level", "centre", "scale"):
        result[f"denoising.{name}"] = getattr(denoising, name)
    return result | inside("members", denoising.members.state_dict())


def rebuild(made: Any, content: Mapping[str, Any], state: Tensors, models: list[BaseAutoencoder]) -> Any:
    """The detector that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If tensors are missing or of another shape.
    """
    format_ = format_from_config(content["format"])
    if models:
        modules = tuple(model.module_ for model in models)
        size = format_.layout.size
        if any(model.format_.layout != format_.layout for model in models):
            raise SavedModelError("the models were fitted on other data than the detector")
        evidence: Evidence = Surprise(modules, tensor(state, "centre", size), float(content["evidence"]["scale"]))
    else:
        evidence = _table_evidence(content["evidence"], Features(flat_layout(format_.layout)), state)
    marks = tensor(state, "twins.marks", None, dtype=torch.int64)
    fold, place = (tensor(state, f"twins.{name}", len(marks), dtype=torch.int64) for name in ("fold", "place"))
    detector = Detector(
        evidence,
        Twins(marks, fold, place),
        tensor(state, "singles", None, 2, dtype=torch.int64),
        float(content["surprise"]),
        tensor(state, "scores", None, dtype=torch.float64),
        tuple(content["notes"]),
        tensor(state, "points", None, dtype=torch.float64)
        if "points" in state
        else torch.empty(0, dtype=torch.float64),
    )
    if not len(detector.scores):
        raise SavedModelError("the detector has no scores to calibrate by")
    return made._take(format_, detector, models, int(content["seed"]))


def _table_evidence(found: Mapping[str, Any], features: Features, state: Tensors) -> TableEvidence:
    size, columns, views = len(features.column), len(features.width), 2 * len(SIGMAS)
    members, folds = int(found["members"]), int(found["folds"])
    network = Part.from_config(found["network"])
    if not isinstance(network, Network) or not 1 <= folds <= members <= 1_000 or members % folds:
        raise SavedModelError(f"{network!r} × {members} in {folds} folds are no denoisers")
    space = Space(
        features,
        tensor(state, "space.centre", size),
        tensor(state, "space.scale", size),
        tensor(state, "space.moves", size, dtype=torch.bool),
    )
    with torch.random.fork_rng(devices=[]):
        stacked = StackedModule([DenoiserModule(size, network) for _ in range(members)])
    stacked.load_state_dict(taken("members", state))
    denoising = Denoising(
        space,
        stacked.eval(),
        folds,
        tensor(state, "denoising.noise", members, 1, size),
        tensor(state, "denoising.level", views, columns),
        tensor(state, "denoising.centre", folds, views, columns),
        tensor(state, "denoising.scale", views),
        float(found["calm"]),
    )
    references = tensor(state, "near.references", None, size)
    near = Neighbours(
        space,
        references,
        tensor(state, "near.usual", len(references)),
        robust=bool(found["robust"]),
        **{name: float(found[name]) for name in ("gap", "correlation", "centre", "scale")},
    )
    return TableEvidence(denoising, near)


def card(content: Mapping[str, Any]) -> str:
    """The model card."""
    lines = [
        "# AnomalyDetector",
        "",
        f"Made by narrows {content['narrows']}. Load it with `narrows.load(folder)`, or use it with "
        "`narrows detect SOURCE --model FOLDER`.",
        "",
        *(f"- {note}" for note in content["notes"]),
        "",
        "## Limits",
        "",
        "False-alarm rates hold for rows like those of training; when normal rows change, fit it again.",
    ]
    if not content["models"]:
        lines += [
            "",
            "**It holds rows of the training table** (up to 20,000, in scaled units), which distances are measured to: "
            "treat the folder as you treat the data.",
        ]
    return "\n".join(lines) + "\n"
