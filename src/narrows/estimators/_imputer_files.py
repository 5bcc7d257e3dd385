"""Imputers on disk: weights as safetensors, everything else as JSON, nothing that can execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from narrows._part import Part
from narrows.data import format_from_config
from narrows.errors import SavedModelError
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._store import inside, taken
from narrows.networks import Network
from narrows.tasks._candidates import Candidates
from narrows.tasks._factors import Factors
from narrows.tasks._features import Features
from narrows.tasks._gaussian import Gaussian
from narrows.tasks._refine import RefinerModule
from narrows.tasks.impute import Filler, default_network


def content(imputer: Any) -> dict[str, Any]:
    """What ``model.json`` says of an imputer beside its model, if it has one."""
    return {
        "network": (imputer.network or default_network()).to_config(),
        "members": len(imputer.filler_.candidates.refiners),
        "held": imputer.filler_.held,
        "notes": list(imputer.filler_.notes),
    }


def tensors(imputer: Any) -> dict[str, Tensor]:
    """The imputer's tensors, those of its model apart."""
    filler, candidates = imputer.filler_, imputer.filler_.candidates
    result = {
        "weights": filler.weights,
        "marginal": candidates.marginal,
        **{f"line.{name}": tensor for name, tensor in vars(candidates.gaussian).items()},
        "frequent": candidates.frequent,
        **{f"residuals.{j}": r for j, r in enumerate(filler.residuals)},
    }
    if candidates.known is not None:
        result |= dict(zip(("known.values", "known.observed", "known.filled"), candidates.known, strict=True))
    for i, refiner in enumerate(candidates.refiners):
        result |= inside(f"refiner{i}", refiner.state_dict())
    return result


def rebuild(made: Any, content: Mapping[str, Any], state: dict[str, Tensor], models: list[BaseAutoencoder]) -> Any:
    """The imputer that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If tensors are missing or of another shape.
    """
    format_ = format_from_config(content["format"])
    model = models[0] if models else None
    if model is not None and model.format_.layout != format_.layout:
        raise SavedModelError("the model was fitted on other data than the imputer")
    features = Features(format_.layout)
    network = Part.from_config(content["network"])
    if not isinstance(network, Network):
        raise SavedModelError(f"{network!r} is not a network")
    refiners = []
    with torch.random.fork_rng(devices=[]):
        for i in range(int(content["members"])):
            refiner = RefinerModule(features, network)
            refiner.load_state_dict(taken(f"refiner{i}", state))
            refiners.append(refiner.eval())
    d, columns, at = len(features.column), len(features.width), state["frequent"]
    kind = Gaussian if "line.covariance" in state else Factors
    gaussian = kind(**{field.name: state[f"line.{field.name}"] for field in fields(kind)})
    known = None
    if "known.values" in state:
        known = (state["known.values"], state["known.observed"], state["known.filled"])
    module = None if model is None else model.module_
    candidates = Candidates(features, state["marginal"], gaussian, at, tuple(refiners), known, module)
    fits = (
        state["marginal"].shape == (d,)
        and all(len(tensor) == len(at) for tensor in vars(gaussian).values())
        and bool(((at >= 0) & (at < d)).all())
        and state["weights"].shape == (columns, len(candidates.names))
        and all(t.shape[1:] == (d,) for t in known or ())
    )
    if not fits:
        raise SavedModelError("the tensors do not fit the table that they were learnt from")
    residuals = tuple(state[f"residuals.{j}"] for j in range(columns))
    filler = Filler(candidates, state["weights"], residuals, int(content["held"]), list(content["notes"]))
    return made._take(model, format_, filler, int(content["seed"]))


def card(content: Mapping[str, Any]) -> str:
    """The model card."""
    lines = [
        "# Imputer",
        "",
        f"Made by narrows {content['narrows']}. Load it with `narrows.load(folder)`.",
        "",
        *(f"- {note}" for note in content["notes"]),
        f"- networks: {content['members']}",
        "",
        "## Limits",
        "",
        "It assumes that, given the observed cells, blanks do not depend on what they would hold (missing at random). "
        "**It holds rows of the training table** (up to 5,000, in scaled units), which similar rows are looked up in: "
        "treat the folder as you treat the data.",
    ]
    return "\n".join(lines) + "\n"
