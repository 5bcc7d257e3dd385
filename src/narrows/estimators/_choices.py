"""What every model is made of: parts by name, the module they make, and how it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import nn

from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.errors import InvalidParameter, SavedModelError
from narrows.training import History, Player


@dataclass(frozen=True)
class Plan:
    """How a module is trained.

    Attributes:
        root: Everything that is trained or changes in training, as one module.
        players: Who trains what.
        watch: Further columns of the history, of some rows that were held out (or else learnt from).
        after_step: Called after every step.
        judged: Whether the loss on held-out rows says how good the model is, so that the best weights are kept and
            training stops when it no longer falls. Else held-out rows are only watched.
    """

    root: nn.Module
    players: Sequence[Player]
    watch: Callable[[Rows], dict[str, float]] | None = None
    after_step: Callable[[], None] | None = None
    judged: bool = True


class ModelChoices(ABC):
    """The parts of a model; None where the data should decide. Subclasses are frozen dataclasses with such fields.

    Attributes:
        likelihood: What the format should suit; None: the data decides.
        format: How raw data becomes rows.
        reasons: Why what was left open was chosen so.
    """

    likelihood: Any
    format: Any
    reasons: Any

    #: The fields that are parts of the module, in the order in which they are shown.
    PARTS: ClassVar[tuple[str, ...]] = ()
    #: Those of them that no model can do without.
    NEEDED: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """A format is any part to the type checker, but not to the data."""
        if self.format is not None and self.format.room != "formats":
            raise InvalidParameter(
                f"format={self.format!r} is not a format: give narrows.data.Table(), Image() or Series()"
            )

    def parts(self) -> dict[str, Part]:
        """The parts that are there, by name."""
        return {name: part for name in self.PARTS if isinstance(part := getattr(self, name), Part)}

    @abstractmethod
    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons.

        Args:
            format_: The fitted format.
            layout: What a row looks like: the format's layout, and how many classes rows have.
            rows: Some rows to learn from.

        Raises:
            InvalidParameter: If parts do not go together, or with such rows.
        """

    @abstractmethod
    def build(self, layout: Layout) -> Any:
        """The module that these parts make, freshly initialised from torch's global generator.

        It has what `narrows.models.GeneratorModule` has: ``layout``, ``code_size``, ``conditional``,
        ``prior(condition)`` and ``generate(z, condition)``.
        """

    @abstractmethod
    def plan(self, module: Any, layout: Layout) -> Plan:
        """How such a module is trained."""

    def describe(self, history: History, module: Any) -> None:
        """Tell a history what it is of, so that it can be read."""
        history.code_size = None

    def code_size_of(self, module: Any) -> int:
        """Numbers per code, for the model's file and card."""
        return int(module.code_size)

    def restored(self, parts: Mapping[str, Any], content: Mapping[str, Any]) -> Self:
        """These choices, as the saved parameters mean them, with the parts of the saved model.

        Args:
            parts: What ``parts`` gave.
            content: Everything that ``model.json`` says.

        Raises:
            SavedModelError: If a part is missing or does not fit.
        """
        missing = sorted(set(self.NEEDED) - parts.keys())
        if missing:
            raise SavedModelError(f"the model lacks its {', '.join(missing)}")
        sizes = {"code_size": int(content["code_size"])} if hasattr(self, "code_size") else {}
        made: Any = self
        return replace(made, **parts, **sizes)
