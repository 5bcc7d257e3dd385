"""Series made in two stages: what each stretch is about, then its steps."""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor, nn

from narrows._part import Interval
from narrows.networks.base import CausalModule, Network
from narrows.networks.dense import linear
from narrows.networks.recurrent import Recurrent, check_series


class Hierarchical(Network):
    r"""A decoder over a decoder: the code becomes a plan of every segment, and each plan that segment's steps.

    $c_1, \dots, c_K = D_1(z)$ and $x_{(k)} = D_2(N(c_k + W z))$, $N$ a layer normalisation. So steps within a segment
    are held together by what their plan says, and the path from the code to a late step is short: K stages and the
    steps of one segment, not of all.
    Encoders, maps and causal modules are those of ``conductor``.

    Args:
        segment: Steps of a segment: a bar of music, a day of hours. The last may be shorter.
        conductor: Makes plans (and everything that reads); None: `Recurrent()`.
        player: Makes the steps of a segment from its plan; None: the conductor's kind.
        plan: Numbers per plan.

    Reference:
        A Hierarchical Latent Vector Model for Learning Long-Term Structure in Music, Roberts, Engel, Raffel, Hawthorne,
        Eck, 2018, https://arxiv.org/abs/1803.05428. There steps are also given those before them, which is left out
        here: a code alone decides, so that decoding is a function of it.

    Example:
        ```python
        decoder = Hierarchical(segment=16).decoder(8, (32, 40))
        decoder(torch.rand(5, 8)).shape  # (5, 32, 40)
        ```
    """

    takes_lengths: ClassVar[bool] = True

    segment: Annotated[int, Interval(1)] = 16
    conductor: Network | None = None
    player: Network | None = None
    plan: Annotated[int, Interval(1)] = 128

    def encoder(self, shape: tuple[int, ...], width: int) -> nn.Module:
        """The conductor's: ``(…, steps, features) -> (…, width)``; lengths ``(…)`` may follow."""
        return self._conductor.encoder(shape, width)

    def decoder(self, size: int, shape: tuple[int, ...]) -> nn.Module:
        """One code to plans, and plans to steps: ``(…, size) -> (…, steps, features)``.

        Raises:
            InvalidParameter: If ``shape`` is not that of a series.
        """
        check_series(self, shape)
        segments = -(-shape[0] // self.segment)
        plans = self._conductor.decoder(size, (segments, self.plan))
        player = (self.player or self._conductor).decoder(self.plan, (self.segment, shape[1]))
        return HierarchicalDecoderModule(plans, linear(size, self.plan, "linear"), player, shape[0])

    def map(self, shape: tuple[int, ...], shape_out: tuple[int, ...]) -> nn.Module:
        """The conductor's: ``(…, steps, features) -> (…, steps, features')``."""
        return self._conductor.map(shape, shape_out)

    def causal(self, features: int, width: int) -> CausalModule:
        """The conductor's: ``(B, T, features), state -> (B, T, width), state``."""
        return self._conductor.causal(features, width)

    @property
    def _conductor(self) -> Network:
        return self.conductor or Recurrent()


class HierarchicalDecoderModule(nn.Module):
    """Plans, then steps: ``(…, size) -> (…, steps, features)``."""

    def __init__(self, plans: nn.Module, direct: nn.Linear, player: nn.Module, steps: int) -> None:
        super().__init__()
        self.plans, self.direct, self.player, self.steps = plans, direct, player, steps
        self.norm = nn.LayerNorm(direct.out_features)

    def forward(self, z: Tensor) -> Tensor:
        """``(…, size) -> (…, steps, features)``."""
        # what a decoder says begins small, and so do codes: a player would not hear them
        segments: Tensor = self.player(self.norm(self.plans(z) + self.direct(z).unsqueeze(-2)))
        return segments.flatten(-3, -2)[..., : self.steps, :]
