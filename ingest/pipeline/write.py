"""Write: items with a vector, failed items and new metadata are collected in batches for the committer.

A batch is of one source, since each file is compared with its disk once more. A batch is written when it is full, when
nothing else of its source is under way, or when its first item has waited long enough: a single picture is written at
once. For the loop's thread; batches are written in workers, one for each source.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ingest.context import Context
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.events.retry import PASSING
from ingest.events.stability import DOUBTFUL
from ingest.index.predictions import ItemRead, Refreshed
from ingest.loop import Workers
from ingest.pipeline.afterwards import Afterwards
from ingest.pipeline.batches import Outgoing
from ingest.pipeline.commit import Committer, Replaced, Reread, Touched, Work, Written, attempt_after, failed
from ingest.pipeline.losses import Losses
from ingest.pipeline.places import Places
from ingest.pipeline.vectors import Embedded
from ingest.pipeline.verdict import Fate, Verdict, facts
from ingest.reconcile.outdated import needs_decoding
from ingest.source.files import FileState, Key
from recq.errors import ImageError, Reason
from recq.images.revision import DECODER_REVISION
from recq.images.workers import Hashed
from recq.index.schema import Item

_WRITES = 2  # batches handed to the commit worker of a source at a time
_UNFINISHED = frozenset({Reason.TRUNCATED, Reason.EMPTY, Reason.CORRUPT, Reason.NOT_AN_IMAGE})
"""The reasons with which an unfinished upload fails."""


class Write:
    """Collects what is to be written; items that would lose metadata go on to `losses`."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        places: Places,
        committer: Committer,
        losses: Losses,
        afterwards: Afterwards,
    ) -> None:
        self._say = context.say
        self._settle = context.settings.settle
        self._batch = context.settings.batch
        self._queue = queue
        self._places = places
        self._committer = committer
        self._losses = losses
        self._afterwards = afterwards
        self._workers = Workers("commit", context.loop)
        self._outgoing: dict[str, Outgoing] = {}

    def add(self, source: str) -> None:
        """Write items of this source, too."""
        self._outgoing[source] = Outgoing(self._batch)

    def is_full(self, source: str) -> bool:
        """Whether the index is slower than the stages before it: no more paths of the source may begin."""
        return self._outgoing[source].full

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written, or is being written."""
        unreported = any(out.report_at < float("inf") for out in self._outgoing.values())
        return not (any(map(len, self._outgoing.values())) or self._workers.busy or unreported)

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        ready = (
            min(out.works.deadline, out.touched.deadline, out.predicting.deadline)
            for name, out in self._outgoing.items()
            if self._workers[name].busy < _WRITES
        )
        return min([*ready, *(out.report_at for out in self._outgoing.values())], default=float("inf"))

    def tick(self, now: float) -> None:
        """Hand batches that are ready to the committer."""
        for name, out in self._outgoing.items():
            worker = self._workers[name]
            alone = not self._places.of(name)
            if worker.busy < _WRITES and (works := out.works.take(now, alone=alone)):
                worker.submit(partial(self._committer.write, works), self._written)
            if worker.busy < _WRITES and (touched := out.touched.take(now, alone=alone)):
                worker.submit(partial(self._committer.keep_ctimes, touched), partial(self._kept, touched))
            if worker.busy < _WRITES and (items := out.describing.take(now, alone=True)):
                worker.submit(partial(self._committer.replace, items), partial(self._described, items))
            if worker.busy < _WRITES and (reread := out.predicting.take(now, alone=alone)):
                worker.submit(partial(self._committer.predict, reread), partial(self._predicted, name, reread))
            for each in out.take_predicted(now, alone=alone and not len(out) and not worker.busy):
                self._say("predicted", source=name, **vars(each))

    # -- what is to be written --------------------------------------------------------------------------------------

    def embedded(self, verdict: Verdict, read: Hashed, embedded: Embedded, *, carried: bool) -> None:
        """Queue an item with its vector; `carried`: it was not computed for this file."""
        assert verdict.state is not None
        if verdict.fate is Fate.PREDICT and verdict.known is not None and verdict.known.file.sha256 == read.sha256:
            found = ItemRead(verdict.known, embedded.vector, embedded.read)
            self._places.leave(verdict.entry.key.source)
            self._outgoing[verdict.entry.key.source].predicting.add(Reread(verdict.entry, found, verdict.described))
            return
        state = FileState(read.size, read.mtime_ns, verdict.state.ctime_ns)
        file = replace(
            facts(verdict.entry.key, state),
            sha256=read.sha256,
            format=embedded.format,
            width=embedded.width,
            height=embedded.height,
            decoder=DECODER_REVISION,
        )
        known, attempt = verdict.known is not None, attempt_after(verdict.known)
        self._put(
            Work(
                verdict.entry,
                Item(file),
                embedded.vector,
                state,
                carried=carried,
                known=known,
                attempt=attempt,
                read=embedded.read,
            )
        )

    def failed(self, verdict: Verdict, error: ImageError) -> None:
        """Queue an item without a vector; a young file that looks cut short is given more time first."""
        entry, state, known = verdict.entry, verdict.state, verdict.known
        assert state is not None
        if verdict.fate is Fate.PREDICT:  # its vector is there: it stays as it is, and is read after a later comparison
            self._places.leave(entry.key.source)
            self._end_reread(entry, described=verdict.described)
            return
        patience = DOUBTFUL * self._settle
        young = abs(time.time_ns() - state.mtime_ns) < patience * 1e9
        if error.reason in _UNFINISHED and young and entry.observation.quiet < patience:
            self._places.leave(entry.key.source)
            self._queue.again(entry, patience)
            return
        if known is not None and known.error is None and error.reason in PASSING and needs_decoding(known):
            # An older recq embedded it, and it cannot be read just now: its old vector is better than none.
            self._places.leave(entry.key.source)
            self._queue.finish(entry.key)
            return
        attempt = attempt_after(known)
        failure = failed(error.reason, error.detail, attempt)
        item = Item(replace(facts(entry.key, state), decoder=DECODER_REVISION), error=failure)
        self._put(Work(entry, item, None, state, carried=False, known=known is not None, attempt=attempt))

    def same(self, verdict: Verdict) -> None:
        """The bytes are those that the index has: the new ctime is stored, and the metadata where it has changed."""
        state, known = verdict.state, verdict.known
        assert state is not None
        assert known is not None
        self._places.leave(verdict.entry.key.source)
        out = self._outgoing[verdict.entry.key.source]
        if verdict.described:
            out.touched.add(Touched(verdict.entry, known.file.id, state))
        else:
            file = replace(known.file, ctime_ns=state.ctime_ns)
            out.describing.add((verdict.entry.key, replace(known, file=file)))

    def describe(self, verdict: Verdict) -> None:
        """Queue an item whose metadata has changed."""
        assert verdict.known is not None
        self._outgoing[verdict.entry.key.source].describing.add((verdict.entry.key, verdict.known))

    def dropped(self, verdict: Verdict) -> None:
        """The daemon stops: nothing is written of a file that was under way."""
        self._places.leave(verdict.entry.key.source)

    def _put(self, work: Work) -> None:
        self._places.leave(work.key.source)
        self._outgoing[work.key.source].works.add(work)

    # -- what has been written --------------------------------------------------------------------------------------

    def _written(self, written: Written) -> None:
        now = time.monotonic()
        losing = dict(written.losing)
        for work in written.done:
            file, error = work.item.file, work.item.error
            name = "failed" if error is not None else "reused" if work.carried else "indexed"
            why = {"reason": str(error.reason), "detail": error.detail, "attempts": error.attempts} if error else {}
            ms = round((now - work.entry.observation.since) * 1000)
            self._say(name, id=work.item.id, source=file.source, path=file.path, ms=ms, **why)
            self._queue.attempted(work.key, error, now)
            self._end(work.key, losing)
        for work, error in written.refused:
            item = work.item
            self._say("refused", id=item.id, source=item.file.source, path=item.file.path, detail=error.detail)
            self._queue.attempted(work.key, error, now)
            self._queue.finish(work.key)
        for work in written.again:
            self._queue.again(work.entry, self._settle)
        self._afterwards.written()

    def _kept(self, touched: Sequence[Touched], again: Sequence[Touched]) -> None:
        for each in touched:
            if each in again:
                self._queue.again(each.entry, self._settle)
            else:
                self._queue.finish(each.entry.key)
        self._afterwards.written()

    def _described(self, items: Sequence[tuple[Key, Item]], written: Replaced) -> None:
        for item in written.done:
            self._say("metadata", id=item.id, source=item.file.source, path=item.file.path)
        for item, detail in written.refused:
            self._say("refused", id=item.id, source=item.file.source, path=item.file.path, detail=detail)
        losing = dict(written.losing)
        for key, _ in items:
            self._end(key, losing)
        self._afterwards.written()

    def _predicted(self, source: str, reread: Sequence[Reread], done: Sequence[Refreshed]) -> None:
        self._outgoing[source].predicted(done, time.monotonic())
        for each in reread:
            self._end_reread(each.entry, described=each.described)
        self._afterwards.written()

    def _end_reread(self, entry: PendingPath, *, described: bool) -> None:
        """Finish a path that was read for what is predicted of it, unless its metadata has changed as well."""
        if described:
            self._queue.finish(entry.key)
        else:
            self._queue.again(replace(entry, unpredicted=False), 0.0)

    def _end(self, key: Key, losing: dict[Key, Item]) -> None:
        """Finish a path, unless its item would lose metadata: the loss is still to be judged."""
        if key in losing:
            self._losses.put((key, losing[key]))
        else:
            self._queue.finish(key)
