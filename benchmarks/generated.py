"""Indexes of many items without many pictures: vectors generated around real ones, in catalogs that recq itself writes.

Real vectors are those of the pictures of a pack, made by recq's Embedder (kept in build/bench-data). A generated one is
a real one plus normal noise of `SPREAD` of its length, of length 1 again: cosines of neighbours are then about those of
a catalog with more pictures of the same kinds. Every item has the fields `half`, `tenth`, `hundredth` and `thousandth`,
one value of which holds for so much of the catalog, `price` and `title`, and a file of its own. Items come in the order
of a random permutation, so that no field says where a vector lies.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient

from benchmarks import pictures
from benchmarks.measure import progress
from recq.images import Limits, to_input
from recq.images.decode import decode
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import SCHEMA_VERSION, FileFacts, Item
from recq.models import ModelOptions, describe_space, open_embedder
from recq.settings import Settings
from recq.space import EmbeddingSpace

SPREAD = 0.35
REAL, FEW = 400, 40
"""Real vectors, of as many pictures; around the few are catalogs of less than `MANY` items."""

MANY = 5_000

PAGE = 500
SOURCE = "generated"

FIELDS = {"half": 2, "tenth": 10, "hundredth": 100, "thousandth": 1000}
"""Fields and how many values they have, each as often as the others."""


def space() -> EmbeddingSpace:
    """The space of recq's default network."""
    return describe_space(ModelOptions(), Settings.load())


def real_vectors(count: int = REAL) -> np.ndarray:
    """Vectors of so many real pictures, float32 (n, dim), of length 1; made once for each space."""
    wanted = space()
    kept = pictures.DATA / f"real-{wanted.fingerprint}-{count}.npy"
    if kept.exists():
        loaded: np.ndarray = np.load(kept)
        return loaded
    settings = Settings.load()
    limits = Limits.from_settings(settings)
    found = pictures.pack("clothing")
    some = found[:: max(1, len(found) // count)]
    progress(f"    embedding {len(some)} real pictures")
    with open_embedder(wanted, settings) as embedder:
        submitted = [
            embedder.submit(to_input(decode(path.read_bytes(), limits, reduce_to=wanted.input.size).rgb, wanted.input))
            for path in some
        ]
        vectors = np.stack([future.result() for future in submitted])
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.save(kept, vectors)
    return vectors


def items(count: int, start: int = 0) -> Iterator[list[ItemVector]]:
    """Pages of items number `start` to `start + count`: the same numbers are always the same items, of many."""
    real = real_vectors(REAL if start + count >= MANY else FEW)
    for first in range(start, start + count, PAGE):
        numbers = np.random.default_rng([1, first])
        some = range(first, min(first + PAGE, start + count))
        noise = numbers.standard_normal((len(some), real.shape[1]), dtype=np.float32)
        vectors = real[numbers.integers(len(real), size=len(some))] + noise * (SPREAD / np.sqrt(real.shape[1]))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield [ItemVector(item(number), vector) for number, vector in zip(some, vectors, strict=True)]


def item(number: int) -> Item:
    """An item without a picture behind it."""
    drawn = np.random.default_rng([2, number]).integers(1_000_000, size=len(FIELDS) + 1)
    metadata: dict[str, object] = {
        name: f"{name[0]}{drawn[at] % values}" for at, (name, values) in enumerate(FIELDS.items())
    }
    metadata |= {"price": int(drawn[-1] % 1000), "title": f"a thing of kind {drawn[1] % 10}, number {number % 5000}"}
    facts = FileFacts(
        SOURCE,
        f"f{number // 1000:04d}/p{number:07d}.jpg",
        100_000 + number,
        1_700_000_000_000_000_000 + number,
        sha256=f"{number:064x}",
        format="JPEG",
        width=400,
        height=533,
        ingested_at="2026-01-01T00:00:00+00:00",
    )
    return Item(facts, metadata)  # type: ignore[arg-type]


def fill(client: QdrantClient, catalog: str, count: int, start: int = 0) -> Catalog:
    """The catalog with items up to `start + count`; those before `start` are there."""
    made = Catalog.create(client, catalog, space())
    if SOURCE not in made.sources.all():
        made.sources.register(pictures.DATA, SOURCE)
    done = start
    for page in items(count, start):
        made.writes.upsert(page)
        done += len(page)
        if done % 20_000 < PAGE:
            progress(f"    {done:,} items")
    return made


@contextmanager
def folder(count: int, where: Path) -> Iterator[Settings]:
    """Settings of a data folder with an embedded catalog `bench` of so many items: kept below build/, copied here.

    A smaller one that is kept is filled up: a copy is made of it first.
    """
    made_of = f"index-{space().fingerprint}-schema-{SCHEMA_VERSION}"
    kept = pictures.DATA / f"{made_of}-{count}"
    if not kept.is_dir():
        there = pictures.DATA.glob(f"{made_of}-*")
        smaller = [n for path in there if MANY <= (n := _count(path)) < count]
        unfinished = kept.with_name(f"{kept.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        start = max(smaller, default=0)
        if start:
            shutil.copytree(kept.with_name(f"{made_of}-{start}"), unfinished)
        progress(f"    filling an embedded index with {count:,} items")
        unfinished.mkdir(parents=True, exist_ok=True)
        with own_folder(Settings(data_dir=unfinished)) as owned:
            fill(owned.client, "bench", count - start, start)
            owned.engine.flush()
        unfinished.replace(kept)
    data = where / f"data-{count}"
    shutil.copytree(kept, data)
    try:
        yield Settings(data_dir=data, catalog="bench", lock_wait=60)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _count(path: Path) -> int:
    last = path.name.rpartition("-")[2]
    return int(last) if last.isdigit() else 10**12
