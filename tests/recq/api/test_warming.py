"""The network is loaded ahead of questions: once for each space, never in their way, not where nothing can be asked."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest
from PIL import Image

from recq.api.service import Service
from recq.api.warming import Warming
from recq.errors import IndexUnreachable, ModelUnavailable
from recq.index.items import Items
from recq.models import embedder
from recq.settings import Settings
from tests.held_call import HeldCall, held
from tests.recq.api.serving import Api, served


class Asked:
    """A service that answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.ending = threading.Event()
        self.times = 0
        self.answer: bool | Exception = True
        self.meanwhile: list[Callable[[], None]] = []

    def ask(self, *_: object) -> bool:
        self.times += 1
        while self.meanwhile:
            self.meanwhile.pop()()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def rest(asked: Asked) -> Callable[[str], int]:
    """The daemon rests, with a catalog of that space; returns how often the service was asked until then."""
    warming = Warming(cast(Service, asked))
    assert warming.has_ended(0), "it has not begun"

    def rest(space: str) -> int:
        warming.rested(space)
        assert warming.has_ended(30)
        return asked.times

    return rest


def test_once_for_each_space(rest: Callable[[str], int]) -> None:
    assert [rest(space) for space in ("a", "a", "a", "b", "b", "a")] == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("answer", [False, IndexUnreachable("it is away")], ids=["no items", "away"])
def test_again_where_nothing_could_be_loaded_yet(
    asked: Asked, rest: Callable[[str], int], answer: bool | Exception
) -> None:
    asked.answer = answer
    assert [rest("a"), rest("a")] == [1, 2]
    asked.answer = True
    assert [rest("a"), rest("a")] == [3, 3]


@pytest.mark.parametrize("answer", [ModelUnavailable("no network"), RuntimeError("a bug")])
def test_not_again_where_it_cannot_be_had(asked: Asked, rest: Callable[[str], int], answer: Exception) -> None:
    asked.answer = answer
    assert [rest("a"), rest("a"), rest("b")] == [1, 1, 2]


def test_a_catalog_that_moves_meanwhile_has_its_next_network_loaded(asked: Asked) -> None:
    warming = Warming(cast(Service, asked))
    asked.meanwhile.append(lambda: warming.rested("b"))
    warming.rested("a")
    assert warming.has_ended(30)
    assert asked.times == 2


def test_nothing_begins_at_the_end(asked: Asked, rest: Callable[[str], int]) -> None:
    asked.ending.set()
    assert rest("a") == 0


# -- a service of the shop --------------------------------------------------------------------------------------------


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with served(settings) as api:
        yield api


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldCall]:
    """The loading of networks."""
    with held(monkeypatch, embedder, "open_embedder") as loading:
        yield loading


def test_questions_are_answered_meanwhile_and_share_what_is_loaded(api: Api, loading: HeldCall) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 60, 3), np.uint8)).save(picture, "PNG")
    warming = Warming(api.service)
    warming.rested("the shop's")
    assert loading.begun.wait(60)
    assert api.get("/similar", target="two.png").status_code == 200
    with ThreadPoolExecutor(1) as client:
        sent = client.submit(api.send, "/similar/picture", picture.getvalue())
        assert api.get("/similar", target="two.png").status_code == 200
        assert not sent.done(), "it needs the network"
        loading.may_go_on.set()
        assert sent.result(60).status_code == 200
    assert warming.has_ended(60)
    assert loading.times == 1


def test_an_empty_catalog_loads_nothing_until_it_has_items(
    api: Api, loading: HeldCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading.may_go_on.set()
    warming = Warming(api.service)
    with monkeypatch.context() as patch:
        patch.setattr(Items, "count", lambda *_, **__: 0)
        warming.rested("the shop's")
        assert warming.has_ended(60)
        assert loading.times == 0
    warming.rested("the shop's")
    assert warming.has_ended(60)
    assert loading.times == 1
