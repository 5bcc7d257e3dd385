"""Ensembles on disk: every member as it would be saved alone, side by side in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from narrows.errors import SavedModelError
from narrows.estimators._codes import BaseAutoencoder


def content(ensemble: Any) -> dict[str, Any]:
    """What ``model.json`` says of an ensemble beside its members: nothing."""
    return {}


def tensors(ensemble: Any) -> dict[str, Tensor]:
    """None but those of its members."""
    return {}


def rebuild(made: Any, content: Mapping[str, Any], state: Mapping[str, Tensor], models: list[BaseAutoencoder]) -> Any:
    """The ensemble of its members.

    Raises:
        SavedModelError: If there are none, or they do not go together.
    """
    if not models:
        raise SavedModelError("the ensemble has no members")
    if any(model.format_.layout != models[0].format_.layout for model in models):
        raise SavedModelError("the members of the ensemble were fitted on different data")
    for model in models:
        model.format_ = models[0].format_
    return made._take(models, list(content["reasons"]), int(content["seed"]))


def card(content: Mapping[str, Any]) -> str:
    """The model card."""
    models = content["models"]
    kinds = sorted({f"{model['estimator']} with {model['code_size']} numbers per code" for model in models})
    lines = [
        "# Ensemble",
        "",
        f"Made by narrows {content['narrows']}. Load it with `narrows.load(folder)`; its members are fitted models.",
        "",
        f"- {len(models)} members: {', '.join(kinds)}",
        *(f"- {reason}" for reason in content["reasons"]),
        "",
        "## Limits",
        "",
        "All members learnt from the same rows and share their gaps and their bias: that they agree "
        "about a row does not make them right.",
    ]
    return "\n".join(lines) + "\n"
