"""The command line: ``narrows fit SOURCE`` and what can be done with the model afterwards.

Nothing heavy is imported until a command needs it: ``narrows --help`` is there at once.
"""

from __future__ import annotations

import os

from narrows.cli._app import app


def main() -> None:
    """Run the command line."""
    # torch's threads wait for each other in busy loops unless told otherwise before it is imported: on a machine with
    # anything else to do, that made training ten times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="narrows")


__all__ = ["app", "main"]
