"""Tell the documentation what a part's constructor takes.

Parts become dataclasses when they are defined, without a decorator that a reader of the source could see, so the
documentation would call every parameter required and know no type.
"""

from __future__ import annotations

from typing import Any

import griffe

BASE = "narrows._part.Part"


def fields(cls: griffe.Class) -> dict[str, griffe.Attribute]:
    """The fields of a part, in the order of its constructor: those of its bases first."""
    found: dict[str, griffe.Attribute] = {}
    for owner in (*reversed(cls.mro()), cls):
        for name, member in owner.members.items():
            # griffe takes ClassVar off the annotation, and says so in the labels
            if member.is_attribute and member.annotation and "instance-attribute" in member.labels:
                found[name] = member
    return found


class Parts(griffe.Extension):
    """Gives every part the ``__init__`` that it has at run time."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Look through the whole package once it is read."""
        self.visit(pkg)

    def visit(self, thing: griffe.Module | griffe.Class) -> None:
        """Look through a module or a class."""
        for member in list(thing.members.values()):
            if member.is_alias or not (member.is_module or member.is_class):
                continue
            self.visit(member)
            if member.is_class and "__init__" not in member.members and any(c.path == BASE for c in member.mro()):
                member.set_member("__init__", self.init(member))

    def init(self, cls: griffe.Class) -> griffe.Function:
        """The constructor."""
        parameters = [
            griffe.Parameter(
                name,
                annotation=attribute.annotation,
                kind=griffe.ParameterKind.positional_or_keyword,
                default=attribute.value,
            )
            for name, attribute in fields(cls).items()
        ]
        own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        return griffe.Function("__init__", parameters=griffe.Parameters(own, *parameters), parent=cls)
