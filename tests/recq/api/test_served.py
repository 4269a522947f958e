"""Catalogs of a service that runs for long: what it keeps of one goes with it, and no question suffers from that."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recq.api.service import Served, Service
from recq.errors import IndexRefused, TargetNotFound, UsageError
from recq.images.isolated import IsolatedDecoder
from recq.index import catalogs
from recq.index.catalog import Catalog
from recq.index.catalogs import drop, holdings
from recq.index.connect import own_folder
from recq.models import describe_space
from recq.search.session import Session
from recq.settings import Settings

SPACE = describe_space("pixels:4", Settings())
PICTURE = Image.linear_gradient("L").resize((40, 30))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Of an empty catalog, "images"."""
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", workers=1)
    with own_folder(settings) as owned:
        Catalog.create(owned.client, "images", SPACE)
    with Service(settings) as service:
        yield service


def create(service: Service, name: str) -> None:
    def made(session: Session) -> None:
        with session.client() as client:
            Catalog.create(client, name, SPACE)

    service.ask_index(made)


def remove(service: Service, name: str) -> None:
    def dropped(session: Session) -> None:
        with session.client() as client:
            drop(client, holdings(client, name))

    service.ask_index(dropped)


def session_of(at: Served) -> weakref.ref[Session]:
    """With a network to be loaded, in a session that has been opened."""
    with at.session.opened() as catalog:
        at.session.preparer(catalog)
    return weakref.ref(at.session)


def alive(sessions: list[weakref.ref[Session]]) -> list[bool]:
    gc.collect()
    return [each() is not None for each in sessions]


def test_catalogs_that_come_and_go_leave_nothing_behind(service: Service) -> None:
    """A catalog for each day, for example: nobody asks for one that was dropped."""
    made = [service.ask(None, session_of)]
    for day in range(4):
        create(service, f"day-{day}")
        made.append(service.ask(f"day-{day}", session_of))
        assert alive(made) == [True, *[False] * day, True]
        remove(service, f"day-{day}")
    assert service.ask(None, session_of)() is made[0](), "one that is there stays as it is"


def test_one_that_was_dropped_goes_with_the_first_question_that_misses_it(service: Service) -> None:
    create(service, "daily")
    before = service.ask("daily", session_of)
    remove(service, "daily")
    for _ in range(2):
        with pytest.raises(TargetNotFound, match="daily"):
            service.ask("daily", session_of)
        assert alive([before]) == [False]
    create(service, "daily")
    again = service.ask("daily", session_of)
    assert service.ask("daily", session_of)() is again()


def test_names_of_catalogs_that_do_not_exist_leave_nothing_behind(service: Service) -> None:
    def compared(at: Served) -> None:
        at.catalog.compare(np.ones(SPACE.dim, np.float32), [f"none-{number}"])

    service.ask(None, session_of)
    gc.collect()
    before = sum(isinstance(each, Session) for each in gc.get_objects())
    for number in range(10):
        with pytest.raises(TargetNotFound):
            service.ask(f"none-{number}", session_of)
        with pytest.raises(TargetNotFound):
            service.ask(None, compared)
    gc.collect()
    assert sum(isinstance(each, Session) for each in gc.get_objects()) == before


def test_a_question_under_way_when_its_catalog_is_let_go_has_its_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(service, "daily")
    original = IsolatedDecoder.fitted

    def fitted(decoder: IsolatedDecoder, *given: object) -> object:
        remove(service, "daily")
        create(service, "next")
        service.ask("next", session_of)
        create(service, "daily")
        return original(decoder, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(IsolatedDecoder, "fitted", fitted)
        found = service.ask("daily", lambda at: at.catalog.embed(PICTURE))
    assert np.array_equal(found, service.ask("daily", lambda at: at.catalog.embed(PICTURE)))


def test_an_index_that_cannot_tell_what_there_is_keeps_no_question_from_its_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(service, "daily")
    first = service.ask(None, session_of)

    def refuses(*_: object) -> bool:
        raise IndexRefused("a collection has just been deleted")

    monkeypatch.setattr(catalogs, "_is_ours", refuses)
    assert service.ask("daily", lambda at: at.catalog.count()) == 0
    assert alive([first]) == [True]


def test_what_is_left_is_closed_with_the_service(service: Service) -> None:
    session = service.ask(None, lambda at: at.session)
    service.close()
    with pytest.raises(UsageError, match="has been closed"), session.opened():
        pass
