"""What commands say: words for people, or one JSON object for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any


class Output:
    """Where a command's words go.

    Args:
        as_json: Nothing but one JSON object on the standard output.
        quiet: Only what was asked for, no story.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.silent = as_json or quiet

    def _console(self) -> Any:
        from rich.console import Console

        # files and pipes get lines of any length: what is wrapped cannot be searched
        return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), emoji=False)

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line for people."""
        if not self.silent:
            self._console().print(text, style=style, markup=False)

    def head(self, text: str) -> None:
        """The heading of a few lines."""
        self.say()
        self.say(text, style="bold")

    def points(self, lines: Iterable[str]) -> None:
        """Lines with a bullet each."""
        if self.silent:
            return
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        if not sys.stdout.isatty():
            for line in lines:
                self.say(f"  • {line}")
            return
        grid = Table.grid(padding=(0, 1))
        for line in lines:
            grid.add_row("•", Text(line))
        self._console().print(Padding(grid, (0, 0, 0, 2)))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
        """A table for people; in a pipe, aligned columns without lines."""
        if self.silent:
            return
        lines = [[str(cell) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            widths = [max(len(c) for c in column) for column in zip(heads, *lines, strict=True)]
            for line in [list(heads), *lines]:
                cells = [
                    c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
                ]
                self.say("  ".join(cells).rstrip())
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for place, head in enumerate(heads):
            table.add_column(head, justify="right" if place in right else "left", overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        self._console().print(table)

    def result(self, content: Any, line: str | None = None) -> None:
        """The result: the JSON object with ``--json``; else ``line``, which ``--quiet`` does not silence."""
        if self.as_json:
            print(json.dumps(plain(content), ensure_ascii=False, indent=2, allow_nan=False))
        elif line is not None:
            self._console().print(line, markup=False)


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "item"):
        return plain(value.item())
    return str(value)
