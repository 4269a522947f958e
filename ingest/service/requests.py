"""The request to compare now, and how a daemon answers it, `retry` and `confirm`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from recq.commands import Place, answering
from recq.errors import RecqError, TargetNotFound, UsageError
from recq.operate.confirmation import CONFIRM, Held, confirm_held, recorded_held
from recq.operate.held import HELD, MOST_LISTED
from recq.operate.requests import PLACE, RETRY, mark, post
from recq.settings import Settings

if TYPE_CHECKING:
    from ingest.service.status import DaemonStatus
    from ingest.source.watched_source import WatchedSource

RECONCILE = "/recq/reconcile"

Answer = tuple[int, dict[str, object]]


# -- for the command line --------------------------------------------------------------------------------------------


def compare(settings: Settings, *, verify: bool) -> int | None:
    """Have the daemon here compare its sources with the index; its process number, None when none runs."""
    return post(settings, RECONCILE, {"verify": verify}, lambda pid, _: pid)


# -- for the daemon --------------------------------------------------------------------------------------------------


class DaemonRequests:
    """The routes of a running daemon. Called by the threads of its loopback server."""

    def __init__(self, board: DaemonStatus) -> None:
        self._board = board

    def routes(self) -> dict[str, Callable[[str, bytes], Answer]]:
        """Path -> handler, as `LoopbackServer` takes them."""
        return {
            RETRY: checked(self._retry),
            CONFIRM: checked(self._confirm),
            HELD: checked(self._held),
            RECONCILE: checked(self._reconcile),
        }

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
        shared = self._board.settings.partition is not None  # then other daemons' parts are meant as well
        held = recorded_held(catalog) if shared else _held(sources)
        asked = confirm_held(catalog, held, question.get("source"))
        daemon.look_for_requests()
        if (beside := self._board.beside()) is not None:
            with suppress(TargetNotFound):  # the source was just added, and is handed over later
                confirm_held(beside[0], _held(beside[1]), question.get("source"))
            beside[2].look_for_requests()
        return {"items": dict(asked.items), **({"metadata": dict(asked.metadata)} if asked.metadata else {})}

    def _held(self, question: Mapping[str, Any]) -> dict[str, object]:
        from ingest.service.held_items import held_items

        catalog, sources, _ = self._board.running()
        offset, limit = int(question.get("offset", 0)), int(question.get("limit", 100))
        if offset < 0 or not 1 <= limit <= MOST_LISTED:
            raise UsageError(f"limit is from 1 to {MOST_LISTED:,}, offset from 0")
        found = held_items(catalog, self._board.settings, sources, question.get("source"), offset=offset, limit=limit)
        return found.to_json()

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
