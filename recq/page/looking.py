"""What takes seconds to minutes: it goes on in a thread of its own, and the page asks how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from recq.api.errors import Busy
from recq.api.service import Served, Service
from recq.errors import RecqError
from recq.index.edge.throttle import throttled
from recq.paths import printable
from recq.progress import Progress

MOST_KEPT = 20
"""Answers that are kept: those that were asked for first are forgotten."""

T = TypeVar("T")

_log = throttled(__name__)


@dataclass(frozen=True)
class Looking(Generic[T]):
    """One look as it was at one moment: how far it is, then what it `found`, or why it ended.

    It never changes: a page that asks it twice while it is made would else show the middle of two moments.
    """

    doing: str = "reading items"
    done: int = 0
    of: int = 0
    found: T | None = None
    failed: str = ""

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.found is None and not self.failed


@dataclass
class Looks(Generic[T]):
    """The last look for each key, for one service. One reads every item at a time."""

    service: Service
    _looking: dict[Hashable, Looking[T]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, key: Hashable) -> Looking[T] | None:
        """The last look for a key; None where there was none."""
        return self._looking.get(key)

    def begin(self, key: Hashable, catalog: str | None, ask: Callable[[Served, Progress], T]) -> None:
        """Begin to look, unless that goes on already."""
        with self._lock:
            before = self._looking.get(key)
            if before is not None and before.running:
                return
            self._looking.pop(key, None)
            over = [each for each, looking in self._looking.items() if not looking.running]
            for each in over[: max(0, len(self._looking) - MOST_KEPT + 1)]:
                del self._looking[each]
            self._looking[key] = Looking[T]()
        threading.Thread(target=self._look, args=(key, catalog, ask), daemon=True).start()

    def _look(self, key: Hashable, catalog: str | None, ask: Callable[[Served, Progress], T]) -> None:
        def note(doing: str, done: int, of: int) -> None:
            self._looking[key] = Looking(doing, done, of)

        try:
            with self.service.alone():
                found = self.service.ask(catalog, lambda at: ask(at, note))
            self._looking[key] = Looking(found=found)
        except RecqError as error:
            self._looking[key] = Looking(failed=printable(str(error)))
        except Busy:
            told = "another question reads every item just now: look again when it has its answer"
            self._looking[key] = Looking(failed=told)
        except Exception as error:  # the page says that it has ended, whatever it was
            self._looking[key] = Looking(failed=f"it has ended: {type(error).__name__}")
            _log.exception("what a page looked for has ended")
