"""Browsing: the newest first, every item once over all pages, from whichever end an engine walks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from recq.index.catalog import Catalog
from recq.index.changes import KEY, NUMBER
from recq.index.latest import Span, spans
from recq.index.parameters import Parameters
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from tests.recq.index.conftest import SPACE

SIZES = st.integers(0, 40)


@given(SIZES, SIZES, SIZES, SIZES)
def test_spans_are_exactly_the_rows_of_a_page(offset: int, limit: int, stamped: int, others: int) -> None:
    newest = [f"s{number}" for number in range(stamped)]
    rest = [f"o{number}" for number in range(others)]

    def given_by(span: Span) -> list[str]:
        rows = newest if span.stamped else rest
        found = (rows[::-1] if span.backwards else rows)[span.offset : span.offset + span.limit]
        assert len(found) == span.limit > 0
        return found[::-1] if span.backwards else found

    found = spans(offset, limit, stamped=stamped, others=others)
    assert [row for span in found for row in given_by(span)] == [*newest, *rest][offset : offset + limit]
    assert all(2 * span.offset <= stamped for span in found if span.stamped)  # never more than half the way


def entry(number: int, *, sha256: str | None = None, kind: str = "a") -> ItemVector:
    facts = FileFacts("shop", f"{number:03d}.jpg", 10, 10, sha256=sha256 or f"{number:064x}")
    vector = np.random.default_rng(number).standard_normal(SPACE.dim).astype(np.float32)
    return ItemVector(Item(facts, {"kind": kind, "title": f"thing {number % 3}"}), vector)


@pytest.fixture
def catalog(client: QdrantClient) -> Catalog:
    return Catalog.create(client, "latest", SPACE)


def names(catalog: Catalog, *filters: str, size: int = 4, copies: bool = False) -> list[list[str]]:
    """The names on each page, as far as there are some."""
    found: list[list[str]] = []
    for offset in range(0, 40, size):
        page = catalog.latest.page(Parameters(size, offset, list(filters), keep_duplicates=copies))
        if offset >= (page.total or 0):
            assert page.hits == ()
            return found
        found.append([hit.item.file.path for hit in page.hits])
    raise AssertionError("there is no end")


def unstamp(client: QdrantClient, catalog: Catalog, ids: list[str]) -> None:
    for record in client.retrieve(catalog.collection, ids, with_payload=True):
        payload = {name: value for name, value in (record.payload or {}).items() if name != KEY}
        client.overwrite_payload(catalog.collection, payload=payload, points=[record.id], wait=True)


def files(*numbers: int) -> list[str]:
    return [f"{number:03d}.jpg" for number in numbers]


def test_the_newest_first_and_every_item_once(catalog: Catalog) -> None:
    for number in range(10):
        catalog.writes.upsert([entry(number, kind="ab"[number % 2])])
    catalog.writes.upsert(
        [
            ItemVector(
                Item(FileFacts("shop", "bad.jpg", 1, 1), {}, ItemError("corrupt", "x", "2026-11-27T10:00:00Z")), None
            )
        ]
    )
    catalog.writes.remove([entry(9).item.gone()])
    assert names(catalog) == [files(8, 7, 6, 5), files(4, 3, 2, 1), files(0)]
    assert names(catalog, "kind=b", size=2) == [files(7, 5), files(3, 1)]
    assert names(catalog, "title~1") == [files(7, 4, 1)]
    catalog.writes.upsert([entry(2)])
    assert names(catalog)[0] == files(2, 8, 7, 6)
    assert catalog.latest.page(Parameters(4, filters=["kind=none"])).total == 0


def test_copies_of_a_newer_item_keep_their_places_and_are_counted(catalog: Catalog) -> None:
    same = "f" * 64
    for number in range(6):
        catalog.writes.upsert([entry(number, sha256=same if number in (0, 2, 5) else None)])
    assert names(catalog, size=3) == [files(5, 4, 3), files(1)]
    assert names(catalog, size=3, copies=True) == [files(5, 4, 3), files(2, 1, 0)]
    first = catalog.latest.page(Parameters(3))
    assert [hit.copies for hit in first.hits] == [3, 1, 1]
    assert catalog.latest.page(Parameters(3, offset=3)).copies == 2


def test_items_without_a_stamp_come_last(client: QdrantClient, catalog: Catalog) -> None:
    catalog.writes.upsert([entry(number) for number in range(7)])
    old = sorted((entry(number).item for number in (1, 4, 5)), key=lambda item: item.id)
    unstamp(client, catalog, [item.id for item in old])
    rest = [item.file.path for item in old]
    assert names(catalog) == [[*files(6, 3, 2, 0)], rest]
    assert names(catalog, size=3) == [files(6, 3, 2), [*files(0), *rest[:2]], rest[2:]]


def test_an_index_of_an_older_recq_is_shown_in_the_order_of_ids(client: QdrantClient, catalog: Catalog) -> None:
    catalog.writes.upsert([entry(number, sha256="e" * 64 if number < 2 else None) for number in range(6)])
    unstamp(client, catalog, [entry(number).item.id for number in range(6)])
    client.delete_payload_index(catalog.collection, NUMBER, wait=True)
    older = Catalog.open(client, "latest")
    ids = sorted((entry(number).item.id, number) for number in range(6))
    one = max(number for number in (0, 1) if number != next(n for _, n in ids if n < 2))
    shown = [name for page in names(older, size=4) for name in page]
    assert shown == files(*(number for _, number in ids if number != one))
