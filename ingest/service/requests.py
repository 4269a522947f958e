"""Requests to the daemon: try failed items again, confirm what is held, compare now.

A request is written into the index first, so that it is not lost with a process, and a daemon on another host that
shares the index carries it out as well. A daemon that runs here is called on loopback and begins at once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from ingest.service.status import ask_daemon
from recq.commands import Place, answering, command, current
from recq.errors import IndexUnreachable, RecqError, SpaceMismatch, TargetError, TargetNotFound, UsageError
from recq.index.schema import nfc
from recq.paths import printable
from recq.settings import Settings
from recq.waiting import waiting

if TYPE_CHECKING:
    from ingest.service.status import DaemonStatus
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog

RETRY = "/recq/retry"
CONFIRM = "/recq/confirm"
RECONCILE = "/recq/reconcile"

ANSWERS_WITHIN = 60.0
"""Seconds for a daemon on the same machine: the index may be slow."""

_PLACE = "place"  # the key, in a question, of the index that the commands in the answer have to name
_MARKED_AT_ONCE = 500
Answer = tuple[int, dict[str, object]]
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A request: the number of items by source, and the `pid` of the daemon that does it (None: the next one does).

    Of these items, `metadata` are to lose metadata only.
    """

    items: Mapping[str, int]
    pid: int | None
    metadata: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without `metadata` where none is meant."""
        return {name: value for name, value in asdict(self).items() if name != "metadata" or value}


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


def retry(settings: Settings, pattern: str | None) -> Asked:
    """Have failed items tried again: those whose path (or SOURCE/path) fits the pattern, or all without a pattern.

    Raises TargetNotFound when a pattern fits none.
    """
    return _ask(settings, RETRY, {"pattern": pattern}, lambda catalog: Asked(mark(catalog, pattern), None))


def confirm(settings: Settings, source: str | None) -> Asked:
    """Have deletions and losses of metadata carried out that are held; of all sources when none is named.

    Raises TargetNotFound for an unknown source, TargetError when its folder has gone.
    """

    def through_index(catalog: Catalog) -> Asked:
        held = {name: Held(each.held, each.held_metadata) for name, each in catalog.sources.all().items()}
        return confirm_held(catalog, held, source)

    return _ask(settings, CONFIRM, {"source": source}, through_index)


def compare(settings: Settings, *, verify: bool) -> int | None:
    """Have the daemon here compare its sources with the index; its process number, None when none runs."""
    return _post(settings, RECONCILE, {"verify": verify}, lambda pid, _: pid)


def _ask(
    settings: Settings,
    route: str,
    question: Mapping[str, Any],
    through_index: Callable[[Catalog], Asked],
) -> Asked:
    asked = _post(
        settings, route, question, lambda pid, answer: Asked(answer["items"], pid, answer.get("metadata", {}))
    )
    if asked is not None:
        return asked
    from recq.index.catalog import Catalog
    from recq.index.connect import connect

    with connect(settings) as client:
        return through_index(Catalog.open(client, settings.catalog))


def _post(settings: Settings, route: str, question: Mapping[str, Any], then: Callable[[int, Any], T]) -> T | None:
    """What the daemon of this data folder and catalog answers; None when none runs here."""
    status = ask_daemon(settings)
    if status is None or status.pid is None:
        return None
    with waiting(f"process {status.pid}, which has the data folder, to answer", ANSWERS_WITHIN):
        found = ask_route(settings, route, question)
    return None if found is None else then(*found)


def ask_route(settings: Settings, route: str, question: Mapping[str, Any]) -> tuple[int, Any] | None:
    """The answer of the process that has this data folder, whatever it works on, and its number; None: there is none.

    Raises the error that it answers with, and IndexUnreachable when it does not answer.
    """
    import httpx

    from recq.index.edge.address import no_certificates, read_address

    address = read_address(settings.data_dir)
    if address is None:
        return None
    try:
        response = httpx.post(
            address.url + route,
            headers={"api-key": address.key},
            json={**question, _PLACE: current().to_json()},
            timeout=ANSWERS_WITHIN,
            trust_env=False,
            verify=no_certificates(),
        )
        answer = response.json()
    except httpx.ConnectError:  # a killed process left its address behind
        return None
    except (httpx.HTTPError, ValueError) as error:
        raise IndexUnreachable(f"the daemon (process {address.pid}) did not answer: try again ({error})") from error
    if response.status_code == httpx.codes.UNAUTHORIZED:  # and another process took its port
        return None
    if response.status_code != 200:
        raise error_of(answer)
    return address.pid, answer


def error_of(answer: Mapping[str, Any]) -> RecqError:
    """The error that a daemon answers with."""
    kind = next((each for each in _KINDS if each.exit_code == answer.get("code")), RecqError)
    return kind(str(answer.get("error", "the daemon cannot do it")))


_KINDS = (UsageError, TargetError, IndexUnreachable, SpaceMismatch)


# -- through the index -----------------------------------------------------------------------------------------------


def mark(catalog: Catalog, pattern: str | None) -> dict[str, int]:
    """Mark failed items to be tried again; how many, by source. Raises TargetNotFound when a pattern fits none."""
    chosen: dict[str, str] = {}
    for item in catalog.ledger.failed():
        path = nfc(item.file.path)  # whichever form of Unicode file and pattern are written in
        if pattern is None or any(
            fnmatchcase(each, nfc(pattern)) for each in (path, nfc(f"{item.file.source}/{path}"))
        ):
            chosen[item.id] = item.file.source
    if pattern is not None and not chosen:
        raise TargetNotFound(
            f"no failed item is called {printable(pattern)!r}: {command('recq-ingest', 'failed')} lists them"
        )
    ids = list(chosen)
    for start in range(0, len(ids), _MARKED_AT_ONCE):
        catalog.ledger.mark_for_retry(ids[start : start + _MARKED_AT_ONCE])
    return dict(sorted(Counter(chosen.values()).items()))


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
            with answering(Place.from_json(question.pop(_PLACE, None))):  # commands are pasted into the caller's shell
                return 200, handler(question)
        except ValueError as error:
            return 400, {"error": f"the body is no JSON: {error}", "code": UsageError.exit_code}
        except RecqError as error:
            return 409, {"error": str(error), "code": error.exit_code}

    return handle
