"""Items that would lose metadata are gathered by source until no more come, and then judged together.

Whether too many lose metadata at once can be decided for all of them, never for one; the same holds for deletions. A
comparison counts what a new table takes away before anything is judged (`ingest.source.guard.LossGuard`). For the
loop's thread; losses are judged in workers, one for each source.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from ingest.context import Context
from ingest.events.queue import Queue
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Workers
from ingest.pipeline.afterwards import Afterwards
from ingest.pipeline.commit import Committer, Replaced
from ingest.source.files import Key
from ingest.source.held import Held, Losing
from recq.index.schema import Item

_LONGEST_WAVE = 60.0  # seconds that losses are gathered while more come
_BUSY_WAVE = 15.0  # seconds that losses are gathered while other paths of the source wait or are under way
_INTERVAL = 0.2  # seconds between two looks at the losses that wait

_Outcome = tuple[Replaced, Sequence[Held]]  # what was written, and what was held


class Losses:
    """Takes items that still have metadata which the folder no longer gives them.

    Their paths are finished when their losses have been judged; for the rest of the queue they count as done before.
    """

    def __init__(
        self, context: Context, queue: Queue, committer: Committer, index: RetryingIndex, afterwards: Afterwards
    ) -> None:
        self._context = context
        self._queue = queue
        self._committer = committer
        self._index = index
        self._afterwards = afterwards
        self._workers = Workers("losses", context.loop)
        self._waiting: dict[str, dict[Key, Item]] = {}
        self._waves: dict[str, tuple[float, float]] = {}  # by source: when its losses began, and when the last came

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be judged."""
        return not self._waiting and not self.busy

    @property
    def busy(self) -> bool:
        """Whether something is being judged."""
        return self._workers.busy > 0

    def put(self, losing: Losing) -> None:
        """An item would lose metadata."""
        key, item = losing
        self._queue.paths.written(key)
        self._queue.paths.set_aside(key)
        now = time.monotonic()
        self._waiting.setdefault(key.source, {})[key] = item
        self._waves[key.source] = self._waves.get(key.source, (now, now))[0], now

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return time.monotonic() + _INTERVAL if self._waiting else float("inf")

    def tick(self, now: float) -> None:
        """Judge the losses of sources from which no more come."""
        for name in list(self._waiting):
            first, last = self._waves[name]
            alone = self._queue.paths.count(name)[0] <= len(self._waiting[name]) or now - first >= _BUSY_WAVE
            ceased = (alone and now - last >= self._context.settings.settle) or now - first >= _LONGEST_WAVE
            if ceased and self._context.sources[name].losses.decided and not self._workers[name].busy:
                items = list(self._waiting.pop(name).items())
                del self._waves[name]
                keys = [key for key, _ in items]
                self._workers[name].submit(partial(self._judge, items), partial(self._judged, keys))

    def _judge(self, items: Sequence[Losing]) -> _Outcome:
        """In a worker."""
        written, held = self._committer.reduce(items)
        for each in held:
            self._index.record_problems(self._context.sources[each.source])
        return written, held

    def _judged(self, keys: Sequence[Key], outcome: _Outcome) -> None:
        written, held = outcome
        for item in written.done:
            self._context.say("metadata", id=item.id, source=item.file.source, path=item.file.path)
        for item, detail in written.refused:
            self._context.say("refused", id=item.id, source=item.file.source, path=item.file.path, detail=detail)
        for each in held:
            self._context.report_held(each)
        for key in keys:
            self._queue.finish(key)
        self._afterwards.written()
