"""Removes a whole catalog from the index, and shows before what would be removed. Pictures are never touched.

plan = planned(settings)          # what is asked about
dropped = drop(settings, plan)    # raises IndexBusy while a daemon works on it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qdrant_client import QdrantClient

from ingest.source.claims import living
from ingest.source.other_daemons import is_living_other, own_watcher, started
from recq.errors import IndexBusy, RecqError, TargetNotFound
from recq.index.catalog import Catalog
from recq.index.catalogs import Holdings, holdings
from recq.index.catalogs import drop as drop_collections
from recq.index.connect import connect
from recq.index.parts import PartRecord
from recq.index.sources import Source
from recq.operate.status import ask_daemon
from recq.paths import printable, to_text
from recq.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What would be removed with a catalog; `failed` of its `items` are failed ones. `sources` are folders by name.

    Parts that cannot be read (made by a newer recq, or by a rebuild that was killed at its start) are not counted.
    """

    held: Holdings
    items: int = 0
    failed: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """The text of the question to confirm."""
        items = "1 item" if self.items == 1 else f"{self.items:,} items"
        failed = f" ({self.failed:,} of them failed)" if self.failed else ""
        named = [f"{printable(name)} ({root})" if root else printable(name) for name, root in self.sources.items()]
        of = f" of {', '.join(named)}" if named else ", of no source"
        parts = [f"catalog {self.held.name!r} has {items}{failed}{of}"]
        if self.held.left:
            left = "a collection" if len(self.held.left) == 1 else f"{len(self.held.left)} collections"
            parts.append(f"{left} of a rebuild that was not finished goes, too")
        if self.held.kept is not None:
            parts.append("what the last rebuild replaced goes, too")
        if self.held.also:
            parts.append(f"other programs know it as {', '.join(map(printable, self.held.also))}")
        return "; ".join(parts)


def planned(settings: Settings) -> Plan:
    """What would be removed with the catalog that the settings name.

    Raises TargetNotFound, IndexBusy while a daemon works on it, IndexRefused for what recq did not make.
    """
    require_no_daemon(settings)
    with connect(settings) as client:
        held = holdings(client, settings.catalog)
        sources: dict[str, Source] = {}
        items = failed = 0
        parts: list[PartRecord] = []
        catalog = _readable(client, settings.catalog)
        if catalog is not None:
            failed = catalog.ledger.count_failed()
            items = catalog.items.count() + failed
            sources, parts = catalog.sources.all(), catalog.parts.all()
    require_no_watcher(settings, sources, parts)
    roots = {name: source.any_root() for name, source in sorted(sources.items())}
    shown = {name: "" if root is None else printable(to_text(str(root))[0]) for name, root in roots.items()}
    return Plan(held, items, failed, shown)


def drop(settings: Settings, plan: Plan) -> None:
    """Remove the catalog: its alias, its collections and the remains of killed rebuilds. Raises IndexBusy."""
    require_no_daemon(settings)
    with connect(settings) as client:
        drop_collections(client, holdings(client, plan.held.name))


def _readable(client: QdrantClient, name: str) -> Catalog | None:
    try:
        return Catalog.open(client, name)
    except TargetNotFound:  # collections without an alias
        return None
    except RecqError:  # of a newer recq, or changed by hand: it can be removed nevertheless
        return None


def require_no_daemon(settings: Settings) -> None:
    """Raise IndexBusy where a daemon of this data folder works on the catalog."""
    status = ask_daemon(settings)
    if status is not None:
        raise IndexBusy(f"catalog {settings.catalog!r} is being watched by process {status.pid}: stop it first")


def require_unshared(settings: Settings, catalog: Catalog) -> None:
    """Raise IndexBusy where a daemon that does not share this data folder works on a source of a catalog."""
    require_no_watcher(settings, catalog.sources.all(), catalog.parts.all())


def require_unparted(settings: Settings, catalog: Catalog, source: str | None = None) -> None:
    """Raise IndexBusy where daemons have parts of a source, or of any; one that watches all of it notices a move."""
    require_no_watcher(settings, {}, catalog.parts.all(source))


def require_no_watcher(settings: Settings, sources: Mapping[str, Source], parts: Sequence[PartRecord]) -> None:
    """Raise IndexBusy where a daemon that does not share this data folder compares a source on the same server."""
    if settings.url is None:
        return  # a daemon that watches an embedded catalog has its folder, and has answered before
    own, within = own_watcher(), 2 * settings.rescan
    for name, source in sources.items():
        watcher = source.watcher
        if watcher is None or not is_living_other(watcher, own, within=within, started=started):
            continue
        where = "" if watcher.host == own.host else f" on {printable(watcher.host)}"
        ended = f" (after a kill it counts as running for {within:,.0f} s)" if where else ""
        raise IndexBusy(
            f"source {name!r} of catalog {settings.catalog!r} is being watched by process {watcher.pid}{where}: "
            f"stop it first{ended}"
        )
    for each in living(parts, own, started):
        assert each.watcher is not None
        where = "" if each.watcher.host == own.host else f" on {printable(each.watcher.host)}"
        raise IndexBusy(
            f"part {each.part} of source {each.source!r} of catalog {settings.catalog!r} is being watched by process "
            f"{each.watcher.pid}{where}: stop the daemons of all parts first"
        )
