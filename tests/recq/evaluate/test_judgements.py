"""nDCG by what people judged: the measure by scikit-learn, what is not used, how files are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import UsageError
from recq.evaluate.judged import evaluate_judgements
from recq.evaluate.judged_results import FEWEST, Gain, Gained, NotUsed
from recq.evaluate.judgements import Judgement, all_judgements, judgement_json, judgement_of, read_judgements
from recq.evaluate.metrics import ndcg
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.search.session import Session
from recq.settings import Settings
from recq.space import EmbeddingSpace

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=2,
)  # fmt: skip
ANGLES = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.3, "e": 0.4, "copy": 0.05, "alone": 0.9}
"""Seen from a: copy, b, c, d, e, alone. In the other catalog it is alone, e, d, c, b, copy."""


@pytest.fixture(scope="module")
def ndcg_score() -> Callable[..., float]:
    """Not imported before: every process of the tests collects this file."""
    from sklearn.metrics import ndcg_score

    found: Callable[..., float] = ndcg_score
    return found


@given(gains=st.lists(st.integers(0, 5), min_size=2, max_size=12).filter(any), k=st.integers(1, 12))
def test_ndcg_is_that_of_scikit_learn(ndcg_score: Callable[..., float], gains: list[int], k: int) -> None:
    scores = [-float(place) for place in range(len(gains))]
    wanted = ndcg_score([gains], [scores], k=k)
    assert ndcg(np.array(gains, float), k) == pytest.approx(wanted)
    assert ndcg(np.array(gains, float)) == pytest.approx(ndcg_score([gains], [scores]))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Catalogs `one` and `other`, in which everything is the other way round, and which lacks `alone`."""
    folder = tmp_path_factory.mktemp("data")
    with own_folder(Settings(data_dir=folder)) as owned:
        for name, paths in (("one", list(ANGLES)), ("other", [each for each in ANGLES if each != "alone"])):
            made = []
            for path in paths:
                at = ANGLES[path] if name == "one" or path == "a" else 1.0 - ANGLES[path]
                facts = FileFacts("shop", path, 1, 1, ({"copy": "a", "alone": "f"}.get(path, path)) * 64, "PNG", 8, 8)
                made.append(ItemVector(Item(facts), np.array([math.cos(at), math.sin(at)], np.float32)))
            Catalog.create(owned.client, name, SPACE).writes.upsert(made)
    with Session(Settings(data_dir=folder, catalog="one")) as opened:
        yield opened


def likes(query: str, *items: str) -> list[Judgement]:
    return [Judgement(query, each, 1.0) for each in items]


def dislikes(query: str, *items: str) -> list[Judgement]:
    return [Judgement(query, each, 0.0) for each in items]


def test_the_order_of_judged_items_and_the_first_of_all(session: Session) -> None:
    found = evaluate_judgements(session, [*likes("a", "c"), *dislikes("a", "b")], ks=(1, 2))
    assert found.first.order is not None
    assert found.first.order.mean == pytest.approx(1 / math.log2(3))  # second of two
    assert found.first.at[1].mean == 0.0
    assert found.first.at[2].mean == pytest.approx(1 / math.log2(3))  # copy is left out, b is first
    assert (found.queries, found.likes, found.dislikes, found.items) == (1, 1, 1, 7)
    assert found.first.order.high > 0.9  # one query tells next to nothing
    assert found.first.order.low < 0.1


def test_against_another_catalog_on_the_items_that_both_have(session: Session) -> None:
    judgements = [*likes("a", "c", "alone"), *dislikes("a", "b", "d"), *likes("e", "d")]
    found = evaluate_judgements(session, judgements, ks=(1,), against=["other"])
    assert found.not_used == NotUsed(elsewhere=1)
    (other,) = found.against
    assert found.first.order is not None
    assert other.order is not None
    assert found.first.order.queries == other.order.queries == 1  # of e everything judged is worth the same
    assert found.first.at[1].queries == 2
    assert other.less is not None
    assert other.less.mean == pytest.approx(other.order.mean - found.first.order.mean)
    assert other.less.interval is None


def test_what_cannot_be_used_is_counted_and_named(session: Session) -> None:
    judgements = [*likes("a", "b", "c", "gone", "copy"), *dislikes("lost", "b"), *dislikes("c", "b")]
    found = evaluate_judgements(session, [*judgements, Judgement("a", "c", 0.0)])
    assert found.not_used == NotUsed(unknown=2, copies=1, repeated=1, unanswerable=1)
    assert found.names == ("gone", "lost")
    assert (found.likes, found.dislikes) == (1, 1)


@pytest.mark.parametrize(
    ("judgements", "problem"),
    [
        (dislikes("a", "b"), "no query has an item that was liked"),
        (likes("gone", "lost"), "gone, lost are not in the catalog"),
        (likes("a", "copy"), "are copies"),
    ],
)
def test_nothing_to_measure_is_an_error(session: Session, judgements: list[Judgement], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        evaluate_judgements(session, judgements)


def test_intervals_of_few() -> None:
    assert Gained.of([]) is None
    few, many = Gained.of([1.0] * 2), Gained.of([1.0] * 200)
    assert few is not None
    assert many is not None
    assert few.low < 0.5 < 0.95 < many.low
    assert Gain.of([1.0] * (FEWEST - 1), [0.5] * (FEWEST - 1), 0) == Gain(0.5, None)
    assert Gain.of([1.0] * FEWEST, [0.5] * FEWEST, 0) == Gain(0.5, (0.5, 0.5))


def test_what_the_page_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "j.jsonl"
    first, last = (
        '{"query": "a", "item": "b", "judgement": "like", "more": 1}',
        '{"query":"a","item":"c","judgement":2.5}',
    )
    file.write_text(f"\ufeff{first}\r\n\n{last}")
    assert read_judgements(file) == [Judgement("a", "b", 1.0), Judgement("a", "c", 2.5)]
    assert all_judgements([file, Judgement("b", "a", 0.0)])[1:] == [Judgement("a", "c", 2.5), Judgement("b", "a", 0.0)]
    assert judgement_of(judgement_json("a", "b", liked=False)) == Judgement("a", "b", 0.0)


WRONG = [
    ("{", "line 1: it is no JSON"),
    ("[]", "line 1: a JSON object"),
    ('\n{"query": "a"}', "line 2: item is missing"),
    ('{"query": "a", "item": 3, "judgement": "like"}', "line 1: a judgement needs the name"),
    ('{"query": "a", "item": "", "judgement": "like"}', "line 1: a judgement needs the name"),
    *(
        (f'{{"query": "a", "item": "b", "judgement": {judged}}}', "a number from 0 to 1,000")
        for judged in ("true", "-1", "1001", "NaN", "1e999", "9" * 400, "-" + "9" * 400, '"love"', "null", "[1]")
    ),
    ("\n \n", "has no judgements"),
    ("[" * 100_000, "line 1: it is no JSON"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "j.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_judgements(file)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"query": "\xff"}'])
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "j.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="line 1: it is no JSON"):
        read_judgements(file)
    with pytest.raises(UsageError, match="cannot be read"):
        read_judgements(tmp_path)


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "x" * 300])
def test_a_name_that_no_file_has_is_told(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        all_judgements([name])
