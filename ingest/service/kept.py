"""What a rebuild has replaced: go back to it (`rollback`), or delete it (`prune`)."""

from __future__ import annotations

from ingest.report import Reporter
from ingest.service.drop import require_no_daemon, require_unshared
from recq.commands import command
from recq.errors import IndexBusy, TargetNotFound
from recq.index.catalog import Catalog
from recq.index.catalogs import prune as delete_kept
from recq.index.connect import connect
from recq.index.kept import Kept
from recq.operate.status import ask_daemon
from recq.settings import Settings
from recq.space import EmbeddingSpace


def report_kept(reporter: Reporter, old: Catalog) -> None:
    """Report that a rebuild keeps what has answered until now."""
    back = command("recq-ingest", "rollback", catalog=old.name)
    delete = command("recq-ingest", "prune", catalog=old.name)
    detail = f"{back} goes back to the old vectors, {delete} deletes them"
    reporter.event("kept", catalog=old.name, space=old.space.label, detail=detail)


def rollback(settings: Settings) -> EmbeddingSpace:
    """Let what the last rebuild replaced answer again, and return its space; the next one undoes this.

    Raises TargetNotFound where nothing is kept, IndexBusy while a daemon works on the catalog.
    """
    require_no_daemon(settings)
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        require_unshared(settings, catalog)
        return Catalog.rollback(client, settings.catalog).space


def kept(settings: Settings) -> Kept:
    """What `prune` would delete. Raises TargetNotFound where nothing is kept, IndexBusy as `prune`."""
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        found = catalog.kept()
        if found is None:
            raise TargetNotFound(
                f"catalog {settings.catalog!r} has nothing to prune: it was not rebuilt, or that was done before"
            )
        space = catalog.space
    _require_no_rebuild(settings, space)
    return found


def prune(settings: Settings, planned: Kept) -> None:
    """Delete it. A daemon that works on the catalog goes on; raises IndexBusy while a rebuild is under way here, which
    may be filling what is kept."""
    with connect(settings) as client:
        space = Catalog.open(client, settings.catalog).space
    _require_no_rebuild(settings, space)
    with connect(settings) as client:
        delete_kept(client, settings.catalog, planned.collection)


def _require_no_rebuild(settings: Settings, space: EmbeddingSpace) -> None:
    """A daemon shows the space that it writes to; a rebuild's is not the catalog's yet."""
    status = ask_daemon(settings)
    if status is not None and (
        status.rebuilding is not None or status.space is None or status.space["fingerprint"] != space.fingerprint
    ):
        raise IndexBusy(f"catalog {settings.catalog!r} is being rebuilt by process {status.pid}: wait for its end")
