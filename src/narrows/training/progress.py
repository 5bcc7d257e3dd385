"""A progress bar with loss and time left; silent when nobody is looking."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


class Progress:
    """Shows how training goes on the error stream.

    Args:
        total: How many steps there will be.
        verbose: Whether to show anything; None: when the error stream is a terminal. Never shown when it is not one.
    """

    def __init__(self, total: int, verbose: bool | int | None) -> None:
        self.total = total
        self.shown = sys.stderr.isatty() and (verbose is None or bool(verbose))
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        """Start the bar."""
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=False)
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.total)
        return self

    def update(self, step: int, total: int | None = None, words: str | None = None) -> None:
        """Say how many steps are done, out of how many, and what to write before the bar."""
        if self.bar is None:
            return
        changes: dict[str, Any] = {"completed": step}
        if total is not None:
            changes["total"] = total
        if words is not None:
            changes["description"] = words
        self.bar.update(self.task, **changes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar."""
        if self.bar is not None:
            self.bar.stop()
