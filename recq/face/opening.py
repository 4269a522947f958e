"""`recq.open` and what else needs no catalog that is open: which there are, and the import of one.

The index is named by keywords, or by settings as they are; a folder of pictures is no catalog, and is told so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq.commands import command
from recq.errors import TargetNotFound, UsageError
from recq.face.arguments import checked, wrong
from recq.face.catalog import ImageCatalog
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.face.results import Catalogs
    from recq.transfer.transfer import Transferred


@checked(name="open")
def open_catalog(
    name: str | None = None,
    *,
    url: str | None = None,
    api_key: str | None = None,
    data_dir: str | Path | None = None,
    settings: Settings | None = None,
) -> ImageCatalog:
    """Open a catalog: `name`, or the one that the settings name, "images" unless they say otherwise.

    The index is the server at `url` (with its `api_key`), or the embedded one in the folder `data_dir`; without them
    what `RECQ_*` variables and recq.toml say. `settings` are taken as they are, in place of all these.

    Raises TargetNotFound for a catalog that does not exist, UsageError for what cannot be one, IndexError_ where the
    index cannot be asked.
    """
    catalog = ImageCatalog(_settings(name, url, api_key, data_dir, settings))
    try:
        _ = catalog.space
    except BaseException as error:
        catalog.close()
        if isinstance(error, TargetNotFound) and name is not None and Path(name).is_dir():
            raise UsageError(f"{_is_folder(name)} ({error})") from error
        raise
    return catalog


@checked()
def catalogs(
    *,
    url: str | None = None,
    api_key: str | None = None,
    data_dir: str | Path | None = None,
    settings: Settings | None = None,
) -> Catalogs:
    """The catalogs of an index, which is named as in `recq.open`: items, failed ones, space, sources."""
    from recq.face.results import Catalogs
    from recq.search.inventory import catalogs

    with Session(_settings(None, url, api_key, data_dir, settings)) as session:
        return Catalogs(catalogs(session))


@checked()
def import_catalog(
    path: str | Path,
    name: str | None = None,
    *,
    url: str | None = None,
    api_key: str | None = None,
    data_dir: str | Path | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Transferred:
    """Write an export's items into the catalog `name`, which is made where there is none; nothing is embedded again.

    The index is named as in `recq.open`. Raises UsageError for a file that is damaged or no export, SpaceMismatch for a
    catalog in another embedding space.
    """
    from recq.transfer.transfer import import_catalog

    return import_catalog(_settings(name, url, api_key, data_dir, settings), Path(path), progress)


def _settings(
    name: str | None, url: str | None, api_key: str | None, data_dir: str | Path | None, settings: Settings | None
) -> Settings:
    if name is not None:
        _require_name(name)
    if settings is None:
        return Settings.load(
            catalog=name, url=url, api_key=api_key, data_dir=None if data_dir is None else Path(data_dir).expanduser()
        )
    if not isinstance(settings, Settings):
        raise wrong("settings", settings, "a recq.Settings", "recq.Settings.load()")
    if not (url is api_key is data_dir is None):
        raise UsageError("settings= and url=, api_key= or data_dir= both say which index: give one of them")
    return settings if name is None else settings.of_catalog(name)


def _require_name(name: Any) -> None:
    """Raise UsageError for what is no catalog's name: a folder above all."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and (os.sep in name or name in (".", "..", "~"))):
        raise UsageError(_is_folder(os.fspath(name)))
    if not isinstance(name, str):
        raise wrong("name", name, "a catalog's name", "'images'")


def _is_folder(name: Any) -> str:
    run = command("recq-ingest", "run", os.fsdecode(name))
    return f"{os.fsdecode(name)!r} is a folder, and a catalog has a name: index the folder with {run}, then recq.open()"
