"""What somebody may have meant by a TARGET that names nothing: an item spelt otherwise, one of another catalog, a file.

    runing-shoe_runx.jpg, RUNNING-SHOE_RUNX.JPG, running-shoe_runx, boots/running-shoe_runx.jpg
                                                            did you mean 'running-shoe_runx.jpg'?
    sofa_226.jpg, which only catalog 'furniture' has        add --catalog furniture

Asked only when the search for the target has failed. What is suggested works as a TARGET.
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
"""Items whose names are compared: about a second."""

MOST_FILES = 2_000
"""Files of a folder whose names are compared."""

MOST = 3
"""Names that are suggested."""


class Places(Protocol):
    """What there is in a catalog, by name."""

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
    """How each item with that path is named: with its source where others have it, or where it looks like options."""
    of = sources[path]
    alone = len(of) == 1 and not path.startswith("-")
    return [path] if alone else [f"{source}/{path}" for source in sorted(of)]


def files_like(path: Path) -> list[str]:
    """Files in the folder of `path` that may be meant, as they are written there."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(_files(entries), MOST_FILES)]
    except (OSError, ValueError):  # no such folder, or a name that none can have
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
    """Those of the right name alone, where there are such."""
    exact = [each for each in near if stem(each) == stem(text)]
    return exact or near
