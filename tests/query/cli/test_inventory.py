"""`recq catalogs` and `recq fields`: what there is, on every engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recq
from recq.index.catalog import Catalog
from recq.index.catalogs import drop, holdings
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, Metadata
from recq.models import describe_space
from recq.search.inventory import MOST_VALUES
from recq.settings import Settings
from tests.query.conftest import CATALOG, GOODS, Reply, Shop

Ask = Callable[..., Reply]
SPACE = describe_space("mobilenet_v2", Settings())


def listed(shop: Shop, ask: Callable[..., Reply], *arguments: str) -> list[dict[str, Any]]:
    reply = ask([*arguments, "--format", "json", *shop.options], None)
    assert reply.code == 0, reply.err
    found: list[dict[str, Any]] = json.loads(reply.out)
    return found


def test_catalogs_tell_items_failures_space_sources_and_time(any_shop: Shop, ask: Ask) -> None:
    found = {each["name"]: each for each in listed(any_shop, ask, "catalogs")}
    shop = found[CATALOG]
    assert (shop["items"], shop["failed"], shop["sources"]) == (len(GOODS), 1, ["shop"])
    assert shop["space"]["model"] == "efficientnet_lite2"
    assert shop["unfinished"] == []
    assert shop["problem"] is shop["indexed"] is None, "these items have no time"


def test_fields_tell_type_count_values_and_an_example(any_shop: Shop, ask: Ask) -> None:
    fields = {each["name"]: each for each in listed(any_shop, ask, "fields", "--catalog", CATALOG)}
    assert list(fields) == [
        "category",
        "in_stock",
        "labels",
        "name",
        "price",
        "rank",
        "title",
        "file.source",
        "file.folders",
        "file.format",
    ]
    category = fields["category"]
    assert (category["type"], category["items"], category["distinct"]) == ("string", 6, 3)
    assert category["example"] in ("sofa", "bed", "twin")
    price = fields["price"]
    assert (price["type"], price["items"], price["least"], price["greatest"]) == ("float", 4, 49.5, 250)
    assert price["distinct"] is None
    assert (fields["labels"]["items"], fields["labels"]["distinct"]) == (1, 2)
    assert fields["labels"]["example"] == ["Action", "Drama"]
    assert (fields["in_stock"]["type"], fields["in_stock"]["example"]) == ("bool", True)
    assert (fields["rank"]["least"], fields["rank"]["greatest"]) == (7, 7)
    assert fields["file.source"] | {"type": "", "waiting": None, "problem": None} == {
        "name": "file.source", "type": "", "items": len(GOODS), "distinct": 1, "least": None, "greatest": None,
        "example": "shop", "waiting": None, "problem": None,
    }  # fmt: skip


def test_tables_have_a_line_for_each(shop: Shop, ask: Ask) -> None:
    lines = ask(["catalogs", *shop.options], None).lines
    assert lines[0].split() == ["catalog", "items", "failed", "space", "sources", "indexed"]
    assert lines[1].split()[:3] == [CATALOG, str(len(GOODS)), "1"]
    lines = shop.ask("fields").lines
    assert lines[0].split() == ["field", "type", "items", "values", "example"]
    (price,) = (line for line in lines if line.startswith("price"))
    assert price.split()[:4] == ["price", "float", "4", "49.5..250"]
    (category,) = (line for line in lines if line.startswith("category"))
    assert "3 different" in category


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three catalogs: `images` with odd fields, `later` with indexes that wait and a rebuild that was killed."""
    folder = tmp_path_factory.mktemp("odd")
    metadata: list[Metadata] = [
        {"sku": f"n{n}", "taken": f"2024-0{1 + n % 3}-15", "id": 10**13 + n, "Price, net": -1.5 * n}
        for n in range(1005)
    ]
    with own_folder(Settings(data_dir=folder)) as owned:
        images = Catalog.create(owned.client, "images", SPACE)
        vector = np.eye(1, SPACE.dim, dtype=np.float32)[0]
        facts = [
            FileFacts("s", f"{n}.jpg", 1, 1, f"{n:064x}", ingested_at=f"2026-11-{1 + n % 20:02}T10:00:00Z")
            for n in range(len(metadata))
        ]
        images.writes.upsert([ItemVector(Item(file, each), vector) for file, each in zip(facts, metadata, strict=True)])
        later = Catalog.create(owned.client, "later", SPACE)
        later.writes.upsert(
            [ItemVector(Item(FileFacts("s", "a.jpg", 1, 1), {f"f{n:02}": n for n in range(40)}), vector)]
        )
        Catalog.begin_rebuild(owned.client, "later", replace(SPACE, size=160))
    return folder


def test_dates_long_numbers_and_many_values(odd: Path, ask: Ask) -> None:
    reply = ask(["fields", "--format", "json", "--data-dir", str(odd)], None)
    fields = {each["name"]: each for each in json.loads(reply.out)}
    assert fields["sku"]["distinct"] is None, f"more than {MOST_VALUES}"
    assert (fields["taken"]["least"], fields["taken"]["greatest"]) == ("2024-01-15", "2024-03-15")
    assert (fields["id"]["least"], fields["id"]["greatest"]) == (10**13, 10**13 + 1004)
    assert (fields["Price, net"]["least"], fields["Price, net"]["greatest"]) == (-1506.0, 0)
    lines = ask(["fields", "--data-dir", str(odd)], None).lines
    (sku,) = (line for line in lines if line.startswith("sku"))
    assert "more than 1,000" in sku
    assert any(line.startswith("Price\\, net") for line in lines), "as a filter has it"


def test_fields_whose_index_waits_are_listed_as_such(odd: Path, ask: Ask) -> None:
    reply = ask(["fields", "--catalog", "later", "--format", "json", "--data-dir", str(odd)], None)
    fields = [each for each in json.loads(reply.out) if not each["name"].startswith("file.")]
    assert [(each["items"], each["example"], each["waiting"]) for each in fields] == [(1, n, True) for n in range(40)]
    assert "index being made" in ask(["fields", "--catalog", "later", "--data-dir", str(odd)], None).text


def test_the_newest_item_and_an_unfinished_rebuild_are_told(odd: Path, ask: Ask) -> None:
    reply = ask(["catalogs", "--format", "json", "--data-dir", str(odd)], None)
    images, later = json.loads(reply.out)
    assert (images["name"], images["indexed"]) == ("images", "2026-11-20T10:00:00Z")
    assert later["unfinished"] == [f"later--{replace(SPACE, size=160).fingerprint}"]
    assert "later: 1 collection of a rebuild" in reply.err
    assert "2026-11-20 10:00 UTC" in ask(["catalogs", "--data-dir", str(odd)], None).text


def test_what_a_rebuild_has_kept_is_told(tmp_path: Path, ask: Ask) -> None:
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        Catalog.create(owned.client, "images", SPACE)
        Catalog.begin_rebuild(owned.client, "images", replace(SPACE, size=160)).finish_rebuild()
    reply = ask(["catalogs", "--format", "json", "--data-dir", str(tmp_path)], None)
    (images,) = json.loads(reply.out)
    kept = images["kept"]
    assert (images["unfinished"], kept) == ([], {"space": SPACE.summary(), "at": kept["at"], "items": 0, "size": 0})
    assert f"images: kept to go back to: 0 items in {SPACE.label}" in reply.err
    assert "'recq-ingest prune" in reply.err


def test_no_catalog_at_all_says_how_to_make_one(tmp_path: Path, ask: Ask) -> None:
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        Catalog.create(owned.client, "images", SPACE)
        drop(owned.client, holdings(owned.client, "images"))
    reply = ask(["catalogs", "--data-dir", str(tmp_path)], None)
    assert (reply.code, reply.out) == (0, b"")
    assert f"'recq-ingest run FOLDER --data-dir {tmp_path}' makes one" in reply.err


def test_a_catalog_that_cannot_be_read_hides_no_other(odd: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Catalog.open

    def open_(client: Any, name: str) -> Catalog:
        if name == "later":
            from recq.errors import IndexRefused

            raise IndexRefused("made by a newer recq")
        return opened(client, name)

    monkeypatch.setattr(Catalog, "open", open_)
    reply = ask(["catalogs", "--format", "json", "--data-dir", str(odd)], None)
    assert [(each["items"], each["problem"]) for each in json.loads(reply.out)] == [
        (1005, None), (0, "made by a newer recq"),
    ]  # fmt: skip


def test_the_library_tells_the_same(odd: Path) -> None:
    with recq.open("images", data_dir=odd) as catalog:
        fields = catalog.fields()
    assert [each.name for each in fields] == [
        "Price, net",
        "id",
        "sku",
        "taken",
        "file.source",
        "file.folders",
        "file.format",
    ]
