"""Conditions on rows: a small language like SQL's WHERE, parsed into a tree and evaluated on Arrow columns.

Nothing of a condition is ever pasted into a query or executed: what is not in the grammar below is an error.

    condition := and ("OR" and)*          and := not ("AND" not)*        not := "NOT" not | test
    test := "(" condition ")" | column compare value | column ["NOT"] "IN" "(" value ("," value)* ")"
          | column ["NOT"] "BETWEEN" value "AND" value | column "IS" ["NOT"] "NULL"
    compare := "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    column := name | "quoted name" | `quoted name`      value := 'text' | number | TRUE | FALSE
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows._arrow import pa, pc
from narrows.errors import InvalidParameter

Mask = NDArray[np.bool_]
Truth = tuple[Mask, Mask]
"""Which rows are surely true and which surely false: a blank is neither, as in SQL."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<text>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
  | (?P<word>[^\W\d][\w.]*(?:-[^\W\d]\w*)*)
  | (?P<sign><=|>=|<>|!=|==|[=<>(),])
    )""",
    re.VERBOSE,
)
_KEYWORDS = {"AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "TRUE", "FALSE"}
#: Arrow's names of the comparisons.
_COMPARE = {
    "=": "equal", "==": "equal", "!=": "not_equal", "<>": "not_equal",
    "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal",
}  # fmt: skip
_DEEPEST = 50
_SHOWN = 12


class Condition(ABC):
    """A parsed condition."""

    @abstractmethod
    def truth(self, table: Any) -> Truth:
        """Which rows of an Arrow table are surely true, and which surely false."""

    @abstractmethod
    def columns(self) -> set[str]:
        """The columns it looks at."""

    def mask(self, table: Any) -> Mask:
        """Which rows of an Arrow table satisfy it, ``(n,)``; a comparison with a blank never does.

        Raises:
            InvalidParameter: If it names an unknown column, or compares a column with what it cannot hold.
        """
        return self.truth(table)[0]


@dataclass(frozen=True)
class Both(Condition):
    """All of several conditions, or with ``any`` at least one of them."""

    parts: tuple[Condition, ...]
    any: bool

    def truth(self, table: Any) -> Truth:
        """Three-valued AND or OR."""
        found = [p.truth(table) for p in self.parts]
        true, false = np.stack([t for t, _ in found]), np.stack([f for _, f in found])
        joined = (true.any(0), false.all(0)) if self.any else (true.all(0), false.any(0))
        return np.asarray(joined[0]), np.asarray(joined[1])

    def columns(self) -> set[str]:
        """The columns of all parts."""
        return set().union(*(p.columns() for p in self.parts))


@dataclass(frozen=True)
class Not(Condition):
    """The opposite of a condition."""

    part: Condition

    def truth(self, table: Any) -> Truth:
        """Three-valued NOT."""
        true, false = self.part.truth(table)
        return false, true

    def columns(self) -> set[str]:
        """The columns of the part."""
        return self.part.columns()


@dataclass(frozen=True)
class Blank(Condition):
    """``column IS NULL``."""

    column: str

    def truth(self, table: Any) -> Truth:
        """Which cells are blank; this is never in doubt."""
        blank = _blank(_cells(table, self.column))
        return blank, ~blank

    def columns(self) -> set[str]:
        """The column."""
        return {self.column}


@dataclass(frozen=True)
class Compare(Condition):
    """``column sign value``."""

    column: str
    sign: str
    value: Any

    def truth(self, table: Any) -> Truth:
        """Compare all cells with the value."""
        cells = _cells(table, self.column)
        value = _scalar(self.column, cells.type, self.value, self.sign)
        blank = _blank(cells)
        compared = pc.call_function(_COMPARE[self.sign], [cells, value])
        result = np.asarray(compared.fill_null(False).to_numpy(zero_copy_only=False), bool)
        return result & ~blank, ~result & ~blank

    def columns(self) -> set[str]:
        """The column."""
        return {self.column}

    def wanted(self) -> tuple[Any, ...]:
        """Values that it asks the column to be."""
        return (self.value,) if self.sign in ("=", "==") else ()


def check(condition: Condition, kinds: Mapping[str, Any], categories: Mapping[str, Sequence[str]]) -> None:
    """Check a condition before any row is drawn.

    Args:
        condition: What was parsed.
        kinds: Arrow's type of every column.
        categories: The categories of every column that has some.

    Raises:
        InvalidParameter: If a column is unknown (the nearest are named), a value cannot be held by its column, or a
            category does not exist (those that do are named).
    """
    condition.truth(pa.table({name: pa.nulls(0, kind) for name, kind in kinds.items()}))
    for test in _tests(condition):
        known = categories.get(test.column)
        if known is None:
            continue
        for value in test.wanted():
            if str(value) not in known:
                shown = ", ".join(map(repr, _nearest(str(value), known, _SHOWN)))
                more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
                raise InvalidParameter(f"column {test.column!r} never holds {value!r}; its values are: {shown}{more}")


def _tests(condition: Condition) -> list[Compare]:
    if isinstance(condition, Both):
        return [t for p in condition.parts for t in _tests(p)]
    if isinstance(condition, Not):
        return _tests(condition.part)
    return [condition] if isinstance(condition, Compare) else []


# --- reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def parse(text: str) -> Condition:
    """Parse a condition such as ``education = 'Masters' AND age > 40``.

    Args:
        text: The condition; keywords in any case, text in single quotes, odd column names in double quotes.

    Returns:
        The parsed condition.

    Raises:
        InvalidParameter: If it is not in the grammar; the message marks the place.

    Example:
        ```python
        table = pa.table({"age": [35, 35, 50], "sex": ["Female", "Male", "Female"]})
        parse("age BETWEEN 30 AND 40 AND NOT sex IN ('Male')").mask(table).sum()  # 1
        ```
    """
    reader = _Reader(text, _tokens(text))
    condition = reader.either(0)
    if reader.peek().kind != "end":
        raise reader.wrong("AND, OR or the end")
    return condition


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    stripped = len(text.rstrip())
    while place < stripped:
        match = _TOKEN.match(text, place)
        if match is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            raise _error(text, start, f"{text[start]!r} cannot be read here" + _quote_hint(text[start]))
        kind = str(match.lastgroup)
        word = match[kind]
        if kind == "word" and word.upper() in _KEYWORDS:
            kind, word = "keyword", word.upper()
        tokens.append(_Token(kind, word, match.start(match.lastgroup or 0)))
        place = match.end()
    return [*tokens, _Token("end", "", len(text))]


def _quote_hint(sign: str) -> str:
    if sign in "'\"`":
        return ": a quote is not closed"
    return ": several statements are not allowed" if sign == ";" else ""


def _error(text: str, place: int, what: str) -> InvalidParameter:
    return InvalidParameter(
        f"where: {what}, at sign {place + 1} of {text!r} (write conditions such as \"age > 40 AND sex = 'Female'\")"
    )


class _Reader:
    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text, self.tokens, self.next = text, tokens, 0

    def peek(self) -> _Token:
        return self.tokens[self.next]

    def accept(self, *words: str) -> bool:
        token = self.peek()
        if token.kind in ("keyword", "sign") and token.text in words:
            self.next += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise self.wrong(word)

    def wrong(self, wanted: str) -> InvalidParameter:
        token = self.peek()
        found = f"{token.text!r}" if token.kind != "end" else "the end"
        return _error(self.text, token.place, f"expected {wanted}, found {found}")

    def either(self, depth: int) -> Condition:
        parts = [self.every(depth)]
        while self.accept("OR"):
            parts.append(self.every(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts), any=True)

    def every(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        while self.accept("AND"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts), any=False)

    def one(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise _error(self.text, self.peek().place, f"more than {_DEEPEST} conditions inside each other")
        if self.accept("NOT"):
            return Not(self.one(depth + 1))
        if self.accept("("):
            inner = self.either(depth + 1)
            self.expect(")")
            return inner
        return self.test()

    def test(self) -> Condition:
        column = self.column()
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return Not(Blank(column)) if negated else Blank(column)
        negated = self.accept("NOT")
        if self.accept("IN"):
            self.expect("(")
            values = [self.value()]
            while self.accept(","):
                values.append(self.value())
            self.expect(")")
            found: Condition = Both(tuple(Compare(column, "=", v) for v in values), any=True)
        elif self.accept("BETWEEN"):
            low = self.value()
            self.expect("AND")
            found = Both((Compare(column, ">=", low), Compare(column, "<=", self.value())), any=False)
        elif negated:
            raise self.wrong("IN or BETWEEN")
        else:
            sign = self.peek().text
            if not self.accept(*_COMPARE):
                raise self.wrong("a comparison (=, !=, <, <=, >, >=, IN, BETWEEN, IS NULL)")
            found = Compare(column, sign, self.value())
        return Not(found) if negated else found

    def column(self) -> str:
        token = self.peek()
        if token.kind not in ("word", "name"):
            raise self.wrong("the name of a column")
        self.next += 1
        return token.text if token.kind == "word" else _unquote(token.text)

    def value(self) -> Any:
        token = self.peek()
        if token.kind == "name":  # many people write "text"
            self.next += 1
            return _unquote(token.text)
        if token.kind == "text":
            self.next += 1
            return _unquote(token.text)
        if token.kind == "number":
            self.next += 1
            return int(token.text) if re.fullmatch(r"[+-]?\d+", token.text) else float(token.text)
        if token.kind == "keyword" and token.text in ("TRUE", "FALSE"):
            self.next += 1
            return token.text == "TRUE"
        hint = f" (text needs single quotes: '{token.text}')" if token.kind == "word" else ""
        raise self.wrong("a value" + hint)


def _unquote(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


# --- columns and values ----------------------------------------------------------------------------------------


def _cells(table: Any, name: str) -> Any:
    if name not in table.column_names:
        raise InvalidParameter(
            f"where: there is no column {name!r}; the nearest are: "
            f"{', '.join(map(repr, _nearest(name, table.column_names, 5)))}"
        )
    cells = table.column(name)
    return cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells


def _nearest(name: str, known: Sequence[str], most: int) -> list[str]:
    """Some of the known names, the nearest first."""
    return sorted(known, key=lambda k: -difflib.SequenceMatcher(None, name.lower(), str(k).lower()).ratio())[:most]


def _blank(cells: Any) -> Mask:
    found = cells.is_null(nan_is_null=True) if pa.types.is_floating(cells.type) else cells.is_null()
    return np.asarray(found.to_numpy(), dtype=bool)


def _scalar(column: str, kind: Any, value: Any, sign: str) -> Any:
    """The value as the column's type holds it."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        if not isinstance(value, str) and sign not in ("=", "==", "!=", "<>"):
            raise InvalidParameter(f"where: column {column!r} holds text; {sign} {value!r} compares it with a number")
        return pa.scalar(str(value), kind)
    try:
        if pa.types.is_temporal(kind):
            if not isinstance(value, str):
                raise InvalidParameter(f"where: column {column!r} holds times: write one in quotes, '2024-05-31'")
            return pa.array([value]).cast(kind)[0]
        if pa.types.is_boolean(kind):
            return pa.scalar(_boolean(value), kind)
        return pa.scalar(float(value) if isinstance(value, str) else value)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidParameter):
            raise
        word = "times" if pa.types.is_temporal(kind) else "booleans" if pa.types.is_boolean(kind) else "numbers"
        raise InvalidParameter(f"where: column {column!r} holds {word}, and {value!r} is none") from None


def _boolean(value: Any) -> bool:
    words = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in words:
        raise ValueError(value)
    return words[str(value).lower()]
