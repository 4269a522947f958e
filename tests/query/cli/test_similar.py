"""`recq similar`, `search`, `show` and `facets` on the three engines: the same questions, the same answers."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.paths import to_text
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.qdrant_server import QdrantServer
from tests.query.conftest import CATALOG, FAILED, GOODS, HOSTILE, LATIN1, WAITING, Reply, Shop


def paths_of(reply: Reply) -> list[str]:
    """The items' paths in a JSON answer."""
    return [result["payload"]["file"]["path"] for result in json.loads(reply.out)["results"]]


def expected(target: str, among: Sequence[str]) -> list[str]:
    """The paths by falling cosine to the target, ties by path; by this file's own arithmetic."""
    angle = GOODS[target][0]
    others = [path for path in among if path != target]
    return [
        to_text(path)[0] for path in sorted(others, key=lambda path: (-math.cos(GOODS[path][0] - angle), to_text(path)))
    ]


def test_neighbours_come_best_first_ties_by_path_without_the_target(any_shop: Shop) -> None:
    reply = any_shop.ask("similar", "sofas/one.png", "-k", "50", "--format", "json")
    assert (reply.code, reply.err) == (0, "")
    assert paths_of(reply) == expected("sofas/one.png", list(GOODS))
    results = json.loads(reply.out)["results"]
    assert [result["rank"] for result in results] == list(range(1, len(GOODS)))
    assert results[0]["score"] == pytest.approx(math.cos(0.1), abs=1e-5)
    assert results[0]["payload"]["labels"] == ["Action", "Drama"]


def test_the_document_says_what_was_asked(any_shop: Shop) -> None:
    document = json.loads(any_shop.ask("similar", "two.png", "-k", "1", "--format", "json").out)
    assert document["target"] == {
        "text": "two.png",
        "id": any_shop.id("sofas/two.png"),
        "source": "shop",
        "path": str(any_shop.root / "sofas" / "two.png"),
        "name": "two.png",
        "region": None,
    }
    assert document["space"]["model"] == "efficientnet_lite2"
    assert document["took_ms"] > 0
    (result,) = document["results"]
    assert result["id"] == any_shop.id("sofas/one.png")
    assert result["path"] == str(any_shop.root / "sofas" / "one.png")
    assert result["payload"]["file"]["width"] == 48
    assert set(result["payload"]) == {"category", "price", "title", "file"}


@pytest.mark.parametrize(
    ("filters", "among"),
    [
        (["category=bed"], ["beds/three.png", "beds/one.png"]),
        (["category=sofa|bed"], ["sofas/two.png", "beds/three.png", "beds/one.png"]),
        (["category=sofa,bed"], ["sofas/two.png", "beds/three.png", "beds/one.png"]),
        (["category!=sofa", "category!=twin"], ["beds/three.png", "beds/one.png", HOSTILE, LATIN1]),
        (["price<=80"], ["sofas/two.png", "beds/one.png"]),
        (["price=..80", "category=bed"], ["beds/one.png"]),
        (["labels=Action"], ["sofas/two.png"]),
        (["has:rank"], ["twin-a.png"]),
        (["!price?", "category?"], ["twin-a.png", "twin-b.png"]),
        (["in_stock=true"], ["beds/three.png"]),
        (["name=Smith\\, Jones"], ["twin-a.png"]),
        (["category=nothing"], []),
    ],
)
def test_filters_narrow_the_answer_down(any_shop: Shop, filters: list[str], among: list[str]) -> None:
    options = [part for each in filters for part in ("--filter", each)]
    reply = any_shop.ask("similar", any_shop.id("sofas/one.png"), "--format", "json", *options)
    assert reply.code == 0
    assert paths_of(reply) == expected("sofas/one.png", among)
    assert ("nothing matches" in reply.err) == (not among)


def test_min_score_and_k_limit_the_answer(any_shop: Shop) -> None:
    reply = any_shop.ask("similar", "sofas/one.png", "--min-score", "0.93", "--format", "json")
    assert paths_of(reply) == ["sofas/two.png", "beds/three.png", "beds/one.png"]
    assert len(paths_of(any_shop.ask("similar", "sofas/one.png", "-k", "2", "--format", "json"))) == 2


def test_search_orders_by_path_and_sees_no_failed_item(any_shop: Shop) -> None:
    reply = any_shop.ask("search", "--format", "json")
    document = json.loads(reply.out)
    assert paths_of(reply) == sorted(to_text(path)[0] for path in GOODS)
    assert document["target"] is None
    assert {result["score"] for result in document["results"]} == {None}
    assert paths_of(any_shop.ask("search", "--filter", "category=sofa", "--format", "json")) == [
        "sofas/one.png", "sofas/two.png",
    ]  # fmt: skip
    cut = any_shop.ask("search", "-k", "3", "--format", "json")
    assert paths_of(cut) == paths_of(reply)[:3]
    assert f"3 of {len(paths_of(reply))} matching items shown" in cut.err


def test_words_are_searched_in_any_case(any_shop: Shop) -> None:
    reply = any_shop.ask("search", "--filter", "title~SOFA leather", "--format", "json")
    assert paths_of(reply) == ["sofas/one.png"]


def test_facets_count_values_and_ranges(any_shop: Shop) -> None:
    reply = any_shop.ask("facets", "category", "--format", "json")
    assert json.loads(reply.out) == {
        "field": "category",
        "type": "string",
        "total": 6,
        "values": [
            {"value": value, "count": 2, "filter": f"category={value}"} for value in ("bed", "sofa", "twin")
        ],  # the failed sofa is not counted
    }
    prices = json.loads(any_shop.ask("facets", "price", "--filter", "category=bed", "--format", "json").out)
    assert (prices["type"], prices["total"]) == ("float", 2)
    assert sum(each["count"] for each in prices["values"]) == 2
    for each in prices["values"]:
        of_beds = ("--filter", "category=bed", "--keep-duplicates", "--format", "json")
        assert len(paths_of(any_shop.ask("search", "--filter", each["filter"], *of_beds))) == each["count"]
        found = any_shop.ask("search", "--filter", f"price={each['value']}", "--format", "json")
        assert len(paths_of(found)) >= each["count"]  # a label's upper end is in the next range, too


def test_show_tells_everything(any_shop: Shop) -> None:
    document = json.loads(any_shop.ask("show", "sofas/one.png", "--json").out)
    assert document["id"] == any_shop.id("sofas/one.png")
    assert document["payload"]["title"] == "Leather sofa, three seats"
    assert document["error"] is None
    table = any_shop.ask("show", "sofas/one.png").text
    assert "Leather sofa, three seats" in table
    assert str(any_shop.root / "sofas" / "one.png") in table


def test_a_failed_item_is_shown_with_its_reason_and_is_no_target(any_shop: Shop) -> None:
    shown = any_shop.ask("show", FAILED)
    assert shown.code == 0
    assert "broken data stream" in shown.text
    assert json.loads(any_shop.ask("show", FAILED, "--json").out)["error"]["reason"] == "corrupt"
    for target in (FAILED, str(any_shop.root / FAILED), any_shop.id(FAILED)):
        reply = any_shop.ask("similar", target)
        assert (reply.code, reply.out) == (3, b"")
        assert reply.err.startswith(f"recq: '{FAILED}' could not be embedded, corrupt: broken data stream")


def test_ambiguous_and_unknown_targets_exit_3(any_shop: Shop) -> None:
    reply = any_shop.ask("similar", "one.png")
    assert (reply.code, reply.out) == (3, b"")
    assert any_shop.id("sofas/one.png") in reply.err
    assert any_shop.id("beds/one.png") in reply.err
    reply = any_shop.ask("show", "nowhere.png")
    assert reply.code == 3
    assert reply.err.count("\n") == 1


# -- formats (one engine is enough) --------------------------------------------------------------------------------


def test_jsonl_has_one_result_of_the_json_per_line(shop: Shop) -> None:
    results = json.loads(shop.ask("similar", "two.png", "--format", "json").out)["results"]
    lines = shop.ask("similar", "two.png", "--format", "jsonl").lines
    assert [json.loads(line) for line in lines] == results


def test_csv_has_a_column_for_each_field_and_none_twice(shop: Shop) -> None:
    text = shop.ask("similar", "sofas/one.png", "-k", "50", "--format", "csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    names = text.splitlines()[0].split(",")
    assert names[:7] == ["rank", "score", "id", "source", "path", "name", "copies"]
    assert names[7:] == ["category", "in_stock", "labels", "payload.name", "price", "payload.rank", "title"]
    by_path = {row["path"].removeprefix(f"{shop.root}/"): row for row in rows}
    assert by_path["sofas/two.png"]["labels"] == "Action|Drama"
    assert by_path["beds/three.png"]["in_stock"] == "true"
    assert by_path["twin-a.png"]["name"] == "twin-a.png"
    assert by_path["twin-a.png"]["payload.name"] == "Smith, Jones"
    assert by_path["twin-a.png"]["price"] == ""


def test_paths_are_absolute_and_exact(shop: Shop) -> None:
    reply = shop.ask("similar", "sofas/one.png", "--filter", "category=bed", "--format", "paths")
    assert reply.lines == [str(shop.root / "beds" / "three.png"), str(shop.root / "beds" / "one.png")]
    latin1 = shop.ask("search", "--filter", f"file.path={to_text(LATIN1)[0]}", "--format", "paths").out
    assert latin1 == bytes(shop.root) + b"/caf\xe9.png\n"
    assert shop.ask("show", latin1.decode("utf-8", "surrogateescape").strip()).code == 0


def test_tables_in_a_pipe_are_plain_whole_and_harmless(shop: Shop) -> None:
    reply = shop.ask("similar", "sofas/one.png", "-k", "50")
    header, first, *_ = reply.lines
    assert header.split() == ["#", "score", "file", "category", "title", "price"]
    assert first.split() == ["1", "0.995", "sofas/two.png", "sofa", "49.5"]
    assert b"\x1b" not in reply.out
    assert len(reply.lines) == len(GOODS)
    assert "evil\\x1b[31m\\nname.png" in reply.text
    assert "bad \\x1b[31m title" in reply.text


def test_a_table_shows_the_fields_that_were_filtered_for(shop: Shop) -> None:
    reply = shop.ask("search", "--filter", "labels=Drama", "--filter", "no:in_stock")
    assert reply.lines[0].split() == ["#", "file", "labels", "category", "price"]
    assert "Action, Drama" in reply.lines[1]


def test_facets_in_every_format(shop: Shop) -> None:
    assert shop.ask("facets", "category").lines[0].split() == ["category", "items"]
    assert shop.ask("facets", "category", "--format", "csv").lines[:2] == ["value,count,filter", "bed,2,category=bed"]
    first = json.loads(shop.ask("facets", "category", "--format", "jsonl").lines[0])
    assert first == {"value": "bed", "count": 2, "filter": "category=bed"}
    assert len(shop.ask("facets", "category", "--limit", "1", "--format", "jsonl").lines) == 1


# -- pictures outside the index: the real network --------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "mine.png"
    Image.linear_gradient("L").resize((300, 200)).save(path)
    return path


def test_a_picture_outside_the_index_is_embedded(shop: Shop, photo: Path) -> None:
    by_path = shop.ask("similar", str(photo), "-k", "3", "--format", "json")
    assert (by_path.code, by_path.err) == (0, "")
    document = json.loads(by_path.out)
    assert document["target"] == {
        "text": str(photo), "id": None, "source": None, "path": str(photo), "name": "mine.png", "region": None,
    }  # fmt: skip
    assert len(document["results"]) == 3
    by_bytes = shop.ask("similar", "-", "-k", "3", "--format", "json", stdin=photo.read_bytes())
    assert by_bytes.code == 0
    piped = json.loads(by_bytes.out)
    assert piped["results"] == document["results"]
    assert piped["target"] == {
        "text": "-",
        "id": None,
        "source": None,
        "path": None,
        "name": "standard input",
        "region": None,
    }


def test_a_file_of_a_source_that_is_not_indexed_yet_is_read_and_said_so(shop: Shop) -> None:
    reply = shop.ask("similar", str(shop.root / WAITING), "--filter", "category=bed", "--format", "paths")
    assert reply.code == 0
    assert len(reply.lines) == 2
    assert reply.err.startswith(f"recq: '{shop.root / WAITING}' is in source 'shop', but not indexed yet")
    assert shop.ask("show", str(shop.root / WAITING)).code == 3


def test_a_picture_that_is_none_exits_3_with_the_reason(shop: Shop, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("milk, bread")
    reply = shop.ask("similar", str(text))
    assert (reply.code, reply.out) == (3, b"")
    assert f"'{text}' cannot be compared, not-an-image" in reply.err
    assert "empty" in shop.ask("similar", "-", stdin=b"").err


# -- what cannot be answered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["similar", "two.png", "-k", "0"], 2, "-k 0"),
        (["search", "-k", "-1"], 2, "-k -1"),
        (["similar", "two.png", "-k", "many"], 2, "-k 'many': a whole number is needed, as in -k 20"),
        (["similar", "two.png", "--min-score", "nan"], 2, "--min-score"),
        (["similar"], 2, "TARGET"),
        (["similar", "two.png", "--format", "xml"], 2, "--format"),
        (["similar", "two.png", "--nonsense"], 2, "--nonsense"),
        (["similar", "two.png", "--filter", "categry=sofa"], 2, "did you mean 'category'?"),
        (["similar", "two.png", "--filter", "category"], 2, "no operator"),
        (["search", "--filter", "price~many"], 2, "price"),
        (["facets", "colour"], 2, "unknown field 'colour'"),
        (["facets", "file.size"], 2, "no index"),
        (["similar", "two.png", "--grid", "grid.jpg"], 2, "PNG"),
        (["similar", "two.png", "--grid", "no/such/folder/grid.png"], 2, "no folder"),
        (["similar", "/"], 2, "folder"),
        (["show", "-"], 3, "not in the index"),
    ],
)
def test_one_line_says_what_is_wrong(shop: Shop, arguments: list[str], code: int, said: str) -> None:
    reply = shop.ask(*arguments)
    assert (reply.code, reply.out) == (code, b"")
    assert reply.err.startswith("recq: ")
    assert reply.err.count("\n") == 1
    assert said in reply.err


def test_where_there_is_no_index(shop: Shop, tmp_path: Path, ask: Any) -> None:
    reply = ask(["similar", "x.png", "--data-dir", str(tmp_path / "none")])
    assert reply.code == 4
    assert "recq-ingest run" in reply.err
    assert not (tmp_path / "none").exists()
    assert ask(["search", *shop.options, "--catalog", "other"]).code == 3
    assert ask(["search", *shop.options, "--catalog", "not/a/name"]).code == 2


def test_a_server_that_does_not_answer(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_CONNECT_TIMEOUT", "0.3")
    monkeypatch.setattr("recq.waiting.REPORTED_AFTER", 60.0)  # where 0.3 s take longer the wait has a line of its own
    reply = ask(["search", "--url", "http://127.0.0.1:9"])  # the discard port: nobody listens
    assert (reply.code, reply.out) == (4, b"")
    assert "http://127.0.0.1:9" in reply.err
    assert reply.err.count("\n") == 1


@pytest.mark.server
def test_a_server_that_refuses_the_key(ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with QdrantServer(tmp_path / "server", api_key="right") as server:
        for key in ("wrong", None):
            if key is not None:
                monkeypatch.setenv("RECQ_API_KEY", key)
            else:
                monkeypatch.delenv("RECQ_API_KEY")
            reply = ask(["search", "--url", server.url])
            assert (reply.code, reply.out) == (4, b"")
            assert "RECQ_API_KEY" in reply.err
            assert reply.err.count("\n") == 1


def test_a_folder_that_another_thread_has_open(ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_LOCK_WAIT", "0.2")
    with own_folder(Settings(data_dir=tmp_path)):
        reply = ask(["search", "--data-dir", str(tmp_path)])
    assert (reply.code, reply.out) == (4, b"")
    assert f"{tmp_path} is in use by another thread of this process" in reply.err


def test_a_network_that_this_machine_lacks(ask: Any, tmp_path: Path, photo: Path) -> None:
    """Indexed targets need no network; a picture outside the index needs the catalog's own."""
    space = EmbeddingSpace("keras:NoSuchNet", "0", "top", "mean", 8, "pad", "none", "f32", 4)
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        catalog = Catalog.create(owned.client, CATALOG, space)
        items = [Item(FileFacts("shop", f"{n}.png", 1, 1)) for n in range(2)]
        catalog.writes.upsert([ItemVector(item, np.ones(4, np.float32)) for item in items])
    options = ["--data-dir", str(tmp_path), "--catalog", CATALOG]
    assert ask(["similar", "0.png", *options]).code == 0
    reply = ask(["similar", str(photo), *options])
    assert (reply.code, reply.out) == (5, b"")
    assert "NoSuchNet" in reply.err
    assert reply.err.count("\n") == 1


def test_an_item_whose_source_has_no_folder_on_record(ask: Any, tmp_path: Path) -> None:
    space = EmbeddingSpace("test", "0", "top", "mean", 8, "pad", "none", "f32", 4)
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        catalog = Catalog.create(owned.client, CATALOG, space)
        catalog.writes.upsert([ItemVector(Item(FileFacts("lost", "a.png", 1, 1)), np.ones(4, np.float32))])
    reply = ask(["search", "--data-dir", str(tmp_path), "--catalog", CATALOG, "--format", "paths"])
    assert (reply.code, reply.out) == (0, b"")
    assert reply.err == "recq: no folder is on record for source 'lost': no paths\n"


def test_a_wrong_filter_is_said_before_anyone_is_asked(ask: Any) -> None:
    assert ask(["search", "--url", "http://127.0.0.1:9", "--filter", "price"]).code == 2


def test_data_dir_on_the_command_line_wins_over_a_url_from_the_environment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_URL", "http://127.0.0.1:9")
    assert shop.ask("search").code == 0


def test_the_library_answers_as_the_command_does(shop: Shop) -> None:
    """What docs/query.md shows for a notebook."""
    import recq

    with recq.open("shop", data_dir=shop.options[1]) as catalog:
        answer = catalog.similar("two.png", k=2, filters=["category=bed"])
        assert [result.name for result in answer] == ["three.png", "one.png"]
        assert [result.rank for result in catalog.search(filters=["category=bed"])] == [1, 2]
        assert catalog.show("two.png").metadata["price"] == 49.5
        assert catalog.facets("category").total == 6
