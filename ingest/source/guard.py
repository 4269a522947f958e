"""How many items of a source may vanish, or lose metadata, before that has to be confirmed.

An unmounted share, a failed sync and an `rm` in the wrong folder all look like deletions; a table that was saved with
other paths, or not at all, looks like a loss of all metadata. In one pass (from one reconcile to the next) up to a
share of the items may go; what goes beyond is held. Files that have moved are not counted, since their bytes are still
there.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ingest.source.ignore_files import Rule
from recq.commands import command
from recq.index.remedies import meant
from recq.paths import printable

_KEEP = "To keep them, change that rule"

FEW = 20
"""Deletions in one pass that need no confirmation, however small the source."""


_ALL = sys.maxsize  # more than ever go


class Guard:
    """Counts the deletions of a pass. `share` of a source's items may go. Safe to use from several threads.

    A share of 1 lets everything go, however often in one pass: an item may come and go, or lose metadata, repeatedly.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._lock = threading.Lock()
        self._most = FEW
        self._taken = 0
        self._confirmed = False

    def begin(self, items: int, confirmed: int | None = None) -> None:
        """A pass begins with so many items in the index; `confirmed` deletions (and a few more) are allowed."""
        with self._lock:
            self._most = max(FEW, self._of(items), (confirmed or 0) + FEW)
            self._taken = 0
            self._confirmed = confirmed is not None

    def resume(self, confirmed: int | None) -> None:
        """Continue the pass with another comparison: what has gone stays counted; `confirmed` deletions are allowed."""
        if confirmed is not None:
            with self._lock:
                self._most = max(self._most, self._taken + confirmed + FEW)
                self._confirmed = True

    def grown(self, items: int) -> None:
        """The index has so many items now, after all deletions: a source that has grown since may lose more."""
        with self._lock:
            self._most = max(self._most, self._of(items + self._taken))

    def allows(self, lost: int, items: int) -> bool:
        """Whether so many of a source's items may go at once, whatever has gone in this pass."""
        return lost <= max(FEW, self._of(items))

    def _of(self, items: int) -> int:
        """How many of so many items may go."""
        return _ALL if self._share >= 1 else int(self._share * items)

    @property
    def left(self) -> int:
        """How many more items may be deleted in this pass."""
        with self._lock:
            return self._most - self._taken

    @property
    def confirmed(self) -> bool:
        """Whether deletions were confirmed for this pass: then even the loss of everything may be believed."""
        with self._lock:
            return self._confirmed

    def takes(self, items: int) -> bool:
        """Whether so many items may be deleted now, together; they are counted then."""
        with self._lock:
            if self._taken + items > self._most:
                return False
            self._taken += items
            return True


class LossGuard(Guard):
    """Counts the items that lose metadata in a pass. `held`: they are too many, so none of them loses anything.

    Losses are not `decided`, and none is judged, until a comparison has counted what a new table takes away.
    """

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.decided = False
        self.held = False

    def met(self, items: int) -> None:
        """Note that so many items of the index are in the folder: the share that may lose metadata is one of these."""
        with self._lock:
            self._most = max(self._most, self._of(items))

    def suspect(self) -> None:
        """Note that there is another table, or that a comparison begins: losses have to be counted first."""
        self.decided = False

    def grown(self, items: int) -> None:
        """The source has so many items now: none of them goes with its metadata."""
        self.met(items)

    def hold(self) -> None:
        """Hold all losses: there are too many between two comparisons, so the next one decides."""
        self.held = True

    def decide(self, losing: int, *, blind: bool) -> bool:
        """Whether so many items may lose metadata. `blind`: the table that has their metadata could not be read."""
        self.held = losing > 0 and (losing > self.left or (blind and not self.confirmed))
        self.decided = True
        return not self.held


def emptied(name: str, root: Path, rule: Rule | None = None) -> str:
    """Why nothing of a source is deleted that lost everything, and what to do; `rule` ignores what it had."""
    folder = printable(str(root))
    if rule is not None:
        return meant(name, f"every picture in {folder} is ignored, by {rule}: nothing is deleted. {_KEEP}")
    why = f"{folder} holds no picture any more, or has gone: nothing is deleted, since it may be unmounted"
    return f"{meant(name, why)}, or {command('recq-ingest', 'forget', name)}"


def too_many(name: str, rule: Rule | None = None) -> str:
    """Why nothing of what a source lost at once is deleted, and what to do; `rule` ignores the first of it."""
    why = "more items have gone at once than the setting max_delete allows"
    if rule is not None:
        why = f"more items are ignored at once than the setting max_delete allows, by {rule}"
        return meant(name, f"{why}: they stay in the index. {_KEEP}")
    return meant(name, f"{why}: they stay in the index")


def too_much_metadata(name: str, items: int, why: str) -> str:
    """Why no item loses the metadata that the folder does not give it any more, and what to do."""
    return meant(name, held_metadata(items, why))


def held_metadata(items: int, why: str) -> str:
    """Why no item loses the metadata that the folder does not give it any more."""
    many = "1 item would lose metadata" if items == 1 else f"{items:,} items would lose metadata"
    return f"{many}, since {why}: the old values stay"
