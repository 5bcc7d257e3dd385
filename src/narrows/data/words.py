"""Columns of text that come piece by piece: what they are in truth, decided by all of their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrows._arrow import pa, pc
from narrows.data.text_tables import tidy

#: Distinct texts looked at together; columns of more are numbers or text, but not dates.
DISTINCT = 100_000
_TRUE, _FALSE = ("true", "t"), ("false", "f")


class Words:
    """What the cells of one column of text turn out to be.

    Args:
        name: The column's name.
        boolean: Whether they were read as booleans, by words such as "yes", which only true and false are.
        comma: Whether "1,5" is a number.
    """

    def __init__(self, name: str, boolean: bool, comma: bool) -> None:
        self.name, self.boolean, self.comma = name, boolean, comma
        self.distinct: Any = None
        self.kind: Any = None
        self.number = True

    def add(self, text: Any) -> None:
        """Add cells, trimmed, an Arrow array ``(n,)``."""
        if self.number and text.null_count < len(text):
            kind = self._tidy(text)[0].type
            self.number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            self.kind = pa.float64() if self.kind == pa.float64() else kind
        if self.distinct is False:
            return
        more = pc.unique(text).drop_null()
        self.distinct = more if self.distinct is None else pc.unique(pa.concat_arrays([self.distinct, more]))
        if len(self.distinct) > DISTINCT:
            self.distinct = False

    def truth(self) -> tuple[Any, Callable[[Any], Any], list[str]] | None:
        """The column's real type, what makes it of the text, and notes in words; None when it is text."""
        if self.distinct is False:
            kind = self.kind
            return (kind, lambda cells: self._tidy(cells)[0].cast(kind), []) if self.number and kind else None
        if self.distinct is None or not len(self.distinct):
            return None
        texts = self.distinct
        if self.boolean:
            lower = pc.utf8_lower(texts)
            if not pc.all(pc.is_in(lower, pa.array([*_TRUE, *_FALSE], lower.type))).as_py():
                return None
            return pa.bool_(), self._mapped(pc.is_in(lower, pa.array(_TRUE, lower.type))), []
        values, notes = self._tidy(texts)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return None
        return values.type, self._mapped(values.combine_chunks()), notes

    def _mapped(self, values: Any) -> Callable[[Any], Any]:
        texts = self.distinct
        return lambda cells: values.take(pc.index_in(cells.combine_chunks(), texts))

    def _tidy(self, text: Any) -> tuple[Any, list[str]]:
        table, notes = tidy(pa.table({self.name: text}), self.comma)
        return table[self.name], notes
