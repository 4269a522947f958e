"""The paths of a backfill, found while the first of them are indexed already: of a folder by a walk, or of a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.source.scan import Kind, Rules, Unreadable, walk
from ingest.source.targets import require_folder
from recq.errors import UsageError
from recq.paths import printable
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.index.catalog import Catalog

AT_ONCE = 256
"""Paths that a worker is handed at a time: what is done again where one is killed."""

_SHOWN = 200  # characters of a line that cannot be used


@dataclass(frozen=True)
class Listing:
    """What is to be indexed: of the source `name` in the folder `root` the files that `listed` names, or all."""

    name: str
    root: Path
    listed: Path | None = None

    def paths(self, settings: Settings) -> Iterator[str]:
        """The paths, relative to the root. Raises UsageError for a line that is none of it, OSError."""
        if self.listed is None:
            for seen in walk(Rules(settings.ignore, self.root)):
                if isinstance(seen, Unreadable) or seen.kind is not Kind.IGNORED:
                    yield seen.path  # a folder that cannot be listed is told by the worker that is handed it
            return
        with self.listed.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if text := line.rstrip("\n").removesuffix("\r"):
                    yield _relative(self.root, self.listed, number, text)


def _require_path(listed: Path, number: int, text: str) -> None:
    """Raise UsageError for a line of another kind of list: separated by NUL as of `find -print0`, or in UTF-16."""
    if "\0" in text:
        raise UsageError(
            f"{printable(str(listed))}:{number}: '{printable(text[:_SHOWN])}' holds a NUL, which no path does: write "
            "one path a line, in UTF-8"
        )


def _relative(root: Path, listed: Path, number: int, text: str) -> str:
    _require_path(listed, number, text)
    path = Path(text) if Path(text).is_absolute() else root / text
    try:
        inside = path.relative_to(root)
        if ".." in inside.parts:
            raise ValueError
        return str(inside)
    except ValueError:
        raise UsageError(
            f"{printable(str(listed))}:{number}: '{printable(text[:_SHOWN])}' does not lie in {printable(str(root))}: "
            "one list is of one source"
        ) from None


def listing_of(what: Path, name: str | None, catalog: Catalog) -> Listing:
    """What a folder or a list means, the folder recorded as a source.

    The lines of a list are paths of one source: the one that has the first of them, or of that `name`. Raises
    UsageError.
    """
    what = what.expanduser().resolve()
    if what.is_dir():
        require_folder(what)
        return Listing(catalog.sources.register(what, name), what)
    if not what.is_file():
        raise UsageError(f"{printable(str(what))} is neither a folder nor a list of files: there is no such thing")
    sources = {each: root for each, source in catalog.sources.all().items() if (root := source.root_here()) is not None}
    if name is not None:
        if name not in sources:
            raise UsageError(f"source {name!r} is not on this host: index its folder once, or name it")
        return Listing(name, sources[name], what)
    with what.open(encoding="utf-8", errors="surrogateescape") as lines:
        numbered = ((number, line.rstrip("\n")) for number, line in enumerate(islice(lines, 1_000), 1) if line.strip())
        number, first = next(numbered, (1, ""))
    _require_path(what, number, first)
    for each, root in sources.items():
        if Path(first).is_absolute() and Path(first).is_relative_to(root):
            return Listing(each, root, what)
    raise UsageError(
        f"{printable(str(what))}: its first line, '{printable(first[:_SHOWN])}', lies in no source of this host: write "
        "absolute paths, or name the source with --source NAME"
    )


def paths_source(settings: Settings, listing: Listing) -> Any:
    """A source of Ray Data's that gives the paths as they are found, `AT_ONCE` of them in each row."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Paths(Datasource):  # type: ignore[misc]
        def get_name(self) -> str:
            return "Paths"

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(lambda: _blocks(settings, listing), unknown)]

    return Paths()


def _blocks(settings: Settings, listing: Listing) -> Iterator[Any]:
    import pyarrow as pa

    paths = listing.paths(settings)
    while some := list(islice(paths, AT_ONCE)):
        yield pa.table({"paths": [[path.encode("utf-8", "surrogateescape") for path in some]]})
