"""Finds where a file was before it moved: an item with the same bytes whose own file has gone.

Metadata may depend on the path, so that of the old path is needed. The bytes alone are enough where few items have
them, but not for a placeholder that a thousand products share. So items of the same name are tried first, in the order
of how many folders at the ends of the paths agree (`goods/7/front.jpg` was `products/7/front.jpg`), and then bytes that
few items have, under any name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Protocol

from ingest.source.files import Key
from recq import paths
from recq.index.schema import FileFacts, Item

FEW = 8
"""Items with the same bytes among which the old path can be found; where there are more, they are mere copies."""

_MOST = 1_000  # items with the bytes and a name of a batch that are looked at


class Holders(Protocol):
    """What is asked of the catalog; the question is repeated while the index is away."""

    def holders(
        self,
        digests: Collection[str],
        *,
        names: Collection[str] | None = None,
        source: str | None = None,
        page: int = ...,
    ) -> Iterator[Item]:
        """Items with those SHA-256 (and one of those file names), of all sources or of one; `page` at a time."""


def origins(
    files: Sequence[FileFacts], index: Holders, has_gone: Callable[[Key], bool]
) -> Mapping[str, Sequence[Item]]:
    """The items at whose paths each of these new files may have been, by its id: without metadata, all equally likely.

    The files are of one source, and have a `sha256`. `has_gone(key)` asks the disk.
    """
    asked: dict[Key, bool] = {}

    def gone(item: Item) -> bool:
        key = Key(item.file.source, paths.from_text(item.file.path, item.file.encoded))
        if key not in asked:
            asked[key] = has_gone(key)
        return asked[key]

    found: dict[str, Sequence[Item]] = {}
    named = _by_digest(islice(_named(files, index), _MOST))
    for file in files:
        if likely := _nearest(file, named.get(file.sha256 or "", ()), gone):
            found[file.id] = likely
    left = [file for file in files if file.id not in found]
    few = _held_by_few({file.sha256 for file in left if file.sha256 is not None}, left, index)
    for file in left:
        if likely := [item for item in few.get(file.sha256 or "", ()) if item.id != file.id and gone(item)]:
            found[file.id] = likely
    return found


def _named(files: Sequence[FileFacts], index: Holders) -> Iterator[Item]:
    digests = {file.sha256 for file in files if file.sha256 is not None}
    if not digests:
        return iter(())
    return index.holders(digests, names={file.name for file in files}, source=files[0].source)


def _nearest(file: FileFacts, items: Sequence[Item], gone: Callable[[Item], bool]) -> Sequence[Item]:
    """Items of the same name whose files have gone and whose paths agree with `file`'s in most folders at the end.

    Only the `FEW` nearest are looked at.
    """
    same = [item for item in items if item.file.name == file.name and item.id != file.id]
    nearest = sorted(same, key=lambda item: -common_end(item.file.path, file.path))[:FEW]
    for _, likely in groupby(nearest, lambda item: common_end(item.file.path, file.path)):
        if some := [item for item in likely if gone(item)]:
            return some
    return ()


def common_end(path: str, other: str) -> int:
    """How many parts two POSIX paths have in common at their ends."""
    count = 0
    for part, its in zip(reversed(path.split("/")), reversed(other.split("/")), strict=False):
        if part != its:
            break
        count += 1
    return count


def _held_by_few(digests: set[str], files: Sequence[FileFacts], index: Holders) -> Mapping[str, Sequence[Item]]:
    """All items of those bytes that fewer than `FEW` items have. Bytes with many copies do not hide the others."""
    few: dict[str, Sequence[Item]] = {}
    while digests:
        most = FEW * len(digests)
        some = list(islice(index.holders(digests, source=files[0].source, page=most), most))
        items = _by_digest(some)
        many = {digest for digest, those in items.items() if len(those) >= FEW}
        if len(some) < most:
            few.update((digest, those) for digest, those in items.items() if digest not in many)
            break
        digests = digests - many  # `many` is not empty, since the answer was full
    return few


def _by_digest(items: Iterator[Item] | Sequence[Item]) -> Mapping[str, Sequence[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.file.sha256 or "", []).append(item)
    return found
