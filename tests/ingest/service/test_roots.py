"""A source with which a daemon cannot begin after all is given back: nobody else could have it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ingest.loop import Stopping
from ingest.service import roots
from ingest.service.additions import Additions
from ingest.service.roots import begin
from ingest.source.watched_source import WatchedSource
from recq.errors import IndexBusy, IndexUnreachable, UsageError
from recq.index.catalog import Catalog
from recq.part import Part
from recq.settings import Settings

PART = Settings(url="http://127.0.0.1:9", partition="1/2")
WHOLE = Settings(url="http://127.0.0.1:9")
ERRORS = [UsageError("a table"), IndexUnreachable("away"), OSError("a disk"), Stopping(), KeyboardInterrupt()]


class Claims:
    """Which sources are this daemon's."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.taken: list[str] = []
        self.refuses: BaseException | None = None
        self.returns: BaseException | None = None
        for name, replaced in {
            "take": self._take,
            "give_back": self._give_back,
            "ready": lambda *_: SimpleNamespace(tables=SimpleNamespace(types={})),
            "declare_each": lambda *_: None,
        }.items():
            patch.setattr(roots, name, replaced)

    def _take(self, _: object, source: str, part: Part, *, rescan: float) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(source)

    def _give_back(self, _: object, source: str, part: Part) -> None:
        assert part == Part(1, 2)
        if self.returns is not None:
            raise self.returns
        self.taken.remove(source)


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Claims:
    return Claims(monkeypatch)


def begun(settings: Settings, *, away: bool = False) -> WatchedSource:
    def retrier(asked: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return asked(*given, **named)

    retrier.away = away  # type: ignore[attr-defined]
    catalog = SimpleNamespace(writes=SimpleNamespace(probe=None))
    return begin(cast(Catalog, catalog), settings, cast(Any, retrier), cast(Any, None), "s", Path("/s"), None)


@pytest.mark.parametrize("step", ["ready", "declare_each"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_cannot_be_begun_is_given_back(
    claims: Claims, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def failing(*_: object) -> None:
        assert claims.taken == ["s"]
        raise error

    monkeypatch.setattr(roots, step, failing)
    with pytest.raises(type(error)):
        begun(PART)
    assert claims.taken == []
    claims.returns = IndexUnreachable("away by now")
    with pytest.raises(type(error)):  # and not what went wrong then
        begun(PART)


def test_what_is_kept(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(PART)
    assert claims.taken == ["s"]
    claims.refuses = IndexBusy("of another")  # nothing was taken
    with pytest.raises(IndexBusy):
        begun(PART)
    assert claims.taken == ["s"]
    claims.refuses = None

    def failing(*_: object) -> None:
        raise UsageError("a table")

    monkeypatch.setattr(roots, "ready", failing)
    for settings, away in ((PART, True), (WHOLE, False)):  # nobody waits; nothing is recorded of a whole source
        with pytest.raises(UsageError):
            begun(settings, away=away)
    assert claims.taken == ["s"] * 3


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_of_several_folders_none_is_kept_where_one_cannot_be_added(claims: Claims, fails: int) -> None:
    names = ["a", "b", "c"]

    def prepare(_: object, name: str, root: Path, table: Path | None) -> Any:
        if name == names[fails]:
            raise UsageError("a table")
        claims.taken.append(name)
        return SimpleNamespace(name=name)

    additions = Additions(cast(Any, None), PART, prepare, threading.Lock())
    with pytest.raises(UsageError):
        additions._prepared(cast(Catalog, None), {name: Path("/") / name for name in names}, None)
    assert claims.taken == []
