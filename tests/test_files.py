"""Atomic files: there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from narrows import files


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with files.atomic(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename is only atomic within a file system
        assert temporary.suffix == ".txt"
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_no_temporaries(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), files.atomic(target) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(OSError), files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with target.open() as reader, files.atomic(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert reader.read() == "old"
    assert target.read_text() == "new"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a" / "b" / "c.txt", "grüße")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "grüße".encode()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_result_follows_the_users_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "x")
    finally:
        assert os.umask(old) == 0o027  # and leaves it as it was
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_long_names_and_names_without_suffix(tmp_path: Path) -> None:
    for name in ("x" * 200 + ".csv", "weights", ".hidden"):
        files.write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 3


def test_json_is_plain_and_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"name": "β", "values": [1, 2.5, None]})
    assert json.loads(target.read_text(encoding="utf-8")) == {"name": "β", "values": [1, 2.5, None]}
    before = target.read_bytes()
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            files.write_json(target, {"value": value})
    with pytest.raises(TypeError):
        files.write_json(target, {"value": object()})
    assert target.read_bytes() == before


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
