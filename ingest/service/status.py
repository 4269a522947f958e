"""The state of a catalog and its daemon: what `recq-ingest status --json` prints and a daemon answers on loopback.

`GET /recq/status` on the daemon's loopback server (its address and key stand in the data folder) gives the same JSON.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from recq import paths
from recq.catalog_names import IMAGENET
from recq.errors import IndexUnreachable, RecqError
from recq.paths import printable
from recq.settings import Settings, shown_url
from recq.waiting import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.daemon import Daemon
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog
    from recq.models import Embedder

ROUTE = "/recq/status"
_ANSWER_WITHIN = 10.0  # seconds for a daemon on the same machine
_MOST_PROBLEMS = 20  # that are reported in words
_COUNT_WITHIN = 3.0  # seconds for the index to count; after that its last numbers are given


@dataclass(frozen=True)
class SourceStatus:
    """One source. `items` = indexed + failed + files that are new and not written yet.

    `pending`: paths that wait or are under way; None where no daemon runs. `problems`: what is wrong
    with the source as a whole, the first few; `problem_counts`: how many problems there are, of it and of its items, by
    kind. `held`: deletions that wait to be confirmed, `held_metadata`: items that keep metadata until then.
    """

    name: str
    root: str | None
    items: int
    indexed: int
    failed: int
    ignored: int
    pending: int | None
    problems: tuple[str, ...] = ()
    held: int = 0
    held_metadata: int = 0
    problem_counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rebuilding:
    """A rebuild beside the running daemon: the `space` that the catalog moves to (None while that is not known yet).

    `trained` is the name of a trained space. `stage` is what is being done, `done` of `total` items are in the new
    collection.
    """

    space: Mapping[str, Any] | None
    trained: str | None
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class PredictedStatus:
    """A field that is predicted by a trained space, or by ImageNet's classes (`imagenet`).

    So many items have a label, so many are `unknown`, and `waiting` are those of which nothing was said yet. `detail`
    is the reason why it cannot be predicted.
    """

    field: str
    by: str
    labelled: int = 0
    unknown: int = 0
    waiting: int = 0
    detail: str | None = None

    def __str__(self) -> str:
        """One line."""
        by = "ImageNet's classes" if self.by == IMAGENET else f"the trained space {self.by}"
        if self.detail is not None:
            return f"{printable(self.field)} by {by}: cannot be predicted: {printable(self.detail)}"
        counts = f"{self.labelled:,} have a label, {self.unknown:,} unknown, {self.waiting:,} wait"
        return f"{printable(self.field)} by {by}: {counts}"


@dataclass(frozen=True)
class Status:
    """A catalog and its sources.

    `engine` is `embedded` or the server's URL, `space` names the embedding space (None before there is one), `state` is
    one of starting, reconciling, indexing, idle, waiting (for the index), draining, and `stopped` without a daemon.
    `detail` is the reason why it waits: the index's last error, or for how long it has not answered. `indexes_waiting`:
    payload indexes of new fields that are still to be made; a filter that needs one is refused. `indexes_refused`:
    those that the engine would not make, which `recq-ingest problems` lists. `runtime` and `device`: what runs a
    daemon's network, and where. `kept`: what the last rebuild replaced, until that is pruned
    (`recq.index.catalogs.Kept`). `predicted`: the fields that are predicted. `rebuilding`: the rebuild that the running
    daemon carries out.
    """

    catalog: str
    engine: str
    space: Mapping[str, Any] | None
    running: bool
    pid: int | None
    state: str
    detail: str | None
    sources: tuple[SourceStatus, ...]
    indexes_waiting: int = 0
    indexes_refused: int = 0
    runtime: str | None = None
    device: str | None = None
    kept: Mapping[str, Any] | None = None
    predicted: tuple[PredictedStatus, ...] = ()
    rebuilding: Rebuilding | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The status that `to_json` wrote; keys that only a newer recq has are left out."""
        sources = tuple(
            SourceStatus(**{**_known(SourceStatus, source), "problems": tuple(source["problems"])})
            for source in data["sources"]
        )
        predicted = tuple(PredictedStatus(**_known(PredictedStatus, each)) for each in data.get("predicted", ()))
        rebuilding = data.get("rebuilding")
        known = None if rebuilding is None else Rebuilding(**_known(Rebuilding, rebuilding))
        return cls(**{**_known(cls, data), "sources": sources, "predicted": predicted, "rebuilding": known})


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `data` that the dataclass has a field for."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


@dataclass(frozen=True)
class _Counted:
    """What the index has of a source."""

    indexed: int
    failed: int
    problems: tuple[str, ...] = ()
    problem_counts: Mapping[str, int] = field(default_factory=dict)

    def status(self, name: str, root: Path | None, *, new: int, **more: Any) -> SourceStatus:
        """The status of the source, with what else is known; `new` files are not written yet."""
        return SourceStatus(
            name=name,
            root=None if root is None else paths.to_text(str(root))[0],
            items=self.indexed + self.failed + new,
            indexed=self.indexed,
            failed=self.failed,
            problems=self.problems,
            problem_counts=self.problem_counts,
            **more,
        )


def _counted(catalog: Catalog, name: str) -> _Counted:
    """Ask the index."""
    problems = tuple(problem.detail for problem in catalog.problems.of_source(name)[:_MOST_PROBLEMS])
    counts = {str(kind): number for kind, number in catalog.problems.count(name).items()}
    return _Counted(catalog.items.count(source=name), catalog.ledger.count_failed(source=name), problems, counts)


def _kept(catalog: Catalog) -> Mapping[str, Any] | None:
    found = catalog.kept()
    return None if found is None else found.to_json()


Shown = tuple["Catalog", Mapping[str, "WatchedSource"], "Daemon"]
"""A daemon, with its catalog and its sources."""


def _predicted(catalog: Catalog, settings: Settings) -> tuple[PredictedStatus, ...]:
    """Ask the index."""
    chosen = catalog.predicting.all()
    if not chosen:
        return ()
    from recq.learn.predictors import predictors_of

    found, missing = predictors_of(catalog, settings)
    counts = {each.name: catalog.ledger.count_predictions(each.name, each.fingerprint)._asdict() for each in found}
    return tuple(
        PredictedStatus(field, by, **counts.get(field, {}), detail=missing.get(field)) for field, by in chosen.items()
    )


class DaemonStatus:
    """What the running daemon reports of itself, to the threads of its loopback server.

    `reason` gives the reason why the index is waited for, None while it answers.
    """

    def __init__(self, settings: Settings, reason: Callable[[], str | None]) -> None:
        self._settings = settings
        self._reason = reason
        self.rebuilding: Callable[[], Rebuilding | None] = lambda: None
        self.beside: Callable[[], Shown | None] = lambda: None
        """The daemon that fills the collection which the catalog moves to, while it does."""
        self._running: Shown | None = None
        self._runtime: tuple[str | None, str | None] = None, None
        self._counted: dict[str, _Counted] = {}
        self._kept: Mapping[str, Any] | None = None
        self._predicted: tuple[PredictedStatus, ...] = ()
        self._counting: threading.Thread | None = None
        self._lock = threading.Lock()

    def show(self, catalog: Catalog, sources: Mapping[str, WatchedSource], daemon: Daemon, embedder: Embedder) -> None:
        """Set the daemon, which runs from now on."""
        self._runtime = embedder.runtime, embedder.device
        self._running = catalog, sources, daemon

    def running(self) -> Shown:
        """The catalog, the sources and the daemon. Raises IndexUnreachable while it starts."""
        if self._running is None:
            raise IndexUnreachable("the daemon is still starting: try again in a moment")
        return self._running

    def answer(self, method: str, body: bytes) -> tuple[int, dict[str, object]]:  # noqa: ARG002 - a route's signature
        """The loopback route."""
        return 200, self.status().to_json()

    def status(self) -> Status:
        """The status now; while the index does not answer, with its last numbers."""
        settings = self._settings
        if self._running is None:
            detail = self._reason()
            state = "starting" if detail is None else "waiting"
            return Status(settings.catalog, engine_of(settings), None, True, os.getpid(), state, detail, ())
        catalog, sources, daemon = self._running
        # Pending first: what is written in between counts twice for a moment rather than not at all.
        pending = {name: daemon.pending(name) for name in sources}
        self._count(catalog, list(sources))
        shown = tuple(self._source(watched, *pending[name]) for name, watched in sources.items())
        state, detail = daemon.state, daemon.reason or self._reason()
        return Status(
            settings.catalog, engine_of(settings), catalog.space.summary(), True, os.getpid(), state,
            detail if state == "waiting" else None, shown, daemon.indexes_waiting,
            len(catalog.fields.known_waiting.refused), *self._runtime, self._kept, self._predicted, self.rebuilding(),
        )  # fmt: skip

    def _count(self, catalog: Catalog, names: Sequence[str]) -> None:
        """Ask the index, but no longer than `_COUNT_WITHIN`: an index that hangs must not hold up the status."""
        deadline = time.monotonic() + _COUNT_WITHIN
        while (before := self._counting) is not None and before.is_alive() and time.monotonic() < deadline:
            before.join(deadline - time.monotonic())  # another question's, which began before this one
        with self._lock:
            if self._counting is None or not self._counting.is_alive():
                self._counting = threading.Thread(
                    target=self._ask, args=(catalog, names), name="count", daemon=True
                )  # never waited for at the end
                self._counting.start()
            counting = self._counting
        counting.join(max(0.0, deadline - time.monotonic()))

    def _ask(self, catalog: Catalog, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(RecqError):
                self._counted[name] = _counted(catalog, name)
        with contextlib.suppress(RecqError):
            self._kept = _kept(catalog)
        with contextlib.suppress(RecqError):
            self._predicted = _predicted(catalog, self._settings)

    def _source(self, watched: WatchedSource, pending: int, unknown: int) -> SourceStatus:
        counted = self._counted.get(watched.name, _Counted(0, 0))
        return counted.status(
            watched.name,
            watched.root,
            new=unknown,
            ignored=len(watched.ignored),
            pending=pending,
            held=watched.held,
            held_metadata=watched.held_metadata,
        )


def find_status(settings: Settings) -> Status:
    """The running daemon's answer, else the status from the index alone.

    Raises TargetNotFound without such a catalog, and the errors of `recq.index.connect`.
    """
    return ask_daemon(settings) or read_status(settings)


def ask_daemon(settings: Settings) -> Status | None:
    """The answer of the daemon of this data folder and catalog; None when none runs."""
    import httpx

    from recq.index.edge.address import no_certificates, read_address

    address = read_address(settings.data_dir)
    if address is None:
        return None
    try:
        with waiting(f"process {address.pid}, which has the data folder, to answer", _ANSWER_WITHIN):
            response = httpx.get(
                address.url + ROUTE,
                headers={"api-key": address.key},
                timeout=_ANSWER_WITHIN,
                trust_env=False,
                verify=no_certificates(),
            )
        response.raise_for_status()
        status = Status.from_json(response.json())
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    return status if (status.catalog, status.engine) == (settings.catalog, engine_of(settings)) else None


def read_status(settings: Settings) -> Status:
    """The status of a catalog that no daemon works on here, from the index."""
    from recq.index.catalog import Catalog
    from recq.index.connect import connect

    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        sources = []
        for name, source in catalog.sources.all().items():
            sources.append(
                _counted(catalog, name).status(
                    name,
                    source.any_root(),
                    new=0,
                    ignored=source.ignored,
                    pending=None,
                    held=source.held,
                    held_metadata=source.held_metadata,
                )
            )
        waiting = catalog.fields.waiting(refresh=True)
        return Status(
            settings.catalog, engine_of(settings), catalog.space.summary(), False, None, "stopped", None,
            tuple(sources), waiting.left, len(waiting.refused), kept=_kept(catalog),
            predicted=_predicted(catalog, settings),
        )  # fmt: skip


def engine_of(settings: Settings) -> str:
    """The index that the settings name, as the status shows it."""
    return shown_url(settings.url) if settings.url else "embedded"
