"""Suggests a file for a row that names none: one of the same name elsewhere, else one with a similar path."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

from recq.spelling import nearest_paths, stem

_SAMPLE = 2_000  # paths that spelling is compared with
_MOST_COMPARED = 50  # rows whose spelling is compared: each takes a look at the whole sample
_SHORTEST = 8  # characters of a row whose spelling is compared: among shorter ones all are similar (a.jpg, b.jpg)


class Nearest:
    """Takes the paths that no row names (`met`), and then gives the one that a row may mean.

    Memory is bounded by the number of `rows`, and is taken when the first path is met.
    """

    def __init__(self, rows: Iterable[str]) -> None:
        self._rows = rows
        self._by_name: dict[str, str] = {}
        self._sample: list[str] = []
        self._compared = 0

    @cached_property
    def _wanted(self) -> Collection[str]:
        """The names of the rows' files."""
        return {stem(row) for row in self._rows}

    def met(self, path: str) -> None:
        """Take the path of a picture that no row names."""
        name = stem(path)
        if name in self._wanted:
            self._by_name.setdefault(name, path)
        if len(self._sample) < _SAMPLE:
            self._sample.append(path)

    def of(self, row: str) -> str | None:
        """The path that a row's `file` may mean."""
        path = self._by_name.get(stem(row))
        if path is None and len(row) >= _SHORTEST and self._compared < _MOST_COMPARED:
            self._compared += 1
            path = next(iter(nearest_paths(row, self._sample, same_numbers=True)), None)
        return path
