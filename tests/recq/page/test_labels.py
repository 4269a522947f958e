"""The label workbench as it is served: tags are collected, kept, taken back, made into patches and placed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import numpy as np
import pytest

from recq import paths
from recq.api.access import Gatekeeper
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.predicted import Prediction
from recq.index.schema import FileFacts, Item
from recq.page.routes import Pages
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.recq.api.serving import served

SOFA, OTHER, BED = (
    paths.item_id("shop", *paths.to_text(each)) for each in ("sofas/one.png", "sofas/two.png", "beds/one.png")
)
CHANGING = ("answer?queue=audit", "tag", "undo", "forget", "place")


@contextmanager
def opened(settings: Settings, keeper: Gatekeeper | None = None) -> Iterator[httpx.Client]:
    with served(settings, keeper, Pages) as api:
        api.client.headers["Accept"] = "text/html"
        api.client.follow_redirects = True
        yield api.client


@pytest.fixture
def page(settings: Settings) -> Iterator[httpx.Client]:
    with opened(settings) as client:
        yield client
        while "Take the last ones back" in client.get("/labels").text:
            client.post("/labels/undo")


def send(page: httpx.Client, path: str, pairs: list[tuple[str, str]]) -> httpx.Response:
    return page.post(path, content=urlencode(pairs))


def tag(page: httpx.Client, field: str, how: str, value: str, *items: str) -> httpx.Response:
    ticks = [("tick", each) for each in items]
    return send(page, f"/labels/tag?item={SOFA}", [("field", field), ("how", how), ("value", value), *ticks])


def rows(page: httpx.Client) -> list[Mapping[str, str]]:
    answer = page.get("/labels/patch?source=shop")
    assert answer.status_code == 200, answer.text
    assert re.search(r'attachment; filename="metadata\.labels-[\d-]+\.csv"', answer.headers["content-disposition"])
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def told(answer: httpx.Response) -> str:
    found = re.search(r'role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert found is not None, answer.text
    return unescape(found[1])


def test_neighbours_are_tagged_together_and_become_a_patch(page: httpx.Client, settings: Settings) -> None:
    near = page.get(f"/labels/near?item={SOFA}&field=category")
    assert near.text.count('name="tick"') == 8  # the picture itself first, and all others that have a vector
    assert re.findall(r'name="tick" value="(.*?)" checked', near.text) == [SOFA]
    assert tag(page, "category", "is", "couch", SOFA, OTHER).status_code == 200
    assert tag(page, "season", "is", "winter", BED).status_code == 200
    assert rows(page) == [
        {"file": "beds/one.png", "category": "", "season": "winter"},
        {"file": "sofas/one.png", "category": "couch", "season": ""},
        {"file": "sofas/two.png", "category": "couch", "season": ""},
    ]
    with opened(settings) as another:  # a service that has just started
        assert "3 pictures would be changed" in another.get("/labels").text
        assert "tagged: couch" in another.get(f"/labels/near?item={SOFA}&field=category").text
    page.post("/labels/undo")
    assert [row["file"] for row in rows(page)] == ["sofas/one.png", "sofas/two.png"]


def test_a_list_gets_a_value_and_loses_one(page: httpx.Client) -> None:
    tag(page, "labels", "also", "War|Drama", SOFA, OTHER)
    tag(page, "labels", "not", "Action", SOFA, OTHER)
    assert rows(page) == [
        {"file": "sofas/one.png", "labels": "War|Drama"},
        {"file": "sofas/two.png", "labels": "Drama|War"},
    ]
    tag(page, "labels", "not", "", OTHER)
    assert rows(page)[1]["labels"] == "<remove>"


def test_only_pictures_without_a_value(page: httpx.Client) -> None:
    bare = page.get(f"/labels/near?item={SOFA}&field=category&bare=1").text
    assert bare.count('name="tick"') == 3  # the picture itself, and the two without a category
    assert page.get(f"/labels/near?item={SOFA}&field=unheard&bare=1").text.count('name="tick"') == 8


WRONG = [
    ("file.name", "x", "reserved"),
    ("File", "x", "what a table calls its files"),
    ("", "x", "name the field"),
    ("a=b", "x", "that filters use"),
    ("price", "cheap", "which holds numbers"),
    ("in_stock", "perhaps", "true or false"),
    ("category", "", "give a value"),
    ("category", "<remove>", "no value that a cell"),
    ("category", "a\nb", "no value that a cell"),
]


@pytest.mark.parametrize(("field", "value", "problem"), WRONG)
def test_what_no_patch_can_hold_is_refused_at_once(page: httpx.Client, field: str, value: str, problem: str) -> None:
    answer = tag(page, field, "is", value, SOFA)
    assert answer.status_code == 400
    assert problem in told(answer)
    assert "None yet" in page.get("/labels").text


def test_nothing_ticked_and_nothing_there(page: httpx.Client) -> None:
    assert "tick the pictures" in told(tag(page, "category", "is", "x"))
    assert tag(page, "category", "is", "x", "0" * 32).status_code == 200
    assert "None yet" in page.get("/labels").text
    assert page.get("/labels/patch?source=shop").status_code == 404
    for address in ("/labels?queue=none", "/labels/near?item=nothing", "/labels/near?how=right"):
        assert 400 <= page.get(address).status_code < 500, address


def test_what_a_queue_is_answered_with(page: httpx.Client) -> None:
    pairs = []
    for item, proposed, given in [(SOFA, "bed", "bed"), (OTHER, "bed", "bed"), (BED, "sofa", "bunk bed")]:
        pairs += [("seen", item), ("proposed", proposed), ("given", given)]
    send(page, "/labels/answer?queue=audit&field=category", [*pairs, ("tick", SOFA)])
    assert rows(page) == [
        {"file": "beds/one.png", "category": "bunk bed"},  # typed, though not ticked
        {"file": "sofas/one.png", "category": "bed"},
    ]
    assert "right: sofa" in page.get("/labels").text
    page.post("/labels/undo")  # all of it at once
    assert "None yet" in page.get("/labels").text


def test_too_little_to_learn_from_is_told_in_the_page(page: httpx.Client) -> None:
    send(page, "/labels/look", [("field", "category"), ("queue", "audit")])
    address = "/labels?field=category&queue=audit"
    for _ in range(100):
        text = page.get(address).text
        if 'role="alert"' in text:
            break
    assert "fewer than 5 items" in told(page.get(address))


HOSTILE = ['<img src=x onerror="alert(1)">', '"><script>alert(1)</script>', "{{ 7*7 }}"]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_label_and_no_field_becomes_markup(page: httpx.Client, value: str) -> None:
    tag(page, "category", "is", value, SOFA)
    tag(page, value.replace("=", "").replace('"', "").replace(">", "").replace("<", ""), "is", value, SOFA)
    for address in (
        "/labels",
        f"/labels/near?item={SOFA}&field=category&value={quote(value)}",
        f"/labels?field={quote(value)}",
    ):
        text = page.get(address).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert value[:10].replace("<", "&lt;").replace('"', "&#34;").replace(">", "&gt;") in text
    assert any(row["category"] == value for row in rows(page))


def test_who_only_reads_and_other_pages_collect_nothing(settings: Settings) -> None:
    with opened(settings, Gatekeeper(operate="the-operators", read="the-readers-own")) as page:
        page.headers["Authorization"] = "Bearer the-readers-own"
        for route in CHANGING:
            assert send(page, f"/labels/{route}", [("tick", SOFA)]).status_code == 403, route
        near = page.get(f"/labels/near?item={SOFA}&field=category").text
        assert "Tagging needs the token that operates" in near
        assert "<button>Tag" not in near
        page.headers["Authorization"] = "Bearer the-operators"
        for route in (*CHANGING, "look"):
            answer = page.post(f"/labels/{route}", headers={"Origin": "http://evil.example"})
            assert answer.status_code == 403, route
            answer = page.post(f"/labels/{route}", headers={"Host": "evil.example"})
            assert answer.status_code == 403, route
        assert "None yet" in page.get("/labels").text


def test_a_patch_is_placed_only_where_the_setting_allows_it(
    page: httpx.Client, settings: Settings, shop_root: Path
) -> None:
    tag(page, "category", "is", "couch", SOFA)
    assert "Place the patch" not in page.get("/labels").text
    refused = send(page, "/labels/place?source=shop", [("name", "a")])
    assert (refused.status_code, list(shop_root.glob("metadata*"))) == (400, [])
    with opened(settings.model_copy(update={"place_patches": True})) as placing:
        assert "Place the patch" in placing.get("/labels").text
        for name in ("", "..", "../a", "a/b", ".hidden", "a b", "ä", "x" * 81, "a\x00"):
            answer = send(placing, "/labels/place?source=shop", [("name", name)])
            assert (answer.status_code, list(shop_root.glob("**/*metadata*"))) == (400, []), name
        taken = shop_root / "metadata.taken.csv"
        taken.write_text("file,category\n")
        try:
            assert "is there already" in told(send(placing, "/labels/place?source=shop", [("name", "taken")]))
            assert taken.read_text() == "file,category\n"
            answer = send(placing, "/labels/place?source=shop", [("name", "mine")])
            assert "metadata.mine.csv is in the folder of shop, with 1 rows" in answer.text
            assert "metadata.taken.csv win" in answer.text
            mine = shop_root / "metadata.mine.csv"
            assert mine.read_text("utf-8-sig") == "file,category\nsofas/one.png,couch\n"
            assert "None yet" in placing.get("/labels").text
        finally:
            for each in shop_root.glob("metadata*"):
                each.unlink()
    assert [each for each in shop_root.iterdir() if each.name.startswith(".")] == []


SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=2,
)  # fmt: skip
PREDICTED = [
    (Prediction("f", ("sofa",), (0.974,)), "predicted sofa 97 %"),
    (Prediction("f", ("War", "Drama"), (0.91, 0.5), several=True), "predicted War 91 %, Drama 50 %"),
    (Prediction("f", ("<b>1 2</b>",)), "predicted <b>1 2</b>"),
    (Prediction("f"), "predicted like nothing that is labelled"),
]


def test_what_is_predicted_stands_beside_neighbours_with_its_confidence(tmp_path: Path) -> None:
    items = [
        Item(FileFacts("shop", f"{number}.jpg", 1, 1, f"{number}" * 64, "PNG", 8, 8), predicted={"category": each})
        for number, (each, _) in enumerate(PREDICTED)
    ]
    settings = Settings(data_dir=tmp_path / "data", catalog="one")
    with own_folder(settings) as owned:
        writes = Catalog.create(owned.client, "one", SPACE).writes
        writes.upsert([ItemVector(each, np.array([1.0, n / 10], np.float32)) for n, each in enumerate(items)])
    with opened(settings) as page:
        near = page.get(f"/labels/near?item={items[0].id}&field=category").text
        other = page.get(f"/labels/near?item={items[0].id}&field=season").text
    shown = [unescape(each) for each in re.findall(r'<span class="fact">(predicted .*?)</span>', near)]
    assert shown == [told for _, told in PREDICTED]
    assert "predicted" not in other
