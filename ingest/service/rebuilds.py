"""Has a running daemon rebuild its catalog, or go back to what was kept, and follows it until that is done.

The daemon goes on with it whatever becomes of the command (`ingest.service.switching`): the same command follows it
again, `recq-ingest status` shows how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.service.additions import given_settings
from ingest.service.outcome import Outcome, Standing
from ingest.service.running import Away
from ingest.service.switching import REBUILD, REBUILD_PROGRESS, REBUILD_STOP, Wanted
from ingest.tally import Counts
from recq.errors import IndexUnreachable, RecqError, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.models import ModelOptions, describe_space, describe_variant
from recq.operate.requests import ANSWERS_WITHIN, ask_route, error_of
from recq.operate.status import engine_of
from recq.settings import Settings
from recq.space import EmbeddingSpace, require_same
from recq.waiting import waiting

if TYPE_CHECKING:
    from ingest.report import Reporter

_LOOK_EVERY = 0.2  # seconds between two looks at how far the daemon is


@dataclass(frozen=True)
class Followed:
    """What a daemon (process `pid`) was asked for, and is followed."""

    settings: Settings
    pid: int
    move: int


def wanted_space(settings: Settings, catalog: Catalog) -> EmbeddingSpace:
    """The space of a rebuild: that of the model in the settings, else the catalog's own with the other settings."""
    asked = ModelOptions.from_settings(settings)
    return describe_space(asked, settings) if asked.model else describe_variant(catalog.base, asked, settings)


def require_base(settings: Settings, catalog: Catalog) -> None:
    """Raise SpaceMismatch where the settings name another network than that of the catalog, whose head is taken."""
    asked = ModelOptions.from_settings(settings)
    if asked.said:
        require_same(catalog.base, describe_variant(catalog.base, asked, settings), catalog.name)


def ask_for_rebuild(settings: Settings, candidate: str | None, table: Path | None) -> Followed | None:
    """Have the daemon here rebuild its catalog in the space of the settings, or of a candidate; None: none runs here.

    Joins a rebuild into the same space that is under way. Raises UsageError for another one, and for a metadata
    `table`, which is the daemon's, and the errors of the space.
    """
    if not _is_live(settings):
        return None
    if table is not None:
        raise UsageError("--metadata: the daemon that runs has its own table: leave it out, or stop the daemon first")
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        if candidate is None:
            wanted = Wanted(space=wanted_space(settings, catalog))
        else:
            require_base(settings, catalog)
            wanted = Wanted(candidate=candidate)
    return _ask(settings, wanted)


def ask_for_rollback(settings: Settings) -> Followed | None:
    """Have the daemon here go back to what the last rebuild replaced; None: none runs here."""
    return _ask(settings, Wanted()) if _is_live(settings) else None


def give_up(settings: Settings) -> bool:
    """Have the daemon here give a rebuild up, and delete what it has made; False where none is under way."""
    if not _is_live(settings):
        return False
    found = ask_route(settings, REBUILD_STOP, {})
    return found is not None and bool(found[1]["stopped"])


def _is_live(settings: Settings) -> bool:
    """Whether a daemon of this data folder works on the catalog; one that is just starting is waited for.

    It is asked by what it does itself: the status of a busy one may take long.
    """
    found = _answer(settings, {})
    return found is not None and found[1]["live"]


def _ask(settings: Settings, wanted: Wanted) -> Followed | None:
    found = _answer(settings, {"wanted": wanted.to_json(), "settings": given_settings(settings)})
    if found is None or not found[1]["live"]:  # it has ended meanwhile
        return None
    return Followed(settings, found[0], found[1]["move"])


def _answer(settings: Settings, question: Mapping[str, Any]) -> tuple[int, Any] | None:
    question = {"catalog": settings.catalog, "engine": engine_of(settings), **question}
    began = time.monotonic()
    while True:
        try:
            with waiting("the daemon, which has the data folder, to answer", ANSWERS_WITHIN):
                return ask_route(settings, REBUILD, question)
        except IndexUnreachable:  # it is starting
            if time.monotonic() - began > settings.connect_timeout:
                raise
            time.sleep(_LOOK_EVERY)


def follow(followed: Followed, reporter: Reporter, began: float) -> Outcome:
    """Wait until the catalog has moved. Raises why it does not, and IndexUnreachable where the daemon ends before."""
    settings, answered = followed.settings, time.monotonic()
    away = Away(reporter)
    while True:
        try:
            with waiting(f"process {followed.pid}, which has the data folder, to answer", ANSWERS_WITHIN):
                found = ask_route(settings, REBUILD_PROGRESS, {"move": followed.move})
        except IndexUnreachable:
            if time.monotonic() - answered > settings.connect_timeout:
                raise
            time.sleep(_LOOK_EVERY)
            continue
        answered = time.monotonic()
        if found is None or found[0] != followed.pid:
            raise IndexUnreachable(
                f"process {followed.pid} has ended before it reported the switch: the old vectors answer until then, "
                "and the next daemon goes on with it; run this again then to follow it"
            )
        state: dict[str, Any] = found[1]
        reporter.progress(state["stage"], state["done"], state["total"], 0, known=True)
        if state["detail"] is None:
            away.recovered()
        else:
            away.waiting(state["detail"])
        if state["ended"]:
            break
        time.sleep(_LOOK_EVERY)
    if state["error"] is not None:
        raise error_of(state["error"])
    if not state["adopted"] or state["result"] is None:
        raise RecqError("the rebuild was given up meanwhile: the old vectors still answer")
    result = state["result"]
    standing, counts = Standing.from_json(result["standing"]), Counts(**result["counts"])
    return Outcome(False, counts, standing, time.monotonic() - began, space=result["space"])
