"""Run folders: a run is there whole or not at all, and none is ever lost to another.

While a run goes on it lives in ``NAME.partial``, beside the folder it will become; a rename at the end makes it
``NAME``. A killed run stays ``NAME.partial``, with its checkpoint, until ``--resume`` goes on with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows import files
from narrows._saved import MODEL
from narrows._version import __version__
from narrows.errors import InvalidParameter

RECORD = "run.json"
RUNS = "runs"
PARTIAL = ".partial"


@dataclass(frozen=True)
class Place:
    """Where a run is to be written.

    Attributes:
        target: The folder that it becomes.
        resumed: What the killed run recorded when this goes on with one; else None.
        replaces: Whether an older run is to be replaced at the end.
    """

    target: Path
    resumed: Mapping[str, Any] | None = None
    replaces: bool = False

    @property
    def working(self) -> Path:
        """The folder that the run lives in until it is whole."""
        return _partial(self.target)

    @property
    def checkpoint(self) -> Path:
        """The folder for checkpoints."""
        return self.working / "checkpoint"

    def record(self, content: Mapping[str, Any]) -> None:
        """Write down how the run was asked for."""
        files.write_json(self.working / RECORD, {"narrows_run": 1, "narrows": __version__, **content})

    def finish(self) -> Path:
        """Make the run what it was to become; an older run goes only now."""
        old = None
        if self.target.exists():
            old = self.target.with_name(f".{self.target.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            self.target.rename(old)
        self.working.rename(self.target)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return self.target

    def abandon(self) -> None:
        """Leave nothing behind of a run that came to nothing, unless it can be gone on with."""
        if self.resumed is None and not self.checkpoint.exists():
            shutil.rmtree(self.working, ignore_errors=True)


def claim(out: str | None, name: str, *, resume: bool = False, force: bool = False) -> Place:
    """The place for a run, claimed so that no other run takes it.

    Without ``out``: ``runs/NAME``, or ``runs/NAME-2`` and so on when that is taken. With ``out``: that folder, which
    may be missing, empty, or with ``force`` an older run.

    Args:
        out: The folder that was asked for.
        name: What the data is called.
        resume: Go on with a killed run.
        force: Replace an older run, finished or not.

    Returns:
        The place.

    Raises:
        InvalidParameter: If the folder is something else, or there is nothing to go on with.
    """
    if resume:
        return _resumed(out, name)
    if out is None:
        return _numbered(Path(RUNS), _plain(name))
    target = Path(out)
    if _partial(target).exists():
        if not force:
            raise InvalidParameter(
                f"an unfinished run is in {str(_partial(target))!r}: add --resume to go on with it, --force to start "
                "anew, or give another --out"
            )
        _remove_run(_partial(target))
    replaces = _check_target(target, force)
    _partial(target).mkdir(parents=True)
    return Place(target, replaces=replaces)


def recorded(folder: Path) -> Mapping[str, Any] | None:
    """What a run wrote down about itself; None when the folder is no run of ours."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "narrows_run" in content else None


def _check_target(target: Path, force: bool) -> bool:
    """Whether an older run lies where the new one goes; raise unless that is all right."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise InvalidParameter(f"--out {str(target)!r} is a file; give a folder")
    if not any(target.iterdir()):
        return True
    ours = recorded(target) is not None or (target / MODEL).is_file()
    if not ours:
        raise InvalidParameter(
            f"--out {str(target)!r} holds files that are no run of narrows, and is left as it is; give another folder"
        )
    if not force:
        raise InvalidParameter(
            f"--out {str(target)!r} holds an older run; add --force to replace it once the new one is complete, or "
            "give another folder"
        )
    return True


def _remove_run(folder: Path) -> None:
    if not folder.is_dir() or (any(folder.iterdir()) and recorded(folder) is None):
        raise InvalidParameter(
            f"{str(folder)!r} is no run of narrows, and is left as it is; move it, or give another --out"
        )
    shutil.rmtree(folder)


def _resumed(out: str | None, name: str) -> Place:
    if out is not None:
        candidates = [Path(out)]
    else:
        plain = _plain(name)
        partial = [p for p in Path(RUNS).glob(f"{plain}*{PARTIAL}") if _is_number(p.name, plain)]
        candidates = [
            p.with_name(p.name.removesuffix(PARTIAL)) for p in sorted(partial, key=lambda p: -p.stat().st_mtime)
        ]
    for target in candidates:
        content = recorded(_partial(target))
        if content is not None:
            return Place(target, resumed=content, replaces=target.exists())
    where = str(_partial(candidates[0])) if candidates else f"{RUNS}/{_plain(name)}{PARTIAL}"
    raise InvalidParameter(f"there is no unfinished run to resume at {where!r}; leave out --resume to start one")


def _numbered(parent: Path, name: str) -> Place:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        target = parent / (name if number == 1 else f"{name}-{number}")
        number += 1
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            continue
        try:
            _partial(target).mkdir()
        except FileExistsError:
            continue  # another run is at it, or one was killed
        return Place(target)


def _is_number(partial: str, name: str) -> bool:
    rest = partial.removesuffix(PARTIAL).removeprefix(name)
    return rest == "" or (rest.startswith("-") and rest[1:].isdigit())


def _partial(target: Path) -> Path:
    return target.with_name(target.name + PARTIAL) if target.name else target / PARTIAL


def _plain(name: str) -> str:
    """A name that every file system takes."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-")
    return kept[:60] or "data"
