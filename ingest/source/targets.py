"""The folders that a run is given; those that cannot be sources are refused before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ingest.source.timebox import within
from recq.commands import command
from recq.errors import UsageError
from recq.paths import printable
from recq.settings import Settings
from recq.waiting import waiting

T = TypeVar("T")

_ANSWERS_WITHIN = 10.0  # seconds for a folder to be listed


@dataclass(frozen=True)
class Target:
    """A folder (absolute, resolved), and the name that it was given, if any."""

    root: Path
    name: str | None = None


def parse_targets(folders: Sequence[Path], named: Sequence[str]) -> list[Target]:
    """The targets of folders and of sources written as NAME=FOLDER. Raises UsageError for a wrong one, or none."""
    targets = [Target(_resolved(folder)) for folder in folders]
    for source in named:
        name, equals, folder = source.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--source {source!r}: write NAME=FOLDER, for example --source shop=/srv/photos")
        _require_name(name, source)
        targets.append(Target(_resolved(Path(folder)), name))
    if not targets:
        raise UsageError(f"name a folder to index: {command('recq-ingest', 'run', 'FOLDER')}")
    return targets


def _require_name(name: str, source: str) -> None:
    """Raise UsageError for a name that looks like a path, or that cannot be typed again."""
    problem = None
    if "/" in name or "\\" in name:
        problem = "a slash, which only paths have"
    elif not name.isprintable():
        problem = "a control character"
    elif name != name.strip():
        problem = "a space at an end"
    if problem is not None:
        raise UsageError(f"--source {source!r}: the name {name!r} has {problem}: choose another, such as shop")


def require_usable(targets: Sequence[Target], table: Path | None, settings: Settings) -> None:
    """Raise UsageError unless every folder can be a source beside the others, and the table belongs to one source."""
    data_dir = settings.data_dir.resolve()
    for number, target in enumerate(targets):
        require_folder(target.root)
        if data_dir.is_relative_to(target.root):
            raise UsageError(
                f"the data folder {data_dir} lies inside {target.root}, and recq never writes into a source: "
                "name another with --data-dir"
            )
        for other in targets[:number]:
            if target.root == other.root:
                raise UsageError(f"{target.root} was given twice: name each folder once")
            for inner, outer in ((target, other), (other, target)):
                if inner.root.is_relative_to(outer.root):
                    raise UsageError(f"{inner.root} lies inside {outer.root}, which covers it: leave it out")
    if table is not None and len(targets) != 1:
        raise UsageError("--metadata names the table of one folder: put a metadata.csv into each, or run one at a time")
    if table is not None and not table.is_file():
        raise UsageError(f"--metadata {printable(str(table))}: there is no such file")


def require_one_source(table: Path | None, roots: Mapping[str, Path]) -> None:
    """Raise UsageError when a table was named and the catalog's sources are not one."""
    if table is not None and len(roots) != 1:
        raise UsageError(f"--metadata names the table of one source, but the catalog has {len(roots)}")


def require_folder(folder: Path) -> None:
    """Raise UsageError unless this is a folder that can be listed, and answers."""
    _answered(folder, partial(_require_listed, folder))


def _require_listed(folder: Path) -> None:
    name = printable(str(folder))
    try:
        if not folder.exists():
            raise UsageError(f"folder {name} does not exist")
        if not folder.is_dir():
            raise UsageError(f"{name} is not a folder: name the folder that the pictures are in")
        with os.scandir(folder):
            pass
    except OSError as error:
        raise UsageError(f"folder {name} cannot be read: {error.strerror}") from error


def _resolved(folder: Path) -> Path:
    """The folder with all links followed. Raises UsageError when its disk does not answer."""
    return _answered(folder, lambda: folder.expanduser().resolve())


def _answered(folder: Path, ask: Callable[[], T]) -> T:
    """The answer of the folder's disk. Raises UsageError when it does not answer: nothing is open yet."""
    try:
        with waiting(f"the folder {printable(str(folder))} to answer", _ANSWERS_WITHIN):
            return within(_ANSWERS_WITHIN, ask)
    except TimeoutError as error:
        raise UsageError(
            f"folder {printable(str(folder))} has not answered for {_ANSWERS_WITHIN:g} s: is its server or disk away? "
            "Leave it out, or try again when it is back"
        ) from error
