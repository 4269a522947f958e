"""Several targets at once, pages, groups, order and recommendations as commands."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from recq.errors import UsageError
from recq.index.parameters import Parameters
from recq.search import many
from recq.search.many import read_targets, similar_many
from recq.search.results import Answer
from recq.search.session import Session
from recq.settings import Settings
from tests.query.conftest import FAILED, LATIN1, Reply, Shop
from tests.query.test_docs import check


def names(reply: Reply) -> list[str]:
    return [result["name"] for result in json.loads(reply.out)["results"]]


# -- several targets -----------------------------------------------------------------------------------------------


def test_each_target_has_its_document_in_the_order_asked_for(any_shop: Shop, tmp_path: Path) -> None:
    listed = tmp_path / "targets.txt"
    listed.write_bytes(
        b"beds/three.png\r\n\n" + str(any_shop.root).encode() + b"/caf\xe9.png\nnowhere.png\n" + FAILED.encode()
    )
    reply = any_shop.ask("similar", "two.png", "one.png", "--targets", str(listed), "-k", "2", "--format", "jsonl")
    lines = [json.loads(line) for line in reply.lines]
    assert reply.code == 3
    assert reply.err == "recq: 3 of 6 targets have no answer\n"
    assert [line["text"] for line in lines if "error" in line] == ["one.png", "nowhere.png", FAILED]
    assert "several items" in lines[1]["error"]
    assert "could not be embedded, corrupt" in lines[5]["error"]
    for line in (lines[0], lines[2], lines[3]):
        check(line)
        alone = json.loads(any_shop.ask("similar", line["target"]["id"], "-k", "2", "--format", "json").out)
        assert line["results"] == alone["results"]
    assert lines[3]["target"]["id"] == any_shop.id(LATIN1)


def test_chunks_and_pictures_outside_the_index(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "CHUNK", 2)
    photo = tmp_path / "mine.png"
    Image.linear_gradient("L").resize((300, 200)).save(photo)
    (tmp_path / "notes.jpg").write_text("milk")
    targets = ["two.png", str(photo), str(tmp_path / "notes.jpg"), "three.png", str(photo)]
    settings = Settings(data_dir=Path(shop.options[1]), catalog="shop")
    told: list[tuple[str, int, int]] = []
    found = list(similar_many(Session(settings), targets, Parameters(k=1), lambda *step: told.append(step)))
    assert [isinstance(each, Answer) for each in found] == [True, True, False, True, True]
    assert told == [("asking", 2, 5), ("asking", 4, 5), ("asking", 5, 5)]
    alone = json.loads(shop.ask("similar", str(photo), "-k", "1", "--format", "json").out)["results"]
    for each in (found[1], found[4]):
        assert isinstance(each, Answer)
        assert each.target is not None
        assert each.target.content is None
        assert [result.to_json() for result in each.results] == alone
    with pytest.raises(UsageError, match="--max-distance"):
        list(similar_many(Session(settings), targets, Parameters(max_distance=1.0)))


def test_several_targets_in_other_formats(shop: Shop, tmp_path: Path) -> None:
    two = ["similar", "two.png", "three.png", "-k", "1"]
    table = shop.ask(*two).lines
    assert [line for line in table if line.startswith("==>")] == ["==> two.png <==", "==> three.png <=="]
    assert table[2].split()[:3] == ["1", "0.995", "sofas/one.png"]
    rows = list(csv.DictReader(io.StringIO(shop.ask(*two, "--format", "csv", "--fields", "price,title").text)))
    assert [(row["target"], row["name"], row["price"]) for row in rows] == [
        ("two.png", "one.png", "100.0"), ("three.png", "one.png", "80.0"),
    ]  # fmt: skip
    assert list(rows[0])[-2:] == ["price", "title"]
    paths = shop.ask(*two, "--format", "paths", "-0")
    expected = [shop.root / "sofas" / "one.png", shop.root / "beds" / "one.png"]
    assert paths.out == b"".join(bytes(path) + b"\0" for path in expected)
    again = shop.ask("similar", "--targets", "-", "-k", "1", "--format", "jsonl", stdin=paths.out)
    assert [json.loads(line)["target"]["name"] for line in again.lines] == ["one.png", "one.png"]
    out = tmp_path / "all.png"
    assert shop.ask(*two, "--grid", str(out)).code == 0
    with Image.open(out) as drawn:
        assert drawn.height > 500


def test_files_of_targets(tmp_path: Path) -> None:
    listed = tmp_path / "t"
    for content, expected in [
        (b"\xef\xbb\xbfa.png\r\n\nb c.png", ["a.png", "b c.png"]),
        (b"a\nb\0c\r\0", ["a\nb", "c\r"]),
        (b"caf\xe9\n", ["caf\udce9"]),
    ]:
        listed.write_bytes(content)
        assert read_targets(str(listed)) == expected
        assert read_targets("-", io.BytesIO(content)) == expected


# -- pages, groups, order, recommendations -------------------------------------------------------------------------


def test_pages_and_order(any_shop: Shop) -> None:
    whole = names(any_shop.ask("similar", "two.png", "-k", "7", "--format", "json"))
    second = json.loads(any_shop.ask("similar", "two.png", "-k", "3", "--page", "2", "--format", "json").out)
    assert [result["name"] for result in second["results"]] == whole[3:6]
    assert [result["rank"] for result in second["results"]] == [4, 5, 6]
    assert names(any_shop.ask("similar", "two.png", "-k", "2", "--offset", "5", "--format", "json")) == whole[5:]
    beyond = any_shop.ask("search", "--page", "9")
    assert (beyond.code, beyond.out, beyond.err) == (0, b"", "recq: there are no more than 160 results\n")
    dear = any_shop.ask("search", "--sort", "price:desc", "--any-of", "category=bed || price>90", "--fields", "price")
    assert [line.split() for line in dear.lines] == [
        ["#", "file", "price"],
        ["1", "beds/three.png", "250"],
        ["2", "sofas/one.png", "100"],
        ["3", "beds/one.png", "80"],
    ]
    groups = any_shop.ask("similar", "two.png", "-k", "9", "--group-by", "category", "--format", "json")
    assert [result["payload"].get("category") for result in json.loads(groups.out)["results"]] == [
        "bed", "twin", None, None,
    ]  # fmt: skip
    table = any_shop.ask("similar", "two.png", "--group-by", "category", "--sort", "price")
    assert table.lines[0].split() == ["#", "score", "file", "category", "price", "title"]


def test_fields_cut_the_metadata_down(shop: Shop) -> None:
    reply = shop.ask("similar", "two.png", "-k", "1", "--fields", "title,file.width", "--format", "json")
    assert set(json.loads(reply.out)["results"][0]["payload"]) == {"title", "file"}
    assert shop.ask("search", "-k", "1", "--fields", "file.width,category").lines[0].split() == [
        "#", "file", "file.width", "category",
    ]  # fmt: skip


def test_folders_are_asked_for_everywhere_and_shown_where_they_are_named(any_shop: Shop) -> None:
    beds = ["search", "--filter", "file.folders=beds"]
    assert [line.split()[1] for line in any_shop.ask(*beds).lines[1:]] == ["beds/one.png", "beds/three.png"]
    assert "folders" not in any_shop.ask(*beds).text
    document = json.loads(any_shop.ask(*beds, "--fields", "file.folders", "--format", "json").out)
    assert all("folders" not in result["payload"]["file"] for result in document["results"])
    table = list(csv.DictReader(io.StringIO(any_shop.ask(*beds, "--fields", "file.folders", "--format", "csv").text)))
    assert [row["file.folders"] for row in table] == ["beds", "beds"]
    facets = json.loads(any_shop.ask("facets", "file.folders", "--format", "json").out)
    assert (facets["type"], facets["total"]) == ("string", 4)
    assert [(each["value"], each["count"]) for each in facets["values"]] == [("beds", 2), ("sofas", 2)]
    first = any_shop.ask("search", "--sort", "file.folders:desc", "--group-by", "file.folders", "-k", "2")
    assert [line.split()[1] for line in first.lines[1:]] == ["sofas/one.png", "beds/one.png"]


@pytest.mark.parametrize("strategy", ["average", "best", "sum"])
def test_recommendations_leave_out_what_they_start_from(any_shop: Shop, strategy: str) -> None:
    copy = any_shop.root / "beds" / "three.png"  # named by its path, and by standard input below
    options = ["--like", "two.png", "--like", str(copy), "--dislike", "twin-a.png", "--strategy", strategy]
    document = json.loads(any_shop.ask("recommend", *options, "-k", "9", "--format", "json").out)
    check(document)
    assert document["examples"]["strategy"] == strategy
    assert [each["name"] for each in document["examples"]["like"]] == ["two.png", "three.png"]
    assert document["metric"] == {"average": "cosine", "best": "best_score", "sum": "sum_scores"}[strategy]
    found = {result["name"] for result in document["results"]}
    assert not found & {"two.png", "three.png", "twin-a.png"}
    assert document["results"][0]["name"] == "one.png"
    scores = [result["score"] for result in document["results"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["similar", "two.png", "three.png", "--format", "json"], "--format jsonl"),
        (["similar", "--targets", "no/such/file"], "--targets no/such/file cannot be read: No such file"),
        (["similar"], "TARGET"),
        (["similar", "two.png", "-0"], "-0"),
        (["duplicates", "-0"], "-0 ends paths, and --format table prints none: add --format paths"),
        (["duplicates", "--format", "jsonl", "--null"], "-0 ends paths, and --format jsonl prints none"),
        (["similar", "two.png", "--page", "2", "--offset", "3"], "--offset and --page"),
        (["similar", "two.png", "--page", "0"], "--page"),
        (["similar", "two.png", "--max-distance", "3"], "use --min-score"),
        (["similar", "two.png", "--diversity", "2"], "--diversity 2.0"),
        (["similar", "two.png", "--group-by", "catgory"], "did you mean 'category'?"),
        (["similar", "two.png", "--fields", "title,"], "--fields"),
        (["search", "--any-of", "category=sofa"], "one alternative"),
        (["search", "--sort", "pric"], "did you mean 'price'?"),
        (["search", "--sort", "price", "--diversity", "0.3"], "--sort and --diversity"),
        (["search", "--fields", "colour"], "unknown field 'colour'"),
        (["recommend"], "--like"),
        (["recommend", "--like", "two.png", "--strategy", "worst"], "--strategy"),
    ],
)
def test_one_line_says_what_cannot_be_asked(shop: Shop, arguments: list[str], said: str) -> None:
    reply = shop.ask(*arguments)
    assert (reply.code, reply.out) == (2, b"")
    assert reply.err.startswith("recq: ")
    assert reply.err.count("\n") == 1
    assert said in reply.err
