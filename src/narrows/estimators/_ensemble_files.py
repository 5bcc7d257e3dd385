"""Ensembles on disk: every member as it would be saved alone, side by side in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import Tensor

from narrows._part import decode, encode
from narrows._saved import FORMAT_VERSION
from narrows._version import __version__
from narrows.errors import SavedModelError
from narrows.estimators._store import inside, taken, write


def save(ensemble: Any, folder: Path) -> Path:
    """Write a fitted ensemble. ``model.json`` comes last and by rename: until then an older one stays as it was."""
    from narrows.estimators._files import describe_model

    seed = ensemble.random_state
    content = {
        "format_version": FORMAT_VERSION,
        "narrows": __version__,
        "estimator": "Ensemble",
        # the unfitted model and the grid are recipes of the members, which are kept whole
        "params": {"n": encode(ensemble.n), "random_state": int(seed) if isinstance(seed, Integral) else None},
        "models": [describe_model(member) for member in ensemble.members_],
        "reasons": list(ensemble.reasons_),
    }
    tensors: dict[str, Tensor] = {}
    for i, member in enumerate(ensemble.members_):
        tensors |= inside(f"model{i}", member.module_.state_dict())
    return write(folder, tensors, content, _card)


def rebuild(content: Mapping[str, Any], state: dict[str, Tensor]) -> Any:
    """The ensemble that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If it does not describe one, or the weights do not fit.
    """
    from narrows.estimators._files import rebuild_model
    from narrows.estimators.ensemble import Ensemble

    if not content["models"]:
        raise SavedModelError("the ensemble has no members")
    made = Ensemble(**{name: decode(value) for name, value in content["params"].items()})
    members = [rebuild_model(model, taken(f"model{i}", state)) for i, model in enumerate(content["models"])]
    if any(member.format_.layout != members[0].format_.layout for member in members):
        raise SavedModelError("the members of the ensemble were fitted on different data")
    for member in members:
        member.format_ = members[0].format_
    return made._take(members, list(content["reasons"]))


def _card(content: Mapping[str, Any]) -> str:
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
