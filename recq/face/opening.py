"""`recq.open` and the other functions of the module: the list of catalogs, and the import of one.

The index is named by keywords or by a `Settings` object. A path in place of a catalog's name is an error that names the
next command.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq.commands import command
from recq.errors import TargetNotFound, UsageError
from recq.face.arguments import checked, wrong
from recq.face.catalog import ImageCatalog
from recq.paths import printable
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
    """Open the catalog `name`; without a name the one of the settings ("images" by default).

    The index is the server at `url` (with its `api_key`; several nodes of a cluster with commas between), or the
    embedded index in the folder `data_dir`: give one of the two. Without either, the `RECQ_*` variables and recq.toml
    decide. A `settings` object replaces all of these.

    Raises TargetNotFound for a catalog that does not exist, UsageError for arguments that cannot be used or contradict
    each other, IndexError_ for an index that does not answer or a folder without one.
    """
    catalog = ImageCatalog(_settings("open", name, url, api_key, data_dir, settings))
    try:
        _ = catalog.space
    except BaseException as error:
        catalog.close()
        if isinstance(error, TargetNotFound) and name is not None and os.path.lexists(name):
            raise UsageError(f"{_path_advice(name)} ({error})") from error
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
    """The catalogs of an index: for each its items, failed items, embedding space and sources.

    The index is named as in `recq.open`. Raises UsageError and IndexError_.
    """
    from recq.face.results import Catalogs
    from recq.search.inventory import catalogs

    with Session(_settings("catalogs", None, url, api_key, data_dir, settings)) as session:
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
    """Write the items of an export into the catalog `name`, which is created if it does not exist.

    No picture is embedded again. `path` is a file that `export` wrote; "-" is standard input. The index is named as in
    `recq.open`; a data folder that does not exist is created. Raises UsageError for a file that is damaged or no
    export, SpaceMismatch for a catalog in another embedding space.
    """
    from recq.transfer.transfer import import_catalog

    return import_catalog(_settings("import_catalog", name, url, api_key, data_dir, settings), Path(path), progress)


def _settings(
    function: str,
    name: str | None,
    url: str | None,
    api_key: str | None,
    data_dir: str | Path | None,
    settings: Settings | None,
) -> Settings:
    """The settings that the arguments of `function` amount to. Raises UsageError for those that contradict another."""
    if name is not None:
        _require_name(name)
    if settings is not None:
        if not isinstance(settings, Settings):
            raise wrong("settings", settings, "a recq.Settings", "recq.Settings.load()")
        others = {"url": url, "api_key": api_key, "data_dir": data_dir}
        both = next((f"{other}=" for other, value in others.items() if value is not None), None)
        if both is not None:
            raise UsageError(f"{function}() has settings= and {both}, which both name the index: give one of them")
        return settings if name is None else settings.of_catalog(name)
    if url is not None and data_dir is not None:
        raise UsageError(
            f"{function}() has url= and data_dir=, which name two indexes: "
            "give url= for a server, or data_dir= for an embedded index"
        )
    place = None if data_dir is None else _expanded(data_dir)
    loaded = Settings.load(catalog=name, url=url, api_key=api_key, data_dir=place)
    if api_key is not None and loaded.url is None:
        raise UsageError(
            f"{function}() has api_key=, but no server to use it at: give url= as well, or leave api_key= out "
            "for an embedded index"
        )
    return loaded


def _expanded(path: str | Path) -> Path:
    """The path with its `~` resolved. Raises UsageError for a user that this machine does not know."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"data_dir={os.fspath(path)!r}: this machine has no such home folder") from error


def _require_name(name: Any) -> None:
    """Raise UsageError for a path, and for whatever else is no catalog's name."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and (os.sep in name or name in (".", "..", "~"))):
        raise UsageError(_path_advice(os.fsdecode(os.fspath(name))))
    if not isinstance(name, str):
        raise wrong("name", name, "a catalog's name", "'images'")


def _path_advice(path: str) -> str:
    """What to do instead of giving a path as a catalog's name."""
    shown = printable(path)
    place = os.path.expanduser(path)  # noqa: PTH111 - whatever the path, it raises nothing
    if os.path.isdir(place):  # noqa: PTH112 - the same
        run = command("recq-ingest", "run", path)
        return f"name='{shown}' is a folder, not a catalog's name: index the folder with {run}, then call recq.open()"
    if os.path.lexists(place):
        from recq.transfer.transfer import ENDINGS

        ask = "recq.import_catalog(PATH)" if path.endswith(tuple(ENDINGS)) else "recq.open().similar(PATH)"
        return f"name='{shown}' is a file, not a catalog's name: call {ask}"
    return (
        f"name='{shown}' is no catalog's name, and no such file or folder exists: name a catalog, as in name='images'"
    )
