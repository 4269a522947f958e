"""Why nothing was found: which filter, which two, which limit; what may have been meant; the same on three engines."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from query.cli.options import asked_with_words
from recq.errors import FilterError, Reason
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.grammar import AnyOf, Condition, parse
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from recq.paths import item_id
from recq.search.no_results import CauseKind, text_of, why_no_items
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.query.conftest import CATALOG, Reply, Shop
from tests.query.test_docs import check

SPACE = EmbeddingSpace("test", "0", "top", "mean", 8, "pad", "none", "f32", 4)
ITEMS: list[dict[str, Any]] = [
    {"category": "Footwear", "brand": "Adidas", "title": "RunX Running Shoe", "price": 44.95, "stock": 3, "new": True},
    {"category": "Footwear", "brand": "Nike", "title": "Freerun Running Shoe", "price": 160.0, "stock": 0, "new": True},
    {"category": "Furniture", "title": "Modern Café Chair", "price": 68.0, "added": "2026-03-05", "sizes": [38, 45]},
    {"category": "Möbel", "brand": "Smith, Jones", "added": "2026-11-21", "sku": "4711", "new": True},
]


def stock(client: Any) -> Catalog:
    catalog = Catalog.create(client, CATALOG, SPACE)
    entries = []
    for n, metadata in enumerate(ITEMS):
        facts = FileFacts("goods", f"shop/item_{n}.jpg", 1, 1, f"{n:064x}", "JPEG", 400 + n, 300)
        entries.append(ItemVector(Item(facts, metadata), np.eye(4, dtype=np.float32)[n]))
    catalog.writes.upsert(entries)
    return catalog


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A small catalog."""
    with own_folder(Settings(data_dir=tmp_path_factory.mktemp("goods"))) as owned:
        yield stock(owned.client)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that reach the same, in a folder that nobody has open."""
    data = tmp_path_factory.mktemp("closed")
    with own_folder(Settings(data_dir=data)) as owned:
        stock(owned.client)
    return ["--data-dir", str(data), "--catalog", CATALOG]


def why(catalog: Catalog, *filters: str) -> str:
    """What is said of filters that nothing fits."""
    found = why_no_items(catalog, filters)
    assert found is not None
    assert found.text.startswith("nothing matches:")
    return found.text.removeprefix("nothing matches: ")


@pytest.mark.parametrize(
    ("filter_", "meant"),
    [
        ("category=footwear", "Footwear"),
        ("category=Fotwear", "Footwear"),
        ("category=foot-wear", "Footwear"),
        ("category=mobel", "Möbel"),
        ("category=mo\u0308bel", "Möbel"),
        ("category=Adidas", "brand=Adidas"),
        ("category=adidas", "brand=Adidas"),
        ("brand=smith\\, jones", "Smith\\, Jones"),
        ("title=shoe", "title~shoe"),
        ("title=RunX runing shoe", "RunX Running Shoe"),
        ("title~shoos", "shoe"),
        ("title~runing shoe", "running shoe"),
        ("category=footwear|Mobel", "Footwear or Möbel"),
        ("category=4711", "sku=4711"),
        ("category=44.95", "price=44.95"),
        ("category=2026-11-21", "added=2026-11-21"),
        ("file.format=jpg", "JPEG"),
        ("file.source=Goods", "goods"),
        ("file.name=item_3", "item_3.jpg"),
        ("file.path=item_3.jpg", "shop/item_3.jpg"),
        ("file.folders=Shop", "shop"),
        ("file.name~itm", "item"),
    ],
)
def test_what_may_have_been_meant(goods: Catalog, filter_: str, meant: str) -> None:
    assert why(goods, filter_) == f"no item has {filter_}: did you mean {meant}?"


@pytest.mark.parametrize(
    "text",
    [
        "category=footwear", "category=adidas", "title=shoe", "title~shoos", "category=44.95", "file.name=item_3",
        "brand=smith\\, jones", "category=nike|mobel",
    ],
)  # fmt: skip
def test_what_is_suggested_finds_something(goods: Catalog, text: str) -> None:
    found = why_no_items(goods, [text])
    assert found is not None
    assert found.causes[0].did_you_mean
    assert all(goods.items.count([each]) for each in found.causes[0].did_you_mean)


@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        ("category=elephant", "no item has category=elephant: there is Footwear, Furniture and Möbel"),
        ("price>500", "no item has price>500: price is from 44.95 to 160"),
        ("price<=44", "no item has price<=44: price is from 44.95 to 160"),
        ("price=1000..2000", "no item has price=1000..2000: price is from 44.95 to 160"),
        ("price=45..60", "no item has price=45..60: the nearest are 44.95 and 68"),
        ("price=45", "no item has price=45: the nearest are 44.95 and 68"),
        ("stock=1|2", "no item has stock=1|2: the nearest are 0 and 3"),
        ("stock>3", "no item has stock>3: stock is from 0 to 3"),
        ("sizes=40..41", "no item has sizes=40..41: the nearest are 38 and 45"),
        ("added=2025", "no item has added=2025: added is from 2026-03-05 to 2026-11-21"),
        ("added=2026-07", "no item has added=2026-07: the nearest are 2026-03-05 and 2026-11-21"),
        ("added<2026-03-05", "no item has added<2026-03-05: added is from 2026-03-05 to 2026-11-21"),
        ("file.width>999", "no item has file.width>999: file.width is from 400 to 403"),
        ("file.height=299", "no item has file.height=299: every file.height is 300"),
        ("new=false", "no item has new=false: there is true"),
        ("no:category", "every item has a category"),
        ("file.format!=JPEG", "no item has file.format!=JPEG: every item has file.format=JPEG"),
        ("file.name!~item", "no item has file.name!~item: every item has file.name~item"),
        (
            "title~running chair",
            "no item has title~running chair: no item has all of these words, running (2) and chair (1)",
        ),
        ("file.sha256=abc", "no item has file.sha256=abc"),
    ],
)  # fmt: skip
def test_what_there_is_instead(goods: Catalog, filter_: str, told: str) -> None:
    assert why(goods, filter_) == told


def test_every_filter_that_no_item_fits_is_named(goods: Catalog) -> None:
    assert why(goods, "category=footwear", "price>500", "brand=Nike").splitlines() == [
        "nothing matches:",
        "no item has category=footwear: did you mean Footwear?",
        "no item has price>500: price is from 44.95 to 160",
    ]


def test_two_that_exclude_each_other_are_named_with_what_each_has(goods: Catalog) -> None:
    assert why(goods, "category=Footwear", "has:price", "price=60..70") == (
        "no item has both category=Footwear (2 items) and price=60..70 (1 item)"
    )
    assert why(goods, "brand=Adidas", "brand=Nike") == (
        "no item has both brand=Adidas (1 item) and brand=Nike (1 item): brand=Adidas|Nike finds either"
    )


def test_of_three_that_fit_in_pairs_it_is_told_what_is_there_without_each(goods: Catalog) -> None:
    found = why_no_items(goods, ["new=true", "has:added", "has:title"])
    assert found is not None
    (cause,) = found.causes
    assert cause.text == (
        "no item fits all 3 filters, each alone fits some: "
        "2 items without has:added, 1 item without new=true and 1 item without has:title"
    )
    assert (cause.filters, cause.items) == (("new=true", "has:added", "has:title"), (3, 2, 3))


def test_a_group_of_alternatives_suggests_for_each(closed: list[str], ask: Callable[..., Reply]) -> None:
    reply = ask(["search", "--any-of", "category=footwear || price>500", *closed, "--format", "json"])
    (cause,) = json.loads(reply.out)["no_results"]["causes"]
    assert cause == {
        "kind": "filter",
        "text": "no item fits category=footwear || price>500: did you mean category=Footwear?",
        "filters": [{"filter": "category=footwear || price>500", "items": 0}],
        "did_you_mean": ["category=Footwear"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "price=50..10", "price=0..-1", "stock=9..8.5", "added=2026-12..2026-01", "added=2026-11-21..2026-11-20",
        "price=5|50..10",
    ],
)  # fmt: skip
def test_a_range_that_ends_before_it_begins_is_an_error(goods: Catalog, text: str) -> None:
    low, high = text.rpartition("=")[2].rpartition("|")[2].split("..")
    right = f"{text.partition('=')[0]}={high}..{low}"
    said = re.escape(f"{text!r}: no value is {low} or more and {high} or less: write {right}")
    for asked in ({"filters": [text]}, {"any_of": [f"category=x||{text}"]}):
        for ask in (goods.finder.find, lambda parameters: goods.finder.rank(goods_id(0), parameters)):
            with pytest.raises(FilterError, match=said):
                ask(Parameters(**asked))  # type: ignore[arg-type]


def goods_id(number: int) -> str:
    return item_id("goods", f"shop/item_{number}.jpg")


@pytest.mark.parametrize(
    "text", ["price=10..10", "added=2026-11-21..2026-11", "added=2026..2026", "stock=3..", "title=9..1"]
)
def test_a_range_with_something_in_it_is_none(goods: Catalog, text: str) -> None:
    goods.items.count([text])


def test_the_command_says_it_and_ends_well(closed: list[str], ask: Callable[..., Reply]) -> None:
    reply = ask(["search", "--filter", "category=footwear", *closed])
    said = "recq: nothing matches: no item has category=footwear: did you mean Footwear?\n"
    assert (reply.code, reply.out, reply.err) == (0, b"", said)
    wrong = ask(["search", "--filter", "price=50..10", *closed])
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (2, b"", 1)


# -- what a question leaves out by itself ----------------------------------------------------------------------------


def kinds(reply: Reply) -> list[str]:
    document = json.loads(reply.out)
    check(document)
    assert (reply.code, document["results"]) == (0, [])
    return [cause["kind"] for cause in document["no_results"]["causes"]]


def test_only_what_was_asked_for_is_blamed(any_shop: Shop) -> None:
    def asked(*options: str, command: tuple[str, ...] = ("similar", "two.png")) -> Reply:
        return any_shop.ask(*command, *options, "--format", "json")

    limit = asked("--min-score", "0.9999")
    assert kinds(limit) == ["limit"]
    assert (
        limit.err == f"recq: nothing matches: no item reaches --min-score 0.9999: the nearest has {math.cos(0.1):.3f}\n"
    )
    both = asked("--min-score", "0.99", "--filter", "category=bed")
    assert kinds(both) == ["limit"]
    assert "no item that fits the filters reaches --min-score 0.99" in both.err
    wrong = asked("--min-score", "0.99", "--filter", "category=beds")
    assert kinds(wrong) == ["filter"]
    assert "score" not in wrong.err
    assert "did you mean bed?" in wrong.err
    assert kinds(asked("--filter", "labels=Action")) == ["target"]
    assert kinds(asked("--filter", "category=sofa", "--group-by", "category")) == ["own-group"]
    assert kinds(asked("--page", "9")) == ["offset"]
    assert kinds(asked("--page", "9", "--filter", "category=beds")) == ["filter"]
    recommended = asked(
        "--filter", "category=sofa", command=("recommend", "--like", "two.png", "--like", "sofas/one.png")
    )
    assert kinds(recommended) == ["target"]
    assert "is the target itself" in recommended.err
    assert kinds(asked("--filter", "category=bed", "--filter", "price<60", command=("search",))) == ["filters"]


@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        ("category=Sofa", "did you mean sofa?"),
        ("category=action", "did you mean labels=Action?"),
        ("title~lether", "did you mean leather?"),
        ("price=120..200", "the nearest are 100 and 250"),
        ("price>300", "price is from 49.5 to 250"),
        ("file.width>99", "every file.width is 48"),
        ("file.name=three", "did you mean three.png?"),
        ("in_stock=false", "there is true"),
    ],
)
def test_every_engine_tells_the_same(any_shop: Shop, filter_: str, told: str) -> None:
    reply = any_shop.ask("search", "--filter", filter_)
    assert (reply.code, reply.err) == (0, f"recq: nothing matches: no item has {filter_}: {told}\n")


def test_several_targets_say_once_what_holds_for_all(any_shop: Shop) -> None:
    reply = any_shop.ask("similar", "two.png", "three.png", "--filter", "category=beds", "--format", "jsonl")
    assert reply.err == "recq: two.png: nothing matches: no item has category=beds: did you mean bed?\n"
    for line in reply.lines:
        assert [cause["kind"] for cause in json.loads(line)["no_results"]["causes"]] == ["filter"]


def test_a_score_that_none_can_have_is_an_error(shop: Shop) -> None:
    for arguments in (["similar", "two.png"], ["recommend", "--like", "two.png", "--strategy", "best"]):
        reply = shop.ask(*arguments, "--min-score", "1.5")
        assert (reply.code, reply.out) == (2, b"")
        assert "--min-score 1.5 cannot be reached" in reply.err
    assert shop.ask("recommend", "--like", "two.png", "--strategy", "sum", "--min-score", "1.5").code == 0


def test_an_empty_catalog_says_so_whatever_the_filters(tmp_path: Path, ask: Callable[..., Reply]) -> None:
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        catalog = Catalog.create(owned.client, CATALOG, SPACE)
        there = ["--data-dir", str(tmp_path), "--catalog", CATALOG]
        error = ItemError(Reason.CORRUPT, "bad", "2026-11-21T10:00:00Z")
        assert why_no_items(catalog, []) == why_no_items(catalog, ["file.name=x"])
    assert ask(["search", *there]).err == "recq: nothing is indexed yet\n"
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        catalog = Catalog.open(owned.client, CATALOG)
        catalog.writes.upsert([ItemVector(Item(FileFacts("s", "a.jpg", 1, 1), {}, error), None)])
    assert ask(["search", *there]).err == "recq: none of 1 item could be embedded\n"


def test_filters_of_a_library_have_a_text_too(goods: Catalog) -> None:
    condition = Condition("category", Op.EQ, ("a,b", "c"))
    assert text_of(condition) == "category=a\\,b|c"
    assert parse(text_of(condition)).values == condition.values
    assert text_of(AnyOf((Condition("price", Op.EXISTS), Condition("x", Op.MISSING)))) == "has:price || no:x"
    found = why_no_items(goods, [Condition("category", Op.EQ, ("footwear",))])
    assert found is not None
    assert found.causes[0].kind is CauseKind.FILTER
    assert found.text == "nothing matches: no item has category=footwear: did you mean Footwear?"
    assert why_no_items(goods, ["category=Footwear"]) is None
    with pytest.raises(FilterError):
        why_no_items(goods, ["nothing=1"])


def test_other_commands_with_filters_say_it_too(shop: Shop, tmp_path: Path) -> None:
    said = "no item has category=beds: did you mean bed?"
    facets = shop.ask("facets", "price", "--filter", "category=beds")
    assert (facets.code, facets.out, facets.err) == (0, b"", f"recq: nothing matches: {said}\n")
    assert shop.ask("facets", "rank", "--filter", "category=bed").err == (
        "recq: nothing matches: no item has both category=bed (2 items) and has:rank (1 item)\n"
    )
    exported = shop.ask("export", str(tmp_path / "none.jsonl"), "--filter", "category=beds")
    assert exported.code == 0
    assert said in exported.err
    evaluated = shop.ask("evaluate", "--label", "category", "--query-filter", "category=beds")
    assert evaluated.code == 2
    assert f"no item fits the --query-filter: {said}" in evaluated.err


def test_what_is_told_stays_one_line_that_can_be_pasted() -> None:
    assert meant_in({"note": "word " * 200}, "note=x").endswith(f"there is {'word ' * 11}word…")
    assert (
        meant_in({"note": "new\nline"}, "note=new line") == "no item has note=new line: did you mean $'new\\x0aline'?"
    )
    assert meant_in({"ean": 4006381333931}, "ean=1") == "no item has ean=1: every ean is 4006381333931"


def meant_in(metadata: dict[str, Any], filter_: str) -> str:
    """What is said in a catalog of one item."""
    with TemporaryDirectory() as folder, own_folder(Settings(data_dir=Path(folder))) as owned:
        catalog = Catalog.create(owned.client, CATALOG, SPACE)
        facts = FileFacts("goods", "one.jpg", 1, 1, "0" * 64, "JPEG", 400, 300)
        catalog.writes.upsert([ItemVector(Item(facts, metadata), np.eye(4, dtype=np.float32)[0])])
        return why(catalog, filter_)


def test_duplicates_among_nothing_say_why(shop: Shop) -> None:
    for form in ("table", "json", "csv"):
        reply = shop.ask("duplicates", "--filter", "category=Sofa", "--format", form)
        assert reply.code == 0
        assert "no item has category=Sofa: did you mean sofa?" in reply.err
        assert "no duplicates" not in reply.err


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("99999999999999999999999", ": write 1e+23"),
        ("1e999", ""),
        ("-123456789012345678901", ": write -1.2345678901234568e+20"),
    ],
)
def test_a_number_that_is_too_large_is_told_as_such(goods: Catalog, text: str, written: str) -> None:
    with pytest.raises(FilterError) as raised:
        goods.items.count([parse(f"stock<{text}")])
    assert str(raised.value).endswith(f"{text} is more than a number of 64 bits holds{written}")
    if written:
        assert goods.items.count([parse(f"stock<={written.removeprefix(': write ')}")]) in (0, 2)


def test_a_field_that_is_not_like_any_gets_no_suggestion(goods: Catalog) -> None:
    with pytest.raises(FilterError, match=r"unknown field 'nothing' \("):
        goods.items.count([parse("nothing=1")])


def test_words_alone_are_asked_for_in_a_field_that_there_is(shop: Shop) -> None:
    reply = shop.ask("search", "boots")
    assert (reply.code, reply.out) == (2, b"")
    commands = re.findall(r"'recq search --filter ([^ ]+)", reply.err)
    assert len(commands) == 2
    for asked in commands:
        assert shop.ask("search", "--filter", asked.strip('"')).code == 0
    assert "~" not in asked_with_words(["boots"], []).split("file.name~")[0]
    assert '"brand~boots"' in asked_with_words(["boots"], ["category", "brand"])
    assert '"title~boots"' in asked_with_words(["boots"], ["brand", "category", "title"])
