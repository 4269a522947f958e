"""Which bytes of files that have gone are still there at another path, since the file moved or has a copy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

from ingest.reconcile.origins import Holders
from ingest.source.scan import Kind, holds_image
from ingest.source.timebox import within
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.index.schema import Item

_REMEMBERED = 10_000  # digests
_ELSEWHERE_WITHIN = 2.0  # seconds that the disk of another source may take to answer for one file


class Survivors:
    """Asks the index which items have the same bytes, and the disk whether their files exist. For one pass: answers are
    kept. An item that goes although its file stands, since it holds no image any more, is none of them.

    `own` is the source whose files have gone, and whose worker this is. The disk of another source that does not answer
    is asked once: its files count as lost, so that more is held rather than less.
    """

    def __init__(self, index: Holders, sources: Mapping[str, WatchedSource], own: str | None = None) -> None:
        self._own = own
        self._silent: set[str] = set()
        self._index = index
        self._sources = sources
        self._known: dict[str, bool] = {}

    def among(self, digests: Collection[str]) -> set[str]:
        """Those SHA-256 of which an item has a file that exists."""
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        missing = {digest for digest in digests if digest not in self._known}
        if missing:
            for item in self._index.holders(missing):
                if item.file.sha256 in missing and self._stands(item):
                    self._known[item.file.sha256] = True
                    missing.discard(item.file.sha256)
                    if not missing:
                        break
            self._known.update(dict.fromkeys(missing, False))
        return {digest for digest in digests if self._known[digest]}

    def _stands(self, item: Item) -> bool:
        """Whether the item's file is still one's; files of sources that are not watched here are assumed to be."""
        watched = self._sources.get(item.file.source)
        if watched is None:
            return True
        path = paths.from_text(item.file.path, item.file.encoded)
        ask = partial(_is_item, watched, path)
        try:
            return ask() if watched.name == self._own else self._elsewhere(watched.name, ask)
        except OSError:
            return False

    def _elsewhere(self, source: str, ask: Callable[[], bool]) -> bool:
        """The answer of another source, for whose disk this one must not wait for ever. Raises OSError."""
        if source in self._silent:
            raise TimeoutError(f"the disk of {source} did not answer")
        try:
            return within(_ELSEWHERE_WITHIN, ask, f"survivors {source}")
        except TimeoutError:
            self._silent.add(source)
            raise


def _is_item(watched: WatchedSource, path: str) -> bool:
    """Whether what is at a path is an item by its name, else by its first bytes. Raises OSError."""
    seen = watched.look(path)
    if seen is None or seen.kind is Kind.IGNORED:
        return False
    return seen.kind is Kind.ITEM or holds_image(watched.root, path)
