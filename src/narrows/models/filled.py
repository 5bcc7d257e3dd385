"""Autoencoders of a short code in the shape of those of a longer one, so that they train side by side."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from narrows.bottlenecks import Bottleneck, FilledModule
from narrows.models.autoencoder import AutoencoderModule


class Filling:
    """How the weights of an autoencoder of a short code lie in those of one of a longer code.

    Only the encoder's last layer and the decoder's first know the code's size. The longer ones hold the shorter ones'
    weights and zeros, and what is filled up is masked (`FilledModule`): it neither changes a result nor ever moves.

    Args:
        short: The short one.
        long: The longer one, of the same parts.
        part: The short one's bottleneck.

    Raises:
        ValueError: If the short one does not lie in the longer one, since more than those two layers differ.
    """

    def __init__(self, short: AutoencoderModule, long: AutoencoderModule, part: Bottleneck) -> None:
        self.short, self.long = short, long
        same = short.code_size == long.code_size
        phi = torch.arange(short.bottleneck_width) if same else part.inside(long.code_size)
        if phi is None or short.code_size > long.code_size:
            raise ValueError(f"{part!r} does not lie in one of {long.code_size} numbers")
        self.phi, self.units = phi, torch.arange(short.code_size)
        self.places: dict[str, tuple[int, Tensor] | None] = {}
        theirs = long.state_dict()
        for name, tensor in short.state_dict().items():
            room, _, _ = name.partition(".")
            # a prior that is fitted afterwards is fitted to the short code itself
            if room == "prior" and short.fitted_prior:
                continue
            self.places[name] = self._place(room, name, tensor, theirs.get(name))
        for room in ("encoder", "decoder"):
            grown = [n for n, p in short.named_parameters() if n.startswith(room) and p.ndim > 1 and self.places[n]]
            if len(grown) > 1:
                raise ValueError(f"more than one layer of the {room} knows the code's size: {', '.join(grown)}")

    def _place(self, room: str, name: str, tensor: Tensor, other: Tensor | None) -> tuple[int, Tensor] | None:
        """The axis along which a tensor is shorter, and where its entries lie; None where it has the same shape."""
        if other is not None and other.shape == tensor.shape:
            return None
        axis, places = (0, self.phi) if room == "encoder" else (1, self.units)
        if other is not None and room in ("encoder", "decoder") and tensor.ndim == other.ndim > axis:
            grown = list(tensor.shape)
            if grown[axis] == len(places):
                grown[axis] = other.shape[axis]
            if grown == list(other.shape):
                return axis, places
        raise ValueError(f"{name} differs")

    def fill(self) -> AutoencoderModule:
        """The short one in the shape of the longer one."""
        made = copy.deepcopy(self.long)
        state = made.state_dict()
        with torch.no_grad():
            for name, tensor in self.short.state_dict().items():
                if name not in self.places:
                    continue
                place = self.places[name]
                if place is None:
                    state[name].copy_(tensor)
                else:
                    state[name].zero_().index_copy_(place[0], place[1].to(tensor.device), tensor)
        width = self.long.bottleneck_width
        made.bottleneck = FilledModule(made.bottleneck, _ones(self.phi, width), _ones(self.units, made.code_size))
        return made

    def take(self, state: dict[str, Tensor]) -> None:
        """Give the short one the weights that the filled one has come to have."""
        own = self.short.state_dict()
        with torch.no_grad():
            for name, place in self.places.items():
                tensor = state[name]
                if place is not None:
                    tensor = tensor.index_select(place[0], place[1].to(tensor.device))
                own[name].copy_(tensor)


def _ones(places: Tensor, size: int) -> Tensor:
    return torch.zeros(size).index_fill(0, places, 1.0)
