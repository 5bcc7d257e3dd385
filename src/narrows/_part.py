"""Parts: immutable specifications that are printed, compared, saved, cloned and changed by name.

A part's constructor stores its arguments and does nothing else. From that follow, written once here: parameters
with nested names, a repr that can be typed back, equality, a plain-JSON form looked up in a registry, a form for the
command line, and constraints that are declared as data and checked when fitting starts.

```python
class Fade(Corruption):
    "Take a fraction of every number away."

    fraction: Annotated[float, Interval(0, 1)] = 0.2
```
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import numbers
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, Union, dataclass_transform

from narrows.errors import InvalidParameter

REGISTRY: dict[str, type[Part]] = {}


@dataclasses.dataclass(frozen=True)
class Interval:
    """A constraint: a number from ``low`` to ``high``, ends included unless said otherwise."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __call__(self, value: Any) -> bool:
        """Whether ``value`` lies in the interval; what is not a number is another constraint's business."""
        if isinstance(value, (tuple, list)):
            return all(self(v) for v in value)
        if not isinstance(value, numbers.Real):
            return True
        number = typing.cast(float, value)
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return bool(above and below)

    def __str__(self) -> str:
        """The interval in words."""
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}"
        if self.low == -math.inf:
            return f"{'below' if self.open_high else 'at most'} {self.high:g}"
        ends = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        return f"in {ends}"


Positive = Interval(0, open_low=True)
NotNegative = Interval(0)
Fraction = Interval(0, 1)


@dataclass_transform(frozen_default=True)
class Part:
    """Base of all parts: a frozen dataclass that knows its room.

    Subclasses declare fields with defaults, as a dataclass does. ``abstract=True`` marks a base class; every other
    subclass is registered under ``room.Name``.
    """

    room: ClassVar[str] = ""

    def __init_subclass__(cls, *, room: str | None = None, abstract: bool = False, **kwargs: Any) -> None:
        """Make the subclass a frozen dataclass and register it."""
        super().__init_subclass__(**kwargs)
        if room is not None:
            cls.room = room
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        if abstract or cls.__name__.startswith("_"):
            return
        key = cls.key()
        other = REGISTRY.get(key)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InvalidParameter(f"two parts are named {key}: {other.__module__} and {cls.__module__}; rename one")
        REGISTRY[key] = cls

    @classmethod
    def key(cls) -> str:
        """The name under which the part is registered: ``room.Name``."""
        return f"{cls.room}.{cls.__name__}"

    # --- parameters ------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep``, those of nested parts too, as ``outer__inner``."""
        params = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return nested_params(params) if deep else params

    def set_params(self, **params: Any) -> Self:
        """A copy with some parameters changed (a part itself never changes).

        Raises:
            InvalidParameter: If a name is not a parameter of this part.
        """
        own = self.get_params(deep=False)
        return type(self)(**replace_params(own, params, of=repr(self)))

    def __sklearn_clone__(self) -> Self:
        """Parts are immutable, so a clone is the part itself."""
        return self

    def __repr__(self) -> str:
        """The call that makes this part, with what differs from the defaults."""
        defaults = {n: p.default for n, p in inspect.signature(type(self)).parameters.items()}
        own = self.get_params(deep=False).items()
        shown = (f"{n}={_typed(v)}" for n, v in own if not _same(v, defaults.get(n, _MISSING)))
        return f"{self.key()}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """Parts are equal when they are of one class and have equal parameters."""
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.get_params(deep=False), other.get_params(deep=False)
        return mine.keys() == theirs.keys() and all(_same(mine[k], theirs[k]) for k in mine)

    def __hash__(self) -> int:
        """Hash of class and parameters, so that parts can be dictionary keys."""
        return hash((type(self), repr(self)))

    # --- plain JSON ------------------------------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        """The part as plain JSON: ``{"part": "room.Name", "params": {…}}``."""
        return {"part": self.key(), "params": {n: encode(v) for n, v in self.get_params(deep=False).items()}}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Part:
        """The part that ``to_config`` described.

        Raises:
            InvalidParameter: If the part is not registered or its parameters do not fit. Nothing is ever imported
                by name: a saved file can only name parts that are already known.
        """
        key, params = config.get("part"), config.get("params", {})
        if not isinstance(key, str) or key not in REGISTRY:
            raise InvalidParameter(f"unknown part {key!r}; known parts: {', '.join(sorted(REGISTRY))}")
        if not isinstance(params, Mapping):
            raise InvalidParameter(f"the parameters of {key} must be an object, not {params!r}")
        try:
            part = REGISTRY[key](**{n: decode(v) for n, v in params.items()})
        except TypeError as error:
            raise InvalidParameter(f"{key} cannot be made from {dict(params)!r}: {error}") from error
        part.check()
        return part

    # --- command line ----------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: str) -> Self:
        """The part that a command-line word means: ``name`` or ``name:parameter=value,…``.

        The name is the class's, in any case and with or without hyphens; it is looked for in the room of ``cls``.

        ```python
        Corruption.parse("salt-and-pepper:fraction=0.2")
        ```

        Raises:
            InvalidParameter: If no part of this room has that name, or a parameter does not fit.
        """
        name, _, rest = text.partition(":")
        room = {_word(k.split(".", 1)[1]): c for k, c in REGISTRY.items() if c.room == cls.room and issubclass(c, cls)}
        found = room.get(_word(name))
        if found is None:
            known = ", ".join(sorted(_kebab(c.__name__) for c in room.values()))
            raise InvalidParameter(f"{name!r} is not among the {cls.room}: choose one of {known}")
        params = {}
        for item in filter(None, (s.strip() for s in re.split(r",(?![^(\[]*[)\]])", rest))):
            key, equals, value = item.partition("=")
            if not equals:
                raise InvalidParameter(f"{item!r} in {text!r} is not a parameter: write {_kebab(name)}:parameter=value")
            params[key.strip().replace("-", "_")] = literal(value.strip())
        try:
            part = found(**params)
        except TypeError:
            names = ", ".join(inspect.signature(found).parameters) or "none"
            raise InvalidParameter(f"{text!r}: the parameters of {_kebab(name)} are {names}") from None
        part.check()
        return part

    # --- constraints -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check every parameter against its annotation and constraints, nested parts included.

        Raises:
            InvalidParameter: Naming the parameter, its value and what it must be.
        """
        hints = typing.get_type_hints(type(self), include_extras=True)
        for name, value in self.get_params(deep=False).items():
            if name in hints:
                check_value(self.key(), name, value, hints[name])
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(inner, Part):
                    inner.check()


_MISSING = object()


def check_value(owner: str, name: str, value: Any, hint: Any) -> None:
    """Raise `InvalidParameter` unless ``value`` fits the annotation ``hint`` and the constraints it carries."""
    if not _fits(value, hint):
        raise InvalidParameter(f"{owner}: {name}={value!r} cannot be used: it must be {_describe(hint)}")


def check_fields(value: Any) -> None:
    """Raise `InvalidParameter` unless every field of a dataclass that was read from a file fits its annotation."""
    for name, hint in typing.get_type_hints(type(value), include_extras=True).items():
        check_value(type(value).__name__, name, getattr(value, name), hint)


def nested_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` with those of the parts among them added as ``outer__inner``."""
    deep = dict(params)
    for name, value in params.items():
        if isinstance(value, Part):
            deep.update({f"{name}__{inner}": v for inner, v in value.get_params(deep=True).items()})
    return deep


def replace_params(own: Mapping[str, Any], changes: Mapping[str, Any], of: str) -> dict[str, Any]:
    """``own`` parameters with ``changes`` applied; names like ``outer__inner`` change a nested part.

    Raises:
        InvalidParameter: If a name is unknown, or a nested name meets something that is not a part.
    """
    result = dict(own)
    inner: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        outer, separator, rest = name.partition("__")
        if outer not in result:
            raise InvalidParameter(f"Invalid parameter {outer!r} for {of}. Valid parameters are: {sorted(own)}.")
        if separator:
            inner.setdefault(outer, {})[rest] = value
        else:
            result[outer] = value
    for outer, params in inner.items():
        part = result[outer]
        if not isinstance(part, Part):
            raise InvalidParameter(f"{outer}__{next(iter(params))}: {outer} is {part!r}, which has no parameters")
        result[outer] = part.set_params(**params)
    return result


def encode(value: Any) -> Any:
    """A parameter as plain JSON."""
    if isinstance(value, Part):
        return value.to_config()
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        # JSON has no infinity; parts use it for "no limit"
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    raise InvalidParameter(f"{value!r} cannot be saved: parameters are numbers, text, tuples and parts")


def decode(value: Any) -> Any:
    """The parameter that ``encode`` made plain. Lists come back as tuples."""
    if isinstance(value, list):
        return tuple(decode(v) for v in value)
    if isinstance(value, Mapping):
        if "part" in value:
            return Part.from_config(value)
        if set(value) == {"float"}:
            return float(value["float"])
        return {k: decode(v) for k, v in value.items()}
    return value


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):  # (1,) == (1.0,) to Python, but they are written differently
        return len(a) == len(b) and all(map(_same, a, b))
    try:
        return bool(a == b)
    except (ValueError, TypeError):  # arrays compare elementwise
        return False


def _typed(value: Any) -> str:
    """``repr``, but infinity can be typed back too."""
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _kebab(text: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower()


def literal(text: str) -> Any:
    """The value that a command-line word means: ``true``, ``none``, a Python literal, or else the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *constraints = typing.get_args(hint)
        return _fits(value, base) and all(c(value) for c in constraints if callable(c))
    if hint is Any or origin is ClassVar:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, h) for h in typing.get_args(hint))
    if origin is Literal:
        return value in typing.get_args(hint) and not isinstance(value, bool)
    if origin is tuple:
        args = typing.get_args(hint)
        if not isinstance(value, (tuple, list)):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(_fits(v, args[0]) for v in value)
        return len(value) == len(args) and all(map(_fits, value, args))
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    plain = origin or hint
    return not isinstance(plain, type) or isinstance(value, plain)


def _describe(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *constraints = typing.get_args(hint)
        return " ".join([_describe(base), *(str(c) for c in constraints)])
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(h) for h in typing.get_args(hint))
    if origin is Literal:
        return " or ".join(repr(v) for v in typing.get_args(hint))
    if origin is tuple:
        return f"a tuple of {_describe(typing.get_args(hint)[0])}"
    if hint is None or hint is type(None):
        return "None"
    names = {float: "a number", int: "a whole number", str: "text", bool: "True or False"}
    if hint in names:
        return names[hint]
    return f"one of the {hint.room}" if isinstance(hint, type) and issubclass(hint, Part) and hint.room else str(hint)
