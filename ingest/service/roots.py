"""The sources of a catalog on this host: their folders, and each source ready to be watched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ingest.index.isolation import Isolation, declare_each
from ingest.index.retrying import Retrier
from ingest.reconcile.claims import give_back, take
from ingest.report import Reports
from ingest.source.filesystems import tells_ctime
from ingest.source.headers import Headers, header_pool
from ingest.source.targets import require_folder, require_one_source
from ingest.source.watched_source import WatchedSource
from recq.commands import command
from recq.errors import RecqError, UsageError
from recq.index.catalog import Catalog
from recq.index.fields import Fields
from recq.index.schema import FieldTypes
from recq.settings import Settings


def roots_here(catalog: Catalog, table: Path | None = None) -> dict[str, Path]:
    """The folders of a catalog's sources on this host. Raises UsageError when there is none, or several for `table`."""
    roots = {name: root for name, source in catalog.sources.all().items() if (root := source.root_here()) is not None}
    if not roots:
        raise UsageError(
            f"catalog {catalog.name!r} has no source on this host: use {command('recq-ingest', 'run', 'FOLDER')}"
        )
    require_one_source(table, roots)
    return roots


def all_roots(catalog: Catalog) -> dict[str, Path]:
    """The folder of every source of a catalog. Raises UsageError when one cannot be read here: it would be lost."""
    roots = {}
    for name, source in catalog.sources.all().items():
        root = source.root_here()
        if root is None:
            hosts = ", ".join(sorted(source.roots))
            raise UsageError(
                f"source {name!r} belongs to another host ({hosts}): its items would be lost. Index it here first "
                f"({command('recq-ingest', 'run', '--once', '--source', f'{name}=FOLDER')}), "
                f"or {command('recq-ingest', 'forget', name)}"
            )
        try:
            require_folder(root)
        except UsageError as error:
            raise UsageError(
                f"source {name!r}: {error}; its items would be lost: mount it, "
                f"or {command('recq-ingest', 'forget', name)}"
            ) from error
        roots[name] = root
    if not roots:
        raise UsageError(
            f"catalog {catalog.name!r} has no source to index again: use {command('recq-ingest', 'run', 'FOLDER')}"
        )
    return roots


def require_shared(settings: Settings) -> None:
    """Raise UsageError where a part of sources is asked for that no other daemon can share: the index is embedded."""
    if settings.partition is not None and settings.url is None:
        raise UsageError(
            f"--partition {settings.partition} is for daemons that share an index on a Qdrant server: name it with "
            "--url, or leave --partition out, since an embedded index has one daemon"
        )


def require_undivided(settings: Settings) -> None:
    """Raise UsageError where a daemon has a part of its sources: what is to be done needs all of them."""
    if settings.partition is not None:
        raise UsageError(
            f"the vectors of a whole catalog are moved, and this has part {settings.partition} of its sources: stop "
            "the daemons of all parts, and run it without partition"
        )


def ready(
    catalog: Catalog,
    settings: Settings,
    name: str,
    root: Path,
    table: Path | None,
    say: Callable[[str, str], None],
    retrier: Retrier | None = None,
) -> WatchedSource:
    """A source with its tables read, of which `table` replaces the root's metadata.csv if given.

    `retrier` waits for an index that is away.

    Raises as `WatchedSource.load_tables` does.
    """
    known = (catalog.sources.all() if retrier is None else retrier(catalog.sources.all)).get(name)
    watched = WatchedSource(
        name,
        root,
        table_path=table,
        types=catalog.fields.types if retrier is None else partial(_types, catalog.fields, retrier),
        say=say,
        max_delete=settings.max_delete,
        tells_ctime=partial(tells_ctime, mode=settings.watch),
        headers=Headers(partial(header_pool, settings)) if settings.exif else None,
        ignore=settings.ignore,
        plugin_timeout=settings.plugin_timeout,
        known_plugins=known.plugins if known is not None else {},
        part=settings.part,
    )
    watched.load_tables()
    return watched


def _types(fields: Fields, retrier: Retrier) -> FieldTypes:
    """The catalog's fields. They are asked for with each picture, and known but for the first time."""
    known = fields.known_types
    return retrier(fields.types) if known is None else known


def begin(
    catalog: Catalog,
    settings: Settings,
    retrier: Retrier,
    reporter: Reports,
    name: str,
    root: Path,
    table: Path | None,
) -> WatchedSource:
    """A source with which a daemon can begin: it is ready, and the index knows the fields of its tables.

    Raises IndexBusy where another daemon has it, or the same part of it.
    """

    def say(path: str, message: str) -> None:
        reporter.event("problem", source=name, path=path, detail=message)

    if settings.url is not None:
        retrier(take, catalog, name, settings.part, rescan=settings.rescan)
    try:
        watched = ready(catalog, settings, name, root, table, say, retrier)
        declare_each(catalog, Isolation(retrier, catalog.writes.probe), watched.tables.types)
    except BaseException:
        if not retrier.away:  # else it would be waited for
            let_go(catalog, settings, name)
        raise
    return watched


def let_go(catalog: Catalog, settings: Settings, name: str) -> None:
    """Let other daemons have a source, or the part of it, with which this one was to begin and did not.

    A source as a whole is had by who compares it: nothing is recorded before that.
    """
    if settings.url is not None and not settings.part.is_whole:
        with suppress(RecqError):
            give_back(catalog, name, settings.part)
