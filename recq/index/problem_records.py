"""The stored problems of one collection: those of sources in its metadata, those of items in their points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qdrant_client import QdrantClient, models

from recq.index.errors import translated
from recq.index.filters import NO_FILE
from recq.index.points import LEDGER_KEYS, Points, items_of, within
from recq.index.problems import KIND_KEY, PROBLEMS_PREFIX, Problem, ProblemKind
from recq.index.schema import Item

_HAS_PROBLEMS = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=KIND_KEY)), NO_FILE])


class ProblemRecords:
    """The problems of one collection. All methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, points: Points) -> None:
        self._client = client
        self._collection = collection
        self._points = points

    @translated
    def record(self, name: str, problems: Sequence[Problem]) -> None:
        """Store the problems of a source as a whole, in place of the earlier ones; each has its `path`.

        `name` is the source's, or that of one of its parts (`recq.index.parts.Part.key`).
        """
        kept = [problem.to_json() for problem in problems] or None
        self._client.update_collection(self._collection, metadata={PROBLEMS_PREFIX + name: kept})

    @translated
    def of_source(self, name: str) -> tuple[Problem, ...]:
        """The stored problems of a source as a whole. What several of its parts have found is there once."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        own = PROBLEMS_PREFIX + name
        keys = [own, *(key for key in sorted(metadata) if key.startswith(f"{own}/"))]
        found = (Problem.from_json(data) for key in keys for data in metadata.get(key) or ())
        return tuple(dict.fromkeys(problem for problem in found if problem is not None))

    def items(self, source: str | None = None) -> Iterator[Item]:
        """The items whose metadata have problems, without the metadata. Streams."""
        return items_of(self._points.scroll(within(_HAS_PROBLEMS, source), payload=LEDGER_KEYS))

    @translated
    def count(self, source: str) -> dict[ProblemKind, int]:
        """The number of stored problems of a source, and of its items that have one, by kind."""
        counts: Counter[ProblemKind] = Counter()
        for problem in self.of_source(source):
            counts[problem.kind] += problem.count
        if self._points.count(_HAS_PROBLEMS, source):
            for kind in ProblemKind:
                has = models.FieldCondition(key=KIND_KEY, match=models.MatchValue(value=kind.value))
                counts[kind] += self._points.count(models.Filter(must=[has]), source)
        return {kind: counts[kind] for kind in ProblemKind if counts[kind]}

    @translated
    def forget(self, name: str) -> None:
        """Remove the stored problems of a source as a whole."""
        self._client.update_collection(self._collection, metadata={PROBLEMS_PREFIX + name: None})
