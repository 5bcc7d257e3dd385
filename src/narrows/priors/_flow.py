"""A normalizing flow as a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from narrows._normal import UnitNormal
from narrows._part import Interval
from narrows.priors._base import LearnedModule, Prior

Widths = tuple[Annotated[int, Interval(1)], ...]


class Flow(Prior):
    """A standard normal, bent by invertible maps that are learned with the model.

    p(z) = N(f(z); 0, I) |det ∂f/∂z|, where f is a chain of maps whose every output depends on its own input
    monotonically and on other inputs through a network. Before training f is the identity, or nearly.

    Args:
        transforms: How many maps.
        widths: Hidden widths of every map's network.
        kind: ``"spline"``, rational-quadratic within ±5 and the identity outside, or ``"affine"``.
        coupling: Whether a map leaves half of the units as they are and bends the others by them, which is as quick
            to sample as to judge; otherwise each unit depends on all before it, and sampling takes a pass per unit.

    References:
        Neural Spline Flows. C. Durkan et al., 2019. https://arxiv.org/abs/1906.04032.
        Variational Lossy Autoencoder (a flow as the prior). X. Chen et al., 2017. https://arxiv.org/abs/1611.02731

    Example:
        ```python
        prior = Flow(transforms=4, widths=(32, 32), coupling=True).build(size=4)
        prior().sample(3).shape  # (3, 4)
        ```
    """

    transforms: Annotated[int, Interval(1)] = 3
    widths: Widths = (64, 64)
    kind: Literal["spline", "affine"] = "spline"
    coupling: bool = False

    learns: ClassVar[bool] = True

    def build(self, size: int, inputs: tuple[int, ...] = (), classes: int = 0) -> FlowModule:
        """The module that holds the maps."""
        import zuko

        make: Any = {"spline": zuko.flows.NSF, "affine": zuko.flows.MAF}[self.kind]
        flow = make(
            size,
            transforms=int(self.transforms),
            hidden_features=tuple(self.widths),
            passes=2 if self.coupling else None,
        )
        return FlowModule(size, flow.transform)


class FlowModule(LearnedModule):
    """A flow prior, built.

    Attributes:
        map: From codes to the normal base.
    """

    def __init__(self, size: int, transform: nn.Module) -> None:
        super().__init__(size)
        self.map = transform
        for one in transform.modules():  # the last layer of every network says how to bend: nothing, to begin with
            if isinstance(one, nn.Sequential):
                for tensor in one[-1].parameters():
                    nn.init.normal_(tensor, std=1e-3)

    def standard(self, condition: Tensor | None = None) -> FlowDistribution:
        """The flow's distribution."""
        return FlowDistribution(self.map(), UnitNormal(self.centre))


@dataclass(frozen=True, eq=False)
class FlowDistribution:
    """A bent normal over codes.

    Attributes:
        map: Invertible, from codes to the base, with ``call_and_ladj`` and ``inv``.
        base: N(0, I).
    """

    map: Any
    base: UnitNormal

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of ``z`` ``(…, L)`` in nats: ``(…)``."""
        u, stretch = self.map.call_and_ladj(z)
        return self.base.log_prob(u) + stretch

    def sample(self, n: int) -> Tensor:
        """``(n, L)``: n draws."""
        return self.map.inv(self.base.sample(n))

    def sample_like(self, z: Tensor) -> Tensor:
        """Draws of the shape of ``z`` ``(…, L)``."""
        return self.map.inv(self.base.sample_like(z))

    def near(self, z: Tensor, size: float) -> Tensor:
        """Codes near ``z`` ``(n, L)``: a step of the base, which leaves draws from the flow such draws."""
        return self.map.inv(self.base.near(self.map(z), size))
