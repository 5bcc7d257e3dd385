"""Synthesizers on disk: the model, and what its cells mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows._part import Part
from narrows.data.margins import Margins
from narrows.errors import SavedModelError
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._store import inside, taken
from narrows.networks import Network
from narrows.tasks._cells import CellLine
from narrows.tasks._redraw import Redraw, RedrawModule
from narrows.tasks._sources import MarginSource, PlainSource, places_of


def content(synthesizer: Any) -> dict[str, Any]:
    """What ``model.json`` says of a synthesizer beside its model."""
    source = synthesizer._source
    if not isinstance(source, MarginSource):
        return {"margins": None, "drawn": {}, "shifts": {}, "redraw": None}
    return {
        "margins": source.margins.to_config(),
        "drawn": _lists(source.drawn),
        "shifts": _lists(source.shares),
        "redraw": None if source.redraw is None else _described(source.redraw),
    }


def tensors(synthesizer: Any) -> dict[str, Tensor]:
    """Those of the network of the sweeps, if it has one."""
    redraw = getattr(synthesizer._source, "redraw", None)
    return {} if redraw is None else inside("redraw", redraw.module.state_dict())


def rebuild(made: Any, content: Mapping[str, Any], state: Mapping[str, Tensor], models: list[BaseAutoencoder]) -> Any:
    """The synthesizer over its model.

    Raises:
        SavedModelError: If there is not one model.
    """
    if len(models) != 1:
        raise SavedModelError(f"a synthesizer has one model, not {len(models)}")
    made._check_params()
    model, seed = models[0], int(content["seed"])
    if content["margins"] is None:
        return made._take(model, PlainSource(model.module_, model.format_), seed)
    drawn, shifts = ({int(j): np.asarray(v, dtype=float) for j, v in content[n].items()} for n in ("drawn", "shifts"))
    places = places_of([str(c.name) for c in model.format_.columns])
    margins = Margins.from_config(content["margins"])
    source = MarginSource(model.module_, margins, places, drawn, shifts, int(made.steps))
    if content.get("redraw") is not None:  # folders of 0.1.0 have none
        source = replace(source, redraw=_restored(content["redraw"], taken("redraw", state), source))
    return made._take(model, source, seed)


def _lists(arrays: Mapping[int, Any]) -> dict[str, Any]:
    return {str(j): array.tolist() for j, array in arrays.items()}


def _described(redraw: Redraw) -> dict[str, Any]:
    return {
        **asdict(redraw.module.line),
        "network": redraw.module.recipe.to_config(),
        "order": list(redraw.order),
        "shifts": [_lists(shifts) for shifts in redraw.shifts],
    }


def _restored(content: Mapping[str, Any], state: Mapping[str, Tensor], source: MarginSource) -> Redraw:
    line = CellLine(*(tuple(content[name]) for name in ("states", "numbers", "edges")))
    network, order = Part.from_config(content["network"]), tuple(map(int, content["order"]))
    shifts = [{int(j): torch.tensor(v) for j, v in s.items()} for s in content["shifts"]]
    expected = source.line(0)
    if not isinstance(network, Network):
        raise SavedModelError(f"{network!r} is not a network")
    fits = (
        expected is not None
        and (line.states, line.numbers) == (expected.states, expected.numbers)
        and sorted(order) == list(range(len(line.widths)))
        and all([len(s[j]) for j in range(len(order))] == list(line.widths) for s in shifts)
    )
    if not fits:
        raise SavedModelError("what draws cells again does not fit the table that it was learnt from")
    with torch.random.fork_rng(devices=[]):
        module = RedrawModule(line, network)
    module.load_state_dict(state)
    return Redraw(module.eval(), order, tuple(shifts))


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
