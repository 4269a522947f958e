"""Confirm what is held: deletions, and losses of metadata, that were too many to be made unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recq.commands import command
from recq.errors import TargetError
from recq.operate.requests import Asked, ask
from recq.paths import printable

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.search.session import Session

CONFIRM = "/recq/confirm"
"""The route of a daemon that does it."""


@dataclass(frozen=True)
class Held:
    """What waits to be confirmed of a source: deletions, and items that would lose metadata."""

    deletions: int = 0
    metadata: int = 0

    @property
    def total(self) -> int:
        """All of these items."""
        return self.deletions + self.metadata


def confirm(session: Session, source: str | None) -> Asked:
    """Have deletions and losses of metadata carried out that are held; of all sources when none is named.

    Raises TargetNotFound for an unknown source, TargetError when its folder has gone.
    """

    def through_index(catalog: Catalog) -> Asked:
        held = {name: Held(each.held, each.held_metadata) for name, each in catalog.sources.all().items()}
        return confirm_held(catalog, held, source)

    return ask(session, CONFIRM, {"source": source}, through_index)


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
