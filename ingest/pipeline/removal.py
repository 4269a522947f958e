"""Remove: items whose files have gone are gathered by source until no more go, judged together, and deleted.

Whether too many go at once can be decided for all of them, never for one. An item waits while a file that is not
indexed yet may have its bytes. A worker of the source checks each item once more right before it is deleted. Items
that are held stay in the index until a comparison decides otherwise. A rule ignores many files in one moment, of which
events report some: those wait for the comparison that counts all of them. For the loop's thread.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ingest.context import Context
from ingest.events.queue import Queue
from ingest.index.isolation import Isolation
from ingest.index.retrying import Retrier
from ingest.index.size import embedded_in
from ingest.loop import Worker, Workers
from ingest.pipeline.afterwards import Afterwards
from ingest.pipeline.found_problems import problems_kept
from ingest.pipeline.last_look import last_look
from ingest.pipeline.verdict import Verdict, facts
from ingest.reconcile.origins import Holders
from ingest.reconcile.survivors import Survivors
from ingest.source.files import FileState, Key
from ingest.source.guard import emptied, too_many
from ingest.source.held import Held
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog
from recq.index.changes import Gone
from recq.index.schema import Item
from recq.paths import to_text

_DELETED_AT_ONCE = 500  # points in one request
_INTERVAL = 0.2  # seconds between two looks at the removals that wait
_LONGEST_WAVE = 4.0  # times `settle`: how long removals are gathered while more come

_NEW_PLACE_WITHIN = 10.0
"""Seconds after a removal: a file of its size that is noticed later is not where its file has moved to. Two polls."""


@dataclass(frozen=True)
class Removal:
    """A point to be deleted: there is no file at its path, or one in `state` that is no item.

    `witnessed`: the kernel itself reported the removal. `size` and `sha256` are the item's (no `sha256`: it had
    failed). `hinted`: events reported the removal, not a comparison. `since` is when it was queued
    (monotonic).
    """

    key: Key
    item_id: str
    size: int
    state: FileState | None
    witnessed: bool
    sha256: str | None = None
    hinted: bool = False
    since: float = 0.0

    def gone(self) -> Gone:
        """What is kept of the item."""
        return Gone(self.item_id, self.key.source, *to_text(self.key.path), self.sha256)

    @property
    def ruled(self) -> bool:
        """Whether its file stands, and events alone reported that it is no item any more: a rule may ignore more."""
        return self.hinted and self.state is not None


class Removals:
    """Takes the verdicts on items whose files have gone."""

    def __init__(self, context: Context, queue: Queue, deleter: Deleter, afterwards: Afterwards) -> None:
        self._context = context
        self._queue = queue
        self._deleter = deleter
        self._afterwards = afterwards
        self._workers = Workers("remove", context.loop)
        self._waiting: dict[str, dict[Key, Removal]] = {}
        self._waves: dict[str, tuple[float, float]] = {}  # by source: when its removals began, and when the last came
        self._next = 0.0
        self._asking = Worker("other parts", context.loop)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be removed, or is being removed."""
        return not (self._waiting or self.busy)

    @property
    def busy(self) -> bool:
        """Whether something is being removed."""
        return self._workers.busy > 0

    def put(self, verdict: Verdict) -> None:
        """Queue an item for removal, which is judged together with all that go at the same time."""
        assert verdict.known is not None
        entry, file = verdict.entry, verdict.known.file
        name, now = entry.key.source, time.monotonic()
        removal = Removal(
            entry.key, file.id, file.size, verdict.state, entry.witnessed, file.sha256, hinted=entry.fresh, since=now
        )
        self._waiting.setdefault(name, {})[entry.key] = removal
        self._queue.paths.written(entry.key)  # the index has it: a comparison that waits for new files must not wait
        self._queue.paths.set_aside(entry.key)
        self._waves[name] = self._waves.get(name, (now, now))[0], now

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return self._next if self._waiting else float("inf")

    def tick(self, now: float) -> None:
        """Hand over the removals of sources from which no more go."""
        if not self._waiting or now < self._next:
            return
        self._next = now + _INTERVAL
        settle = self._context.settings.settle
        for name, waiting in list(self._waiting.items()):
            first, last = self._waves[name]
            if self._workers[name].busy or (now - last < settle and now - first < _LONGEST_WAVE * settle):
                continue
            # Once for each size: thousands may wait, and a look goes over all folders that have yet to be walked.
            may_appear_since = functools.cache(self._queue.may_appear_since)
            compared = self._queue.is_compared(name)
            due = [
                each
                for each in waiting.values()
                if not (compared if each.ruled else _may_have_moved(each, may_appear_since(each.size)))
            ]
            due = self._not_elsewhere(due, now)
            for removal in due:
                del waiting[removal.key]
            if due:
                self._workers[name].submit(partial(self._deleter.delete, due), partial(self._removed, due))
            if not waiting:
                del self._waiting[name], self._waves[name]

    def _not_elsewhere(self, due: list[Removal], now: float) -> list[Removal]:
        """Those that no file in another daemon's part may be, which the index does not have yet."""
        others = self._queue.others
        places = {
            each.key: others.places(each.key.source, each.size, each.since, now) for each in due if each.state is None
        }
        wanted = list({place: None for found in places.values() for place in found})
        if wanted and not self._asking.busy:
            self._asking.submit(partial(self._deleter.indexed, wanted), others.written)
        return [each for each in due if not places.get(each.key)]

    def _removed(self, due: Sequence[Removal], outcome: tuple[Sequence[Removal], Sequence[Held]]) -> None:
        deleted, held = outcome
        for removal in deleted:
            item = Item(facts(removal.key, None))
            self._context.say("deleted", id=item.id, source=item.file.source, path=item.file.path)
        for each in held:
            self._held(each)
        for removal in due:
            self._queue.finish(removal.key)
        if deleted:
            self._afterwards.removed()
        self._afterwards.written()

    def _held(self, held: Held) -> None:
        """Report items that have gone and stay in the index, or have a comparison decide.

        Where events reported the removals, the files may have moved again while their bytes were looked for.
        """
        if held.hinted and self._context.live:
            self._queue.doubt(held.source)
        else:
            self._context.sources[held.source].held += held.items
            self._context.report_held(held)


def _may_have_moved(removal: Removal, appeared: float) -> bool:
    """Whether a file of its size that is not indexed yet, since `appeared`, may be the removed one at its new path.

    Those that come later do not count: a steady stream of them would keep the item for ever.
    """
    return removal.state is None and appeared <= removal.since + _NEW_PLACE_WITHIN


# -- in workers --------------------------------------------------------------------------------------------------------


class Deleter:
    """Deletes from one catalog, and repeats a request while the index is away.

    `index` tells which other items have the same bytes.
    """

    def __init__(
        self, catalog: Catalog, retrier: Retrier, sources: Mapping[str, WatchedSource], index: Holders
    ) -> None:
        self._catalog = catalog
        self._retrier = retrier
        self._sources = sources
        self._index = index
        self._isolation = Isolation(retrier, catalog.writes.probe)

    def delete(self, removals: Sequence[Removal]) -> tuple[Sequence[Removal], Sequence[Held]]:
        """Delete the items whose files are still gone. Returns what was deleted, and what was held.

        Items are held where their root has gone, and where a source has lost too many at once. An item whose bytes are
        still in the index at another path is not lost.
        """
        deleted: list[Removal] = []
        held: list[Held] = []
        for name in sorted({removal.key.source for removal in removals}):
            watched = self._sources[name]
            trusted = _trusts(watched)
            gone = [
                each for each in removals if each.key.source == name and last_look(watched, each.key.path) == each.state
            ]
            hinted = any(removal.hinted for removal in gone)
            believed = [removal for removal in gone if trusted(removal)]
            if len(believed) < len(gone):
                held.append(Held(name, len(gone) - len(believed), emptied(name, watched.root), hinted=hinted))
            spared, lost = self._split(name, believed)
            deleted += spared
            if watched.held and (ruled := [removal for removal in lost if removal.ruled]):
                held.append(Held(name, len(ruled), too_many(name), hinted=True))
                lost = [removal for removal in lost if not removal.ruled]
            if len(lost) > watched.guard.left:
                watched.guard.grown(self._retrier(embedded_in, self._catalog, name, watched.part))
            if watched.guard.takes(len(lost)):
                deleted += lost
            else:
                rule = watched.rule_ignoring(lost[0].key.path)
                held.append(Held(name, len(lost), too_many(name, rule), hinted=hinted))
        for chunk in [deleted[start : start + _DELETED_AT_ONCE] for start in range(0, len(deleted), _DELETED_AT_ONCE)]:
            with problems_kept(self._sources, self._catalog, self._retrier):
                outcome = self._isolation.each(self._delete, chunk)
                for removal in outcome.done:
                    self._sources[removal.key.source].clear_refusal(to_text(removal.key.path)[0])
                for removal, error in outcome.refused:
                    detail = f"its file has gone, and the item cannot be deleted: {error}"
                    self._sources[removal.key.source].note_refusal(to_text(removal.key.path)[0], detail)
                    deleted.remove(removal)
        return deleted, held

    def indexed(self, keys: Sequence[Key]) -> list[Key]:
        """Those of some files that the index has."""
        ids = {facts(key, None).id: key for key in keys}
        known: list[Key] = []
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = list(ids)[start : start + _DELETED_AT_ONCE]
            known += [ids[item_id] for item_id in self._retrier(self._catalog.ledger.known, some)]
        return known

    def _split(self, source: str, removals: Sequence[Removal]) -> tuple[list[Removal], list[Removal]]:
        """Removals that lose nothing (the same bytes are elsewhere, or the item had failed), and those that do."""
        survivors = Survivors(self._index, self._sources, source)
        spared: list[Removal] = []
        lost: list[Removal] = []
        for start in range(0, len(removals), _DELETED_AT_ONCE):
            chunk = removals[start : start + _DELETED_AT_ONCE]
            living = survivors.among({removal.sha256 for removal in chunk if removal.sha256 is not None})
            for removal in chunk:
                (spared if removal.sha256 is None or removal.sha256 in living else lost).append(removal)
        return spared, lost

    def _delete(self, removals: Sequence[Removal]) -> None:
        self._catalog.writes.remove([removal.gone() for removal in removals])


def _trusts(watched: WatchedSource) -> Callable[[Removal], bool]:
    """Which absences may be believed: a root that has gone, was replaced or lost everything has lost no item."""
    same = watched.is_same_root()
    filled = same and (watched.guard.confirmed or watched.has_content())
    return lambda removal: removal.state is not None or (same and (removal.witnessed or filled))
