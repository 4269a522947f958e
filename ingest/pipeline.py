"""Decode -> carry or embed -> commit, every stage bounded, and each failing one item alone.

Runs in the loop's thread and never waits: decoding happens in processes, embedding in threads, questions to the index
and writing in workers. `room` says how many more paths may begin; it closes while the index or the network is the
slower one. Where paths wait for a stage, a new drop passes the backlog. A batch is written when it is full, when
nothing else is under way, or when its first item has waited long enough: alone, a picture does not wait for company.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol

from ingest.commit import Committer, Described, Held, Losing, Removal, Work, Written
from ingest.examine import Verdict, facts
from ingest.files import FileState, Key
from ingest.loop import Loop, Worker
from ingest.pending import Entry
from ingest.stability import DOUBTFUL
from ingest.vectors import Embedded, Embedding, FreshFirst, Vector, Vectors
from recq.errors import ImageError, Reason
from recq.images.workers import Decoded, DecodePool, FileChanged, Hashed
from recq.index.schema import Item, ItemError
from recq.space import InputSpec

UNDER_WAY = 48
"""Paths read, decoded or embedded at a time: enough to keep all busy."""

GROUP = 12
"""Paths that begin together while many wait: the index is asked about all of them at once."""

_FOR_FRESH = 16  # more that may be under way when they are fresh: the backlog has not taken every place
_AT_DECODERS = 2  # files handed to the decoding processes, for each of them: one to work on, one at hand

_LONGEST_WAIT = 0.2  # seconds for a finished item until its batch is written as it is
_WRITES = 2  # batches handed to the commit worker at a time
_REMOVAL_INTERVAL = 0.2  # seconds between two looks at the removals that wait
_LONGEST_WAVE = 4.0  # times `settle`: how long removals are gathered that do not cease
_UNFINISHED = frozenset({Reason.TRUNCATED, Reason.EMPTY, Reason.CORRUPT, Reason.NOT_AN_IMAGE})
"""What an upload in flight looks like."""


class Ends(Protocol):
    """Whom the pipeline tells what became of a path. All in the loop's thread."""

    def finished(self, key: Key) -> None:
        """Nothing more is to be done."""

    def again(self, entry: Entry, quiet: float) -> None:
        """It has to be looked at again, after that many seconds without a change."""

    def said(self, event: str, /, **fields: object) -> None:
        """Something worth a line happened."""

    def attempted(self, key: Key, error: ItemError | None) -> None:
        """It was embedded, or failed."""

    def held(self, held: Held) -> None:
        """Items have gone and were not deleted."""

    def losing(self, losing: Losing) -> None:
        """An item would lose metadata, which is still to be judged: its path is finished after that."""

    def removable(self, removal: Removal) -> bool:
        """Whether no unfinished file may be the new place of one that has gone."""


class Room(NamedTuple):
    """How many paths may begin: fresh ones, and others."""

    fresh: int
    backlog: int


@dataclass(eq=False)
class _Task:
    entry: Entry
    state: FileState
    known: Item | None
    embedded: Embedded | None = None  # its bytes had been embedded for another file when it was read


class Pipeline:
    """The stages between a verdict and the index. For the loop's thread."""

    def __init__(
        self,
        *,
        loop: Loop,
        pool: DecodePool,
        embedder: Embedding,
        spec: InputSpec,
        roots: Mapping[str, str],
        vectors: Callable[[Sequence[str]], Mapping[str, Vector]],
        committer: Committer,
        batch: int,
        settle: float,
        ends: Ends,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._spec = spec
        self._roots = roots
        self._committer = committer
        self._batch = batch
        self._settle = settle
        self._ends = ends
        self._vectors = Vectors(loop, embedder, vectors)
        self.commit = Worker("commit", loop)
        self._under_way = 0
        self._to_decode: FreshFirst[_Task] = FreshFirst()
        self._decoding = 0
        self._ready: list[Work] = []
        self._ready_since = 0.0
        self._describing: list[tuple[Key, Item]] = []
        self._remover = Worker("remove", loop)
        self._removals: dict[Key, Removal] = {}
        self._waves: dict[str, tuple[float, float]] = {}  # by source: when its removals began, and when the last came
        self._next_removal = 0.0

    # -- for the daemon -------------------------------------------------------------------------------------------

    @property
    def room(self) -> Room:
        """How many more paths may begin now."""
        if len(self._ready) >= 2 * self._batch or len(self._describing) >= 2 * self._batch:
            return Room(0, 0)
        free = UNDER_WAY - self._under_way
        return Room(fresh=max(0, free + _FOR_FRESH), backlog=free if free >= GROUP else 0)

    @property
    def removing(self) -> int:
        """How many items wait to be removed."""
        return len(self._removals)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and no removal waits."""
        return self.drained and not self._removals

    @property
    def drained(self) -> bool:
        """Whether nothing is under way."""
        return not (self._under_way or self._ready or self._describing or self.commit.busy or self._remover.busy)

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        ready = self._ready_since + _LONGEST_WAIT if self._ready and self.commit.busy < _WRITES else float("inf")
        return min(ready, self._next_removal if self._removals else float("inf"))

    def tick(self, now: float) -> None:
        """Hand over what is ready."""
        if self._ready and self.commit.busy < _WRITES:
            waited = now - self._ready_since >= _LONGEST_WAIT
            if len(self._ready) >= self._batch or waited or not self._under_way:
                works, self._ready = self._ready[: self._batch], self._ready[self._batch :]
                self._ready_since = now
                self.commit.submit(partial(self._committer.write, works), self._written)
        if self._describing and self.commit.busy < _WRITES:
            items, self._describing = self._describing[: self._batch], self._describing[self._batch :]
            self.commit.submit(partial(self._committer.replace, items), partial(self._described, items))
        if self._removals and now >= self._next_removal:
            self._next_removal = now + _REMOVAL_INTERVAL
            self._remove(now)

    def start(self, verdict: Verdict) -> None:
        """Read, decode, embed and write the file of a verdict."""
        assert verdict.state is not None
        self._under_way += 1
        self._to_decode.put(_Task(verdict.entry, verdict.state, verdict.known), fresh=verdict.entry.fresh)
        self._decode()

    def describe(self, verdict: Verdict) -> None:
        """Replace the metadata of an item."""
        assert verdict.known is not None
        self._describing.append((verdict.entry.key, verdict.known))

    def remove(self, verdict: Verdict, now: float) -> None:
        """Remove an item, once no unfinished file may be its new place, and together with all that goes with it."""
        assert verdict.known is not None
        file = verdict.known.file
        key = verdict.entry.key
        self._removals[key] = Removal(key, file.id, file.size, verdict.state, verdict.entry.witnessed, file.sha256)
        self._waves[key.source] = self._waves.get(key.source, (now, now))[0], now

    # -- decoding -------------------------------------------------------------------------------------------------

    def _decode(self) -> None:
        while self._to_decode and self._decoding < _AT_DECODERS * self._pool.workers:
            task = self._to_decode.take()
            key = task.entry.key
            self._decoding += 1
            path = f"{self._roots[key.source]}/{key.path}"
            future = self._pool.submit_unknown(path, self._spec, partial(self._is_embedded, task))
            future.add_done_callback(partial(self._post_decoded, task))

    def _is_embedded(self, task: _Task, digest: str) -> bool:
        """In a thread of the pool: whether the file's bytes have just been embedded for another one."""
        task.embedded = self._vectors.recent(digest)
        return task.embedded is not None

    def _post_decoded(self, task: _Task, future: Future[Hashed]) -> None:
        self._loop.post(partial(self._decoding_ended, task, future))

    def _decoding_ended(self, task: _Task, future: Future[Hashed]) -> None:
        self._decoding -= 1
        self._decode()
        try:
            read = future.result()
        except CancelledError:
            self._under_way -= 1
        except ImageError as error:
            self._failed(task, error)
        except FileChanged:
            self._back(task, self._settle)
        except FileNotFoundError:
            self._back(task, 0.0)
        else:
            if isinstance(read, Decoded):
                self._vectors.ask(read, partial(self._vector_found, task, read), fresh=task.entry.fresh)
            else:
                assert task.embedded is not None
                self._embedded(task, read, task.embedded, carried=True)

    def _vector_found(self, task: _Task, decoded: Decoded, outcome: Vector | ImageError | None, carried: bool) -> None:
        if outcome is None:
            self._under_way -= 1
        elif isinstance(outcome, ImageError):
            self._failed(task, outcome)
        else:
            embedded = Embedded(decoded.format, decoded.width, decoded.height, outcome)
            self._embedded(task, decoded, embedded, carried=carried)

    def _failed(self, task: _Task, error: ImageError) -> None:
        """An item without a vector; but a young file that looks cut short is given more time first."""
        patience = DOUBTFUL * self._settle
        young = abs(time.time_ns() - task.state.mtime_ns) < patience * 1e9
        if error.reason in _UNFINISHED and young and task.entry.observation.quiet < patience:
            self._back(task, patience)
            return
        before = task.known.error if task.known is not None else None
        failure = ItemError(
            error.reason,
            error.detail,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            attempts=1 + (before.attempts if before is not None else 0),
        )
        item = Item(facts(task.entry.key, task.state), error=failure)
        self._finish(Work(task.entry, item, None, task.state, carried=False, known=task.known is not None))

    def _back(self, task: _Task, quiet: float) -> None:
        self._under_way -= 1
        self._ends.again(task.entry, quiet)

    def _embedded(self, task: _Task, read: Hashed, embedded: Embedded, *, carried: bool) -> None:
        state = FileState(read.size, read.mtime_ns)
        file = replace(
            facts(task.entry.key, state),
            sha256=read.sha256,
            format=embedded.format,
            width=embedded.width,
            height=embedded.height,
        )
        known = task.known is not None
        self._finish(Work(task.entry, Item(file), embedded.vector, state, carried=carried, known=known))

    # -- writing --------------------------------------------------------------------------------------------------

    def _finish(self, work: Work) -> None:
        self._under_way -= 1
        if not self._ready:
            self._ready_since = time.monotonic()
        self._ready.append(work)

    def _written(self, written: Written) -> None:
        now = time.monotonic()
        losing = dict(written.losing)
        for work in written.done:
            file, error = work.item.file, work.item.error
            name = "failed" if error is not None else "reused" if work.carried else "indexed"
            why = {"reason": str(error.reason), "detail": error.detail, "attempts": error.attempts} if error else {}
            self._ends.said(
                name, source=file.source, path=file.path, ms=round((now - work.entry.observation.since) * 1000), **why
            )
            self._ends.attempted(work.key, error)
            if work.key in losing:
                self._ends.losing((work.key, losing[work.key]))
            else:
                self._ends.finished(work.key)
        for work, reason in written.refused:
            self._ends.said("refused", source=work.key.source, path=work.item.file.path, detail=reason)
            self._ends.finished(work.key)
        for work in written.again:
            self._ends.again(work.entry, self._settle)

    def _described(self, items: Sequence[tuple[Key, Item]], described: Described) -> None:
        for item in described.done:
            self._ends.said("metadata", source=item.file.source, path=item.file.path)
        losing = dict(described.losing)
        for key, _ in items:
            if key in losing:
                self._ends.losing((key, losing[key]))
            else:
                self._ends.finished(key)

    def _remove(self, now: float) -> None:
        """Hand over the removals of sources that nothing more goes from: whether that was too much is asked of all."""
        if self._remover.busy:
            return
        ripe = {
            source
            for source, (first, last) in self._waves.items()
            if now - last >= self._settle or now - first >= _LONGEST_WAVE * self._settle
        }
        due = [
            removal
            for removal in self._removals.values()
            if removal.key.source in ripe and (removal.state is not None or self._ends.removable(removal))
        ]
        for removal in due:
            del self._removals[removal.key]
        if due:
            self._remover.submit(partial(self._committer.delete, due), partial(self._removed, due))
        for source in ripe - {key.source for key in self._removals}:
            del self._waves[source]

    def _removed(self, due: Sequence[Removal], outcome: tuple[Sequence[Removal], Sequence[Held]]) -> None:
        deleted, held = outcome
        for removal in deleted:
            self._ends.said("deleted", source=removal.key.source, path=facts(removal.key, None).path)
        for each in held:
            self._ends.held(each)
        for removal in due:
            self._ends.finished(removal.key)
