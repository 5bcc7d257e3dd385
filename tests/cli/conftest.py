"""Small runs that many tests look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from narrows.cli import app


@dataclass
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def narrows(*words: object) -> Told:
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(w) for w in words])
    return Told(result.exit_code, result.stdout, result.stderr)


def well(*words: object) -> Told:
    """Run a command that must end well."""
    told = narrows(*words)
    assert told.code == 0, told.err
    return told


def refused(*words: object) -> str:
    """Run a command that must be refused in one sentence; the sentence."""
    told = narrows(*words)
    assert told.code == 2, (told.code, told.err)
    assert told.out == "" or "--json" not in words
    lines = [line for line in told.err.splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in told.err
    return lines[0]


def names_in(folder: object) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(p.name for p in Path(str(folder)).iterdir())


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def csv(place) -> Path:
    """A table with blanks, categories, dates and a constant column."""
    rng = np.random.default_rng(0)
    path = place / "people data.csv"
    lines = ["id,height,weight,colour,born,same"]
    for i in range(80):
        x = rng.normal()
        weight = "" if i % 7 == 0 else f"{60 + 8 * x:.2f}"
        colour = "" if i % 11 == 0 else ["red", "green", "blue"][i % 3]
        lines.append(f"{i},{170 + 10 * x:.1f},{weight},{colour},19{60 + i % 40}-03-{1 + i % 28:02d},5")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def pngs(place) -> Path:
    from PIL import Image

    folder = place / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(30):
        where = folder / "more" if i % 2 else folder
        Image.fromarray(rng.integers(0, 255, (8, 10, 3), dtype=np.uint8)).save(where / f"photo-{i:02}.png")
    return folder


@pytest.fixture(scope="session")
def table_run(place, csv) -> Path:
    well("fit", csv, "--epochs", 2, "--code-size", 2, "--out", place / "table", "--quiet")
    return place / "table"


@pytest.fixture(scope="session")
def digits_run(place) -> Path:
    well("fit", "digits", "--epochs", 2, "--code-size", 4, "--out", place / "digits", "--quiet")
    return place / "digits"


@pytest.fixture(scope="session")
def photo_run(place, pngs) -> Path:
    well("fit", pngs, "--epochs", 2, "--code-size", 3, "--out", place / "photo-run", "--quiet")
    return place / "photo-run"
