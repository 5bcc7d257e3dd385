"""Report: the folder and the page that a run leaves behind, for people to look at."""

from __future__ import annotations

from narrows.report.run import Drawing, Run, write_run

__all__ = ["Drawing", "Run", "write_run"]
