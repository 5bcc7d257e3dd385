"""Imputers on disk: weights as safetensors, everything else as JSON, nothing that can execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows._part import Part, decode, encode
from narrows._saved import FORMAT_VERSION
from narrows._version import __version__
from narrows.data import format_from_config
from narrows.errors import InvalidParameter, SavedModelError
from narrows.estimators._store import write
from narrows.networks import Network
from narrows.tasks._candidates import Candidates
from narrows.tasks._factors import Factors
from narrows.tasks._features import Features
from narrows.tasks._gaussian import Gaussian
from narrows.tasks._refine import RefinerModule
from narrows.tasks.impute import Filler, default_network


def save(imputer: Any, folder: Path) -> Path:
    """Write a fitted imputer. ``model.json`` comes last and by rename: until then an older one stays as it was.

    Raises:
        InvalidParameter: If it fills with a model of its own: that is saved by itself.
    """
    if imputer.model_ is not None:
        raise InvalidParameter(
            "this imputer fills with a model: save that (imputer.model_.save(folder)), and make the imputer again with "
            "Imputer.from_model(narrows.load(folder), X)"
        )
    params = imputer.get_params(deep=False)
    if not isinstance(params["random_state"], (Integral, type(None))):
        params["random_state"] = imputer.seed_
    content = {
        "format_version": FORMAT_VERSION,
        "narrows": __version__,
        "estimator": "Imputer",
        "params": {name: encode(value) for name, value in params.items()},
        "network": (imputer.network or default_network()).to_config(),
        "members": len(imputer.filler_.candidates.refiners),
        "held": imputer.filler_.held,
        "notes": list(imputer.filler_.notes),
        "seed": imputer.seed_,
        "format": imputer.format_.to_config(),
    }
    return write(folder, _tensors(imputer.filler_), content, _card)


def _tensors(filler: Filler) -> dict[str, Tensor]:
    candidates = filler.candidates
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
        result |= {f"refiner{i}.{name}": tensor for name, tensor in refiner.state_dict().items()}
    return result


def rebuild(content: Mapping[str, Any], state: dict[str, Tensor]) -> Any:
    """The imputer that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If tensors are missing or of another shape.
    """
    from narrows.estimators.imputer import Imputer

    imputer = Imputer(**{name: decode(value) for name, value in content["params"].items()})
    format_ = format_from_config(content["format"])
    features = Features(format_.layout)
    network = Part.from_config(content["network"])
    if not isinstance(network, Network):
        raise SavedModelError(f"{network!r} is not a network")
    refiners = []
    with torch.random.fork_rng(devices=[]):
        for i in range(int(content["members"])):
            refiner = RefinerModule(features, network)
            prefix = f"refiner{i}."
            refiner.load_state_dict({n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)})
            refiners.append(refiner.eval())
    d, columns, at = len(features.column), len(features.width), state["frequent"]
    kind = Gaussian if "line.covariance" in state else Factors
    gaussian = kind(**{field.name: state[f"line.{field.name}"] for field in fields(kind)})
    known = None
    if "known.values" in state:
        known = (state["known.values"], state["known.observed"], state["known.filled"])
    candidates = Candidates(features, state["marginal"], gaussian, at, tuple(refiners), known)
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
    imputer._take(None, format_, filler, int(content["seed"]))
    return imputer


def _card(content: Mapping[str, Any]) -> str:
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
