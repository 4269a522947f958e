"""The labelled vectors in memory are near to what the engine finds near, whatever was written, and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recq.errors import Reason
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.points import ItemVector, Points
from recq.index.ranking import Own
from recq.index.schema import FileFacts, Item, ItemError
from recq.learn.calibration import Calibration
from recq.learn.classifying import Classifying
from recq.learn.labelled import FARTHEST, Labelled
from recq.models.heads import Classifier, Linear
from recq.space import EmbeddingSpace

DIM = 6
SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=DIM,
)  # fmt: skip
QUANTILES = np.linspace(-1, 1, 101, dtype=np.float32)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    engine = EdgeEngine(tmp_path / "edge")
    yield Catalog.create(embedded_client(engine), "images", SPACE)
    engine.close()


def by_engine(catalog: Catalog, vectors: list[np.ndarray], digests: list[str | None]) -> list[float]:
    classifier = Classifier(("a", "b"), np.zeros((2, DIM), np.float32), np.zeros(2, np.float32))
    one = np.ones(2, np.float32)
    calibration = Calibration(one, 0 * one, 0.1, QUANTILES, QUANTILES).to_json()
    head = Linear(np.eye(DIM, dtype=np.float32)[:, :2])
    candidate = Candidate("x", "kind", head, classifier, SPACE.fingerprint, "2026", calibration=calibration)
    owns = [Own(digests=frozenset() if each is None else frozenset({each})) for each in digests]
    return Classifying.of(candidate).nearness(catalog, vectors, owns)


def test_no_vector_counts_for_other_bytes_than_its_own(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies, of which one gets other bytes while the vectors are read."""
    rows = np.eye(DIM, dtype=np.float32)
    items = [Item(FileFacts("shop", f"{number}.jpg", 1, 1, sha256="a" * 64), {"kind": "a"}) for number in range(2)]
    catalog.writes.upsert([ItemVector(item, rows[0]) for item in items])
    last = max(items, key=lambda item: item.id)  # as they are read: what counts for both is that of the last
    changed = replace(last, file=replace(last.file, sha256="b" * 64))
    real = Points.vectors

    def after_a_write(points: Points, ids: Sequence[str]) -> dict[str, np.ndarray]:
        monkeypatch.undo()
        catalog.writes.upsert([ItemVector(changed, rows[1])])
        return real(points, ids)

    monkeypatch.setattr(Points, "vectors", after_a_write)
    labelled = Labelled("kind")
    labelled.load(catalog)
    assert labelled.nearness(catalog, [rows[1]], [None]) == [0.0]
    labelled.note([(changed, None)])
    assert labelled.nearness(catalog, [rows[1]], ["a" * 64]) == [1.0]


def test_it_finds_what_the_engine_finds_after_any_writes(catalog: Catalog) -> None:
    rng = np.random.default_rng(0)
    labelled = Labelled("kind")
    written: dict[str, tuple[Item, np.ndarray | None]] = {}
    assert labelled.nearness(catalog, [rng.normal(size=DIM).astype(np.float32)], [None]) is None, "nothing was read yet"
    labelled.load(catalog)
    assert labelled.nearness(catalog, [rng.normal(size=DIM).astype(np.float32)], [None]) == [FARTHEST]
    by_digest: dict[str, np.ndarray] = {}
    for step in range(120):
        path = f"{rng.integers(12)}.jpg"
        before = written.get(path)
        match rng.integers(6):
            case 0 if before is not None:  # another process deletes it
                catalog.writes.delete([before[0].id])
                del written[path]
                labelled.load(catalog)
            case 1 if before is not None and before[1] is not None:  # people give it a label, or take it away
                item = Item(before[0].file, {} if before[0].metadata.get("kind") else {"kind": "a"})
                catalog.writes.replace_metadata([item])
                labelled.note([(item, None)])
                written[path] = item, before[1]
            case 2:  # it cannot be read any more
                error = ItemError(Reason.CORRUPT, "", "2026-01-01T00:00:00Z", 1)
                item = Item(FileFacts("s", path, size=1, mtime_ns=1), {"kind": "a"}, error)
                catalog.writes.upsert([ItemVector(item, None)])
                labelled.note([(item, None)])
                written[path] = item, None
            case _:  # a picture, or a copy of one
                digest = f"{rng.integers(8):064x}"
                vector = by_digest.setdefault(digest, _unit(rng))
                item = Item(
                    FileFacts("s", path, size=1, mtime_ns=1, sha256=digest), {"kind": "a"} if rng.random() < 0.7 else {}
                )
                catalog.writes.upsert([ItemVector(item, vector)])
                if rng.random() < 0.8:
                    labelled.note([(item, vector)])
                else:  # another process wrote it
                    labelled.note([(item, None)])
                written[path] = item, vector
        asked = [_unit(rng), *([next(iter(by_digest.values()))] if by_digest else [])]
        digests = [None, *([next(iter(by_digest))] if by_digest else [])]
        found = labelled.nearness(catalog, asked, digests)
        assert found == pytest.approx(by_engine(catalog, asked, digests), abs=1e-5), step


def test_too_many_are_left_to_the_engine(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    items = [Item(FileFacts("s", f"{n}.jpg", size=1, mtime_ns=1, sha256=f"{n:064x}"), {"kind": "a"}) for n in range(4)]
    vectors = [_unit(rng) for _ in items]
    catalog.writes.upsert([ItemVector(*each) for each in zip(items[:2], vectors, strict=False)])
    labelled = Labelled("kind")
    monkeypatch.setattr("recq.learn.labelled.MOST_NUMBERS", 3 * DIM)
    labelled.load(catalog)
    assert labelled.nearness(catalog, vectors[:1], [None]) is not None
    catalog.writes.upsert([ItemVector(*each) for each in zip(items[2:], vectors[2:], strict=True)])
    labelled.note(list(zip(items[2:], vectors[2:], strict=True)))
    assert labelled.nearness(catalog, vectors[:1], [None]) is None
    labelled.load(catalog)
    assert labelled.nearness(catalog, vectors[:1], [None]) is None


def _unit(rng: np.random.Generator) -> np.ndarray:
    made = rng.normal(size=DIM)
    return (made / np.linalg.norm(made)).astype(np.float32)
