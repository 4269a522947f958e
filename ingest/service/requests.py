"""Requests to the daemon: confirm what is held, compare now; and how a daemon answers these and `retry`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recq.commands import Place, answering, command
from recq.errors import RecqError, TargetError, TargetNotFound, UsageError
from recq.operate.requests import PLACE, RETRY, Asked, ask, mark, post
from recq.paths import printable
from recq.settings import Settings

if TYPE_CHECKING:
    from ingest.service.status import DaemonStatus
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog
    from recq.search.session import Session

CONFIRM = "/recq/confirm"
RECONCILE = "/recq/reconcile"

Answer = tuple[int, dict[str, object]]


@dataclass(frozen=True)
class Held:
    """What waits to be confirmed of a source: deletions, and items that would lose metadata."""

    deletions: int = 0
    metadata: int = 0

    @property
    def total(self) -> int:
        """All of these items."""
        return self.deletions + self.metadata


# -- for the command line --------------------------------------------------------------------------------------------


def confirm(session: Session, source: str | None) -> Asked:
    """Have deletions and losses of metadata carried out that are held; of all sources when none is named.

    Raises TargetNotFound for an unknown source, TargetError when its folder has gone.
    """

    def through_index(catalog: Catalog) -> Asked:
        held = {name: Held(each.held, each.held_metadata) for name, each in catalog.sources.all().items()}
        return confirm_held(catalog, held, source)

    return ask(session, CONFIRM, {"source": source}, through_index)


def compare(settings: Settings, *, verify: bool) -> int | None:
    """Have the daemon here compare its sources with the index; its process number, None when none runs."""
    return post(settings, RECONCILE, {"verify": verify}, lambda pid, _: pid)


# -- through the index -----------------------------------------------------------------------------------------------


def confirm_held(catalog: Catalog, held: Mapping[str, Held], source: str | None) -> Asked:
    """Confirm what is held of one source, or of all. Raises TargetNotFound and TargetError."""
    sources = catalog.sources.all() if source is None else {source: catalog.sources.get(source)}
    chosen = {name: each for name, each in held.items() if each.total and source in (None, name)}
    for name in chosen:
        root = sources[name].root_here() if name in sources else None
        if root is not None and not root.is_dir():
            raise TargetError(
                f"the folder {printable(str(root))} has gone: mount it again, or take it out of the index with "
                + command("recq-ingest", "forget", name)
            )
    for name, each in chosen.items():
        if each.deletions:
            catalog.sources.confirm(name, each.deletions)
        if each.metadata:
            catalog.sources.confirm_metadata(name, each.metadata)
    totals = {name: each.total for name, each in chosen.items()}
    return Asked(totals, None, {name: each.metadata for name, each in chosen.items() if each.metadata})


# -- for the daemon --------------------------------------------------------------------------------------------------


class DaemonRequests:
    """The routes of a running daemon. Called by the threads of its loopback server."""

    def __init__(self, board: DaemonStatus) -> None:
        self._board = board

    def routes(self) -> dict[str, Callable[[str, bytes], Answer]]:
        """Path -> handler, as `LoopbackServer` takes them."""
        return {RETRY: checked(self._retry), CONFIRM: checked(self._confirm), RECONCILE: checked(self._reconcile)}

    def _retry(self, question: Mapping[str, Any]) -> dict[str, object]:
        catalog, _, daemon = self._board.running()
        items = mark(catalog, question.get("pattern"))
        daemon.look_for_requests()
        if (beside := self._board.beside()) is not None:
            with suppress(TargetNotFound):  # it has failed in the other space alone
                mark(beside[0], question.get("pattern"))
            beside[2].look_for_requests()
        return {"items": items}

    def _confirm(self, question: Mapping[str, Any]) -> dict[str, object]:
        catalog, sources, daemon = self._board.running()
        asked = confirm_held(catalog, _held(sources), question.get("source"))
        daemon.look_for_requests()
        if (beside := self._board.beside()) is not None:
            with suppress(TargetNotFound):  # the source was just added, and is handed over later
                confirm_held(beside[0], _held(beside[1]), question.get("source"))
            beside[2].look_for_requests()
        return {"items": dict(asked.items), **({"metadata": dict(asked.metadata)} if asked.metadata else {})}

    def _reconcile(self, question: Mapping[str, Any]) -> dict[str, object]:
        _, sources, daemon = self._board.running()
        verify = bool(question.get("verify"))
        daemon.compare(list(sources), verify=verify)
        if (beside := self._board.beside()) is not None:
            beside[2].compare(list(beside[1]), verify=verify)
        return {}


def _held(sources: Mapping[str, WatchedSource]) -> dict[str, Held]:
    return {name: Held(watched.held, watched.held_metadata) for name, watched in sources.items()}


def checked(handler: Callable[[Mapping[str, Any]], dict[str, object]]) -> Callable[[str, bytes], Answer]:
    """A route that takes and returns JSON; errors become answers."""

    def handle(method: str, body: bytes) -> Answer:
        if method != "POST":
            return 405, {"error": "POST it", "code": UsageError.exit_code}
        try:
            question = json.loads(body or b"{}")
            if not isinstance(question, dict):
                raise UsageError("the body is no JSON object")
            with answering(Place.from_json(question.pop(PLACE, None))):  # commands are pasted into the caller's shell
                return 200, handler(question)
        except ValueError as error:
            return 400, {"error": f"the body is no JSON: {error}", "code": UsageError.exit_code}
        except RecqError as error:
            return 409, {"error": str(error), "code": error.exit_code}

    return handle
