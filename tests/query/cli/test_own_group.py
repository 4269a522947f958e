"""What belongs to the targets is left out, their groups and their copies, by `similar` and `recommend` alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.parameters import Parameters
from recq.index.points import ItemVector
from recq.index.ranking import Own
from recq.index.schema import FileFacts, Item
from recq.models import describe_space
from recq.search.own_group import own_of
from recq.search.prepare import Query
from recq.search.target import FileTarget, IndexedTarget
from recq.settings import Settings
from tests.query.conftest import CATALOG, Reply, picture

Ask = Callable[..., Reply]

# name: (angle, sku, the picture's number: equal numbers are equal bytes)
GOODS: dict[str, tuple[float, Any, int]] = {
    "shoe-front.png": (0.0, "S1", 1),
    "shoe-front-copy.png": (0.0, "S1", 1),
    "shoe-side.png": (0.1, "S1", 2),
    "boot-front.png": (0.2, "S2", 3),
    "boot-side.png": (0.3, "S2", 4),
    "shoe-front-shared.png": (0.0, "S3", 1),
    "shoe-three.png": (0.4, "S3", 5),
    "bare.png": (0.5, None, 6),
    "bare2.png": (0.5, None, 6),
    "set.png": (0.6, ["S1", "S2"], 7),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A shop with several views of each product; the pictures, and the options that reach the index."""
    root, data = tmp_path_factory.mktemp("pictures") / "goods", tmp_path_factory.mktemp("data")
    space = describe_space("efficientnet_lite2", Settings())
    entries = []
    for name, (angle, sku, number) in GOODS.items():
        picture(root / name, (20 * number, 90, 255 - 20 * number))
        vector = np.zeros(space.dim, np.float32)
        vector[:2] = np.cos(angle), np.sin(angle)
        facts = FileFacts("goods", name, 1, 1, f"{number:064x}", "PNG", 48, 32)
        entries.append(ItemVector(Item(facts, {"category": "shoes"} | ({} if sku is None else {"sku": sku})), vector))
    with own_folder(Settings(data_dir=data)) as owned:
        catalog = Catalog.create(owned.client, CATALOG, space)
        catalog.sources.register(root)
        catalog.writes.upsert(entries)
    return root, ["--data-dir", str(data), "--catalog", CATALOG, "-k", "20", "--format", "json"]


def names(reply: Reply) -> list[str]:
    assert reply.code == 0, reply.err
    return [result["name"].removesuffix(".png") for result in json.loads(reply.out)["results"]]


BOTH = [["similar", "shoe-front.png"], ["recommend", "--like", "shoe-front.png"]]


@pytest.mark.parametrize("command", BOTH)
def test_the_group_of_what_was_asked_with_is_left_out(
    command: list[str], folder: tuple[Path, list[str]], ask: Ask
) -> None:
    _, options = folder
    assert names(ask([*command, "--group-by", "sku", *options])) == ["boot-front", "shoe-three", "bare", "set"]
    kept = names(ask([*command, "--group-by", "sku", "--keep-own-group", *options]))
    assert kept == ["shoe-side", "boot-front", "shoe-three", "bare", "set"]
    whole = names(ask([*command, "--group-by", "sku", "--keep-own-group", "--keep-duplicates", *options]))
    assert whole == ["shoe-front-copy", "shoe-front-shared", "boot-front", "bare", "bare2", "set"]
    refused = ask([*command, "--keep-own-group", *options])
    assert (refused.code, refused.out) == (2, b"")
    assert "--group-by" in refused.err


def test_what_has_no_group_and_a_list_are_groups_of_their_own(folder: tuple[Path, list[str]], ask: Ask) -> None:
    _, options = folder
    assert "bare" not in names(ask(["similar", "bare.png", "--group-by", "sku", *options]))
    assert names(ask(["similar", "set.png", "--group-by", "sku", *options])) == [
        "bare", "shoe-three", "boot-side", "shoe-side",
    ]  # fmt: skip


def test_groups_of_all_examples_are_left_out_and_of_the_disliked(folder: tuple[Path, list[str]], ask: Ask) -> None:
    _, options = folder
    asked = ["recommend", "--like", "shoe-side.png", "--dislike", "boot-side.png", "--group-by", "sku"]
    assert set(names(ask([*asked, *options]))) == {"shoe-front-shared", "bare", "set"}


def test_pages_go_on_without_the_own_group(folder: tuple[Path, list[str]], ask: Ask) -> None:
    _, options = folder
    pages = [
        names(ask(["similar", "shoe-front.png", "--group-by", "sku", *options, "-k", "2", "--page", str(page)]))
        for page in (1, 2)
    ]
    assert pages == [["boot-front", "shoe-three"], ["bare", "set"]]


@pytest.mark.parametrize("command", BOTH)
def test_copies_of_what_was_asked_with_are_left_out_and_that_is_said(
    command: list[str], folder: tuple[Path, list[str]], ask: Ask
) -> None:
    _, options = folder
    reply = ask([*command, *options])
    assert names(reply) == ["shoe-side", "boot-front", "boot-side", "shoe-three", "bare", "set"]
    said = "recq: 2 items have the same bytes as the target, left out: --keep-duplicates shows them\n"
    assert reply.err == said
    kept = ask([*command, "--keep-duplicates", *options])
    assert names(kept)[:2] == ["shoe-front-copy", "shoe-front-shared"]
    assert kept.err == ""


def test_several_targets_leave_out_the_own_of_each(folder: tuple[Path, list[str]], ask: Ask) -> None:
    _, options = folder
    asked = ["shoe-front.png", "bare.png", "boot-side.png"]
    for more in ([], ["--group-by", "sku"], ["--group-by", "sku", "--keep-own-group"], ["--keep-duplicates"]):
        together = ask(["similar", *asked, *more, *options[:-1], "jsonl"])
        documents = [json.loads(line) for line in together.lines]
        alone = [json.loads(ask(["similar", each, *more, *options]).out) for each in asked]
        for one, other in zip(documents, alone, strict=True):
            assert [each["name"] for each in one["results"]] == [each["name"] for each in other["results"]]


def test_a_copy_elsewhere_is_no_item_and_finds_its_original_either_way(
    folder: tuple[Path, list[str]], ask: Ask, shop: Any, tmp_path: Path
) -> None:
    """Not that of something disliked: nobody wants to see that."""
    copy = tmp_path / "copy.png"
    copy.write_bytes((shop.root / "sofas" / "two.png").read_bytes())

    def found(*asked: str) -> set[str]:
        reply = shop.ask(*asked, "-k", "20", "--format", "json")
        assert reply.code == 0
        return {result["name"] for result in json.loads(reply.out)["results"]}

    everything = found("search")
    assert found("similar", str(copy)) == found("recommend", "--like", str(copy)) == everything
    assert found("recommend", "--like", "three.png", "--dislike", str(copy)) == everything - {"three.png", "two.png"}
    kept = found("recommend", "--like", "three.png", "--dislike", str(copy), "--keep-duplicates")
    assert kept == everything - {"three.png"}


def query(path: str, sha256: str | None, **metadata: Any) -> Query:
    item = Item(FileFacts("shop", path, 1, 1, sha256), metadata)
    return Query(IndexedTarget(item), path, item.id)


def test_what_is_own_depends_on_what_is_kept() -> None:
    queries = [query("a", "1" * 64, sku=7.0), query("b", None), Query(FileTarget(Path("c")), "c", "", b"liked")]
    disliked = [query("d", "2" * 64, sku="x"), Query(FileTarget(Path("e")), "e", "", b"disliked")]
    own = own_of(Parameters(group_by="sku"), queries, disliked)
    assert own.groups == {"7", '"x"'}
    assert len(own.digests) == 3
    assert own_of(Parameters(), queries).groups == frozenset()
    assert own_of(Parameters(group_by="sku", keep_own_group=True, keep_duplicates=True), queries, disliked) == Own()
    with pytest.raises(UsageError, match="--group-by"):
        Parameters(keep_own_group=True).require_sane()
