"""Indexes many files once, on the machines of a Ray cluster: `recq-ingest backfill`.

Ray Data hands the paths out, batch by batch, as they are found (`ingest.service.backfill_paths`); each of its workers
is the daemon's road over a batch (`ingest.service.backfill_worker`). The index is the only record: what it has
unchanged is skipped, so a backfill that was killed goes on where it was. Nothing is deleted; that is a daemon's.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.service.backfill_paths import Listing, listing_of, paths_source
from ingest.service.backfill_worker import Road
from ingest.service.session import choose_catalog
from ingest.tally import Counts
from recq.errors import IndexUnreachable, RecqError, UsageError
from recq.index.connect import server_client
from recq.index.problems import UNMET, Problem, bounded
from recq.operate.requests import error_of
from recq.paths import printable
from recq.progress import Progress
from recq.settings import Settings

LOCAL = "local"
"""The address that starts Ray here, for this backfill alone."""

_ASKING = ("token", "k8s")  # modes of Ray in which it asks for a token
_OBJECTS = 128_000_000  # bytes of Ray's memory for what is handed over, of a Ray of our own: paths and counts
_NO_RAY = "backfill needs Ray: pip install 'recq[ray]'"


@dataclass(frozen=True)
class Filled:
    """What a backfill has done: `paths` that it saw, of which so many were `unchanged` or no picture.

    `failed` are all items of the source that could not be indexed, those of earlier runs included; `unseen` are paths
    where a worker saw no file (`first_unseen`), or a folder that it could not list: what the index has there stays.
    `unmet`: the index lacks metadata of the `source`, whose problems say which.
    """

    source: str

    paths: int
    unchanged: int
    indexed: int
    reused: int
    metadata: int
    failed: int
    refused: int
    unseen: int
    first_unseen: str | None
    unmet: bool
    workers: int
    seconds: float
    working_since: str | None
    working_seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON. The work began when the first worker had all that it needs (ISO 8601 UTC)."""
        return {**asdict(self), "seconds": round(self.seconds, 1), "working_seconds": round(self.working_seconds, 1)}


def backfill(
    settings: Settings, what: Path, name: str | None, *, address: str, workers: int | None, progress: Progress
) -> Filled:
    """Index the files of a folder, or those that a list names, with the workers of the Ray at `address` (or LOCAL).

    `name` is what the folder's source is to be called. Raises UsageError, IndexUnreachable, SpaceMismatch and what
    `choose_catalog` does; KeyboardInterrupt for SIGINT and SIGTERM.
    """
    if settings.url is None:
        raise UsageError("backfill fills an index on a Qdrant server: name it with --url")
    if settings.partition is not None:
        raise UsageError("backfill hands out all files by itself: leave partition out")
    if importlib.util.find_spec("ray") is None:
        raise UsageError(_NO_RAY)
    began = time.monotonic()
    client = server_client(settings)
    try:
        catalog = choose_catalog(client, settings)
        catalog.upgrade()
        listing = listing_of(what, name, catalog)
        with redirect_stdout(sys.stderr), _ray(address, workers) as count:  # Ray prints that a worker died
            filled, problems = _filled(settings, listing, count, progress, began)
        if problems:
            known = [each for each in catalog.problems.of_source(listing.name) if each not in problems]
            catalog.problems.record(listing.name, [*known, *problems])
        with suppress(IndexUnreachable):
            catalog.background()
            catalog.changes.prune()
        return replace(
            filled,
            failed=catalog.ledger.count_failed(source=listing.name),
            unmet=filled.unmet or not UNMET.isdisjoint(catalog.problems.count(listing.name)),
        )
    finally:
        client.close()


def _filled(
    settings: Settings, listing: Listing, workers: int, progress: Progress, began: float
) -> tuple[Filled, list[Problem]]:
    """What was done, and the problems of the source as a whole that the workers know."""
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    done, first, unseen, unmet = Counter[str](), 0.0, "", False
    problems: dict[Problem, None] = {}
    # Folder and list are those of this machine, whoever else has a folder of that name.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    found = ray.data.read_datasource(
        paths_source(settings, listing),
        override_num_blocks=1,
        num_cpus=0,
        ray_remote_args={"scheduling_strategy": here},
    )
    rows = found.map(
        Road,
        fn_constructor_args=(settings, listing),
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
    )
    try:
        for row in rows.iter_rows():
            if row["error"]:
                raise error_of({"error": row["error"], "code": row["code"]})
            first = min(first or row["began"], row["began"])
            unseen, unmet = unseen or row["first"], unmet or bool(row["unmet"])
            told = map(Problem.from_json, json.loads(row["problems"]))
            problems |= dict.fromkeys(each for each in told if each is not None)
            done.update({each: row[each] for each in ("paths", "unseen", *Counts.__dataclass_fields__)})
            progress("images", done["paths"], 0)
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    settled = sum(done[each] for each in ("indexed", "reused", "metadata", "failed", "refused", "unseen"))
    filled = Filled(
        source=listing.name,
        paths=done["paths"],
        unchanged=done["paths"] - settled,
        **{each: done[each] for each in ("indexed", "reused", "metadata", "failed", "refused", "unseen")},
        first_unseen=unseen or None,
        unmet=unmet,
        workers=workers,
        seconds=time.monotonic() - began,
        working_since=datetime.fromtimestamp(first, UTC).isoformat(timespec="milliseconds") if first else None,
        working_seconds=time.time() - first if first else 0.0,
    )
    return filled, bounded(list(problems))


def _cause(error: BaseException) -> RecqError:
    """What recq has raised in a worker, else that Ray could not go on."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, RecqError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    if isinstance(cause, RecqError):
        return cause
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return IndexUnreachable(f"Ray cannot go on: {line}; run this again, and it goes on where it was")


@contextmanager
def _ray(address: str, workers: int | None) -> Iterator[int]:
    """Ray, connected or started, and the number of workers. A token is asked for in either case."""
    for variable, value in _environment(os.environ).items():
        os.environ[variable] = value
    own = Path(tempfile.mkdtemp(prefix="recq-")) if address == LOCAL else None
    try:
        if own is not None:
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(_token(own))
        import ray
        import ray.data

        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            with _unheard():
                if own is None:
                    ray.init(address=address, **quiet)
                else:
                    ray.init(
                        address=LOCAL,
                        num_cpus=workers or os.cpu_count() or 1,
                        include_dashboard=False,
                        object_store_memory=_OBJECTS,
                        _node_ip_address="127.0.0.1",
                        _temp_dir=str(own / "ray"),  # which Ray opens to everybody
                        **quiet,
                    )
        except Exception as error:  # Ray has no one class for these
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise IndexUnreachable(f"Ray at {address} cannot be used: {line}") from error
        try:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.ERROR)
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.target_max_block_size = 1  # of bytes: no two rows are joined, else one worker has all of 128 MB
            signal.signal(signal.SIGTERM, _interrupted)
            yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        finally:
            ray.shutdown()
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _unheard() -> Iterator[None]:
    """Without what Ray's own code writes to standard error while it starts, not by Python's; its errors are raised."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """What Ray has to find in the environment. Raises UsageError where it was told to ask for no token."""
    mode = given.get("RAY_AUTH_MODE", "token").lower()
    if mode not in _ASKING:
        raise UsageError(
            f"RAY_AUTH_MODE={printable(mode)}: whoever reaches a Ray without a token runs programs on it; start the "
            "cluster with RAY_AUTH_MODE=token, and leave the variable out here"
        )
    quiet = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}  # its own lines, not the errors
    return {"RAY_AUTH_MODE": mode, "RAY_USAGE_STATS_ENABLED": "0", **quiet}


def _token(folder: Path) -> Path:
    """A file with a new token, which only the same user can read: the folder is its owner's."""
    path = folder / "token"
    path.touch(0o600)
    path.write_text(secrets.token_urlsafe(32))
    return path


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
