"""Confirm what is held: deletions, and losses of metadata, that were too many to be made unasked."""

from __future__ import annotations

from collections import Counter
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

    return ask(
        session, CONFIRM, {"source": source}, lambda catalog: confirm_held(catalog, recorded_held(catalog), source)
    )


def recorded_held(catalog: Catalog) -> dict[str, Held]:
    """What the last comparisons have held, by the name under which each was recorded: a source's, or its part's."""
    held = {name: Held(each.held, each.held_metadata) for name, each in catalog.sources.all().items()}
    for each in catalog.parts.all():
        held.pop(each.source, None)  # a source is recorded as a whole or by its parts
        held[each.part.key(each.source)] = Held(each.held, each.held_metadata)
    return held


def confirm_held(catalog: Catalog, held: Mapping[str, Held], source: str | None) -> Asked:
    """Confirm what is held of one source, or of all. Raises TargetNotFound and TargetError.

    `held` is by source, or by part of it (`Part.key`).
    """
    sources = catalog.sources.all() if source is None else {source: catalog.sources.get(source)}
    chosen = {key: each for key, each in held.items() if each.total and source in (None, _source(key))}
    for name in {_source(key): None for key in chosen}:
        root = sources[name].root_here() if name in sources else None
        if root is not None and not root.is_dir():
            raise TargetError(
                f"the folder {printable(str(root))} has gone: mount it again, or take it out of the index with "
                + command("recq-ingest", "forget", name)
            )
    totals, metadata = Counter[str](), Counter[str]()
    for key, each in chosen.items():
        if each.deletions:
            catalog.sources.confirm(key, each.deletions)
        if each.metadata:
            catalog.sources.confirm_metadata(key, each.metadata)
        totals[_source(key)] += each.total
        metadata[_source(key)] += each.metadata
    return Asked(dict(totals), None, {name: number for name, number in metadata.items() if number})


def _source(key: str) -> str:
    return key.partition("/")[0]
