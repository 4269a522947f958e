"""A target becomes a vector, a vector becomes results: what the commands call, and what a notebook can.

    with connect(settings) as client:
        catalog = Catalog.open(client, "images")
        answer = similar(catalog, "sofa_226.jpg", k=5, filters=["price<=500"])

An indexed target is compared by its stored vector: no model is loaded. The `..._in` functions open the index named in
the settings themselves, and let go of it while a model runs: an embedded folder has one user at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from query.results import Answer, Asked, Shown, result_of
from query.target import (
    FileTarget,
    IndexedTarget,
    StreamTarget,
    Target,
    describe,
    read_picture,
    require_embedded,
    resolve,
)
from recq import paths
from recq.errors import ImageError, TargetError, TargetNotFound, UsageError
from recq.settings import Settings
from recq.space import EmbeddingSpace, require_same

if TYPE_CHECKING:
    import numpy as np

    from recq.index.catalog import Catalog
    from recq.index.facets import Facets
    from recq.index.filters import Condition
    from recq.index.schema import Item
    from recq.index.sources import Source

MAX_RESULTS = 100_000
"""The largest k: an answer is held in memory as a whole. As many as an embedded catalog is meant for."""


@dataclass(frozen=True)
class Query:
    """A target ready for comparison: an item's id, or a vector, float32 (dim,), with the bytes it was made from."""

    target: Target
    text: str
    vector: np.ndarray | None = None
    content: bytes | None = None


def similar(
    catalog: Catalog,
    target: str,
    k: int = 5,
    filters: Sequence[str | Condition] = (),
    min_score: float | None = None,
    settings: Settings | None = None,
) -> Answer:
    """The k items that look most like `target`, best first, ties by path; the target itself is never among them.

    `filters` must all hold; `min_score` leaves out what is less similar. Raises TargetError, FilterError, UsageError,
    and for a picture outside the index what reading, decoding and embedding it raise.
    """
    started = time.perf_counter()
    _require_sane(k, min_score)
    settings = settings if settings is not None else Settings.load()
    resolved = resolve(catalog, target)
    query = prepare(resolved, target, catalog.space, settings)
    return _nearest(catalog, query, k, filters, min_score, started)


def similar_in(
    settings: Settings,
    target: str,
    k: int = 5,
    filters: Sequence[str | Condition] = (),
    min_score: float | None = None,
) -> Answer:
    """`similar` in the catalog that the settings name; the index is not held while a picture is read and embedded."""
    started = time.perf_counter()
    _require_sane(k, min_score)
    filters = parsed(filters)
    with opened(settings) as catalog:
        resolved, space = resolve(catalog, target), catalog.space
        if isinstance(resolved, IndexedTarget):
            query = prepare(resolved, target, space, settings)
            return _nearest(catalog, query, k, filters, min_score, started)
        _check(catalog, filters)
    query = prepare(resolved, target, space, settings)
    with opened(settings) as catalog:
        require_same(catalog.space, space, catalog.name)  # rebuilt meanwhile?
        return _nearest(catalog, query, k, filters, min_score, started)


def search(catalog: Catalog, filters: Sequence[str | Condition] = (), k: int = 20) -> Answer:
    """The first k items that all filters hold for, ordered by path; no picture is compared."""
    started = time.perf_counter()
    _require_sane(k, None)
    items = catalog.search(filters, k)
    matching = catalog.count(filters) if len(items) == k else len(items)
    notes = (f"{k:,} of {matching:,} matching items shown: -k shows more",) if matching > k else ()
    return _answer(catalog, [(item, None) for item in items], catalog.sources(), filters, started, notes=notes)


def search_in(settings: Settings, filters: Sequence[str | Condition] = (), k: int = 20) -> Answer:
    """`search` in the catalog that the settings name."""
    _require_sane(k, None)
    filters = parsed(filters)
    with opened(settings) as catalog:
        return search(catalog, filters, k)


def show(catalog: Catalog, target: str) -> Shown:
    """Everything about one item, failed ones included. Raises TargetError for what is not indexed."""
    resolved = resolve(catalog, target)
    if isinstance(resolved, IndexedTarget):
        return Shown(resolved.item, catalog.absolute_path(resolved.item))
    yet = " yet" if isinstance(resolved, FileTarget) and resolved.source is not None else ""
    raise TargetNotFound(f"{describe(resolved)} is not in the index{yet}: only recq similar takes other pictures")


def show_in(settings: Settings, target: str) -> Shown:
    """`show` in the catalog that the settings name."""
    with opened(settings) as catalog:
        return show(catalog, target)


def facets_in(settings: Settings, field: str, filters: Sequence[str | Condition] = (), limit: int = 50) -> Facets:
    """`Catalog.facets` in the catalog that the settings name."""
    filters = parsed(filters)
    with opened(settings) as catalog:
        return catalog.facets(field, filters, limit)


@contextmanager
def opened(settings: Settings) -> Iterator[Catalog]:
    """The catalog that the settings name, for the length of the block."""
    from recq.index.catalog import Catalog
    from recq.index.connect import connect

    with connect(settings) as client:
        yield Catalog.open(client, settings.catalog)


def prepare(target: Target, text: str, space: EmbeddingSpace, settings: Settings) -> Query:
    """The target as something to compare with: a picture outside the index is read and embedded in `space`.

    Raises TargetError for a failed item and for a picture that cannot be read or decoded, SpaceError for a model that
    this machine lacks.
    """
    if isinstance(target, IndexedTarget):
        require_embedded(target.item)
        return Query(target, text)
    content = read_picture(target, settings)
    try:
        return Query(target, text, embed(content, space, settings), content)
    except ImageError as error:
        raise TargetError(f"{describe(target)} cannot be compared, {error}") from error


def embed(content: bytes, space: EmbeddingSpace, settings: Settings) -> np.ndarray:
    """The vector of one picture's bytes, float32 (dim,), as the daemon would make it. Raises ImageError, SpaceError."""
    from recq.images import Limits, decode, to_input

    picture = decode(content, Limits.from_settings(settings), reduce_to=space.input.size)
    pixels = to_input(picture.rgb, space.input)
    from recq.models import open_embedder  # after the picture proved sound

    with open_embedder(space, settings, one_shot=True) as embedder:
        vector: np.ndarray = embedder.submit(pixels).result()
    return vector


def _nearest(
    catalog: Catalog,
    query: Query,
    k: int,
    filters: Sequence[str | Condition],
    min_score: float | None,
    started: float,
) -> Answer:
    target = query.target
    if isinstance(target, IndexedTarget):
        hits = catalog.nearest(target.item.id, k, filters, min_score=min_score)
    else:
        assert query.vector is not None  # `prepare` saw to it
        hits = catalog.nearest(query.vector, k, filters, min_score=min_score)
    sources = catalog.sources()
    notes: tuple[str, ...] = ()
    match target:
        case IndexedTarget(item):
            location = catalog.absolute_path(item, sources)
            asked = Asked(query.text, item.file.name, item.id, item.file.source, location)
        case FileTarget(path, source):
            if source is not None:
                known = f"in source '{paths.printable(source)}', but not indexed yet"
                notes = (f"{describe(target)} is {known}: its content is compared",)
            asked = Asked(query.text, paths.to_text(path.name)[0], location=path, content=query.content)
        case StreamTarget():
            asked = Asked(query.text, "standard input", content=query.content)
    return _answer(catalog, [(hit.item, hit.score) for hit in hits], sources, filters, started, asked, notes)


def _answer(
    catalog: Catalog,
    found: Sequence[tuple[Item, float | None]],
    sources: Mapping[str, Source],
    filters: Sequence[str | Condition],
    started: float,
    asked: Asked | None = None,
    notes: tuple[str, ...] = (),
) -> Answer:
    results = tuple(
        result_of(rank, item, score, catalog.absolute_path(item, sources))
        for rank, (item, score) in enumerate(found, start=1)
    )
    lost = {result.source for result in results if result.location is None}
    notes += tuple(f"no folder is on record for source '{paths.printable(name)}': no paths" for name in sorted(lost))
    texts = tuple(each if isinstance(each, str) else each.text for each in filters)
    return Answer(catalog.space, results, (time.perf_counter() - started) * 1000, asked, texts, notes)


def parsed(filters: Sequence[str | Condition]) -> list[Condition]:
    """The filters read, so that a malformed one is said before anyone is asked. Raises FilterError."""
    from recq.index.filters import parse

    return [parse(each) if isinstance(each, str) else each for each in filters]


def _check(catalog: Catalog, filters: Sequence[str | Condition]) -> None:
    """Raise FilterError for a wrong filter before a model is loaded for nothing."""
    from recq.index.filters import compile_filters

    compile_filters(filters, catalog.types())


def _require_sane(k: int, min_score: float | None) -> None:
    if not 1 <= k <= MAX_RESULTS:
        raise UsageError(f"-k {k} cannot be answered: ask for 1 to {MAX_RESULTS:,} results")
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError(f"--min-score {min_score} is not a score: give a number such as 0.8")
