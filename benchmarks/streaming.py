"""A table larger than the memory it is learnt in: rows per second and peak resident memory.

    python -m benchmarks.streaming --folder DIR [--rows 20000000] [--memory 1GiB] [--batch-size 16384]
    python -m benchmarks.streaming --folder DIR --tasks [--rows 2000000]

A table of twelve numbers that lie near a plane of four dimensions, and a category, is made by DuckDB in row groups of
its usual size; then a process of its own trains one epoch, and others score, encode and sample. Each says its own peak
(``getrusage``). With ``--tasks``, a twentieth of the cells of two columns is blank, and strange rows are found, blanks
filled, and rows made up instead. The folder is emptied in the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 8
LATENT, NUMBERS = 4, 12

FIT = """
from narrows import Autoencoder, Training, networks
training = Training(epochs=1, batch_size={batch}, memory={memory!r}, verbose=False)
model = Autoencoder({code}, network=networks.Dense(widths={widths}), training=training, random_state=0)
model.fit({source!r})
model.save({model!r})
told = {{"seconds_of_epoch": model.history_.rows[-1]["seconds"], "reasons": model.reasons_,
        "validation_loss": model.history_.rows[-1]["validation_loss"]}}
"""
COMMAND = """
from narrows.cli._group import plain_warnings
from narrows.cli import app
told = {{}}
try:
    app({words!r})
except SystemExit as end:
    assert end.code in (0, None), end.code
"""
MEASURED = """
import json, resource, sys, time
start = time.perf_counter()
{body}
used = resource.getrusage(resource.RUSAGE_SELF)
told |= {{"seconds": time.perf_counter() - start, "cpu_seconds": used.ru_utime + used.ru_stime,
         "peak_gib": used.ru_maxrss / 2**20}}
print("told:" + json.dumps(told))
"""


def make(folder: Path, rows: int, blanks: float = 0.0) -> int:
    """Write the table into ``folder``, some of its first two columns blank; its bytes."""
    code = f"""
import duckdb, random
random.seed(0)
con = duckdb.connect()
con.execute("SET threads=1; SET memory_limit='1GB'; SET preserve_insertion_order=false")
for file in range({FILES}):
    con.execute("SELECT setseed(?)", [file / 100])
    random.seed(1)
    normal = "sqrt(-2 * ln(random() + 1e-12)) * cos(6.283185307 * random())"
    latent = ", ".join(f"{{normal}} AS z{{j}}" for j in range({LATENT}))
    columns = ", ".join(
        " + ".join(f"{{random.gauss(0, 1):.6f}} * z{{i}}" for i in range({LATENT})) + f" + 0.1 * random() AS x{{j}}"
        for j in range({NUMBERS})
    )
    query = f"SELECT {{columns}}, CASE WHEN z0 > 1 THEN 'high' WHEN z0 < -1 THEN 'low' ELSE 'middle' END AS kind"
    holes = ", ".join(f"CASE WHEN random() < {blanks} THEN NULL ELSE x{{j}} END AS x{{j}}" for j in (0, 1))
    if {blanks}:
        query = f"SELECT * REPLACE ({{holes}}) FROM ({{query}}"
    n = {rows} // {FILES}
    end = ")" if {blanks} else ""
    rows = f"(SELECT {{latent}} FROM range({{n}})){{end}}"
    con.execute(f"COPY ({{query}} FROM {{rows}}) TO '{folder}/part-{{file}}.parquet'")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    return sum(p.stat().st_size for p in folder.glob("*.parquet"))


def measured(body: str) -> dict[str, object]:
    """Run ``body`` in a new process; what it told, with seconds and peak."""
    done = subprocess.run([sys.executable, "-c", MEASURED.format(body=body)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    line = next(line for line in done.stdout.splitlines() if line.startswith("told:"))
    return dict(json.loads(line[5:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="where a temporary folder is made")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--batch-size", type=int, default=16384)
    parser.add_argument("--sampled", type=int, default=2_000_000, help="rows to sample")
    parser.add_argument("--tasks", action="store_true", help="detect, impute and generate")
    parser.add_argument("--only", default="", help="one of the things that are measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="streaming-") as name:
        folder = Path(name)
        (folder / "table").mkdir()
        start = time.perf_counter()
        size = make(folder / "table", options.rows, 0.05 if options.tasks else 0.0)
        print(f"{options.rows:,} rows, {size / 1e9:.2f} GB of Parquet, made in {time.perf_counter() - start:.0f} s")
        source, model = str(folder / "table" / "*.parquet"), str(folder / "model")
        bodies = {
            "train one epoch": FIT.format(
                batch=options.batch_size, memory=options.memory, code=LATENT, widths=(32,), source=source, model=model
            )
        }
        for verb in ("score", "encode"):
            words = [verb, model, source, "--out", str(folder / f"{verb}.parquet"), "--memory", options.memory]
            bodies[verb] = COMMAND.format(words=words)
        words = ["sample", model, "-n", str(options.sampled), "--seed", "0", "--out", str(folder / "made.parquet")]
        bodies["sample"] = COMMAND.format(words=words)
        if options.tasks:
            common = ["--memory", options.memory, "--seed", "0"]
            words = {
                "detect": [source, "--out", str(folder / "strange.parquet")],
                "impute": [source, "--no-self-test", "--out", str(folder / "filled.parquet")],
                "generate": [source, "-n", str(options.sampled), "--out", str(folder / "made.parquet")],
            }
            bodies = {verb: COMMAND.format(words=[verb, *given, *common]) for verb, given in words.items()}
        for what, body in bodies.items():
            if options.only and what != options.only:
                continue
            told = measured(body)
            rows = options.sampled if what in ("sample", "generate") else options.rows
            for clock in ("seconds", "cpu_seconds"):
                told[f"rows_per_{clock[:-1]}"] = round(rows / float(str(told[clock])))
            print(json.dumps({"what": what, "rows": rows, **told}), flush=True)


if __name__ == "__main__":
    main()
