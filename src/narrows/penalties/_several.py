"""Several penalties as one part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from narrows._part import Part, nested_params
from narrows._types import Pass
from narrows.errors import InvalidParameter
from narrows.penalties._base import BottleneckLike, Penalty

_RESERVED = ("reconstruction", "divergence", "bottleneck", "total", "loss")


class Penalties(Part, Mapping[str, Penalty], room="penalties"):
    """Several penalties under names of your choice, as one part.

    The names are those of the terms in the history, and parameters are reached through them:
    ``penalties__sparsity__weight``. A name given None stands for no penalty. As a mapping it holds the penalties
    that are there.

    Args:
        **named: The penalties by name.

    Example:
        ```python
        penalties = Penalties(kl=KL(), sparsity=Sparsity(target=0.1))
        penalties.set_params(sparsity__weight=3)
        ```
    """

    if TYPE_CHECKING:  # an annotation at run time would make it a field of the dataclass
        _named: dict[str, Penalty | None]

    def __init__(self, /, **named: Penalty | None) -> None:
        object.__setattr__(self, "_named", named)

    def __call__(self, p: Pass) -> dict[str, Tensor]:
        """Every penalty's value by name: ``(B,)`` per row or ``()`` per batch."""
        return {name: penalty(p) for name, penalty in self.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The penalties by name; with ``deep``, their parameters too, as ``name__parameter``."""
        return nested_params(self._named) if deep else dict(self._named)

    def check(self) -> None:
        """Check names, that all are penalties, and the parameters of each.

        Raises:
            InvalidParameter: Naming what is wrong.
        """
        for name, penalty in self._named.items():
            if "__" in name or not name.isidentifier() or name in _RESERVED:
                raise InvalidParameter(
                    f"{name!r} cannot name a penalty: take a word without a double underscore that is none of "
                    f"{', '.join(_RESERVED)}"
                )
            if penalty is not None and not isinstance(penalty, Penalty):
                raise InvalidParameter(
                    f"penalties.Penalties: {name}={penalty!r} is not a penalty: give one, "
                    f"as in {name}=penalties.L2(), or None"
                )
        for penalty in self.values():
            penalty.check()

    def check_model(self, bottleneck: BottleneckLike) -> None:
        """Raise `InvalidParameter` unless every penalty can work with this bottleneck."""
        for penalty in self.values():
            penalty.check_model(bottleneck)

    def __getitem__(self, name: str) -> Penalty:
        """The penalty of that name."""
        penalty = self._named[name]
        if penalty is None:
            raise KeyError(name)
        return penalty

    def __iter__(self) -> Iterator[str]:
        """The names of penalties that are there."""
        return (name for name, penalty in self._named.items() if penalty is not None)

    def __len__(self) -> int:
        """How many penalties there are."""
        return sum(penalty is not None for penalty in self._named.values())

    def __bool__(self) -> bool:
        """True, as of any part, even when empty: ``penalties or default`` must not drop a choice of none."""
        return True


def as_penalties(value: Penalties | Penalty | Mapping[str, Penalty | None] | None) -> Penalties:
    """Penalties from any way to name them: a single one goes by its class's name in lower case.

    Raises:
        InvalidParameter: If ``value`` is none of these.
    """
    if isinstance(value, Penalties):
        return value
    if value is None:
        return Penalties()
    if isinstance(value, Penalty):
        return Penalties(**{type(value).__name__.lower(): value})
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return Penalties(**value)
    raise InvalidParameter(
        f"{value!r} is not a penalty: give penalties.Penalties(name=penalty, …), one penalty, or None"
    )
