"""Decode -> carry or embed -> commit, every stage bounded, and each failing one item alone.

Runs in the loop's thread and never waits: decoding happens in processes, embedding in threads, questions to the index
and writing in workers. `room` says how many more paths of a source may begin; it closes while the index or the network
is the slower one. Where paths wait for a stage, a new drop passes the backlog. A batch is of one source, since what is
written is compared with its disk once more; it is written when it is full, when nothing else of its source is under
way, or when its first item has waited long enough: alone, a picture does not wait for company.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from ingest.events.pending import PendingPath
from ingest.events.stability import DOUBTFUL
from ingest.loop import Loop, Workers
from ingest.pipeline.batches import Outgoing
from ingest.pipeline.commit import (
    Committer,
    Held,
    Losing,
    Removal,
    Replaced,
    Touched,
    Work,
    Written,
    attempt_after,
    failed,
)
from ingest.pipeline.decoding import Decoding
from ingest.pipeline.examine import Verdict, facts
from ingest.pipeline.vectors import Embedded, Embedding, Vector, Vectors
from ingest.reconcile.outdated import needs_decoding
from ingest.reconcile.retry import PASSING
from ingest.source.files import FileState, Key
from recq.errors import ImageError, Reason
from recq.images.revision import DECODER_REVISION
from recq.images.workers import Decoded, DecodePool, FileChanged, Hashed
from recq.index.ledger import Carried
from recq.index.schema import Item, ItemError
from recq.space import InputSpec

UNDER_WAY = 48
"""Paths read, decoded or embedded at a time: enough to keep all busy. A source always has its share of these places:
what another has under way may wait for a disk that does not answer."""

GROUP = 12
"""Paths that begin together while many wait: the index is asked about all of them at once."""

_FOR_FRESH = 16  # more that may be under way when they are fresh: the backlog has not taken every place
_WRITES = 2  # batches handed to the commit worker of a source at a time
_REMOVAL_INTERVAL = 0.2  # seconds between two looks at the removals that wait
_LONGEST_WAVE = 4.0  # times `settle`: how long removals are gathered that do not cease
_UNFINISHED = frozenset({Reason.TRUNCATED, Reason.EMPTY, Reason.CORRUPT, Reason.NOT_AN_IMAGE})
"""What an upload in flight looks like."""


class Ends(Protocol):
    """Whom the pipeline tells what became of a path. All in the loop's thread."""

    def finished(self, key: Key) -> None:
        """Nothing more is to be done."""

    def again(self, entry: PendingPath, quiet: float) -> None:
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
    """How many paths of a source may begin: fresh ones, and others."""

    fresh: int
    backlog: int


@dataclass(eq=False)
class _Task:
    entry: PendingPath
    state: FileState
    known: Item | None
    embedded: Embedded | None = None  # its bytes had been embedded for another file when it was read
    compared: bool = False  # it is embedded only when its bytes are not those of `known`
    described: bool = True  # of one that is compared: its metadata is the folder's
    hashed: bool = False
    same: bool = False  # its bytes are those of `known`


class Pipeline:
    """The stages between a verdict and the index. For the loop's thread."""

    def __init__(
        self,
        *,
        loop: Loop,
        pool: DecodePool,
        embedder: Embedding,
        spec: InputSpec,
        vectors: Callable[[Sequence[str]], Mapping[str, Carried]],
        committer: Committer,
        batch: int,
        settle: float,
        ends: Ends,
    ) -> None:
        self._loop = loop
        self._decoding = Decoding(loop, pool, spec)
        self._roots: dict[str, str] = {}
        self._batch = batch
        self._committer = committer
        self._settle = settle
        self._ends = ends
        self._vectors = Vectors(loop, embedder, vectors)
        self._commits = Workers("commit", loop)
        self._under_way: Counter[str] = Counter()
        self._outgoing: dict[str, Outgoing] = {}
        self._removers = Workers("remove", loop)
        self._removals: dict[str, dict[Key, Removal]] = {}
        self._waves: dict[str, tuple[float, float]] = {}  # by source: when its removals began, and when the last came
        self._next_removal = 0.0

    # -- for the daemon -------------------------------------------------------------------------------------------

    def add(self, source: str, root: str) -> None:
        """Take paths of this source, too, whose folder is `root`."""
        self._roots[source] = root
        self._outgoing[source] = Outgoing(self._batch)
        self._removals[source] = {}
        self._decoding.add(source)

    def room(self, source: str, examined: int = 0) -> Room:
        """How many more paths of a source may begin now, where so many others are being `examined`."""
        out = self._outgoing[source]
        if out.full:
            return Room(0, 0)
        free = UNDER_WAY - self._under_way.total() - examined
        share = max(1, UNDER_WAY // len(self._roots))
        own = share - self._under_way[source]
        backlog = free if free >= GROUP else own if own >= min(GROUP, share) else 0
        return Room(fresh=max(0, free + _FOR_FRESH, own), backlog=max(0, backlog))

    def removing(self, source: str) -> int:
        """How many items of a source wait to be removed."""
        return len(self._removals[source])

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and no removal waits."""
        return self.drained and not any(self._removals.values())

    @property
    def drained(self) -> bool:
        """Whether nothing is under way."""
        outgoing = sum(map(len, self._outgoing.values()))
        return not (self._under_way.total() or outgoing or self._commits.busy or self._removers.busy)

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        ready = [
            min(out.works.deadline, out.touched.deadline)
            for name, out in self._outgoing.items()
            if self._commits[name].busy < _WRITES
        ]
        removal = self._next_removal if any(self._removals.values()) else float("inf")
        return min([*ready, removal, self._decoding.next_deadline()])

    def tick(self, now: float) -> None:
        """Hand over what is ready."""
        self._decoding.tick(now)
        for name, out in self._outgoing.items():
            commit = self._commits[name]
            alone = not self._under_way[name]
            if commit.busy < _WRITES and (works := out.works.take(now, alone=alone)):
                commit.submit(partial(self._committer.write, works), self._written)
            if commit.busy < _WRITES and (touched := out.touched.take(now, alone=alone)):
                commit.submit(partial(self._committer.keep_ctimes, touched), partial(self._kept, touched))
            if commit.busy < _WRITES and (items := out.describing.take(now, alone=True)):
                commit.submit(partial(self._committer.replace, items), partial(self._described, items))
        if any(self._removals.values()) and now >= self._next_removal:
            self._next_removal = now + _REMOVAL_INTERVAL
            self._remove(now)

    def start(self, verdict: Verdict) -> None:
        """Read, decode, embed and write the file of a verdict."""
        assert verdict.state is not None
        self._under_way[verdict.entry.key.source] += 1
        self._decode(_Task(verdict.entry, verdict.state, verdict.known))

    def compare(self, verdict: Verdict) -> None:
        """Read the file of a verdict; embed and write it where its bytes are not those that the index knows."""
        assert verdict.state is not None
        self._under_way[verdict.entry.key.source] += 1
        self._decode(_Task(verdict.entry, verdict.state, verdict.known, compared=True, described=verdict.described))

    def describe(self, verdict: Verdict) -> None:
        """Replace the metadata of an item."""
        assert verdict.known is not None
        self._outgoing[verdict.entry.key.source].describing.add((verdict.entry.key, verdict.known))

    def remove(self, verdict: Verdict, now: float) -> None:
        """Remove an item, once no unfinished file may be its new place, and together with all that goes with it."""
        assert verdict.known is not None
        file = verdict.known.file
        key = verdict.entry.key
        entry = verdict.entry
        removal = Removal(key, file.id, file.size, verdict.state, entry.witnessed, file.sha256, hinted=entry.fresh)
        self._removals[key.source][key] = removal
        self._waves[key.source] = self._waves.get(key.source, (now, now))[0], now

    # -- decoding -------------------------------------------------------------------------------------------------

    def _decode(self, task: _Task) -> None:
        key = task.entry.key
        path = f"{self._roots[key.source]}/{key.path}"
        then = partial(self._decoding_ended, task)
        self._decoding.submit(key.source, path, partial(self._is_embedded, task), then, fresh=task.entry.fresh)

    def _is_embedded(self, task: _Task, digest: str) -> bool:
        """In a thread of the pool: whether these bytes are the known ones, or were just embedded for another."""
        task.hashed = True
        if task.compared and task.known is not None and digest == task.known.file.sha256:
            task.same = True
            return True
        task.embedded = self._vectors.recent(digest)
        return task.embedded is not None

    def _decoding_ended(self, task: _Task, future: Future[Hashed]) -> None:
        try:
            read = future.result()
        except CancelledError:
            self._ended(task.entry)
        except ImageError as error:
            if task.compared and not task.hashed:  # attributes changed, and now it cannot be read: it stays as it was
                self._ended(task.entry)
                self._ends.finished(task.entry.key)
            else:
                self._failed(task, error)
        except FileChanged:
            self._back(task, self._settle)
        except FileNotFoundError:
            self._back(task, 0.0)
        except Exception as error:  # a mistake of recq's or a library's costs the one picture that shows it
            self._failed(task, ImageError(Reason.CRASHED, f"{type(error).__name__}: {error}"))
        else:
            if not self._as_examined(task, read):
                self._back(task, self._settle)
            elif task.same:
                self._same(task)
            elif isinstance(read, Decoded):
                self._vectors.ask(read, partial(self._vector_found, task, read), fresh=task.entry.fresh)
            else:
                assert task.embedded is not None
                self._embedded(task, read, task.embedded, carried=True)

    @staticmethod
    def _as_examined(task: _Task, read: Hashed) -> bool:
        """Whether what was read is in the state of the look before it; only of that one the ctime is known."""
        state = task.state
        return state.ctime_ns is None or (read.size, read.mtime_ns) == (state.size, state.mtime_ns)

    def _same(self, task: _Task) -> None:
        """Its bytes are the known ones: nothing is embedded, the new ctime is kept."""
        assert task.known is not None
        self._ended(task.entry)
        key, file = task.entry.key, replace(task.known.file, ctime_ns=task.state.ctime_ns)
        if task.described:
            self._outgoing[key.source].touched.add(Touched(task.entry, file.id, task.state))
        else:
            self._outgoing[key.source].describing.add((key, replace(task.known, file=file)))

    def _vector_found(self, task: _Task, decoded: Decoded, outcome: Vector | ImageError | None, carried: bool) -> None:
        if outcome is None:
            self._ended(task.entry)
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
        known = task.known
        if known is not None and known.error is None and error.reason in PASSING and needs_decoding(known):
            # An older recq embedded it, and it cannot be read just now: what it has is better than nothing.
            self._ended(task.entry)
            self._ends.finished(task.entry.key)
            return
        attempt = attempt_after(known)
        failure = failed(error.reason, error.detail, attempt)
        item = Item(replace(facts(task.entry.key, task.state), decoder=DECODER_REVISION), error=failure)
        self._finish(Work(task.entry, item, None, task.state, carried=False, known=known is not None, attempt=attempt))

    def _back(self, task: _Task, quiet: float) -> None:
        self._ended(task.entry)
        self._ends.again(task.entry, quiet)

    def _ended(self, entry: PendingPath) -> None:
        """A path is read, decoded or embedded no more."""
        self._under_way[entry.key.source] -= 1

    def _embedded(self, task: _Task, read: Hashed, embedded: Embedded, *, carried: bool) -> None:
        state = FileState(read.size, read.mtime_ns, task.state.ctime_ns)
        file = replace(
            facts(task.entry.key, state),
            sha256=read.sha256,
            format=embedded.format,
            width=embedded.width,
            height=embedded.height,
            decoder=DECODER_REVISION,
        )
        known, attempt = task.known is not None, attempt_after(task.known)
        self._finish(
            Work(task.entry, Item(file), embedded.vector, state, carried=carried, known=known, attempt=attempt)
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def _finish(self, work: Work) -> None:
        self._ended(work.entry)
        self._outgoing[work.key.source].works.add(work)

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
        for work, error in written.refused:
            self._ends.said("refused", source=work.key.source, path=work.item.file.path, detail=error.detail)
            self._ends.attempted(work.key, error)
            self._ends.finished(work.key)
        for work in written.again:
            self._ends.again(work.entry, self._settle)

    def _kept(self, touched: Sequence[Touched], again: Sequence[Touched]) -> None:
        for each in touched:
            if each in again:
                self._ends.again(each.entry, self._settle)
            else:
                self._ends.finished(each.entry.key)

    def _described(self, items: Sequence[tuple[Key, Item]], written: Replaced) -> None:
        for item in written.done:
            self._ends.said("metadata", source=item.file.source, path=item.file.path)
        for item, detail in written.refused:
            self._ends.said("refused", source=item.file.source, path=item.file.path, detail=detail)
        losing = dict(written.losing)
        for key, _ in items:
            if key in losing:
                self._ends.losing((key, losing[key]))
            else:
                self._ends.finished(key)

    def _remove(self, now: float) -> None:
        """Hand over the removals of sources that nothing more goes from: whether that was too much is asked of all."""
        for source, (first, last) in list(self._waves.items()):
            if self._removers[source].busy:
                continue
            if now - last < self._settle and now - first < _LONGEST_WAVE * self._settle:
                continue
            removals = self._removals[source]
            due = [each for each in removals.values() if each.state is not None or self._ends.removable(each)]
            for removal in due:
                del removals[removal.key]
            if due:
                self._removers[source].submit(partial(self._committer.delete, due), partial(self._removed, due))
            if not removals:
                del self._waves[source]

    def _removed(self, due: Sequence[Removal], outcome: tuple[Sequence[Removal], Sequence[Held]]) -> None:
        deleted, held = outcome
        for removal in deleted:
            self._ends.said("deleted", source=removal.key.source, path=facts(removal.key, None).path)
        for each in held:
            self._ends.held(each)
        for removal in due:
            self._ends.finished(removal.key)
