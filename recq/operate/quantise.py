"""Quantise a catalog on its server, after its recall was measured on vectors of the catalog's own.

A sample cannot be any vectors: among few of many, neighbours lie far apart, and errors of rounding change no order. So
of a large catalog the sample is the neighbourhoods of items that are drawn at random: whoever could come between an
item's true nearest, or be taken for one of them, is in it. A smaller catalog is taken whole. The sample becomes a
collection of the same server (`recq.index.quantisation_trial`), so that nothing has to be known of how it quantises.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from recq.commands import command
from recq.errors import IndexRefused, UsageError
from recq.evaluate.index_recall import recall
from recq.evaluate.index_results import Recalled
from recq.evaluate.results import rounded
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.errors import translated
from recq.index.parameters import Parameters
from recq.index.quantisation import FULL_BITS, Measured, Quantised, quantise, require_quantising
from recq.index.quantisation_trial import trial
from recq.progress import Progress, silent
from recq.settings import Settings

BAR = 0.99
"""The recall below which nothing is switched on unasked."""

K = 10
"""Of how many nearest the recall is measured."""

MOST_OVERSAMPLING = 16.0
"""Beyond it a whole collection is nearly compared; a sample around few items would say nothing."""

QUERIES = 200
"""Items whose nearest are asked for, unless given."""

FEWEST = 500
"""Items that a recall is measured of at least."""

MOST = 20_000
"""Vectors of a sample at most: 100 MB of 1,280 numbers each."""

_AROUND = 2.0  # of the candidates that are rescored, how many times as many neighbours the sample has of each
_PAGE = 100  # vectors of one request
_LOOK = 0.5  # seconds between two looks at a server that quantises
_CALM = 3  # looks in a row that find nothing to do: between two of its steps a server says so as well


@dataclass(frozen=True)
class Trialled:
    """What was measured, and whether it was switched on. `walked` is what the same walk finds without quantisation.

    `before` and `after` are the bytes of memory that all vectors take, by arithmetic: numbers times bits.
    """

    catalog: str
    items: int
    dim: int
    sample: int
    quantised: Quantised
    recalled: Recalled
    walked: Recalled
    bar: float
    switched: bool

    @property
    def enough(self) -> bool:
        """Whether the recall reaches the bar."""
        return self.recalled.recall >= self.bar

    @property
    def before(self) -> int:
        """Bytes, unquantised."""
        return self.items * self.dim * FULL_BITS // 8

    @property
    def after(self) -> int:
        """Bytes, quantised."""
        return self.items * self.dim * self.quantised.bits // 8

    def to_json(self) -> dict[str, Any]:
        """The document that `recq-ingest quantise --json` prints."""
        return {
            "catalog": self.catalog,
            "items": self.items,
            "sample": self.sample,
            "kind": str(self.quantised.kind),
            "oversampling": self.quantised.oversampling,
            "on_disk": self.quantised.on_disk,
            "k": K,
            "queries": self.recalled.queries,
            "recall": rounded(self.recalled.recall),
            "interval": [rounded(self.recalled.low), rounded(self.recalled.high)],
            "recall_unquantised": rounded(self.walked.recall),
            "bar": self.bar,
            "memory_before": self.before,
            "memory_after": self.after,
            "switched": self.switched,
        }


def quantise_catalog(
    settings: Settings,
    wanted: Quantised,
    *,
    queries: int = QUERIES,
    bar: float = BAR,
    only_measure: bool = False,
    force: bool = False,
    seed: int = 0,
    most: int = MOST,
    progress: Progress = silent,
) -> Trialled:
    """Measure, and switch on what reaches `bar`, or whatever was found with `force`; then wait until that is done.

    Raises UsageError for the embedded engine, an oversampling out of range and fewer than `FEWEST` items, IndexRefused
    for a server that is too old or cannot go on, TargetNotFound without such a catalog, and the errors of an index.
    """
    require_server(settings)
    if not 1 <= wanted.oversampling <= MOST_OVERSAMPLING:
        raise UsageError(f"--oversampling {wanted.oversampling:g}: give 1 to {MOST_OVERSAMPLING:g}")
    with connect(settings) as client:
        require_quantising(client, wanted.kind)
        catalog = Catalog.open(client, settings.catalog)
        found = _measured(client, catalog, wanted, queries, bar, seed, most, progress)
        if only_measure or not (found.enough or force):
            return found
        at = datetime.now(UTC).isoformat(timespec="seconds")
        recalled = found.recalled
        noted = Measured(K, recalled.recall, recalled.low, recalled.high, recalled.queries, at)
        quantise(client, catalog.collection, replace(wanted, measured=noted))
        _wait(client, catalog.collection, progress)
        return replace(found, switched=True)


def keep_whole(settings: Settings, progress: Progress = silent) -> bool:
    """Switch it off, and wait until that is done. Returns whether it was on. Raises as `quantise_catalog`."""
    require_server(settings)
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        if catalog.quantised is None:
            return False
        quantise(client, catalog.collection, None)
        _wait(client, catalog.collection, progress)
        return True


def require_server(settings: Settings) -> None:
    """Raise UsageError for the embedded engine."""
    if settings.url is None:
        raise UsageError(
            "only a Qdrant server quantises: name one with --url. The embedded engine reads its vectors from a mapped "
            "file, and compares all of them"
        )


def _measured(
    client: QdrantClient,
    catalog: Catalog,
    wanted: Quantised,
    queries: int,
    bar: float,
    seed: int,
    most: int,
    progress: Progress,
) -> Trialled:
    items = catalog.items.count()
    if items < FEWEST:
        raise UsageError(
            f"catalog {catalog.name!r} has {items:,} items: recall is measured of {FEWEST:,} at least, and so few take "
            "no memory that would be worth saving"
        )
    asking, vectors = _sample(catalog, items, wanted, queries, seed, most, progress)
    with trial(client, catalog.name, catalog.collection, vectors, wanted, progress) as tried:
        exact = tried.exact(asking, K)
        recalled, walked = (
            Recalled.of(
                [
                    recall(found, truth, higher_is_better=catalog.space.higher_is_better)
                    for found, truth in zip(answers, exact, strict=True)
                ]
            )
            for answers in (tried.quantised(asking, K), tried.walked(asking, K))
        )
    return Trialled(catalog.name, items, catalog.space.dim, len(vectors), wanted, recalled, walked, bar, switched=False)


def _sample(
    catalog: Catalog, items: int, wanted: Quantised, queries: int, seed: int, most: int, progress: Progress
) -> tuple[list[int], np.ndarray]:
    """Which rows ask, and the vectors of all, float32 (n, dim)."""
    around = int(_AROUND * wanted.oversampling * K)
    drawn = catalog.items.drawn(queries if items <= most else min(queries, most // around), Random(seed))
    ids = {item.id: None for item in drawn}  # in this order, without what comes twice
    if items <= most:
        ids |= {item.id: None for item in catalog.items.rows()}
    else:
        near = Parameters(k=around, keep_duplicates=True)
        for n, item in enumerate(drawn):
            progress("looking for neighbours", n, len(drawn))
            ids |= {hit.item.id: None for hit in catalog.finder.rank(item.id, near).hits}
        progress("looking for neighbours", len(drawn), len(drawn))
    read = _vectors(catalog, [*ids], progress)
    rows = {each: row for row, each in enumerate(read)}
    asking = [rows[item.id] for item in drawn if item.id in rows]  # what was deleted meanwhile is left out
    if not asking:
        raise UsageError(f"catalog {catalog.name!r} has no vectors to measure a recall of")
    return asking, np.stack([*read.values()])


def _vectors(catalog: Catalog, ids: Sequence[str], progress: Progress) -> dict[str, np.ndarray]:
    read: dict[str, np.ndarray] = {}
    for first in range(0, len(ids), _PAGE):
        read |= catalog.items.vectors(ids[first : first + _PAGE])
        progress("reading vectors", min(first + _PAGE, len(ids)), len(ids))
    return read


@translated
def _wait(client: QdrantClient, collection: str, progress: Progress) -> None:
    """Until the server has nothing to do any more; it answers questions meanwhile, and goes on without this.

    Raises IndexRefused where it cannot go on.
    """
    calm = 0
    while calm < _CALM:
        time.sleep(_LOOK)
        info = client.get_collection(collection)
        if info.status == models.CollectionStatus.RED:
            raise IndexRefused(f"the server could not go on with {collection!r}: {info.optimizer_status}")
        total = info.points_count or 0
        progress("the server works", min(info.indexed_vectors_count or 0, total), total)
        calm = calm + 1 if info.status == models.CollectionStatus.GREEN else 0


def memory_line(found: Trialled) -> str:
    """What it saves, in words."""
    where = "their originals on disk" if found.quantised.on_disk else "their originals in memory besides"
    return (
        f"{found.items:,} vectors of {found.dim:,} numbers take {_megabytes(found.after)} of memory in place of "
        f"{_megabytes(found.before)} (computed), {where}"
    )


def recall_line(found: Trialled) -> str:
    """How good its answers are, in words."""
    recalled = found.recalled
    return (
        f"recall@{K} {recalled.recall:.4f} (95 %: {recalled.low:.4f} to {recalled.high:.4f}; {recalled.queries:,} "
        f"queries among {found.sample:,} of the catalog's vectors), {found.walked.recall:.4f} without quantisation"
    )


def refusal(found: Trialled) -> str:
    """Why nothing was switched on."""
    again = command("recq-ingest", "quantise", "--kind", str(found.quantised.kind), "--force", catalog=found.catalog)
    return (
        f"that is below {found.bar:g}, so nothing was switched on: give more than --oversampling "
        f"{found.quantised.oversampling:g}, another --kind, or {again}"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
