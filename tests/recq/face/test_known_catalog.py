"""What one question has read of a catalog serves the next one, and never makes it answer for a catalog that was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recq
from recq.errors import (
    FilterError,
    IndexUnreachable,
    ModelUnavailable,
    RecqError,
    RequestRefused,
    TargetError,
    TargetNotFound,
)
from recq.index import points
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.index.plain_requests import stored_payloads
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.search import session
from recq.search.results import Answer
from recq.settings import Settings
from recq.space import EmbeddingSpace

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=8,
)  # fmt: skip


def entry(number: int, **metadata: Any) -> ItemVector:
    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    return ItemVector(Item(FileFacts("s", f"{number}.jpg", 1, number), metadata), vector / np.linalg.norm(vector))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog in the hands of a process that serves it, as a daemon does."""
    with own_folder(Settings(data_dir=tmp_path)) as owned, LoopbackServer(tmp_path, owned.engine):
        catalog = Catalog.create(owned.client, "images", SPACE)
        catalog.writes.upsert([entry(number, colour=("red", "blue")[number % 2]) for number in range(40)])
        yield catalog


@pytest.fixture
def asked(owner: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[recq.ImageCatalog]:
    """The same, asked through one connection that has just answered; nothing that it knows grows too old here."""
    monkeypatch.setattr(session, "KNOWN_FOR", 600.0)
    with recq.open("images", data_dir=tmp_path) as catalog, catalog.held():
        assert len(catalog.similar("1.jpg", filters=["colour=red"])) == 5
        yield catalog


def described(catalog: recq.ImageCatalog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each request of the connection that only describes the collection."""
    notes: list[str] = []
    with catalog._session.client() as client:
        for name in ("get_collection", "get_aliases"):
            monkeypatch.setattr(client, name, noting(notes, name, getattr(client, name)))
    return notes


def noting(notes: list[str], name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*arguments: Any, **options: Any) -> Any:
        notes.append(name)
        return original(*arguments, **options)

    return asked


def test_the_second_question_of_a_connection_asks_for_its_target_and_its_answer_alone(
    asked: recq.ImageCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = described(asked, monkeypatch)
    assert len(asked.similar("2.jpg", k=3)) == 3
    assert len(asked.recommend(["2.jpg"], ["3.jpg"], k=3)) == 3
    assert notes == []
    monkeypatch.setattr(session, "KNOWN_FOR", 0.0)
    asked.similar("2.jpg", k=3)
    assert sorted(notes) == ["get_aliases", "get_collection"]  # what it needs of it is read once


def test_a_field_that_has_just_come_can_be_asked_for(asked: recq.ImageCatalog, owner: Catalog) -> None:
    owner.writes.upsert([entry(100, shape="round")])
    assert [result.within for result in asked.similar("1.jpg", filters=["shape=round"])] == ["100.jpg"]
    with pytest.raises(FilterError, match="unknown field 'form'"):
        asked.similar("1.jpg", filters=["form=round"])


def test_a_catalog_that_has_just_been_rebuilt_is_the_one_that_answers(
    asked: recq.ImageCatalog, owner: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = replace(SPACE, weights="1")
    rebuilt = Catalog.begin_rebuild(owner._client, "images", space)
    rebuilt.writes.upsert([entry(number) for number in range(200, 210)])
    rebuilt.finish_rebuild()
    answer = asked.similar("201.jpg", k=2)
    assert answer.space.fingerprint == space.fingerprint
    assert len(answer) == 2


def test_what_fails_for_good_is_asked_twice_at_the_most(
    asked: recq.ImageCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = described(asked, monkeypatch)
    for _ in range(2):
        with pytest.raises(FilterError):
            asked.similar("1.jpg", filters=["nothing=1"])
    assert notes.count("get_aliases") <= 4


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (TargetError("a cut picture"), 1),
        (ModelUnavailable("no model"), 1),
        (IndexUnreachable("no answer"), 1),
        (FilterError("a field that has just come"), 2),
        (TargetNotFound("a catalog that was made anew"), 2),
        (RequestRefused("a collection that was replaced"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_what_a_stale_description_can_cause_is_asked_again(
    asked: recq.ImageCatalog, error: RecqError, times: int
) -> None:
    """Standard input can be read once, and nobody waits twice for a server that hangs."""
    tries: list[int] = []

    def question() -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        asked._session.asked(question)
    assert len(tries) == times


def test_a_point_that_another_program_spoilt_is_left_out(asked: recq.ImageCatalog, owner: Catalog) -> None:
    nearest = [result.id for result in asked.similar("1.jpg", k=5)]
    owner._client.set_payload(owner._collection, {"problems": 5}, key="file", points=[nearest[0]], wait=True)
    found = [result.id for result in asked.similar("1.jpg", k=5)]
    assert found[:4] == nearest[1:]


def test_targets_that_are_ids_are_read_in_one_request_each_chunk(
    asked: recq.ImageCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [entry(number).item.id for number in range(30)]
    nobody = "00000000-0000-5000-8000-000000000000"
    notes: list[str] = []
    monkeypatch.setattr(points, "stored_payloads", noting(notes, "by id", stored_payloads))
    answers = asked.similar_many([ids[0].upper(), *ids[1:], nobody], k=3)
    assert [len(answer) for answer in answers if isinstance(answer, Answer)] == [3] * 30
    assert len(answers) == 31
    assert notes == ["by id"]
