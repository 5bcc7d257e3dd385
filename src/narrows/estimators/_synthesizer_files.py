"""Synthesizers on disk: the model, and what its cells mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from narrows.data.margins import Margins
from narrows.errors import SavedModelError
from narrows.estimators._codes import BaseAutoencoder


def content(synthesizer: Any) -> dict[str, Any]:
    """What ``model.json`` says of a synthesizer beside its model."""
    margins = synthesizer.margins_
    return {
        "margins": None if margins is None else margins.to_config(),
        "drawn": {str(j): knots.tolist() for j, knots in synthesizer._drawn.items()},
        "shifts": {str(j): shift.tolist() for j, shift in synthesizer._shifts.items()},
    }


def tensors(synthesizer: Any) -> dict[str, Tensor]:
    """None but those of its model."""
    return {}


def rebuild(made: Any, content: Mapping[str, Any], state: Mapping[str, Tensor], models: list[BaseAutoencoder]) -> Any:
    """The synthesizer over its model.

    Raises:
        SavedModelError: If there is not one model.
    """
    if len(models) != 1:
        raise SavedModelError(f"a synthesizer has one model, not {len(models)}")
    made._check_params()
    margins = None if content["margins"] is None else Margins.from_config(content["margins"])
    drawn, shifts = (
        {int(j): np.asarray(values, dtype=float) for j, values in content[name].items()} for name in ("drawn", "shifts")
    )
    return made._take(models[0], margins, drawn, shifts, int(content["seed"]))


def card(content: Mapping[str, Any]) -> str:
    """The model card."""
    lines = [
        "# Synthesizer",
        "",
        f"Made by narrows {content['narrows']}. Load it with `narrows.load(folder)`, or use it with "
        "`narrows generate FOLDER`.",
        "",
        *(f"- {reason}" for reason in content["reasons"]),
        *(f"- {sentence}" for sentence in content["metrics"].get("report", ())),
        "",
        "## Limits",
        "",
        "It knows the rows it was trained on and repeats their gaps and their bias. "
        "That no row was copied says that none is the same as a training row, not that nothing can be learnt of one.",
    ]
    return "\n".join(lines) + "\n"
