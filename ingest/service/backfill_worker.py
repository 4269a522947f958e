"""One worker of a backfill: the daemon's road over the paths that it is handed, with a network and a decoder of its
own.

What it needs is opened with the first batch and kept. What recq has a word for is in its answer, and not raised.
"""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest.daemon import Daemon
from ingest.events.hints import Mark
from ingest.index.retrying import Retrier
from ingest.service.roots import begin
from ingest.service.running import decoding, network
from ingest.source.files import Key
from ingest.source.sources import Sources
from ingest.source.targets import require_folder
from ingest.source.watched_source import WatchedSource
from ingest.tally import Counts
from recq.errors import IndexUnreachable, RecqError
from recq.index.catalog import Catalog
from recq.index.connect import server_client
from recq.index.problems import ProblemKind
from recq.paths import printable
from recq.settings import Settings

if TYPE_CHECKING:
    from ingest.service.backfill_paths import Listing

_LOOK_EVERY = 0.5  # seconds between two looks at a daemon that may have ended
_STILL_WRITTEN = 5.0  # seconds since the last change of a file from which on it is not looked at twice


class Road:
    """Indexes some paths of a listing after others. One core: one thread of the network, one decoding process."""

    def __init__(self, settings: Settings, listing: Listing) -> None:
        self._settings = settings.model_copy(update={"workers": 1, "threads": 1})
        self._listing = listing
        self._opened: _Opened | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What was done with the `paths` (bytes, relative to the root): counts, or an error.

        `unseen` are those that cannot be seen here, with the `first` of them: what the index has of these stays.
        `problems` are those of the source as a whole that are known here, a line of JSON, and `unmet` is whether the
        index lacks metadata for them: whoever hands the paths out records them, since workers know some each.
        """
        paths = [path.decode("utf-8", "surrogateescape") for path in row["paths"]]
        began = time.time()
        counts, error, code, unseen, problems, unmet = Counts(), "", 0, list[str](), "[]", False
        try:
            if self._opened is None:
                self._opened = _Opened(self._settings, self._listing)
                began = time.time()
            counts, unseen = self._opened.indexed(paths)
            problems, unmet = self._opened.problems(), self._opened.unmet
        except RecqError as problem:
            error, code = str(problem), problem.exit_code
        first = printable(unseen[0]) if unseen else ""
        done = {"paths": len(paths), "began": began, "error": error, "code": code, **vars(counts)}
        return done | {"unseen": len(unseen), "first": first, "problems": problems, "unmet": unmet}

    def close(self) -> None:
        """Give back what was opened. Ray ends the process instead."""
        if self._opened is not None:
            self._opened.close()


class _Opened:
    """What a worker keeps from one batch to the next: a daemon that compares and watches nothing, in its own thread."""

    def __init__(self, settings: Settings, listing: Listing) -> None:
        require_folder(listing.root)
        self._client = server_client(settings)
        catalog = Catalog.open(self._client, settings.catalog)
        retrier = Retrier(
            threading.Event(), give_up_after=settings.connect_timeout, waiting=lambda _: None, recovered=lambda: None
        )
        self._watched = begin(catalog, settings, retrier, _Silent(), listing.name, listing.root, table=None)
        # Only a comparison can tell what a table has taken away: what items have stays, until a daemon makes one.
        self._watched.records_problems = False
        self._watched.losses.hold()
        self._watched.losses.decided = True
        sources = Sources([self._watched])
        self._pool, self._embedder = decoding(settings, sources), network(settings, catalog)
        self._stop = threading.Event()
        self._daemon = Daemon(
            settings,
            catalog,
            sources,
            self._pool,
            self._embedder,
            retrier,
            _Silent(),
            stop=self._stop,
            once=True,
            flush=None,
            fed=True,
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="daemon", daemon=True)
        self._thread.start()

    def indexed(self, paths: Sequence[str]) -> tuple[Counts, list[str]]:
        """Index the files at these paths that the index does not have as they are, and tell which cannot be seen.

        Raises what ended the daemon.
        """
        before = self._daemon.tally.of(self._watched.name)
        marks = {path: _mark(self._watched, path) for path in paths}
        unseen = [path for path, mark in marks.items() if mark is None]
        done = self._daemon.see_to(
            {Key(self._watched.name, path): mark for path, mark in marks.items() if mark is not None}
        )
        while not done.wait(_LOOK_EVERY):
            if not self._thread.is_alive():
                raise self._error or IndexUnreachable("the worker has ended")
        now = vars(self._daemon.tally.of(self._watched.name))
        return Counts(**{name: count - getattr(before, name) for name, count in now.items()}), unseen

    @property
    def unmet(self) -> bool:
        """Whether the index lacks metadata of the folder."""
        return self._watched.is_unmet()

    def problems(self) -> str:
        """The problems of the source that are known here, as JSON; what is held is another's to tell."""
        known = (each for each in self._watched.own_problems() if each.kind is not ProblemKind.HELD)
        return json.dumps([each.to_json() for each in known])

    def close(self) -> None:
        """End it all."""
        self._stop.set()
        self._daemon.wake()
        self._thread.join()
        self._pool.close(cancel=True)
        self._embedder.close()
        self._client.close()

    def _run(self) -> None:
        try:
            self._daemon.run()
        except BaseException as error:
            self._error = error


def _mark(watched: WatchedSource, path: str) -> Mark | None:
    """A file that was changed a moment ago may still be written; None where there is no file, or none can be seen."""
    try:
        found = (watched.root / path).stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Mark.APPEARED if abs(time.time() - found.st_mtime) < _STILL_WRITTEN else Mark.CLOSED


class _Silent:
    """Reports nothing: what failed is in the index."""

    def event(self, name: str, **fields: object) -> None:
        """Nothing."""

    def progress(self, state: str, done: int, total: int, failed: int, *, known: bool) -> None:
        """Nothing."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Nothing."""
