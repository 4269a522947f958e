"""Resolves a TARGET as it is typed into an indexed item, or into a picture to embed.

This is the first step of a query. The first match in this order is used:

    1. `-`                                           bytes on standard input
    2. a point id (a UUID)                           that item
    3. an existing file below a source's folder      that item; its bytes when it is not indexed yet
    4. an exact path within a source (`file.path`),  that item
       or a source's name and that: `SOURCE/path`
    5. a file name that one item has (`file.name`)   that item
    6. an existing file elsewhere                    its bytes

A name that is not found is also looked up in Unicode's other form, composed or decomposed (`paths.spellings`).
A bare name that is both an indexed name and another file in the current folder is ambiguous: `./name` means the file.
So is a `SOURCE/path` that is another file, or the path of another item, seen from the current folder or its source.
`settle` is only this order: it asks the catalog through `Lookup` and knows the disk through `Local`.
Programs have other targets as well: the bytes of a picture, a vector, an item of an answer. Of any picture a region may
be meant, which is cut out of its pixels (`recq.images.fitting`). A service has names that
strangers send, for which only 2, 4 and 5 hold: no disk is looked at, whatever they spell.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from recq import paths
from recq.commands import command, command_line, in_quotes, shell_word
from recq.errors import AmbiguousTarget, ImageError, TargetError, TargetNotFound, UsageError
from recq.index.sources import location_of
from recq.search.target_suggestions import files_like, items_like
from recq.spelling import did_you_mean
from recq.waiting import waiting

if TYPE_CHECKING:
    import numpy as np

    from recq.images.fitting import Decoder
    from recq.index.catalog import Catalog
    from recq.index.schema import Item
    from recq.index.sources import Source
    from recq.region import Region
    from recq.settings import Settings

STREAM = "-"
_LONGEST_NAME = 16_384
"""Characters of a TARGET: a path has 4,096 bytes on Linux, each of three characters where it is no UTF-8."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LISTED = 20  # candidates that an ambiguous name lists; the catalog is asked for no more


class Lookup(Protocol):
    """What `settle` asks of a catalog; failed items are found, too."""

    @property
    def catalog(self) -> str:
        """The catalog's name."""

    def get(self, item_id: str, /) -> Item | None:
        """One item by its id."""

    def find_path(self, path: str, /) -> Sequence[Item]:
        """Items with that `file.path`, in any source."""

    def find_name(self, name: str, /) -> Sequence[Item]:
        """Items with that `file.name`, in any source."""

    def sources(self) -> Mapping[str, Source]:
        """All sources by name."""

    def places(self) -> Iterable[tuple[str, str]]:
        """Source and path of every item, for suggestions."""

    def others(self) -> Iterable[tuple[str, Lookup]]:
        """The other catalogs of the same index, by name."""


@dataclass(frozen=True)
class Local:
    """What a TARGET names on the disk of this machine.

    `places` are the absolute spellings without `..` under which a source may know it, symbolic links resolved last.
    """

    path: Path
    places: tuple[Path, ...]
    is_file: bool = False
    is_folder: bool = False
    looked: bool = True
    """False where the disk must not be looked at."""


@dataclass(frozen=True)
class IndexedTarget:
    """An item of the catalog, perhaps a failed one: its stored vector is the query."""

    item: Item


@dataclass(frozen=True)
class FileTarget:
    """A picture that is read from its file: one that is not in the index, or an item's, which then has as `root` its
    source's folder on this machine. `source` names the source in whose folder one lies that is not indexed yet.

    `content` are its bytes where another process has read them.
    """

    path: Path
    source: str | None = None
    root: Path | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StreamTarget:
    """The bytes on standard input."""


@dataclass(frozen=True)
class ContentTarget:
    """The bytes of a picture that a program holds; `name` is what messages and answers call it, `text` what was typed
    for it."""

    content: bytes = field(repr=False)
    name: str = "the picture given"
    text: str | None = None


@dataclass(frozen=True, eq=False)
class VectorTarget:
    """A vector of the catalog's space, float32 (dim,), of an unknown picture."""

    vector: np.ndarray
    name: str = "the vector given"


@dataclass(frozen=True)
class ItemTarget:
    """An item of an answer, given back by a program. `catalog` is the one that answered; None where that is unknown."""

    id: str
    path: str
    catalog: str | None = None


@dataclass(frozen=True)
class IndexedName:
    """The name, path or id of an item, never of a file: what strangers may send."""

    name: str


@dataclass(frozen=True)
class SeenName:
    """A TARGET as another process was given it, with what it means on the disk there: this one looks at none.

    `local` is of the text as typed, `meant` of the bytes that it may stand for (`resolve`), None where it stands for
    none. `content` are the bytes of the file that is meant, None until they are asked for (`ContentNeeded`).
    """

    name: str
    local: Local
    meant: Local | None = None
    content: bytes | None = field(default=None, repr=False)

    @classmethod
    def here(cls, text: str) -> Self:
        """A TARGET as it is typed, seen from this process."""
        other = _meant_by(text)
        return cls(text, look(text), None if other is None else look(other))

    def looked(self, text: str) -> Local:
        """What `look` gave for the name, or for the bytes that it stands for."""
        return self.local if text == self.name or self.meant is None else self.meant


class ContentNeeded(Exception):
    """A `SeenName` means a file that is not indexed: its bytes are needed."""


@dataclass(frozen=True)
class GivenPart:
    """A region of whatever picture is given."""

    given: Given
    region: Region


@dataclass(frozen=True)
class PartTarget:
    """A region of the picture `whole`, which is read from `picture`: of an item from its file."""

    whole: IndexedTarget | FileTarget | StreamTarget | ContentTarget
    picture: FileTarget | StreamTarget | ContentTarget
    region: Region


PictureTarget = FileTarget | StreamTarget | ContentTarget | PartTarget
"""A picture that is read and embedded."""

Target = IndexedTarget | PictureTarget | VectorTarget

Given = str | IndexedName | SeenName | ContentTarget | VectorTarget | ItemTarget | GivenPart
"""A target as it is given: a name to settle, or the thing itself."""


def text_of(given: Given) -> str:
    """The text that an answer shows for the target: a name as it was typed, an item's id."""
    match given:
        case str():
            return given
        case ItemTarget(id=item_id):
            return item_id
        case GivenPart(given=whole):
            return text_of(whole)
        case ContentTarget(text=str(text)):
            return text
        case _:
            return given.name


def read_once(given: Given, content: bytes | None) -> Given:
    """The target to ask with once more, where `content` was read for it: standard input can be read once."""
    if isinstance(given, GivenPart):
        return GivenPart(read_once(given.given, content), given.region)
    if given != STREAM or content is None:
        return given
    return ContentTarget(content, name_of(StreamTarget()), STREAM)


def resolve(lookup: Lookup, given: Given) -> Target:
    """The target that is given by its name, or itself. Raises TargetNotFound, AmbiguousTarget or UsageError.

    A name that is not found may be a path with bytes that are not UTF-8, in the form that JSON and tables print. A
    region needs a picture: TargetError is raised for an item whose file is not here, UsageError for a vector.
    """
    if isinstance(given, GivenPart):
        return _part(lookup, given)
    if isinstance(given, ItemTarget):
        item = lookup.get(given.id)
        if item is None:
            raise _not_here(given, lookup)
        return IndexedTarget(item)
    if isinstance(given, IndexedName):
        return _settled(given.name, lookup, _nowhere)
    if isinstance(given, SeenName):
        return _with_content(_settled(given.name, lookup, given.looked), given)
    return _settled(given, lookup, look) if isinstance(given, str) else given


def _settled(text: str, lookup: Lookup, look: Callable[[str], Local]) -> Target:
    if len(text) > _LONGEST_NAME:
        raise UsageError(f"TARGET has {len(text):,} characters: a name or path has {_LONGEST_NAME:,} at most")
    if not can_be_name(text):
        raise UsageError(f"{_quoted(text)} is no name and no path: it has characters that no file's name has")
    if (item := _by_id(text, lookup)) is not None:
        return IndexedTarget(item)
    try:
        return settle(text, lookup, look(text))
    except TargetNotFound:
        meant = _meant_by(text)
        if meant is None:
            raise
        try:
            return settle(meant, lookup, look(meant))
        except TargetNotFound:
            pass
        raise


def _meant_by(text: str) -> str | None:
    """The path with bytes that are not UTF-8 that JSON and tables print as `text`; None where it is no such text."""
    if not _is_text(text):
        return None
    meant = paths.from_text(text, encoded=True)
    return meant if paths.to_text(meant) == (text, True) else None


def _with_content(target: Target, given: SeenName) -> Target:
    """The target with the bytes of its file that were sent. Raises ContentNeeded where they were not."""
    if not isinstance(target, FileTarget):
        return target
    if given.content is None:
        raise ContentNeeded(given.name)
    return replace(target, content=given.content)


def _part(lookup: Lookup, given: GivenPart) -> PartTarget:
    whole = resolve(lookup, given.given)
    if isinstance(whole, VectorTarget | PartTarget):
        raise UsageError(f"{describe(whole)} has no region: name a picture")
    if not isinstance(whole, IndexedTarget):
        return PartTarget(whole, whole, given.region)
    because = ", and a region is read from the picture, not from the stored vector"
    picture = _file_of(whole, lookup.sources(), "cut", because)
    return PartTarget(whole, picture, given.region)


def whole_of(target: Target) -> Target:
    """The target, or the whole picture that it is a region of."""
    return target.whole if isinstance(target, PartTarget) else target


def _by_id(text: str, lookup: Lookup) -> Item | None:
    """The item of that id, whatever file is called so: no disk is asked."""
    return lookup.get(text.lower()) if is_id(text) else None


def id_of(given: Given) -> str | None:
    """The id that names a target, None where something else does."""
    match given:
        case str(name) | IndexedName(name) | SeenName(name) if is_id(name):
            return name.lower()
        case ItemTarget(id=item_id):
            return item_id
        case _:
            return None


def is_id(text: str) -> bool:
    """Whether it is written as the id of an item."""
    return _UUID.fullmatch(text) is not None


def _is_text(text: str) -> bool:
    """Whether it has none of the lone surrogates that stand for the bytes of a name that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def can_be_name(text: str) -> bool:
    """Whether it stands for bytes, as the name of any file does: a lone surrogate that is none of those does not."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def look(text: str) -> Local:
    """What that name means on disk, relative to the current folder."""
    with waiting(f"the disk of {_quoted(text)} to answer", None):
        path = Path(paths.existing(str(Path(text).absolute())))
        places = [path] if ".." not in path.parts else []
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a name that is too long, a loop of links
            places += [path.parent.resolve() / path.name, path.resolve()]
        # Path's own tests raise where permission is denied.
        is_file, is_folder = os.path.isfile(path), os.path.isdir(path)  # noqa: PTH112, PTH113
        return Local(path, tuple(dict.fromkeys(places)), is_file, is_folder)


def _nowhere(text: str) -> Local:
    """That a name means nothing on disk, whatever it spells. An absolute path still finds the item that has it."""
    path = Path(text)
    spelt = path.is_absolute() and ".." not in path.parts and "\0" not in text
    return Local(path, (path,) if spelt else (), looked=False)


def settle(text: str, lookup: Lookup, local: Local) -> Target:
    """The order of this module's docstring, applied. Raises TargetNotFound, AmbiguousTarget or UsageError."""
    if not text:
        raise UsageError("TARGET is empty: give a file name, a path, a point id or - for standard input")
    if text == STREAM and local.looked:
        return StreamTarget()
    if (item := _by_id(text, lookup)) is not None:
        return IndexedTarget(item)
    below: str | None = None  # the source in whose folder the file lies, not indexed yet
    if local.is_file:
        for source, item in _items_at(local, lookup):
            if item is not None:
                return IndexedTarget(item)
            below = below or source
        if below is not None:
            return FileTarget(local.path, below)
    named = [] if _means_file(text) else _named(text, lookup)
    placed = [] if _means_file(text) else _placed(text, lookup, loosely=not named)
    if local.is_file and (placed or (named and os.sep not in text)):
        raise AmbiguousTarget(
            f"{_quoted(text)} is both indexed and a file here; write {_quoted('./' + text)} for the file, "
            f"or for the indexed one its id:\n{_listed([*named, *placed])}"
        )
    named = list({item.id: item for item in chain(named, placed)}.values())
    if len(named) > 1:
        raise AmbiguousTarget(
            f"{_quoted(text)} is the name of several items; write SOURCE/path, or the id of one:\n{_listed(named)}"
        )
    if named:
        return IndexedTarget(named[0])
    if local.is_file:
        return FileTarget(local.path)
    for _, item in _items_at(local, lookup, everywhere=True):  # deleted since, or on another host's disk
        if item is not None:
            return IndexedTarget(item)
    raise _not_found(text, lookup, local)


def _means_file(text: str) -> bool:
    """Whether the spelling can only mean a file: `/a/b`, `./b`, `../b`."""
    return text.startswith((os.sep, f".{os.sep}", f"..{os.sep}")) or text in (".", "..")


def _named(text: str, lookup: Lookup) -> Sequence[Item]:
    """Items with that path, else with that name; else with one that looks the same, composed or decomposed.

    Typed bytes that are not UTF-8 match only names that have them.
    """
    typed, encoded = paths.to_text(text)
    asked = [lookup.find_path, lookup.find_name] if os.sep not in text else [lookup.find_path]
    forms = paths.spellings(typed)
    found = next((found for form in forms for find in asked if (found := find(form))), ())
    return [item for item in found if item.file.encoded or not encoded]


def _placed(text: str, lookup: Lookup, *, loosely: bool) -> Sequence[Item]:
    """Items that `text` names as SOURCE/path; `loosely`: else one that looks the same, composed or decomposed.

    No source's name has a slash.
    """
    typed, encoded = paths.to_text(text)
    for form in paths.spellings(typed) if loosely else [typed]:
        source, _, path = form.partition("/")
        flags = [True] if encoded else [False, True] if "%" in form else [False]
        ids = [paths.item_id(source, path, flag) for flag in flags if source and path]
        found = [item for item_id in ids if (item := lookup.get(item_id)) is not None]
        if found:
            return found
    return ()


def _items_at(local: Local, lookup: Lookup, *, everywhere: bool = False) -> Iterator[tuple[str, Item | None]]:
    """Each source that has the file below its folder, the innermost first, and the item there if it is indexed.

    An item that is a link comes before the one that it leads to.

    `everywhere` includes the folders of a source on other hosts, and paths that look the same.
    """
    below: list[tuple[int, int, int, str, str]] = []
    for source in lookup.sources().values():
        here = source.root_here()
        roots = source.all_roots() if everywhere else [here] if here is not None else []
        for root in roots:
            for number, place in enumerate(local.places):
                if place != root and place.is_relative_to(root):
                    text, encoded = paths.relative_text(root, place)
                    for other, form in enumerate(paths.spellings(text) if everywhere else [text]):
                        item_id = paths.item_id(source.name, form, encoded)
                        below.append((-len(root.parts), other, number, source.name, item_id))
    for name, item_id in dict.fromkeys((name, item_id) for *_, name, item_id in sorted(below)):
        yield name, lookup.get(item_id)


def _not_found(text: str, lookup: Lookup, local: Local) -> TargetError | UsageError:
    if local.is_folder:
        return UsageError(f"{_quoted(text)} is a folder: name one picture in it")
    if re.match(r"https?://", text):
        return TargetNotFound(
            f"{_quoted(text)} is an address, which recq does not fetch: "
            f"curl -sL {shell_word(text)} | {command_line('recq', 'similar', '-')}"
        )
    if _UUID.fullmatch(text):
        there = _elsewhere(lookup, lambda other: [other.get(text.lower())])
        listed = command("recq", "search", "--format", "jsonl")
        return TargetNotFound(f"no item has the id {text}{there or f': list ids with {listed}'}")
    if not _means_file(text) and (there := _elsewhere(lookup, lambda other: _in(text, other))):
        return TargetNotFound(f"nothing is indexed as {_quoted(text)}{there}")
    name = text.rpartition(os.sep)[2]
    near = lookup.find_name(paths.to_text(name)[0]) if name != text else []
    if near:
        return TargetNotFound(f"nothing is indexed or stored as {_quoted(text)}; did you mean:\n{_listed(near)}")
    meant = _meant(text, lookup, local) or f": see what there is with {command('recq', 'search')}"
    nor = ", and no file here has that name" if local.looked else ""
    return TargetNotFound(f"nothing is indexed as {_quoted(text)}{nor}{meant}")


def _not_here(target: ItemTarget, lookup: Lookup) -> TargetNotFound:
    """Why an item of an answer is not in this catalog, as far as that is known."""
    item = f"{_quoted(target.path)} (id {target.id})"
    if target.catalog is not None and target.catalog != lookup.catalog:
        return TargetNotFound(
            f"{item} belongs to catalog {target.catalog!r}, not to catalog {lookup.catalog!r}: "
            f"ask {target.catalog!r}, or give the path of the file"
        )
    return TargetNotFound(
        f"{item} is not in catalog {lookup.catalog!r}: it was deleted since it was found, "
        "or it belongs to a catalog of another index; give the path of the file"
    )


def _in(text: str, lookup: Lookup) -> Sequence[Item]:
    """The items that a catalog has by that name."""
    return _named(text, lookup) or _placed(text, lookup, loosely=True)


def _elsewhere(lookup: Lookup, find: Callable[[Lookup], Sequence[Item | None]]) -> str:
    """The rest of a message: which other catalog has the item. Empty where none has."""
    for name, other in lookup.others():
        if any(item is not None for item in find(other)):
            return f": it is in catalog {_quoted(name)}, add --catalog {name}"
    return ""


def _meant(text: str, lookup: Lookup, local: Local) -> str:
    """The rest of a message: suggestions; for a spelling that can only mean a file, only files."""
    items = [] if text.startswith((f".{os.sep}", f"..{os.sep}")) else items_like(text, lookup)
    if items:
        return did_you_mean(list(map(_word, items)))
    folder = os.path.dirname(text) or "."  # noqa: PTH120 - as it was typed
    files = [os.path.join(folder, each) for each in files_like(local.path)] if local.looked else []  # noqa: PTH118
    if files or _means_file(text):
        return did_you_mean(list(map(_word, files)))
    for name, other in lookup.others():
        if items := items_like(text, other):
            there = f"that is in catalog {_quoted(name)}, add --catalog {name}"
            return f"{did_you_mean([_word(items[0])])} ({there})"
    return ""


def require_embedded(item: Item) -> None:
    """Raise TargetError with the reason unless the item has a vector."""
    if item.error is not None:
        raise TargetError(
            f"{_quoted(item.file.path)} could not be embedded, {item.error.reason}: {item.error.detail} "
            "(repair the file, and recq-ingest retries it)"
        )


def picture_of(catalog: Catalog, target: IndexedTarget | PictureTarget, done: str, because: str = "") -> PictureTarget:
    """What is read for a target whose stored vector does not serve: of an item its file.

    Raises TargetError, "cannot be `done`", where that is not here; `because` follows the reason.
    """
    if not isinstance(target, IndexedTarget):
        return target
    return _file_of(target, catalog.sources.all(), done, because)


def _file_of(target: IndexedTarget, sources: Mapping[str, Source], done: str, because: str) -> FileTarget:
    """The file of an item. Raises TargetError, "cannot be `done`", where it is not here."""
    location, source = location_of(target.item, sources), sources.get(target.item.file.source)
    if location is None or not location.exists():
        raise TargetError(
            f"{describe(target)} cannot be {done}: its file is not on this machine, or was deleted{because}"
        )
    return FileTarget(location, root=None if source is None else source.root_here())


def read_picture(
    target: PictureTarget, settings: Settings, stdin: BinaryIO | None = None, *, decoder: Decoder | None = None
) -> bytes:
    """The picture's bytes, at most `max_bytes`, also where a region of it is meant. `stdin` is the process's own when
    None; without a `decoder` this process may read whatever its user may.

    Raises TargetError, or UsageError where standard input has no data.
    """
    if isinstance(target, PartTarget):
        return read_picture(target.picture, settings, stdin, decoder=decoder)
    from recq.images.decode import Limits, too_many_bytes
    from recq.images.fitting import decoder_of
    from recq.images.reading import FileChanged

    limits = Limits.from_settings(settings)
    try:
        if isinstance(target, FileTarget) and target.content is None:
            with waiting(f"the disk of {describe(target)} to answer", None):
                return decoder_of(decoder, settings).read(target.path, target.root)
        if isinstance(target, ContentTarget | FileTarget) and target.content is not None:
            if len(target.content) > limits.max_bytes:
                raise too_many_bytes(len(target.content), limits)
            return target.content
        stream = stdin if stdin is not None else getattr(sys.stdin, "buffer", None)
        if stream is None or stream.isatty():
            raise UsageError(
                "standard input has no data: pipe a picture in, "
                f"as in {in_quotes(command_line('recq', 'similar', '-') + ' < photo.jpg')}"
            )
        data = stream.read(limits.max_bytes + 1)
        if len(data) > limits.max_bytes:
            raise too_many_bytes(len(data), limits)
        return data
    except ImageError as error:
        raise TargetError(f"{describe(target)} cannot be read, {error}") from error
    except FileNotFoundError as error:
        left = ", or is no longer in its source's folder" if decoder is not None else ""
        raise TargetNotFound(f"{describe(target)} was just deleted{left}") from error
    except FileChanged as error:
        raise TargetError(f"{describe(target)} is still being written: ask again when it is complete") from error


def region_of(target: Target) -> Region | None:
    """The region that is meant, None for all of a picture."""
    return target.region if isinstance(target, PartTarget) else None


def name_of(target: Target) -> str:
    """The target's name in an answer; a file's in the text form of `recq.paths`."""
    match target:
        case IndexedTarget(item):
            return item.file.name
        case FileTarget(path):
            return paths.to_text(path.name)[0]
        case StreamTarget():
            return "standard input"
        case ContentTarget(name=name) | VectorTarget(name=name):
            return name
        case PartTarget(whole=whole):
            return name_of(whole)


def describe(target: Target) -> str:
    """The target in a message."""
    match target:
        case IndexedTarget(item):
            return _quoted(item.file.path)
        case FileTarget(path):
            return _quoted(str(path))
        case StreamTarget():
            return "the picture on standard input"
        case ContentTarget(name=name) | VectorTarget(name=name):
            return name
        case PartTarget(whole=whole):
            return describe(whole)


def _quoted(text: str) -> str:
    return f"'{paths.printable(text)}'"


def _word(text: str) -> str:
    """A suggested TARGET as one word for a shell, quoted."""
    return _quoted(text) if text.isprintable() and "'" not in text else shell_word(text)


def _listed(items: Sequence[Item]) -> str:
    lines = [
        f"{item.id}  {paths.printable(item.file.source)}: {paths.printable(item.file.path)}"
        f"{'  (failed)' if item.error is not None else ''}"
        for item in items[:_LISTED]
    ]
    return "\n".join([*lines, "... and perhaps more"] if len(items) >= _LISTED else lines)
