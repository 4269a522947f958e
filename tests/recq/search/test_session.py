"""What a session that stays open keeps: the networks that are asked, and catalogs that exist."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from recq.errors import TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.catalogs import drop, holdings
from recq.index.connect import own_folder
from recq.models import describe_space
from recq.models.pixels import PixelRuntime
from recq.search import session as sessions
from recq.search.prepare import Preparer
from recq.search.session import Session
from recq.search.target import ContentTarget
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.held_call import HeldCall, held

SPACES = [describe_space(f"pixels:{size}", Settings()) for size in range(4, 10)]


@dataclass(eq=False)
class Described:
    """A catalog as far as a preparer needs it; `base` is another space where the catalog's is a trained one."""

    space: EmbeddingSpace
    base: EmbeddingSpace
    projection: None = None


def own(session: Session, space: EmbeddingSpace) -> Preparer:
    return session.preparer(cast(Catalog, Described(space, space)))


def base(session: Session, space: EmbeddingSpace) -> Preparer:
    trained = replace(space, model=f"{space.model} trained")
    return session.preparer(cast(Catalog, Described(trained, space)), base=True)


def elsewhere(session: Session, space: EmbeddingSpace) -> Preparer:
    return session.preparer_in(space)


Use = Callable[[Session, EmbeddingSpace], Preparer]
USES: list[Use] = [own, base, elsewhere]
each_use = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)


@pytest.fixture(scope="module")
def picture() -> bytes:
    made = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(made, "PNG")
    return made.getvalue()


def embedded(preparer: Preparer, picture: bytes) -> np.ndarray:
    found = preparer.prepare(ContentTarget(picture), "").example
    assert not isinstance(found, str)
    return found


def of_networks() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("embed")}


def require_ended(threads: set[threading.Thread]) -> None:
    for each in threads:
        each.join(30)
        assert not each.is_alive()


# -- networks ---------------------------------------------------------------------------------------------------------


@each_use
def test_of_networks_that_follow_one_another_the_last_one_stays(use: Use, picture: bytes) -> None:
    before, made = of_networks(), []
    with Session(Settings()) as session:
        for space in SPACES:
            earlier = of_networks() - before
            preparer = use(session, space)
            assert use(session, replace(space)) is preparer
            assert len(embedded(preparer, picture)) == space.dim
            made.append(weakref.ref(preparer))
            del preparer
            gc.collect()
            assert [each() is not None for each in made] == [False] * (len(made) - 1) + [True]
            require_ended(earlier)
        last = of_networks() - before
        assert len(last) == 1
    assert not any(each.is_alive() for each in last), "what is left ends with the session"


def test_a_catalog_that_moves_takes_the_networks_of_all_its_uses_along(picture: bytes) -> None:
    with Session(Settings()) as session:
        made = [weakref.ref(use(session, SPACES[0])) for use in USES]
        assert all(each() for each in made)
        embedded(own(session, SPACES[1]), picture)
        gc.collect()
        assert not any(each() for each in made)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldCall]:
    """A network that takes its time."""
    with held(monkeypatch, PixelRuntime, "infer") as slow:
        yield slow


@each_use
def test_questions_with_a_network_that_was_replaced_have_their_answers(
    use: Use, picture: bytes, slow: HeldCall
) -> None:
    before = of_networks()
    with Session(Settings()) as session, ThreadPoolExecutor(1) as thread:
        old = use(session, SPACES[0])
        under_way = thread.submit(embedded, old, picture)
        assert slow.begun.wait(30)
        new = use(session, SPACES[1])
        assert new is not old
        slow.may_go_on.set()
        expected = under_way.result(30)
        assert np.array_equal(embedded(old, picture), expected), "it had not asked its network yet"
        assert len(expected) == SPACES[0].dim
        ended = of_networks() - before
        gone = weakref.ref(old)
        del old, under_way
        gc.collect()
        assert gone() is None
        assert len(embedded(new, picture)) == SPACES[1].dim
        require_ended(ended)


def test_a_session_that_nobody_has_any_more_frees_its_network_without_a_collection(picture: bytes) -> None:
    before = of_networks()
    session = Session(Settings())
    embedded(own(session, SPACES[0]), picture)
    threads, gone = of_networks() - before, weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
        require_ended(threads)
    finally:
        gc.enable()


# -- other catalogs ---------------------------------------------------------------------------------------------------

DROPPED = "dropped"
"""Which a test may drop; it is there again afterwards."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with own_folder(settings) as owned:
        for name in ("images", "second", "third", "fourth", DROPPED):
            Catalog.create(owned.client, name, SPACES[0])
    return settings


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    with Session(settings) as session, session.held():
        yield session


def asked(session: Session, name: str) -> weakref.ref[Session]:
    """The session of another catalog, which has been opened and has a preparer."""
    sibling = session.sibling(name)
    with sibling.opened() as catalog:
        sibling.preparer(catalog)
    return weakref.ref(sibling)


def test_names_of_catalogs_that_do_not_exist_leave_nothing_behind(session: Session) -> None:
    made = []
    for number in range(30):
        sibling = session.sibling(f"none-{number}")
        with pytest.raises(TargetNotFound), sibling.opened():
            pass
        assert sibling.gone
        made.append(weakref.ref(sibling))
        del sibling
    gc.collect()
    assert not any(each() for each in made)


@pytest.mark.parametrize("name", ["", "a b", "../images", "-x", "x" * 65, "images/second", "\ud800", "images\n"])
def test_a_name_that_no_catalog_can_have_is_refused(name: str) -> None:
    with Session(Settings()) as session, pytest.raises(UsageError, match="--catalog"):
        session.sibling(name)


def test_a_catalog_that_was_opened_is_kept_for_all_sessions_of_its_index(session: Session) -> None:
    kept = asked(session, "second")
    gc.collect()
    assert kept() is session.sibling("second")
    assert session.sibling("third").sibling("second") is kept()
    assert session.sibling("second").sibling("images") is session
    session.close()
    with pytest.raises(UsageError, match="closed"), (kept() or session).opened():
        pass


def test_a_catalog_that_was_dropped_is_let_go_and_may_come_again(session: Session) -> None:
    kept = asked(session, DROPPED)
    with session.client() as client:
        drop(client, holdings(client, DROPPED))
    with pytest.raises(TargetNotFound):
        asked(session, DROPPED)
    gc.collect()
    assert kept() is None
    with session.client() as client:
        Catalog.create(client, DROPPED, SPACES[1])
    again = asked(session, DROPPED)
    assert again() is session.sibling(DROPPED)


def test_a_network_does_not_outlive_its_catalog(settings: Settings) -> None:
    with Session(settings.of_catalog(DROPPED)) as session, session.held():
        with session.opened() as catalog:
            preparer = weakref.ref(session.preparer(catalog))
        with session.client() as client:
            drop(client, holdings(client, DROPPED))
        assert preparer() is not None
        with pytest.raises(TargetNotFound), session.opened():
            pass
        gc.collect()
        assert (preparer(), session.gone) == (None, True)
        with session.client() as client:
            Catalog.create(client, DROPPED, SPACES[0])
        with session.opened():
            assert not session.gone


def test_of_many_catalogs_those_that_were_asked_last_are_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_SIBLINGS", 2)
    second, third = asked(session, "second"), asked(session, "third")
    asked(session, "second")
    fourth = asked(session, "fourth")
    gc.collect()
    assert (second() is not None, third(), fourth() is not None) == (True, None, True)
