"""One watch for each source; what the watches notice goes into the queue.

A source is watched first and compared then, so that what happens in between is noticed. For the loop's thread; disks
are asked in workers of their sources.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from ingest.context import Context
from ingest.events.hints import Hints
from ingest.events.queue import Queue
from ingest.events.watch import Watch
from ingest.loop import Repeated, Workers
from ingest.source.watched_source import WatchedSource

_END_WITHIN = 1.0  # seconds for all watches to end


class Watches:
    """Fills the queue with what happens in the sources. A daemon that is not `live` watches nothing."""

    def __init__(self, context: Context, queue: Queue) -> None:
        self._context = context
        self._queue = queue
        self._hints = Hints(lambda: context.loop.post(self._drain))
        self._workers = Workers("watch", context.loop)
        self._watches: dict[str, Watch] = {}
        self._renewals: dict[str, Repeated[bool]] = {}
        self._beginning: set[str] = set()
        self._anew: set[str] = set()  # whose watch began anew behind the last comparison

    @property
    def beginning(self) -> frozenset[str]:
        """The sources that are not watched yet, and therefore not compared."""
        return frozenset(self._beginning)

    @property
    def idle(self) -> bool:
        """Whether all sources are watched."""
        return not self._beginning

    def add(self, watched: WatchedSource) -> None:
        """Begin to watch a source."""
        name = watched.name
        if not self._context.live:
            self._queue.compare(name)
            return
        self._beginning.add(name)
        watch = self._watches[name] = self._watch(watched)
        self._renewals[name] = Repeated(
            self._workers[name], partial(_renewed, watch, watched), partial(self._renewed, name)
        )
        self._workers[name].submit(watch.start, partial(self._begun, name))

    def renew(self, name: str) -> None:
        """Watch the folder that is at the root's path now. A single pass watches nothing."""
        if name in self._renewals:
            self._renewals[name].ask()

    def stop(self) -> None:
        """End the watches. A disk that does not answer is not waited for."""
        ends: list[threading.Event] = []
        for name, watch in self._watches.items():
            ends.append(threading.Event())
            self._workers[name].submit(partial(_end, watch, ends[-1]), _done)
        deadline = time.monotonic() + _END_WITHIN
        for ended in ends:
            ended.wait(max(0.0, deadline - time.monotonic()))

    def _watch(self, watched: WatchedSource) -> Watch:
        loop, say, settings = self._context.loop, self._context.say, self._context.settings
        root = str(watched.root)

        def chosen(mode: str, reason: str) -> None:
            loop.post(lambda: say("watching", source=watched.name, root=root, mode=mode, reason=reason))

        return Watch(watched, self._hints, mode=settings.watch, poll_interval=settings.poll_interval, say=chosen)

    def _begun(self, name: str, _: None) -> None:
        self._beginning.discard(name)
        self._queue.compare(name)

    def _renewed(self, name: str, began: bool) -> None:
        """What came between the last comparison and a watch that began behind it is found by another one.

        Not once more where that one's watch has begun anew, too: some file systems give a folder another identity each
        time that it is asked for.
        """
        if not began:
            self._anew.discard(name)
        elif name not in self._anew:
            self._anew.add(name)
            self._queue.doubt(name)

    def _drain(self) -> None:
        noticed = self._hints.drain()
        self._queue.look(noticed.marks)
        for folder in noticed.folders:
            self._queue.appeared(folder)
        if noticed.lost:
            self._queue.gone(noticed.lost)
        if noticed.ruled:
            self._queue.rules_changed(noticed.ruled)
        for name in sorted(noticed.overflowed):
            self._queue.overflowed(name)


# -- in workers --------------------------------------------------------------------------------------------------------


def _renewed(watch: Watch, watched: WatchedSource) -> bool:
    """Watch the folder that is at the root's path now, and take it as the root; whether the watch began anew."""
    began = watch.renew()
    watched.renew()
    return began


def _end(watch: Watch, ended: threading.Event) -> None:
    """End a watch; `ended` is set then."""
    watch.stop()
    ended.set()


def _done(_: None) -> None:
    """Nothing follows."""
