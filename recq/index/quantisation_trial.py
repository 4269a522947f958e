"""A collection of some of a catalog's vectors beside it on its server, quantised, to be asked before the catalog is.

It is named as the collections of the catalog are, and marked as recq's, so that what a kill leaves of it goes with the
next trial, rebuild or drop (`recq.index.catalogs`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
from qdrant_client import QdrantClient, models

from recq.errors import IndexFailing, RecqError
from recq.index.collection import collection_name_of
from recq.index.errors import translated
from recq.index.plain_requests import query_points
from recq.index.quantisation import Quantised
from recq.index.schema import METADATA_KEY, VECTOR
from recq.index.search_params import WALK
from recq.progress import Progress, silent

_NAME = hashlib.sha256(b"quantisation trial").hexdigest()[:12]  # where a space's fingerprint stands
_PAGE = 200  # vectors of one write: some megabytes of JSON
_BATCH = 50  # questions of one request
_LOOK = 0.2  # seconds between two looks at what the server builds
_STUCK = 300.0  # seconds without a vector more in a graph


class Trial:
    """Asks the vectors of a trial, by their number. Each answer is scores, best first, without the vector itself."""

    def __init__(self, client: QdrantClient, collection: str, quantised: Quantised) -> None:
        self._client = client
        self._collection = collection
        self._quantised = quantised

    def exact(self, numbers: Sequence[int], k: int) -> list[list[float]]:
        """All vectors compared, by their originals."""
        return self._ask(numbers, k, models.SearchParams(exact=True))

    def walked(self, numbers: Sequence[int], k: int) -> list[list[float]]:
        """A walk over the originals, as questions make it: what is missing here is the graph's fault."""
        ignored = models.QuantizationSearchParams(ignore=True)
        return self._ask(numbers, k, models.SearchParams(hnsw_ef=WALK, quantization=ignored))

    def quantised(self, numbers: Sequence[int], k: int) -> list[list[float]]:
        """The same walk over the quantised vectors, rescored as the catalog's questions would be."""
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=self._quantised.oversampling)
        return self._ask(numbers, k, models.SearchParams(hnsw_ef=WALK, quantization=rescored))

    @translated
    def _ask(self, numbers: Sequence[int], k: int, params: models.SearchParams) -> list[list[float]]:
        found: list[list[float]] = []
        for first in range(0, len(numbers), _BATCH):
            requests = [
                models.QueryRequest(query=number, using=VECTOR, limit=k, params=params)
                for number in numbers[first : first + _BATCH]
            ]
            answers = query_points(self._client, self._collection, requests)
            found += [[each.score for each in answer] for answer in answers]
        return found


@contextmanager
def trial(
    client: QdrantClient,
    catalog: str,
    like: str,
    vectors: np.ndarray,
    quantised: Quantised,
    progress: Progress = silent,
) -> Iterator[Trial]:
    """A trial of `vectors`, float32 (n, dim), made as the collection `like`; deleted at the end.

    Raises the errors of an index, IndexFailing where the server builds no graph of them.
    """
    name = collection_name_of(catalog, _NAME)
    try:
        _fill(client, name, like, vectors, quantised, progress)
        _wait_for_graph(client, name, len(vectors), progress)
        yield Trial(client, name, quantised)
    finally:
        with suppress(RecqError):
            _delete(client, name)


@translated
def _delete(client: QdrantClient, name: str) -> None:
    client.delete_collection(name)


@translated
def _fill(
    client: QdrantClient, name: str, like: str, vectors: np.ndarray, quantised: Quantised, progress: Progress
) -> None:
    client.delete_collection(name)  # a killed trial's; one that is not there is no error
    info = client.get_collection(like)
    params = info.config.params.vectors
    assert isinstance(params, dict)
    described = models.VectorParams(size=params[VECTOR].size, distance=params[VECTOR].distance, **quantised.params())
    client.create_collection(
        name,
        vectors_config={VECTOR: described},
        hnsw_config=models.HnswConfigDiff(
            m=info.config.hnsw_config.m, ef_construct=info.config.hnsw_config.ef_construct
        ),
        # However few they are, they get a graph and are quantised: in one segment, as those of a large catalog are.
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1, default_segment_number=1),
        metadata={METADATA_KEY: (info.config.metadata or {})[METADATA_KEY]},
    )
    for first in range(0, len(vectors), _PAGE):
        page = vectors[first : first + _PAGE]
        points = [models.PointStruct(id=first + n, vector={VECTOR: vector.tolist()}) for n, vector in enumerate(page)]
        client.upsert(name, points, wait=True)
        progress("writing the sample", first + len(page), len(vectors))


@translated
def _wait_for_graph(client: QdrantClient, name: str, count: int, progress: Progress) -> None:
    most, last = -1, time.monotonic()
    while True:
        info = client.get_collection(name)
        built = info.indexed_vectors_count or 0
        progress("quantising the sample", min(built, count), count)
        if info.status == models.CollectionStatus.GREEN and built >= count:
            return
        if built > most:
            most, last = built, time.monotonic()
        if time.monotonic() - last > _STUCK:
            raise IndexFailing(f"the server has not quantised a sample of {count:,} vectors in {_STUCK:g} s")
        time.sleep(_LOOK)
