"""The items that could not be embedded, as `recq-ingest failed` lists them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recq.search.session import Session


@dataclass(frozen=True)
class FailedItem:
    """One failed item. `path` is relative to the source's root; `at` is ISO 8601 UTC, of the last attempt."""

    source: str
    path: str
    reason: str
    detail: str
    at: str
    attempts: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def list_failures(session: Session) -> list[FailedItem]:
    """All failed items of the catalog, by source and path."""
    with session.opened() as catalog:
        items = list(catalog.ledger.failed())
    failures = [
        FailedItem(item.file.source, item.file.path, str(item.error.reason), item.error.detail, item.error.at,
                item.error.attempts)
        for item in items if item.error is not None
    ]  # fmt: skip
    return sorted(failures, key=lambda each: (each.source, each.path))
