"""Suggestions for a TARGET that is not found: an item with a similar name, one of another catalog, a file.

    runing-shoe_runx.jpg, RUNNING-SHOE_RUNX.JPG, running-shoe_runx, boots/running-shoe_runx.jpg
                                                            did you mean 'running-shoe_runx.jpg'?
    sofa_226.jpg, which only catalog 'furniture' has        add --catalog furniture

Used only when the search for the target has failed. Every suggestion works as a TARGET.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from recq import paths
from recq.spelling import nearest_paths, stem

MOST_PLACES = 100_000
"""The most items whose names are compared: about a second."""

MOST_FILES = 2_000
"""The most files of a folder whose names are compared."""

MOST = 3
"""The most names that are suggested."""


class Places(Protocol):
    """The items of a catalog, by name."""

    def places(self) -> Iterable[tuple[str, str]]:
        """Source and path of every item."""


def items_like(text: str, catalog: Places) -> list[str]:
    """Items of the catalog that `text` may mean, as TARGETs: their paths, with the source where two have the same."""
    sources: dict[str, list[str]] = {}
    for source, path in islice(catalog.places(), MOST_PLACES):
        sources.setdefault(path, []).append(source)
    named = paths.to_text(text)[0]
    near = _likeliest(named, nearest_paths(named, sources, MOST))
    found = [place for path in near for place in _written(path, sources)]
    return found[:MOST]


def _written(path: str, sources: Mapping[str, Sequence[str]]) -> list[str]:
    """The TARGET of each item with that path: with its source where several have the path, or it begins with `-`."""
    of = sources[path]
    alone = len(of) == 1 and not path.startswith("-")
    return [path] if alone else [f"{source}/{path}" for source in sorted(of)]


def files_like(path: Path) -> list[str]:
    """Names of files in the folder of `path` that may be meant."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(_files(entries), MOST_FILES)]
    except (OSError, ValueError):  # no such folder, or an impossible name
        return []
    return _likeliest(path.name, nearest_paths(path.name, names, MOST))


def _files(entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        try:
            if entry.is_file():
                yield entry
        except OSError:
            continue


def _likeliest(text: str, near: list[str]) -> list[str]:
    """Only those with the right name, where there are any."""
    exact = [each for each in near if stem(each) == stem(text)]
    return exact or near
