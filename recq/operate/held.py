"""What is held, item by item: what would go when it is confirmed, and what each would lose. The daemon knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from recq.operate.requests import post
from recq.search.session import Session

HELD = "/recq/held"
"""The route of a daemon that answers it."""

MOST_LISTED = 1_000
"""Items of one answer."""


class HeldKind(StrEnum):
    """What would become of an item."""

    DELETION = "deletion"
    METADATA = "metadata"


@dataclass(frozen=True)
class HeldItem:
    """One item that waits: `path` is relative to the source's root, in text form; `why` is for people."""

    source: str
    path: str
    kind: HeldKind
    why: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class HeldItems:
    """Some of `total` items, by source and path. `known` is False where no daemon runs that could say which."""

    items: tuple[HeldItem, ...] = ()
    total: int = 0
    known: bool = True

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"known": self.known, "total": self.total, "items": [each.to_json() for each in self.items]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        items = tuple(
            HeldItem(each["source"], each["path"], HeldKind(each["kind"]), each["why"]) for each in data["items"]
        )
        return cls(items, int(data["total"]))


def list_held(session: Session, source: str | None = None, offset: int = 0, limit: int = 100) -> HeldItems:
    """`limit` held items after the first `offset`, of a source or of all. The daemon compares folder and index for it.

    Raises TargetNotFound for an unknown source, IndexUnreachable where the daemon does not answer within a minute.
    """
    question = {"source": source, "offset": offset, "limit": min(limit, MOST_LISTED)}
    found = post(session.settings, HELD, question, lambda _, answer: HeldItems.from_json(answer))
    return HeldItems(known=False) if found is None else found
