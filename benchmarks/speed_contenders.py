"""One contender of the speed benchmark in a process of its own, run by benchmarks/speed.py; needs only numpy at first.

    python benchmarks/speed_contenders.py CONTENDER CASE DATA.npz CLOCK

Answers every line ``trial`` on the standard input with one line of JSON: for each epoch of a fit from scratch the
seconds since ``fit`` was called, in which looking at the validation rows does not count, and the squared error there;
and the largest resident memory of the process so far, in MiB.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import speed_others  # noqa: E402
import speed_torch  # noqa: E402
from speed_case import Case, Finished, Watch  # noqa: E402

CONTENDERS: dict[str, Callable[[Case, Watch], None]] = {
    "narrows": speed_others.narrows_same,
    "narrows, own schedule": speed_others.narrows_own,
    "PyTorch, DataLoader": speed_torch.tutorial,
    "PyTorch, by index": speed_torch.indexed,
    "pythae": speed_torch.pythae,
    "PyOD": speed_torch.pyod,
    "skorch": speed_torch.skorch,
    "Lightning": speed_torch.lightning,
    "scikit-learn": speed_others.sklearn,
    "Keras, JAX": speed_others.keras,
    "JAX, scan": speed_others.jax_scan,
}


def main() -> None:
    """Run trials as they are asked for."""
    contender, name, path, clock = sys.argv[1:]
    case = Case(name, path)
    tick = time.process_time if clock == "cpu" else time.perf_counter
    for _ in sys.stdin:
        watch = Watch(case.validation, case.epochs, tick)
        with contextlib.suppress(Finished):
            CONTENDERS[contender](case, watch)
        # getrusage would count the memory of the process that started this one
        status = Path("/proc/self/status").read_text()
        memory = int(status.split("VmHWM:")[1].split()[0]) / 1024
        print(json.dumps({"seen": watch.seen, "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
