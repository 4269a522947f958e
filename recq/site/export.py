"""Writes a catalog as a site: `recq export --site`.

The index is read first, in one opening; pictures are read afterwards, while others may use the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from recq.display.table import FIRST_FIELDS, KIND_FIELDS, MOST_FIELDS, TITLE_FIELDS
from recq.errors import TargetNotFound, UsageError
from recq.images.indexed_files import Place, Unread, read_fitted
from recq.images.pixels import jpeg_of
from recq.images.resize import without_border
from recq.index.background import LEVELS
from recq.index.schema import Item
from recq.index.sources import Source, location_of
from recq.paths import printable
from recq.progress import Progress, silent
from recq.search.no_results import why_no_items
from recq.search.session import Session
from recq.site.columns import PATH, Column, columns_of, metadata_of, values_of
from recq.site.folder import SiteFolder
from recq.site.quantise import quantised
from recq.site.scripts import coarse_script, rest_script, script
from recq.space import InputSpec

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.grammar import Condition
    from recq.settings import Settings

PART = 250
"""Items of one script, and of one script of coarse vectors."""

RESTS = 50
"""Items of one script of rests: of these the page loads only those of what may be in an answer."""

SMALLEST, LARGEST = 64, 2048
"""Pixels that the longer side of the pictures may have."""

_STATIC = ("site.css", "no-picture.svg", "data.js", "filters.js", "nearest.js", "tiles.js", "view.js")


@dataclass(frozen=True)
class Choice:
    """What goes out.

    `fields` are all metadata and the path where it is None, without those in `without`. `title` stands above the page:
    the catalog's name where it is None. The longer side of a picture has `thumbnail` pixels, or its own where it is
    smaller.
    """

    filters: Sequence[str | Condition] = ()
    fields: Sequence[str] | None = None
    without: Sequence[str] = ()
    title: str | None = None
    thumbnail: int = 320


@dataclass(frozen=True)
class Unpictured:
    """An item that is shown without its picture, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class ExportedSite:
    """What was written: the folder, the catalog's name, how many items, how many of them without a picture."""

    folder: Path
    catalog: str
    items: int
    unpictured: tuple[Unpictured, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "catalog": self.catalog,
            "site": str(self.folder),
            "items": self.items,
            "unpictured": [vars(each) for each in self.unpictured],
        }


def export_site(session: Session, path: Path, choice: Choice, progress: Progress = silent) -> ExportedSite:
    """Write the embedded items that match the filters as a site into the folder `path`.

    A site that is there is replaced when the new one is whole. Raises UsageError for a folder that is neither empty nor
    a site, and where it cannot be written; FilterError; TargetNotFound where no item matches.
    """
    if not SMALLEST <= choice.thumbnail <= LARGEST:
        raise UsageError(f"--thumbnail {choice.thumbnail}: pictures have from {SMALLEST} to {LARGEST:,} pixels a side")
    with SiteFolder(path) as folder:
        with session.opened() as catalog:
            found = _Written(catalog, folder, choice, progress)
        unread = _write_pictures(found, folder, choice.thumbnail, session.settings, progress)
        folder.write("catalog.js", script("catalog", 0, found.head | {"unpictured": sorted(unread)}))
        for name in _STATIC:
            folder.write(name, (files("recq.site") / "static" / name).read_bytes())
        folder.finish(lambda parts: _page(found, parts))
    missing = [
        Unpictured(each.id, printable(each.file.path), str(unread[content]))
        for content, items in found.contents.items()
        if content in unread
        for each in items
    ]
    return ExportedSite(path, session.settings.catalog, found.items, tuple(missing))


class _Written:
    """What was read of the index, and written: `items` of them, in the order of their paths.

    `contents` has, by the number of the first item of the same bytes, all items of those. `head` is what the page has
    to know of all of them.
    """

    def __init__(self, catalog: Catalog, folder: SiteFolder, choice: Choice, progress: Progress) -> None:
        self.sources = catalog.sources.all()
        self.title = printable(choice.title or catalog.name)
        columns = columns_of(catalog.fields.types(), len(self.sources), choice.fields, choice.without)
        rows = sorted(
            catalog.items.rows(choice.filters, metadata_of(columns)),
            key=lambda item: (item.file.path, item.file.source),
        )
        self.items = self.parts = 0
        self.contents: dict[int, list[Item]] = {}
        self._first: dict[str, int] = {}
        rests = _Rests(folder)
        for start in range(0, len(rows), PART):
            progress("reading items", start, len(rows))
            self._write(catalog, folder, columns, rows[start : start + PART], choice.thumbnail, rests)
        rests.close()
        progress("reading items", len(rows), len(rows))
        if not self.items:
            why = why_no_items(catalog, choice.filters)
            text = "they have just gone" if why is None else why.text.replace("\n", " ")
            raise TargetNotFound(f"there is no item to show: {text}")
        self.head = self._head(catalog, columns)

    def _write(
        self,
        catalog: Catalog,
        folder: SiteFolder,
        columns: Sequence[Column],
        rows: Sequence[Item],
        size: int,
        rests: _Rests,
    ) -> None:
        vectors = catalog.items.vectors([item.id for item in rows])
        there = [item for item in rows if item.id in vectors]  # others have gone since
        if not there:
            return
        written = []
        for number, item in enumerate(there, start=self.items):
            digest = item.file.sha256 or item.id
            first = self._first.setdefault(digest, number)
            self.contents.setdefault(first, []).append(item)
            written.append([item.id, _key(digest, size), first, values_of(item.to_payload(), columns)])
        parts = quantised(np.stack([vectors[item.id] for item in there]))
        folder.write(f"items-{self.parts:04d}.js", script("items", self.parts, written))
        folder.write(f"vectors-{self.parts:04d}.js", coarse_script(self.parts, parts))
        rests.add(parts.rest)
        self.items += len(there)
        self.parts += 1

    def _head(self, catalog: Catalog, columns: Sequence[Column]) -> dict[str, Any]:
        names = [each.name for each in columns]
        background = catalog.background_at_opening()

        def numbers(wanted: Sequence[str]) -> list[int]:
            return [names.index(name) for name in wanted if name in names]

        return {
            "title": self.title,
            "items": self.items,
            "parts": self.parts,
            "rests": RESTS,
            "dim": catalog.space.dim,
            "distance": catalog.space.distance_name,
            "fields": [[printable(each.name), str(each.type)] for each in columns],
            "titles": numbers(TITLE_FIELDS),
            "kinds": numbers(KIND_FIELDS),
            "facts": [each for each in numbers(FIRST_FIELDS) if names[each] not in TITLE_FIELDS][:MOST_FIELDS],
            "path": numbers([PATH]),
            "scale": None if background is None else [list(LEVELS), list(background.scores)],
        }


@dataclass
class _Rests:
    """Gathers rests and writes `RESTS` of them at a time."""

    folder: SiteFolder
    _waiting: list[Any] = field(default_factory=list)
    _written: int = 0

    def add(self, rests: Any) -> None:
        """int16 (n, dim), of the next n items."""
        self._waiting += list(rests)
        while len(self._waiting) >= RESTS:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._write()

    def _write(self) -> None:
        some, self._waiting = self._waiting[:RESTS], self._waiting[RESTS:]
        self.folder.write(f"rests-{self._written:04d}.js", rest_script(self._written, np.stack(some)))
        self._written += 1


def _write_pictures(
    found: _Written, folder: SiteFolder, size: int, settings: Settings, progress: Progress
) -> dict[int, Unread]:
    """Write the pictures that are missing; the contents that have none, and why."""
    wanted = [number for number, items in found.contents.items() if not folder.has_picture(_picture(items[0], size))]
    specs = {number: InputSpec(_longest(found.contents[number][0], size), "pad") for number in wanted}
    places = [(number, [_place(item, found.sources) for item in found.contents[number]]) for number in wanted]
    unread: dict[int, Unread] = {}
    if not wanted:
        return unread
    for number, read in read_fitted(places, specs.__getitem__, settings, progress):
        if isinstance(read, Unread):
            unread[number] = read
            continue
        rgb = without_border(read.pixels, read.width, read.height, specs[number])
        folder.keep_picture(_picture(found.contents[number][0], size), jpeg_of(rgb))
    return unread


def _place(item: Item, sources: Mapping[str, Source]) -> Place:
    return Place(location_of(item, sources), item.file.sha256 or "")


def _picture(item: Item, size: int) -> str:
    """The name of a picture's file: of an id and numbers, whatever the item's own is."""
    return f"{item.id}-{_key(item.file.sha256 or item.id, size)}.jpg"


def _key(digest: str, size: int) -> str:
    """Another one for other bytes and other sizes: so a page never shows a picture that came after it."""
    return hashlib.sha256(f"{digest} {size}".encode()).hexdigest()[:8]


def _longest(item: Item, size: int) -> int:
    return min(size, max(item.file.width or size, item.file.height or size))


def _page(found: _Written, parts: str) -> str:
    environment = Environment(
        loader=PackageLoader("recq.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    items = [f"items-{number:04d}.js" for number in range(found.parts)]
    scripts = ["data.js", "catalog.js", *items, "filters.js", "nearest.js", "tiles.js", "view.js"]
    return environment.get_template("index.html").render(title=found.title, parts=parts, scripts=scripts)
