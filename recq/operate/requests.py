"""Requests to the daemon of a data folder; and the one to try failed items again.

A request is written into the index first, so that it is not lost with a process, and a daemon on another host that
shares the index carries it out as well. A daemon that runs here is called on loopback and begins at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from recq.commands import command, current
from recq.errors import IndexUnreachable, RecqError, SpaceMismatch, TargetError, TargetNotFound, UsageError
from recq.index.schema import nfc
from recq.operate.status import ask_daemon
from recq.paths import printable
from recq.settings import Settings
from recq.waiting import waiting

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.search.session import Session

RETRY = "/recq/retry"

ANSWERS_WITHIN = 60.0
"""Seconds for a daemon on the same machine: the index may be slow."""

PLACE = "place"
"""The key, in a question, of the index that the commands in the answer have to name."""

_MARKED_AT_ONCE = 500
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


def retry(session: Session, pattern: str | None) -> Asked:
    """Have failed items tried again: those whose path (or SOURCE/path) fits the pattern, or all without a pattern.

    Raises TargetNotFound when a pattern fits none.
    """
    return ask(session, RETRY, {"pattern": pattern}, lambda catalog: Asked(mark(catalog, pattern), None))


def ask(
    session: Session,
    route: str,
    question: Mapping[str, Any],
    through_index: Callable[[Catalog], Asked],
) -> Asked:
    """The answer of the daemon that runs here, else `through_index` of the catalog."""
    asked = post(
        session.settings, route, question, lambda pid, answer: Asked(answer["items"], pid, answer.get("metadata", {}))
    )
    if asked is not None:
        return asked
    with session.opened() as catalog:
        return through_index(catalog)


def post(settings: Settings, route: str, question: Mapping[str, Any], then: Callable[[int, Any], T]) -> T | None:
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

    from recq.index.edge.address import read_address
    from recq.index.local_connections import no_certificates

    address = read_address(settings.data_dir)
    if address is None:
        return None
    try:
        response = httpx.post(
            address.url + route,
            headers={"api-key": address.key},
            json={**question, PLACE: current().to_json()},
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
