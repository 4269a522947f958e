"""Items that would lose metadata, gathered by source until no more come, and judged together.

As with deletions: whether too much goes at once can be told of all of them, never of one. What a new table takes away
is counted by a comparison before anything is judged (`ingest.source.guard.LossGuard`). Runs in the loop's thread,
judges in workers, one for each source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ingest.loop import Loop, Workers
from ingest.pipeline.commit import Held, Losing, Replaced
from ingest.source.files import Key
from ingest.source.watched_source import WatchedSource
from recq.index.schema import Item

_LONGEST_WAVE = 60.0  # seconds that losses are gathered that do not cease
_BUSY_WAVE = 15.0  # seconds that they are gathered while something else of the source waits or is under way
_INTERVAL = 0.2  # seconds between two looks at those that wait

Outcome = tuple[Replaced, Sequence[Held]]
"""What was written, and what was held."""


class Losses:
    """`reduce` judges, in a worker; `judged(keys, outcome)` is told of it.

    `pending` tells how many paths of a source wait or are under way, those that are gathered here included.
    """

    def __init__(
        self,
        *,
        loop: Loop,
        sources: Mapping[str, WatchedSource],
        settle: float,
        pending: Callable[[str], int],
        reduce: Callable[[Sequence[Losing]], Outcome],
        judged: Callable[[Sequence[Key], Outcome], None],
    ) -> None:
        self._sources = sources
        self._settle = settle
        self._pending = pending
        self._reduce = reduce
        self._judged = judged
        self._workers = Workers("losses", loop)
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
        now = time.monotonic()
        self._waiting.setdefault(key.source, {})[key] = item
        self._waves[key.source] = self._waves.get(key.source, (now, now))[0], now

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return time.monotonic() + _INTERVAL if self._waiting else float("inf")

    def tick(self, now: float) -> None:
        """Judge those of sources from which no more come."""
        for name in list(self._waiting):
            first, last = self._waves[name]
            alone = self._pending(name) <= len(self._waiting[name]) or now - first >= _BUSY_WAVE
            ceased = (alone and now - last >= self._settle) or now - first >= _LONGEST_WAVE
            if ceased and self._sources[name].losses.decided and not self._workers[name].busy:
                items = list(self._waiting.pop(name).items())
                del self._waves[name]
                keys = [key for key, _ in items]
                self._workers[name].submit(partial(self._reduce, items), partial(self._judged, keys))
