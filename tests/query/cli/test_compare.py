"""`recq compare`: the same question to several catalogs, each in its own space, and what their answers share."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from referencing import Registry, Resource

from recq import paths
from recq.display.grid_sheet import sheet_of
from recq.index.parameters import Parameters
from recq.search.compare import Column, Comparison, identity
from recq.search.compare import compare as compare_catalogs
from recq.search.results import Answer, Asked, Result
from recq.search.session import Session
from recq.settings import Settings
from tests.query.conftest import Reply, items, picture, stock
from tests.query.pictures.test_grid import COSINE, SPACE
from tests.query.pictures.test_grid_html import Tree
from tests.query.test_docs import DOCS, schema

Ask = Callable[..., Reply]
OTHER = "other"
ANGLES = {"sofas/one.png": 0.0, "beds/one.png": 0.1, "beds/three.png": 0.2, "sofas/two.png": 0.9}
"""The pictures of the second catalog, in another order than in the first."""


@pytest.fixture(scope="module")
def two_catalogs(shop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shop and, in another model's space, some of the same pictures."""
    from recq.index.catalog import Catalog
    from recq.index.connect import own_folder
    from recq.index.points import ItemVector
    from recq.models import describe_space

    folder = tmp_path_factory.mktemp("two")
    settings = Settings(data_dir=folder)
    with own_folder(settings) as owned:
        stock(owned.client, shop_root)
        space = describe_space("mobilenet_v2", settings)
        catalog = Catalog.create(owned.client, OTHER, space)
        catalog.sources.register(shop_root)
        entries = []
        for item, _ in items(shop_root):
            if item.file.path in ANGLES:
                vector = np.zeros(space.dim, np.float32)
                vector[:2] = np.cos(ANGLES[item.file.path]), np.sin(ANGLES[item.file.path])
                entries.append(ItemVector(item, vector))
        catalog.writes.upsert(entries)
    return folder


@pytest.fixture
def compare(two_catalogs: Path, ask: Ask) -> Ask:
    def run(*arguments: str, stdin: bytes | None = None) -> Reply:
        both = ["--catalog", "shop", "--catalog", OTHER, "--data-dir", str(two_catalogs)]
        return ask(["compare", *arguments, *both], stdin)

    return run


def names(answer: dict[str, Any]) -> list[str]:
    return [result["payload"]["file"]["path"] for result in answer["results"]]


def check(document: Any) -> None:
    match = re.search(r"^```json schema=comparison\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    contract = json.loads(match[1])
    jsonschema.Draft202012Validator.check_schema(contract)
    answer: Resource[Any] = Resource.from_contents(schema())
    registry: Registry[Any] = Registry().with_resource("answer", answer)
    jsonschema.Draft202012Validator(contract, registry=registry, format_checker=jsonschema.FormatChecker()).validate(
        document
    )


def test_each_catalog_answers_in_its_own_space(compare: Ask) -> None:
    reply = compare("sofas/one.png", "-k", "2", "--format", "json")
    document = json.loads(reply.out)
    check(document)
    first, second = (column["answer"] for column in document["catalogs"])
    assert [column["catalog"] for column in document["catalogs"]] == ["shop", OTHER]
    assert names(first) == ["sofas/two.png", "beds/three.png"]
    assert names(second) == ["beds/one.png", "beds/three.png"]
    assert (first["space"]["model"], second["space"]["model"]) == ("efficientnet_lite2", "mobilenet_v2")
    assert first["target"]["id"] == second["target"]["id"]
    assert document["common"] == 1
    assert document["overlap"] == [{"catalogs": ["shop", OTHER], "common": 1, "of": 2, "share": 0.5}]
    assert reply.err == "recq: 1 of 2 results are the same in all catalogs\n"


def test_lines_csv_and_table_hold_the_same(compare: Ask) -> None:
    document = json.loads(compare("sofas/one.png", "-k", "2", "--format", "json").out)
    lines = [json.loads(line) for line in compare("sofas/one.png", "-k", "2", "--format", "jsonl").lines]
    for each in [*lines, *document["catalogs"]]:
        each["answer"].pop("took_ms")
    assert lines == document["catalogs"]
    rows = list(csv.DictReader(compare("sofas/one.png", "-k", "2", "--format", "csv").lines))
    assert [(row["catalog"], row["rank"], row["name"]) for row in rows] == [
        ("shop", "1", "two.png"), ("shop", "2", "three.png"), (OTHER, "1", "one.png"), (OTHER, "2", "three.png"),
    ]  # fmt: skip
    assert list(rows[0]) == ["catalog", "rank", "score", "id", "source", "path", "name", "copies"]
    assert compare("sofas/one.png", "-k", "5").text == (
        "#  shop                  other\n"
        "1  0.995 sofas/two.png   0.995 beds/one.png\n"
        "2  0.969 beds/three.png  0.980 beds/three.png\n"
        "3  0.932 beds/one.png    0.622 sofas/two.png\n"
        "4  0.825 twin-a.png\n"
        "5  0.825 twin-b.png\n"
    )


def test_filters_hold_in_every_catalog(compare: Ask) -> None:
    document = json.loads(compare("sofas/one.png", "--filter", "category=bed", "--format", "json").out)
    first, second = (column["answer"] for column in document["catalogs"])
    assert names(first) == ["beds/three.png", "beds/one.png"]
    assert names(second) == ["beds/one.png", "beds/three.png"]
    nothing = compare("sofas/one.png", "--filter", "category=none", "--format", "json")
    assert json.loads(nothing.out)["overlap"][0]["share"] is None
    said = "nothing matches: no item has category=none: there is bed"
    assert nothing.err == f"recq: shop: {said}, sofa and twin\nrecq: other: {said} and sofa\n"


def test_what_one_catalog_does_not_know_and_what_none_knows_is_embedded(
    two_catalogs: Path, compare: Ask, tmp_path: Path
) -> None:
    """By each catalog's own model: both are bundled."""
    settings = Settings(data_dir=two_catalogs)
    known = compare_catalogs(Session(settings), "twin-a.png", ["shop", OTHER], Parameters(k=1))
    first, second = (column.answer.target for column in known.columns)
    assert first is not None
    assert second is not None
    assert first.id is not None
    assert (second.id, second.location) == (None, first.location)
    assert len(known.notes) == 1  # that `other` has not indexed it yet
    assert known.notes[0].startswith("other: ")
    picture(tmp_path / "mine.png", (90, 20, 30))
    content = (tmp_path / "mine.png").read_bytes()
    piped = compare("-", "-k", "1", "--format", "json", stdin=content)
    document = json.loads(piped.out)
    check(document)
    target = {"text": "-", "id": None, "source": None, "path": None, "name": "standard input", "region": None}
    assert [column["answer"]["target"] for column in document["catalogs"]] == [target, target]
    assert all(len(column["answer"]["results"]) == 1 for column in document["catalogs"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["one.png"], 3, "catalog 'shop': 'one.png' is the name of several items"),
        (["nothing.png"], 3, "catalog 'shop': nothing is indexed as 'nothing.png'"),
        (["two.png", "--catalog", "nowhere"], 3, "recq: catalog 'nowhere' does not exist here (there is: other, shop)"),
        (["two.png", "--catalog", "shop"], 2, "two different catalogs are needed"),
        (["two.png", "--filter", "colour=red"], 2, "catalog 'shop': "),
        (["two.png", "--filter", "rank=7"], 2, "catalog 'other': "),
        (["two.png", "--grid", "grid.jpg"], 2, "name it grid.png or grid.html"),
        (["two.png", "-k", "0"], 2, "-k 0"),
    ],
)
def test_an_error_names_its_catalog(compare: Ask, arguments: list[str], code: int, said: str) -> None:
    reply = compare(*arguments)
    assert (reply.code, reply.out) == (code, b"")
    assert said in reply.err.splitlines()[0]


def test_one_catalog_is_no_comparison(ask: Ask, two_catalogs: Path) -> None:
    reply = ask(["compare", "two.png", "--catalog", "shop", "--data-dir", str(two_catalogs)])
    assert reply.code == 2
    assert "two different catalogs are needed at least: 'recq compare two.png --catalog A --catalog B" in reply.err


def test_the_grid_has_a_row_for_each_catalog(compare: Ask, tmp_path: Path) -> None:
    file = tmp_path / "grid.html"
    assert compare("sofas/one.png", "-k", "2", "--grid", str(file)).code == 0
    root = Tree(file.read_text()).root
    assert root.one("h1").text == "Like one.png in 2 catalogs"
    titles = [node.text for node in root.all("h2")]
    assert titles[0].startswith("shop   efficientnet_lite2 ")
    assert titles[1].startswith("other   mobilenet_v2 ")
    assert titles[1].endswith("   1 of 2 the same as in the first")
    first, second = root.all("section")
    assert [len(first.all("figure")), len(second.all("figure"))] == [3, 2]  # the target stands beside the first


# -- what answers share ------------------------------------------------------------------------------------------------


def column(catalog: str, digests: str, target: str = "/a.png") -> Column:
    results = tuple(
        Result(rank, 0.5, paths.item_id(catalog, digest), "s", digest, digest, None, {"file": {"sha256": digest}})
        for rank, digest in enumerate(digests, start=1)
    )
    return Column(catalog, Answer(SPACE, results, 1.0, Asked("a", "a.png", location=Path(target)), metric=COSINE))


def test_overlap_counts_the_same_bytes_in_any_order() -> None:
    three = Comparison((column("a", "vwxyz"), column("b", "zyx"), column("c", "vz")), 1.0)
    assert [three.overlap(*pair).common for pair in ((0, 1), (0, 2), (1, 2))] == [3, 2, 1]
    assert [three.overlap(*pair).share for pair in ((0, 1), (0, 2), (1, 2))] == [0.6, 0.4, 1 / 3]
    assert three.overlap().told == "1 of 5"
    assert [each["catalogs"] for each in three.to_json()["overlap"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert [row.title for row in sheet_of(three).rows][1].endswith("3 of 5 the same as in the first")


def test_items_without_a_digest_are_told_apart_by_their_ids() -> None:
    (found,) = column("a", "x").answer.results
    assert identity(found) == "x"
    assert identity(replace(found, payload={"file": {}})) == found.id


def test_targets_that_are_different_files_are_remarked_on() -> None:
    assert Comparison((column("a", "x"), column("b", "x")), 1.0).notes == ()
    (note,) = Comparison((column("a", "x"), column("b", "x", "/b.png")), 1.0).notes
    assert note == "the catalogs know different files by that name: give a path to compare the same file"
