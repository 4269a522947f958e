"""Library, command line and API answer alike: one table of questions, one of bad ones, on each engine."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import recq
from recq.api.schemas import components
from recq.errors import RecqError
from recq.face.catalog import ImageCatalog
from recq.index.parameters import MAX_RESULTS
from recq.json_text import json_text
from tests.packs import pack
from tests.query.conftest import (
    CATALOG,
    FAILED,
    WAITING,
    Reply,
    Shop,
    ask,
    shop_root,
    stocked,
)
from tests.recq.api.serving import Api, served, settings_of

__all__ = ["ask", "shop_root"]

ENGINES = [
    "loopback",
    pytest.param("embedded", marks=pytest.mark.long),  # all three take turns: two seconds a question
    pytest.param("server", marks=pytest.mark.server),
]

ANY_ENGINE = pytest.mark.parametrize("any_options", ["loopback"], indirect=True)
"""For what no engine has to do with: a network is loaded for each question of the command line."""


@dataclass(frozen=True)
class Question:
    """One question in three forms. `api` is method, route and parameters; {id} and {root} are filled in."""

    command: list[str]
    library: Callable[[ImageCatalog], Any]
    method: str
    route: str
    parameters: dict[str, Any] = field(default_factory=dict)
    schema: str = "answer"


QUESTIONS = [
    Question(["similar", "two.png"], lambda c: c.similar("two.png"), "GET", "/similar", {"target": "two.png"}),
    Question(["similar", "two.png"], lambda c: c.similar("two.png"), "POST", "/similar", {"target": "two.png"}),
    Question(
        ["similar", "two.png", "--region", "10%,0%,50%,100%"],
        lambda c: c.similar(recq.Part("two.png", "10%,0%,50%,100%")),
        "GET",
        "/similar",
        {"target": "two.png", "region": "10%,0%,50%,100%"},
    ),
    Question(
        ["recommend", "--like", "two.png", "--dislike", "beds/three.png", "--region", "all", "--region", "0,0,20,9"],
        lambda c: c.recommend(["two.png"], [recq.Part("beds/three.png", (0, 0, 20, 9))]),
        "POST",
        "/recommend",
        {"like": ["two.png"], "dislike": [{"target": "beds/three.png", "region": "0,0,20,9"}]},
    ),
    Question(
        ["similar", "shop/beds/one.png", "-k", "2", "--page", "2"],
        lambda c: c.similar("shop/beds/one.png", k=2, page=2),
        "GET",
        "/similar",
        {"target": "shop/beds/one.png", "k": 2, "page": 2},
    ),
    Question(
        ["similar", "two.png", "--filter", "category=bed", "--filter", "price<=100", "--min-score", "0.5"],
        lambda c: c.similar("two.png", filters=["category=bed", "price<=100"], min_score=0.5),
        "GET",
        "/similar",
        {"target": "two.png", "filters": ["category=bed", "price<=100"], "min_score": 0.5},
    ),
    Question(
        ["similar", "two.png", "--any-of", "category=bed || price<=50"],
        lambda c: c.similar("two.png", any_of=["category=bed || price<=50"]),
        "GET",
        "/similar",
        {"target": "two.png", "any_of": ["category=bed || price<=50"]},
    ),
    Question(
        ["similar", "two.png", "--group-by", "category", "--keep-own-group", "--diversity", "0.5", "--sort", "price"],
        lambda c: c.similar("two.png", group_by="category", keep_own_group=True, diversity=0.5, sort="price"),
        "POST",
        "/similar",
        {"target": "two.png", "group_by": "category", "keep_own_group": True, "diversity": 0.5, "sort": "price"},
    ),
    Question(
        ["similar", "two.png", "--filter", "category=nothing"],
        lambda c: c.similar("two.png", filters=["category=nothing"]),
        "GET",
        "/similar",
        {"target": "two.png", "filters": ["category=nothing"]},
    ),
    Question(
        ["recommend", "--like", "two.png", "--like", "beds/three.png", "--dislike", "twin-a.png", "--strategy", "sum"],
        lambda c: c.recommend(["two.png", "beds/three.png"], ["twin-a.png"], strategy="sum"),
        "POST",
        "/recommend",
        {"like": ["two.png", "beds/three.png"], "dislike": ["twin-a.png"], "strategy": "sum"},
    ),
    Question(["changes"], lambda c: c.changes(), "GET", "/changes", schema="changes"),
    Question(
        ["changes", "--limit", "2"], lambda c: c.changes(limit=2), "GET", "/changes", {"limit": 2}, schema="changes"
    ),
    Question(
        ["changes", "--since", "now"],
        lambda c: c.changes("now"),
        "GET",
        "/changes",
        {"since": "now"},
        schema="changes",
    ),
    Question(["search"], lambda c: c.search(), "GET", "/search"),
    Question(
        ["search", "--filter", "category=sofa", "-k", "1", "--sort", "price:desc", "--fields", "price"],
        lambda c: c.search(filters=["category=sofa"], k=1, sort="price:desc", fields=["price"]),
        "POST",
        "/search",
        {"filters": ["category=sofa"], "k": 1, "sort": "price:desc", "fields": ["price"]},
    ),
    Question(["show", "two.png"], lambda c: c.show("two.png"), "GET", "/items/{two}", schema="item"),
    Question(["show", FAILED], lambda c: c.show(FAILED), "GET", "/items/{failed}", schema="item"),
    Question(
        ["facets", "category", "--filter", "price>50"],
        lambda c: c.facets("category", filters=["price>50"]),
        "GET",
        "/facets/category",
        {"filters": ["price>50"]},
        "facets",
    ),
    Question(
        ["facets", "price", "--limit", "3"],
        lambda c: c.facets("price", limit=3),
        "GET",
        "/facets/price",
        {"limit": 3},
        "facets",
    ),
    Question(["fields"], lambda c: c.fields(), "GET", "/fields", schema="[field]"),
    Question(["catalogs"], lambda c: recq.catalogs(settings=c.settings), "GET", "/catalogs", schema="[catalog]"),
    Question(
        ["duplicates", "--exact"],
        lambda c: c.duplicates(exact=True),
        "POST",
        "/duplicates",
        {"exact": True},
        "duplicates",
    ),
    Question(
        ["evaluate", "--label", "category", "-k", "1"],
        lambda c: c.evaluate("category", ks=[1]),
        "POST",
        "/evaluate",
        {"label": "category", "ks": [1]},
        "evaluation",
    ),
]
"""What is asked of indexed items: no network is loaded."""

BAD: list[tuple[list[str], str, str, dict[str, Any], int]] = [
    (["similar", "two.png", "--min-score", "auto"], "GET", "/similar", {"target": "two.png", "min_score": "auto"}, 400),
    (["similar", "two.png", "-k", "0"], "GET", "/similar", {"target": "two.png", "k": 0}, 400),
    (["similar", "two.png", "-k", "100001"], "GET", "/similar", {"target": "two.png", "k": MAX_RESULTS + 1}, 400),
    (["similar", "two.png", "--offset", "-1"], "GET", "/similar", {"target": "two.png", "offset": -1}, 400),
    (["similar", "two.png", "--page", "0"], "GET", "/similar", {"target": "two.png", "page": 0}, 400),
    (
        ["similar", "two.png", "--page", "1", "--offset", "1"],
        "GET",
        "/similar",
        {"target": "two.png", "page": 1, "offset": 1},
        400,
    ),
    (["similar", "two.png", "--min-score", "nan"], "GET", "/similar", {"target": "two.png", "min_score": "nan"}, 400),
    (["similar", "two.png", "--max-distance", "3"], "GET", "/similar", {"target": "two.png", "max_distance": 3}, 400),
    (["similar", "two.png", "--diversity", "2"], "POST", "/similar", {"target": "two.png", "diversity": 2}, 400),
    (
        ["similar", "two.png", "--keep-own-group"],
        "POST",
        "/similar",
        {"target": "two.png", "keep_own_group": True},
        400,
    ),
    (["similar", "two.png", "--sort", ":desc"], "POST", "/similar", {"target": "two.png", "sort": ":desc"}, 400),
    (["similar", "two.png", "--space", "none"], "POST", "/similar", {"target": "two.png", "space": "none"}, 404),
    (["search", "--filter", "prise<5"], "GET", "/search", {"filters": ["prise<5"]}, 400),
    (["search", "--filter", "price<cheap"], "GET", "/search", {"filters": ["price<cheap"]}, 400),
    (["search", "--filter", "="], "POST", "/search", {"filters": ["="]}, 400),
    (["search", "--any-of", "price<5 ||"], "POST", "/search", {"any_of": ["price<5 ||"]}, 400),
    (["search", "--sort", "prise"], "POST", "/search", {"sort": "prise"}, 400),
    (["search", "--group-by", "nothing"], "POST", "/search", {"group_by": "nothing"}, 400),
    (["similar", FAILED], "GET", "/similar", {"target": FAILED}, 422),
    (["similar", "one.png"], "GET", "/similar", {"target": "one.png"}, 409),
    (["similar", ""], "GET", "/similar", {"target": ""}, 400),
    (
        ["similar", "00000000-0000-0000-0000-000000000000"],
        "GET",
        "/similar",
        {"target": "00000000-0000-0000-0000-000000000000"},
        404,
    ),
    (["changes", "--since", "no cursor"], "GET", "/changes", {"since": "no cursor"}, 400),
    (["changes", "--since", "0123abcd.1.1"], "GET", "/changes", {"since": "0123abcd.1.1"}, 410),
    (["changes", "--limit", "1001"], "GET", "/changes", {"limit": 1_001}, 400),
    (["recommend"], "POST", "/recommend", {"like": []}, 400),
    (["facets", "nothing"], "GET", "/facets/nothing", {}, 400),
    (["duplicates", "--min-score", "7"], "POST", "/duplicates", {"min_score": 7}, 400),
    (["evaluate", "--label", "nothing"], "POST", "/evaluate", {"label": "nothing"}, 400),
    (
        ["evaluate", "--label", "category", "--sample", "0"],
        "POST",
        "/evaluate",
        {"label": "category", "sample": 0},
        400,
    ),
]


@pytest.fixture(scope="module", params=ENGINES)
def any_options(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked(request.param, tmp_path_factory.mktemp("data"), shop_root, request) as options:
        yield options


@pytest.fixture
def any_shop(any_options: list[str], shop_root: Path, ask: Callable[..., Reply]) -> Shop:
    return Shop(shop_root, any_options, ask)


@pytest.fixture(scope="module")
def api(any_options: list[str]) -> Iterator[Api]:
    with served(settings_of(any_options, CATALOG)) as answering:
        yield answering


@pytest.fixture(scope="module")
def library(any_options: list[str]) -> Iterator[ImageCatalog]:
    with recq.open(settings=settings_of(any_options, CATALOG)) as catalog:
        yield catalog


def asked(api: Api, method: str, route: str, parameters: dict[str, Any]) -> Any:
    return api.get(route, **parameters) if method == "GET" else api.post(route, **parameters)


def timeless(document: Any) -> Any:
    """Without the times that two questions took."""
    if isinstance(document, dict):
        return {name: timeless(value) for name, value in document.items() if name not in ("took_ms", "seconds")}
    return list(map(timeless, document)) if isinstance(document, list) else document


def told(said: Reply, shop: Shop) -> str:
    """The error of a command, without the options that the shop's commands have."""
    first, *more = said.err.removeprefix("recq: ").rstrip("\n").split("\n")
    text = "\n".join([first, *(line.removeprefix("  ") for line in more)])
    return text.replace(f" {' '.join(shop.options)}", "")


def kept_to(name: str, document: Any) -> None:
    """Check that a document is as OpenAPI says."""
    whole = {"components": {"schemas": components()}}
    one = {"$ref": f"#/components/schemas/{name.strip('[]')}"}
    schema = {**whole, **({"type": "array", "items": one} if name.startswith("[") else one)}
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: f"{each.method} {' '.join(each.command)}")
def test_all_three_answer_alike(question: Question, any_shop: Shop, api: Api, library: ImageCatalog) -> None:
    route = question.route.format(two=any_shop.id("sofas/two.png"), failed=any_shop.id(FAILED))
    reply = asked(api, question.method, route, question.parameters)
    assert reply.status_code == 200, reply.text
    here = timeless(reply.json())
    kept_to(question.schema, reply.json())
    command = [*question.command, "--format", "json"]
    if question.command[0] == "catalogs":
        said = any_shop.ask_in_process([*command, *any_shop.options], None)
    else:
        said = any_shop.ask(*command)
    assert here == timeless(json.loads(said.text))
    assert here == timeless(json.loads(json_text(question.library(library).to_json())))


def test_several_targets_are_answered_alike(any_shop: Shop, api: Api, library: ImageCatalog) -> None:
    targets = ["two.png", "nothing-like-it", any_shop.id("beds/three.png").upper(), FAILED]
    reply = api.post("/similar/batch", targets=targets, k=2)
    assert reply.status_code == 200
    kept_to("[answer_or_failure]", reply.json())
    said = any_shop.ask("similar", *targets, "-k", "2", "--format", "jsonl")
    found, lines = timeless(reply.json()), [timeless(json.loads(line)) for line in said.lines]
    assert [found[place] for place in (0, 2, 3)] == [lines[place] for place in (0, 2, 3)]
    assert found[1]["error"].startswith("nothing is indexed as 'nothing-like-it': ")
    assert lines[1]["error"].startswith("nothing is indexed as 'nothing-like-it', and no file here has that name: ")
    in_python = timeless(library.similar_many(targets, k=2).to_json())
    assert [found[place] for place in (0, 2, 3)] == [in_python[place] for place in (0, 2, 3)]


def test_judgements_are_measured_alike(any_shop: Shop, api: Api, library: ImageCatalog, tmp_path: Path) -> None:
    judged: list[dict[str, Any]] = [
        {"query": "two.png", "item": any_shop.id("beds/three.png"), "judgement": "like"},
        {"query": "two.png", "item": "sofas/one.png", "judgement": "dislike"},
        {"query": FAILED, "item": "two.png", "judgement": 3},
    ]
    reply = api.post("/evaluate/judgements", judgements=judged, ks=[1])
    assert reply.status_code == 200, reply.text
    kept_to("judged", reply.json())
    file = tmp_path / "judged.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in judged))
    said = any_shop.ask("evaluate", "--judgements", str(file), "-k", "1", "--format", "json")
    assert timeless(reply.json()) == timeless(json.loads(said.text))
    assert timeless(reply.json()) == timeless(library.evaluate_judgements(file, ks=[1]).to_json())
    assert reply.json()["not_used"]["unembedded"] == 1
    for wrong in (
        [],
        [{**judged[0], "judgement": "love"}],
        [{**judged[0], "judgement": -1}],
        [{**judged[0], "item": "gone"}],
    ):
        refused = api.post("/evaluate/judgements", judgements=wrong)
        assert (refused.status_code, refused.json()["exit_code"]) == (400, 2), wrong
        assert "\n" not in refused.json()["message"]


def test_a_vector_is_a_target(any_shop: Shop, api: Api, library: ImageCatalog) -> None:
    vector = np.zeros(library.space.dim)
    vector[0] = 3.0
    reply = api.post("/similar", target={"vector": vector.tolist()}, k=3)
    assert timeless(reply.json()) == timeless(json.loads(json_text(library.similar(vector, k=3).to_json())))
    assert [each["name"] for each in reply.json()["results"]] == ["one.png", "two.png", "three.png"]


@pytest.mark.parametrize(
    ("command", "method", "route", "parameters", "status"),
    BAD,
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_bad_questions_have_the_same_error(
    command: list[str], method: str, route: str, parameters: dict[str, Any], status: int, any_shop: Shop, api: Api
) -> None:
    reply = asked(api, method, route, parameters)
    said: Reply = any_shop.ask(*command)
    document = reply.json()
    kept_to("Error", document)
    assert (reply.status_code, document["exit_code"]) == (status, said.code)
    if "--help')" not in said.err:  # which Typer refuses, before recq is asked
        assert document["message"] == told(said, any_shop)


def test_names_never_mean_files(any_shop: Shop, api: Api) -> None:
    waiting = str(any_shop.root / WAITING)
    assert any_shop.ask("similar", waiting).code == 0, "on the command line it is a file"
    for name in (waiting, "/etc/passwd", "./pyproject.toml", "pyproject.toml", "../../etc/passwd", "-", "~", "\0", "."):
        for reply in (api.get("/similar", target=name), api.post("/explain", target=name, result="two.png")):
            assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), reply.text
            assert "file here" not in reply.text


def test_an_absolute_path_names_the_item_that_has_it(any_shop: Shop, api: Api) -> None:
    reply = api.get("/similar", target=str(any_shop.root / "sofas" / "two.png"), k=1)
    assert reply.json()["target"]["id"] == any_shop.id("sofas/two.png")


@ANY_ENGINE
def test_a_region_is_cut_in_a_process_of_its_own_as_it_is_here(any_shop: Shop, api: Api) -> None:
    content = (any_shop.root / WAITING).read_bytes()
    region = "20%,10%,40%,70%"
    said = timeless(
        json.loads(any_shop.ask("similar", "-", "--region", region, "--format", "json", stdin=content).text)
    )
    for reply in (
        api.send("/similar/picture", content, region=region),
        api.post("/similar", target={"target": {"picture": b64encode(content).decode()}, "region": region}),
    ):
        assert reply.status_code == 200, reply.text
        found = timeless(reply.json())
        assert found.pop("target")["region"] == region
        assert found == {name: value for name, value in said.items() if name != "target"}
    beside = api.send("/similar/picture", content, region="48,0,5,5")
    assert beside.json()["message"].endswith("has no region 48,0,5,5: it is 48 x 32 pixels")
    assert beside.status_code == api.send("/similar/picture", b"no picture").status_code
    for wrong in ("1,2,3", "1,2,3,4%", "nonsense"):
        assert api.send("/similar/picture", content, region=wrong).status_code == 400


@ANY_ENGINE
def test_a_picture_is_compared_as_by_the_command_line(any_shop: Shop, api: Api) -> None:
    content = (any_shop.root / WAITING).read_bytes()
    said = timeless(json.loads(any_shop.ask("similar", "-", "--format", "json", stdin=content).text))
    for reply in (
        api.send("/similar/picture", content, name="mine.png"),
        api.post("/similar", target={"picture": b64encode(content).decode(), "name": "mine.png"}),
    ):
        assert reply.status_code == 200, reply.text
        found = timeless(reply.json())
        target = {name: value for name, value in found.pop("target").items() if value is not None}
        assert target == {"text": "mine.png", "name": "mine.png"}
        assert found == {name: value for name, value in said.items() if name != "target"}


@ANY_ENGINE
def test_an_explanation_is_that_of_the_command_line(any_shop: Shop, api: Api) -> None:
    reply = api.post("/explain", target="two.png", result="beds/one.png")
    said = json.loads(any_shop.ask("explain", "two.png", "beds/one.png", "--format", "json").text)
    assert reply.json() == said
    kept_to("explanation", said)


@ANY_ENGINE
def test_a_prediction_is_that_of_the_command_line(any_shop: Shop, api: Api) -> None:
    reply = api.post("/predict", targets=["two.png", "no such item"], top=2)
    said = json.loads(any_shop.ask("predict", "two.png", "--top", "2", "--format", "json").text)
    assert reply.json()[0] == said[0]
    assert "no such item" in reply.json()[1]["error"]
    kept_to("[prediction_or_failure]", reply.json())


def test_a_catalog_that_is_not_there_is_compared_as_by_the_command_line(any_shop: Shop, api: Api) -> None:
    reply = api.post("/compare", target="two.png", against=["nothing"])
    catalogs = ["--catalog", CATALOG, "--catalog", "nothing"]
    said = any_shop.ask_in_process(["compare", "two.png", *catalogs, *any_shop.options], None)
    assert (reply.json()["exit_code"], reply.json()["message"]) == (said.code, told(said, any_shop))


@ANY_ENGINE
def test_what_hostile_pictures_do_is_the_same(any_shop: Shop, api: Api, library: ImageCatalog) -> None:
    """All in the library, which keeps its network; what nothing can decode on the command line, too."""
    rubbish = [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)]
    files = sorted(path for path in pack("nasty").rglob("*") if path.suffix[1:].lower() not in ("csv", ""))[::12]
    refused = 0
    for content in [*rubbish, *(path.read_bytes() for path in files)]:
        reply = api.send("/similar/picture", content, k=1)
        try:
            answer = library.similar(content, k=1).to_json()
        except RecqError as error:
            refused += 1
            expected: Any = {"code": "target", "exit_code": error.exit_code, "message": str(error)}
            found = reply.json()
        else:
            expected, found = (timeless(json.loads(json_text(each)))["results"] for each in (answer, reply.json()))
        assert found == expected
        assert reply.status_code < 500
    assert len(rubbish) < refused < len(files)
    for content in rubbish:
        said = any_shop.ask("similar", "-", stdin=content)
        text = told(said, any_shop).replace("the picture on standard input", "the picture given")
        document = api.send("/similar/picture", content).json()
        assert (document["message"], document["exit_code"]) == (text, said.code)
