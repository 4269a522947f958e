"""`recq evaluate` on small catalogs of known vectors: the numbers by a second, slow way; what is left out; the JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from recq.evaluate.evaluate import evaluate as evaluate_catalog
from recq.evaluate.metrics import LEVEL, RESAMPLES
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, Value
from recq.search.session import Session
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.query.conftest import Reply

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=2,
)  # fmt: skip
DOCS = (Path(__file__).parents[3] / "docs" / "quality.md").read_text("utf-8")

# path: (angle, bytes, metadata)
ITEMS: dict[str, tuple[float, str, dict[str, Value]]] = {
    "a": (0.00, "1", {"kind": "hat", "genres": ["drama", "war"], "new": True, "view": "main"}),
    "b": (0.10, "2", {"kind": "sofa", "genres": ["drama"], "new": True, "view": "main"}),
    "b2": (0.10, "2", {"kind": "sofa", "genres": ["drama"], "new": False, "view": "back"}),
    "c": (0.01, "1", {"kind": "hat", "genres": ["drama", "war"], "new": False, "view": "back"}),  # a copy of a
    "d": (0.30, "3", {"kind": "hat", "genres": ["war", "action"], "new": True, "view": "main"}),
    "e": (0.45, "4", {"kind": "sofa", "genres": ["action"], "new": False, "view": "main"}),
    "x": (0.90, "5", {"kind": "bed", "view": "main"}),  # alone
    "u": (0.05, "6", {}),  # without labels
}


def entries(space: EmbeddingSpace, angles: Callable[[str], float], names: list[str]) -> list[ItemVector]:
    """Items on a circle: cosine and distance have them in the same order."""
    return [
        ItemVector(
            Item(FileFacts("shop", name, 1, 1, ITEMS[name][1] * 64, "PNG", 8, 8), ITEMS[name][2]),
            np.array([math.cos(angles(name)), math.sin(angles(name))], np.float32),
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalogs `one`, `other` (without x, mirrored where it matters) and `apart` (other files)."""
    made = tmp_path_factory.mktemp("evaluate")
    with own_folder(Settings(data_dir=made)) as owned:
        Catalog.create(owned.client, "one", SPACE).writes.upsert(
            entries(SPACE, lambda name: ITEMS[name][0], list(ITEMS))
        )
        worse = replace(SPACE, model="worse", distance="Euclid")
        there = [name for name in ITEMS if name != "x"]
        angle = {"a": 0.0, "b": 0.1, "b2": 0.11, "c": 0.02, "d": 0.5, "e": 0.6, "u": 0.7}
        Catalog.create(owned.client, "other", worse).writes.upsert(entries(worse, angle.__getitem__, there))
        apart = Catalog.create(owned.client, "apart", SPACE)
        apart.writes.upsert([ItemVector(Item(FileFacts("shop", "z", 1, 1)), np.array([1, 0], np.float32))])
    return made


Ask = Callable[..., Reply]


@pytest.fixture
def evaluate(folder: Path, ask: Callable[[list[str]], Reply]) -> Ask:
    def asked(*arguments: str, catalog: str = "one") -> Reply:
        return ask(["evaluate", "--data-dir", str(folder), "--catalog", catalog, *arguments])

    return asked


def document(reply: Reply, schema: str = "evaluation") -> dict[str, Any]:
    assert reply.code == 0, reply.err
    found: dict[str, Any] = json.loads(reply.out)
    match = re.search(rf"^```json schema={schema}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    jsonschema.Draft202012Validator(json.loads(match[1])).validate(found)
    return found


def slow(field: str, names: list[str], among: list[str], ks: list[int]) -> dict[str, list[float]]:
    """Average precision, precision and recall of every query that has an answer, item by item."""
    found = {}
    for query in names:
        own = set(np.atleast_1d(ITEMS[query][2][field]).tolist())
        others = [name for name in among if name != query and ITEMS[name][1] != ITEMS[query][1]]
        others.sort(key=lambda name: (round(abs(ITEMS[name][0] - ITEMS[query][0]), 9), name))
        sets = [set(np.atleast_1d(ITEMS[name][2][field]).tolist()) for name in others]
        gains = [len(own & each) / len(own | each) for each in sets]
        if not any(gains):
            continue

        def steps(order: list[float]) -> float:
            return sum(sum(order[: n + 1]) / (n + 1) for n, gain in enumerate(order) if gain)

        found[query] = [
            steps(gains) / steps(sorted(gains, reverse=True)),
            *(sum(gains[:k]) / k for k in ks),
            *(sum(gains[:k]) / sum(gains) for k in ks),
        ]
    return found


def numbers(measures: dict[str, Any]) -> list[float]:
    return [measures["map"], *measures["precision"].values(), *measures["recall"].values()]


LABELLED = [name for name in ITEMS if name != "u"]
LISTED = [name for name in LABELLED if name != "x"]


@pytest.mark.parametrize(("field", "labelled"), [("kind", LABELLED), ("genres", LISTED)])
def test_the_means_over_all_queries(evaluate: Ask, field: str, labelled: list[str]) -> None:
    found = document(evaluate("--label", field, "-k", "2,1", "--format", "json"))
    expected = slow(field, labelled, labelled, [1, 2])
    assert numbers(found) == pytest.approx(np.mean(list(expected.values()), axis=0).tolist(), abs=1e-6)
    assert found["k"] == [1, 2]
    assert (found["items"], found["queries"]) == (len(labelled), len(expected))
    assert found["interval"]["map"][0] <= found["map"] <= found["interval"]["map"][1]


def test_what_is_left_out_is_said(evaluate: Ask) -> None:
    reply = evaluate("--label", "kind", "--format", "json")
    assert document(reply)["left_out"] == {"unlabelled": 1, "elsewhere": 0, "alone": 1, "copies": 4}
    assert reply.err.splitlines() == [
        "recq: 1 item without a kind left out",
        "recq: 1 item left out as queries: no other item has the same kind",
        "recq: 4 copies were left out: the same bytes as the query",
    ]


def test_every_class_has_its_row(evaluate: Ask) -> None:
    classes = document(evaluate("--label", "kind", "-k", "1", "--format", "json"))["per_class"]
    expected = slow("kind", LABELLED, LABELLED, [1])
    assert {name: (each["items"], each["queries"]) for name, each in classes.items()} == {
        "bed": (1, 0), "hat": (3, 3), "sofa": (3, 3),
    }  # fmt: skip
    assert numbers(classes["hat"]) == pytest.approx(np.mean([expected[n] for n in "acd"], axis=0).tolist(), abs=1e-6)
    assert "map" not in classes["bed"]


def test_confusion_of_the_nearest(evaluate: Ask) -> None:
    """a and c have b or b2 next to them, d has e; b and b2 have c, e has d."""
    found = document(evaluate("--label", "kind", "-k", "1", "--format", "json"))["confusion"]
    assert found == [
        {"label": "hat", "taken_for": "sofa", "share": 1.0, "count": 3},
        {"label": "sofa", "taken_for": "hat", "share": 1.0, "count": 3},
    ]


def test_filters_choose_who_asks_and_what_is_found(evaluate: Ask) -> None:
    found = document(
        evaluate("--label", "kind", "--query-filter", "view=back", "--gallery-filter", "view=main", "--format", "json")
    )
    among = [name for name in LABELLED if ITEMS[name][2]["view"] == "main"]
    expected = slow("kind", ["b2", "c"], among, [1, 5, 10])
    assert (found["items"], found["queries"]) == (5, 2)
    assert numbers(found) == pytest.approx(np.mean(list(expected.values()), axis=0).tolist(), abs=1e-6)


def test_other_types_of_labels(evaluate: Ask) -> None:
    assert set(document(evaluate("--label", "new", "--format", "json"))["per_class"]) == {"true", "false"}
    found = document(evaluate("--label", "file.format", "--format", "json"))
    assert (found["map"], set(found["per_class"])) == (1, {"PNG"})


def test_a_sample_is_the_same_for_the_same_seed(evaluate: Ask) -> None:
    def asked(seed: str) -> dict[str, Any]:
        found = document(evaluate("--label", "kind", "--sample", "3", "--seed", seed, "--format", "json"))
        return {key: value for key, value in found.items() if key != "took_ms"}

    assert asked("1") == asked("1")
    assert asked("1")["items"] == len(LABELLED)
    assert len({json.dumps(asked(str(seed))["per_class"]) for seed in range(4)}) > 1


def test_catalogs_side_by_side_on_the_items_of_both(evaluate: Ask) -> None:
    alone = document(evaluate("--label", "kind", "--format", "json", catalog="other"))
    found = document(evaluate("--label", "kind", "--against", "other", "--format", "json"))
    (other,) = found["against"]
    assert found["left_out"]["elsewhere"] == 1  # x
    assert (found["items"], other["catalog"], other["space"]["distance"]) == (6, "other", "Euclid")
    assert numbers(other) == numbers(alone)
    difference = np.subtract(numbers(other), numbers(found))
    assert numbers(other["difference"]) == pytest.approx(difference.tolist(), abs=2e-6)
    low, high = other["difference"]["interval"]["map"]
    assert low <= other["difference"]["map"] <= high
    width = found["interval"]["map"][1] - found["interval"]["map"][0]
    assert high - low < width + other["interval"]["map"][1] - other["interval"]["map"][0]  # paired


def test_the_table_is_for_eyes(evaluate: Ask) -> None:
    lines = evaluate("--label", "kind", "-k", "1", "--against", "other").lines
    assert lines[0].split() == ["catalog,", "%", "mAP", "P@1", "R@1"]
    assert [line.split()[0] for line in lines[1:7]] == ["one", "95", "other", "95", "less", "95"]
    assert re.fullmatch(r"  less the first +[+-]\d+\.\d +[+-]\d+\.\d +[+-]\d+\.\d", lines[5])
    assert ["hat", "3", "3"] in [line.split()[:3] for line in lines]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--label", "kin"], 2, "did you mean 'kind'?"),
        (["--label", "file.name"], 2, "no query has another item with the same file.name"),
        (["--label", "kind", "-k", "0"], 2, "-k 0 cannot be measured: give numbers from 1 to 1,000"),
        (["--label", "kind", "-k", "1;5"], 2, "write numbers with commas, as in -k 1,5,10"),
        (["--label", "kind", "--sample", "0"], 2, "--sample"),
        (["--label", "kind", "--query-filter", "kind=none"], 2, "no item fits the --query-filter"),
        (["--label", "kind", "--gallery-filter", "!kind?"], 2, "no gallery item has a kind"),
        (["--label", "kind", "--against", "none"], 3, "catalog 'none' does not exist"),
        (["--label", "kind", "--against", "one"], 2, "compared with itself"),
        (["--label", "kind", "--against", "apart"], 2, "no gallery item is in every catalog"),
    ],
)
def test_what_cannot_be_answered_is_one_line(evaluate: Ask, arguments: list[str], code: int, says: str) -> None:
    reply = evaluate(*arguments)
    assert (reply.code, reply.out) == (code, b"")
    assert says in reply.err
    assert len(reply.err.splitlines()) == 1


def test_progress_is_told(folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    evaluate_catalog(
        Session(Settings(data_dir=folder, catalog="one")),
        "kind",
        progress=lambda what, done, of: seen.append((what, done, of)),
    )
    assert {what for what, _, _ in seen} == {"reading labels", "reading one", "ranking one"}
    assert all(0 <= done <= of for _, done, of in seen)
    assert ("ranking one", len(LABELLED), len(LABELLED)) in seen


def test_the_documentation_has_the_constants() -> None:
    assert f"{RESAMPLES:,} times" in DOCS
    assert f"{LEVEL:.0%}".replace("%", " %") in DOCS


def test_the_index_is_measured_in_place_of_the_network(evaluate: Ask) -> None:
    reply = evaluate("--index", "-k", "1,3", "--sample", "4", "--gallery-filter", "kind=hat", "--format", "json")
    assert reply.code == 0, reply.err
    found = json.loads(reply.out)
    match = re.search(r"^```json schema=index\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    jsonschema.Draft202012Validator(json.loads(match[1])).validate(found)
    assert (found["catalog"], found["k"], found["items"], found["recall"]) == ("one", 3, len(ITEMS), 1.0)
    assert found["shapes"][-1]["shape"] == "as given"
    assert "exact by construction" in reply.err


def test_the_table_of_the_index_has_a_row_for_each_shape_and_one_for_all(evaluate: Ask) -> None:
    reply = evaluate("--index", "--sample", "3", "-k", "2")
    assert reply.code == 0, reply.err
    lines = reply.lines
    assert "recall@2" in lines[0]
    assert lines[1].startswith("no filter")
    assert lines[-1].startswith("all")
    assert "100.00" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--label FIELD is missing, as in --label category"),
        (["--index", "--label", "kind"], "give one of them"),
        (["--index", "--against", "other"], "--against belongs to --label"),
        (["--index", "--query-filter", "kind=hat"], "--query-filter belongs to --label"),
        (["--index", "-k", "5000"], "-k 5000 cannot be measured"),
        (["--index", "--sample", "1"], "--sample 1 cannot be drawn"),
        (["--index", "--gallery-filter", "knd=hat"], "unknown field 'knd'"),
    ],
)
def test_the_index_or_a_label_and_what_belongs_to_it(evaluate: Ask, arguments: list[str], said: str) -> None:
    reply = evaluate(*arguments)
    assert reply.code == 2
    assert said in reply.err


def judgements(folder: Path, **judged: str) -> Path:
    """A file of judgements of `a`."""
    file = folder / "likes.jsonl"
    file.write_text(
        "".join(json.dumps({"query": "a", "item": each, "judgement": how}) + "\n" for each, how in judged.items())
    )
    return file


def test_what_people_judged_is_measured(evaluate: Ask, tmp_path: Path) -> None:
    file = judgements(tmp_path, d="like", b="dislike", x="like", gone="like")
    found = document(evaluate("--judgements", str(file), "-k", "1", "--against", "other", "--format", "json"), "judged")
    assert (found["queries"], found["likes"], found["dislikes"]) == (1, 1, 1)
    assert (found["not_used"]["elsewhere"], found["unknown"]) == (1, ["gone"])
    assert found["ndcg"]["mean"] == pytest.approx(1 / math.log2(3), abs=1e-6)
    assert found["against"][0]["difference"]["ndcg"]["interval"] is None
    table = evaluate("--judgements", str(file), "--judgements", str(file), "--against", "other")
    assert "1 query, 1 like and 1 dislike among 7 items" in table.err
    for remark in ("2 judgements left out, of items that are not in the catalog: gone", "tell little", "given again"):
        assert remark in table.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judgements", "nothing.jsonl"], "nothing.jsonl cannot be read"),
        (["--judgements", "nothing.jsonl", "--label", "kind"], "give one of them"),
        (["--judgements", "nothing.jsonl", "--sample", "3"], "leave it out"),
        (["--judgements", "nothing.jsonl", "--query-filter", "kind=hat"], "leave it out"),
        (["--judgements", "nothing.jsonl", "-k", "x"], "cannot be read"),
    ],
)
def test_judgements_that_cannot_be_used_are_one_line(evaluate: Ask, arguments: list[str], says: str) -> None:
    reply = evaluate(*arguments)
    assert (reply.code, reply.out) == (2, b"")
    assert says in reply.err
    assert len(reply.err.splitlines()) == 1
