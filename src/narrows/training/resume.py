"""How a loop stands, as tensors and plain JSON, and how another goes on from there bit by bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from narrows.training.checkpoint import flatten, load_optimiser, pick
from narrows.training.history import History

if TYPE_CHECKING:
    from narrows.training.loop import Loop

PLAIN = ("step", "total", "scale", "rollbacks", "planned", "best_value", "elapsed", "names", "count", "precision")


def standing(loop: Loop) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    """How a loop stands at its last good state: the tensors, whole in the first process alone, and the rest."""
    module, *optimisers = loop.good.states
    tensors = flatten("module", module)
    for number, moments in enumerate(optimisers):
        tensors |= flatten(f"optimiser{number}", moments)
    tensors |= flatten("best", loop.best or {})
    tensors["random"] = torch.get_rng_state()
    if loop.device.type == "cuda":
        tensors["random_cuda"] = torch.cuda.get_rng_state(loop.device)
    if loop.sums is not None:
        tensors["sums"] = loop.sums
    state: dict[str, Any] = {name: getattr(loop, name) for name in PLAIN + loop.kept}
    state["threads"] = torch.get_num_threads()
    state["best_value"] = None if math.isinf(loop.best_value) else loop.best_value
    return loop.ranks.gather(tensors), {**state, "history": loop.history.to_config()}


def resume(loop: Loop, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Let a loop that has its players and optimisers stand as another one stood."""
    for name in PLAIN + loop.kept:
        setattr(loop, name, state[name])
    torch.set_num_threads(state["threads"])  # sums over other numbers of threads round differently
    loop.best_value = math.inf if state["best_value"] is None else state["best_value"]
    loop.history.__dict__.update(History.from_config(state["history"]).__dict__)
    live = loop.module.state_dict()
    module, best = ({n: t.to(loop.device) for n, t in pick(name, tensors).items()} for name in ("module", "best"))
    loop.module.load_state_dict(loop.ranks.deal(module, live))
    for number, (player, optimiser) in enumerate(zip(loop.players, loop.optimisers, strict=True)):
        moments = pick(f"optimiser{number}", tensors)
        like = {name: player.parameters[int(name.split(".")[0])] for name in moments}
        load_optimiser(optimiser, loop.ranks.deal(moments, like))
    loop.best = dict(loop.ranks.deal(best, live)) if best else None
    loop.sums = tensors["sums"].to(loop.device) if "sums" in tensors else None
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and loop.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random_cuda"], loop.device)
