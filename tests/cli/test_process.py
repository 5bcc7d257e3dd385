"""Real processes: start-up, signals, kills, streams."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import names_in

HEAVY = ("torch", "sklearn", "pandas", "matplotlib", "duckdb", "polars", "numpy", "pyarrow")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "narrows", *map(str, words)]


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=120)


def started(cwd: Path, *words: object) -> subprocess.Popen[str]:
    """A run that is going to take long, once it has a checkpoint."""
    process = subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=ENVIRONMENT
    )
    end = time.monotonic() + 60
    while not list(cwd.glob("**/checkpoint.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def imported_by(*words: str) -> set[str]:
    code = (
        "import sys; sys.argv = ['narrows', *sys.argv[1:]]\n"
        "from narrows.cli import main\n"
        "try: main()\n"
        "finally: print('IMPORTED', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=ENVIRONMENT)
    return {m.split(".")[0] for m in done.stderr.split("IMPORTED", 1)[1].split()}


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["--version"], ["nonsense"]])
def test_nothing_heavy_is_imported_for_help(words):
    assert imported_by(*words) & set(HEAVY) == set()


def test_looking_at_a_model_needs_no_torch(table_run, digits_run):
    for folder in (table_run, digits_run):
        assert imported_by("info", str(folder)) & {"torch", "sklearn", "matplotlib", "duckdb"} == set()


def test_help_is_there_at_once():
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 1.0  # 0.3 s of the processor on an idle machine; importing torch alone is above this


def test_errors_of_a_real_process():
    done = run("fit", "nowhere.csv", "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: there is no file, folder or sample 'nowhere.csv'")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in run("--debug", "fit", "nowhere.csv").stderr
    assert "Traceback" in run("fit", "nowhere.csv", "--debug").stderr


def test_an_unforeseen_error_is_1_and_says_what_to_do(monkeypatch):
    code = (
        "import sys; sys.argv = ['narrows', 'data', 'list']\n"
        "from narrows.cli import _data, main\n"
        "def broken(*a): raise RuntimeError('surprise')\n"
        "_data.catalogue = broken; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr == (
        "error: RuntimeError: surprise (this was not foreseen: run again with --debug, and report it)\n"
    )


def test_a_reader_that_has_seen_enough(tmp_path):
    process = subprocess.Popen(
        command("data", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait()


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_model_so_far(tmp_path):
    process = started(tmp_path, "fit", "digits", "--epochs", "5000", "--checkpoint-every", "0")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted: the best model so far" in err
    assert names_in(tmp_path / "runs") == ["digits"]
    record = json.loads((tmp_path / "runs" / "digits" / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert "Held-out squared error" in out
    import narrows

    assert narrows.load(tmp_path / "runs" / "digits").history_.stopped.startswith("interrupted in epoch")


@pytest.mark.slow
def test_ctrl_c_before_there_is_anything_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        command("fit", "fashion", "--epochs", "5000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("**/run.json")):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "nothing was kept" in err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path):
    # slow enough to be killed in the middle, quick enough for a test
    words = ["fit", "digits", "--epochs", "15", "--checkpoint-every", "0", "--code-size", "3"]
    process = started(tmp_path, *words)
    process.kill()
    process.communicate()
    assert names_in(tmp_path / "runs") == ["digits.partial"]
    other = run(*words, "--resume", "--seed", "1", cwd=tmp_path)
    assert other.returncode == 2
    assert "seed was 0 and is 1" in other.stderr
    resumed = run(*words, "--resume", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    whole = run(*words, "--json", cwd=tmp_path)
    assert names_in(tmp_path / "runs") == ["digits", "digits-2"]
    names = [json.loads(r.stdout)["run"] for r in (resumed, whole)]
    assert names == ["runs/digits", "runs/digits-2"]
    first, second = (json.loads((tmp_path / n / "model.json").read_text()) for n in names)
    assert first["weights_sha256"] == second["weights_sha256"]
