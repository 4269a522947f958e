"""The catalogs and trained spaces that are measured side by side, and the vectors of the items that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np

from recq.catalog_names import catalog_and_space, name_with_space
from recq.errors import UsageError
from recq.index.parameters import Parameters
from recq.progress import Progress
from recq.search.results import Trained
from recq.search.trained import candidate_of, finder_of, trained_of
from recq.search.vector_file import VectorFile

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.finder import Finder
    from recq.space import EmbeddingSpace

DEFAULT_KS = (1, 5, 10)
LARGEST_K = 1_000
"""The largest k: so many neighbours of every query are kept for the confusions."""

PAGE = 256
"""Vectors asked for at a time."""


@dataclass(frozen=True)
class Measured:
    """A catalog in its own space, or in one of its trained spaces."""

    name: str
    finder: Finder
    trained: Trained | None

    @classmethod
    def of(cls, catalog: Catalog, space: str | None) -> Self:
        """Raises TargetNotFound for an unknown trained space, SpaceMismatch for one of other vectors."""
        parameters = Parameters(space=space)
        trained = trained_of(candidate_of(catalog, parameters))
        return cls(name_with_space(catalog.name, space), finder_of(catalog, parameters), trained)

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors."""
        return self.finder.space

    def store(self, ids: Sequence[str], file: VectorFile, progress: Progress) -> None:
        """Append the vectors of those items, in their order. Raises UsageError when one was deleted meanwhile."""
        for page in _pages(ids):
            progress(f"reading {self.name}", file.rows, len(ids))
            found = self.finder.vectors(page)
            if len(found) < len(page):
                raise UsageError(f"items of catalog {self.name!r} were deleted meanwhile: ask again")
            file.append(np.stack([found[each] for each in page]))
        progress(f"reading {self.name}", len(ids), len(ids))


def asked_of(own: str, against: Sequence[str]) -> list[tuple[str, str | None]]:
    """The catalog `own` and those `against`, each with its trained space, if one is named. Raises UsageError for twice
    the same."""
    asked = [(own, None), *(catalog_and_space(each, own) for each in against)]
    if len({name_with_space(*each) for each in asked}) < len(asked):
        raise UsageError(f"a catalog is compared with itself: give --against other catalogs than {own!r}, each once")
    return asked


def checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The numbers of results that are measured at, ascending. Raises UsageError."""
    chosen = tuple(sorted(set(ks)))
    if not chosen or chosen[0] < 1 or chosen[-1] > LARGEST_K:
        raise UsageError(f"-k {','.join(map(str, ks))} cannot be measured: give numbers from 1 to {LARGEST_K:,}")
    return chosen


def _pages(ids: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while page := list(islice(rest, PAGE)):
        yield page
