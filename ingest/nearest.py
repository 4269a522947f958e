"""Which file a row of a table may mean that names none: one of that name elsewhere, else one that is spelt alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

_SAMPLE = 2_000  # paths that spelling is compared with
_MOST_COMPARED = 50  # rows whose spelling is compared: each takes a look at the whole sample
_ALIKE = 0.8  # difflib's ratio
_CANDIDATES = 5  # of which one has to have the same numbers in it: 101.jpg is no misspelt 100.jpg
_SHORTEST = 8  # characters of a row whose spelling is compared: a.jpg and b.jpg are as good as alike
_NUMBER = re.compile(r"\d+")


class Nearest:
    """Is shown the paths that no row names (`met`), and then asked for the one that a row may mean.

    Memory is bounded by the number of `rows`.
    """

    def __init__(self, rows: Iterable[str]) -> None:
        self._wanted = {_stem(row) for row in rows}
        self._by_name: dict[str, str] = {}
        self._sample: list[str] = []
        self._compared = 0

    def met(self, path: str) -> None:
        """A picture is there that no row names."""
        stem = _stem(path)
        if stem in self._wanted:
            self._by_name.setdefault(stem, path)
        if len(self._sample) < _SAMPLE:
            self._sample.append(path)

    def of(self, row: str) -> str | None:
        """The path that a row's `file` may mean."""
        path = self._by_name.get(_stem(row))
        if path is None and len(row) >= _SHORTEST and self._compared < _MOST_COMPARED:
            self._compared += 1
            alike = get_close_matches(row, self._sample, _CANDIDATES, _ALIKE)
            path = next((each for each in alike if _NUMBER.findall(each) == _NUMBER.findall(row)), None)
        return path


def _stem(path: str) -> str:
    """The name without folders and extension, upper and lower case alike."""
    name = unicodedata.normalize("NFC", path).replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return (stem if dot else name).strip().casefold()
