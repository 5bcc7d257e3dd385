"""Report: the folder and the page that a run leaves behind, for people to look at."""

from __future__ import annotations

from narrows.report._contest import Contender, Contest, contest
from narrows.report._contest_page import write_contest
from narrows.report.run import Drawing, Run, write_run

__all__ = ["Contender", "Contest", "Drawing", "Run", "contest", "write_contest", "write_run"]
