"""The command line: ``narrows fit SOURCE`` and what can be done with the model afterwards.

Nothing heavy is imported until a command needs it: ``narrows --help`` is there at once.
"""

from __future__ import annotations

from narrows.cli._app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="narrows")


__all__ = ["app", "main"]
