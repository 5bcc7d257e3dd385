"""Who goes through rows that are read piece by piece: this process, or Ray on many machines."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import InvalidParameter, MissingExtra, NarrowsError, WorkerDied

if TYPE_CHECKING:
    from narrows.data import Stream

LOCAL, RAY = "local", "ray"
Work = Callable[[Any, Any], Any]  # (model, the rows of a piece) -> Arrow table
RESTARTS = 3  # times that a process of Ray's may die: it would else be begun again for ever


def check(engine: str) -> None:
    """Raise unless it is an engine that is there."""
    if engine not in (LOCAL, RAY):
        raise InvalidParameter(f"--engine {engine!r} is not known: write local or ray")
    if engine == RAY:
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise MissingExtra("--engine ray needs Ray: pip install 'narrows[ray]'") from error


def check_pieces(data: Any, source: str, engine: str) -> None:
    """Raise unless data can be read piece by piece."""
    from narrows.data import Stream

    if not isinstance(data, Stream):
        raise InvalidParameter(
            f"--engine {engine}: {source!r} cannot be read piece by piece: give Parquet, CSV or JSON files, or image "
            "files; or --engine local"
        )


def parts(folder: str, model: Any, stream: Stream, work: Work, engine: str) -> Iterator[Any]:
    """What a model makes of every piece, in their order.

    Args:
        folder: Where the model is saved.
        model: The model.
        stream: The rows.
        work: What to do to a piece; a function that other processes can import.
        engine: "local" or "ray".

    Yields:
        Arrow tables.
    """
    if engine == LOCAL:
        return (work(model, piece) for piece in stream.pieces())
    return _by_ray(folder, stream, work)


@dataclass
class _Worker:
    """One of Ray's actors: loads the model once, and reads the pieces that it is told to."""

    folder: str
    stream: Stream
    work: Work

    def __post_init__(self) -> None:
        import torch

        from narrows.estimators import load

        torch.set_num_threads(1)  # Ray gives every actor one core
        self.model = load(self.folder)

    def __call__(self, batch: dict[str, Any]) -> Any:
        (piece,) = batch["piece"].tolist()
        return self.work(self.model, self.stream.read(piece))


def _by_ray(folder: str, stream: Stream, work: Work) -> Iterator[Any]:
    import ray

    from narrows.data import TableStream

    begun = not ray.is_initialized()
    if begun:
        _begin(ray)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        wanted = [piece for piece, rows in enumerate(stream.counts) if rows]
        # the temporary copy of a text table stays with this process, which removes it
        sent = replace(stream, folder=None) if isinstance(stream, TableStream) else stream
        resources: Any = ray.cluster_resources
        actors = min(len(wanted), max(1, int(resources().get("CPU", 1))))
        pieces = ray.data.from_items([{"piece": piece} for piece in wanted], override_num_blocks=len(wanted))
        with warnings.catch_warnings():
            # Ray means to name its limits otherwise from 2.64 on, and has no other name for these two yet
            warnings.simplefilter("ignore", DeprecationWarning)
            found = pieces.map_batches(
                _Worker,
                batch_size=1,
                fn_constructor_args=(str(Path(folder).resolve()), sent, work),
                compute=ray.data.ActorPoolStrategy(size=actors),
                num_cpus=1,
                max_restarts=RESTARTS,
                max_task_retries=RESTARTS,
            )
        yield from found.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as error:
        died = ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError
        raise _own(error, died) from error
    finally:
        if begun:
            ray.shutdown()


def _begin(ray: Any) -> None:
    """Join the cluster that ``RAY_ADDRESS`` names, or begin one of this machine alone; nothing is told to anybody."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is raised too
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    alone = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(**quiet, **alone)


def _own(error: Exception, died: tuple[type[Exception], ...] = ()) -> Exception:
    """What went wrong in an actor, in narrows' words where they are there; or that the actor itself has died."""
    chain: list[Any] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    causes = [one for seen in chain for one in (seen, getattr(seen, "cause", None))]
    for one in causes:
        if isinstance(one, NarrowsError):
            return one
    if any(isinstance(one, died) for one in causes):
        return WorkerDied(
            f"a process of Ray's that computes has died {RESTARTS + 1} times (killed, or out of memory): give "
            "--memory a smaller budget, so that pieces are smaller, or compute here with --engine local"
        )
    return error
