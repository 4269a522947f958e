"""The queue of what is due: everything that has to be looked at, for the first time or again, waits here.

Paths wait in `paths` until `ingest.pipeline.examine` takes them, folders until `ingest.reconcile.walks` does, and whole
sources until `ingest.reconcile.schedule` does. Every stage puts what has to be looked at again in here. The queue calls
no stage: the stages take from it. For the loop's thread; the state of a path is asked in a worker of its source.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from ingest.context import Context
from ingest.events.hints import MOST, Mark
from ingest.events.looks import Looks
from ingest.events.other_parts import OtherParts
from ingest.events.pending import Pending, PendingPath
from ingest.events.retry import Retries
from ingest.loop import Workers
from ingest.source.files import FileState, Key
from ingest.source.watched_source import WatchedSource
from recq.index.schema import ItemError


@dataclass(frozen=True, slots=True)
class SourceDue:
    """A source has to be compared with the index; `verify` reads the bytes of every file.

    `doubted`: soon, not at once, and as a part of the last pass, since what has gone may have moved after all.
    """

    name: str
    verify: bool = False
    doubted: bool = False


class Queue:
    """What is due: `paths`, folders and sources. `others` are new files that other daemons see to.

    `silent` are the sources whose disk does not answer, `comparing` those that are compared with the index just now.
    """

    def __init__(self, context: Context) -> None:
        self.paths = Pending()
        self.others = OtherParts()
        self.silent: set[str] = set()
        self.comparing: set[str] = set()
        self._context = context
        self._workers = Workers("look", context.loop)
        self._looks: dict[str, Looks] = {}
        self._retries = Retries()
        self._unsure: set[Key] = set()  # paths that were being written when a comparison began
        self._appeared: dict[Key, float] = {}  # since when each waits (monotonic)
        self._gone: dict[Key, float] = {}
        self._due: dict[SourceDue, None] = {}
        self._walking: dict[str, float] = {}  # by source: since when the oldest folder of the walk waits
        self._walked_next: dict[str, float] = {}  # the same of those that the next walk takes

    def add(self, watched: WatchedSource) -> None:
        """Take paths of this source, too."""
        name = watched.name
        self._looks[name] = Looks(
            watched,
            self._workers[name],
            self.paths,
            settle=self._context.settings.settle,
            overflow=partial(self.overflowed, name),
        )

    # -- doors ----------------------------------------------------------------------------------------------------

    def look(self, marks: Mapping[Key, Mark]) -> None:
        """Look at paths to which something happened."""
        for name, of_source in _by_source(marks).items():
            self._looks[name].noticed({key: marks[key] for key in of_source})

    def again(self, entry: PendingPath, quiet: float) -> None:
        """Look again at a path that is being worked on, once it has not changed for `quiet` seconds."""
        self._looks[entry.key.source].again(entry, quiet)

    def wait(self, entry: PendingPath, state: FileState | None, quiet: float) -> None:
        """Let a path that was just found in this state wait until it has kept it for `quiet` seconds."""
        self._looks[entry.key.source].wait(entry, state, quiet)

    def retry(self, keys: Iterable[Key]) -> None:
        """Try failed items again now."""
        for name, of_source in _by_source(keys).items():
            self._looks[name].retry(of_source)

    def attempted(self, key: Key, error: ItemError | None, now: float) -> None:
        """Note that an item was embedded or failed; for a passing cause it is tried again. `now` is monotonic."""
        if self._context.live:
            self._retries.failed(key, error, now)

    def appeared(self, folder: Key) -> None:
        """Everything below a folder has to be looked at."""
        self._remember(self._appeared, folder)

    def gone(self, folders: Collection[Key]) -> None:
        """Folders have gone: everything that the index has below them has to be looked at."""
        # A path below may be written after the index was asked what it has there.
        self.look(dict.fromkeys(self.paths.working_below(folders), Mark.MISSING))
        for folder in folders:
            self._remember(self._gone, folder)

    def rules_changed(self, folders: Collection[Key]) -> None:
        """Look at all files and all items below folders (path "" for a root) whose rules may have changed.

        For a root this is a comparison. For other folders a comparison follows, which counts what each rule ignores.
        """
        below = {folder for folder in folders if folder.path}
        for folder in below:
            self.appeared(folder)
        if below:
            self.gone(below)
        for name in sorted({folder.source for folder in below}):
            self.doubt(name)
        for name in sorted({folder.source for folder in folders if not folder.path}):
            self.compare(name)

    def compare(self, name: str, *, verify: bool = False) -> None:
        """A source has to be compared with the index; `verify` reads the bytes of every file."""
        self._due[SourceDue(name, verify=verify)] = None

    def comparison_begins(self, name: str) -> None:
        """Look at the paths of a source that are being written once more when that has ended.

        What is written of them was described before: by a table, perhaps, that is another now. The comparison may ask
        the index what it has of them before it is written, and find that it is as it should be.
        """
        self._unsure.update(self.paths.being_written(name))

    def doubt(self, name: str) -> None:
        """Compare a source again soon, since what has gone from it may have moved after all."""
        self._due[SourceDue(name, doubted=True)] = None

    def overflowed(self, name: str) -> None:
        """Compare a source in which more has happened than can be kept."""
        self._context.say("overflow", source=name)
        self._walked_next.pop(name, None)  # the comparison walks there
        self.compare(name)

    def finish(self, key: Key) -> None:
        """End the work on a path."""
        self.paths.finish(key)
        if key in self._unsure:
            self._unsure.remove(key)
            self.look({key: Mark.TOUCHED})

    # -- for those who take ---------------------------------------------------------------------------------------

    def take_appeared(self) -> list[Key]:
        """The folders that have to be walked."""
        taken, self._appeared = self._appeared, {}
        for folder, since in taken.items():
            self._walked_next[folder.source] = min(since, self._walked_next.get(folder.source, since))
        return list(taken)

    def take_gone(self) -> list[Key]:
        """The folders that have gone."""
        taken, self._gone = list(self._gone), {}
        return taken

    def take_sources(self) -> list[SourceDue]:
        """The sources that have to be compared, in the order in which that was asked for."""
        taken, self._due = list(self._due), {}
        return taken

    @property
    def sources_due(self) -> bool:
        """Whether any source waits to be compared."""
        return bool(self._due)

    def is_compared(self, name: str) -> bool:
        """Whether a source is being compared, waits for it, or that waits to be decided."""
        return name in self.comparing or any(due.name == name for due in self._due)

    # -- what may still come --------------------------------------------------------------------------------------

    def walk_began(self, name: str) -> None:
        """Folders that appeared in a source are being walked."""
        self._walking[name] = self._walked_next.pop(name, time.monotonic())

    def walk_ended(self, name: str) -> None:
        """All that such a walk found is in here."""
        del self._walking[name]

    def may_appear_since(self, size: int) -> float:
        """Since when (monotonic) a file of that many bytes may be found that is not indexed yet; infinity: none may.

        It waits, or is in a folder that has yet to be walked. Of a disk that does not answer nothing is expected.
        """
        answering = self._context.sources.keys() - self.silent
        walks = [*self._walking.items(), *self._walked_next.items()]
        walks += ((folder.source, since) for folder, since in self._appeared.items())
        return min([self.paths.oldest_of_size(size, answering), *(since for name, since in walks if name in answering)])

    @property
    def idle(self) -> bool:
        """Whether nothing is looked at on disk, and no folder or source waits; paths may."""
        return not (self._appeared or self._gone or self._due or any(looks.busy for looks in self._looks.values()))

    def next_deadline(self) -> float:
        """When `tick`, or a part that takes from the queue, has something to do."""
        return 0.0 if self._appeared or self._gone or self._due else self._retries.next_deadline()

    def tick(self, now: float) -> None:
        """Failed items whose next attempt is due."""
        self.retry(self._retries.take(now))

    def _remember(self, folders: dict[Key, float], folder: Key) -> None:
        folders.setdefault(folder, time.monotonic())
        if len(folders) > MOST:
            folders.clear()
            for name in self._context.sources:
                self.overflowed(name)


def _by_source(keys: Iterable[Key]) -> Mapping[str, list[Key]]:
    """The keys of each source."""
    sources: dict[str, list[Key]] = {}
    for key in keys:
        sources.setdefault(key.source, []).append(key)
    return sources
