"""How commands end: one clear sentence for what went wrong, one short line per warning, and an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from narrows.errors import NarrowsError, NarrowsWarning

BAD_INPUT = 2
UNEXPECTED = 1
INTERRUPTED = 130
MISSING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


class Interrupted(Exception):
    """The user pressed Ctrl-C; the message says what was kept."""


class Group(TyperGroup):
    """The commands, with errors told in one sentence.

    Exit codes: 0 well; 2 bad input (a `NarrowsError`, a missing file, a wrong option); 130 interrupted; 1 all else.
    """

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a command and exit with its code."""
        words = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in words or bool(os.environ.get("NARROWS_DEBUG"))
        words = [w for w in words if w != "--debug"]
        extra.pop("standalone_mode", None)
        try:
            with plain_warnings(debug):
                code = super().main(args=words, prog_name=prog_name, standalone_mode=False, **extra)
            _flush()
        except BrokenPipeError:
            # whoever read our output has seen enough; Python must not complain about it when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = UNEXPECTED
        except Exception as error:
            if debug:
                traceback.print_exc()
            code = tell(error)
        sys.exit(code if isinstance(code, int) else 0)


def tell(error: Exception) -> int:
    """Say on the error stream what went wrong; the exit code."""
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    if isinstance(error, Interrupted):
        say(str(error))
        return INTERRUPTED
    if hasattr(error, "format_message"):  # a wrong option or argument
        text = error.format_message()
        command = getattr(getattr(error, "ctx", None), "command_path", "narrows")
        say(f"error: {text.rstrip('.') if text else 'no command was given'} (see {command} --help)")
        return BAD_INPUT
    if isinstance(error, NarrowsError):
        say(f"error: {error}")
        return BAD_INPUT
    if isinstance(error, MISSING):
        made = Path(str(error.filename or ""))
        if made.name.startswith(".") or made.name.endswith(".partial"):  # what the user named is beside it
            say(f"error: nothing can be written into {made.parent}: give another --out")
            return BAD_INPUT
        what = {FileNotFoundError: "does not exist", PermissionError: "may not be opened (permission denied)"}
        what[FileExistsError] = "is a file, and a folder is needed there"
        say(f"error: {error.filename or 'a file'} {what.get(type(error), error.strerror or 'cannot be used')}")
        return BAD_INPUT
    hint = "the disk is full" if isinstance(error, OSError) and error.errno == 28 else ""
    hint = "there is not enough memory: give fewer rows, or a smaller --batch-size" if _memory(error) else hint
    hint = hint or "this was not foreseen: run again with --debug, and report it"
    say(f"error: {type(error).__name__}: {error} ({hint})")
    return UNEXPECTED


def _memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def say(text: str) -> None:
    """One line on the error stream."""
    _flush()
    listed = re.sub(r":\n- ", ": ", text).replace("\n- ", ", ")  # scikit-learn lists columns line by line
    print(" ".join(listed.split()), file=sys.stderr, flush=True)


def _flush() -> None:
    with contextlib.suppress(ValueError):
        sys.stdout.flush()


@contextlib.contextmanager
def plain_warnings(debug: bool) -> Iterator[None]:
    """Our own warnings as one line each, each once; other libraries' only with ``--debug``."""
    told = set()

    def show(
        message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        where = "" if issubclass(category, NarrowsWarning) else f" ({filename}:{lineno})"
        text = f"note: {message}{where}"
        if text not in told:
            told.add(text)
            say(text)

    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", NarrowsWarning)
        warnings.showwarning = show  # put back by catch_warnings
        yield
