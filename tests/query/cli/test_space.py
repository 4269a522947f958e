"""`--space NAME`: a trained space is tried with the vectors that there are, and says that it is not the catalog's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recq
from recq.errors import SpaceMismatch, TargetNotFound, UsageError
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.models import describe_space
from recq.models.heads import Classifier, Linear
from recq.search.session import opened
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.query.conftest import CATALOG, GOODS, Reply, Shop
from tests.query.test_docs import check

SPACE: EmbeddingSpace = describe_space("efficientnet_lite2", Settings())
CENTRE = (0.9, 0.6)
STRETCH = (1.0, 0.2)


def head() -> Linear:
    """Moves the circle of the shop's vectors and makes it flat: other pictures are near then."""
    matrix, centre = np.zeros((SPACE.dim, 2), np.float32), np.zeros(SPACE.dim, np.float32)
    matrix[:2], centre[:2] = np.diag(STRETCH), CENTRE
    return Linear(matrix, centre)


CLASSES = Classifier(("bed",), np.zeros((1, SPACE.dim), np.float32), np.zeros(1, np.float32))
NEW = Candidate("by-category", "category", head(), CLASSES, SPACE.fingerprint, "2026-11-27T00:00:00Z")
CLOSED = Candidate("closed", "category", head(), CLASSES, SPACE.fingerprint, "2026-11-27T00:00:00Z", closed_set=True)
OLD = Candidate("old", "category", head(), CLASSES, "0123456789ab", "2026-11-27T00:00:00Z")


def expected(target: str) -> list[tuple[str, float]]:
    """The shop's items by their cosine in the trained space; items without a picture of their own have no copies."""
    angles = np.array([angle for angle, _ in GOODS.values()])
    vectors = np.zeros((len(angles), SPACE.dim), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    made = head().apply(vectors)
    scores = dict(zip(GOODS, (made @ made[list(GOODS).index(target)]).tolist(), strict=True))
    del scores[target]
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))


def settings_of(shop: Shop) -> dict[str, Any]:
    name, value = shop.options
    return {"url": value} if name == "--url" else {"data_dir": Path(value)}


def carry(shop: Shop, *candidates: Candidate) -> None:
    with opened(Settings(catalog=CATALOG, **settings_of(shop))) as catalog:
        for each in candidates:
            catalog.candidates.write(each)


def answer(reply: Reply) -> dict[str, Any]:
    assert reply.code == 0, reply.err
    found: dict[str, Any] = json.loads(reply.out)
    return found


def test_the_nearest_are_put_into_the_order_of_the_trained_space(any_shop: Shop) -> None:
    carry(any_shop, NEW)
    plain = answer(any_shop.ask("similar", "two.png", "-k", "3", "--format", "json"))
    asked = any_shop.ask("similar", "two.png", "-k", "3", "--space", "by-category", "--format", "json")
    found = answer(asked)
    check(found)
    assert asked.err == ""
    wanted = expected("sofas/two.png")[:3]
    assert [each["payload"]["file"]["path"] for each in found["results"]] == [path for path, _ in wanted]
    assert [each["score"] for each in found["results"]] == pytest.approx([score for _, score in wanted], abs=1e-5)
    assert [each["id"] for each in found["results"]] != [each["id"] for each in plain["results"]]
    assert found["space"] == {
        **NEW.space(SPACE).summary(),
        "trained": {"name": "by-category", "label": "category", "from": SPACE.fingerprint},
    }
    assert (plain["space"], found["metric"]) == (SPACE.summary(), "cosine")
    named = any_shop.id("sofas/two.png")
    by_id = answer(any_shop.ask("similar", named, "-k", "3", "--space", "by-category", "--format", "json"))
    assert by_id["results"] == found["results"]


def test_filters_groups_and_pages_are_as_ever(shop: Shop) -> None:
    carry(shop, NEW)

    def paths_of(*options: str) -> list[str]:
        reply = shop.ask("similar", "sofas/two.png", "--space", "by-category", "--format", "json", *options)
        return [each["payload"]["file"]["path"] for each in answer(reply)["results"]]

    order = [path for path, _ in expected("sofas/two.png")]
    beds = [path for path in order if GOODS[path][1].get("category") == "bed"]
    assert paths_of("--filter", "category=bed") == beds
    assert [*paths_of("-k", "2"), *paths_of("-k", "2", "--page", "2")] == order[:4]
    assert paths_of("-k", "9", "--filter", "category?", "--group-by", "category") == [
        next(path for path in order if GOODS[path][1].get("category") == value) for value in ("bed", "twin")
    ]
    least = expected("sofas/two.png")[1][1] - 1e-4
    assert paths_of("-k", "9", "--min-score", f"{least:.6f}") == order[:2]


def test_several_targets_and_the_remark_on_a_closed_set(any_shop: Shop, tmp_path: Path) -> None:
    carry(any_shop, CLOSED)
    (tmp_path / "more.txt").write_text("three.png\nnothing.png\n")
    options = ("-k", "2", "--space", "closed", "--format", "jsonl")
    reply = any_shop.ask("similar", "two.png", "--targets", str(tmp_path / "more.txt"), *options)
    assert reply.code == 3, "one target is unknown"
    first, second, failed = map(json.loads, reply.lines)
    assert "error" in failed
    for document, path in ((first, "sofas/two.png"), (second, "beds/three.png")):
        check(document)
        found = [each["payload"]["file"]["path"] for each in document["results"]]
        assert found == [path for path, _ in expected(path)[:2]]
        assert document["space"]["trained"]["name"] == "closed"
    remark = "closed is a closed-set space: pictures of kinds without a category may be found worse"
    assert reply.err.count(remark) == 1
    assert any_shop.ask("similar", "two.png", "--space", "closed").err.count(remark) == 1


def test_recommend_takes_the_mean_of_the_trained_vectors(shop: Shop) -> None:
    carry(shop, NEW)
    found = answer(shop.ask("recommend", "--like", "two.png", "--space", "by-category", "-k", "4", "--format", "json"))
    check(found)
    wanted = [path for path, _ in expected("sofas/two.png")[:4]]
    assert [each["payload"]["file"]["path"] for each in found["results"]] == wanted
    refused = shop.ask("recommend", "--like", "two.png", "--strategy", "best", "--space", "by-category")
    assert refused.code == UsageError.exit_code
    assert "--strategy best" in refused.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--space", "by-categry"], 3, "no trained space 'by-categry': did you mean 'by-category'?"),
        (["--space", "zzz"], 3, "no trained space 'zzz' (there is: by-category, closed, old)"),
        (["--space", "old"], 5, "the trained space 'old' was learned from vectors of [0123456789ab]"),
        (["--space", "by-category", "--min-score", "auto"], 2, "--min-score auto is of the catalog's own space"),
        (["--space", "by-category", "--max-distance", "3"], 2, "--max-distance is for distances"),
        (["--space", "by-category", "--filter", "nofield=3"], 2, "nofield"),
    ],
)
def test_one_line_says_what_cannot_be_asked(any_shop: Shop, options: list[str], code: int, said: str) -> None:
    carry(any_shop, NEW, CLOSED, OLD)
    by_name = any_shop.ask("similar", "two.png", *options)
    by_id = any_shop.ask("similar", any_shop.id("sofas/two.png"), *options)
    several = any_shop.ask("similar", "two.png", "three.png", *options)
    liked = any_shop.ask("recommend", "--like", "two.png", *options)
    for reply in (by_name, by_id, several, liked):
        assert reply.code == code
        assert len(reply.err.splitlines()) == 1
        assert "auto" in options or said in reply.err
    assert said in by_name.err


def test_an_answer_without_results_is_explained_in_its_space(shop: Shop) -> None:
    carry(shop, NEW)
    reply = shop.ask("similar", "two.png", "--space", "by-category", "--min-score", "1", "--filter", "category=bed")
    best = max(score for path, score in expected("sofas/two.png") if GOODS[path][1].get("category") == "bed")
    assert f"reaches --min-score 1: the nearest has {best:.3f}" in reply.err


def test_tab_offers_the_trained_spaces(any_shop: Shop, tab: Callable[[str, list[str]], Reply]) -> None:
    carry(any_shop, NEW, CLOSED)
    options = [*any_shop.options, "--catalog", CATALOG]
    assert [line.partition("\t")[0] for line in tab("similar --space by", options).lines] == ["by-category"]
    assert "closed" in [line.partition("\t")[0] for line in tab("recommend --space ", options).lines]


def test_a_program_asks_the_same(shop: Shop) -> None:
    carry(shop, NEW, OLD)
    with recq.open(CATALOG, **settings_of(shop)) as catalog:
        found = catalog.similar("sofas/two.png", k=4, space="by-category")
        assert [(each.within, each.share) for each in found] == [(p, None) for p, _ in expected("sofas/two.png")[:4]]
        assert found.trained is not None
        assert (found.trained.name, found.space.fingerprint) == ("by-category", NEW.space(SPACE).fingerprint)
        vector = catalog.embed("sofas/two.png")
        given = catalog.similar(vector, k=9, space="by-category")
        assert given[0].within == "sofas/two.png"
        assert [each.within for each in given][1:5] == [each.within for each in found]
        many = catalog.similar_many(["sofas/two.png", vector], k=4, space="by-category")
        assert [[each.within for each in one] for one in many.answers] == [
            [each.within for each in found],
            [each.within for each in given][:4],
        ]
        assert catalog.similar("sofas/two.png").trained is None
        with pytest.raises(TargetNotFound, match="no trained space"):
            catalog.similar(vector, space="none")
        with pytest.raises(SpaceMismatch):
            catalog.similar(vector, space="old")
        with pytest.raises(UsageError, match="space=3"):
            catalog.similar(vector, space=3)  # type: ignore[arg-type]


def build(shop: Shop) -> None:
    """The catalog `built`: the shop's items with the candidate's vectors."""
    with opened(Settings(catalog=CATALOG, **settings_of(shop))) as catalog:
        entries = [each for each in catalog.items.entries(()) if each.vector is not None]
        made = NEW.head.apply(np.stack([each.vector for each in entries if each.vector is not None]))
        built = Catalog.create(catalog._client, "built", NEW.space(SPACE))
        built.writes.upsert([replace(each, vector=row) for each, row in zip(entries, made, strict=True)])


def test_a_trained_space_is_compared_as_the_catalog_that_is_built_of_it(shop: Shop, ask: Callable[..., Reply]) -> None:
    carry(shop, NEW)
    build(shop)
    named = ["--catalog", CATALOG, "--catalog", "@by-category", "--catalog", "built", "-k", "4", "--format", "json"]
    found = answer(ask(["compare", "sofas/two.png", *named, *shop.options], None))
    plain, tried, built = (each["answer"] for each in found["catalogs"])
    check(tried)
    assert [each["catalog"] for each in found["catalogs"]] == [CATALOG, f"{CATALOG}@by-category", "built"]
    assert [each["id"] for each in tried["results"]] == [each["id"] for each in built["results"]]
    assert [each["id"] for each in tried["results"]] != [each["id"] for each in plain["results"]]
    assert tried["space"]["fingerprint"] == built["space"]["fingerprint"]
    first = ["--catalog", f"{CATALOG}@by-category", "--catalog", CATALOG]
    table = ask(["compare", "sofas/two.png", *first, "--format", "csv", *shop.options], None)
    assert {line.partition(",")[0] for line in table.lines[1:]} == {first[1], first[3]}


def test_a_trained_space_is_evaluated_as_the_catalog_that_is_built_of_it(shop: Shop) -> None:
    carry(shop, NEW)
    build(shop)
    against = ("--against", "@by-category", "--against", "built")
    asked = shop.ask("evaluate", "--label", "category", *against, "--format", "json")
    measured = answer(asked)
    one, other = measured["against"]
    assert one["catalog"] == f"{CATALOG}@by-category"
    assert one["space"].pop("trained") == {"name": "by-category", "label": "category", "from": SPACE.fingerprint}
    for name in ("space", "map", "precision", "recall", "interval", "difference"):
        assert one[name] == other[name]
    assert one["map"] != measured["map"]
    assert asked.err.count("has learned the category of these items") == 2, "tried, and built of it"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["compare", "two.png", "--catalog", CATALOG, "--catalog", "@zzz"], 3, "no trained space 'zzz'"),
        (["compare", "two.png", "--catalog", CATALOG, "--catalog", f"{CATALOG}@old"], 5, "'old' was learned"),
        (["compare", "two.png", "--catalog", CATALOG, "--catalog", "shop@"], 2, "write CATALOG@NAME"),
        (["compare", "two.png", "--catalog", f"{CATALOG}@old", "--catalog", "@old"], 2, "two different catalogs"),
        (["evaluate", "--label", "category", "--catalog", CATALOG, "--against", "@zzz"], 3, "no trained space 'zzz'"),
        (["evaluate", "--label", "category", "--catalog", CATALOG, "--against", "@old"], 5, "'old' was learned"),
        (["evaluate", "--label", "category", "--catalog", CATALOG, "--against", "@"], 2, "write CATALOG@NAME"),
    ],
)
def test_what_names_no_trained_space_is_one_line(
    shop: Shop, ask: Callable[..., Reply], arguments: list[str], code: int, said: str
) -> None:
    carry(shop, NEW, OLD)
    reply = ask([*arguments, *shop.options], None)
    assert (reply.code, len(reply.err.splitlines())) == (code, 1)
    assert said in reply.err
