"""Denoisers: networks that say what a noisy, partly hidden row was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.networks import Network

CENTRE, SPREAD = -1.0, 1.2  # of the logarithm of the noise's standard deviation in training
QUIETEST, LOUDEST = -5.0, 3.0


class DenoiserModule(nn.Module):
    r"""What a row was, from a noisy version of it and which of its features are shown.

    With $\sigma$ the noise's standard deviation, $m$ which features are shown and $F$ the network, a feature that is
    shown is estimated as $D = z / (1 + \sigma^2) + \sigma / \sqrt{1 + \sigma^2} \, F$, a hidden one as $D = F$, where
    $F$ sees $m z / \sqrt{1 + \sigma^2}$, $1 - m$ and $\ln \sigma / 2$. For features of variance 1 this keeps
    all that goes in and comes out of the network near variance 1 at every $\sigma$.

    Args:
        size: Features of a row.
        network: Makes the map from ``2 size + 1`` numbers to ``size``.

    Reference:
        Elucidating the Design Space of Diffusion-Based Generative Models, Karras, Aittala, Aila, Laine, 2022,
        https://arxiv.org/abs/2206.00364
    """

    def __init__(self, size: int, network: Network) -> None:
        super().__init__()
        self.size = size
        self.network = network.map((2 * size + 1,), (size,))

    def forward(self, z: Tensor, shown: Tensor, log_sigma: Tensor) -> Tensor:
        """The estimate ``(…, size)``.

        Args:
            z: Noisy features ``(…, size)``; what is not shown is not looked at.
            shown: ``(…, size)`` true where a feature is shown.
            log_sigma: ``(…, 1)`` logarithm of the noise's standard deviation.
        """
        sigma = log_sigma.exp()
        total = (1 + sigma.square()).sqrt()
        inputs = torch.cat([torch.where(shown, z / total, 0), (~shown).to(z.dtype), log_sigma / 2], dim=-1)
        free = self.network(inputs)
        return torch.where(shown, z / total.square() + sigma / total * free, free)


class DenoiseStep(nn.Module):
    """The step that the loop trains: M denoisers on the same rows, each with its own noise and its own rows left out.

    Every row is given noise of a random standard deviation (log-normal), and of half of the rows a random share of the
    columns, up to half, is hidden. Errors count as they do in units of what is left to know.

    Args:
        members: M denoisers as one: ``(z, shown, log_sigma)``, each with M first.
        size: M.
        column: ``(D,)`` the column of every feature; a column is hidden as a whole.
        folds: Member m never sees the rows whose ``group`` is m modulo ``folds``. 0: every member sees all rows.
    """

    column: Tensor
    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, members: nn.Module, size: int, column: Tensor, folds: int = 0) -> None:
        super().__init__()
        self.members, self.size, self.folds = members, size, folds
        self.columns = int(column.max()) + 1
        self.register_buffer("column", column, persistent=False)

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The mean loss of a row, ``values`` being clean features ``(B, D)`` and ``observed`` those that are known."""
        x = batch["values"].expand(self.size, -1, -1)
        known = batch.get("observed", torch.ones_like(batch["values"], dtype=torch.bool)).expand_as(x)
        log_sigma = (CENTRE + SPREAD * torch.randn_like(x[..., :1])).clamp(QUIETEST, LOUDEST)
        sigma = log_sigma.exp()
        shown = known & ~self._hidden(x)
        estimate = self.members(x + sigma * torch.randn_like(x), shown, log_sigma)
        weight = torch.where(shown, (1 + sigma.square()) / sigma.square(), 1) * known
        terms = 0.5 * (weight * (estimate - x).square()).sum(-1)
        if not self.folds:
            return {"loss": terms.mean()}
        own = torch.arange(self.size, device=x.device).unsqueeze(1) % self.folds
        sees = (batch["group"] != own).to(terms.dtype)
        return {"loss": (terms * sees).sum() / sees.sum().clamp_min(1)}

    def _hidden(self, x: Tensor) -> Tensor:
        share = 0.5 * torch.rand_like(x[..., :1]) * (torch.rand_like(x[..., :1]) < 0.5)
        chance = torch.rand(*x.shape[:-1], self.columns, device=x.device, dtype=x.dtype)
        return (chance < share)[..., self.column]
