"""The sources that a daemon works on, by name. Others may be added while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ingest.source.watched_source import WatchedSource


class Sources(Mapping[str, WatchedSource]):
    """Sources by name; the loop's thread adds, any thread reads.

    An addition replaces the whole mapping, so that an iteration that is under way sees the sources of before.
    """

    def __init__(self, sources: Iterable[WatchedSource] = ()) -> None:
        self._all = {watched.name: watched for watched in sources}

    def __getitem__(self, name: str) -> WatchedSource:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, watched: WatchedSource) -> None:
        """Add a source whose name is new."""
        self._all = {**self._all, watched.name: watched}
