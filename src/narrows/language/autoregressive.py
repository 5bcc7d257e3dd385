"""A trained autoregressive module as a model of the next token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Read:
    """What was read so far.

    Attributes:
        tokens: ``(B, T)`` the tokens since the beginning, or since the module began anew.
        state: What the module keeps of them.
    """

    tokens: Tensor
    state: Any


class AutoregressiveTokens:
    """The `NextToken` of an `AutoregressiveModule` over one category column.

    Args:
        module: The module, in evaluation mode.
        reach: How many tokens it can look back on; when they are reached it begins anew with the last half of them.
            None: no limit.
        banned: Tokens that are never to be written.
        cached: Whether what was read is kept. If not, all is read again for every token: the slow way, to compare with.
    """

    def __init__(self, module: Any, reach: int | None, banned: Sequence[int] = (), cached: bool = True) -> None:
        self.module, self.reach, self.banned, self.cached = module, reach, list(banned), cached

    def begin(self, tokens: Tensor) -> tuple[Tensor, Read]:
        """Read the beginnings ``(B, T)``; the logits ``(B, V)`` of what comes next."""
        if self.reach is not None and tokens.shape[1] >= self.reach:
            tokens = tokens[:, -max(1, self.reach // 2) :]
        following, state = self.module.begin(tokens.unsqueeze(-1).float())
        return self._logits(following), Read(tokens, state)

    def advance(self, tokens: Tensor, state: Read) -> tuple[Tensor, Read]:
        """Read one more token of each row ``(B,)``; the logits ``(B, V)`` of what comes next."""
        read = torch.cat([state.tokens, tokens.unsqueeze(1)], dim=1)
        if not self.cached or (self.reach is not None and read.shape[1] >= self.reach):
            return self.begin(read)
        following, left = self.module.advance(tokens[:, None, None].float(), state.state)
        return self._logits(following), Read(read, left)

    def reorder(self, state: Read, index: Tensor) -> Read:
        """The state of some rows."""
        return Read(state.tokens[index], tuple(t[index] for t in state.state))

    def _logits(self, following: Any) -> Tensor:
        logits: Tensor = following.logits
        if not self.banned:
            return logits
        return logits.index_fill(-1, torch.tensor(self.banned, device=logits.device), -torch.inf)
